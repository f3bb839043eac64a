"""What lies between the buildings of a site: cleared ground, regular pads on it, and how many more buildings would fit there.

Cleared ground is bare of plants and buildings, lit, and as wide as a building of the type. Plants are recognised by the excess
green of the chromatic coordinates (Woebbecke et al. 1995, doi:10.13031/2013.27838), so a panchromatic scene shows none of this,
and naturally bare ground counts as cleared. A pad is a place on cleared ground that has the size and heading of the blocks in a
row on the site or near it, and another brightness than the ground around it. A matched filter finds pads; they count if they form
a group with each other and with similar buildings.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import geopandas as gpd
import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.features import rasterize, shapes
from shapely import Polygon
from shapely.geometry.base import BaseGeometry

from detect.base.geometry import heading_px, measure, rectangle_corners
from detect.base.grid import Span
from detect.base.vectors import equal_area_crs, geometries_of
from detect.census.dormitories import mean_heading_deg
from detect.census.profiles import StructureProfile
from detect.census.sites import touching
from detect.scene.reader import SceneReader
from detect.scene.scene import Scene, WorkGrid

PIXEL_M = 1.0
LARGEST_PX = 3072
"""Longer side of the picture of a site; larger sites get larger pixels."""
COARSEST_FOR_PADS_M = 2.0
EXCESS_GREEN = 0.06
"""2g − r − b of chromatic coordinates; from this value on, a pixel shows plants. In 66 patches of cleared or laid-out ground,
marked in sample imagery, 95 % of the pixels lie below it."""
DARKEST = 0.16
"""Mean of red, green and blue, 0–1, below which a pixel lies in shadow."""
DISTINCT = 0.5
"""A pad's brightness differs from the ground beside it by at least this many standard deviations (Cohen's d)."""
NEIGHBOURS = 13
"""Number of blocks nearest to a block, including itself, from which the steps of its row are measured."""
FALSE_PADS = 0.05
"""Share of all places on the cleared ground of a site that may be as distinct as a pad by chance."""


@dataclass(frozen=True)
class _Look:
    """The picture of a site, with pixels of ``metres``."""

    light: NDArray[np.float32]
    """(H, W), 0–1."""
    cleared: NDArray[np.bool_]
    transform: Affine
    metres: float


def survey(
    scene: Scene, grid: WorkGrid, sites: gpd.GeoDataFrame, buildings: gpd.GeoDataFrame, profile: StructureProfile
) -> gpd.GeoDataFrame | None:
    """Cleared ground and pads of each site.

    Args:
        scene: in colour.
        grid: work grid of the scene.
        sites: with ``name``; in the scene's CRS.
        buildings: with the columns of the schema; in the scene's CRS.
        profile: the type of building that pads may be for.

    Returns:
        ``kind`` (``cleared`` or ``pad``), ``site``, ``area_m2`` and a polygon in the scene's CRS, a row each. Memory is bounded by
        ``LARGEST_PX``. None for a panchromatic scene, in which plants look like bare ground.
    """
    if len(set(scene.bands)) == 1:
        return None
    records: list[tuple[str, str, BaseGeometry]] = []
    touched = touching(geometries_of(buildings), geometries_of(sites))
    with scene.reader(grid) as reader:
        for name, site, which in zip(sites["name"], geometries_of(sites), touched, strict=True):
            near = buildings.iloc[which]
            look = _look(reader, grid, site, geometries_of(near), profile)
            if look is None:
                continue
            records += [("cleared", name, g) for g in _outlines(look.cleared, look.transform) if g.geom_type == "Polygon"]
            if look.metres <= COARSEST_FOR_PADS_M:
                records += [("pad", name, g) for g in _pads(look, grid, scene, near, profile)]
    geometry = gpd.GeoSeries([g for _, _, g in records], crs=scene.crs)
    table = gpd.GeoDataFrame(
        {"kind": [k for k, _, _ in records], "site": [s for _, s, _ in records]}, geometry=geometry, crs=scene.crs
    )
    return table.assign(area_m2=measure(list(geometry), scene.crs)["area_m2"].round(1))


def _look(
    reader: SceneReader, grid: WorkGrid, site: BaseGeometry, near: NDArray[np.object_], profile: StructureProfile
) -> _Look | None:
    west, south, east, north = site.bounds
    x, y = zip(*(~grid.transform * c for c in ((west, south), (west, north), (east, south), (east, north))), strict=True)
    span = Span(math.floor(min(y)), math.floor(min(x)), math.ceil(max(y)), math.ceil(max(x))).clip(grid.size_hw)
    if span.is_empty:
        return None
    metres = max(PIXEL_M, grid.gsd_m, max(span.size_hw) * grid.gsd_m / LARGEST_PX)
    size_hw = (max(1, round(span.height * grid.gsd_m / metres)), max(1, round(span.width * grid.gsd_m / metres)))
    colours, valid = reader.colours(span, size_hw)
    transform = (
        grid.transform
        * Affine.translation(span.col0, span.row0)
        * Affine.scale(span.width / size_hw[1], span.height / size_hw[0])
    )
    total = colours.sum(axis=2)
    excess = (3 * colours[..., 1] - total) / np.maximum(total, np.float32(1e-3))
    light = cv2.blur(total / 3, (3, 3))
    inside = (rasterize([site], size_hw, transform=transform, dtype="uint8") == 1) & valid
    built = (
        np.zeros(size_hw, bool)
        if not len(near)
        else rasterize(near, size_hw, transform=transform, all_touched=True, dtype="uint8") == 1
    )
    bare = (cv2.blur(excess, (3, 3)) < EXCESS_GREEN) & (light > DARKEST) & inside & ~built
    wide_px = round(_usual_width_m(profile) / metres) | 1  # OpenCV's opening with an even width moves what it keeps by a pixel
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (wide_px, wide_px))
    # A car, a heap or a tuft does not end cleared ground.
    closed = cv2.morphologyEx(bare.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    cleared = cv2.morphologyEx(closed, cv2.MORPH_OPEN, disc).astype(bool) & inside & ~built
    return _Look(light, cleared, transform, metres)


def _usual_width_m(profile: StructureProfile) -> float:
    return (profile.width_m[1] + profile.width_m[2]) / 2


def _outlines(cleared: NDArray[np.bool_], transform: Affine) -> Iterator[Polygon]:
    for outline, value in shapes(cleared.astype(np.uint8), mask=cleared, transform=transform):
        if value:
            yield from shapely.get_parts(
                shapely.make_valid(shapely.geometry.shape(outline).simplify(abs(transform.a)), method="structure")
            )


# Pads.


@dataclass(frozen=True)
class _Design:
    """A row's blocks: size, heading, steps from block to block, and where they stand."""

    sides_px: tuple[float, float]
    """Length, width."""
    along: NDArray[np.float64]
    """Unit vector of the long sides, pixels (x right, y down)."""
    steps_px: tuple[float, float]
    """Between the middles of neighbours along and across; NaN where the row has none."""
    middles: NDArray[np.float64]
    """(N, 2) x, y."""

    @property
    def across(self) -> NDArray[np.float64]:
        return np.array([-self.along[1], self.along[0]])

    def outline(self, middle: NDArray[np.float64]) -> NDArray[np.float64]:
        """(4, 2) corners of a block."""
        return rectangle_corners(middle, self.along * self.sides_px[0] / 2, self.across * self.sides_px[1] / 2)


