"""Turn pixel outlines into footprints with right angles where the building has them.

All functions work on many outlines at a time, in pixels (x = column, y = row).
"""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import Polygon

RECTANGLE_IOU = 0.84
"""An outline becomes a rectangle if the two overlap by this IoU: simulated rectangles reach 0.93, L shapes at most 0.75."""
RECTILINEAR_IOU = 0.82
"""The same for the shape with edges in two directions only."""
TOLERANCE_PX = 5.0
"""Largest distance between the edges of an outline and those of the rectangle, or of the shape with right angles, that replaces it."""
SIMPLIFY_PX = 0.8
"""Tolerance of the simplification (Douglas & Peucker 1973) of outlines that get no right angles."""
MIN_HOLE_PX = 60
"""Holes of fewer square pixels are noise of the network, not courtyards; 60 px² are 7 m² at 0.35 m."""


def square_all(polygons: NDArray[np.object_]) -> NDArray[np.object_]:
    """Give each outline right angles where the building has them.

    Three shapes are tried in turn: the rectangle with the outline's area and second moments; the outline with its edges turned to the
    dominant direction and the direction at right angles to it; the simplified outline. The first one that overlaps the outline well
    and deviates from it by at most ``TOLERANCE_PX`` is taken. A large building may deviate by 1 % of its perimeter, because its
    rounded corners are larger.

    Args:
        polygons: (n,) valid outlines.

    Returns:
        (n,) footprints, each one valid polygon.
    """
    polygons = np.array([_fill_small_holes(p) if n else p for p, n in zip(polygons, _holes(polygons), strict=True)], dtype=object)
    tolerance = np.maximum(TOLERANCE_PX, 0.01 * shapely.length(polygons))
    direction, agreement = dominant_directions(polygons)
    result = np.full(len(polygons), None, dtype=object)
    solid = _holes(polygons) == 0
    rectangles, overlap = _rectangles(polygons[solid], direction[solid])
    result[solid] = _fitting(rectangles, polygons[solid], overlap, RECTANGLE_IOU, tolerance[solid])
    undecided = shapely.is_missing(result) & (agreement > 0.35)
    rectilinear = _rectilinear(polygons[undecided], direction[undecided])
    overlap = shapely.area(shapely.intersection(rectilinear, polygons[undecided]))
    result[undecided] = _fitting(rectilinear, polygons[undecided], overlap, RECTILINEAR_IOU, tolerance[undecided])
    remaining = shapely.is_missing(result)
    simple = shapely.simplify(polygons[remaining], SIMPLIFY_PX, preserve_topology=True)
    result[remaining] = np.where(shapely.is_valid(simple) & (shapely.area(simple) > 0), simple, polygons[remaining])
    return shapely.orient_polygons(result)


def _holes(polygons: NDArray[np.object_]) -> NDArray[np.int64]:
    """Number of holes of each polygon."""
    return shapely.get_num_interior_rings(polygons)


def _fitting(
    candidates: NDArray[np.object_],
    polygons: NDArray[np.object_],
    overlap: NDArray[np.float64],
    wanted_iou: float,
    tolerance_px: NDArray[np.float64],
) -> NDArray[np.object_]:
    """Keep the candidates that overlap their outline well and stay close to it; None for the others.

    Args:
        candidates: (n,) shape that may replace each outline, or None.
        polygons: (n,) outlines.
        overlap: (n,) common area of the two, px².
        wanted_iou: least overlap (IoU).
        tolerance_px: (n,) largest distance between the edges of the two.
    """
    areas = shapely.area(candidates)
    good = shapely.is_valid(candidates) & (areas > 0) & (overlap >= wanted_iou * (areas + shapely.area(polygons) - overlap))
    candidates = _only(candidates, good)
    edges, outlines = shapely.get_exterior_ring(candidates), shapely.get_exterior_ring(polygons)
    good &= shapely.hausdorff_distance(edges, outlines) <= tolerance_px
    return _only(candidates, good)


def _only(geometries: NDArray[np.object_], chosen: NDArray[np.bool_]) -> NDArray[np.object_]:
    """Replace all but the chosen geometries by None."""
    result = geometries.copy()
    result[~chosen] = None
    return result


