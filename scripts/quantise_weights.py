"""Weights whose convolutions compute in 8-bit integers: half the time on a CPU with VNNI, a quarter of the bytes, somewhat other answers.

    python scripts/quantise_weights.py deep --out FOLDER SCENE… [--gsd METRES] [--tiles N]

Ranges of the activations are calibrated on tiles of the scenes, which should be places that trained the weights. The first and the last
convolution, and what follows it, stay float32. Matrices get 7 bits, so that processors without VNNI, whose 8-bit sums would overflow,
give the same. Writes ``<name>-int8.onnx`` and its card.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path

import detect  # noqa: F401 – before onnxruntime, whose telemetry it switches off

# isort: split
import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from detect.base.errors import DetectError
from detect.base.files import sha256_of
from detect.base.grid import Span
from detect.network.graphs import plain_graph
from detect.network.weights import Weights, load_weights
from detect.scene.scene import open_scene

TILE_PX = 512
QUANTISED = ["Conv", "Add", "Concat", "Resize", "Clip", "Relu"]


def main() -> int:
    """Quantise what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights")
    parser.add_argument("scenes", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--gsd", type=float, help="of scenes without georeference")
    parser.add_argument("--tiles", type=int, default=24)
    options = parser.parse_args()
    try:
        run(options)
    except DetectError as error:
        print(f"quantise_weights: error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def run(options: argparse.Namespace) -> None:
    """Calibrate, quantise, write the card."""
    weights = load_weights(options.weights)
    tiles = [tile for path in options.scenes for tile in tiles_of(path, weights, options.gsd)]
    np.random.default_rng(0).shuffle(tiles)
    print(f"{len(tiles)} tiles, calibrated on {min(options.tiles, len(tiles))}")
    options.out.mkdir(parents=True, exist_ok=True)
    name = f"{weights.name}-int8"
    target = options.out / f"{name}.onnx"
    quantise(weights, tiles[: options.tiles], target)
    told = f"{weights.name} in 8-bit integers; what was not measured anew is that of {weights.name} in float32"
    files = {"onnx": {"name": target.name, "sha256": sha256_of(target)}}
    if weights.stage_onnx is not None:  # the same small network looks again
        files["stage"] = weights.card["files"]["stage"]
        if not (options.out / weights.stage_onnx.name).exists():
            shutil.copyfile(weights.stage_onnx, options.out / weights.stage_onnx.name)
    card = weights.card | {"name": name, "files": files, "quantised": told}
    target.with_suffix(".json").write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")


def tiles_of(path: Path, weights: Weights, gsd_m: float | None) -> list[NDArray[np.float32]]:
    """Some tiles (1, 3, H, W) of a scene as the network sees them, in places drawn by chance."""
    scene = open_scene(path, gsd_m=gsd_m)
    grid, rng, tiles = scene.work_grid(weights.read_gsd_m(scene.gsd_m)), np.random.default_rng(0), []
    mean, sd = (np.asarray(weights.card["normalisation"][k], np.float32)[:, None, None] for k in ("mean", "std"))
    with scene.reader(grid) as reader:
        for _ in range(2 if max(grid.size_hw) < 3 * TILE_PX else 6):
            row, col = (int(rng.integers(0, max(1, n - TILE_PX))) for n in grid.size_hw)
            values, seen = reader.read(Span(row, col, row + TILE_PX, col + TILE_PX))
            if seen.mean() > 0.7:
                tiles.append(((values - mean) / sd)[None].astype(np.float32))
    return tiles


class Tiles(CalibrationDataReader):
    """Tiles one after the other."""

    def __init__(self, tiles: list[NDArray[np.float32]]) -> None:
        self._left = iter(tiles)

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        """The next tile, None after the last."""
        tile = next(self._left, None)
        return None if tile is None else {"image": tile}


def quantise(weights: Weights, tiles: list[NDArray[np.float32]], target: Path) -> None:
    """Write the quantised graph."""
    assert weights.onnx is not None
    with tempfile.TemporaryDirectory() as temporary:
        folded = Path(temporary) / "folded.onnx"
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC  # widens and folds constants
        options.optimized_model_filepath = str(folded)
        graph = plain_graph(weights.onnx)
        onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        nodes = onnx.load(folded).graph.node
        convolutions = [i for i, node in enumerate(nodes) if node.op_type == "Conv"]
        exact = [nodes[convolutions[0]].name, *(node.name for node in nodes[convolutions[-1] :])]
        quantize_static(
            folded,
            target,
            Tiles(tiles),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=QUANTISED,
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=exact,
            extra_options={"CalibMovingAverage": True},
        )
    model = onnx.load(target)
    known = {p.key: p.value for p in onnx.load(weights.onnx).metadata_props}
    helper.set_model_props(model, known | {"detect_weights": f"{weights.name}-int8"})
    onnx.save(model, target)


if __name__ == "__main__":
    raise SystemExit(main())
