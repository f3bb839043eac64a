"""Accuracy of weights on places that no training saw, through the whole of predict: footprints as a user gets them.

    python benchmarks/accuracy.py --data path/to/samples [--weights NAME] [--gsd 0.3 0.35 0.4] [--quick]

Prints one row per place and per data set (its places pooled), the mean over data sets, and writes benchmarks/results/accuracy.json.
``--gsd`` has the same weights read every scene at other ground sampling distances.
Rows: of the real camp (``rows/rows.json``, nairobi_0) the share of core blocks that come out as one building each, IoU ≥ 0.5 with their
rectangle; the same for simulated rows whose gaps are 3 m, which are drawn and said to be, and for blocks, warehouses and villas of the
windows of Dubai that were drawn anew (``redrawn/``). Coarse masks measure nothing; of Rio, whose outlines lie 1-3 px off, windows drawn
anew are scored (``labels/windows``).
"""

from __future__ import annotations

import argparse
import copy
import json
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import geopandas as gpd
import numpy as np
import pandas as pd
import rasterio
import shapely
from affine import Affine
from rasterio.features import shapes

from detect.base.geometry import measure, moved
from detect.base.matching import covered_by, match, overlaps
from detect.base.stages import STAGES
from detect.base.vectors import geometries_of, polygons_only, read_vector
from detect.census.rates import COUNT_IOU, DORMITORY, count_rates
from detect.datasets.samples import drawings_of, drawn_image
from detect.evaluation.footprints import evaluate
from detect.network.weights import load_weights
from detect.results.observed import observed_ground
from detect.results.result import Result
from detect.runs.options import PredictOptions
from detect.runs.predict import predict_scenes
from detect.simulate import simulate_compounds

RESULTS = Path(__file__).parent / "results" / "accuracy.json"
LABELS = Path(__file__).parents[1] / "labels" / "windows"
SIMULATED_SEEDS = range(100, 110)
GAP_M = 3.0
FIRM = 0.7
"""Confidence of a mark from which on it counts."""


@dataclass
class Sums:
    """Of the images of one place."""

    shared: float = 0.0
    either: float = 0.0
    matched: int = 0
    predicted: int = 0
    reference: int = 0
    images: list[str] = field(default_factory=list)

    def pool(self, other: Sums) -> None:
        """Add another place's."""
        self.shared, self.either = self.shared + other.shared, self.either + other.either
        self.matched, self.predicted = self.matched + other.matched, self.predicted + other.predicted
        self.reference, self.images = self.reference + other.reference, self.images + other.images

    def add(self, name: str, metrics: dict[str, Any]) -> None:
        iou = metrics["footprint_iou"] or 0.0
        total = metrics["area_predicted_m2"] + metrics["area_reference_m2"]
        self.shared += iou * total / (1 + iou)
        self.either += total / (1 + iou)
        self.matched += metrics["matched"]
        self.predicted += metrics["predicted"]
        self.reference += metrics["reference"]
        self.images.append(name)

    def scores(self) -> dict[str, Any]:
        both = self.predicted + self.reference
        return {
            "iou": self.shared / self.either if self.either else None,
            "f1": 2 * self.matched / both if both else None,
            "predicted": self.predicted,
            "reference": self.reference,
            "matched": self.matched,
            "images": self.images,
        }


DUBAI = "Dubai 2, 3, 5: blocks, warehouses, villas"
BLOCKS = {"villa", "apartment", "dormitory_row", "warehouse"}
"""What a hand-drawn outline is of, where it is to come out as one building."""
SMALLEST_DRAWN_PX = 36
"""Smaller sheds overlap little for a small shift: hand-drawn ones are not scored, nor what is found on them."""


@dataclass(frozen=True)
class HeldOut:
    """One validation image."""

    place: str
    """``data set/place``."""
    image: Path
    gsd_m: float | None
    reference: Any
    area: Any
    bands: tuple[int, int, int] | None = None
    blocks: gpd.GeoDataFrame | None = None
    """Those of ``BLOCKS``, where kinds are known."""


