"""How near predict comes to the bare network and to the processor's limit, and how far from it its peers stay.

    python benchmarks/inference.py [--scene IMAGE] [--compounds N] [--repeats N] [--workers N …] [--weights NAME …]
        [--peers [NAME …]]

The bare network is the shipped ONNX file in ONNX Runtime as it comes, on 512² tiles that lie in memory: no reading, no overlap. All run in
turn, so that a busy machine hurts all, and medians are compared. Pixels are those of the network's grid. Without a scene, simulated
compounds at the network's resolution. Each predict is a process of its own, whose time is counted from opening the scene and whose peak
memory is told; core-seconds are those of user and system, of the whole process.

``--peers`` runs GeoDeep, geoai-py (ONNX Runtime and torch) and torchgeo's grid sampler (with either) with the same network on the same
scene, see ``peers/run.py``, from a virtual environment that is made for them in ``results/peers`` and kept (network access, some GB).

The limit is the largest rate of float32 products that ONNX Runtime and NumPy reach with matrices of 4096²; the network's work is that of
its convolutions, two operations for each product. Writes benchmarks/results/inference.json.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import product
from pathlib import Path
from typing import Any

import detect  # noqa: F401 – before onnxruntime, whose telemetry it switches off

# isort: split
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

from detect.network.weights import Weights, load_weights
from detect.scene.scene import open_scene
from detect.simulate import simulate_compounds

RESULTS = Path(__file__).parent / "results" / "inference.json"
PEERS_HOME = RESULTS.parent / "peers"
PEERS_SCRIPT = Path(__file__).parent / "peers" / "run.py"
PEERS = ("geodeep", "geoai_onnx", "torchgeo_onnx", "torchgeo_torch", "geoai_torch")
TILE_PX = 512
MATRIX = 4096
_PREDICT = r"""
import json, pathlib, re, sys, time
from detect.runs.predict import predict
began = time.perf_counter()
result = predict(sys.argv[1], sys.argv[2], workers=int(sys.argv[3]) or None, weights=sys.argv[4])
spent, status = time.perf_counter() - began, pathlib.Path("/proc/self/status").read_text()
told = {"seconds": spent, "cpu": time.process_time(), "found": len(result.buildings)}
told["rss_mb"] = int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024  # getrusage counts what the parent held before
print(json.dumps(told | {f"{k}_s": v for k, v in result.summary["timings_s"].items() if k != "total"}))
"""


def _drawn(folder: Path, gsd_m: float, compounds: int) -> Path:
    (path,), _ = simulate_compounds(folder, seed=1, preset="rows", gsd_m=gsd_m, compounds=compounds)
    return path


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scene", type=Path)
    parser.add_argument("--compounds", type=int, default=16, help="in the simulated scene")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--workers", type=int, nargs="+", default=[0], help="of predict; 0: its default")
    parser.add_argument("--weights", nargs="+", default=["deep"], help="of predict; the bare network and peers have the first")
    parser.add_argument("--peers", nargs="*", choices=PEERS, help="which; all without a name")
    options = parser.parse_args()
    weights = load_weights(options.weights[0])
    assert weights.onnx is not None
    peers = PEERS if options.peers == [] else tuple(options.peers or ())
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        path = options.scene or _drawn(folder / "drawn", weights.gsd_m, options.compounds)
        megapixels = float(np.prod(open_scene(path).work_grid(weights.gsd_m).size_hw) / 1e6)
        if peers:
            _prepare_peers(folder / "tile", weights)
        runs: list[dict[str, dict[str, float]]] = []
        for repeat in range(options.repeats):
            run = {"limit": {"gflop_s": flop_limit()}, "bare": bare(weights.onnx)}
            for workers, name in product(options.workers, options.weights):
                label = f"predict {name}" + (f" {workers}" if workers else "")
                command = [sys.executable, "-c", _PREDICT, str(path), str(folder / f"{label}{repeat}"), str(workers), name]
                run[label] = _told_by(command, megapixels)
            for peer in peers:
                (folder / f"{peer}{repeat}").mkdir()
                run[peer] = _told_by([*_peer(peer), str(path), str(folder / "tile"), str(folder / f"{peer}{repeat}")], megapixels)
            runs.append(run)
            print(json.dumps({name: {k: round(v, 2) for k, v in told.items()} for name, told in run.items()}), flush=True)
    median = {name: {k: statistics.median(r[name][k] for r in runs) for k in told} for name, told in runs[0].items()}
    work = gflop_per_mpx(weights.onnx)
    report = {"megapixels": megapixels, "gflop_per_mpx": work, "median": median, "runs": runs}
    _print(report)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return 0


def _print(report: dict[str, Any]) -> None:
    """A line for each: its rate, that rate of the bare network's and of the processor's limit, core-seconds, memory."""
    median = report["median"]
    limit, bare_rate = median["limit"]["gflop_s"], median["bare"]["mpx_s"]
    print(f"{report['megapixels']:.1f} Mpx of {report['gflop_per_mpx']:.0f} GFLOP each; limit {limit:.0f} GFLOP/s")
    print(f"{'':20}{'Mpx/s':>8}{'of bare':>9}{'of limit':>9}{'core-s/Mpx':>12}{'peak MB':>9}{'found':>8}")
    for name, told in median.items():
        if name != "limit":
            rate = told["mpx_s"]
            shares = f"{rate:8.2f}{rate / bare_rate:9.2f}{rate * report['gflop_per_mpx'] / limit:9.2f}{told['cpu_per_mpx']:12.2f}"
            print(f"{name:20}{shares}{told.get('rss_mb', 0):9.0f}{told.get('found', 0):8.0f}")


def bare(path: Path, seconds: float = 5.0) -> dict[str, float]:
    """Megapixels per second of the network alone, and its core-seconds for each."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    tile = np.random.default_rng(0).random((1, 3, TILE_PX, TILE_PX), np.float32)
    session.run(None, {"image": tile})
    began, cpu, tiles = time.perf_counter(), time.process_time(), 0
    while (spent := time.perf_counter() - began) < seconds:
        session.run(None, {"image": tile})
        tiles += 1
    megapixels = tiles * TILE_PX**2 / 1e6
    return {"mpx_s": megapixels / spent, "cpu_per_mpx": (time.process_time() - cpu) / megapixels}


