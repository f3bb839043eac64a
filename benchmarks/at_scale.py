"""Every verb at the size of a country: one scene of a gigapixel, and a million buildings.

    python benchmarks/at_scale.py gigapixel [--side PX] [--weights NAME]
    python benchmarks/at_scale.py buildings [--count N]
    python benchmarks/at_scale.py sparse [--side PX]

``gigapixel`` predicts a scene of 0.3 m: drawn compounds side by side, as JPEG GeoTIFF. Each compound is drawn many times, so the counts
of its places should be alike. ``buildings`` predicts two dates of a town of small bright roofs, a tenth of which the first date
does not have, with the stand-in of ``memory.py`` for the network, repeats both results until there are so many buildings, and runs the
other verbs on them. ``sparse`` opens a scene that stores nothing. Each verb is a process of its own; told are seconds, core-seconds, peak
memory and the sizes of the files. Needs 10 GB of disk and up to an hour. Adds to benchmarks/results/at_scale.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import rasterio
from memory import peak_of, watched, write_scene, write_stand_in
from numpy.typing import NDArray
from rasterio.transform import from_origin
from rasterio.windows import Window

from detect.network.weights import load_weights
from detect.results.seal import sealed
from detect.results.summary import write_summary
from detect.results.tables import write_gpkg, write_parquet
from detect.simulate import simulate_compounds

RESULTS = Path(__file__).parent / "results" / "at_scale.json"
CELL_PX = 1792
"""Side of the ground that a drawn compound gets, in whole tiles of the file."""
GSD_M = 0.3
TOWN = 65_536
"""Roofs of the town that is predicted; 4 × 4 times as many are a million."""
ROOFS = 32
"""Roofs along the side of a patch of 1024 px."""
DATES = ("2024-06-01", "2025-06-01")
PACKAGES = ("numpy", "pandas", "geopandas", "shapely", "pyogrio", "rasterio", "scipy", "onnxruntime")
_OPEN = """
import json, sys, time
from detect.network.probabilities import predict_block
from detect.network.weights import load_weights
from detect.scene.scene import open_scene
began, weights = time.process_time(), load_weights()
scene = open_scene(sys.argv[1])
grid = scene.work_grid(weights.read_gsd_m(scene.gsd_m))
blocks = weights.lattice.blocks(grid.size_hw, 1024)
with scene.reader(grid) as reader:
    assert not predict_block(reader, None, blocks[0]).size
print(json.dumps({"cpu": round(time.process_time() - began, 2), "blocks": len(blocks)}))
"""
Report = dict[str, Any]


def main() -> int:
    """Measure one part and add it to the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("gigapixel", "buildings", "sparse"))
    parser.add_argument("--side", type=int, help="pixels; default: 32,256 for gigapixel, 200,000 for sparse")
    parser.add_argument("--weights", default="deep-int8", help="of gigapixel")
    parser.add_argument("--count", type=int, default=1_000_000, help="of buildings")
    parser.add_argument("--folder", type=Path, help="for what is made; default: a temporary one")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as temporary:
        folder = Path(temporary)
        if given.part == "gigapixel":
            told = gigapixel(folder, given.side or 18 * CELL_PX, given.weights)
        elif given.part == "sparse":
            told = sparse(folder, given.side or 200_000)
        else:
            told = buildings(folder, given.count)
    keep(given.part, told)
    return 0