def held_out(data: Path, scratch: Path) -> Iterator[HeldOut]:
    """Every validation image."""
    for folder, names, data_set in (
        ("vegas", ("vegas_225", "vegas_2636"), "spacenet2_vegas"),
        ("oam_chips", ("virac_1",), "fair_oam"),
    ):
        for name in names:
            yield HeldOut(f"{data_set}/{name}", data / f"{folder}/{name}.tif", None, _reference(data, f"{folder}/{name}"), None)
    area = gpd.read_file(data / "banepa_scene/labelled_area.geojson").to_crs(3857)
    west, south, east, north = area.total_bounds
    third = gpd.GeoDataFrame(geometry=area.intersection(shapely.box(west, north - (north - south) / 3, east, north)), crs=3857)
    yield HeldOut("oam_banepa/banepa", _banepa_north(data, third, scratch), None, data / "banepa_scene/buildings.geojson", third)
    accra = data / "accra/south_rgb.jpg"
    yield HeldOut("open_cities_accra/accra_south", accra, 0.2, *_from_mask(data / "accra/south_mask.png", 0.2))
    yield from _drawn_anew(data)


def _drawn_anew(data: Path) -> Iterator[HeldOut]:
    """The validation images of which windows were drawn by hand."""
    for drawing in drawings_of(data, LABELS):
        if drawing.split != "val":
            continue
        image = drawn_image(drawing, drawing.place)
        if image.gsd_m is None:
            with rasterio.open(image.path) as opened:
                crs, to_ground = opened.crs, opened.transform
        else:
            crs, to_ground = None, Affine.scale(image.gsd_m, -image.gsd_m)
        outlines = gpd.GeoDataFrame({"kind": drawing.kinds}, geometry=shapely.make_valid(np.array(drawing.polygons, object)))
        tiny = (outlines["kind"] == "shed") & (outlines.area <= SMALLEST_DRAWN_PX)
        windows = shapely.union_all(drawing.windows).difference(shapely.union_all(outlines.geometry[tiny].buffer(1).to_numpy()))
        outlines["inside"] = outlines.representative_point().within(windows)
        ground = gpd.GeoDataFrame(geometry=[windows], crs=None)
        reference, area = (
            t.set_geometry(t.geometry.affine_transform(to_ground.to_shapely())).set_crs(crs, allow_override=True)
            for t in (outlines[~tiny], ground)
        )
        blocks = reference[reference["kind"].isin(BLOCKS) & reference["inside"]] if image.data_set == "hitl_dubai" else None
        yield HeldOut(f"{image.data_set}/{drawing.place}", image.path, image.gsd_m, reference, area, image.bands, blocks)


def _reference(data: Path, stem: str) -> Path:
    return next(p for p in (data / f"{stem}.geojson", data / f"{stem}_buildings.geojson") if p.exists())


def _banepa_north(data: Path, area: gpd.GeoDataFrame, scratch: Path) -> Path:
    """The part of the scene around the validation area; margins keep whole buildings whole."""
    path = scratch / "banepa_north.tif"
    west, south, east, north = area.total_bounds
    with rasterio.open(data / "banepa_scene/banepa.tif") as source:
        window = source.window(west - 30, south - 30, east + 30, north + 30).round_lengths().round_offsets()
        window = window.intersection(rasterio.windows.Window(0, 0, source.width, source.height))
        profile = {"driver": "GTiff", "height": int(window.height), "width": int(window.width), "count": 3, "dtype": "uint8",
                   "crs": source.crs, "transform": source.window_transform(window), "compress": "lzw", "tiled": True}  # fmt: skip
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "w", **profile) as target:
            target.write(source.read([1, 2, 3], window=window))
            target.write_mask(source.dataset_mask(window=window))
    return path


def _from_mask(path: Path, gsd: float) -> tuple[gpd.GeoDataFrame, gpd.GeoDataFrame]:
    """Reference polygons and the known area of a mask: 1 building, 0 not, 255 unknown."""
    mask = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    transform = Affine.scale(gsd, -gsd)
    built = [shapely.geometry.shape(g) for g, v in shapes(mask, connectivity=4, transform=transform) if v == 1]
    known = [shapely.geometry.shape(g) for g, v in shapes(np.asarray(mask != 255, np.uint8), transform=transform) if v == 1]
    return gpd.GeoDataFrame(geometry=built), gpd.GeoDataFrame(geometry=[shapely.union_all(known)])


