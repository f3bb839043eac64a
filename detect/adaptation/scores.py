"""How well heads, read as buildings, agree with the truth of checked windows; counted cell by cell, so that noise can be judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio.features import rasterize

from detect.adaptation.windows import Window, at
from detect.base.grid import Span
from detect.base.matching import match, overlaps
from detect.buildings.footprints import Reading, extract_buildings
from detect.buildings.instances import InstanceParams, find_groups
from detect.network.heads import FOOTPRINT

CELL_M = 20.0
"""Side of a cell: one house or a few, which are right or wrong together."""
BLOCK_CELLS = 4
"""Side of the largest block, in cells: a window of 50 m, wherever it lies, is one block."""
RAMP = (0.3, 0.7)
"""A pair counts in full from the second IoU on and not at all below the first, so that an outline a little better is a little gain."""
FOUND, TRUE, RIGHT, CREDIT, SHARED, EITHER, SMALL = range(7)
"""Columns of a tally: buildings found and true, pairs at IoU 0.5, pairs by ``RAMP``, pixels in both masks and in either, small buildings
found."""
COLUMNS = 7


@dataclass(frozen=True)
class Scores:
    """On checked ground."""

    f1: float
    """Of single buildings at IoU 0.5."""
    iou: float
    """Of footprints, by pixels."""
    found: int
    true: int


def cells_of(windows: Sequence[Window], gsd_m: float) -> tuple[list[NDArray[np.int64]], int]:
    """The cell of each pixel (H, W) of each window, −1 where nothing is known, and how many cells there are."""
    side = max(1, round(CELL_M / gsd_m))
    raw = []
    for window in windows:
        rows, cols = np.meshgrid(*(np.arange(a, b) // side for a, b in _sides(window.span)), indexing="ij")
        raw.append(np.where(window.known, rows * 1_000_000 + cols, -1))
    names = np.unique(np.concatenate([np.unique(cells) for cells in raw]))
    names = names[names >= 0]
    return [np.where(cells < 0, -1, np.searchsorted(names, cells)) for cells in raw], len(names)


def blocks_of(windows: Sequence[Window], cells: Sequence[NDArray[np.int64]], gsd_m: float, count: int) -> NDArray[np.int64]:
    """The block (count,) of each cell: what lies in one window, or in one part of a large one.

    Neighbouring buildings look alike, so a head that has learnt from a building scores too well on the one beside it. Ground is therefore
    left out by blocks (Roberts et al. 2017, doi:10.1111/ecog.02881).

    Args:
        windows: the windows.
        cells: (H, W) cell of each of their pixels, −1 where nothing counts.
        gsd_m: ground size of the pixels, metres.
        count: how many cells there are.
    """
    side = max(1, round(CELL_M / gsd_m))
    names = np.full((count, 3), -1)
    for number, (window, own) in enumerate(zip(windows, cells, strict=True)):
        present, first = np.unique(own, return_index=True)
        row, col = np.unravel_index(first, own.shape)
        parts = np.column_stack([(row + window.span.row0) // side, (col + window.span.col0) // side])[present >= 0]
        present = present[present >= 0]
        if not len(present):
            continue
        new = names[present, 0] < 0
        parts = (parts - parts.min(axis=0)) // BLOCK_CELLS
        names[present[new]] = np.column_stack([np.full(len(parts), number), parts])[new]
    return np.unique(names, axis=0, return_inverse=True)[1].reshape(count)


def _sides(span: Span) -> tuple[tuple[int, int], tuple[int, int]]:
    return (span.row0, span.row1), (span.col0, span.col1)


def tally(
    window: Window, cells: NDArray[np.int64], heads: NDArray[np.uint8], params: InstanceParams, count: int, small_px: float = 0
) -> NDArray[np.float64]:
    """(cells, COLUMNS) what was found and true in each cell of a window, as the columns say.

    Args:
        window: the window.
        cells: (H, W) cell of each of its pixels, −1 where nothing counts.
        heads: (5, H, W) as stored.
        params: where a building begins and ends.
        count: how many cells there are.
        small_px: area below which a building counts as small, pixels.
    """
    found = _buildings(heads, params)
    mask = np.zeros(cells.shape, bool) if not len(found) else rasterize(list(found), cells.shape).astype(bool)
    ours, theirs = (at(cells, p) if len(p) else np.zeros(0, np.int64) for p in (found, window.outlines))
    found, ours = found[ours >= 0], ours[ours >= 0]
    true, theirs = window.outlines[theirs >= 0], theirs[theirs >= 0]
    _, right, iou = match(overlaps(found, true), RAMP[0])
    credit = np.clip((iou - RAMP[0]) / (RAMP[1] - RAMP[0]), 0, 1)
    known = cells >= 0
    sums = partial(np.bincount, minlength=count)
    return np.stack(
        [
            sums(ours),
            sums(theirs),
            sums(theirs[right[iou >= 0.5]]),
            sums(theirs[right], credit),
            sums(cells[known & mask & window.built]),
            sums(cells[known & (mask | window.built)]),
            sums(ours[shapely.area(found) < small_px]),
        ],
        axis=1,
    ).astype(np.float64)


def _buildings(heads: NDArray[np.uint8], params: InstanceParams) -> NDArray[np.object_]:
    """Outlines (n,) in pixels of the window."""
    size_hw = heads.shape[1:]

    def read(span: Span) -> NDArray[np.uint8]:
        return heads[(slice(None), *span.slices())]

    groups = find_groups(lambda span: read(span)[FOOTPRINT], size_hw, params.threshold_u8)
    raw = extract_buildings(read, groups, size_hw, Reading(params))
    return np.array([*(building.polygon_px for building in raw), None], object)[:-1]


def scores(counts: NDArray[np.float64]) -> Scores:
    """The scores of tallies (cells, COLUMNS) together."""
    total = counts.sum(axis=0)
    both = max(total[FOUND] + total[TRUE], 1)
    return Scores(
        float(2 * total[RIGHT] / both), float(total[SHARED] / max(total[EITHER], 1)), int(total[FOUND]), int(total[TRUE])
    )


def merit(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean of F1 by ``RAMP`` and IoU of tallies (…, cells, COLUMNS) together: (…)."""
    total = counts.sum(axis=-2)
    f1 = 2 * total[..., CREDIT] / np.maximum(total[..., FOUND] + total[..., TRUE], 1)
    return (f1 + total[..., SHARED] / np.maximum(total[..., EITHER], 1)) / 2


def noise(before: NDArray[np.float64], after: NDArray[np.float64]) -> float:
    """Standard error of the gain in ``merit`` between tallies (cells, COLUMNS): the jackknife over cells (Efron 1982)."""
    cells = len(before)
    without = np.array([merit(np.delete(after, i, 0)) - merit(np.delete(before, i, 0)) for i in range(cells)])
    return float(np.sqrt((cells - 1) / cells * ((without - without.mean()) ** 2).sum()))
