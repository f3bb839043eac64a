"""Heights of buildings from the length of their shadows, if the position of the sun is known.

On level ground a shadow is as long as height / tan(elevation), along the direction away from the sun (as in Irvin & McKeown 1989,
doi:10.1109/21.44071). Rays leave the far walls of a building; on each, the shadow begins where the roof's brightness falls, near
the outline, and ends where the brightness is halfway back to that of the ground behind. The median ray gives the length. Rays end
at the next building, so nothing is measured where blocks stand closer together than their shadows are long.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import geopandas as gpd
import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.features import rasterize

from detect.base.geometry import heading_px, moved
from detect.base.grid import Span
from detect.base.notices import Code, Notice
from detect.base.stages import COMPLETE, STAGES
from detect.base.vectors import geometries_of
from detect.scene.reader import SceneReader
from detect.scene.scene import Scene, WorkGrid
from detect.scene.sun import Sun

MOST = 80
"""Largest number of buildings measured in a scene, those most like the type first; more are not needed, as they share a
design."""
FEWEST = 5
"""Smallest number of measured heights that give storeys."""
BEFORE_M, FARTHEST_M, STEP_M = 6.0, 45.0, 0.25
"""Rays begin ``BEFORE_M`` before the outline, end ``FARTHEST_M`` behind it, and are sampled every ``STEP_M``."""
OUTLINE_M = 2.5
"""Largest distance between an outline and the wall."""
FEWEST_RAYS = 8
LIT = 0.6
"""Ground is lit from this share of the way from the shadow's brightness to the usual one of open ground."""
FAINTEST = 0.08
"""Least difference of brightness, 0–1, between shadow and lit ground."""
NEAR_M, LIT_RAYS = 1.0, 0.75
"""A building casts no shadow if no ``NEAR_M`` behind it is dark, on this share of its rays."""
CONTRARY = 0.1
"""Largest number of sure roofs without a shadow, as a share of the buildings that cast one. On drawn compounds it is 0 with the right
sun, and mostly more than this where the azimuth is off by 60 degrees or more."""
SHADOW_UNSEEN = 0.02
"""How likely none of a building's shadow is seen although it has walls."""
STOREY_M = (2.7, 3.0, 3.4)
"""Height from floor to floor: low, likely, high."""
ROOF_M = (0.2, 1.2)
"""Height of eaves, parapet and plinth beyond the storeys: low, high."""
LISTED = 10
"""Buildings that a notice names."""
DRAWS = 4000
SEED = 20_240_602


def _steps(metres: float) -> int:
    return round(metres / STEP_M)


@contextmanager
def open_shadows(scene: Scene, grid: WorkGrid, buildings: gpd.GeoDataFrame) -> Iterator[Shadows]:
    """The shadows of buildings in a scene, which is open meanwhile.

    Args:
        scene: with ``sun``; without, nothing is measured.
        grid: work grid of the scene.
        buildings: with the columns of the schema, in the scene's CRS.
    """
    if scene.sun is None or not 5 < scene.sun.elevation_deg < 85:
        yield Shadows(buildings, None)
        return
    with scene.reader(grid) as reader:
        yield Shadows(buildings, _Ground(reader, grid, scene, scene.sun, buildings))