def _designs(look: _Look, grid: WorkGrid, scene: Scene, near: gpd.GeoDataFrame, profile: StructureProfile) -> Iterator[_Design]:
    """The designs of the rows among the buildings that touch the site."""
    own = near[near["dormitory_like"] & (near["row"] > 0)]
    for _, members in own.groupby("row", sort=True):
        if len(members) < profile.group.min_buildings:
            continue
        heading_deg = mean_heading_deg(members["orientation_deg"].to_numpy(float))
        along = heading_px(heading_deg, grid.transform, grid.size_hw, scene.crs)
        x, y = shapely.get_coordinates(shapely.centroid(geometries_of(members))).T
        middles = np.stack(~look.transform * (x, y), axis=1)
        sides = (float(members["length_m"].median()) / look.metres, float(members["width_m"].median()) / look.metres)
        yield _Design(sides, along, _steps(middles, along, sides), middles)


def _steps(middles: NDArray[np.float64], along: NDArray[np.float64], sides: tuple[float, float]) -> tuple[float, float]:
    """Median distance of nearest neighbours that stand in line with a block, end to end and side by side."""
    from scipy.spatial import cKDTree

    _, near = cKDTree(middles).query(middles, k=min(NEIGHBOURS, len(middles)))
    difference = middles[near] - middles[:, None]
    u, v = np.abs(difference @ along), np.abs(difference @ np.array([-along[1], along[0]]))
    steps = []
    for ahead, aside, own, other in ((u, v, sides[0], sides[1]), (v, u, sides[1], sides[0])):
        distance = np.where((aside < other / 2) & (ahead > own * 0.8), ahead, np.inf).min(axis=1)
        known = distance[np.isfinite(distance)]
        steps.append(float(np.median(known)) if len(known) else math.nan)
    return steps[0], steps[1]


