"""How many small scenes one call of predict does in a second, against another checkout, in turn.

    python benchmarks/small_scenes.py [--before DIR] [--chips N] [--side PX] [--repeats N] [--weights NAME] [--outputs NAMES]

Chips are cut from one drawn compound after the other, at 0.5 m per pixel, and lie apart, so that none share ground. Each call is a process
of its own, from the shell: what a first chip takes is told too (a call with one). Both checkouts take turns, so that a busy machine hurts
both, and the medians are compared. Core-seconds, of all processes of a call, hardly depend on what else the machine does. With
``--before``, the files of both are compared: rasters and the tables of buildings, byte by byte.
Writes benchmarks/results/small_scenes.json.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine

from detect.simulate import simulate_compounds

ROOT = Path(__file__).resolve().parents[1]
RESULTS = Path(__file__).parent / "results" / "small_scenes.json"
COMPARED = ("mask.tif", "probability.tif", "stage.tif", "buildings.parquet", "buildings.kmz")
APART_M = 1000.0


def main() -> int:
    """Print the table; 1 if the files differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, help="another checkout")
    parser.add_argument("--chips", type=int, default=500)
    parser.add_argument("--side", type=int, default=256, help="of a chip, pixels")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--weights", default="deep")
    parser.add_argument("--outputs", help="of predict, of this checkout alone")
    options = parser.parse_args()
    checkouts = {"this": ROOT} | ({} if options.before is None else {"before": options.before.resolve()})
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in checkouts}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        chips = cut_chips(folder / "chips", options.chips, options.side)
        for repeat in range(options.repeats):
            for name, checkout in checkouts.items():
                wanted = ["--weights", options.weights]
                wanted += ["--outputs", options.outputs] if options.outputs and name == "this" else []
                one = timed(checkout, [*map(str, chips[:1]), *wanted, "--out", str(folder / f"one-{name}{repeat}")])
                all_of_them = timed(checkout, [*map(str, chips), *wanted, "--out", str(folder / f"{name}{repeat}")])
                runs[name].append({f"one_{k}": v for k, v in one.items()} | all_of_them)
                print(name, json.dumps({k: round(v, 2) for k, v in runs[name][-1].items()}), flush=True)
        differ = [] if options.before is None or options.outputs else differences(folder / "before0", folder / "this0")
    report = {name: {k: statistics.median(run[k] for run in of) for k in of[0]} for name, of in runs.items()}
    for name, median in report.items():
        rate, cores = options.chips / median["seconds"], median["cpu"] / options.chips
        print(
            f"{name:7} one chip {median['one_seconds']:6.2f} s, {median['one_cpu']:5.2f} core-s; "
            f"{options.chips} chips {rate:6.2f} a second, {cores:5.2f} core-s each"
        )
    if "before" in report:
        print(f"{report['before']['seconds'] / report['this']['seconds']:.1f} × the scenes a second; {len(differ)} files differ")
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({"chips": options.chips, "median": report, "runs": runs}, indent=1) + "\n", encoding="utf-8")
    return 1 if differ else 0


def cut_chips(folder: Path, count: int, side_px: int) -> list[Path]:
    """GeoTIFFs of one size, each in a place of its own."""
    folder.mkdir()
    chips: list[Path] = []
    seed = 0
    while len(chips) < count:
        (path,), _ = simulate_compounds(folder.parent / f"compound{seed}", seed=seed)
        seed += 1
        with rasterio.open(path) as raster:
            values, profile, tags = raster.read(), raster.profile, raster.tags()
        for row in range(0, values.shape[1] - side_px + 1, side_px):
            for col in range(0, values.shape[2] - side_px + 1, side_px):
                if len(chips) < count:
                    east, north = divmod(len(chips), 30)
                    place = Affine.translation(APART_M * east, APART_M * north) * profile["transform"]
                    chips.append(
                        _write(
                            folder / f"chip{len(chips):04}.tif",
                            values[:, row : row + side_px, col : col + side_px],
                            place,
                            profile,
                        )
                    )
                    with rasterio.open(chips[-1], "r+") as chip:
                        chip.update_tags(**tags)
    return chips


def _write(path: Path, values: np.ndarray, place: Affine, like: dict[str, object]) -> Path:
    profile = {
        "driver": "GTiff",
        "dtype": "uint8",
        "count": len(values),
        "crs": like["crs"],
        "transform": place,
        "compress": "deflate",
    }
    with rasterio.open(path, "w", height=values.shape[1], width=values.shape[2], **profile) as chip:
        chip.write(values)
    return path


def timed(checkout: Path, arguments: list[str]) -> dict[str, float]:
    """Seconds and core-seconds of one ``detect predict``, its processes included."""
    environment = os.environ | {"PYTHONPATH": str(checkout)}
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = [sys.executable, "-m", "detect", "predict", *arguments, "-q"]
    subprocess.run(command, check=True, env=environment, cwd=checkout, stdout=subprocess.DEVNULL)
    spent, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return {"seconds": spent, "cpu": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime}


def differences(before: Path, now: Path) -> list[str]:
    """Files of two folders of results that are not the same."""
    names = [path.relative_to(before) for path in sorted(before.glob("[!.]*/*")) if path.name in COMPARED]
    return [str(name) for name in names if (before / name).read_bytes() != (now / name).read_bytes()]


if __name__ == "__main__":
    sys.exit(main())
