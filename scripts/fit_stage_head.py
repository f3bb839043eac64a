"""Fit the stage head of weights on labelled buildings, measure it on places that no training saw, and put it beside their card.

    python scripts/fit_stage_head.py deep deep-int8 --data path/to/samples [--recipe configs/stages/deep.yaml] [--work DIR]

Crops of every labelled building (stages/buildings.csv where both annotators agree, stages/marks.jsonl, buildings drawn by eye in redrawn/
and labels/, outlines of Rio and Las Vegas as complete ones) and of buildings in scenes of ``detect simulate`` go through ImageNet's
EfficientNet-Lite2; a linear layer on what it sees gives the stage. Penalty and balance are chosen by leaving one training place out at a
time, the temperature is fitted on the same answers, and the held-out places are only measured. Writes ``<name>.stage.onnx``, and
``files.stage`` and ``stage_head`` into the cards. Takes about a quarter of an hour on two cores; ``--work`` keeps the crops for a second
run.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import detect  # noqa: F401 – before onnxruntime, whose telemetry it switches off

# isort: split
import geopandas as gpd
import numpy as np
import onnx
import onnxruntime
import pandas as pd
import shapely
import torch
import yaml
from numpy.typing import NDArray

from detect.base.files import sha256_of
from detect.base.geometry import measure
from detect.base.resources import resource_path
from detect.base.schema import read
from detect.base.stages import STAGES, combine, pool
from detect.base.values import TOP
from detect.datasets.images import vector
from detect.datasets.samples import SWAPPED, drawings_of
from detect.network.heads import STAGE_HEADS
from detect.network.stage_head import by_building, crop_reader
from detect.network.weights import Weights, load_weights
from detect.scene.scene import open_scene
from detect.training.calibration import best_temperature, temper
from detect.training.stage_drawn import DrawnScenes, as_bytes, drawn_crops
from detect.training.stage_head import Components, Linear, measured, varied
from detect.training.stage_network import StageNetwork, features_of, stage_onnx

CHOICE_SEED = 100
"""Of the few complete buildings that are taken from each image."""
FIRM, DOUBTFUL_WEIGHT = 0.7, 0.7
HELD_OUT = ("accra_south", "banepa_north", "dubai_2", "dubai_3", "dubai_5", "virac_1", "vegas_225", "vegas_2636",
            "rio_57", "rio_63", "rio_64")  # fmt: skip
OUTLINES_PER_IMAGE = 25
DRAWN_COMPLETE_PER_IMAGE = 3
"""Of the images drawn by eye, on which nearly all buildings are complete; those that are not are all taken."""
DRAWN_WEIGHT = 0.7
LABELS = Path(__file__).parents[1] / "labels" / "windows"
MIN_AREA_M2 = 8.0
MARGIN_M = 25.0
"""Between training and held-out buildings of one scene: more than a crop reaches."""


@dataclass(frozen=True)
class Drawn(DrawnScenes):
    """Drawn scenes and what they weigh."""

    share: float
    """What drawn buildings add to the weight of the real ones of their stage. So stages stay as frequent as in real pictures."""
    views: int


@dataclass(frozen=True)
class Recipe:
    """How the head is fitted; configs/stages/deep.yaml explains the keys."""

    encoder: str
    gsds_m: tuple[float, ...]
    crop_px: int
    seed: int
    views: int
    components: int
    strengths: tuple[float, ...]
    balances: tuple[float, ...]
    sure_from: float
    """Predict runs the second model only on the few buildings that the stage heads give a lower probability of being complete; running
    it on all would cost more than the rest of predict. Held-out macro-F1 was 0.60 at 0.8, 0.62 to 0.64 from 0.9 to 1."""
    drawn: Drawn


def labelled(data: Path) -> pd.DataFrame:
    """Buildings with a stage: ``image``, ``polygon`` in its pixels, ``source`` (annotators, mark, doubtful, drawn, outline), ``weight``."""
    table = pd.read_csv(data / "stages/buildings.csv")
    table = table[table["stage"].notna()]
    rows = [
        {"image": r["image"], "stage": r["stage"], "polygon": shapely.make_valid(shapely.from_wkt(r["polygon_px"])),
         "source": "annotators", "weight": 1.0}
        for r in table.to_dict("records")
    ]  # fmt: skip
    for line in (data / "stages/marks.jsonl").read_text().splitlines():
        mark = json.loads(line)
        if mark.get("duplicate_of") or mark["stage"] not in STAGES or "group" in mark["note"]:
            continue
        polygon = shapely.make_valid(shapely.Polygon(mark["polygon"]))
        if any(r["image"] == mark["image"] and _same(polygon, r["polygon"]) for r in rows):
            continue
        firm = mark["confidence"] >= FIRM
        rows.append(
            {"image": mark["image"], "stage": mark["stage"], "polygon": polygon, "source": "mark" if firm else "doubtful",
             "weight": 1.0 if firm else DOUBTFUL_WEIGHT * mark["confidence"]}
        )  # fmt: skip
    by_image: dict[str, list[Any]] = {}
    for row in rows:
        by_image.setdefault(row["image"], []).append(row["polygon"])
    drawn = [r for r in _drawn(data) if not any(_same(r["polygon"], known) for known in by_image.get(r["image"], []))]
    return pd.DataFrame([*rows, *drawn, *_outlines(data)])


def _same(a: Any, b: Any) -> bool:
    return shapely.intersection(a, b).area > 0.4 * min(a.area, b.area)


def _drawn(data: Path) -> Iterator[dict[str, Any]]:
    """Buildings drawn by eye in training images: all unfinished ones, and some complete ones of each image."""
    rng = np.random.default_rng(CHOICE_SEED)
    for drawing in drawings_of(data, LABELS):
        if drawing.split != "train":
            continue
        polygons, stages = np.array(drawing.polygons, object), np.array(drawing.stages, object)
        complete = np.flatnonzero(stages == "complete")
        few = complete[rng.permutation(len(complete))[:DRAWN_COMPLETE_PER_IMAGE]]
        for i in (*np.flatnonzero(np.isin(stages, STAGES[:2])), *few):
            yield {"image": drawing.image, "stage": stages[i], "polygon": shapely.make_valid(polygons[i]), "source": "drawn",
                   "weight": DRAWN_WEIGHT, "gsd_m": drawing.gsd_m}  # fmt: skip


def _outlines(data: Path) -> Iterator[dict[str, Any]]:
    """Some outlines of the satellite images in the training places, whose buildings are complete nearly all."""
    rng = np.random.default_rng(CHOICE_SEED)
    for item in pd.read_csv(data / "index.csv").to_dict("records"):
        if not item["image"].startswith(("vegas/", "rio/")) or Path(item["image"]).stem in HELD_OUT:
            continue
        scene = open_scene(data / item["image"])
        table = vector(data / item["label"])()
        if not len(table):
            continue
        polygons = shapely.transform(
            shapely.force_2d(table.to_crs(scene.crs).geometry.to_numpy()),
            lambda xy, t=~scene.transform: np.column_stack(t * xy.T),
        )
        for polygon in polygons[rng.permutation(len(polygons))[:OUTLINES_PER_IMAGE]]:
            yield {"image": item["image"], "stage": "complete", "polygon": polygon, "source": "outline", "weight": 1.0}


def place_of(image: str) -> str:
    """Which images belong together: tiles 7 and 8 of Dubai overlap."""
    stem = Path(image).stem
    if image.startswith("dubai/"):
        return "dubai_7_8" if stem[4] in "78" else f"dubai_{stem[4]}"
    if image.startswith("accra/"):
        return f"accra_{stem.removesuffix('_rgb')}"
    if stem.startswith("naip_") or image.startswith("naip_"):
        return "naip_" + stem.removeprefix("naip_").rsplit("_", 1)[0]
    if image.startswith("pool/"):
        return stem.split("_")[0]
    if image.startswith(("bern/", "boruszyn/", "wellington/", "bellingham/", "south_tyrol/")):
        return image.split("/")[0]
    return image.split("/")[0] if image.startswith(("rio/", "vegas/")) else stem


def crops_of(data: Path, table: pd.DataFrame, recipe: Recipe) -> tuple[pd.DataFrame, list[NDArray[np.uint8]]]:
    """The buildings large enough, with their ``place``, and crops of each (places, scales, S, S, 4) uint8."""
    gsd_m = pd.read_csv(data / "index.csv").set_index("image")["gsd_m"]
    area = gpd.read_file(data / "banepa_scene/labelled_area.geojson").to_crs(3857).total_bounds
    cut = area[3] - (area[3] - area[1]) / 3
    kept, crops = [], []
    for image, rows in table.groupby("image", sort=True):
        drawn = rows.dropna(subset="gsd_m")
        size_m = float(drawn["gsd_m"].iloc[0]) if len(drawn) else float(gsd_m[image])
        bands = (3, 2, 1) if str(image).startswith(SWAPPED) else None
        scene = open_scene(data / image, gsd_m=None if str(image).endswith(".tif") else size_m, bands=bands)
        grid = scene.work_grid(scene.gsd_m)
        with crop_reader(scene, grid, recipe.gsds_m, recipe.crop_px) as reader:
            for index, row in rows.iterrows():
                parts = shapely.get_parts(shapely.get_parts(row["polygon"]))  # a mended outline may hold several, and lines
                polygon = parts[shapely.area(parts).argmax()]
                if polygon.geom_type != "Polygon":
                    continue
                ground = shapely.transform(polygon, lambda xy, t=scene.transform: np.column_stack(t * xy.T))
                if measure([ground], scene.crs)["area_m2"][0] < MIN_AREA_M2:
                    continue
                place = place_of(str(image))
                if place == "banepa":
                    north = ground.representative_point().y
                    if cut - MARGIN_M < north <= cut:
                        continue
                    place = "banepa_north" if north > cut else "banepa_south"
                kept.append(row.to_dict() | {"index": index, "place": place})
                # Real buildings teach by their middle alone: with the mean along long ones, macro-F1 with places left out in turn
                # falls from 0.64 to 0.54. They are measured as predict sees them.
                crops.append(as_bytes(reader.read(polygon, along=place in HELD_OUT)))
        print(f"{image}: {len(rows)} buildings", file=sys.stderr)
    return pd.DataFrame(kept).drop(columns="polygon"), crops


@dataclass(frozen=True)
class Shown:
    """Drawn buildings: what the encoder sees of each view, one row per view, and the stages."""

    features: NDArray[np.float32]
    """(n, F)."""
    truth: NDArray[np.int64]
    """(n,) stages 0–2."""
    share: float
    """What they add to the weight of the real buildings of their stage."""

    def weights(self, real: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n,) given the weight (3,) of the real buildings of each stage."""
        return (self.share * real / np.maximum(np.bincount(self.truth, minlength=len(STAGES)), 1))[self.truth]


