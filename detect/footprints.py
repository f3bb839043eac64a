"""Instances → footprints: polygons, squared where the building is square.

All in pixels of the work grid (x = column, y = row, pixel corners at integers); its pixels are square on the ground to a fraction of a
per cent. ``extract_buildings`` walks the groups of a scene and is the one function here that reads stored heads.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio.features import shapes
from scipy import ndimage
from shapely import Polygon, affinity

from detect.grid import Span
from detect.instances import TOP, Group, InstanceParams, group_mask, split_group
from detect.stages import pool

RECTANGLE_IOU = 0.84
"""From this overlap on, a footprint is given as its rectangle: a drawn one comes back with 0.93, an L with 0.75 at most."""
RECTILINEAR_IOU = 0.82
SIMPLIFY_PX = 0.8
MIN_HOLE_PX = 60
"""Smaller holes in a roof are noise of the network, not courtyards (7 m² at 0.35 m)."""


@dataclass(frozen=True)
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


Paint = Callable[[Span, NDArray[np.bool_], int], None]
"""Called with a window, the building's pixels in it, and its stage code 1–3."""


def polygonise(labels: NDArray[np.int32]) -> dict[int, Polygon]:
    """The exact pixel outline of every label, holes kept; labels are 4-connected."""
    found: dict[int, Polygon] = {}
    for geometry, value in shapes(labels, mask=labels > 0, connectivity=4):
        polygon = Polygon(geometry["coordinates"][0], geometry["coordinates"][1:])
        known = found.get(int(value))
        if known is None or polygon.area > known.area:
            found[int(value)] = polygon
    return found


def square(polygon: Polygon, tolerance_px: float = 5.0) -> Polygon:
    """The outline with right angles where the building has them; always one valid polygon.

    Tried in turn: the rectangle with the outline's area and second moments; edges snapped to the dominant direction and its normal; the
    outline simplified (Douglas & Peucker 1973). The first that overlaps the outline well and strays at most ``tolerance_px`` is taken.
    A large building may stray 4 % of its perimeter's quarter, since its rounded corners are larger.
    """
    polygon = _fill_small_holes(polygon)
    tolerance_px = max(tolerance_px, 0.01 * polygon.length)
    direction, agreement = dominant_direction(polygon)
    candidates: list[tuple[Polygon | None, float]] = []
    if not polygon.interiors:
        rectangles = [_moment_rectangle(polygon, angle) for angle in (direction, _principal_direction(polygon))]
        candidates.append((max(rectangles, key=lambda r: _iou(r, polygon)), RECTANGLE_IOU))
    if agreement > 0.35:
        candidates.append((_rectilinear(polygon, direction), RECTILINEAR_IOU))
    for candidate, wanted in candidates:
        if candidate is None or not candidate.is_valid or candidate.area <= 0 or _iou(candidate, polygon) < wanted:
            continue
        if shapely.hausdorff_distance(candidate.exterior, polygon.exterior) <= tolerance_px:
            return shapely.orient_polygons(candidate)
    simple = polygon.simplify(SIMPLIFY_PX, preserve_topology=True)
    return shapely.orient_polygons(simple if simple.is_valid and simple.area > 0 else polygon)


def dominant_direction(polygon: Polygon) -> tuple[float, float]:
    """The direction of the walls, radians in [−π/4, π/4), and how far they agree on it, 0–1.

    Length-weighted circular mean of the edges' angles modulo a right angle: the resultant of 4θ (Mardia & Jupp 2000).
    """
    ring = np.asarray(polygon.simplify(1.2, preserve_topology=True).exterior.coords)
    edges = np.diff(ring, axis=0)
    lengths = np.hypot(edges[:, 0], edges[:, 1])
    turned = 4 * np.arctan2(edges[:, 1], edges[:, 0])
    # Long walls tell the direction, short ones the noise of the pixel grid.
    weight = lengths**2
    x, y = (weight * np.cos(turned)).sum(), (weight * np.sin(turned)).sum()
    return math.atan2(y, x) / 4, math.hypot(x, y) / weight.sum()


def _moments(polygon: Polygon) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
    """Area, centroid (2,) and covariance (2, 2) of a polygon without holes (Green's theorem)."""
    xy = np.asarray(polygon.exterior.coords)
    centre = xy[:-1].mean(axis=0)
    x0, y0 = (xy[:-1] - centre).T
    x1, y1 = (xy[1:] - centre).T
    cross = x0 * y1 - x1 * y0
    area = cross.sum() / 2
    mean = np.array([((x0 + x1) * cross).sum(), ((y0 + y1) * cross).sum()]) / (6 * area)
    xx = ((x0 * x0 + x0 * x1 + x1 * x1) * cross).sum() / (12 * area) - mean[0] ** 2
    yy = ((y0 * y0 + y0 * y1 + y1 * y1) * cross).sum() / (12 * area) - mean[1] ** 2
    xy_ = ((x0 * y1 + 2 * x0 * y0 + 2 * x1 * y1 + x1 * y0) * cross).sum() / (24 * area) - mean[0] * mean[1]
    return abs(area), mean + centre, np.array([[xx, xy_], [xy_, yy]])


def _principal_direction(polygon: Polygon) -> float:
    _, _, spread = _moments(polygon)
    return math.atan2(2 * spread[0, 1], spread[0, 0] - spread[1, 1]) / 2


