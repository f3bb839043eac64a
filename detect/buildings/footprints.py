"""Instances → footprints: polygons, squared where the building is square.

All in pixels of the work grid (x = column, y = row, pixel corners at integers); its pixels are square on the ground to a fraction of a
per cent. ``extract_buildings`` walks the groups of a scene and is the one function here that reads stored heads.
"""

from __future__ import annotations

import math
import os
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import reduce
from itertools import chain

import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning
from rasterio.features import shapes
from scipy import ndimage
from shapely import Polygon

from detect.base.grid import Span
from detect.base.stages import STAGES, pool
from detect.base.values import TOP
from detect.buildings.instances import Group, InstanceParams, batches, groups_mask, split_group

RECTANGLE_IOU = 0.84
"""From this overlap on, a footprint is given as its rectangle: a drawn one comes back with 0.93, an L with 0.75 at most."""
RECTILINEAR_IOU = 0.82
SIMPLIFY_PX = 0.8
MIN_HOLE_PX = 60
"""Smaller holes in a roof are noise of the network, not courtyards (7 m² at 0.35 m)."""


@dataclass(frozen=True, slots=True)
class RawBuilding:
    """A building before it is measured on the ground."""

    polygon_px: Polygon
    """Squared footprint on the scene's work grid."""
    score: float
    """Mean footprint probability of its pixels."""
    stage_p: tuple[float, float, float]
    """Of foundation, incomplete, complete; sums to one."""
    touches_edge: bool
    """A pixel lies on the scene's border or beside one without observation."""


Paint = Callable[[Span, NDArray[np.uint8]], None]
"""Called with a window and (H, W) stage codes 1–3 of the buildings' pixels in it, 0 elsewhere."""
Classify = Callable[[NDArray[np.object_]], NDArray[np.float64]]
"""Footprints (n,) on the scene's work grid → stage probabilities (n, 3); called by several threads."""


def polygonise(labels: NDArray[np.int32]) -> dict[int, Polygon]:
    """The exact pixel outline of every label, holes kept; labels are 4-connected."""
    values, rings, corners = [], [], []
    for i, (geometry, value) in enumerate(shapes(labels, mask=labels > 0, connectivity=4)):
        values.append(int(value))
        rings += [i] * len(geometry["coordinates"])
        corners += geometry["coordinates"]
    if not values:
        return {}
    points = np.array(list(chain.from_iterable(corners)))
    of = np.repeat(np.arange(len(corners)), [len(ring) for ring in corners])
    polygons = shapely.polygons(shapely.linearrings(points, indices=of), indices=rings)
    return dict(zip(values, polygons, strict=True))


def square(polygon: Polygon, tolerance_px: float = 5.0) -> Polygon:
    """``square_all`` of one outline."""
    return square_all(np.array([polygon], dtype=object), tolerance_px)[0]


def square_all(polygons: NDArray[np.object_], tolerance_px: float = 5.0) -> NDArray[np.object_]:
    """Each outline with right angles where the building has them; always one valid polygon.

    Tried in turn: the rectangle with the outline's area and second moments; edges snapped to the dominant direction and its normal; the
    outline simplified (Douglas & Peucker 1973). The first that overlaps the outline well and strays at most ``tolerance_px`` is taken.
    A large building may stray 4 % of its perimeter's quarter, since its rounded corners are larger.
    """
    polygons = np.array([_fill_small_holes(p) if n else p for p, n in zip(polygons, _holes(polygons), strict=True)], dtype=object)
    tolerance = np.maximum(tolerance_px, 0.01 * shapely.length(polygons))
    direction, agreement = dominant_directions(polygons)
    result = np.full(len(polygons), None, dtype=object)
    open_ = _holes(polygons) == 0
    rectangles, overlap = _rectangles(polygons[open_], direction[open_])
    result[open_] = _fitting(rectangles, polygons[open_], overlap, RECTANGLE_IOU, tolerance[open_])
    left = shapely.is_missing(result) & (agreement > 0.35)
    straight = _rectilinear(polygons[left], direction[left])
    overlap = shapely.area(shapely.intersection(straight, polygons[left]))
    result[left] = _fitting(straight, polygons[left], overlap, RECTILINEAR_IOU, tolerance[left])
    left = shapely.is_missing(result)
    simple = shapely.simplify(polygons[left], SIMPLIFY_PX, preserve_topology=True)
    result[left] = np.where(shapely.is_valid(simple) & (shapely.area(simple) > 0), simple, polygons[left])
    return shapely.orient_polygons(result)


def _holes(polygons: NDArray[np.object_]) -> NDArray[np.int64]:
    return shapely.get_num_interior_rings(polygons)