def staged(data: Path, image: Path, gsd: float | None, *, marks: bool = False) -> gpd.GeoDataFrame:
    """Buildings of an image whose construction stage two annotators agree on, and with ``marks`` the firm ones that one sought out."""
    source = data / "banepa_scene/banepa.tif" if image.stem == "banepa_north" else image
    name = source.relative_to(data).as_posix() if data in source.parents else ""
    table = pd.read_csv(data / "stages/buildings.csv")
    table = table[(table["image"] == name) & table["stage"].notna()]
    stages = table["stage"].tolist()
    pixels = list(shapely.make_valid(shapely.from_wkt(table["polygon_px"].to_numpy(object))))
    for line in (data / "stages/marks.jsonl").read_text().splitlines() if marks else ():
        mark = json.loads(line)
        if mark["image"] != name or mark["stage"] not in STAGES or mark["confidence"] < FIRM or "group" in mark["note"]:
            continue
        polygon = shapely.make_valid(shapely.Polygon(mark["polygon"]))
        if not any(polygon.intersection(p).area > 0.4 * min(polygon.area, p.area) for p in pixels):
            stages, pixels = [*stages, mark["stage"]], [*pixels, polygon]
    with rasterio.open(source) as opened:
        transform, crs = (opened.transform, opened.crs) if gsd is None else (Affine.scale(gsd, -gsd), None)
    polygons = moved(np.array([*pixels, None], object)[:-1], transform)
    return gpd.GeoDataFrame({"stage": np.array(stages, object)}, geometry=list(polygons), crs=crs)


def second_look(folder: Path, known: gpd.GeoDataFrame, area: Any) -> dict[str, dict[str, int]]:
    """By true stage: ``reference`` buildings, how many were ``found`` at all (``COUNT_IOU``), and the stages these were given."""
    found = read_vector(folder / "buildings.gpkg")
    known = polygons_only(known if found.crs is None else known.to_crs(found.crs))
    if isinstance(area, gpd.GeoDataFrame) and found.crs is not None:
        within = shapely.union_all(geometries_of(area.to_crs(found.crs)))
        known = known[within.contains(known.representative_point())]
    ours, theirs, _ = match(overlaps(geometries_of(found), geometries_of(known)), COUNT_IOU)
    true, given = known["stage"].to_numpy(object), found["stage"].to_numpy(object)[ours]
    return {
        s: {"reference": int((true == s).sum()), "found": int((true[theirs] == s).sum())}
        | {g: int(((true[theirs] == s) & (given == g)).sum()) for g in STAGES}
        for s in STAGES
    }


def single_blocks(buildings: gpd.GeoDataFrame, blocks: list[Any]) -> int:
    """How many blocks have a building of their own, IoU ≥ 0.5."""
    return len(match(overlaps(list(buildings.geometry), blocks))[0])


def predict_one(scene: Path, out: Path, **options: Any) -> Result:
    """What predict found."""
    return predict_scenes([scene], out, PredictOptions.from_keywords(**options)).all_done()[0]


def rates_of(place: str, folder: Path, reference: Any, area: Any, known_stages: gpd.GeoDataFrame) -> dict[str, Any]:
    """By size and stage: what was found and missed in one image; see ``detect.census.rates``."""
    found, truth = (read_vector(t) if isinstance(t, Path) else t for t in (folder / "buildings.gpkg", reference))
    truth = polygons_only(truth)
    if found.crs is not None:
        truth = truth.to_crs(found.crs)
    for ground in (area, observed_ground(folder)):
        if ground is None:
            continue
        within = shapely.union_all(geometries_of(ground if found.crs is None else ground.to_crs(found.crs)))
        found, truth = (t[within.contains(t.representative_point())].reset_index(drop=True) for t in (found, truth))
    truth = truth.assign(area_m2=measure(list(geometries_of(truth)), truth.crs)["area_m2"], stage=None)
    if len(known_stages):
        known_stages = known_stages if found.crs is None else known_stages.to_crs(found.crs)
        ours, theirs, _ = match(overlaps(geometries_of(truth), geometries_of(known_stages)), 0.5)
        truth.loc[truth.index[ours], "stage"] = known_stages["stage"].to_numpy(object)[theirs]
    return count_rates(place, found, truth)


