"""The second model: a small network predicts the stage of uncertain buildings from two crops with finer pixels than the main network's.

A crop lies in the middle of the footprint, and several lie along one that is longer than a crop. They are read directly from the
scene, and their places depend only on the footprint. So a building gets the same answer however the scene was cut into blocks.
Weights without such a network keep the stages of the main network (``stages.pool``).
"""

from __future__ import annotations

import math
import os
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
from detect.network.sessions import cpu_session, give_back, loading
from detect.network.weights import Weights
from detect.scene.reader import SceneReader
from detect.scene.scene import Scene, WorkGrid
from detect.scene.stretch import FILL

_BATCH = 16
"""Buildings per pass; bounds memory."""
_MOST_PLACES = 8
"""Along a footprint; bounds memory where something kilometres long is taken for a building."""
_WIDE = 4.0
"""How many times as far as that of the scene the stretch of crops reaches; a few bright roofs on dark ground lie that far beyond."""
_BRIGHT = 0.98
"""This share of a footprint's pixels is not cut off."""


class CropReader:
    """Reads the crops of footprints; several threads may call it, but one at a time reads."""

    def __init__(self, readers: Sequence[tuple[SceneReader, Affine]], crop_px: int, wide: float) -> None:
        """Take for each scale a reader, and the affine transform from pixels of footprints to its pixels.

        The readers' stretch reaches ``wide`` times as high as that of the scene.
        """
        self._readers, self._px, self._wide = readers, crop_px, wide
        self._lock = threading.Lock()  # rasterio changes warning filters for all threads

    def read(self, polygon: Any, *, along: bool = True) -> NDArray[np.float32]:
        """(places, scales, 4, S, S) of 0–1: red, green, blue as the network sees them, and the footprint; at least one place.

        Where the roof is brighter than the scene's stretch reaches, the crop is darkened: its joints would be lost.

        Args:
            polygon: the footprint, in pixels from which the readers' transforms lead.
            along: read as many places as it takes to cover a long footprint; otherwise its middle alone.
        """
        centres = self._centres(polygon) if along else np.array([_middle(polygon)])
        with self._lock:
            places = [self._at(polygon, centre) for centre in centres]
            return np.stack([place for place in places if place is not None] or [self._required(polygon)])

    @property
    def least(self) -> NDArray[np.float32]:
        """(1, scales, 4, S, S) of zeros, what ``read`` gives at least."""
        return np.zeros((1, len(self._readers), 4, self._px, self._px), np.float32)

    def _centres(self, polygon: Any) -> NDArray[np.float64]:
        """(places, 2) along the longer axis of a footprint: as many as it takes for the widest crops to cover it, within limits."""
        corners = shapely.get_coordinates(shapely.minimum_rotated_rectangle(polygon))
        if len(corners) < 4:
            return np.array([_middle(polygon)])
        axis = max(corners[1] - corners[0], corners[2] - corners[1], key=lambda side: float(side @ side))
        side = self._px * max(1.0 / math.sqrt(abs(to_px.determinant)) for _, to_px in self._readers)
        count = min(math.ceil(float(np.hypot(*axis)) / side), _MOST_PLACES)
        if count < 2:
            return np.array([_middle(polygon)])
        return corners[:4].mean(axis=0) + axis * ((np.arange(count) + 0.5) / count - 0.5)[:, None]

    def _at(self, polygon: Any, centre: NDArray[np.float64]) -> NDArray[np.float32] | None:
        """(scales, 4, S, S) around one place; None if a crop there shows nothing of the footprint."""
        crops = [self._crop(reader, to_px, polygon, centre) for reader, to_px in self._readers]
        return np.stack(crops) if all(crop[3].any() for crop in crops) else None

    def _required(self, polygon: Any) -> NDArray[np.float32]:
        """(scales, 4, S, S) around the middle, in which a footprint thinner than a pixel has one."""
        middle = _middle(polygon)
        return np.stack([self._crop(reader, to_px, polygon, middle, all_touched=True) for reader, to_px in self._readers])

    def _crop(
        self, reader: SceneReader, to_px: Affine, polygon: Any, centre: NDArray[np.float64], *, all_touched: bool = False
    ) -> NDArray[np.float32]:
        middle = to_px * tuple(centre)
        row0, col0 = (int(np.floor(at)) - self._px // 2 for at in (middle[1], middle[0]))
        values, valid = reader.read(Span(row0, col0, row0 + self._px, col0 + self._px))
        here = shapely.transform(moved(polygon, to_px), lambda xy: xy - (col0, row0))
        mask = rasterize([here], (self._px, self._px), all_touched=all_touched)
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


def by_building(values: NDArray[np.floating], places: Sequence[int]) -> NDArray[Any]:
    """Values (places of all buildings, V) → the mean (n, V) of each building's, given how many places each has."""
    counts = np.array(places)
    return np.asarray(np.add.reduceat(values, np.cumsum([0, *places])[:-1]) / counts[:, None].astype(values.dtype))


def _middle(polygon: Any) -> NDArray[np.float64]:
    """(2,) of its bounds."""
    west, north, east, south = polygon.bounds
    return np.array([(west + east) / 2, (north + south) / 2])


class StageHead:
    """The small network; thread-safe."""

    def __init__(self, weights: Weights, reader: CropReader, callers: int = 1) -> None:
        """Open the network.

        Args:
            weights: weights with a stage head.
            reader: reads the scene's crops.
            callers: threads that ask at the same time, which share the cores.

        Raises:
            InputError: ONNX Runtime cannot load the file.
        """
        with loading(weights.stage_onnx):
            self._session = _session(weights.stage_onnx, weights.stage_sha256, max(1, (os.cpu_count() or 1) // callers))
        self._reader = reader

    def __call__(self, footprints: NDArray[np.object_]) -> NDArray[np.float64]:
        """Stage probabilities (n, 3) of footprints (n,) in pixels of the reader's grid, rows summing to one.

        Of several places along a footprint, the geometric mean: that of their features, since the last layer is linear.
        """
        parts = [self._pass(footprints[i : i + _BATCH]) for i in range(0, len(footprints), _BATCH)]
        return np.concatenate(parts) if parts else np.zeros((0, len(STAGES)))

    def rest(self) -> None:
        """Give back memory until the next call."""
        give_back(self._session, {"crops": self._reader.least})

    def _pass(self, footprints: NDArray[np.object_]) -> NDArray[np.float64]:
        places = [self._reader.read(polygon) for polygon in footprints]
        crops = np.concatenate(places)
        logs = np.concatenate(
            [
                np.log(np.maximum(self._session.run(None, {"crops": crops[i : i + _BATCH]})[0], 1e-9))
                for i in range(0, len(crops), _BATCH)
            ]
        ).astype(np.float64)
        p = np.exp(by_building(logs, [*map(len, places)]))
        return np.asarray(p / p.sum(axis=1, keepdims=True))


@lru_cache(maxsize=1)
def _session(path: Any, _sha256: str | None, threads: int) -> Any:
    """One for all scenes of a call; it runs only at times, between other work."""
    return cpu_session(path, threads, spins=False, tight=True, enable_mem_pattern=False)


@contextmanager
def open_stage_head(weights: Weights, scene: Scene, grid: WorkGrid, callers: int = 1) -> Iterator[StageHead | None]:
    """The stage head for a scene, and for so many threads at once; None if the weights have none."""
    look = weights.card.stage_head
    if look is None or weights.stage_onnx is None:
        yield None
        return
    with crop_reader(scene, grid, look.gsds_m, look.crop_px) as reader:
        stage_head = StageHead(weights, reader, callers)
        yield stage_head
        stage_head.rest()
