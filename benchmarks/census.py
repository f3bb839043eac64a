"""How far counts are off and how often their intervals hold: drawn compounds, the yardstick, and a real camp.

    python benchmarks/census.py [--work DIR] [--compounds 200] [--calibration 40] [--data path/to/samples] [--weights NAME]

Drawn compounds have 5 to 150 dormitories (evenly on a log scale), pixels of 0.3 to 0.7 m, any sun. Those of the seeds from 1000 are
counted as held-out places of drawn scenes, for the weights' card; those from 2000 are tested with these rates. What was predicted stays
in ``--work``, so that a second run counts again without the network, and one that was killed goes on. Writes
benchmarks/results/census.json, from which scripts/publish_metrics.py takes ``rates``.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import warnings
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import shapely

from detect.base.geometry import area_km2, measure
from detect.base.matching import covered_by
from detect.base.stages import STAGES
from detect.census.count import take_census, with_beds
from detect.census.dormitories import add_dormitories
from detect.census.profiles import load_profile
from detect.census.rates import count_rates, of_kind
from detect.census.sites import assign
from detect.census.spread import numbers_of
from detect.network.weights import load_weights
from detect.runs.options import PredictOptions
from detect.runs.predict import predict, predict_scenes
from detect.simulate import simulate_compounds

RESULTS = Path(__file__).parent / "results" / "census.json"
CALIBRATION, TEST = 1000, 2000
MARGIN_M = 30.0
Counts = dict[str, int]


def compound(seed: int, work: Path, weights: str | None) -> tuple[gpd.GeoDataFrame, gpd.GeoDataFrame, gpd.GeoDataFrame]:
    """(buildings found, truth, sites) of one drawn compound; the network runs where it has not yet."""
    folder = work / str(seed)
    if not (folder / "out/scene/summary.json").is_file():
        shutil.rmtree(folder, ignore_errors=True)
        rng = np.random.default_rng([77, seed])
        many = round(float(np.exp(rng.uniform(np.log(5), np.log(150)))))
        gsd_m = round(float(rng.uniform(0.3, 0.7)), 2)
        (scene,), truth = simulate_compounds(folder, seed=seed, dormitories=many, gsd_m=gsd_m, margin_m=MARGIN_M)
        gpd.read_file(truth, layer="sites").to_file(folder / "sites.geojson")
        predict([scene], folder / "out", weights=weights, sites=folder / "sites.geojson")
        scene.unlink()
    found = gpd.read_file(folder / "out/scene/buildings.gpkg", layer="buildings")
    sites = gpd.read_file(folder / "out/scene/buildings.gpkg", layer="sites")
    truth_table = gpd.read_file(folder / "truth.gpkg", layer="buildings")
    truth_table = truth_table.assign(area_m2=measure(list(truth_table.geometry), truth_table.crs)["area_m2"])
    found = with_beds(add_dormitories(found.assign(site=assign(found, sites)), load_profile()), load_profile())
    return found, truth_table, sites


def simulated_rates(seeds: range, work: Path, weights: str | None) -> list[dict[str, Any]]:
    """Of drawn compounds, as the weights' card has them."""
    rates = []
    for seed in seeds:
        found, truth, _ = compound(seed, work, weights)
        # Drawn plots never cut through a compound: its plot is the one site.
        plot = {"sites": [numbers_of(*(t[t["site"].notna()] for t in (found, truth)))]}
        rates.append({"simulated": True, **count_rates(f"simulated/{seed}", found, truth), **plot})
        print(f"calibration {seed}: {int(truth['dormitory'].sum())} dormitories", flush=True)
    return rates


