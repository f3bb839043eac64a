"""Resample a raster so that no pixel depends on the span that is read: weights come from absolute positions, sums have a fixed order."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

AREA_ONLY = 2.0
"""A scene reduced by this factor or more is averaged over its pixels without smoothing: the mean removes their noise."""


@lru_cache(maxsize=64)  # strips of a tile, and tiles of one row or column, share them
def axis_weights(start: int, stop: int, scale: float, size: int, *, smooth: bool) -> tuple[csr_array, int]:
    """Weights (work pixels, native pixels) of one axis and the first native pixel they touch.

    A work pixel is the mean of the scene over its own extent. Without ``smooth``, the scene consists of its pixels: reduced by
    2.5, work pixel 1 spans native 2.5–5.0 and takes half of 2 and all of 3 and 4, each over 2.5. With ``smooth``, it is their
    cubic B-spline, which removes noise near the pixel's own frequency, as this noise changes if a scene was resampled before.
    Beyond the edge the scene is mirrored. Weights depend only on absolute positions, so they are the same for every span.
    """
    kept, weights = _taps(start, stop, scale, size, smooth=smooth)
    first = int(kept.min())
    pointers = np.arange(0, kept.size + 1, kept.shape[1])
    shape = (stop - start, int(kept.max()) - first + 1)
    matrix = csr_array((weights.astype(np.float32).ravel(), (kept - first).ravel(), pointers), shape=shape)
    matrix.sum_duplicates()
    return matrix, first


def _taps(start: int, stop: int, scale: float, size: int, *, smooth: bool) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The native pixels (work pixels, taps) of ``axis_weights``, and their weights; a mirrored pixel may occur twice in a row."""
    work = np.arange(start, stop)
    low, high = (work * scale)[:, None], ((work + 1) * scale)[:, None]
    reach = 1.5 if smooth else 0.0  # beyond the sides of a native pixel
    taps = np.floor(low - reach).astype(np.int64) + np.arange(math.ceil(scale + 2 * reach) + 1)  # (work pixels, taps)
    if smooth:
        weights = (_spline_below(high - taps - 0.5) - _spline_below(low - taps - 0.5)) / scale
    else:
        weights = np.clip(np.minimum(taps + 1, high) - np.maximum(taps, low), 0, None) / scale
    return np.where(taps < 0, -1 - taps, np.where(taps >= size, 2 * size - 1 - taps, taps)).clip(0, size - 1), weights


MOST_TAPS = math.ceil(AREA_ONLY + 3) + 1
"""Most native pixels of an axis that a smoothed work pixel consists of."""


@dataclass(frozen=True)
class Taps:
    """The native pixels of one axis that work pixels consist of, for a device that resamples by itself."""

    first: int
    """First native pixel that they touch."""
    count: int
    """Native pixels from ``first`` on that they touch."""
    pixels: NDArray[np.int32]
    """(work pixels, MOST_TAPS), counted from ``first``."""
    weights: NDArray[np.float32]
    """(work pixels, MOST_TAPS), rows summing to one; unused taps weigh nothing."""


@lru_cache(maxsize=256)  # tiles of one row or column share them
def smooth_taps(start: int, stop: int, scale: float, native: int, work: int) -> Taps:
    """The taps of work pixels ``start`` to ``stop`` of an axis, those of ``axis_weights`` with ``smooth``.

    Args:
        start: first work pixel; it may lie before the scene, as ``stop`` may lie beyond it. There the work pixels inside are reflected, as
            ``SceneReader.read`` does.
        stop: end of the work pixels.
        scale: native pixels per work pixel, below ``AREA_ONLY``.
        native: native pixels of the scene along the axis.
        work: work pixels of the scene along the axis.
    """
    inside = np.arange(max(start, 0), min(stop, work))
    kept, weights = _taps(int(inside[0]), int(inside[-1]) + 1, scale, native, smooth=True)
    margins = (int(inside[0]) - start, stop - int(inside[-1]) - 1)
    order = np.pad(np.arange(inside.size), margins, mode="reflect" if inside.size > 1 else "edge")
    first, unused = int(kept.min()), ((0, 0), (0, MOST_TAPS - kept.shape[1]))
    pixels = np.pad((kept - first).astype(np.int32), unused)[order]
    shares = np.pad((weights / weights.sum(axis=1, keepdims=True)).astype(np.float32), unused)[order]
    return Taps(first, int(kept.max()) - first + 1, pixels, shares)


@lru_cache(maxsize=4)
def no_taps(count: int) -> Taps:
    """Taps of ``count`` pixels that are resampled already: each is itself."""
    pixels = np.zeros((count, MOST_TAPS), np.int32)
    pixels[:, 0] = np.arange(count)
    weights = np.zeros((count, MOST_TAPS), np.float32)
    weights[:, 0] = 1
    return Taps(0, count, pixels, weights)


def _spline_below(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Integral of the cubic B-spline of unit spacing (Unser 1999, doi:10.1109/79.799930) from its left end to ``x``."""
    far = np.clip(2 - np.abs(x), 0, None)
    near = np.clip(1 - np.abs(x), 0, None)
    tail = (far**4 - 4 * near**4) / 24  # the part beyond |x|
    return np.where(x < 0, tail, 1 - tail)


def resample(native: NDArray[np.float32], rows: csr_array, cols: csr_array) -> NDArray[np.float32]:
    """(h, w) → (H, W); each output is summed in the order of its native pixels, hence exactly reproducible."""
    tall = rows @ native  # (H, w)
    return cv2.transpose(cols @ cv2.transpose(tall))  # (H, W); NumPy takes several times as long to transpose


def resampled_ones(rows: csr_array, cols: csr_array) -> NDArray[np.float32]:
    """``resample`` of ones, to the last bit: rows have few different sums of weights, so only these are computed."""
    sums, which = np.unique(rows @ np.ones(rows.shape[1], np.float32), return_inverse=True)
    return np.ascontiguousarray((cols @ np.tile(sums, (cols.shape[1], 1))).T[which])


def reflect(values: NDArray[np.float32], margins: tuple[tuple[int, int], tuple[int, int]]) -> NDArray[np.float32]:
    """Values (3, h, w) continued beyond their edges by reflection: ``margins`` are (before, after) of rows and of columns, pixels."""
    (top, bottom), (left, right) = margins
    return np.stack([cv2.copyMakeBorder(band, top, bottom, left, right, cv2.BORDER_REFLECT_101) for band in values])