class Answers:
    """Out-of-place answers on the training places, one place left out at a time; drawn buildings are always learnt from."""

    def __init__(self, table: pd.DataFrame, features: NDArray[np.float32], shown: Shown, components: int) -> None:
        """Take the training buildings, their features (n, views, F), and drawn ones."""
        self.table, self.features, self.shown = table, features, shown
        flat = features.reshape(-1, features.shape[2])
        self.components = Components.from_features(np.concatenate([flat, shown.features]), components)
        self.truth = stage_numbers(table)
        self.weight = table["weight"].to_numpy(float)
        # What is sure and not taken for granted says how good a choice is.
        self.counts = table["source"].isin(["annotators", "mark"]).to_numpy()

    def fit(self, chosen: NDArray[np.bool_], strength: float, balance: float) -> Linear:
        """The layer of some of the real buildings, all views, and of all drawn ones."""
        views = self.features.shape[1]
        truth, weight = (np.repeat(a[chosen], views) for a in (self.truth, self.weight))
        return Linear(self.components, strength, balance).fit(
            np.concatenate([self.features[chosen].reshape(-1, self.features.shape[2]), self.shown.features]),
            np.concatenate([truth, self.shown.truth]),
            np.concatenate([weight, self.shown.weights(np.bincount(truth, weight, len(STAGES)).astype(float))]),
        )

    def out_of_place(self, strength: float, balance: float) -> NDArray[np.float64]:
        """(n, 3): each building by a layer that saw no label of its place."""
        p = np.zeros((len(self.table), 3))
        places = self.table["place"].to_numpy(object)
        for place in np.unique(places[self.counts]):
            here = places == place
            p[here] = self.fit(~here, strength, balance).probabilities(self.features[here, 0])
        return p[self.counts]