def _fitting(
    candidates: NDArray[np.object_],
    polygons: NDArray[np.object_],
    overlap: NDArray[np.float64],
    wanted_iou: float,
    tolerance_px: NDArray[np.float64],
) -> NDArray[np.object_]:
    """The candidates that overlap their outline well, by an area in px², and do not stray from it; None for the others."""
    areas = shapely.area(candidates)
    good = shapely.is_valid(candidates) & (areas > 0) & (overlap >= wanted_iou * (areas + shapely.area(polygons) - overlap))
    candidates = _only(candidates, good)
    edges, outlines = shapely.get_exterior_ring(candidates), shapely.get_exterior_ring(polygons)
    good &= shapely.hausdorff_distance(edges, outlines) <= tolerance_px
    return _only(candidates, good)


def _only(geometries: NDArray[np.object_], chosen: NDArray[np.bool_]) -> NDArray[np.object_]:
    """The chosen ones, None for the others."""
    result = geometries.copy()
    result[~chosen] = None
    return result


def dominant_directions(polygons: NDArray[np.object_]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The direction of the walls of each, radians in [−π/4, π/4), and how far they agree on it, 0–1.

    Length-weighted circular mean of the edges' angles modulo a right angle: the resultant of 4θ (Mardia & Jupp 2000).
    """
    simple = shapely.simplify(shapely.get_exterior_ring(polygons), 1.2, preserve_topology=True)
    _, edges, of = _edges(simple)
    turned = 4 * np.arctan2(edges[:, 1], edges[:, 0])
    # Long walls tell the direction, short ones the noise of the pixel grid.
    weight = (edges**2).sum(axis=1)
    x, y, total = (np.bincount(of, w, len(polygons)) for w in (weight * np.cos(turned), weight * np.sin(turned), weight))
    return np.arctan2(y, x) / 4, np.hypot(x, y) / np.maximum(total, 1e-12)


def _edges(rings: NDArray[np.object_]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Begin (n, 2) and vector (n, 2) of every edge of closed rings, and the ring (n,) that it belongs to."""
    points, of = shapely.get_coordinates(rings, return_index=True)
    inside = of[1:] == of[:-1]
    return points[:-1][inside], np.diff(points, axis=0)[inside], of[:-1][inside]


def _moments(polygons: NDArray[np.object_]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Area (n,), centroid (n, 2) and covariance xx, yy, xy (3, n) of polygons without holes (Green's theorem)."""
    begins, edges, of = _edges(shapely.get_exterior_ring(polygons))
    count = len(polygons)
    corners = np.bincount(of, minlength=count)
    centre = np.stack([np.bincount(of, begins[:, i], count) / corners for i in (0, 1)], axis=1)
    x0, y0 = (begins - centre[of]).T
    x1, y1 = (begins + edges - centre[of]).T
    cross = x0 * y1 - x1 * y0
    area = np.bincount(of, cross, count) / 2

    def integral(values: NDArray[np.float64], share: float) -> NDArray[np.float64]:
        return np.bincount(of, values * cross, count) / (share * area)

    mean_x, mean_y = integral(x0 + x1, 6), integral(y0 + y1, 6)
    xx = integral(x0 * x0 + x0 * x1 + x1 * x1, 12) - mean_x**2
    yy = integral(y0 * y0 + y0 * y1 + y1 * y1, 12) - mean_y**2
    xy = integral(x1 * y0 + 2 * x0 * y0 + 2 * x1 * y1 + x0 * y1, 24) - mean_x * mean_y
    return np.abs(area), np.stack([mean_x, mean_y], axis=1) + centre, np.stack([xx, yy, xy])


def _rectangles(polygons: NDArray[np.object_], direction: NDArray[np.float64]) -> tuple[NDArray[np.object_], NDArray[np.float64]]:
    """For each outline the better of two rectangles, along its walls or along its longest spread; and their overlap, px².

    A rectangle has the outline's area and spread: a side of length L has variance L² / 12.
    """
    area, centre, (xx, yy, xy) = _moments(polygons)
    best, best_overlap = np.full(len(polygons), None, dtype=object), np.full(len(polygons), -1.0)
    for angle in (direction, np.arctan2(2 * xy, xx - yy) / 2):
        cos, sin = np.cos(angle), np.sin(angle)
        length = np.sqrt(12 * np.maximum(1e-9, xx * cos**2 + 2 * xy * cos * sin + yy * sin**2))
        width = np.sqrt(12 * np.maximum(1e-9, xx * sin**2 - 2 * xy * cos * sin + yy * cos**2))
        half = np.stack([length, width]) * np.sqrt(area / (length * width)) / 2
        a, b = np.stack([cos, sin], axis=1) * half[0][:, None], np.stack([-sin, cos], axis=1) * half[1][:, None]
        overlap = _overlap(polygons, centre, angle, half)
        better = overlap > best_overlap
        corners = np.stack([centre - a - b, centre + a - b, centre + a + b, centre - a + b], axis=1)[better]
        best[better], best_overlap[better] = shapely.polygons(corners), overlap[better]
    return best, best_overlap


def _overlap(
    polygons: NDArray[np.object_], centre: NDArray[np.float64], angle: NDArray[np.float64], half: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Area of each polygon inside a turned rectangle: where that is the square of ±1, clipping is many times as fast as intersecting."""
    points, of = shapely.get_coordinates(polygons, return_index=True)
    x, y = (points - centre[of]).T
    cos, sin = np.cos(angle[of]), np.sin(angle[of])
    own = np.stack([(cos * x + sin * y) / half[0][of], (cos * y - sin * x) / half[1][of]], axis=1)
    clipped = shapely.clip_by_rect(shapely.set_coordinates(polygons.copy(), own), -1, -1, 1, 1)
    return shapely.area(clipped) * half[0] * half[1]


def _rectilinear(polygons: NDArray[np.object_], direction: NDArray[np.float64]) -> NDArray[np.object_]:
    """Every edge turned to the direction or its normal, at the mean position of the outline it replaces; None where too few remain."""
    rings, of = shapely.get_rings(polygons, return_index=True)
    snapped = _snap_rings(_turned(rings, -direction[of]))
    shells = np.concatenate([[True], of[1:] != of[:-1]]) if len(of) else np.zeros(0, bool)
    lost = np.unique(of[shells & shapely.is_missing(snapped)])
    kept = ~shapely.is_missing(snapped) & ~np.isin(of, lost)
    result = np.full(len(polygons), None, dtype=object)
    if kept.any():
        found = np.unique(of[kept])
        result[found] = shapely.polygons(snapped[kept], indices=np.searchsorted(found, of[kept]))
        broken = ~shapely.is_valid(result) & ~shapely.is_missing(result)
        result[broken] = shapely.buffer(result[broken], 0)
        single = (shapely.get_type_id(result) == shapely.GeometryType.POLYGON) & ~shapely.is_empty(result)
        result = _turned(_only(result, single), direction)
    return result


def _turned(geometries: NDArray[np.object_], angle: NDArray[np.float64]) -> NDArray[np.object_]:
    """Each geometry turned about the origin by its angle, radians."""
    points, of = shapely.get_coordinates(geometries, return_index=True)
    cos, sin = np.cos(angle[of]), np.sin(angle[of])
    x, y = points.T
    return shapely.set_coordinates(geometries.copy(), np.stack([cos * x - sin * y, sin * x + cos * y], axis=1))


def _snap_rings(rings: NDArray[np.object_]) -> NDArray[np.object_]:
    """Rings with horizontal and vertical edges only, or None where fewer than four remain.

    Neighbouring edges of a kind form a run, which becomes one edge at their mean position; runs alternate around a ring, and where one
    meets the next there is a corner.
    """
    result = np.full(len(rings), None, dtype=object)
    begins, edges, of = _edges(shapely.simplify(rings, 1.6))
    flat = np.abs(edges[:, 0]) >= np.abs(edges[:, 1])  # horizontal
    first = np.searchsorted(of, np.arange(len(rings)))
    last = np.searchsorted(of, np.arange(len(rings)), side="right") - 1
    before = np.arange(len(of)) - 1
    before[first[last >= first]] = last[last >= first]
    turns = flat != flat[before]
    runs = np.bincount(of, turns, len(rings)).astype(np.int64)  # as many as turns, once around
    offset = np.concatenate([[0], np.cumsum(runs)])
    run = np.cumsum(turns) - 1
    run = np.where(run < offset[of], run + runs[of], run)  # edges before a ring's first turn belong to its last run
    usable = runs[of] >= 4
    run, of, flat, begins, edges = run[usable], of[usable], flat[usable], begins[usable], edges[usable]
    if not len(of):
        return result
    middle = begins + edges / 2
    value = np.where(flat, middle[:, 1], middle[:, 0])  # a horizontal edge has one y
    weight = np.abs(edges).sum(axis=1) + 1e-9
    position = np.bincount(run, weight * value, offset[-1]) / np.maximum(np.bincount(run, weight, offset[-1]), 1e-12)
    is_flat, ring_of = np.zeros(offset[-1], bool), np.repeat(np.arange(len(rings)), runs)
    is_flat[run] = flat
    chosen = runs[ring_of] >= 4
    following = np.arange(offset[-1]) + 1
    ends = offset[1:][runs > 0] - 1
    following[ends] = offset[:-1][runs > 0]
    here, there = position, position[following]
    corners = np.stack([np.where(is_flat, there, here), np.where(is_flat, here, there)], axis=1)[chosen]
    found, index = np.unique(ring_of[chosen], return_inverse=True)
    result[found] = shapely.linearrings(corners, indices=index)
    return result


def _fill_small_holes(polygon: Polygon) -> Polygon:
    kept = [ring for ring in polygon.interiors if Polygon(ring).area >= MIN_HOLE_PX]
    return Polygon(polygon.exterior, kept)


def extract_buildings(
    read_heads: Callable[[Span], NDArray[np.uint8]],
    groups: list[Group],
    size_hw: tuple[int, int],
    params: InstanceParams,
    *,
    paint: Paint | None = None,
    temperature: float = 1.0,
    class_weights: tuple[float, ...] = (1.0, 1.0, 1.0),
    told: NDArray[np.uint8] | None = None,
    classify: Classify | None = None,
    sure_from: float = math.inf,
) -> list[RawBuilding]:
    """Every building of a scene, in the order of the groups and within one of their first pixels.

    Args:
        read_heads: span of the scene → heads (5, H, W) uint8; called by one thread at a time.
        groups: of ``find_groups`` at the same threshold.
        size_hw: of the scene's work grid.
        params: how groups are split.
        paint: told the pixels and stages of the buildings, window by window.
        temperature: of the stage calibration.
        class_weights: of the stages in the training loss.
        told: of ``detect.network.probabilities.calibrated``; scores are means of what it gives, default of the probabilities as they are.
        classify: gives the stages of those that the stage heads, pooled, are not sure are complete; default these alone.
        sure_from: pooled probability of being complete from which a building is not classified again.
    """
    groups = [g for g in groups if g.area_px >= params.min_area_px]
    told = np.arange(256, dtype=np.uint8) if told is None else told
    one_by_one = threading.Lock()  # a GDAL file is one thread's at a time, and rasterio turns warnings off and on for all

    def extract(numbers: list[int]) -> list[tuple[int, int, RawBuilding]]:
        chosen = [groups[i] for i in numbers]
        window = reduce(Span.union, (g.span for g in chosen))
        # One pixel more on each side tells whether a neighbour was not observed.
        span = window.pad(1).clip(size_hw)
        with one_by_one:
            heads = read_heads(span)
        inner = window.shift(-span.row0, -span.col0)
        within = heads[(slice(None), *inner.slices())]
        mask, owner = groups_mask(within[0], chosen, (window.row0, window.col0), params.threshold_u8)
        labels = split_group(within[0], within[1], mask, params)
        count = int(labels.max())
        if not count:
            return []
        with one_by_one:
            outlines = polygonise(labels)
        offset = np.array([window.col0, window.row0])
        local = np.array([outlines[i] for i in range(1, count + 1)], dtype=object)
        footprints = square_all(shapely.transform(local, lambda xy: xy + offset))
        large = shapely.area(footprints) >= params.min_area_px
        where = labels > 0
        of = labels[where] - 1
        stage_p = pool(np.minimum(within[2:][:, where], TOP), of + 1, count, temperature, class_weights)
        if classify is not None:
            again = large & (stage_p[:, STAGES.index("complete")] < sure_from)
            stage_p[again] = classify(footprints[again])
        scores = np.bincount(of, weights=told[within[0][where]]) / np.bincount(of) / TOP
        if paint is not None:
            codes = np.concatenate([[0], np.where(large, stage_p.argmax(axis=1) + 1, 0)]).astype(np.uint8)
            paint(window, codes[labels])
        at_edge = _at_edge(labels, heads[0], inner, span, size_hw)
        group_of = np.zeros(count, np.int64)
        group_of[of] = owner[where] - 1
        return [
            (numbers[group_of[i]], i, RawBuilding(footprints[i], float(scores[i]), tuple(stage_p[i].tolist()), i + 1 in at_edge))
            for i in np.flatnonzero(large).tolist()
        ]

    with warnings.catch_warnings(), ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as threads:  # each holds a window in memory
        # rasterio hushes this while it outlines labels; shapely, in another thread, may bring back in the middle what was before.
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        found = [building for part in threads.map(extract, batches(groups)) for building in part]
    found.sort(key=lambda f: f[:2])
    return [building for _, _, building in found]


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
    near = ndimage.binary_dilation(missing)[1 : rows + 1, 1 : cols + 1][inner.slices()]
    return set(np.unique(labels[near]).tolist()) - {0}