def tested(seeds: range, work: Path, weights: str | None, rates: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Counts of drawn compounds and the truth."""
    results = []
    for seed in seeds:
        found, truth, sites = compound(seed, work, weights)
        total = take_census(found, sites, load_profile(), rates)["total"]
        own = truth[truth["site"].notna()]
        stages = {s: int((own["dormitory"] & (own["stage"] == s)).sum()) for s in STAGES}
        results.append(
            {
                "seed": seed,
                "true": int(own["dormitory"].sum()),
                "counted": total["dormitory_like"],
                "true_buildings": len(own),
                "counted_buildings": total["buildings"],
                "true_by_stage": stages,
                "counted_by_stage": total["dormitory_by_stage"],
            }
        )
        print(f"test {seed}: {results[-1]['true']} dormitories, counted {total['dormitory_like']}", flush=True)
    return results


def scores(results: list[dict[str, Any]]) -> dict[str, Any]:
    """Coverage, width and error over compounds, for dormitories, for all buildings and for each stage of dormitories."""

    def of(pairs: list[tuple[int, Counts]]) -> dict[str, float]:
        true = np.array([t for t, _ in pairs], float)
        estimate, low, high = (np.array([c[k] for _, c in pairs], float) for k in ("estimate", "low", "high"))
        some = true > 0
        return {
            "coverage": float(((low <= true) & (true <= high)).mean()),
            "exact": float((estimate == true).mean()),
            "median_relative_width": float(np.median((high - low)[some] / estimate.clip(1)[some])),
            "mean_absolute_relative_error": float((np.abs(estimate - true)[some] / true[some]).mean()),
            "bias": float((estimate - true).sum() / max(true.sum(), 1)),
        }

    table = {
        "dormitories": of([(r["true"], r["counted"]) for r in results]),
        "buildings": of([(r["true_buildings"], r["counted_buildings"]) for r in results]),
    }
    for s in STAGES:
        table[f"dormitories, {s}"] = of([(r["true_by_stage"][s], r["counted_by_stage"][s]) for r in results])
    return {"compounds": len(results), **table}


def yardstick(work: Path, weights: str | None, rates: list[dict[str, Any]]) -> dict[str, Any]:
    """The yardstick through predict."""
    folder = work / "yardstick"
    if not (folder / "out/scene/summary.json").is_file():
        shutil.rmtree(folder, ignore_errors=True)
        (scene,), truth = simulate_compounds(folder, seed=1, preset="yardstick")
        gpd.read_file(truth, layer="sites").to_file(folder / "sites.geojson")
        predict([scene], folder / "out", weights=weights, sites=folder / "sites.geojson")
    plots = gpd.read_file(folder / "truth.gpkg", layer="sites")
    truth = gpd.read_file(folder / "truth.gpkg", layer="buildings")
    found, sites = (gpd.read_file(folder / "out/scene/buildings.gpkg", layer=name) for name in ("buildings", "sites"))
    found = with_beds(add_dormitories(found, load_profile()), load_profile())
    counted = take_census(found, sites, load_profile(), rates)["total"]
    true_km2 = sum(area_km2(g, plots.crs) for g in plots.geometry)
    stages = truth[truth["site"].notna()]["stage"]
    return {
        "true_km2": round(true_km2, 6),
        "area_error": abs(counted["area_km2"] / true_km2 - 1),
        "true": {"buildings": len(stages), **{s: int((stages == s).sum()) for s in STAGES}},
        **{k: counted[k] for k in ("buildings", "by_stage", "dormitory_like", "dormitory_by_stage", "beds")},
    }


def real(data: Path, scratch: Path, weights: str | None) -> dict[str, Any] | None:
    """The marked rows of a camp that no training saw; rates are those of other real places."""
    if not (data / "rows/rows.json").is_file():
        return None
    marked = [r for r in json.loads((data / "rows/rows.json").read_text()) if "nairobi_0" in r["image"]]
    blocks, doubtful = ([shapely.Polygon(r["corners"]) for r in marked if r["core"] == core] for core in (True, False))
    result = predict_scenes([data / marked[0]["image"]], scratch, PredictOptions(weights=weights)).all_done()[0]
    found = result.buildings[~covered_by(list(result.buildings.geometry), doubtful)]
    rates = [r for r in of_kind(load_weights(weights).card.get("rates") or [], simulated=False) if "nairobi" not in r["place"]]
    counted = take_census(found, result.sites, load_profile(), rates)["total"]["dormitory_like"]
    return {"place": "nairobi_0", "true": len(blocks), "counted": counted, "error": counted["estimate"] / len(blocks) - 1}


def show(name: str, table: dict[str, Any]) -> str:
    lines = [f"{name}: {table['compounds']} compounds", f"{'':<26}{'covered':>9}{'exact':>8}{'width':>8}{'error':>8}{'bias':>8}"]
    for what, s in table.items():
        if isinstance(s, dict):
            lines.append(
                f"{what:<26}{s['coverage']:>9.1%}{s['exact']:>8.1%}{s['median_relative_width']:>8.1%}"
                f"{s['mean_absolute_relative_error']:>8.1%}{s['bias']:>+8.1%}"
            )
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, help="keeps what was predicted")
    parser.add_argument("--compounds", type=int, default=200)
    parser.add_argument("--calibration", type=int, default=40)
    parser.add_argument("--data", type=Path, default=Path(__file__).resolve().parents[2] / "shared" / "data")
    parser.add_argument("--weights")
    options = parser.parse_args()
    warnings.filterwarnings("ignore", ".*Geometry is in a geographic CRS.*")
    with tempfile.TemporaryDirectory() as temporary:
        work = options.work or Path(temporary)
        rates = simulated_rates(range(CALIBRATION, CALIBRATION + options.calibration), work, options.weights)
        results = tested(range(TEST, TEST + options.compounds), work, options.weights, rates)
        found: dict[str, Any] = {
            "sha256": load_weights(options.weights).sha256,
            "stage_sha256": load_weights(options.weights).stage_sha256,
            "rates": rates,
            "simulated": scores(results),
            "yardstick": yardstick(work, options.weights, rates),
            "real": real(options.data, Path(temporary) / "real", options.weights),
            "results": results,
        }
    print(show("drawn compounds", found["simulated"]))
    print("yardstick:", json.dumps(found["yardstick"]))
    print("real rows:", json.dumps(found["real"]))
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(found, indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