def gigapixel(folder: Path, side_px: int, weights: str) -> Report:
    """A scene of drawn compounds, predicted."""
    scene, drawn = folder / "scene.tif", draw_compounds(folder / "drawn")
    cells = write_compounds(scene, [picture for picture, _ in drawn], side_px // CELL_PX)
    told: Report = {
        "mpx": (side_px // CELL_PX * CELL_PX) ** 2 / 1e6,
        "weights": weights,
        "scene_mb": _mb(scene),
        "drawn": sum(drawn[cell][1] for cell in cells),
    }
    told |= detect("predict", scene, "--out", folder / "out", "--weights", weights, "--json")
    summary = json.loads(told.pop("printed"))
    table = gpd.read_file(folder / "out/scene/buildings.gpkg", layer="buildings")
    told |= {"found": len(table), "estimate": summary["total"]["buildings"], "timings_s": summary["timings_s"]}
    told["found_in_cells"] = spread(table, cells)
    return told | {"files_mb": sizes(folder / "out/scene")}


def draw_compounds(folder: Path) -> list[tuple[NDArray[np.uint8], int]]:
    """Pictures (3, CELL_PX, CELL_PX) of compounds with how many buildings each has."""
    drawn = []
    for seed in range(1, 9):
        (path,), truth = simulate_compounds(folder / str(seed), seed=seed, gsd_m=GSD_M)
        with rasterio.open(path) as raster:
            values = raster.read()
        missing = [CELL_PX - n for n in values.shape[1:]]
        if min(missing) >= 0:  # the others are larger
            values = np.pad(values, ((0, 0), (0, missing[0]), (0, missing[1])), mode="reflect")
            drawn.append((values, len(gpd.read_file(truth, layer="buildings"))))
    return drawn


def write_compounds(path: Path, pictures: list[NDArray[np.uint8]], cells: int) -> list[int]:
    """Write a JPEG GeoTIFF of cells × cells compounds; which of the pictures each cell shows, row by row."""
    side_px = cells * CELL_PX
    profile = {
        "driver": "GTiff", "dtype": "uint8", "count": 3, "height": side_px, "width": side_px, "crs": "EPSG:32637",
        "transform": from_origin(400_000, 6_200_000, GSD_M, GSD_M), "tiled": True, "blockxsize": 256, "blockysize": 256,
        "compress": "jpeg", "jpeg_quality": 90, "photometric": "ycbcr", "interleave": "pixel", "bigtiff": "if_safer",
    }  # fmt: skip
    shown = [number % len(pictures) for number in range(cells * cells)]
    with rasterio.open(path, "w", **profile) as raster:
        for number, picture in enumerate(shown):
            row, col = divmod(number, cells)
            raster.write(pictures[picture], window=Window(col * CELL_PX, row * CELL_PX, CELL_PX, CELL_PX))
    return shown


def spread(table: gpd.GeoDataFrame, cells: list[int]) -> dict[str, list[int]]:
    """For each picture the fewest and the most buildings found in the cells that show it."""
    centres, per_row = table.geometry.centroid, round(len(cells) ** 0.5)
    row, col = ((6_200_000 - centres.y) / GSD_M // CELL_PX), ((centres.x - 400_000) / GSD_M // CELL_PX)
    found = np.bincount((row * per_row + col).astype(int), minlength=len(cells))
    of_picture = {str(p): found[np.array(cells) == p] for p in sorted(set(cells))}
    return {picture: [int(counts.min()), int(counts.max())] for picture, counts in of_picture.items()}


def buildings(folder: Path, count: int) -> Report:
    """Two dated results of so many buildings, and every verb on them."""
    weights, told = load_weights(), Report()
    stand_in = write_stand_in(folder / "stand-in", weights)
    side = max(1, round((count / TOWN) ** 0.5))
    for date, town in zip(DATES, dense_towns(), strict=True):
        scene = folder / f"town_{date}.tif"
        write_scene(scene, town, 1024 * round(TOWN**0.5 / ROOFS), weights.gsd_m, sparse=False)
        told[f"predict {date}"] = detect("predict", scene, "--out", folder / date, "--weights", stand_in)
        repeat(folder / date / scene.stem, folder / f"many_{date}", side)
    first, last = (folder / f"many_{date}" for date in DATES)
    told["buildings"] = [len(gpd.read_parquet(one / "buildings.parquet", columns=["id", "geometry"])) for one in (first, last)]
    told["result_mb"] = sizes(last)
    runs: dict[str, tuple[Any, ...]] = {
        "verify": ("verify", last),
        "evaluate": ("evaluate", last, first / "buildings.gpkg", "--out", folder / "metrics.json"),
        "track": ("track", first, last, "--out", folder / "tracked", "-q"),
        "collect": ("collect", first, last, "--out", folder / "all"),
        "census": ("census", last),
    }
    for name, arguments in runs.items():
        told[name] = detect(*arguments)
        print(json.dumps({name: told[name]}), flush=True)
    told["track"]["files_mb"], told["collect"]["files_mb"] = sizes(folder / "tracked"), sizes(folder / "all")
    told["census"]["files_mb"] = sizes(last)
    return told


def repeat(source: Path, target: Path, side: int) -> None:
    """Write a result whose ground is that of another one, side × side times: tables, rasters, summary; the page stays that of one."""
    target.mkdir()
    summary = json.loads((source / "summary.json").read_text(encoding="utf-8"))
    layers = {name: gpd.read_file(source / "buildings.gpkg", layer=name) for name in ("buildings", "rows", "sites")}
    for name in ("mask.tif", "probability.tif", "stage.tif"):
        with rasterio.open(source / name) as raster:
            values, place, profile = raster.read(1), raster.transform, raster.profile
            profile |= {"driver": "GTiff", "height": side * raster.height, "width": side * raster.width, "bigtiff": "if_safer"}
        with rasterio.open(target / name, "w", **profile) as raster:
            for row in range(0, raster.height, len(values)):
                raster.write(np.tile(values, side), 1, window=Window(0, row, raster.width, len(values)))
    height_m, width_m = (n * place.a for n in values.shape)
    moves = [(x * width_m, -y * height_m) for y in range(side) for x in range(side)]
    moved = [layers["buildings"].set_geometry(layers["buildings"].translate(*move)) for move in moves]
    table = pd.concat(moved, ignore_index=True)
    table["id"] = np.arange(1, len(table) + 1)
    ground = layers["sites"].scale(side, side, origin=(place.c, place.f))
    write_gpkg(target / "buildings.gpkg", {**layers, "buildings": table, "sites": layers["sites"].set_geometry(ground)})
    write_parquet(target / "buildings.parquet", table)
    for name in ("report.html", "item.json"):
        shutil.copy(source / name, target / name)
    summary["scene"]["name"] = target.name
    summary["run"]["work_size_px"] = [side * n for n in summary["run"]["work_size_px"]]
    write_summary(target / "summary.json", sealed(summary, target))


def dense_towns() -> list[NDArray[np.uint8]]:
    """Two dates (3, 1024, 1024) of dim ground with small bright roofs of 4–6 m; a tenth is new at the second."""
    rng = np.random.default_rng(3)
    last = rng.integers(60, 64, (3, 1024, 1024), dtype=np.uint8)
    first, step = last.copy(), 1024 // ROOFS
    for row in range(0, 1024, step):
        for col in range(0, 1024, step):
            (height, width), (down, right) = rng.integers(14, 21, 2), rng.integers(4, 8, 2)
            roof = (slice(None), slice(row + down, row + down + height), slice(col + right, col + right + width))
            last[roof] += 150
            if rng.random() > 0.1:
                first[roof] += 150
    return [first, last]


def sparse(folder: Path, side_px: int) -> Report:
    """What opening a scene takes that stores nothing, up to the first block."""
    scene = folder / "empty.tif"
    profile = {
        "driver": "GTiff", "dtype": "uint8", "count": 3, "height": side_px, "width": side_px, "crs": "EPSG:32637", "nodata": 0,
        "transform": from_origin(400_000, 6_200_000, GSD_M, GSD_M), "tiled": True, "compress": "deflate", "sparse_ok": True,
        "bigtiff": "yes",
    }  # fmt: skip
    with rasterio.open(scene, "w", **profile):
        pass
    return {"mpx": side_px**2 / 1e6, "scene_mb": _mb(scene), **peak_of([sys.executable, "-c", _OPEN, str(scene)])}


def detect(*arguments: object) -> Report:
    """Run a verb, watched; also what it prints on stdout where that is JSON."""
    told, printed = watched([sys.executable, "-m", "detect", *map(str, arguments)])
    return told | ({"printed": printed} if "--json" in arguments else {})


def sizes(folder: Path) -> dict[str, float]:
    """MB of each file."""
    return {path.name: _mb(path) for path in sorted(folder.iterdir()) if path.is_file()}


def _mb(path: Path) -> float:
    return round(path.stat().st_size / 1e6, 1)


def keep(part: str, told: Report) -> None:
    """Print a part, and put it into the file of results."""
    report = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    machine = {"cores": os.cpu_count(), "python": platform.python_version(), **{name: version(name) for name in PACKAGES}}
    report[part] = {"machine": machine, **told}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(report[part], indent=1))


if __name__ == "__main__":
    raise SystemExit(main())
