"""Time of `detect collect` on many results, made from one by moving it.

    python benchmarks/collect.py out/scene --copies 500

Needs a result of `detect predict` in a projected coordinate system, and minutes. The copies stand in rows of 25; within a row they
overlap by 2 %, as tiles do. Prints seconds of the processor, so that other work on the machine changes little.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import rasterio
from affine import Affine

from detect import collect
from detect.base.vectors import read_vector
from detect.results.tables import write_parquet

PER_ROW = 25
SHARED = 0.02


def main() -> int:
    """Copy, collect, print; the exit code."""
    parser = argparse.ArgumentParser(description="Time of detect collect.")
    parser.add_argument("result", type=Path, help="folder of one scene")
    parser.add_argument("--copies", type=int, default=500, help="default: 500")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        copies = Path(folder) / "out"
        copy(given.result, copies, given.copies)
        began_s = time.process_time()
        found = collect([copies], Path(folder) / "all")
        spent_s = time.process_time() - began_s
    print(f"{len(found.scenes):,} results, {len(found.buildings):,} buildings: {spent_s:.1f} s of one core")
    return 0


def copy(source: Path, target: Path, count: int) -> None:
    """Write results of other names and places, with what `detect collect` reads of them."""
    summary, item = (json.loads((source / name).read_text(encoding="utf-8")) for name in ("summary.json", "item.json"))
    buildings = read_vector(source / "buildings.gpkg", "buildings")
    with rasterio.open(source / "mask.tif") as mask:
        profile, values, place = mask.profile | {"driver": "GTiff"}, mask.read(), mask.transform
    width, height = place.a * profile["width"], -place.e * profile["height"]
    for number in range(count):
        folder = target / f"copy_{number:05d}"
        folder.mkdir(parents=True)
        x, y = number % PER_ROW * width * (1 - SHARED), number // PER_ROW * height * (1 + SHARED)
        moved = buildings.set_geometry(buildings.geometry.translate(x, y))
        with rasterio.open(folder / "mask.tif", "w", **profile | {"transform": Affine.translation(x, y) @ place}) as out:
            out.write(values)
        write_parquet(folder / "buildings.parquet", moved)
        west, south, east, north = moved.to_crs(4326).total_bounds.tolist()
        ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
        there = {"id": folder.name, "bbox": [west, south, east, north], "geometry": {"type": "Polygon", "coordinates": [ring]}}
        named = {**summary, "scene": {**summary["scene"], "name": folder.name}}
        for name, content in (("summary.json", named), ("item.json", item | there)):
            (folder / name).write_text(json.dumps(content), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
