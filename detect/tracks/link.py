"""One set of footprints for the whole series, and the detection of each date that shows each of them.

Links from date to date break at the first date that misses a building or merges two. So the series is collapsed first: of all
outlines of all dates, those that other dates confirm best are kept, and then each date is matched against them. In the SpaceNet 7
challenge this step raised the SCOT score of the same network from 13.9 to 39.3 (Van Etten & Hogan 2021, arXiv:2102.11958).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from detect.base.geometry import smallest_rectangle_sides
from detect.base.matching import best_match, overlaps
from detect.base.vectors import geometries_of
from detect.census.overlaps import is_checked
from detect.tracks.series import Snapshot

SAME = 0.4
"""Two outlines are one building if they share at least this part of the smaller one (as in ``matching.covered_by``)."""
LEAST_IOU = 0.1
"""Least IoU of an outline and the building that it may show: outlines of a shell and of its finished roof differ a lot."""
LARGEST_STEP = 0.75
"""Share of the narrower width: two buildings with nearer centres that no date shows together are one; roofs lean by this much."""
LARGEST_RATIO = 2.0
"""Largest ratio of their areas."""


@dataclass(frozen=True)
class Links:
    """Which detection of which date shows which building."""

    footprints: NDArray[np.object_]
    """(N,) outlines in the plane."""
    detection: NDArray[np.int64]
    """(N, T) row in that date's table; -1 if it shows none."""
    shared: NDArray[np.bool_]
    """(N, T) whether a detection covers the building but is matched to a neighbour: the date merged both."""

    def only(self, kept: NDArray[np.bool_]) -> Links:
        """The links of some of the buildings."""
        return Links(self.footprints[kept], self.detection[kept], self.shared[kept])


def link(snapshots: Sequence[Snapshot]) -> Links:
    """One-to-one links over time; a building keeps its identity across dates that do not show it."""
    outlines = [geometries_of(s.buildings) for s in snapshots]
    footprints = _confirmed(outlines, [is_checked(s.buildings) for s in snapshots])
    detection = np.full((len(footprints), len(outlines)), -1, np.int64)
    shared = np.zeros_like(detection, dtype=bool)
    for t, drawn in enumerate(outlines):
        ours, theirs = _one_to_one(footprints, drawn)
        detection[ours, t] = theirs
        missing = np.nonzero(detection[:, t] < 0)[0]
        covering = _covering(footprints[missing], drawn)
        detection[missing, t] = covering
        shared[missing, t] = covering >= 0
    return _joined(Links(footprints, detection, shared))


def _confirmed(outlines: Sequence[NDArray[np.object_]], checked: Sequence[NDArray[np.bool_]]) -> NDArray[np.object_]:
    """The outlines that other dates confirm best, one per building.

    The weight of an outline is the sum, over the other dates, of its IoU with their outlines there. If one date merges two
    buildings and five dates separate them, there are two. Outlines that a reviewer has checked go before all others: what he
    separated are two, however many dates merge them.
    """
    every = np.concatenate([*outlines, np.empty(0, object)])
    date = np.repeat(np.arange(len(outlines)), [len(o) for o in outlines])
    if not len(every):
        return every
    left, right, iou = _mutual_overlaps(every)
    other = date[left] != date[right]
    best = np.zeros((len(every), len(outlines)))
    np.maximum.at(best, (left[other], date[right[other]]), iou[other])
    weight = best.sum(axis=1)
    area = shapely.area(every)
    common = iou * (area[left] + area[right]) / (1 + iou)
    same = common >= SAME * np.minimum(area[left], area[right])
    left, right = left[same], right[same]
    rivals = [right[pairs] for pairs in _groups(left, len(every))]
    open_, kept = np.ones(len(every), bool), []
    # Among equals the later date wins: it shows more of a growing building.
    for i in np.lexsort((np.arange(len(every)), -date, -weight, ~np.concatenate([*checked, np.empty(0, bool)]))):
        if open_[i]:
            kept.append(i)
            open_[rivals[i]] = False
    return every[np.sort(kept)]


