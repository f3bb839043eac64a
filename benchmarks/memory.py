"""Peak memory and time of predict on scenes of any size: does memory stay, and does empty ground cost nothing?

    python benchmarks/memory.py [--sides PX …] [--sparse PX] [--network] [--workers N]

Scenes are RGB uint8 at the network's resolution, one drawn patch over and over, written block by block. Each predict is a process of its
own; told are the peak memory of it and its children together (``own``: without files mapped from disk and libraries, which the system takes
back when it needs to), seconds and core-seconds, also for each megapixel that is filled.

The network of ``--sides`` is a stand-in whose answers have the same shape: bright roofs are buildings, judged from brightness alone, so
that 1600 Mpx end within the hour on two cores; all else is as ever, with 250 buildings per Mpx, as in a dense town. It holds less memory
than the real one, so the smallest side is run with the real one too: what that holds more does not depend on the scene, since both see
tiles of one size. ``--network`` takes the real one for all. The ``--sparse`` scene, empty but for nine compounds, always has the real
network. Writes benchmarks/results/memory.json.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import onnx
import rasterio
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from rasterio.transform import from_origin
from rasterio.windows import Window

from detect.base.files import sha256_of
from detect.network.weights import Weights, load_weights
from detect.simulate import simulate_compounds

RESULTS = Path(__file__).parent / "results" / "memory.json"
_PREDICT = """
import json, sys, time
from detect.runs.predict import predict
began = time.perf_counter()
result = predict(sys.argv[1], sys.argv[2], weights=sys.argv[3], workers=int(sys.argv[4]) or None)
told = {"seconds": time.perf_counter() - began, "cpu": time.process_time(), "found": len(result.buildings)}
print(json.dumps(told | {f"{k}_s": v for k, v in result.summary["timings_s"].items()} | {"blocks": result.summary["blocks"]}))
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sides", type=int, nargs="*", default=[10_000, 40_000])
    parser.add_argument("--sparse", type=int, default=60_000, help="side of the sparse scene; 0 leaves it out")
    parser.add_argument("--network", action="store_true", help="the real network for all")
    parser.add_argument("--workers", type=int, default=0, help="of predict; 0: its default")
    options = parser.parse_args()
    weights = load_weights()
    report = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        compound, town = draw_compound(folder, weights.gsd_m), draw_town()
        stand_in = write_stand_in(folder / "stand-in", weights)
        tasks: list[tuple[int, bool, str]] = [
            (side, False, weights.name if options.network else stand_in) for side in options.sides
        ]
        if options.sides and not options.network:
            tasks.append((min(options.sides), False, weights.name))
        if options.sparse:
            tasks.append((options.sparse, True, weights.name))
        for side, sparse, name in tasks:
            scene = folder / "scene.tif"
            filled = write_scene(scene, compound if sparse else town, side, weights.gsd_m, sparse=sparse)
            told = {"side_px": side, "filled_mpx": filled / 1e6, "network": name == weights.name}
            told |= peak_of([sys.executable, "-c", _PREDICT, str(scene), str(folder / "out"), name, str(options.workers)])
            told["seconds_per_filled_mpx"] = told["seconds"] / told["filled_mpx"]
            told["cpu_per_filled_mpx"] = told["cpu"] / told["filled_mpx"]
            report.append(told)
            print(json.dumps(told), flush=True)
            shutil.rmtree(folder / "out")
            RESULTS.parent.mkdir(exist_ok=True)
            RESULTS.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return 0


def draw_town() -> NDArray[np.uint8]:
    """(3, 1024, 1024) of dim ground with 256 bright roofs of 8–13 m, as many as in a dense town."""
    rng = np.random.default_rng(3)
    town = rng.integers(60, 64, (3, 1024, 1024), dtype=np.uint8)
    for row in range(0, 1024, 64):
        for col in range(0, 1024, 64):
            (height, width), (down, right) = rng.integers(26, 44, 2), rng.integers(8, 14, 2)
            town[:, row + down : row + down + height, col + right : col + right + width] += 150
    return town