def dominant_directions(polygons: NDArray[np.object_]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Find the main direction of each building's walls.

    The direction is a circular mean of the edges' angles θ modulo a right angle: that of the sum of vectors with the angles 4θ
    (Mardia & Jupp 2000).

    Returns:
        The direction (n,), radians in [−π/4, π/4), and how well the edges agree on it (n,), 0–1.
    """
    simple = shapely.simplify(shapely.get_exterior_ring(polygons), 1.2, preserve_topology=True)
    _, edges, owner = _edges(simple)
    fourfold = 4 * np.arctan2(edges[:, 1], edges[:, 0])
    # Weight by squared length: long edges follow the walls, short ones follow the pixel grid.
    weight = (edges**2).sum(axis=1)
    x, y, total = (np.bincount(owner, w, len(polygons)) for w in (weight * np.cos(fourfold), weight * np.sin(fourfold), weight))
    return np.arctan2(y, x) / 4, np.hypot(x, y) / np.maximum(total, 1e-12)


def _edges(rings: NDArray[np.object_]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """List the edges of closed rings: start point (n, 2), vector to the end point (n, 2) and index of the ring (n,)."""
    points, owner = shapely.get_coordinates(rings, return_index=True)
    same_ring = owner[1:] == owner[:-1]
    return points[:-1][same_ring], np.diff(points, axis=0)[same_ring], owner[:-1][same_ring]


def _moments(polygons: NDArray[np.object_]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Area (n,), centroid (n, 2) and covariance xx, yy, xy (3, n) of polygons without holes (Green's theorem)."""
    begins, edges, owner = _edges(shapely.get_exterior_ring(polygons))
    count = len(polygons)
    corners = np.bincount(owner, minlength=count)
    centre = np.stack([np.bincount(owner, begins[:, i], count) / corners for i in (0, 1)], axis=1)
    x0, y0 = (begins - centre[owner]).T
    x1, y1 = (begins + edges - centre[owner]).T
    cross = x0 * y1 - x1 * y0
    area = np.bincount(owner, cross, count) / 2

    def integral(values: NDArray[np.float64], share: float) -> NDArray[np.float64]:
        return np.bincount(owner, values * cross, count) / (share * area)

    mean_x, mean_y = integral(x0 + x1, 6), integral(y0 + y1, 6)
    xx = integral(x0 * x0 + x0 * x1 + x1 * x1, 12) - mean_x**2
    yy = integral(y0 * y0 + y0 * y1 + y1 * y1, 12) - mean_y**2
    xy = integral(x1 * y0 + 2 * x0 * y0 + 2 * x1 * y1 + x0 * y1, 24) - mean_x * mean_y
    return np.abs(area), np.stack([mean_x, mean_y], axis=1) + centre, np.stack([xx, yy, xy])


def _rectangles(polygons: NDArray[np.object_], direction: NDArray[np.float64]) -> tuple[NDArray[np.object_], NDArray[np.float64]]:
    """Find for each outline the better of two rectangles: along its walls, or along the direction of its largest variance.

    A rectangle has the outline's centroid and area, and its sides are in proportion to the outline's standard deviations: a side of
    length L has variance L² / 12.

    Returns:
        The rectangle (n,) that overlaps the outline more, and the common area (n,), px².
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
    """Common area (n,) of each polygon and a rectangle, px².

    Works in coordinates where the rectangle is the square from −1 to 1; ``clip_by_rect`` is then much faster than an intersection.

    Args:
        polygons: (n,) outlines.
        centre: (n, 2) centre of each rectangle.
        angle: (n,) direction of its length, radians.
        half: (2, n) half its length and half its width.
    """
    points, owner = shapely.get_coordinates(polygons, return_index=True)
    x, y = (points - centre[owner]).T
    cos, sin = np.cos(angle[owner]), np.sin(angle[owner])
    scaled = np.stack([(cos * x + sin * y) / half[0][owner], (cos * y - sin * x) / half[1][owner]], axis=1)
    clipped = shapely.clip_by_rect(shapely.set_coordinates(polygons.copy(), scaled), -1, -1, 1, 1)
    return shapely.area(clipped) * half[0] * half[1]


def _rectilinear(polygons: NDArray[np.object_], direction: NDArray[np.float64]) -> NDArray[np.object_]:
    """Turn every edge to the direction or the direction at right angles to it; None if too few edges remain.

    The polygon is rotated so that its direction is horizontal, its rings are snapped, and the result is rotated back. A hole that
    cannot be snapped is dropped.
    """
    rings, owner = shapely.get_rings(polygons, return_index=True)
    snapped = _snap_rings(_rotated(rings, -direction[owner]))
    shells = np.concatenate([[True], owner[1:] != owner[:-1]]) if len(owner) else np.zeros(0, bool)  # the first ring of each
    lost = np.unique(owner[shells & shapely.is_missing(snapped)])
    kept = ~shapely.is_missing(snapped) & ~np.isin(owner, lost)
    result = np.full(len(polygons), None, dtype=object)
    if kept.any():
        found = np.unique(owner[kept])
        result[found] = shapely.polygons(snapped[kept], indices=np.searchsorted(found, owner[kept]))
        broken = ~shapely.is_valid(result) & ~shapely.is_missing(result)
        result[broken] = shapely.buffer(result[broken], 0)
        single = (shapely.get_type_id(result) == shapely.GeometryType.POLYGON) & ~shapely.is_empty(result)
        result = _rotated(_only(result, single), direction)
    return result


def _rotated(geometries: NDArray[np.object_], angle: NDArray[np.float64]) -> NDArray[np.object_]:
    """Rotate each geometry about the origin by its angle, radians."""
    points, owner = shapely.get_coordinates(geometries, return_index=True)
    cos, sin = np.cos(angle[owner]), np.sin(angle[owner])
    x, y = points.T
    return shapely.set_coordinates(geometries.copy(), np.stack([cos * x - sin * y, sin * x + cos * y], axis=1))


def _snap_rings(rings: NDArray[np.object_]) -> NDArray[np.object_]:
    """Make all edges of rings horizontal or vertical; None if fewer than four remain.

    An edge counts as horizontal or vertical, whichever is nearer. A run is a sequence of neighbouring edges of the same kind; it
    becomes one edge at their mean position. Horizontal and vertical runs alternate around a ring, with a corner between each two.
    """
    result = np.full(len(rings), None, dtype=object)
    begins, edges, ring = _edges(shapely.simplify(rings, 1.6))
    flat = np.abs(edges[:, 0]) >= np.abs(edges[:, 1])
    run, counts = _runs(flat, ring, len(rings))
    usable = counts >= 4
    kept = usable[ring]
    if not kept.any():
        return result
    position, is_flat = _lines(run[kept], flat[kept], begins[kept], edges[kept], int(counts.sum()))
    following = _next_around(counts)
    here, there = position, position[following]
    corners = np.stack([np.where(is_flat, there, here), np.where(is_flat, here, there)], axis=1)
    ring_of_run = np.repeat(np.arange(len(rings)), counts)
    chosen = usable[ring_of_run]
    found, index = np.unique(ring_of_run[chosen], return_inverse=True)
    result[found] = shapely.linearrings(corners[chosen], indices=index)
    return result


def _runs(flat: NDArray[np.bool_], ring: NDArray[np.int64], rings: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Group the edges into runs.

    Args:
        flat: (n,) whether each edge is horizontal, in order around its ring.
        ring: (n,) ring of each edge, in rising order.
        rings: number of rings.

    Returns:
        The run (n,) of each edge, numbered through all rings, and the number of runs of each ring.
    """
    first = np.searchsorted(ring, np.arange(rings))
    last = np.searchsorted(ring, np.arange(rings), side="right") - 1
    before = np.arange(len(ring)) - 1
    before[first[last >= first]] = last[last >= first]
    changes = flat != flat[before]
    # Around a closed ring there are as many runs as changes of direction.
    counts = np.bincount(ring, changes, rings).astype(np.int64)
    offset = np.concatenate([[0], np.cumsum(counts)])
    run = np.cumsum(changes) - 1
    # Edges before a ring's first change belong to its last run.
    return np.where(run < offset[ring], run + counts[ring], run), counts


def _lines(
    run: NDArray[np.int64], flat: NDArray[np.bool_], begins: NDArray[np.float64], edges: NDArray[np.float64], runs: int
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Replace each run by one edge at the mean position of its edges, weighted by length.

    Returns:
        The position (runs,): y of a horizontal edge, x of a vertical one; and whether it is horizontal (runs,).
    """
    middle = begins + edges / 2
    value = np.where(flat, middle[:, 1], middle[:, 0])
    weight = np.abs(edges).sum(axis=1) + 1e-9
    position = np.bincount(run, weight * value, runs) / np.maximum(np.bincount(run, weight, runs), 1e-12)
    is_flat = np.zeros(runs, bool)
    is_flat[run] = flat
    return position, is_flat


def _next_around(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Index of the run that follows each run around its ring, from the number of runs of each ring."""
    offset = np.concatenate([[0], np.cumsum(counts)])
    following = np.arange(offset[-1]) + 1
    following[offset[1:][counts > 0] - 1] = offset[:-1][counts > 0]
    return following


def _fill_small_holes(polygon: Polygon) -> Polygon:
    kept = [ring for ring in polygon.interiors if Polygon(ring).area >= MIN_HOLE_PX]
    return Polygon(polygon.exterior, kept)
