"""Probabilities → instances: which pixels form one building.

First the connected groups of footprint pixels are found strip by strip and joined over seams with a union-find; then each group is split
in a window of its own by a watershed on the heads. What a group becomes depends on its own pixels alone, so block size, strips and
order change nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.segmentation import watershed

from detect.grid import Span

TOP = 254  # uint8 of probability 1; 255 is no data


@dataclass(frozen=True)
class InstanceParams:
    """Where a building begins and ends; probabilities 0–1."""

    footprint_threshold: float = 0.45
    """Pixels at or above belong to a building."""
    boundary_threshold: float = 0.4
    """Pixels at or above separate neighbours."""
    seed_margin: float = 0.12
    """A building's core lies at least this far above the footprint threshold."""
    merge_below: float = 0.35
    """Two parts are one building when the line between them is less of a boundary than this."""
    min_seed_px: int = 12
    """Smaller cores make no building of their own where a larger one is in the same group."""
    min_area_px: int = 16
    """Smaller instances are dropped."""

    @property
    def threshold_u8(self) -> int:
        """Footprint threshold on stored heads; at least 1, so that zero is never a building."""
        return max(1, round(self.footprint_threshold * TOP))


@dataclass(frozen=True)
class Group:
    """A 4-connected group of footprint pixels."""

    span: Span
    """Its bounding box."""
    seed_rc: tuple[int, int]
    """Its first pixel, row by row; (row, col) in the scene."""
    area_px: int


def footprint_mask(footprint: NDArray[np.uint8], threshold_u8: int) -> NDArray[np.bool_]:
    """Pixels (H, W) that belong to a building; no data does not."""
    return (footprint >= threshold_u8) & (footprint <= TOP)


def find_groups(
    read_footprint: Callable[[Span], NDArray[np.uint8]], size_hw: tuple[int, int], threshold_u8: int, *, strip_px: int = 512
) -> list[Group]:
    """All groups of a scene, ordered by their first pixel.

    Args:
        read_footprint: span of the scene → footprint head (H, W) uint8.
        size_hw: of the scene, pixels.
        threshold_u8: a pixel at or above (and not 255) belongs to a building.
        strip_px: rows read at a time; bounds memory, changes nothing else.
    """
    parents: list[int] = []
    found: list[Group] = []
    above = np.zeros(size_hw[1], np.int64)  # group number + 1 of each pixel of the last row of the strip above
    for row0 in range(0, size_hw[0], strip_px):
        span = Span(row0, 0, min(row0 + strip_px, size_hw[0]), size_hw[1])
        mask = footprint_mask(read_footprint(span), threshold_u8).astype(np.uint8)
        count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=4)
        first = len(found)
        for label in range(1, count):
            left, top, width, height, area = (int(v) for v in stats[label])
            col = left + int((labels[top, left : left + width] == label).argmax())
            box = Span(row0 + top, left, row0 + top + height, left + width)
            found.append(Group(box, (row0 + top, col), area))
            parents.append(len(parents))
        numbers = np.where(labels > 0, labels.astype(np.int64) + first, 0)
        touching = (above > 0) & (numbers[0] > 0)
        for upper, lower in np.unique(np.stack([above[touching], numbers[0][touching]], axis=1), axis=0):
            _join(parents, int(upper) - 1, int(lower) - 1)
        above = numbers[-1]
    merged: dict[int, Group] = {}
    for number, group in enumerate(found):
        root = _root(parents, number)
        known = merged.get(root)
        merged[root] = group if known is None else Group(
            known.span.union(group.span), min(known.seed_rc, group.seed_rc), known.area_px + group.area_px
        )  # fmt: skip
    return sorted(merged.values(), key=lambda g: g.seed_rc)


def _root(parents: list[int], number: int) -> int:
    while parents[number] != number:
        parents[number] = parents[parents[number]]
        number = parents[number]
    return number


def _join(parents: list[int], a: int, b: int) -> None:
    a, b = _root(parents, a), _root(parents, b)
    parents[max(a, b)] = min(a, b)