def row_rates(place: str, camp: Result, blocks: list[Any], doubtful: list[Any]) -> dict[str, Any]:
    """The same for marked rows of long blocks, which alone are marked: whatever lies elsewhere or on a doubtful one says nothing."""
    found = camp.buildings[~covered_by(list(camp.buildings.geometry), doubtful)].reset_index(drop=True)
    truth = gpd.GeoDataFrame({"dormitory": True}, geometry=blocks, crs=found.crs, index=range(len(blocks)))
    record = count_rates(place, found, truth.assign(area_m2=measure(blocks, found.crs)["area_m2"]))
    return {"place": place, "by_size": {DORMITORY: record["by_size"][DORMITORY]}}


def run(data: Path, weights: Path, *, quick: bool) -> dict[str, Any]:
    """All scores of one weights folder."""
    places: dict[str, Sums] = {}
    rates: dict[str, list[dict[str, Any]]] = {}
    confusion = {true: dict.fromkeys(STAGES, 0) for true in STAGES}
    sought: dict[str, Any] = {true: dict.fromkeys(("reference", "found", *STAGES), 0) for true in STAGES}
    with tempfile.TemporaryDirectory() as temporary:
        scratch = Path(temporary)
        single = {DUBAI: [0, 0]}
        for held in held_out(data, scratch):
            place, image, gsd, reference, area = held.place, held.image, held.gsd_m, held.reference, held.area
            if quick and places.get(place) and len(places[place].images) >= 3:
                continue
            out = scratch / "out" / place.replace("/", "_")
            result = predict_one(image, out, weights=weights, gsd_m=gsd, bands=held.bands)
            places.setdefault(place, Sums()).add(image.name, evaluate(result.folder, reference, area=area))
            if held.blocks is not None:
                found = single_blocks(result.buildings, list(held.blocks.geometry))
                single[DUBAI] = [single[DUBAI][0] + found, single[DUBAI][1] + len(held.blocks)]
            known = staged(data, image, gsd)
            rates.setdefault(place, []).append(rates_of(place, result.folder, reference, area, known))
            sought = pooled([sought, second_look(result.folder, staged(data, image, gsd, marks=True), area)])
            stages = evaluate(result.folder, known, area=area)["stages"]
            for true, given in stages["confusion"].items() if stages else ():
                for name, count in given.items():
                    confusion[true][name] += count
        marked = [r for r in json.loads((data / "rows/rows.json").read_text()) if "nairobi_0" in r["image"]]
        blocks, doubtful = ([shapely.Polygon(r["corners"]) for r in marked if r["core"] == core] for core in (True, False))
        camp = predict_one(data / marked[0]["image"], scratch / "out", weights=weights)
        separation = single | {"nairobi_0": [single_blocks(camp.buildings, blocks), len(blocks)]}
        rates["rows/nairobi_0"] = [row_rates("rows/nairobi_0", camp, blocks, doubtful)]
        found = drawn = 0
        for seed in SIMULATED_SEEDS if not quick else SIMULATED_SEEDS[:3]:
            (scene,), truth = simulate_compounds(scratch / f"simulated_{seed}", seed=seed, preset="rows", gap_m=GAP_M)
            result = predict_one(scene, scratch / "out" / f"simulated_{seed}", weights=weights)
            table = gpd.read_file(truth, layer="buildings")
            blocks = list(table.geometry[table["dormitory"]])
            found, drawn = found + single_blocks(result.buildings, blocks), drawn + len(blocks)
        separation["simulated rows, 3 m gaps"] = [found, drawn]
    sets: dict[str, Sums] = {}
    for place, sums in places.items():
        sets.setdefault(place.split("/")[0], Sums()).pool(sums)
    by_place, by_set = ({name: sums.scores() for name, sums in found.items()} for found in (places, sets))
    means = {f"mean_{key}": float(np.mean([s[key] for s in by_set.values() if s[key] is not None])) for key in ("iou", "f1")}
    by_kind = {place: pooled(records) for place, records in rates.items()}
    return {
        "places": by_place,
        "sets": by_set,
        **means,
        "separation": separation,
        "stages": confusion,
        "stages_with_marks": sought,
        "rates": by_kind,
    }


