"""Turn the groups of a scene into buildings: footprint, stage and score of each.

All coordinates are pixels of the work grid (x = column, y = row, pixel corners at integers); its pixels are square on the ground
to a fraction of a per cent. Only ``extract_buildings`` reads all stored heads.
"""

from __future__ import annotations

import math
import os
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import reduce
from itertools import chain

import cv2
import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning
from rasterio.features import shapes
from shapely import Polygon

from detect.base.grid import Span
from detect.base.stages import STAGES, combine, pool
from detect.base.values import TOP
from detect.buildings.instances import Group, InstanceParams, batches, groups_mask, split_group
from detect.buildings.squaring import square_all
from detect.network.heads import BOUNDARY, FOOTPRINT, STAGE_HEADS

WINDOWS_AT_ONCE = 4
"""Most threads that outline buildings; each holds a window in memory."""


@dataclass(frozen=True, slots=True)
class RawBuilding:
    """A building before it is measured on the ground."""

    polygon_px: Polygon
    """Squared footprint on the scene's work grid."""
    score: float
    """Mean footprint probability of its pixels."""
    stage_p: tuple[float, float, float]
    """Probability of foundation, incomplete, complete; sums to one."""
    touches_edge: bool
    """A pixel lies on the scene's border or beside one without observation."""


Paint = Callable[[Span, NDArray[np.uint8]], None]
"""Called with a window and (H, W) stage codes 1–3 of the buildings' pixels in it, 0 elsewhere."""
Classify = Callable[[NDArray[np.object_]], NDArray[np.float64]]
"""Footprints (n,) on the scene's work grid → stage probabilities (n, 3); called by several threads."""


@dataclass(frozen=True)
class Reading:
    """Parameters that turn stored heads into buildings; the defaults use the network's output unchanged."""

    params: InstanceParams = field(default_factory=InstanceParams)
    """How groups are split."""
    scores: NDArray[np.uint8] = field(default_factory=lambda: np.arange(256, dtype=np.uint8))
    """(256,) calibrated probability for each stored one (``detect.network.probabilities.calibrated``); a score averages these."""
    temperature: float = 1.0
    """Temperature of the stage calibration."""
    class_weights: tuple[float, ...] = (1.0,) * len(STAGES)
    """Weight of each stage in the training loss."""
    classify: Classify | None = None
    """Second model, asked about uncertain buildings too (``stages.combine``); None: the stage heads decide alone."""
    sure_from: float = math.inf
    """A building is uncertain if the stage heads give it a lower probability of being complete."""


def polygonise(labels: NDArray[np.int32]) -> dict[int, Polygon]:
    """The exact pixel outline of every label, with holes; labels are 4-connected."""
    values, rings, corners = [], [], []
    for i, (geometry, value) in enumerate(shapes(labels, mask=labels > 0, connectivity=4)):
        values.append(int(value))
        rings += [i] * len(geometry["coordinates"])
        corners += geometry["coordinates"]
    if not values:
        return {}
    points = np.array(list(chain.from_iterable(corners)))
    ring = np.repeat(np.arange(len(corners)), [len(ring) for ring in corners])
    polygons = shapely.polygons(shapely.linearrings(points, indices=ring), indices=rings)
    return dict(zip(values, polygons, strict=True))


def extract_buildings(
    read_heads: Callable[[Span], NDArray[np.uint8]],
    groups: list[Group],
    size_hw: tuple[int, int],
    reading: Reading,
    *,
    paint: Paint | None = None,
) -> list[RawBuilding]:
    """Extract all buildings of a scene, in the order of the groups; within a group by first pixel.

    Args:
        read_heads: span of the scene → heads (5, H, W) uint8; called by one thread at a time.
        groups: result of ``find_groups`` at the same threshold.
        size_hw: size of the scene's work grid, pixels.
        reading: how the heads are read.
        paint: receives the pixels and stages of the buildings, window by window.
    """
    groups = [g for g in groups if g.area_px >= reading.params.min_area_px]
    windows = _Windows(read_heads, groups, size_hw, reading, paint)
    with warnings.catch_warnings(), ThreadPoolExecutor(min(WINDOWS_AT_ONCE, os.cpu_count() or 1)) as threads:
        # rasterio hides this warning while it outlines labels, but shapely may restore the filters meanwhile, in another thread.
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        found = [building for part in threads.map(windows.buildings, batches(groups)) for building in part]
    found.sort(key=lambda f: f[:2])
    return [building for _, _, building in found]