def _pads(look: _Look, grid: WorkGrid, scene: Scene, near: gpd.GeoDataFrame, profile: StructureProfile) -> list[Polygon]:
    """Places that continue a row and differ from the ground beside them more than nearly all other places do."""
    from scipy.spatial import cKDTree

    kept: list[Polygon] = []
    for design in _designs(look, grid, scene, near, profile):
        score = _distinctness(look, design)
        usual = score[score > 0]
        if len(usual) < 100:
            continue
        limit = max(DISTINCT, float(np.quantile(usual, 1 - FALSE_PADS)))
        standing, new = cKDTree(design.middles), list[NDArray[np.float64]]()
        todo = list(design.middles)
        while todo:
            here = todo.pop()
            for step in _neighbours(design):
                at = here + step
                apart = min(design.sides_px)
                if standing.query(at)[0] < apart or any(np.hypot(*(at - k)) < apart for k in new):
                    continue
                place = _best_near(score, at, limit, round(2.0 / look.metres))
                if place is None:
                    continue
                outline = Polygon([look.transform * tuple(c) for c in design.outline(place)])
                if not any(outline.intersects(k) for k in kept):
                    kept.append(outline)
                    new.append(place)
                    todo.append(place)
    return kept


def _neighbours(design: _Design) -> Iterator[NDArray[np.float64]]:
    for step, axis in zip(design.steps_px, (design.along, design.across), strict=True):
        if math.isfinite(step):
            yield axis * step
            yield -axis * step


def _best_near(score: NDArray[np.float32], at: NDArray[np.float64], limit: float, reach: int) -> NDArray[np.float64] | None:
    """Where the score is highest within a few pixels; None if it is too low."""
    col, row = (math.floor(v) for v in at)
    row0, col0 = max(0, row - reach), max(0, col - reach)
    near = score[row0 : max(0, row + reach + 1), col0 : max(0, col + reach + 1)]  # a negative end would count from the other edge
    if not near.size or near.max() < limit:
        return None
    down, right = np.unravel_index(near.argmax(), near.shape)
    return np.array([col0 + right + 0.5, row0 + down + 0.5])


def _distinctness(look: _Look, design: _Design) -> NDArray[np.float32]:
    """(H, W): how far the ground under a block with its middle there differs from the strips along both its long sides.

    In standard deviations of the strips (Cohen's d). The weaker side counts; 0 if the two sides disagree or the ground is not
    cleared.
    """
    length, width = design.sides_px
    strip = max(2.0, 3.0 / look.metres)
    light, known = np.where(look.cleared, look.light, 0).astype(np.float32), look.cleared.astype(np.float32)
    inside, _, share = _moments(light, known, _kernel(design, (length, width), 0))
    differences, spreads = [], []
    clear = share > 0.75
    for side in (-1, 1):
        # The strip begins a metre beyond the wall: a pad is somewhat larger than what will stand on it.
        kernel = _kernel(design, (length * 0.8, strip), side * (width / 2 + 1.0 / look.metres + strip / 2))
        outside, sd, seen = _moments(light, known, kernel)
        clear &= seen > 0.4
        differences.append(inside - outside)
        spreads.append(sd)
    agree = (np.sign(differences[0]) == np.sign(differences[1])) & clear
    spread = np.sqrt((spreads[0] ** 2 + spreads[1] ** 2) / 2)
    weaker = np.minimum(np.abs(differences[0]), np.abs(differences[1]))
    return np.where(agree, weaker / np.maximum(spread, 0.01), 0).astype(np.float32)


def _kernel(design: _Design, sides: tuple[float, float], aside: float) -> NDArray[np.float32]:
    """1 within a rectangle under the design's heading whose middle lies ``aside`` across it; odd sides."""
    half = math.ceil(math.hypot(sides[0] / 2, sides[1] / 2 + abs(aside)))
    y, x = np.mgrid[-half : half + 1, -half : half + 1]
    u, v = (x * axis[0] + y * axis[1] for axis in (design.along, design.across))
    return ((np.abs(u) <= sides[0] / 2) & (np.abs(v - aside) <= sides[1] / 2)).astype(np.float32)


def _moments(
    light: NDArray[np.float32], known: NDArray[np.float32], kernel: NDArray[np.float32]
) -> tuple[NDArray[np.floating], NDArray[np.floating], NDArray[np.floating]]:
    """Mean and standard deviation of the known pixels under a kernel, and their share of it."""
    count = _sum(known, kernel)
    some = np.maximum(count, 1)
    mean = _sum(light, kernel) / some
    variance = np.maximum(_sum(light * light, kernel) / some - mean * mean, 0)
    return mean, np.sqrt(variance), count / np.float32(kernel.sum())