def pooled(records: list[dict[str, Any]]) -> dict[str, Any]:
    """The rates of a place's images together."""
    total = copy.deepcopy(records[0])

    def add(into: dict[str, Any], more: dict[str, Any]) -> None:
        for key, value in more.items():
            if isinstance(value, dict):
                add(into.setdefault(key, {}), value)
            elif key != "place":
                into[key] = into.get(key, 0) + value

    for record in records[1:]:
        add(total, record)
    return total


def at_gsd(weights: str | None, gsd_m: float | None, scratch: Path) -> Path:
    """A folder with a copy of the weights whose card asks for another ground sampling distance."""
    chosen = load_weights(weights)
    card = chosen.card | ({} if gsd_m is None else {"gsd_m": gsd_m, "finest_gsd_m": gsd_m})
    for file in (chosen.onnx, chosen.safetensors, chosen.stage_onnx):
        if file is not None:
            shutil.copy(file, scratch)
    (scratch / f"{chosen.name}.json").write_text(json.dumps(card))
    return scratch


def show(scores: dict[str, Any]) -> str:
    means = {key: scores[f"mean_{key}"] for key in ("iou", "f1")}
    lines = [f"{'place':<32}{'IoU':>7}{'F1@0.5':>8}{'found':>8}{'true':>8}"]
    for place, s in [*scores["places"].items(), *scores["sets"].items(), ("mean over data sets", means)]:
        iou, f1 = (f"{s[k]:.3f}" if s[k] is not None else "–" for k in ("iou", "f1"))
        counts = "".join(f"{s[k]:>8}" if k in s else "" for k in ("predicted", "reference"))
        lines.append(f"{place:<32}{iou:>7}{f1:>8}{counts}")
    lines += [f"single blocks, {name}: {a} of {b} ({a / b:.0%})" for name, (a, b) in scores["separation"].items()]
    lines.append("stages of matched buildings; rows: reference, columns: predicted")
    lines += [f"{'':<14}" + "".join(f"{s:>12}" for s in STAGES)]
    lines += [f"{true:<14}" + "".join(f"{given[s]:>12}" for s in STAGES) for true, given in scores["stages"].items()]
    lines += ["with firm marks, IoU 0.3", f"{'':<14}{'true':>12}{'found':>12}" + "".join(f"{s:>12}" for s in STAGES)]
    lines += [f"{true:<14}" + "".join(f"{n:>12}" for n in row.values()) for true, row in scores["stages_with_marks"].items()]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(__file__).resolve().parents[2] / "shared" / "data")
    parser.add_argument("--weights")
    parser.add_argument("--gsd", type=float, nargs="*")
    parser.add_argument("--quick", action="store_true", help="three images a place")
    options = parser.parse_args()
    if not (options.data / "index.csv").is_file():
        print(f"accuracy: skipped, {options.data} holds no sample imagery (give --data)")
        return 0
    warnings.filterwarnings("ignore", ".*Geometry is in a geographic CRS.*")
    results = {}
    for gsd_m in options.gsd or [None]:
        with tempfile.TemporaryDirectory() as temporary:
            folder = at_gsd(options.weights, gsd_m, Path(temporary))
            label = f"{load_weights(folder).name} at {load_weights(folder).gsd_m:g} m"
            results[label] = run(options.data, folder, quick=options.quick) | {
                "sha256": load_weights(folder).sha256,
                "stage_sha256": load_weights(folder).stage_sha256,
            }
        print(f"\n{label}\n{show(results[label])}", flush=True)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
