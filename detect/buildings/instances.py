"""Turn probabilities into instances: decide which pixels form one building.

First, connected groups of footprint pixels are found strip by strip, so that a scene of any size fits into memory, and joined
across the seams. Then a watershed on the heads splits each group in a window of its own. The result depends only on the group's
own pixels, so block size, strips and order change nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from detect.base.grid import Span
from detect.base.matching import connected
from detect.base.values import TOP

_STRIP_AREA_PX = 4_000_000
_CELL_PX = 512
"""Groups that begin in one cell of a lattice are split together: large enough to need few calls, small enough for the processor's
cache."""


@dataclass(frozen=True)
class InstanceParams:
    """Where a building begins and ends; probabilities 0–1."""

    footprint_threshold: float = 0.45
    """Pixels at or above belong to a building."""
    boundary_threshold: float = 0.3
    """Pixels at or above separate neighbours."""
    seed_margin: float = 0.25
    """A building's core lies at least this far above the footprint threshold."""
    merge_below: float = 0.35
    """Two parts are one building if the mean boundary probability along the line between them is below this."""
    min_seed_px: int = 12
    """A smaller core does not become a building of its own if its group has a larger one."""
    min_area_px: int = 16
    """Smaller instances are dropped."""
    mean_margin: float = 0.18
    """Instances are also dropped if their mean probability lies less than this share of the way from the footprint threshold to 1.
    Single pixels of a building may be in doubt, but not all of them (hysteresis; Canny 1986). Noise in dark water and shadow looks
    like that."""

    @property
    def threshold_u8(self) -> int:
        """Footprint threshold on stored heads; at least 1, so that zero is never a building."""
        return max(1, round(self.footprint_threshold * TOP))


@dataclass(frozen=True, slots=True)
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
    read_footprint: Callable[[Span], NDArray[np.uint8]],
    size_hw: tuple[int, int],
    threshold_u8: int,
    *,
    strip_px: int | None = None,
) -> list[Group]:
    """All groups of a scene, ordered by their first pixel.

    Args:
        read_footprint: span of the scene → footprint head (H, W) uint8.
        size_hw: size of the scene, pixels.
        threshold_u8: a pixel at or above (and not 255) belongs to a building.
        strip_px: rows read at a time, by default some millions of pixels; only the use of memory depends on it.
    """
    strip_px = strip_px or max(1, _STRIP_AREA_PX // size_hw[1])
    found: list[Group] = []
    seams: list[NDArray[np.int64]] = []
    above = np.zeros(size_hw[1], np.int64)
    for row0 in range(0, size_hw[0], strip_px):
        span = Span(row0, 0, min(row0 + strip_px, size_hw[0]), size_hw[1])
        mask = footprint_mask(read_footprint(span), threshold_u8).astype(np.uint8)
        _, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=4)
        # Group number + 1 of each pixel of the strip's first and last row.
        first, last = (np.where(row > 0, row.astype(np.int64) + len(found), 0) for row in (labels[0], labels[-1]))
        touching = (above > 0) & (first > 0)
        seams.append(np.unique(np.stack([above[touching], first[touching]]) - 1, axis=1))
        found += _groups_of_strip(labels, stats, row0)
        above = last
    return sorted(_joined(found, np.concatenate([np.zeros((2, 0), np.int64), *seams], axis=1)), key=lambda g: g.seed_rc)


def _groups_of_strip(labels: NDArray[np.int32], stats: NDArray[np.int32], row0: int) -> Iterator[Group]:
    """The groups of a strip that begins at row ``row0`` of the scene, by label; ``stats`` (label, 5) come from OpenCV."""
    for label, (left, top, width, height, area) in enumerate(stats.tolist()):
        if label == 0:
            continue  # the background
        col = left + int((labels[top, left : left + width] == label).argmax())
        yield Group(Span(row0 + top, left, row0 + top + height, left + width), (row0 + top, col), area)


def _joined(groups: list[Group], seams: NDArray[np.int64]) -> Iterable[Group]:
    """Groups of the scene from those of its strips; ``seams`` (2, n) are pairs that touch."""
    merged: dict[int, Group] = {}
    for group, whole in zip(groups, connected(seams, len(groups)).tolist(), strict=True):
        known = merged.get(whole)
        merged[whole] = group if known is None else Group(
            known.span.union(group.span), min(known.seed_rc, group.seed_rc), known.area_px + group.area_px
        )  # fmt: skip
    return merged.values()


def batches(groups: list[Group]) -> list[list[int]]:
    """Indices of groups to split in one window: neighbours together, a large group alone.

    The groups alone decide what a batch holds, never how the scene was read.
    """
    cells: dict[tuple[int, ...], list[int]] = {}
    for i, group in enumerate(groups):
        large = max(group.span.size_hw) > _CELL_PX
        row, col = group.seed_rc[0] // _CELL_PX, group.span.col0 // _CELL_PX
        cells.setdefault((row, col, i) if large else (row, col), []).append(i)
    return [cells[key] for key in sorted(cells)]