def flop_limit(tries: int = 3) -> float:
    """GFLOP/s of the better of two products of large matrices, the best of some tries."""
    a, b = np.random.default_rng(0).random((2, MATRIX, MATRIX), np.float32)
    square = [MATRIX, MATRIX]
    a_info, b_info, c_info = (helper.make_tensor_value_info(name, TensorProto.FLOAT, square) for name in "abc")
    graph = helper.make_graph([helper.make_node("MatMul", ["a", "b"], ["c"])], "product", [a_info, b_info], [c_info])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    seconds = []
    for _ in range(tries):
        for multiplied in (lambda: a @ b, lambda: session.run(None, {"a": a, "b": b})):
            began = time.perf_counter()
            multiplied()
            seconds.append(time.perf_counter() - began)
    return 2 * MATRIX**3 / min(seconds) / 1e9


def gflop_per_mpx(path: Path) -> float:
    """Of the network's convolutions, two for each product, without overlap."""
    model = onnx.load(path)
    for dim, value in zip(model.graph.input[0].type.tensor_type.shape.dim, (1, 3, TILE_PX, TILE_PX), strict=True):
        dim.dim_value = value
    graph = onnx.shape_inference.infer_shapes(model).graph
    sizes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in (*graph.value_info, *graph.output)}
    products = sum(np.prod(sizes[n.output[0]]) * np.prod(sizes[n.input[1]][1:]) for n in graph.node if n.op_type == "Conv")
    return float(2 * products / TILE_PX**2 / 1e3)


def _prepare_peers(model: Path, weights: Weights) -> None:
    """Their environment, and the network as they take it: ``<model>.onnx`` and ``<model>.pt``."""
    import torch

    from detect.network.model import load_network
    from detect.training.export import ClassNetwork, export

    export(weights.name, model.with_suffix(".onnx"), TILE_PX)
    network = ClassNetwork(load_network(weights), weights.card).eval()
    torch.jit.trace(network, torch.zeros(1, 3, TILE_PX, TILE_PX)).save(str(model.with_suffix(".pt")))
    if not PEERS_HOME.exists():
        subprocess.run([sys.executable, "-m", "venv", PEERS_HOME], check=True)
        packages = ("geodeep", "geoai-py[onnx]", "torchgeo", "onnxruntime")
        subprocess.run([PEERS_HOME / "bin" / "python", "-m", "pip", "install", "-q", *packages], check=True)


def _peer(name: str) -> list[str]:
    return [str(PEERS_HOME / "bin" / "python"), str(PEERS_SCRIPT), name]


def _told_by(command: list[str], megapixels: float) -> dict[str, float]:
    """The last line that a process prints, JSON, and its rates."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    told = dict(json.loads(done.stdout.strip().splitlines()[-1]))
    return told | {"mpx_s": megapixels / told["seconds"], "cpu_per_mpx": told["cpu"] / megapixels}


if __name__ == "__main__":
    raise SystemExit(main())