def group_mask(footprint: NDArray[np.uint8], group: Group, threshold_u8: int) -> NDArray[np.bool_]:
    """The group's own pixels in its bounding box; other groups may reach into the box."""
    mask = footprint_mask(footprint, threshold_u8).astype(np.uint8)
    _, labels = cv2.connectedComponents(mask, connectivity=4)
    return labels == labels[group.seed_rc[0] - group.span.row0, group.seed_rc[1] - group.span.col0]


def split_group(
    footprint: NDArray[np.uint8], boundary: NDArray[np.uint8], mask: NDArray[np.bool_], params: InstanceParams
) -> NDArray[np.int32]:
    """Labels (H, W), 0 none, 1… one per building, of the pixels in ``mask``.

    Marker-controlled watershed (Beucher & Meyer 1993): markers are the parts of the mask that are surely building and surely no boundary;
    they grow over the mask, meeting where the boundary is strongest. Parts that meet on a weak line are one building again.
    """
    labels = np.zeros(mask.shape, np.int32)
    if not mask.any():
        return labels
    seed_u8 = min(TOP, round((params.footprint_threshold + params.seed_margin) * TOP))
    sure = mask & (footprint >= seed_u8) & (boundary < round(params.boundary_threshold * TOP))
    markers, count = ndimage.label(sure)
    if count:
        sizes = np.bincount(markers.ravel())
        # The largest core of each connected part of the mask stays whatever its size, so that no part is lost for being small.
        parts, _ = ndimage.label(mask)
        keep = sizes >= params.min_seed_px
        order = np.argsort(sizes[1:], kind="stable")[::-1] + 1
        where = ndimage.maximum(parts, markers, np.arange(count + 1)).astype(int)
        seen = {where[m] for m in order if keep[m]}
        for marker in order:
            if not keep[marker] and where[marker] not in seen:
                keep[marker] = True
                seen.add(where[marker])
        keep[0] = False
        markers = np.where(keep[markers], markers, 0)
    # Parts of the mask without any core become one building each.
    parts, _ = ndimage.label(mask)
    with_core = np.zeros(parts.max() + 1, bool)
    with_core[np.unique(parts[markers > 0])] = True
    bare = mask & ~with_core[parts]
    markers = np.where(bare, parts + count, markers)
    elevation = (TOP - np.minimum(footprint, TOP)).astype(np.int32) + boundary.astype(np.int32)
    labels = watershed(elevation, markers.astype(np.int32), mask=mask).astype(np.int32)
    labels = _merge_weak(labels, footprint, boundary, params)
    return _drop_small(labels, params.min_area_px)


def _merge_weak(
    labels: NDArray[np.int32], footprint: NDArray[np.uint8], boundary: NDArray[np.uint8], params: InstanceParams
) -> NDArray[np.int32]:
    """Join neighbours whose common line is, on average, less of a boundary than ``merge_below``."""
    wall = np.maximum(boundary.astype(np.int64), TOP - np.minimum(footprint, TOP).astype(np.int64))
    pairs, walls = [], []
    for a, b in ((np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:-1, :], np.s_[1:, :])):
        meet = (labels[a] != labels[b]) & (labels[a] > 0) & (labels[b] > 0)
        pairs.append(np.sort(np.stack([labels[a][meet], labels[b][meet]], axis=1), axis=1))
        walls.append(np.maximum(wall[a][meet], wall[b][meet]))
    lines = np.concatenate(pairs)
    if not len(lines):
        return labels
    unique, inverse = np.unique(lines, axis=0, return_inverse=True)
    inverse = inverse.ravel()
    strength = np.bincount(inverse, weights=np.concatenate(walls)) / np.bincount(inverse)
    parents = list(range(int(labels.max()) + 1))
    for (a, b), value in zip(unique, strength, strict=True):
        if value < params.merge_below * TOP:
            _join(parents, int(a), int(b))
    return np.array([_root(parents, n) for n in range(len(parents))], np.int32)[labels]


def _drop_small(labels: NDArray[np.int32], min_area_px: int) -> NDArray[np.int32]:
    """Labels numbered 1… in the order of their first pixel, without those of fewer pixels."""
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    values, firsts = np.unique(labels, return_index=True)
    renamed = np.zeros(len(sizes), np.int32)
    kept = [v for v in values[np.argsort(firsts)] if v > 0 and sizes[v] >= min_area_px]
    renamed[kept] = np.arange(1, len(kept) + 1)
    return renamed[labels]