def _mutual_overlaps(outlines: NDArray[np.object_]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Pairs of outlines that share ground, each in both orders, and their IoU, computed once per pair."""
    a, b = shapely.STRtree(outlines).query(outlines, predicate="intersects")
    a, b = a[a < b], b[a < b]
    area = shapely.area(outlines)
    shared = shapely.area(shapely.intersection(outlines[a], outlines[b]))
    iou = shared / np.maximum(area[a] + area[b] - shared, 1e-12)
    return np.concatenate([a, b]), np.concatenate([b, a]), np.concatenate([iou, iou])


def _groups(owner: NDArray[np.int64], count: int) -> list[NDArray[np.int64]]:
    """The positions of the entries of each owner."""
    order = np.argsort(owner, kind="stable")
    return np.split(order, np.cumsum(np.bincount(owner, minlength=count))[:-1])


def _one_to_one(footprints: NDArray[np.object_], drawn: NDArray[np.object_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The one-to-one assignment of a date's outlines to buildings with the largest sum of overlap and nearness."""
    left, right, iou = overlaps(footprints, drawn)
    enough = iou >= LEAST_IOU
    left, right, iou = left[enough], right[enough], iou[enough]
    step = shapely.distance(shapely.centroid(footprints[left]), shapely.centroid(drawn[right]))
    nearness = 1 / (1 + step / np.maximum(np.sqrt(shapely.area(footprints[left])), 1e-9))
    return best_match(left, right, iou + 0.1 * nearness)


def _joined(links: Links) -> Links:
    """Join two buildings of similar size and nearly the same place that no date shows together; the nearest first."""
    detection, shared = links.detection.copy(), links.shared.copy()
    gone = np.zeros(len(detection), bool)
    for a, b in _near(links.footprints):
        own = (detection[[a, b]] >= 0) & ~shared[[a, b]]
        if gone[a] or gone[b] or own.all(axis=0).any():
            continue
        kept, other = (a, b) if own[0].sum() >= own[1].sum() else (b, a)
        take = (detection[other] >= 0) & ((detection[kept] < 0) | (shared[kept] & ~shared[other]))
        detection[kept] = np.where(take, detection[other], detection[kept])
        shared[kept] = np.where(take, shared[other], shared[kept])
        gone[other] = True
    return Links(links.footprints, detection, shared).only(~gone)


def _near(footprints: NDArray[np.object_]) -> list[tuple[int, int]]:
    """Pairs of similar size whose centres are nearer than a part of the narrower one's width, the nearest first."""
    if len(footprints) < 2:
        return []
    width, area = _width(footprints), shapely.area(footprints)
    points = shapely.get_coordinates(shapely.centroid(footprints))
    a, b = cKDTree(points).query_pairs(LARGEST_STEP * float(width.max()), output_type="ndarray").T
    step = np.hypot(*(points[a] - points[b]).T)
    alike = np.maximum(area[a], area[b]) < LARGEST_RATIO * np.minimum(area[a], area[b])
    close = alike & (step <= LARGEST_STEP * np.minimum(width[a], width[b]))
    order = np.lexsort((b[close], a[close], step[close]))
    return list(zip(a[close][order].tolist(), b[close][order].tolist(), strict=True))


def _width(geometries: NDArray[np.object_]) -> NDArray[np.float64]:
    """Shorter side of the smallest rectangle around each, metres of the plane."""
    return np.asarray(np.hypot(*smallest_rectangle_sides(geometries).transpose(2, 0, 1)).min(axis=1))


def _covering(footprints: NDArray[np.object_], drawn: NDArray[np.object_]) -> NDArray[np.int64]:
    """For each building the outline that covers most of it, -1 if none covers half."""
    found = np.full(len(footprints), -1, np.int64)
    if not len(footprints) or not len(drawn):
        return found
    left, right = shapely.STRtree(drawn).query(footprints, predicate="intersects")
    share = shapely.area(shapely.intersection(footprints[left], drawn[right])) / shapely.area(footprints[left])
    for pair in np.argsort(share, kind="stable"):
        if share[pair] >= 0.5:
            found[left[pair]] = right[pair]
    return found
