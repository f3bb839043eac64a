"""One peer over one scene, in the environment that ``benchmarks/inference.py`` makes for the peers; it needs nothing of this package.

    python benchmarks/peers/run.py PEER SCENE MODEL FOLDER

Each peer gets the same network as it likes it best: scores of two classes for pictures of 0–1, as ONNX (``MODEL.onnx``, fixed tiles) or as
TorchScript (``MODEL.pt``). Options are the peer's own defaults but for the tile, which is the model's. What is timed is from opening the
scene to polygons. Prints seconds, polygons and peak memory as JSON.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # before a peer imports onnxruntime
TILE_PX = 512
OVERLAP_PX = 256
"""Of torchgeo's sampler, which has no default: the halo of 128 px that ``detect predict`` uses, on both sides."""


def geodeep(scene: str, model: str, folder: Path) -> int:
    import geodeep as package

    return len(json.loads(package.segment(scene, f"{model}.onnx", output_type="geojson"))["features"])


def geoai_onnx(scene: str, model: str, folder: Path) -> int:
    from geoai.onnx import onnx_semantic_segmentation

    out = (str(folder / "mask.tif"), f"{model}.onnx", str(folder / "polygons.geojson"))
    return len(onnx_semantic_segmentation(scene, *out, tile_size=TILE_PX).get("geodataframe", ()))


def geoai_torch(scene: str, model: str, folder: Path) -> int:
    import torch
    from geoai.train import semantic_inference_on_geotiff
    from geoai.utils import raster_to_vector

    mask = str(folder / "mask.tif")
    semantic_inference_on_geotiff(torch.jit.load(f"{model}.pt"), scene, mask, window_size=TILE_PX, num_classes=2, quiet=True)
    return len(raster_to_vector(mask, str(folder / "polygons.geojson")))


def torchgeo_onnx(scene: str, model: str, folder: Path) -> int:
    import onnxruntime

    session = onnxruntime.InferenceSession(f"{model}.onnx", providers=["CPUExecutionProvider"])
    return _torchgeo(scene, lambda tiles: session.run(None, {"image": tiles})[0])


def torchgeo_torch(scene: str, model: str, folder: Path) -> int:
    import torch

    network = torch.jit.load(f"{model}.pt")

    def answer(tiles: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return network(torch.from_numpy(tiles)).numpy()

    return _torchgeo(scene, answer)


def _torchgeo(scene: str, network: Callable[[np.ndarray], np.ndarray]) -> int:
    """Its grid sampler and loader; it leaves stitching and polygons to the user, so both are done plainly here."""
    import rasterio
    from rasterio.features import shapes
    from torch.utils.data import DataLoader
    from torchgeo.datasets import RasterDataset, stack_samples
    from torchgeo.samplers import GridGeoSampler

    with rasterio.open(scene) as raster:
        to_px, shape = ~raster.transform, raster.shape
    dataset = RasterDataset(scene)
    sampler = GridGeoSampler(dataset, TILE_PX, TILE_PX - OVERLAP_PX)
    mask = np.zeros(shape, np.uint8)
    corners = [to_px * (x.start, y.stop) for x, y, *_ in sampler]
    loader = DataLoader(dataset, batch_size=1, sampler=sampler, collate_fn=stack_samples)
    for (left, top), batch in zip(corners, loader, strict=True):
        found = network(batch["image"].numpy() / np.float32(255)).argmax(axis=1).astype(np.uint8)[0]
        row, col = round(top), round(left)
        into = mask[max(row, 0) : row + TILE_PX, max(col, 0) : col + TILE_PX]
        into |= found[max(-row, 0) :, max(-col, 0) :][: into.shape[0], : into.shape[1]]
    return sum(1 for _ in shapes(mask, mask=mask > 0))


PEERS = {f.__name__: f for f in (geodeep, geoai_onnx, geoai_torch, torchgeo_onnx, torchgeo_torch)}


def main(peer: str, scene: str, model: str, folder: str) -> None:
    began = time.perf_counter()
    found = PEERS[peer](scene, model, Path(folder))
    spent = time.perf_counter() - began
    peak = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    assert peak is not None, "Linux tells the peak memory of a process"
    print(json.dumps({"seconds": spent, "cpu": time.process_time(), "found": found, "rss_mb": int(peak[1]) / 1024}))


if __name__ == "__main__":
    main(*sys.argv[1:])