def _moment_rectangle(polygon: Polygon, angle: float) -> Polygon:
    """The rectangle at an angle whose area and spread are the polygon's: a side of length L has variance L² / 12."""
    area, centre, spread = _moments(polygon)
    along = np.array([math.cos(angle), math.sin(angle)])
    across = np.array([-along[1], along[0]])
    length, width = (math.sqrt(12 * max(1e-9, float(v @ spread @ v))) for v in (along, across))
    fit = math.sqrt(area / (length * width))
    a, b = along * length * fit / 2, across * width * fit / 2
    return Polygon([centre - a - b, centre + a - b, centre + a + b, centre - a + b])


def _rectilinear(polygon: Polygon, direction: float) -> Polygon | None:
    """Every edge turned to the direction or its normal, at the mean position of the outline it replaces."""
    turned = affinity.rotate(polygon, -direction, origin=(0, 0), use_radians=True)
    rings = [_snap_ring(np.asarray(ring.coords)) for ring in (turned.exterior, *turned.interiors)]
    if rings[0] is None:
        return None
    result = Polygon(rings[0], [r for r in rings[1:] if r is not None])
    if not result.is_valid:
        result = result.buffer(0)
    if not isinstance(result, Polygon) or result.is_empty:
        return None
    return affinity.rotate(result, direction, origin=(0, 0), use_radians=True)


def _snap_ring(ring: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """A ring with horizontal and vertical edges only, or None where fewer than four remain."""
    simple = np.asarray(shapely.simplify(shapely.LinearRing(ring), 1.6).coords)
    edges = np.diff(simple, axis=0)
    flat = np.abs(edges[:, 0]) >= np.abs(edges[:, 1])  # horizontal
    if flat.all() or not flat.any():
        return None
    # Start where the kind of edge changes, so that runs of like edges do not wrap around.
    start = int(np.nonzero(flat != np.roll(flat, 1))[0][0])
    flat, edges, begins = np.roll(flat, -start), np.roll(edges, -start, axis=0), np.roll(simple[:-1], -start, axis=0)
    runs = np.concatenate([[0], np.cumsum(flat[1:] != flat[:-1])])
    lines = []
    for run in range(runs[-1] + 1):
        of_run = runs == run
        axis = 1 if flat[of_run][0] else 0  # a horizontal edge has one y
        middles = begins[of_run, axis] + edges[of_run, axis] / 2
        lines.append((axis, float(np.average(middles, weights=np.abs(edges[of_run]).sum(axis=1) + 1e-9))))
    if len(lines) < 4:
        return None
    corners = []
    for (axis, value), (_, following) in zip(lines, lines[1:] + lines[:1], strict=True):
        corners.append((following, value) if axis == 1 else (value, following))
    return np.array(corners)


def _fill_small_holes(polygon: Polygon) -> Polygon:
    kept = [ring for ring in polygon.interiors if Polygon(ring).area >= MIN_HOLE_PX]
    return Polygon(polygon.exterior, kept)


def _iou(a: Polygon, b: Polygon) -> float:
    overlap = a.intersection(b).area
    return overlap / (a.area + b.area - overlap)


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
) -> Iterator[RawBuilding]:
    """Every building of a scene, group by group, in the order of the groups.

    Args:
        read_heads: span of the scene → heads (5, H, W) uint8.
        groups: of ``find_groups`` at the same threshold.
        size_hw: of the scene's work grid.
        params: how groups are split.
        paint: told the pixels and stage of each building.
        temperature: of the stage calibration.
        class_weights: of the stages in the training loss.
        told: of ``detect.probabilities.calibrated``; scores are means of what it gives, default of the probabilities as they are.
    """
    for group in groups:
        if group.area_px < params.min_area_px:
            continue
        # One pixel more on each side tells whether a neighbour was not observed.
        span = group.span.pad(1).clip(size_hw)
        heads = read_heads(span)
        inner = group.span.shift(-span.row0, -span.col0)
        within = heads[(slice(None), *inner.slices())]
        labels = split_group(within[0], within[1], group_mask(within[0], group, params.threshold_u8), params)
        count = int(labels.max())
        if not count:
            continue
        polygons = polygonise(labels)
        stage_p = pool(np.minimum(within[2:], TOP), labels, count, temperature, class_weights)
        sizes = np.bincount(labels.ravel(), minlength=count + 1)
        certain = within[0] if told is None else told[within[0]]
        scores = np.bincount(labels.ravel(), weights=certain.ravel(), minlength=count + 1) / np.maximum(sizes, 1) / TOP
        at_edge = _at_edge(labels, heads[0], inner, span, size_hw)
        for label, window in enumerate(ndimage.find_objects(labels), start=1):
            footprint = square(affinity.translate(polygons[label], group.span.col0, group.span.row0))
            if footprint.area < params.min_area_px:
                continue
            p = stage_p[label - 1]
            if paint is not None:
                rows, cols = window
                where = Span(rows.start, cols.start, rows.stop, cols.stop).shift(group.span.row0, group.span.col0)
                paint(where, labels[window] == label, int(p.argmax()) + 1)
            yield RawBuilding(footprint, float(scores[label]), tuple(p.tolist()), label in at_edge)


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
