"""What `detect adapt` gains on the rest of a place, on places that no training saw.

    python benchmarks/adapt.py --data path/to/samples [--weights NAME] [--buildings 20 60] [--draws 10] [--wrong 0.1]
        [--only virac rio] [--way last-layer] [--out draws.jsonl]
    python benchmarks/adapt.py [--out draws.jsonl]

Windows 50 m wide around buildings of a data set's held-out images are drawn until they hold k buildings; the labels inside play the
reviewer's part. ``detect.adaptation`` learns from them and decides whether to keep it, as the command does. The rest of the labelled ground
is scored before and after; a head that is not kept changes nothing. ``--wrong`` takes this share of the labels inside the windows for
wrong: half of them are left out, the others are moved by half their width.

Each draw is added to benchmarks/results/adapt.jsonl, or the file that ``--out`` names, as soon as it is made, and one that is there
already is not made again: a run that was killed goes on, and ``--draws 3`` after ``--draws 2`` makes one more of each. After a change
of the code, begin another file. At the end, and alone without ``--data``, a row for each set in the file is printed.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import time
from dataclasses import dataclass, replace
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from accuracy import HeldOut, held_out
from numpy.typing import NDArray

from detect.adaptation import windows as views_of
from detect.adaptation.choose import Verdict, changed, choose
from detect.adaptation.ground import Ground
from detect.adaptation.learn import answers
from detect.adaptation.scores import COLUMNS, scores, tally
from detect.adaptation.ways import tuner_for
from detect.adaptation.windows import Views, Window, at, burnt, numbered, read_views
from detect.base.geometry import moved
from detect.base.grid import Margins, Span
from detect.base.vectors import geometries_of, polygons_only, read_vector
from detect.buildings.instances import InstanceParams
from detect.buildings.thresholds import instance_params
from detect.network.last_layer import FeatureReader
from detect.network.weights import Weights, load_weights
from detect.scene.scene import open_scene

RESULTS = Path(__file__).parent / "results" / "adapt.jsonl"
SIDE_M = 50.0
FAR_PX = 100_000
"""Images of one set are put this far apart, so that their cells differ."""


if TYPE_CHECKING:
    from detect.adaptation.tune import Tuner


@dataclass(frozen=True)
class Place:
    """The held-out images of a data set: all labelled ground, read once."""

    name: str
    views: Views
    gsd_m: float
    params: InstanceParams
    features: FeatureReader
    tuner: Tuner | None

    @property
    def buildings(self) -> NDArray[np.float64]:
        """(n, 3) window, and inner point (x, y) in its pixels, of every labelled building."""
        rows = [
            np.column_stack([np.full(len(w.outlines), i), shapely.get_coordinates(shapely.point_on_surface(w.outlines))])
            for i, w in enumerate(self.views.checked)
            if len(w.outlines)
        ]
        return np.concatenate(rows)


def read_place(name: str, images: list[HeldOut], weights: Weights, way: str) -> Place:
    """All labelled ground of some images."""
    features = FeatureReader(weights)
    views_of.ELSEWHERE = -(-16 // len(images))  # as many in all as the command reads of one scene
    checked: list[Window] = []
    elsewhere: list[Window] = []
    gsd_m = 0.0
    for number, held in enumerate(images):
        scene = open_scene(str(held.image), bands=held.bands, gsd_m=held.gsd_m)
        grid = scene.work_grid(weights.read_gsd_m(scene.gsd_m))
        tables = []
        for table in (held.reference, held.area):
            table = read_vector(table) if isinstance(table, Path) else table
            if table is not None:
                table = polygons_only(table if table.crs is None or scene.crs is None else table.to_crs(scene.crs))
                table = moved(geometries_of(table), ~grid.transform)
            tables.append(table)
        whole = shapely.box(0, 0, grid.size_hw[1], grid.size_hw[0])
        known = whole if tables[1] is None else shapely.intersection(shapely.union_all(tables[1]), whole)
        views = read_views(scene, grid, weights.lattice, features, Ground(known, tables[0]), lambda done, total: None)
        # Elsewhere is all the scene here; what a draw checks is taken out of it later.
        for windows, into in ((views.checked, checked), (views.elsewhere, elsewhere)):
            into += [replace(w, span=w.span.shift(number * FAR_PX, 0), known=w.known if windows is views.checked else w.heads[0] < 255)
                     for w in windows]  # fmt: skip
        gsd_m = grid.gsd_m
    params = instance_params(weights, gsd_m, threshold=None, min_area_m2=None)
    return Place(name, Views(checked, elsewhere, 0), gsd_m, params, features, tuner_for(weights, gsd_m, way)[0])


def draw(place: Place, wanted: int, rng: np.random.Generator) -> tuple[list[Span], int]:
    """Windows, as spans, that hold at least ``wanted`` buildings; and how many they hold."""
    buildings, half = place.buildings, round(SIDE_M / 2 / place.gsd_m)
    spans: list[Span] = []
    inside = np.zeros(len(buildings), bool)
    corner = np.array([(w.span.col0, w.span.row0) for w in place.views.checked])
    points = buildings[:, 1:] + corner[buildings[:, 0].astype(int)]
    for i in rng.permutation(len(buildings)):
        x, y = (points[i] + rng.integers(-half // 2, half // 2 + 1, 2)).astype(int)
        span = Span(y - half, x - half, y + half, x + half)
        if any(not span.intersect(other).is_empty for other in spans):
            continue
        spans.append(span)
        inside |= (np.abs(points - (x, y)) < half).all(axis=1)
        if inside.sum() >= wanted:
            break
    return spans, int(inside.sum())


def restricted(window: Window, spans: list[Span], *, inside: bool) -> Window:
    """A window whose known ground is that inside, or outside, of spans."""
    boxes = [shapely.box(s.col0, s.row0, s.col1, s.row1) for s in spans]
    here = burnt(np.array([*boxes, None], object)[:-1], window.span)
    known = window.known & (here if inside else ~here)
    return replace(window, known=known, outlines=window.outlines[at(known, window.outlines)])


def cropped(window: Window) -> Window:
    """A window with no more context around its known ground than one that the command reads."""
    rows, cols = (np.flatnonzero(window.known.any(axis=axis)) for axis in (1, 0))
    part = (
        Span(int(rows[0]), int(cols[0]), int(rows[-1]) + 1, int(cols[-1]) + 1).pad(views_of.CONTEXT_PX).clip(window.known.shape)
    )
    rim = window.features.shape[1] - window.known.shape[0]
    around = (slice(part.row0, part.row1 + rim), slice(part.col0, part.col1 + rim))
    return Window(
        span=part.shift(window.span.row0, window.span.col0),
        heads=window.heads[:, *part.slices()],
        features=window.features[:, *around],
        known=window.known[part.slices()],
        instances=window.instances[part.slices()],
        outlines=shapely.transform(window.outlines, lambda xy: xy - (part.col0, part.row0)),
        values=window.values,
        margins=Margins(window.margins.top + part.row0, window.margins.left + part.col0, 0, 0),
    )


def with_mistakes(window: Window, share: float, rng: np.random.Generator) -> Window:
    """A window in which a share of the buildings is left out or moved."""
    kept = []
    for outline in window.outlines:
        if rng.random() < share:
            if rng.random() < 0.5:
                continue
            width = math.sqrt(outline.area)
            outline = shapely.affinity.translate(outline, *(rng.choice([-0.5, 0.5], 2) * width))
        kept.append(outline)
    outlines = np.array([*kept, None], object)[:-1]
    local = Span(0, 0, *window.known.shape)
    beyond = window.built & ~burnt(window.outlines, local)  # context, and buildings that count in another window
    instances = numbered(outlines, local.size_hw)
    return replace(
        window, outlines=outlines, instances=np.where(beyond & (instances == 0), window.instances + len(kept), instances)
    )


def try_one(place: Place, wanted: int, seed: int, wrong: float, way: str) -> dict[str, Any]:
    """One draw: what was decided, and scores on the rest of the place before and after."""
    rng = np.random.default_rng(seed)
    spans, held = draw(place, wanted, rng)
    inside = (
        restricted(w, [span], inside=True) for span in spans for w in place.views.checked if not w.span.intersect(span).is_empty
    )
    checked = [cropped(w) for w in inside if w.known.any()]
    if wrong:
        checked = [with_mistakes(w, wrong, rng) for w in checked]
    elsewhere = [w for w in (restricted(w, spans, inside=False) for w in place.views.elsewhere) if w.known.any()]
    began_s, began_cpu_s = time.monotonic(), time.process_time()
    holds = (None,) if way == "network" else None
    views = Views(checked, elsewhere, 0)
    verdict = choose(views, place.gsd_m, place.features.layer, place.params, lambda done, total: None, place.tuner, holds)
    spent_s, cpu_s = time.monotonic() - began_s, time.process_time() - began_cpu_s
    rest = [restricted(w, spans, inside=False) for w in place.views.checked]
    before, after = rest_scores(rest, place, None), rest_scores(rest, place, verdict) if verdict.kept else None
    return {
        "buildings": held, "windows": len(spans), "kept": verdict.kept, "network": verdict.tuned,
        "head": None if verdict.hold is None else vars(verdict.hold),
        "margins": dict(verdict.margins),
        "gain": verdict.gain, "noise": verdict.noise, "before": vars(before), "after": vars(after or before),
        "seconds": round(spent_s, 1), "cpu_s": round(cpu_s, 1),
    }  # fmt: skip


def rest_scores(rest: list[Window], place: Place, verdict: Verdict | None) -> Any:
    """Scores of windows with the shipped head and thresholds, or with those of a verdict."""
    total = np.zeros((1, COLUMNS))
    for window in rest:
        if window.known.any():
            heads = window.heads
            if verdict is not None and verdict.layer is not None:
                heads = answers(window, verdict.layer)
            elif verdict is not None and verdict.tensors is not None and place.tuner is not None:
                heads = place.tuner.answers(window, verdict.tensors)
            params = place.params if verdict is None else changed(place.params, verdict.margins)
            total += tally(window, np.where(window.known, 0, -1), heads, params, 1)
    return scores(total)


def key_of(weights: Weights, name: str, wanted: int, seed: int, wrong: float, way: str) -> dict[str, Any]:
    """What a draw depends on, beside the code."""
    card = {"weights": weights.name, "sha256": weights.sha256, "thresholds": vars(weights.card.thresholds)}
    return {**card, "set": name, "k": wanted, "seed": seed, "wrong": wrong, "way": way}


def made_before(file: Path) -> list[dict[str, Any]]:
    """The draws in a file of one line each; a line that a kill cut short is left out."""
    draws = []
    for line in file.read_text().splitlines() if file.exists() else ():
        try:
            draws.append(json.loads(line))
        except ValueError:
            print(f"{file}: a line is cut short; its draw is made again")
    return draws


def append(file: Path, row: dict[str, Any]) -> None:
    """Add a draw to a file, on a line of its own even if a kill has cut the one before short."""
    file.parent.mkdir(parents=True, exist_ok=True)
    whole = not file.exists() or not file.stat().st_size or file.read_bytes().endswith(b"\n")
    with file.open("a") as out:
        out.write(("" if whole else "\n") + json.dumps(row) + "\n")


def summary(draws: list[dict[str, Any]]) -> dict[str, Any]:
    """Gains of the draws of one set."""
    gains = {key: np.array([d["after"][key] - d["before"][key] for d in draws]) for key in ("f1", "iou")}
    counts = [np.mean([abs(d[when]["found"] / max(d[when]["true"], 1) - 1) for d in draws]) for when in ("before", "after")]
    return {
        "draws": len(draws), "kept": float(np.mean([d["kept"] for d in draws])),
        "seconds": float(np.mean([d["cpu_s"] for d in draws])), "below": int((gains["f1"] < -0.02).sum()),
        **{f"before_{key}": float(np.mean([d["before"][key] for d in draws])) for key in gains},
        **{f"gain_{key}": float(g.mean()) for key, g in gains.items()}, **{f"worst_{key}": float(g.min()) for key, g in gains.items()},
        "count_error": [round(float(c), 4) for c in counts],
    }  # fmt: skip


def show(draws: list[dict[str, Any]]) -> None:
    """Print a row for each set, for each k, way and share of wrong corrections, and the mean over sets."""
    name, case = itemgetter("set"), itemgetter("wrong", "way", "k")
    for (wrong, way, wanted), alike in groupby(sorted(draws, key=lambda d: (case(d), d["set"], d["seed"])), key=case):
        print(f"{wanted} buildings, {wrong:.0%} of the corrections wrong, way: {way}")
        rows = {who: summary(list(members)) for who, members in groupby(alike, key=name)}
        for who, row in rows.items():
            print(f"{who:<20} before F1 {row['before_f1']:.3f} IoU {row['before_iou']:.3f}  "
                  f"gain {row['gain_f1']:+.3f} {row['gain_iou']:+.3f}  worst {row['worst_f1']:+.3f} {row['worst_iou']:+.3f}  "
                  f"kept {row['kept']:>4.0%} of {row['draws']}, below -0.02 F1: {row['below']}  "
                  f"count error {row['count_error'][0]:.2f} -> {row['count_error'][1]:.2f}  {row['seconds']:.0f} s of a core")  # fmt: skip
        gains = np.array([[r["gain_f1"], r["gain_iou"]] for r in rows.values()])
        print(f"mean gain over {len(gains)} sets F1 {gains[:, 0].mean():+.3f} IoU {gains[:, 1].mean():+.3f}, "
              f"median {np.median(gains, 0).round(3)}, worst set {gains.min(axis=0).round(3)}\n")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--weights", default=None)
    parser.add_argument("--buildings", type=int, nargs="+", default=[20, 60])
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--wrong", type=float, default=0.0)
    parser.add_argument("--only", nargs="+", default=[""])
    parser.add_argument("--way", default="auto", choices=("auto", "last-layer", "network"))
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    weights = load_weights(given.weights)
    views_of.MOST_PX = 10**9
    made = made_before(given.out)
    keys = [{part: d[part] for part in key_of(weights, "", 0, 0, 0, "")} for d in made]
    with tempfile.TemporaryDirectory() as scratch:
        images = [] if given.data is None else held_out(given.data, Path(scratch))
        images = [h for h in images if any(only in h.place for only in given.only)]
        for name, members in groupby(sorted(images, key=lambda h: h.place), key=lambda h: h.place.partition("/")[0]):
            wanted = [
                key_of(weights, name, k, seed, given.wrong, given.way) for k in given.buildings for seed in range(given.draws)
            ]
            todo = [key for key in wanted if json.loads(json.dumps(key)) not in keys]
            place = read_place(name, list(members), weights, given.way) if todo else None
            for key in todo:
                if place is not None and len(place.buildings) >= 2 * key["k"]:
                    row = key | try_one(place, key["k"], key["seed"], given.wrong, given.way)
                    append(given.out, row)
                    made.append(row)
                    gain = (row["after"][of] - row["before"][of] for of in ("f1", "iou"))
                    print(f"{name} k {key['k']} draw {key['seed']}: {'kept' if row['kept'] else 'not kept'}, gain "
                          f"{' '.join(f'{g:+.3f}' for g in gain)}, {row['cpu_s']:.0f} s of a core", flush=True)  # fmt: skip
    show(made)


if __name__ == "__main__":
    main()
