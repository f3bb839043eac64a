"""Pairing two sets of polygons by overlap."""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import ArrayLike, NDArray

Geometries = ArrayLike
"""Shapely geometries, as a list or an array of objects."""


def overlaps(ours: Geometries, theirs: Geometries) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Every pair of polygons that share ground: (index in ours, index in theirs, IoU), in no order that matters."""
    a, b = np.array(ours, dtype=object), np.array(theirs, dtype=object)
    if not len(a) or not len(b):
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0)
    left, right = shapely.STRtree(b).query(a, predicate="intersects")
    shared = shapely.area(shapely.intersection(a[left], b[right]))
    iou = shared / np.maximum(shapely.area(a)[left] + shapely.area(b)[right] - shared, 1e-12)
    return left[shared > 0], right[shared > 0], iou[shared > 0]


def match(
    pairs: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]], iou: float = 0.5
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """One-to-one pairs of at least an IoU, best first (SpaceNet; Van Etten, Lindenbaum & Bacastow 2018).

    Args:
        pairs: from ``overlaps``.
        iou: smallest overlap of a pair.

    Returns:
        (index in ours, index in theirs, IoU) of the pairs.
    """
    left, right, values = pairs
    kept = np.nonzero(values >= iou)[0]
    order = kept[np.lexsort((right[kept], left[kept], -values[kept]))]
    used_left: set[int] = set()
    used_right: set[int] = set()
    chosen = []
    for pair in order:
        if left[pair] not in used_left and right[pair] not in used_right:
            used_left.add(int(left[pair]))
            used_right.add(int(right[pair]))
            chosen.append(pair)
    index = np.array(chosen, np.int64)
    return left[index], right[index], values[index]


def covered_by(ours: Geometries, theirs: Geometries, share: float = 0.4) -> NDArray[np.bool_]:
    """Which of ours stand for the same building as one of theirs: at least ``share`` of the smaller of the two is common ground."""
    a, b = np.array(ours, dtype=object), np.array(theirs, dtype=object)
    same = np.zeros(len(a), bool)
    if len(a) and len(b):
        left, right = shapely.STRtree(b).query(a, predicate="intersects")
        common = shapely.area(shapely.intersection(a[left], b[right]))
        smaller = np.minimum(shapely.area(a)[left], shapely.area(b)[right])
        same[left[common >= share * smaller]] = True
    return same
