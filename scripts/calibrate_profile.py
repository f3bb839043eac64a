"""Fit the curve from fit to probability of a structure profile, on drawn compounds and on real outlines.

    python scripts/calibrate_profile.py configs/structures/dormitory.yaml --kind dormitory --data path/to/samples

Examples are the buildings of drawn compounds of 1 to 150 dormitories with halls, huts and houses around (measured with errors as found
footprints have them), the outlines of real towns (no dormitories in rows there) and, for the kinds they know, the rectangles of
``rows/rows.json``; the place whose rows the weights are measured on is left out. Each place weighs as much as ten of its buildings at
most. Prints the curve, its Brier score and a reliability table; put the curve into the profile by hand.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray
from scipy.optimize import minimize

from detect.base.geometry import measure
from detect.base.vectors import polygons_only, read_vector
from detect.census.dormitories import find_rows, group_fit, shape_fits
from detect.census.profiles import StructureProfile, load_profile
from detect.simulate.layout import countryside

COMPOUNDS = 400
MOST_OF_A_PLACE = 10.0
ROW_KINDS = {"dormitory_like": "dormitory", "warehouse_like": "hall"}
HELD_OUT_ROWS = "nairobi"
DUBAI_GSD_M = 0.9
TOWNS = (
    "vegas/vegas_*.geojson", "rio/rio_*.geojson", "oam_chips/*anepa_*.geojson", "oam_chips/zanzibar_1*.geojson",
    "tanzania/conditions.geojson",
)  # fmt: skip


def drawn(rng: np.random.Generator) -> gpd.GeoDataFrame:
    """Buildings of a drawn compound and what surrounds it, measured as a network might outline them: ``kind`` and measures."""
    count = round(float(np.exp(rng.uniform(0, np.log(150)))))
    layout = countryside(rng, 1, count, None, 120.0, later=False)
    seen = [s for s in layout.structures if rng.random() > 0.05]
    polygons = [shapely.Polygon(s.corners_m * [1, -1]) for s in seen]
    table = gpd.GeoDataFrame({"kind": [s.kind for s in seen], **measure(polygons, None)}, geometry=polygons)
    for side in ("length_m", "width_m"):
        table[side] *= np.exp(rng.normal(0, 0.04, len(table)))
    table["orientation_deg"] = (table["orientation_deg"] + rng.normal(0, 1.5, len(table))) % 180
    table["rectangularity"] = np.minimum(1, table["rectangularity"] - rng.exponential(0.04, len(table)))
    return table


def real(data: Path) -> Iterator[gpd.GeoDataFrame]:
    """Outlines of towns, all of kind ``house`` or larger ``other``, and marked rows: ``kind`` and measures."""
    for pattern in TOWNS:
        for path in sorted(data.glob(pattern)):
            table = polygons_only(read_vector(path)).explode(ignore_index=True)
            if len(table):
                table = table[["geometry"]].assign(**measure(list(table.geometry), table.crs))
                yield table.assign(kind=np.where(table["area_m2"] < 250, "house", "other"))
    rows = [r for r in json.loads((data / "rows/rows.json").read_text()) if r["core"] and HELD_OUT_ROWS not in r["image"]]
    for image in sorted({r["image"] for r in rows}):
        here = [r for r in rows if r["image"] == image]
        polygons = [shapely.Polygon(np.array(r["corners"]) * [DUBAI_GSD_M, -DUBAI_GSD_M]) for r in here]
        yield gpd.GeoDataFrame({"kind": [ROW_KINDS[r["kind"]] for r in here], **measure(polygons, None)}, geometry=polygons)


def examples(profile: StructureProfile, kind: str, data: Path) -> NDArray[np.float64]:
    """(N, 4) of buildings whose shape fits at all: shape fit, group fit, whether it is of the kind, weight."""
    rng = np.random.default_rng(20_240_601)
    parts = []
    for table in [*(drawn(rng) for _ in range(COMPOUNDS)), *real(data)]:
        shape = np.minimum.reduce(list(shape_fits(table, profile).values()))
        _, sizes = find_rows(table, shape > 0, profile.group)
        fits = shape > 0
        if fits.any():
            weight = np.full(int(fits.sum()), min(1.0, MOST_OF_A_PLACE / fits.sum()))
            parts.append(
                np.column_stack([shape[fits], group_fit(sizes, profile.group)[fits], table["kind"][fits] == kind, weight])
            )
    return np.concatenate(parts).astype(float)


def fitted(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Intercept, shape, group: maximum likelihood with a weak pull to 0, the slopes not below 0 (a better fit never counts against)."""
    shape, group, is_one, weight = rows.T

    def loss(curve: NDArray[np.float64]) -> float:
        odds = curve[0] + curve[1] * shape + curve[2] * group
        return float((weight * (np.logaddexp(0, odds) - is_one * odds)).sum() + 0.02 * (curve**2).sum())

    return np.asarray(minimize(loss, [-2.0, 2.0, 2.0], bounds=[(None, None), (0, None), (0, None)]).x)


def reliability(rows: NDArray[np.float64], curve: NDArray[np.float64]) -> pd.DataFrame:
    """Promised and true shares by fifths of the score."""
    p = 1 / (1 + np.exp(-(curve[0] + rows[:, :2] @ curve[1:])))
    table = pd.DataFrame({"bin": np.minimum((p * 5).astype(int), 4) / 5, "p": p, "true": rows[:, 2], "weight": rows[:, 3]})
    return table.groupby("bin").apply(
        lambda t: pd.Series(
            {
                "buildings": len(t),
                "promised": np.average(t["p"], weights=t["weight"]),
                "true": np.average(t["true"], weights=t["weight"]),
            }
        ),
        include_groups=False,
    )


def main() -> int:
    """Print the curve; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("profile", type=Path)
    parser.add_argument("--kind", choices=("dormitory", "hall", "house"), required=True)
    parser.add_argument("--data", type=Path, default=Path(__file__).resolve().parents[2] / "shared" / "data")
    options = parser.parse_args()
    rows = examples(load_profile(options.profile), options.kind, options.data)
    curve = fitted(rows)
    p = 1 / (1 + np.exp(-(curve[0] + rows[:, :2] @ curve[1:])))
    print(f"calibration: {{intercept: {curve[0]:.2f}, shape: {curve[1]:.2f}, group: {curve[2]:.2f}}}")
    brier = np.average((p - rows[:, 2]) ** 2, weights=rows[:, 3])
    print(f"{len(rows)} buildings, {int(rows[:, 2].sum())} of the kind; Brier score {brier:.4f}")
    print(reliability(rows, curve).round(3).to_string())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
