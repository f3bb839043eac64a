"""Pair two sets of polygons by overlap, and find the sets that pairs connect."""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import ArrayLike, NDArray
from shapely.geometry.base import BaseGeometry

Geometries = ArrayLike
"""Shapely geometries, as a list or an array of objects."""


def overlaps(ours: Geometries, theirs: Geometries) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Every pair of polygons that share ground: (index in ours, index in theirs, IoU), in any order."""
    a, b = np.array(ours, dtype=object), np.array(theirs, dtype=object)
    if not len(a) or not len(b):
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0)
    left, right = shapely.STRtree(b).query(a, predicate="intersects")
    shared = shapely.area(shapely.intersection(a[left], b[right]))
    iou = shared / np.maximum(shapely.area(a)[left] + shapely.area(b)[right] - shared, 1e-12)
    return left[shared > 0], right[shared > 0], iou[shared > 0]


def iou_of(a: BaseGeometry, b: BaseGeometry) -> float:
    """IoU of two polygons, 0–1."""
    shared = a.intersection(b).area
    return float(shared / max(a.area + b.area - shared, 1e-12))


def match(
    pairs: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]], iou: float = 0.5
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """One-to-one pairs with at least the given IoU, best first (SpaceNet; Van Etten, Lindenbaum & Bacastow 2018).

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


def connected(pairs: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """The number (count,) of the connected set that each of ``count`` items belongs to, given pairs (2, n) of linked items.

    Sets are numbered in the order of their first item.
    """
    from scipy.sparse import coo_array  # with the next line a tenth of a second, and help needs neither
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(pairs.shape[1], bool), tuple(pairs)), shape=(count, count))
    return connected_components(graph, directed=False)[1].astype(np.int64) if count else np.zeros(0, np.int64)


def best_match(
    left: NDArray[np.int64], right: NDArray[np.int64], reward: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """One-to-one pairs with the largest sum of rewards (Kuhn 1955), each connected group of pairs on its own.

    Args:
        left: index in ours of each possible pair.
        right: index in theirs.
        reward: above 0.
    """
    if not len(left):
        return left, right
    from scipy.optimize import linear_sum_assignment  # takes half a second, and only comparisons need it

    first_right = int(left.max()) + 1
    group = connected(np.stack([left, right + first_right]), first_right + int(right.max()) + 1)[left]
    alone = np.bincount(group)[group] == 1  # nearly all pairs of large tables
    chosen_left, chosen_right = [left[alone]], [right[alone]]
    order = np.nonzero(~alone)[0]
    order = order[np.argsort(group[order], kind="stable")]
    for pairs in np.split(order, np.nonzero(np.diff(group[order]))[0] + 1) if len(order) else []:
        rows, row = np.unique(left[pairs], return_inverse=True)
        cols, col = np.unique(right[pairs], return_inverse=True)
        rewards = np.zeros((len(rows), len(cols)))
        rewards[row, col] = reward[pairs]
        i, j = linear_sum_assignment(rewards, maximize=True)
        real = rewards[i, j] > 0
        chosen_left.append(rows[i[real]])
        chosen_right.append(cols[j[real]])
    return np.concatenate(chosen_left), np.concatenate(chosen_right)


def same_buildings(ours: Geometries, theirs: Geometries, share: float = 0.4) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs that show one building, (index in ours, index in theirs): they share at least ``share`` of the smaller area."""
    a, b = np.array(ours, dtype=object), np.array(theirs, dtype=object)
    if not len(a) or not len(b):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    left, right = shapely.STRtree(b).query(a, predicate="intersects")
    common = shapely.area(shapely.intersection(a[left], b[right]))
    same = common >= share * np.minimum(shapely.area(a)[left], shapely.area(b)[right])
    return left[same], right[same]


def covered_by(ours: Geometries, theirs: Geometries, share: float = 0.4) -> NDArray[np.bool_]:
    """Whether each of ours shows the same building as one of theirs; see ``same_buildings``."""
    same = np.zeros(len(np.array(ours, dtype=object)), bool)
    same[same_buildings(ours, theirs, share)[0]] = True
    return same
