"""Remove the shift between dates: images of one place lie some metres apart, and each date is moved back as a whole.

Pairs of footprints of similar size vote for a shift; the median over the pairs that agree refines it. Votes find a shift larger
than the buildings, where the nearest neighbour would be the wrong one; in regular rows the true shift wins over one by a whole
row, because only with it do the buildings at the ends vote too. Medians tolerate errors and new buildings (Huber 1981, § 1.4).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.ndimage import convolve
from scipy.spatial import cKDTree

from detect.base.vectors import geometries_of
from detect.tracks.series import Snapshot

REACH_M = 15.0
"""Largest shift that is searched for: orthoimages without ground control are rarely further off."""
AGREE_M = 2.0
"""Two pairs vote for the same shift if theirs differ by less: outlines are off by a pixel or two."""
UNLIKELY_M = 100.0
"""A shift by this many metres needs twice as many votes as no shift."""
CELL_M = 0.25
"""Votes are counted on a grid of this width, so that their number grows with the pairs and not with its square."""
FEWEST = 5
"""Number of pairs that must agree; otherwise a date is not moved."""


def align(snapshots: Sequence[Snapshot]) -> tuple[list[Snapshot], list[int]]:
    """The snapshots moved onto each other, and how many pairs of footprints agree on each one's shift.

    All are moved onto the date with the most buildings; then the median shift is subtracted, so that all dates have equal weight.
    """
    most = int(np.argmax([len(s.buildings) for s in snapshots]))
    estimates = [estimate_shift(s, snapshots[most]) for s in snapshots]
    agreed = [count for _, count in estimates]
    shifts = np.array([shift for shift, _ in estimates])  # (T, 2)
    known = np.array(agreed) >= FEWEST
    shifts -= np.median(shifts[known], axis=0) if known.any() else 0.0
    shifts[~known] = 0.0
    return [s.moved((float(dx), float(dy))) for s, (dx, dy) in zip(snapshots, shifts, strict=True)], agreed


def estimate_shift(moving: Snapshot, fixed: Snapshot) -> tuple[NDArray[np.float64], int]:
    """Metres (east, north) that lay one date's footprints on another's, and the number of pairs that agree on it."""
    a, b = (geometries_of(s.buildings) for s in (moving, fixed))
    none = np.zeros(2), 0
    if len(a) < FEWEST or len(b) < FEWEST:
        return none
    p, q = (shapely.get_coordinates(shapely.centroid(g)) for g in (a, b))
    near = cKDTree(p).sparse_distance_matrix(cKDTree(q), REACH_M, output_type="ndarray")
    left, right = near["i"], near["j"]
    sizes = shapely.area(a)[left] / shapely.area(b)[right]
    alike = (sizes > 0.6) & (sizes < 1 / 0.6)
    moves = q[right[alike]] - p[left[alike]]  # (M, 2)
    if len(moves) < FEWEST:
        return none
    best = _most_voted(moves)
    for _ in range(3):
        agree = np.hypot(*(moves - best).T) <= AGREE_M
        if not agree.any():  # a cell is wider than what agrees with its centre
            return none
        best = np.median(moves[agree], axis=0)
    count = int(agree.sum())
    return (best, count) if count >= FEWEST else none


def _most_voted(moves: NDArray[np.float64]) -> NDArray[np.float64]:
    """The shift (2,), to a cell, that most of the moves (M, 2) agree with."""
    edges = np.arange(-REACH_M - CELL_M / 2, REACH_M + CELL_M, CELL_M)
    counts, _ = np.histogramdd(moves, bins=(edges, edges))
    side = np.arange(-AGREE_M, AGREE_M + CELL_M / 2, CELL_M)
    disc = (np.hypot(side[:, None], side) <= AGREE_M).astype(float)
    centres = (edges[:-1] + edges[1:]) / 2
    votes = convolve(counts, disc, mode="constant") / (1 + np.hypot(centres[:, None], centres) / UNLIKELY_M)
    east, north = np.unravel_index(votes.argmax(), votes.shape)
    return np.array([centres[east], centres[north]])