class _Windows:
    """Turns groups into buildings, a window at a time; several threads may call it."""

    def __init__(
        self,
        read_heads: Callable[[Span], NDArray[np.uint8]],
        groups: list[Group],
        size_hw: tuple[int, int],
        reading: Reading,
        paint: Paint | None,
    ) -> None:
        self._read_heads, self._groups, self._size_hw, self._reading, self._paint = read_heads, groups, size_hw, reading, paint
        self._gdal = threading.Lock()  # one thread at a time: a GDAL file needs it, and rasterio changes warning filters for all

    def buildings(self, numbers: list[int]) -> list[tuple[int, int, RawBuilding]]:
        """The buildings of some groups, as (group number, index in the window, building)."""
        groups, params = [self._groups[i] for i in numbers], self._reading.params
        window = reduce(Span.union, (g.span for g in groups))
        span = window.pad(1).clip(self._size_hw)  # one pixel more on each side shows whether a neighbour was observed
        with self._gdal:
            heads_around = self._read_heads(span)
        inner = window.shift(-span.row0, -span.col0)
        heads = heads_around[(slice(None), *inner.slices())]
        mask, owner = groups_mask(heads[FOOTPRINT], groups, (window.row0, window.col0), params.threshold_u8)
        labels = split_group(heads[FOOTPRINT], heads[BOUNDARY], mask, params)
        if not labels.any():
            return []
        footprints = self._footprints(labels, window)
        big_enough = shapely.area(footprints) >= params.min_area_px
        stage_p = self._stages(heads[STAGE_HEADS], labels, footprints, big_enough)
        scores = self._scores(heads[FOOTPRINT], labels)
        if self._paint is not None:
            codes = np.where(big_enough, stage_p.argmax(axis=1) + 1, 0)
            self._paint(window, np.append(0, codes).astype(np.uint8)[labels])
        at_edge = _at_edge(labels, heads_around[FOOTPRINT], inner, span, self._size_hw)
        group = np.zeros(len(footprints), np.int64)
        group[labels[labels > 0] - 1] = owner[labels > 0] - 1
        return [
            (numbers[group[i]], i, RawBuilding(footprints[i], float(scores[i]), tuple(stage_p[i].tolist()), i + 1 in at_edge))
            for i in np.flatnonzero(big_enough).tolist()
        ]

    def _footprints(self, labels: NDArray[np.int32], window: Span) -> NDArray[np.object_]:
        """Squared outline (n,) of each label, in pixels of the scene."""
        with self._gdal:
            outlines = polygonise(labels)
        local = np.array([outlines[i] for i in range(1, len(outlines) + 1)], dtype=object)
        origin_xy = np.array([window.col0, window.row0])
        return square_all(shapely.transform(local, lambda xy: xy + origin_xy))

    def _stages(
        self, heads: NDArray[np.uint8], labels: NDArray[np.int32], footprints: NDArray[np.object_], big_enough: NDArray[np.bool_]
    ) -> NDArray[np.float64]:
        """Stage probabilities (n, 3) of each label: pooled over its pixels, combined with the second model's if uncertain."""
        reading, inside = self._reading, labels > 0
        pooled = np.minimum(heads[:, inside], TOP)
        stage_p = pool(pooled, labels[inside], len(footprints), reading.temperature, reading.class_weights)
        if reading.classify is not None:
            uncertain = big_enough & (stage_p[:, STAGES.index("complete")] < reading.sure_from)
            stage_p[uncertain] = combine(stage_p[uncertain], reading.classify(footprints[uncertain]))
        return stage_p

    def _scores(self, footprint: NDArray[np.uint8], labels: NDArray[np.int32]) -> NDArray[np.float64]:
        """Mean probability (n,) of each label's pixels."""
        inside = labels > 0
        place = labels[inside] - 1
        return np.bincount(place, weights=self._reading.scores[footprint[inside]]) / np.bincount(place) / TOP


def _at_edge(
    labels: NDArray[np.int32], footprint: NDArray[np.uint8], inner: Span, span: Span, size_hw: tuple[int, int]
) -> set[int]:
    """Labels with a pixel on the scene's border or beside one without observation."""
    missing = np.pad(footprint > TOP, 1)
    rows, cols = span.size_hw
    # Beyond the scene nothing was observed either.
    missing[0, :] |= span.row0 == 0
    missing[-1, :] |= span.row1 == size_hw[0]
    missing[:, 0] |= span.col0 == 0
    missing[:, -1] |= span.col1 == size_hw[1]
    beside = cv2.dilate(missing.astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3)))
    near = beside[1 : rows + 1, 1 : cols + 1][inner.slices()] > 0
    return set(np.unique(labels[near]).tolist()) - {0}
