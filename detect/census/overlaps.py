"""Find scenes of one call that show the same ground, and decide in which of them each building counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import geopandas as gpd
import numpy as np
import pyproj
import shapely
from numpy.typing import NDArray
from shapely import Polygon

from detect.base.geometry import beside, to_degrees
from detect.base.matching import connected, same_buildings
from detect.base.vectors import geometries_of
from detect.census.review import CHECKED

_SHARED = 1e-4
"""Share of the smaller scene from which scenes overlap: adjacent tiles share less, and no building fits into less."""


class Ground(Protocol):
    """What is asked of a scene: where it lies, and when it was taken."""

    @property
    def crs(self) -> pyproj.CRS | None: ...  # noqa: D102
    @property
    def outline(self) -> Polygon: ...  # noqa: D102
    @property
    def date(self) -> str | None: ...  # noqa: D102


def overlapping(scenes: Sequence[Ground]) -> list[tuple[int, int]]:
    """Pairs (a < b) of scenes that share ground and may be of one date; pictures without georeference share none."""
    degrees = {i: to_degrees(np.array([s.outline]), s.crs)[0] for i, s in enumerate(scenes) if s.crs is not None}
    placed, outlines = list(degrees), np.array(list(degrees.values()), dtype=object)
    if placed:  # scenes on both sides of 180° are seen side by side
        outlines = beside(outlines, outlines[0].centroid.x)
    areas = shapely.area(outlines)
    pairs = []
    for one, two in shapely.STRtree(outlines).query(outlines, predicate="intersects").T.tolist():
        a, b = placed[one], placed[two]
        one_date = scenes[a].date == scenes[b].date or None in (scenes[a].date, scenes[b].date)
        if a < b and one_date and shapely.area(outlines[one] & outlines[two]) > _SHARED * min(areas[one], areas[two]):
            pairs.append((a, b))
    return sorted(pairs)


def groups(count: int, pairs: Sequence[tuple[int, int]]) -> list[list[int]]:
    """Scenes 0 … count − 1 that are linked by pairs, directly or through others; in the order of their first ones."""
    group = connected(np.array(pairs, np.int64).reshape(-1, 2).T, count)
    members: dict[int, list[int]] = {}
    for scene, number in enumerate(group.tolist()):
        members.setdefault(number, []).append(scene)
    return list(members.values())


def counted_once(tables: Sequence[gpd.GeoDataFrame], pairs: Sequence[tuple[int, int]]) -> list[NDArray[np.int64]]:
    """For each building of each scene, the number of the scene that counts it instead; −1 if its own scene counts it.

    Buildings of two scenes are the same where they share 40 % of the smaller one. They are taken in this order: those that a reviewer
    has checked, then whole ones before those that a scene's edge cuts, then by falling score, then by the order of the scenes. A
    building counts unless the same building in another scene counts already.

    Args:
        tables: buildings of all scenes, with ``score`` and ``touches_edge``, each in its own CRS; a column ``checked`` (bool) where
            they have been reviewed.
        pairs: result of ``overlapping``.
    """
    if not tables:
        return []
    firsts = np.cumsum([0, *map(len, tables)])
    scene_of = np.repeat(np.arange(len(tables)), np.diff(firsts))
    links: list[list[int]] = [[] for _ in scene_of]
    for a, b in pairs:
        theirs = tables[b] if tables[b].crs == tables[a].crs else tables[b].to_crs(tables[a].crs)
        for i, j in zip(*same_buildings(geometries_of(tables[a]), geometries_of(theirs)), strict=True):
            links[firsts[a] + i].append(int(firsts[b] + j))
            links[firsts[b] + j].append(int(firsts[a] + i))
    score, cut = (np.concatenate([t[name].to_numpy() for t in tables]) for name in ("score", "touches_edge"))
    unchecked = ~np.concatenate([is_checked(t) for t in tables])
    instead = np.full(len(scene_of), -1)
    visited = np.zeros(len(scene_of), bool)
    for building in np.lexsort((np.arange(len(score)), -score, cut, unchecked)):
        visited[building] = True
        counting = [other for other in links[building] if visited[other] and instead[other] < 0]
        if counting:
            instead[building] = scene_of[min(counting)]
    return np.split(instead, firsts[1:-1])


def is_checked(table: gpd.GeoDataFrame) -> NDArray[np.bool_]:
    """(n,) the column ``checked`` of buildings; false without it."""
    return table[CHECKED].to_numpy(bool) if CHECKED in table else np.zeros(len(table), bool)


def deleted_elsewhere(
    tables: Sequence[gpd.GeoDataFrame], pairs: Sequence[tuple[int, int]], deleted: Sequence[NDArray[np.object_]]
) -> list[NDArray[np.bool_]]:
    """For each building of each scene, whether a reviewer of another scene has deleted it there, and none has checked it here.

    Args:
        tables: buildings of all scenes, as ``counted_once`` takes them, but in one CRS.
        pairs: result of ``overlapping``.
        deleted: for each scene a point in each building that was deleted in it, in the same CRS.
    """
    gone = [np.zeros(len(table), bool) for table in tables]
    for here, there in [*pairs, *((b, a) for a, b in pairs)]:
        if len(deleted[there]) and len(tables[here]):
            _, hit = shapely.STRtree(geometries_of(tables[here])).query(deleted[there], predicate="within")
            gone[here][hit] = True
    return [mask & ~is_checked(table) for mask, table in zip(gone, tables, strict=True)]