class Shadows:
    """What the shadows of buildings say; see ``open_shadows``."""

    def __init__(self, buildings: gpd.GeoDataFrame, ground: _Ground | None) -> None:
        self._buildings, self._ground = buildings, ground
        self._roofs = _roofs(buildings)

    def heights(self) -> NDArray[np.float64]:
        """Height in metres (n,) of each complete dormitory-like building; NaN for others, and where no shadow can be measured."""
        result = np.full(len(self._buildings), np.nan)
        if self._ground is not None:
            for i, rays in self._rays_of_first.items():
                result[i] = self._ground.sun.height_m(_shadow_m(rays))
        return result.round(2)

    def none_cast(self, height_m: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which buildings (n,) that are called complete cast no shadow, although others of the scene do: they are no higher than a slab.

        Behind the far wall of a building half as high as the median of those measured, ``NEAR_M`` of ground would lie in shadow; it is
        lit instead, on three of four rays. Buildings are left out whose roof is so sure that they would stay complete.

        The ``MOST`` buildings that are most like the type show whether the sun, the outlines and the light are what they seem. If they are
        not, no building is marked: fewer than ``FEWEST`` of these cast a shadow, or less than twice as many as cast none, or sure roofs
        seem to cast none (``CONTRARY``).

        Args:
            height_m: (n,) what ``heights`` gives for them. A slab may have one, from a dark patch behind it.
        """
        lit = np.zeros(len(self._buildings), bool)
        known = np.flatnonzero(np.isfinite(height_m))
        unsure = as_slabs(self._buildings, np.ones(len(self._buildings), bool))["stage"].to_numpy(object) != COMPLETE
        if self._ground is None or len(known) < FEWEST or not unsure[self._roofs].any():
            return lit
        reach_m = float(np.median(height_m[known])) / 2 / math.tan(math.radians(self._ground.sun.elevation_deg))
        if reach_m < NEAR_M:
            return lit
        seen = self._rays_of_first
        shadow = _brightness([seen[i] for i in known.tolist() if i in seen], reach_m)
        for i, rays in seen.items():
            lit[i] = rays.is_lit(reach_m, shadow)
        others = int((~lit[known]).sum())
        flat = lit & unsure
        if others < FEWEST or 2 * flat.sum() > others or (lit & ~unsure).sum() > CONTRARY * others:
            return np.zeros(len(self._buildings), bool)
        rest = self._roofs[MOST:]
        for i in rest[unsure[rest]].tolist():
            flat[i] = (rest_rays := self._ground.rays(i)) is not None and rest_rays.is_lit(reach_m, shadow)
        return flat

    @cached_property
    def _rays_of_first(self) -> dict[int, _Rays]:
        """Rays of the ``MOST`` buildings most like the type that have some, by their numbers."""
        if self._ground is None:
            return {}
        return {i: rays for i in self._roofs[:MOST].tolist() if (rays := self._ground.rays(i)) is not None}


def as_slabs(buildings: gpd.GeoDataFrame, flat: NDArray[np.bool_]) -> gpd.GeoDataFrame:
    """Buildings whose stage takes into account that those marked cast no shadow, as only a foundation would (Bayes' rule)."""
    p = buildings[[f"p_{stage}" for stage in STAGES]].to_numpy(float, copy=True)
    p[flat, 1:] *= SHADOW_UNSEEN
    p[flat] /= p[flat].sum(axis=1, keepdims=True)
    stages = np.where(flat, np.array(STAGES, object)[p.argmax(axis=1)], buildings["stage"].to_numpy(object))
    return buildings.assign(stage=stages, stage_score=p.max(axis=1), **{f"p_{stage}": p[:, i] for i, stage in enumerate(STAGES)})


def slab_notices(flat: gpd.GeoDataFrame) -> list[Notice]:
    """A notice that these buildings, which ``casts_none`` has marked, count as foundations."""
    if not len(flat):
        return []
    numbers = "id " + ", ".join(map(str, flat["id"][:LISTED])) + (" …" if len(flat) > LISTED else "")
    if len(flat) > 1:
        text = f"{len(flat)} buildings look finished but cast no shadow where others do, so they were taken for foundations: {numbers}"
    else:
        text = f"1 building looks finished but casts no shadow where others do, so it was taken for a foundation: {numbers}"
    return [Notice(Code.NO_SHADOW, text)]


def _roofs(buildings: gpd.GeoDataFrame) -> NDArray[np.int64]:
    """Complete dormitory-like buildings inside the scene, those most like the type first."""
    wanted = (buildings["dormitory_like"] & (buildings["stage"] == COMPLETE) & ~buildings["touches_edge"]).to_numpy(bool)
    order = np.argsort(-buildings["dormitory_score"].to_numpy(float), kind="stable")
    return np.asarray(order[wanted[order]], np.int64)


@dataclass(frozen=True)
class Storeys:
    """The storeys of a design, from its buildings' heights; ``low`` to ``high`` is the 90 % interval."""

    estimate: int
    low: int
    high: int
    height_m: float
    """Median."""
    buildings: int
    """How many were measured."""


def storeys(height_m: NDArray[np.float64]) -> Storeys | None:
    """Storeys of a design whose buildings have these heights (NaN: not measured).

    The median height has the error of a bootstrap; storeys are 2.7 to 3.4 m high, roof and plinth 0.2 to 1.2 m. None for fewer than
    ``FEWEST`` heights.
    """
    known = np.sort(height_m[np.isfinite(height_m)])
    if len(known) < FEWEST:
        return None
    rng = np.random.default_rng(SEED)
    medians = np.median(rng.choice(known, (DRAWS, len(known))), axis=1)
    drawn = (medians - rng.uniform(*ROOF_M, DRAWS)) / rng.triangular(*STOREY_M, DRAWS)
    low, middle, high = np.quantile(np.maximum(drawn, 0.5), [0.05, 0.5, 0.95])
    estimate = max(1, round(middle))
    return Storeys(
        estimate,
        low=max(1, min(estimate, round(low))),
        high=max(estimate, round(high)),
        height_m=round(float(np.median(known)), 1),
        buildings=len(known),
    )


@dataclass(frozen=True)
class _Rays:
    """Rays from the far walls of a building, sampled every ``STEP_M`` from ``BEFORE_M`` before its outline."""

    light: NDArray[np.float64]
    """(rays, steps) brightness, 0–1."""
    known: NDArray[np.bool_]
    """(rays, steps) whether a sample is observed and before the next building."""
    usual: float
    """Brightness of the open ground around the building."""

    def darkest(self, reach_m: float) -> tuple[float, NDArray[np.float64]]:
        """Brightness of the darkest ``NEAR_M`` near the outline: the median ray's, and that of each ray that is known so far.

        As outlines may lie beside the wall, these are sought from ``NEAR_M`` before the outline to as far behind the reach.
        """
        from scipy.ndimage import uniform_filter1d

        first, last = _steps(BEFORE_M - NEAR_M), _steps(BEFORE_M + reach_m + NEAR_M)
        near = self.light[self.known[:, first:last].all(axis=1), first:last]
        if not len(near):
            return math.nan, np.empty(0)
        width = _steps(NEAR_M)
        means = uniform_filter1d(near, width, axis=1)[:, width // 2 : last - first - width // 2].min(axis=1)
        return float(np.median(means)), means

    def is_lit(self, reach_m: float, shadow: float) -> bool:
        """Whether the ground as far as ``reach_m`` is lit, given the brightness of shadows in the scene."""
        _, darkest = self.darkest(reach_m)
        if len(darkest) < max(FEWEST_RAYS, len(self.light) / 2) or self.usual < shadow + 2 * FAINTEST:
            return False
        return bool((darkest > shadow + (self.usual - shadow) / 2).mean() >= LIT_RAYS)


class _Ground:
    """The ground around buildings, along the shadows that they cast."""

    def __init__(self, reader: SceneReader, grid: WorkGrid, scene: Scene, sun: Sun, buildings: gpd.GeoDataFrame) -> None:
        """Take a reader of the work grid of a scene, and its sun."""
        self.sun, self._reader, self._gsd_m = sun, reader, grid.gsd_m
        self._away = heading_px(sun.azimuth_deg + 180, grid.transform, grid.size_hw, scene.crs)
        self._outlines = moved(geometries_of(buildings), ~grid.transform)  # in pixels of the work grid
        self._tree = shapely.STRtree(self._outlines)

    def rays(self, which: int) -> _Rays | None:
        """Rays of one building; None if its far walls are too short, or no ground is seen around it."""
        from scipy.ndimage import map_coordinates, uniform_filter1d

        starts = _far_walls(self._outlines[which], self._away, 1.0 / self._gsd_m)
        if len(starts) < FEWEST_RAYS:
            return None
        distance = np.arange(-BEFORE_M, FARTHEST_M, STEP_M) / self._gsd_m
        points = starts[:, None] + distance[None, :, None] * self._away  # (rays, steps, 2)
        free = _free_of_others(self._outlines, self._tree, which, starts, self._away, FARTHEST_M / self._gsd_m)
        low, high = np.floor(points.min(axis=(0, 1))).astype(int) - 2, np.ceil(points.max(axis=(0, 1))).astype(int) + 3
        values, valid = self._reader.read(Span(low[1], low[0], high[1], high[0]))
        light = values.mean(axis=0)
        at = (points - low - 0.5)[..., ::-1].transpose(2, 0, 1)  # row, column of pixel middles
        rays = map_coordinates(light, at, order=1, mode="nearest")
        seen = map_coordinates(valid.astype(np.float32), at, order=0, mode="constant") > 0.5
        # The mean of neighbouring rays smooths noise, a car and a bush.
        rays = uniform_filter1d(rays, 3, axis=0, mode="nearest")
        others = self._outlines[self._tree.query(shapely.box(*low, *high))]
        open_ground = rasterize(others, light.shape, transform=Affine.translation(*low), all_touched=True, dtype="uint8") == 0
        if not (open_ground & valid).any():
            return None
        usual = float(np.quantile(light[open_ground & valid], 0.6))  # more of it is lit than in shadow
        return _Rays(rays, seen & (distance < free[:, None]), usual)


def _brightness(measured: list[_Rays], reach_m: float) -> float:
    """Brightness of the shadows of measured buildings; NaN if no ray runs as far as ``reach_m``."""
    dark = np.array([rays.darkest(reach_m)[0] for rays in measured])
    seen = dark[np.isfinite(dark)]  # the next building may stand nearer
    return float(np.median(seen)) if len(seen) else math.nan


def _shadow_m(rays: _Rays) -> float:
    """Length of a building's shadow; NaN if it cannot be measured."""
    lengths = [_length_m(ray, known, rays.usual) for ray, known in zip(rays.light, rays.known, strict=True)]
    found = np.array([v for v in lengths if math.isfinite(v)])
    if len(found) < max(FEWEST_RAYS, len(lengths) / 2):
        return math.nan
    return float(np.median(found))


def _far_walls(outline: shapely.Polygon, away: NDArray[np.float64], spacing: float) -> NDArray[np.float64]:
    """Points (N, 2) on the walls that face away from the sun, not near their corners."""
    corners = shapely.get_coordinates(shapely.orient_polygons(outline).exterior)
    points = []
    for a, b in itertools.pairwise(corners):
        length = float(np.hypot(*(b - a)))
        normal = np.array([b[1] - a[1], a[0] - b[0]]) / max(length, 1e-9)  # outwards, of a ring against the clock
        if normal @ away > 0.35 and length > 4 * spacing:
            along = np.arange(1.5 * spacing, length - 1.5 * spacing, spacing)
            points.append(a + (b - a) * (along / length)[:, None])
    return np.concatenate(points) if points else np.empty((0, 2))


def _free_of_others(
    outlines: NDArray[np.object_],
    tree: shapely.STRtree,
    which: int,
    starts: NDArray[np.float64],
    away: NDArray[np.float64],
    reach: float,
) -> NDArray[np.float64]:
    """How far each ray runs before it meets another building, or comes back to its own."""
    rays = shapely.linestrings(np.stack([starts + away * 0.5, starts + away * reach], axis=1))
    ray, other = tree.query(rays, predicate="intersects")
    distances = np.full(len(starts), reach)
    met = shapely.distance(shapely.points(starts[ray]), shapely.intersection(rays[ray], outlines[other]))
    np.minimum.at(distances, ray, met - 1.0)
    return distances


def _length_m(ray: NDArray[np.float64], known: NDArray[np.bool_], usual: float) -> float:
    """Length of the shadow along one ray that begins ``BEFORE_M`` before the outline; NaN if it shows none.

    The shadow runs from where the roof's brightness falls to where the ground's returns, both at half the way, which blur does
    not shift.

    Args:
        ray: brightness, 0–1, every ``STEP_M``.
        known: whether each sample is observed and before the next building.
        usual: brightness of the open ground around the building.
    """
    wall = _steps(BEFORE_M)
    end = wall + int(np.argmin(known[wall:])) if not known[wall:].all() else len(ray)
    if end - wall < _steps(2):
        return math.nan
    darkest = wall + int(ray[wall : min(end, wall + _steps(5))].argmin())
    dark = _median(ray[darkest - 2 : darkest + 3])
    lit = dark + LIT * (usual - dark)
    if lit < dark + FAINTEST:
        return math.nan
    above = np.nonzero(ray[darkest:end] >= lit)[0]
    if not len(above) or not above[0]:
        return math.nan
    back = darkest + int(above[0])
    ground = ray[back : min(end, back + _steps(4))]
    if len(ground) < _steps(1) or _median(ground) < lit:  # a heap, a car, the next wall
        return math.nan
    before = _median(ray[max(darkest, back - _steps(3)) : max(darkest, back - _steps(1)) + 1])
    level = (before + _median(ground)) / 2
    # In shadow; a sample follows it, also where the ray ends a metre behind the shadow.
    last = darkest + int(np.nonzero(ray[darkest : min(back + _steps(1), len(ray) - 1)] < level)[0][-1])
    part = (level - ray[last]) / max(ray[last + 1] - ray[last], 1e-6)
    length = (last + min(max(part, 0.0), 1.0) - _begin(ray, darkest, dark)) * STEP_M
    return length if length > 0 else math.nan


def _begin(ray: NDArray[np.float64], darkest: int, dark: float) -> float:
    """Where the roof's brightness falls, at most ``OUTLINE_M`` from the outline; the outline if roof and shadow look alike."""
    wall, reach = _steps(BEFORE_M), _steps(OUTLINE_M)
    roof = _median(ray[: wall - reach])
    if roof < dark + FAINTEST:
        return float(wall)
    level = (roof + dark) / 2
    above = np.nonzero(ray[wall - reach : min(darkest, wall + reach)] > level)[0]
    if not len(above):
        return float(wall)
    last = wall - reach + int(above[-1])
    return last + float((ray[last] - level) / max(ray[last] - ray[last + 1], 1e-6))


def _median(values: NDArray[np.float64]) -> float:
    """That of a few numbers, in a tenth of the time that ``np.median`` takes."""
    ordered = np.sort(values)
    return float(ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2