def describe(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Buildings by place, source and stage."""
    counts = table.groupby(["place", "source", "stage"]).size().unstack(fill_value=0).reindex(columns=list(STAGES), fill_value=0)
    return [{"place": place, "source": source, **row.to_dict()} for (place, source), row in counts.iterrows()]


def by_place(table: pd.DataFrame, p: NDArray[np.float64], truth: NDArray[np.int64]) -> dict[str, Any]:
    """``measured`` of each place."""
    places = table["place"].to_numpy(object)
    return {place: measured(p[places == place], truth[places == place]) for place in np.unique(places)}


def rounded(value: Any) -> Any:
    """Four digits for a card."""
    if isinstance(value, dict):
        return {k: rounded(v) for k, v in value.items()}
    if isinstance(value, list):
        return [rounded(v) for v in value]
    return round(value, 4) if isinstance(value, float) else value


def _views(
    network: StageNetwork, crops: Sequence[NDArray[np.uint8]], views: range, recipe: Recipe, store: Path | None
) -> NDArray[np.float32]:
    """(n, views, F) of the views in a range: 0 as the crops are, others varied; kept in files whose names begin with ``store``.

    Of several places along a building, the mean.
    """
    found = []
    for view in views:
        file = None if store is None else store.with_name(f"{store.name}_{view}.npy")
        if file is not None and file.is_file():
            found.append(np.load(file))
            continue
        rng = np.random.default_rng(recipe.seed + view)
        shown = np.concatenate(crops)
        features = features_of(network, np.stack([varied(c, recipe.gsds_m, rng) for c in shown]) if view else shown)
        found.append(by_building(features, [*map(len, crops)]))
        if file is not None:
            np.save(file, found[-1])
    return np.stack(found, axis=1)


def _standard_error(score: dict[str, Any]) -> float:
    low, high = score["macro_f1_90"]
    return (high - low) / (2 * 1.645)


@dataclass(frozen=True)
class HeldOut:
    """The buildings that measure: crops (places, scales, S, S, 4) of each, answers of the head, and the truth."""

    crops: Sequence[NDArray[np.uint8]]
    p: NDArray[np.float64]
    truth: NDArray[np.int64]


def fit(data: Path, recipe: Recipe, work: Path | None) -> tuple[onnx.ModelProto, dict[str, Any], HeldOut]:
    """The network, its part of the card, and the buildings that measured it."""
    table, crops = _kept(work, "stage_crops", lambda: crops_of(data, labelled(data), recipe))
    held_out = table["place"].isin(HELD_OUT).to_numpy()
    network = StageNetwork(recipe.encoder, len(recipe.gsds_m))
    store = None if work is None else work / "stage_features"
    seen = _views(network, crops, range(1), recipe, store)
    others = _views(
        network, [c for c, out in zip(crops, held_out, strict=True) if not out], range(1, recipe.views), recipe, store
    )
    drawn, shown = show(network, recipe, work)
    train = Answers(table[~held_out], np.concatenate([seen[~held_out], others], axis=1), shown, recipe.components)
    choice = choose(train, recipe)
    layer = train.fit(np.ones(len(train.table), bool), choice.strength, choice.balance)
    _set_layer(network, layer, choice.temperature)
    firm = held_out & table["source"].isin(["annotators", "mark"]).to_numpy()
    p = temper(layer.probabilities(seen[firm, 0]), choice.temperature)
    measures = HeldOut([crops[i] for i in np.flatnonzero(firm)], p, stage_numbers(table[firm]))
    card = card_of(train, drawn, choice, recipe, table[firm], measures)
    return stage_onnx(network, len(recipe.gsds_m), recipe.crop_px), rounded(card), measures


def show(network: StageNetwork, recipe: Recipe, work: Path | None) -> tuple[pd.DataFrame, Shown]:
    """Drawn buildings: their table, and what the encoder sees of them."""
    drawn = recipe.drawn
    table, crops = _kept(work, "drawn_crops", lambda: drawn_crops(drawn, recipe.gsds_m, recipe.crop_px))
    features = _views(network, crops, range(drawn.views), recipe, None if work is None else work / "drawn_features")
    truth = np.repeat(stage_numbers(table), drawn.views)
    return table, Shown(features.reshape(-1, features.shape[2]), truth, drawn.share)


def _kept(
    work: Path | None, name: str, make: Callable[[], tuple[pd.DataFrame, list[NDArray[np.uint8]]]]
) -> tuple[pd.DataFrame, list[NDArray[np.uint8]]]:
    """A table and the crops of its buildings, kept in the folder ``work`` for another run."""
    store = None if work is None else work / f"{name}.npz"
    if store is not None and store.is_file():
        kept = np.load(store)
        return pd.read_parquet(store.with_suffix(".parquet")), np.split(kept["crops"], np.cumsum(kept["places"])[:-1])
    table, crops = make()
    if store is not None:
        store.parent.mkdir(parents=True, exist_ok=True)
        np.savez(store, crops=np.concatenate(crops), places=[*map(len, crops)])
        table.to_parquet(store.with_suffix(".parquet"))
    return table, crops


@dataclass(frozen=True)
class Choice:
    """What the training places chose, each answered by a layer that saw none of its labels."""

    strength: float
    balance: float
    temperature: float
    p: NDArray[np.float64]
    """(n, 3): those answers, before the temperature."""
    truth: NDArray[np.int64]
    """(n,) stages 0–2."""


def choose(train: Answers, recipe: Recipe) -> Choice:
    """Try every penalty and balance, one place left out at a time.

    The least changed of those within one standard error of the best (Hastie et al. 2009, 7.10): rare stages weighed up least, then the
    strongest penalty.
    """
    truth = train.truth[train.counts]
    tried = {}
    for strength, balance in itertools.product(recipe.strengths, recipe.balances):
        p = train.out_of_place(strength, balance)
        tried[strength, balance] = measured(p, truth), p
        print(f"C {strength:g}, balance {balance:g}: macro-F1 {tried[strength, balance][0]['macro_f1']:.3f}", file=sys.stderr)
    best = max(score["macro_f1"] - _standard_error(score) for score, _ in tried.values())
    balance, strength = min((b, s) for (s, b), (score, _) in tried.items() if score["macro_f1"] >= best)
    p = tried[strength, balance][1]
    return Choice(strength, balance, best_temperature(p, truth), p, truth)


def _set_layer(network: StageNetwork, layer: Linear, temperature: float) -> None:
    """Put the linear layer and its temperature into the network."""
    with torch.no_grad():
        network.mean.copy_(torch.from_numpy(layer.components.mean))
        network.sd.copy_(torch.from_numpy(layer.components.sd))
        network.linear.weight.copy_(torch.from_numpy(layer.matrix / temperature))
        network.linear.bias.copy_(torch.from_numpy(layer.bias / temperature))


def stage_numbers(table: pd.DataFrame) -> NDArray[np.int64]:
    """(n,) stages 0–2 of a table of buildings."""
    return table["stage"].map({s: i for i, s in enumerate(STAGES)}).to_numpy(np.int64)


def card_of(
    train: Answers, drawn: pd.DataFrame, choice: Choice, recipe: Recipe, test: pd.DataFrame, held_out: HeldOut
) -> dict[str, Any]:
    """``stage_head`` of a card: how to cut crops, what trained the head, and its scores on the held-out buildings ``test``."""
    agreed = (test["source"] == "annotators").to_numpy()
    return {
        "gsds_m": list(recipe.gsds_m),
        "crop_px": recipe.crop_px,
        "stages": list(STAGES),
        "bands": ["red", "green", "blue", "footprint"],
        "encoder": f"{recipe.encoder}, ImageNet, not trained further",
        "licence": LICENCE,
        "calibration": {
            "temperature": choice.temperature,
            "fitted_on": "out-of-place answers of the training places; part of the file",
        },
        "data": {
            "trained_on": describe(train.table),
            "drawn": {
                "scenes": drawn["place"].nunique(),
                **{stage: int(count) for stage, count in drawn["stage"].value_counts().reindex(STAGES, fill_value=0).items()},
            },
            "measured_on": describe(test),
        },
        "recipe": {
            "script": "scripts/fit_stage_head.py", **asdict(recipe), "strength": choice.strength, "balance": choice.balance,
            "versions": {name: version(name) for name in ("scikit-learn", "torch", "onnxruntime", "opencv-python-headless")},
        },
        "metrics": {
            "measured": "real crops of places that trained neither network, reference outlines",
            "held_out": measured(held_out.p, held_out.truth),
            "held_out_two_annotators_agree": measured(held_out.p[agreed], held_out.truth[agreed]),
            "places": by_place(test, held_out.p, held_out.truth),
            "training_places_left_out_in_turn": measured(temper(choice.p, choice.temperature), choice.truth),
            "annotators": {"agreement_on_three_stages": 0.99, "cohen_kappa": 0.91},
        },
        "limits": LIMITS,
    }  # fmt: skip


def first_look(weights: Weights, crops: Sequence[NDArray[np.uint8]]) -> NDArray[np.float64]:
    """(n, 3): what the network's own stage heads say of crops at its pixels, pooled over the footprint as predict does.

    Bright roofs are darker here than predict shows them to the network.
    """
    mean, sd = (np.asarray(weights.card["normalisation"][k], np.float32)[:, None, None] for k in ("mean", "std"))
    backend = onnxruntime.InferenceSession(weights.onnx, providers=["CPUExecutionProvider"])
    stages = []
    for crop in np.concatenate(crops)[:, 0]:
        values = (crop[..., :3].astype(np.float32).transpose(2, 0, 1) / 255 - mean) / sd
        heads = backend.run(None, {"image": values[None]})[0][0]
        footprint = crop[..., 3] > 0
        labels = footprint[footprint].astype(np.int32)
        class_weights = tuple(weights.card["calibration"]["stage_class_weights"])
        stages.append(
            pool(
                (heads[STAGE_HEADS][:, footprint] * TOP).astype(np.uint8), labels, 1, weights.temperature("stage"), class_weights
            )[0]
        )
    return by_building(np.stack(stages), [*map(len, crops)])


def both_looks(weights: Weights, held_out: HeldOut, sure_from: float) -> dict[str, Any]:
    """``measured`` as predict answers: with this head where the network's own stage heads are not sure of a finished roof."""
    first = first_look(weights, held_out.crops)
    again = first[:, STAGES.index("complete")] < sure_from
    scores = measured(np.where(again[:, None], combine(first, held_out.p), first), held_out.truth)
    return scores | {"looked_again": {s: int((again & (held_out.truth == i)).sum()) for i, s in enumerate(STAGES)}}


LICENCE = (
    "CC-BY-SA-4.0 (imagery and outlines of SpaceNet, which are CC BY-SA, are among the training data); "
    "encoder: EfficientNet-Lite2, Apache-2.0"
)
LIMITS = "Foundations: few were learnt and measured, of four cities. Where a whole place looks unlike these, expect worse."


def recipe_of(path: Path) -> Recipe:
    """The recipe in a YAML file.

    Raises:
        SchemaError: a key is missing or unknown, or its value is not what it must be.
    """
    recipe: Recipe = read(Recipe, yaml.safe_load(path.read_text(encoding="utf-8")), strict=True)
    return recipe


def main() -> int:
    """Fit as the command line says; the exit code."""
    parser = argparse.ArgumentParser(description="Fit the stage head of shipped weights.")
    parser.add_argument(
        "names",
        nargs="+",
        help="of shipped weights whose cards get it; the first one gives the file its name and is measured with it",
    )
    parser.add_argument("--data", type=Path, required=True, help="sample folder with index.csv and stages/")
    parser.add_argument("--recipe", type=Path, default=resource_path("configs") / "stages" / "deep.yaml")
    parser.add_argument("--work", type=Path, help="folder that keeps the crops for another run of the same recipe")
    options = parser.parse_args()
    recipe = recipe_of(options.recipe)
    model, head, held_out = fit(options.data, recipe, options.work)
    target = resource_path("weights") / f"{options.names[0]}.stage.onnx"
    # Before the file changes, which the card names. The graphs of 8-bit weights do not take so small a crop.
    both = {"weights": options.names[0], **both_looks(load_weights(options.names[0]), held_out, recipe.sure_from)}
    onnx.save(model, target)
    for name in options.names:
        path = target.with_name(f"{name}.json")
        card = json.loads(path.read_text(encoding="utf-8"))
        card["files"]["stage"] = {"name": target.name, "sha256": sha256_of(target)}
        metrics = head["metrics"] | {"held_out_both_looks": rounded(both)}
        card["stage_head"] = head | {"sure_from": recipe.sure_from, "metrics": metrics}
        path.write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(metrics, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
