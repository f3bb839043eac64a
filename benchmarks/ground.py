"""How well pads, room for more and storeys are told, on drawn compounds, and cleared ground that was marked in real images.

    python benchmarks/ground.py [--compounds 60] [--data path/to/samples]

Drawn compounds of 10 to 79 dormitories, some of them not yet begun on the first date, pixels of 0.3 to 0.7 m, any sun. The network is
left out: outlines are the true ones, so this measures what ``detect.census.ground`` and ``detect.census.shadows`` add. Real:
``stages/marks.jsonl``, patches marked as site preparation. Writes benchmarks/results/ground.json.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import warnings
from collections import defaultdict
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pyogrio
import shapely
from affine import Affine

from detect.base.geometry import measure
from detect.census.count import take_census, with_beds
from detect.census.dormitories import add_dormitories
from detect.census.ground import survey
from detect.census.profiles import load_profile
from detect.census.shadows import open_shadows, storeys
from detect.census.sites import assign
from detect.datasets.samples import SWAPPED
from detect.scene.scene import open_scene
from detect.simulate import simulate_compounds
from detect.simulate.layout import countryside

RESULTS = Path(__file__).parent / "results" / "ground.json"
NETWORK_GSD_M = 0.3
FLOORS = (1, 2, 3, 4)


def compound(seed: int, folder: Path) -> dict[str, Any]:
    """True and told numbers of one drawn compound, without its plan."""
    rng = np.random.default_rng(seed)
    many, gsd_m, floors = int(rng.integers(10, 80)), round(float(rng.uniform(0.3, 0.7)), 2), int(rng.choice(FLOORS))
    scenes, truth = simulate_compounds(folder, seed=seed, dormitories=many, gsd_m=gsd_m, dates=2, storeys=floors)
    first = next(name for name, _ in pyogrio.list_layers(truth) if name.startswith("buildings_"))
    table, sites = gpd.read_file(truth, layer=first), gpd.read_file(truth, layer="sites")
    planned = int(sites["planned_buildings"].sum())
    sites = sites.assign(planned_buildings=np.nan, area_km2=sites.area / 1e6)
    table = table.assign(**measure(list(table.geometry), table.crs), score=0.95, touches_edge=False)
    for stage in ("foundation", "incomplete", "complete"):
        table[f"p_{stage}"] = (table["stage"] == stage).astype(float)
    table = add_dormitories(table.assign(site=assign(table, sites), certain=True), load_profile())
    scene = open_scene(scenes[0])
    grid = scene.work_grid(NETWORK_GSD_M)
    with open_shadows(scene, grid, table) as shadows:
        table = with_beds(table.assign(height_m=shadows.heights()), load_profile())
    ground = survey(scene, grid, sites, table, load_profile())
    assert ground is not None, "drawn in colour"
    counted = take_census(table, sites, load_profile(), None, ground=ground)["total"]["planned_buildings"]
    # The layout again, for the pads, which the truth's layers do not hold.
    layout = countryside(np.random.default_rng(seed), 1, many, None, 70.0, later=True, storeys=floors)
    corner = np.array([scene.transform.c, scene.transform.f])
    pads = [shapely.Polygon(corner + p.corners_m * [1, -1]) for p in layout.pads if p.cleared <= 0]
    pads = [p for p in pads if p.intersects(sites.union_all()) and not any(p.intersects(b) for b in table.geometry)]
    found = list(ground.loc[ground["kind"] == "pad"].geometry)
    hit = sum(any(f.intersection(p).area > 0.5 * p.area for f in found) for p in pads)
    told = storeys(table["height_m"].to_numpy(float))
    return {
        "seed": seed,
        "planned": planned,
        "counted": counted,
        "pads": {"true": len(pads), "found": len(found), "hit": hit},
        "floors": floors,
        "storeys": None if told is None else [told.low, told.estimate, told.high],
    }


def marked(data: Path) -> dict[str, Any] | None:
    """How many patches are marked as site preparation, and of how many at least half is told as cleared ground."""
    if not (data / "stages/marks.jsonl").is_file():
        return None
    patches = defaultdict(list)
    for line in (data / "stages/marks.jsonl").read_text(encoding="utf-8").splitlines():
        mark = json.loads(line)
        if mark["stage"] == "site_preparation":
            patches[mark["image"]].append(shapely.make_valid(shapely.Polygon(mark["polygon"])))
    index = {row["image"]: row for row in pyogrio.read_dataframe(data / "index.csv").to_dict("records")}
    seen = total = 0
    for image, shapes in patches.items():
        gsd_m = float(index[image]["gsd_m"]) if image.endswith(".jpg") else None
        scene = open_scene(data / image, gsd_m=gsd_m, bands=(3, 2, 1) if image.startswith(SWAPPED) else None)
        t: Affine = scene.transform
        moved = [shapely.transform(s, lambda x, y, t=t: t * (x, y), interleaved=False) for s in shapes]
        sites = gpd.GeoDataFrame({"name": [str(i) for i in range(len(moved))]}, geometry=moved, crs=scene.crs)
        nothing = gpd.GeoDataFrame({"dormitory_like": np.array([], bool), "row": np.array([], int)}, geometry=[], crs=scene.crs)
        ground = survey(scene, scene.work_grid(NETWORK_GSD_M), sites, nothing, load_profile())
        assert ground is not None, "all sample images are in colour"
        cleared = ground[ground["kind"] == "cleared"].groupby("site")["area_m2"].sum()
        own = measure(moved, scene.crs)["area_m2"]
        seen += int(sum(cleared.get(str(i), 0.0) >= 0.5 * area for i, area in enumerate(own)))
        total += len(moved)
    return {"patches": total, "half_cleared": seen}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--compounds", type=int, default=60)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    results = []
    for seed in range(1, 1 + options.compounds):
        with tempfile.TemporaryDirectory() as folder:
            results.append(compound(seed, Path(folder)))
        print(results[-1], flush=True)
    pads = {k: sum(r["pads"][k] for r in results) for k in ("true", "found", "hit")}
    told = [r for r in results if r["storeys"]]
    report = {
        "compounds": len(results),
        "pads": pads | {"precision": pads["hit"] / max(pads["found"], 1), "recall": pads["hit"] / max(pads["true"], 1)},
        "planned": {
            "covered": float(
                np.mean([r["counted"]["low"] <= r["planned"] <= r["counted"]["high"] for r in results if r["counted"]])
            ),
            "estimate_to_true": float(np.median([r["counted"]["estimate"] / r["planned"] for r in results if r["counted"]])),
            "untold": sum(r["counted"] is None for r in results),
        },
        "storeys": {
            "told": len(told),
            "right": float(np.mean([r["storeys"][1] == r["floors"] for r in told])),
            "covered": float(np.mean([r["storeys"][0] <= r["floors"] <= r["storeys"][2] for r in told])),
        },
        "marked": marked(options.data),
        "results": results,
    }
    RESULTS.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(json.dumps({k: v for k, v in report.items() if k != "results"}, indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