def _sum(values: NDArray[np.float32], kernel: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(cv2.filter2D(values, cv2.CV_32F, kernel, borderType=cv2.BORDER_CONSTANT), np.float32)


# Space for more buildings.


@dataclass(frozen=True)
class Capacity:
    """How many more buildings a site's ground would hold."""

    cleared_km2: float
    pads: int
    fits: float | None
    """Buildings that fit on its cleared ground, those on pads included; None if no row shows how densely buildings stand."""
    packing_per_km2: float | None
    packing_from: str | None
    """``site``, or ``all sites`` where the site itself has no row."""


def capacities(
    ground: gpd.GeoDataFrame, sites: gpd.GeoDataFrame, buildings: gpd.GeoDataFrame, profile: StructureProfile
) -> list[Capacity]:
    """How many more buildings each site's ground would hold if built up as densely as its finished part.

    The finished part is the ground under and between the complete buildings of the type that stand in rows: gaps of up to
    ``max_gap_m`` are closed, and half the usual gap is added around it. If fewer than ``min_buildings`` are complete, buildings of
    all stages are used.

    Args:
        ground: result of ``survey``.
        sites: with ``name``.
        buildings: with the columns of the schema; all three in one CRS.
        profile: the type of the buildings to come.
    """
    plane = equal_area_crs(sites)
    ground, sites, buildings = (t if plane is None else t.to_crs(plane) for t in (ground, sites, buildings))
    like = buildings[buildings["dormitory_like"] & (buildings["row"] > 0)]
    everywhere = _packing(like[like["site"].notna()], profile)
    grounds, rows = (dict(list(table.groupby("site"))) for table in (ground, like))
    result = []
    touched = touching(geometries_of(buildings), geometries_of(sites))
    for name, which in zip(sites["name"], touched, strict=True):
        own = grounds.get(name, ground.iloc[:0])
        packing = _packing(rows.get(name, like.iloc[:0]), profile)
        source = "site" if packing else "all sites" if everywhere else None
        per_m2 = packing or everywhere
        cleared = shapely.union_all(geometries_of(own[own["kind"] == "cleared"]))
        free = _free(cleared, buildings.iloc[which], profile)
        pads = int((own["kind"] == "pad").sum())
        result.append(
            Capacity(
                cleared_km2=round(float(own.loc[own["kind"] == "cleared", "area_m2"].sum()) / 1e6, 6),
                pads=pads,
                fits=None if per_m2 is None else round(max(float(pads), free.area * per_m2), 1),
                packing_per_km2=None if per_m2 is None else round(per_m2 * 1e6, 1),
                packing_from=source,
            )
        )
    return result


def _packing(like: gpd.GeoDataFrame, profile: StructureProfile) -> float | None:
    """Buildings of the type per square metre of the ground that they stand on together."""
    finished = like[like["stage"] == "complete"]
    chosen = finished if len(finished) >= profile.group.min_buildings else like
    if len(chosen) < profile.group.min_buildings:
        return None
    shapes = geometries_of(chosen)
    return len(shapes) / _closed(shapes, profile).buffer(_half_gap_m(shapes, profile)).area


def _closed(shapes: NDArray[np.object_], profile: StructureProfile) -> BaseGeometry:
    half = profile.group.max_gap_m / 2
    return shapely.union_all(shapely.buffer(shapes, half)).buffer(-half)


def _half_gap_m(shapes: NDArray[np.object_], profile: StructureProfile) -> float:
    """Half the median distance between the walls of nearest neighbours."""
    tree = shapely.STRtree(shapes)
    a, b = tree.query(shapes, predicate="dwithin", distance=profile.group.max_gap_m)
    other = a != b
    if not other.any():
        return profile.group.max_gap_m / 2
    nearest = np.full(len(shapes), np.inf)
    np.minimum.at(nearest, a[other], shapely.distance(shapes[a[other]], shapes[b[other]]))
    return float(np.median(nearest[np.isfinite(nearest)])) / 2


def _free(cleared: BaseGeometry, near: gpd.GeoDataFrame, profile: StructureProfile) -> BaseGeometry:
    """Cleared ground away from the existing buildings, at least as wide as a building of the type."""
    like = near["dormitory_like"].to_numpy(bool)
    shapes = geometries_of(near)
    if like.any():
        gap = _half_gap_m(shapes[like], profile)
        cleared = cleared.difference(_closed(shapes[like], profile).buffer(gap))
    else:
        gap = profile.group.max_gap_m / 4
    cleared = cleared.difference(shapely.union_all(shapely.buffer(shapes[~like], gap)))
    half = _usual_width_m(profile) / 2
    return cleared.buffer(-half).buffer(half)