def draw_compound(folder: Path, gsd_m: float) -> NDArray[np.uint8]:
    """(3, H, W) of a drawn compound, cut to whole tiles of the file."""
    (path,), _ = simulate_compounds(folder / "patch", seed=3, preset="rows", gsd_m=gsd_m)
    with rasterio.open(path) as raster:
        values = raster.read()
    height, width = (n // 256 * 256 for n in values.shape[1:])
    return np.maximum(values[:, :height, :width], 1)  # zero is what was not observed


def write_scene(path: Path, patch: NDArray[np.uint8], side_px: int, gsd_m: float, *, sparse: bool) -> int:
    """A square scene of one patch over and over, or with nine of it only; the number of filled pixels."""
    height, width = patch.shape[1:]
    profile = {
        "driver": "GTiff", "dtype": "uint8", "count": 3, "height": side_px, "width": side_px, "crs": "EPSG:32637", "nodata": 0,
        "transform": from_origin(400_000, 6_200_000, gsd_m, gsd_m), "tiled": True, "blockxsize": 256, "blockysize": 256,
        "compress": "zstd", "zstd_level": 1, "interleave": "pixel", "photometric": "rgb", "bigtiff": "if_safer", "sparse_ok": True,
    }  # fmt: skip
    rows, cols = range(0, side_px, height), range(0, side_px, width)
    places = [(row, col) for row in rows for col in cols]
    if sparse:
        places = [(rows[i * len(rows) // 4], cols[j * len(cols) // 4]) for i in (1, 2, 3) for j in (1, 2, 3)]
    filled = 0
    with rasterio.open(path, "w", **profile) as raster:
        for row, col in places:
            part = patch[:, : side_px - row, : side_px - col]
            raster.write(part, window=Window(col, row, *part.shape[:0:-1]))
            filled += part[0].size
    return filled


def write_stand_in(folder: Path, weights: Weights) -> str:
    """Weights that take what is bright, once smoothed, for a complete building: one convolution and a sigmoid; the path of their card."""
    folder.mkdir()
    kernel = np.zeros((5, 3, 5, 5), np.float32)
    kernel[0] = 1 / 75
    scale = np.array([12, 0, 0, 0, 0], np.float32).reshape(1, 5, 1, 1)
    offset = np.array([-3, -3, -3, -3, 3], np.float32).reshape(1, 5, 1, 1)
    nodes = [
        helper.make_node("Conv", ["image", "kernel"], ["mean"], kernel_shape=[5, 5], pads=[2] * 4, dilations=[1, 1]),
        helper.make_node("Mul", ["mean", "scale"], ["scaled"]),
        helper.make_node("Add", ["scaled", "offset"], ["odds"]),
        helper.make_node("Sigmoid", ["odds"], ["probabilities"]),
    ]
    image, answer = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", channels, "h", "w"])
        for name, channels in (("image", 3), ("probabilities", 5))
    )
    given = [numpy_helper.from_array(v, n) for n, v in (("kernel", kernel), ("scale", scale), ("offset", offset))]
    graph = helper.make_graph(nodes, "brightness", [image], [answer], given)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), folder / "bright.onnx")
    card = weights.card | {
        "name": "bright",
        "files": {"onnx": {"name": "bright.onnx", "sha256": sha256_of(folder / "bright.onnx")}},
    }
    (folder / "bright.json").write_text(json.dumps(card))
    return str(folder / "bright.json")


def peak_of(command: list[str]) -> dict[str, float]:
    """What a process prints as JSON, and what ``watched`` measures of its memory."""
    told, printed = watched(command)
    return json.loads(printed.strip().splitlines()[-1]) | {name: told[name] for name in ("peak_mb", "peak_own_mb")}


def watched(command: list[str]) -> tuple[dict[str, float], str]:
    """Run a process: its seconds, core-seconds and largest memory, MB, with its children; and what it prints.

    Raises:
        SystemExit: the process failed.
    """
    import psutil

    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    peak, own = [0], [0]

    def watch() -> None:
        while process.poll() is None:
            try:
                first = psutil.Process(process.pid)
                held = [p.memory_info() for p in (first, *first.children(recursive=True))]
            except psutil.Error:
                continue
            peak[0] = max(peak[0], sum(m.rss for m in held))
            own[0] = max(own[0], sum(m.rss - m.shared for m in held))
            time.sleep(0.1)

    watcher = threading.Thread(target=watch)
    watcher.start()
    printed = process.communicate()[0]
    watcher.join()
    if process.returncode:
        raise SystemExit(process.returncode)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    told = {
        "seconds": round(time.perf_counter() - began, 1),
        "cpu": round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 1),
        "peak_mb": round(peak[0] / 1e6),
        "peak_own_mb": round(own[0] / 1e6),
    }
    return told, printed


if __name__ == "__main__":
    raise SystemExit(main())
