"""The second model: a small network predicts the stage of uncertain buildings from two crops with finer pixels than the main network's.

A crop is centred on the footprint and read directly from the scene; its position depends only on the footprint. So a building
gets the same answer however the scene was cut into blocks. Weights without such a network keep the stages of the main network
(``stages.pool``).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.features import rasterize

from detect.base.geometry import moved
from detect.base.grid import Span
from detect.base.stages import STAGES
from detect.network.sessions import cpu_session, loading
from detect.network.weights import Weights
from detect.scene.reader import SceneReader
from detect.scene.scene import Scene, WorkGrid
from detect.scene.stretch import FILL

_BATCH = 16
"""Buildings per pass; bounds memory."""
_WIDE = 4.0
"""How many times as far as that of the scene the stretch of crops reaches; a few bright roofs on dark ground lie that far beyond."""
_BRIGHT = 0.98
"""This share of a footprint's pixels is not cut off."""


class CropReader:
    """Reads the crops of footprints; holds file handles, so use it under one lock."""

    def __init__(self, readers: Sequence[tuple[SceneReader, Affine]], crop_px: int, wide: float) -> None:
        """Take for each scale a reader, and the affine transform from pixels of footprints to its pixels.

        The readers' stretch reaches ``wide`` times as high as that of the scene.
        """
        self._readers, self._px, self._wide = readers, crop_px, wide

    def read(self, polygon: Any) -> NDArray[np.float32]:
        """(scales, 4, S, S) of 0–1: red, green, blue as the network sees them, and the footprint.

        Where the roof is brighter than the scene's stretch reaches, the crop is darkened: its joints would be lost.
        """
        return np.stack([self._crop(reader, moved(polygon, to_px)) for reader, to_px in self._readers])

    def _crop(self, reader: SceneReader, polygon: Any) -> NDArray[np.float32]:
        west, north, east, south = polygon.bounds
        row0, col0 = (int(np.floor((low + high) / 2)) - self._px // 2 for low, high in ((north, south), (west, east)))
        values, valid = reader.read(Span(row0, col0, row0 + self._px, col0 + self._px))
        here = [shapely.transform(polygon, lambda xy: xy - (col0, row0))]
        size_hw = (self._px, self._px)
        mask = rasterize(here, size_hw)
        if not mask.any():  # thinner than a pixel
            mask = rasterize(here, size_hw, all_touched=True)
        return np.concatenate([self._shown(values, valid, mask > 0), mask[None].astype(np.float32)])

    def _shown(self, values: NDArray[np.float32], valid: NDArray[np.bool_], inside: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Values of the wide stretch → those of the scene's own, darkened where the footprint would otherwise be white without a joint."""
        missing = ~valid & (values == FILL).all(axis=0)
        shown = values * np.float32(self._wide)
        roof = inside & ~missing
        if roof.any():
            shown /= max(1.0, float(np.quantile(shown[:, roof].max(axis=0), _BRIGHT)))
        shown[:, missing] = FILL
        return np.clip(shown, 0, 1, out=shown)


@contextmanager
def crop_reader(scene: Scene, grid: WorkGrid, gsds_m: Sequence[float], crop_px: int) -> Iterator[CropReader]:
    """A reader of crops of footprints in pixels of ``grid``.

    Args:
        scene: the scene of the footprints.
        grid: work grid of the footprints.
        gsds_m: ground size of the crops' pixels, one per scale, metres.
        crop_px: side of a crop.
    """
    lo, hi = scene.stretch_lo, scene.stretch_hi
    first, second, third = (low + _WIDE * (high - low) for low, high in zip(lo, hi, strict=True))
    with replace(scene, stretch_hi=(first, second, third)).reader(grid) as reader:
        grids = [scene.work_grid(gsd_m) for gsd_m in gsds_m]
        on_grids = [(reader.on(own), ~own.transform * grid.transform) for own in grids]
        yield CropReader(on_grids, crop_px, wide=_WIDE**scene.gamma)


class StageHead:
    """The small network; thread-safe."""

    def __init__(self, weights: Weights, reader: CropReader, threads: int | None = None) -> None:
        """Open the network.

        Args:
            weights: weights with a stage head.
            reader: reads the scene's crops.
            threads: threads per pass, default all cores.

        Raises:
            InputError: ONNX Runtime cannot load the file.
        """
        with loading(weights.stage_onnx):
            self._session = _session(weights.stage_onnx, weights.stage_sha256, threads)
        self._reader = reader
        self._lock = threading.Lock()

    def __call__(self, footprints: NDArray[np.object_]) -> NDArray[np.float64]:
        """Stage probabilities (n, 3) of footprints (n,) in pixels of the reader's grid, rows summing to one."""
        with self._lock:
            parts = [self._pass(footprints[i : i + _BATCH]) for i in range(0, len(footprints), _BATCH)]
        return np.concatenate(parts) if parts else np.zeros((0, len(STAGES)))

    def _pass(self, footprints: NDArray[np.object_]) -> NDArray[np.float64]:
        crops = np.stack([self._reader.read(polygon) for polygon in footprints])
        p = self._session.run(None, {"crops": crops})[0].astype(np.float64)
        return p / p.sum(axis=1, keepdims=True)


@lru_cache(maxsize=1)
def _session(path: Any, _sha256: str | None, threads: int | None) -> Any:
    """One for all scenes of a call; it runs only at times, between other work."""
    return cpu_session(path, threads, spins=False)


@contextmanager
def open_stage_head(weights: Weights, scene: Scene, grid: WorkGrid) -> Iterator[StageHead | None]:
    """The stage head for a scene; None if the weights have none."""
    look = weights.card.stage_head
    if look is None or weights.stage_onnx is None:
        yield None
        return
    with crop_reader(scene, grid, look.gsds_m, look.crop_px) as reader:
        yield StageHead(weights, reader)
