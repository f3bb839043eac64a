"""How near predict comes to the bare network: megapixels per second from reading to polygons, and of ONNX Runtime alone.

    python benchmarks/inference.py [--scene IMAGE] [--compounds N] [--repeats N] [--geodeep]

The bare network is the shipped ONNX file in ONNX Runtime as it comes, on 512² tiles that lie in memory: no reading, no overlap. Both run in
turn, so that a busy machine hurts both, and medians are compared. Pixels are those of the network's grid. Without a scene, simulated
compounds at the network's resolution. Each predict is a process of its own, whose time is counted from opening the scene and whose peak
memory is told. ``--geodeep`` runs GeoDeep with the same network on the same scene, from a virtual environment that is made for it (network
access). Writes benchmarks/results/inference.json.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnxruntime

from detect.scene import open_scene
from detect.simulate import simulate
from detect.weights import load_weights

RESULTS = Path(__file__).parent / "results" / "inference.json"
TILE_PX = 512
_PREDICT = """
import json, resource, sys, time
from detect.pipeline import predict
began = time.perf_counter()
result = predict(sys.argv[1], sys.argv[2])
timings = result.summary["timings_s"] | {"all": time.perf_counter() - began}
print(json.dumps(timings | {"found": len(result.buildings), "rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
"""
_GEODEEP = """
import sys, time, geodeep
began = time.perf_counter()
geodeep.segment(sys.argv[1], sys.argv[2], output_type="geojson")
print(time.perf_counter() - began)
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scene", type=Path)
    parser.add_argument("--compounds", type=int, default=16, help="in the simulated scene")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--geodeep", action="store_true")
    options = parser.parse_args()
    weights = load_weights()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        path = options.scene or simulate(folder / "drawn", seed=1, gsd_m=weights.gsd_m, compounds=options.compounds)[0]
        megapixels = np.prod(open_scene(path).work_grid(weights.gsd_m).size_hw) / 1e6
        geodeep = _prepare_geodeep(folder) if options.geodeep else None
        runs = []
        for repeat in range(options.repeats):
            run = {"bare_mpx_s": bare_rate(weights.onnx)} | predict_once(path, folder / str(repeat))
            if geodeep:
                run["geodeep_mpx_s"] = megapixels / float(_output_of([*geodeep, str(path), str(folder / "tile.onnx")]))
            run["predict_mpx_s"] = megapixels / run["all"]
            runs.append(run)
            print(" ".join(f"{key} {value:.2f}" for key, value in run.items()), flush=True)
    median = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
    report = {"megapixels": megapixels, "median": median, "ratio": median["predict_mpx_s"] / median["bare_mpx_s"], "runs": runs}
    print(
        f"{megapixels:.1f} Mpx: bare {median['bare_mpx_s']:.2f} Mpx/s, predict {median['predict_mpx_s']:.2f}, ratio {report['ratio']:.2f}"
    )
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return 0


def bare_rate(onnx: Path | None, seconds: float = 5.0) -> float:
    """Megapixels per second of the network alone."""
    session = onnxruntime.InferenceSession(onnx, providers=["CPUExecutionProvider"])
    tile = np.random.default_rng(0).random((1, 3, TILE_PX, TILE_PX), np.float32)
    session.run(None, {"image": tile})
    began, tiles = time.perf_counter(), 0
    while (spent := time.perf_counter() - began) < seconds:
        session.run(None, {"image": tile})
        tiles += 1
    return tiles * TILE_PX**2 / spent / 1e6


def predict_once(scene: Path, out: Path) -> dict[str, float]:
    """Timings, seconds, of one run in a process of its own; its buildings and peak memory, MB."""
    return dict(json.loads(_output_of([sys.executable, "-c", _PREDICT, str(scene), str(out)])))


def _prepare_geodeep(folder: Path) -> list[str]:
    """The command that runs GeoDeep, in an environment of its own."""
    subprocess.run([sys.executable, "-m", "venv", folder / "peers"], check=True)
    python = str(folder / "peers" / "bin" / "python")
    subprocess.run([python, "-m", "pip", "install", "-q", "geodeep"], check=True)
    subprocess.run(
        [sys.executable, "-m", "detect", "export", "base", "--out", folder / "tile.onnx", "--tile", str(TILE_PX)], check=True
    )
    return [python, "-c", _GEODEEP]


def _output_of(command: list[str]) -> str:
    """The last line that a command prints."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip().splitlines()[-1]


if __name__ == "__main__":
    raise SystemExit(main())