def groups_mask(
    footprint: NDArray[np.uint8], groups: list[Group], origin_rc: tuple[int, int], threshold_u8: int
) -> tuple[NDArray[np.bool_], NDArray[np.int32]]:
    """The pixels of some groups in a window, and for each of them the position of its group in the list, from 1; 0 elsewhere.

    Args:
        footprint: (H, W) of a window that holds the groups whole; others may reach into it.
        groups: the groups.
        origin_rc: the window's first pixel in the scene.
        threshold_u8: as for ``find_groups``.
    """
    mask = footprint_mask(footprint, threshold_u8).astype(np.uint8)
    count, labels = cv2.connectedComponents(mask, connectivity=4)
    places = np.zeros(count, np.int32)
    for place, group in enumerate(groups, start=1):
        places[labels[group.seed_rc[0] - origin_rc[0], group.seed_rc[1] - origin_rc[1]]] = place
    owner = places[labels]
    return owner > 0, owner


def split_group(
    footprint: NDArray[np.uint8], boundary: NDArray[np.uint8], mask: NDArray[np.bool_], params: InstanceParams
) -> NDArray[np.int32]:
    """Split the pixels of ``mask`` into buildings; returns labels (H, W): 0 none, from 1 one per building.

    Marker-controlled watershed (Beucher & Meyer 1993): markers are the pixels that are certainly building and certainly not boundary.
    They grow over the mask and meet where the boundary is strongest. Parts that meet on a weak boundary are joined again.
    """
    if not mask.any():
        return np.zeros(mask.shape, np.int32)
    seed_u8 = min(TOP, round((params.footprint_threshold + params.seed_margin) * TOP))
    sure = mask & (footprint >= seed_u8) & (boundary < round(params.boundary_threshold * TOP))
    part_count, parts = cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)
    count, markers = cv2.connectedComponents(sure.astype(np.uint8), connectivity=4)
    sizes = np.bincount(markers[sure], minlength=count)
    part_of = np.zeros(count, np.int64)
    part_of[markers[sure]] = parts[sure]
    keep = sizes >= params.min_seed_px
    keep[0] = False
    # A part with one core or none that is large enough is one building; only the others are flooded.
    cores = np.bincount(part_of[keep], minlength=part_count)
    single = parts + count
    several = cores[parts] > 1
    labels = np.where(mask & ~several, single, 0).astype(np.int32)
    several &= mask
    if several.any():
        from skimage.segmentation import watershed  # with scipy.ndimage, which few small scenes need

        elevation = (TOP - np.minimum(footprint, TOP)).astype(np.int32) + boundary
        kept_markers = np.where(keep[markers] & several, markers, 0).astype(np.int32)
        labels += watershed(elevation, kept_markers, mask=several).astype(np.int32)
    labels = _merge_weak(labels, footprint, boundary, params)
    return _drop_doubtful(labels, footprint, params)


def _merge_weak(
    labels: NDArray[np.int32], footprint: NDArray[np.uint8], boundary: NDArray[np.uint8], params: InstanceParams
) -> NDArray[np.int32]:
    """Join neighbours if the mean boundary probability along their common line is below ``merge_below``."""
    wall = np.maximum(boundary, TOP - np.minimum(footprint, TOP))
    total = int(labels.max()) + 1
    pairs, walls = [], []
    for a, b in ((np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:-1, :], np.s_[1:, :])):
        meet = np.nonzero((labels[a] != labels[b]) & (labels[a] > 0) & (labels[b] > 0))
        one, two = labels[a][meet].astype(np.int64), labels[b][meet]
        pairs.append(np.minimum(one, two) * total + np.maximum(one, two))
        walls.append(np.maximum(wall[a][meet], wall[b][meet]))
    unique, inverse = np.unique(np.concatenate(pairs), return_inverse=True)
    if not len(unique):
        return labels
    strength = np.bincount(inverse, weights=np.concatenate(walls)) / np.bincount(inverse)
    weak = unique[strength < params.merge_below * TOP]
    return connected(np.stack(np.divmod(weak, total)), total).astype(np.int32)[labels]


def _drop_doubtful(labels: NDArray[np.int32], footprint: NDArray[np.uint8], params: InstanceParams) -> NDArray[np.int32]:
    """Drop small instances and those of low mean probability; number the others from 1 in the order of their first pixel."""
    where = np.flatnonzero(labels)
    values, firsts, index, sizes = np.unique(labels.ravel()[where], return_index=True, return_inverse=True, return_counts=True)
    sums = np.bincount(index, weights=footprint.ravel()[where], minlength=len(values))
    lowest = params.footprint_threshold + params.mean_margin * (1 - params.footprint_threshold) if params.mean_margin else 0.0
    stays = (sizes >= params.min_area_px) & (sums >= lowest * TOP * sizes)
    kept = values[np.argsort(firsts)]
    kept = kept[np.isin(kept, values[stays])]
    renamed = np.zeros(int(labels.max()) + 1, np.int32)
    renamed[kept] = np.arange(1, len(kept) + 1)
    return renamed[labels]
