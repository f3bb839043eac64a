"""Read the sites in which buildings are counted, and assign each building to its site."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import geopandas as gpd
import numpy as np
import pandas as pd
import pyproj
import shapely
from numpy.typing import NDArray
from shapely import Polygon

from detect.base.errors import InputError
from detect.base.geometry import area_km2, beside_on_map, unwrapped
from detect.base.placement import elsewhere
from detect.base.text_tables import SUFFIXES as TEXT_TABLES
from detect.base.texts import plain_text, shortened
from detect.base.vectors import equal_area_crs, geometries_of
from detect.census.plots import CROSSED, read_plots

MOST_NAMED = 3
"""So many of the sites that overlap one are named."""
MOST_PLANNED = 10_000_000
"""More buildings are a mistake in the file."""
WHOLE_SCENE = "scene"
"""Name of the site that is the whole scene; a plot may have the same name."""
Kind = Literal["whole", "proposed", "plots"]
"""Where sites come from: the whole scene; ``proposed_sites``; a file of plots."""


@dataclass(frozen=True)
class Sites:
    """Sites in the scene's CRS, with warnings for each."""

    table: gpd.GeoDataFrame
    """``name``, ``planned_buildings`` (float, NaN where not given), ``area_km2`` (on the ellipsoid), geometry."""
    warnings: tuple[tuple[str, ...], ...]
    """One tuple per site."""
    kind: Kind = "plots"

    @property
    def are_plots(self) -> bool:
        """Whether they come from a file of plots."""
        return self.kind == "plots"

    @property
    def is_whole_scene(self) -> bool:
        """Whether the whole scene is the one site, which need not be drawn."""
        return self.kind == "whole"


def load_sites(path: str | Path | None, crs: pyproj.CRS | None, outline: Polygon) -> Sites:
    """Sites of a vector file in the scene's CRS; without a file the whole scene is one site.

    Args:
        path: any vector file with polygons: from its layer ``sites`` if it has one, else from all its layers. Fields ``name`` and
            ``planned_buildings`` are used in upper or lower case, with spaces, as ``planned``, and if a Shapefile has cut them to ten
            letters.
        crs: CRS of the scene.
        outline: outline of the scene, in its CRS.

    Raises:
        InputError: no readable file, no polygons in it, or coordinate systems that cannot be brought together.
    """
    if path is None:
        return _whole_scene(crs, outline)
    table, left_out = read_plots(path)
    notes = [[left_out] if left_out else [] for _ in range(len(table))]
    table = _with_crs(table, crs, outline, path, notes)
    _refuse_impossible(table, path)
    for note, was_crossed in zip(notes, table[CROSSED], strict=True):
        if was_crossed:
            note.append("its ring crosses itself; the parts it encloses were taken")
    areas_km2 = [area_km2(g, table.crs) for g in geometries_of(table)]
    shapes = _to_crs(table, crs, outline)
    _note_beyond(shapes, outline, notes)
    names = _names(table["name"])
    planned = [_planned(value, note) for value, note in zip(table["planned_buildings"], notes, strict=True)]
    _note_overlaps(shapes, names, notes)
    return Sites(_sites_table(names, planned, areas_km2, gpd.GeoSeries(list(shapes), crs=crs)), tuple(map(tuple, notes)))


def refuse_elsewhere(path: str | Path | None, ground: Sequence[tuple[Polygon, pyproj.CRS | None]]) -> None:
    """Refuse a file of plots none of which lies on a scene.

    Args:
        path: the file; None: there are no plots.
        ground: outline and CRS of each scene.

    Raises:
        InputError: no plot lies on a scene, or the file cannot be read.
    """
    if path is None or not ground:
        return
    table, _ = read_plots(path)
    crs = table.crs
    if crs is not None and all(piece[1] is None for piece in ground):
        if not _is_lonlat_default(path, table):
            return  # ``load_sites`` says that the scene has no coordinate system
        crs = None
    if crs is None and (known := next((piece[1] for piece in ground if piece[1] is not None), None)) is not None:
        assumed = _assumed_crs(table, known, [outline for outline, system in ground if system is known])
        crs = assumed if assumed is not known else None
    if how := elsewhere(geometries_of(table), crs, ground):
        scenes = "the scene" if len(ground) == 1 else f"any of the {len(ground)} scenes"
        raise InputError(f"{path}: no site lies on {scenes}: {how}; give the sites of this place")


def _sites_table(names: list[str], planned: list[float], areas_km2: list[float], shapes: gpd.GeoSeries) -> gpd.GeoDataFrame:
    return gpd.GeoDataFrame({"name": names, "planned_buildings": planned, "area_km2": areas_km2}, geometry=shapes)


def _whole_scene(crs: pyproj.CRS | None, outline: Polygon) -> Sites:
    shapes = gpd.GeoSeries([outline], crs=crs)
    return Sites(_sites_table([WHOLE_SCENE], [math.nan], [area_km2(outline, crs)], shapes), ((),), "whole")


def _refuse_impossible(table: gpd.GeoDataFrame, path: str | Path) -> None:
    """Refuse plots in degrees that no place on Earth has, or that span half of it: their area on a map means nothing.

    Raises:
        InputError: there is one.
    """
    if table.crs is None or not table.crs.is_geographic or not len(table):
        return
    west, south, east, north = shapely.bounds(unwrapped(geometries_of(table))).T
    for number in np.flatnonzero((south < -90.0001) | (north > 90.0001) | (west < -360) | (east > 360)):
        raise InputError(
            f"{path}: plot {number + 1} has coordinates that are no longitude and latitude; assign its coordinate system"
        )
    for number in np.flatnonzero(east - west >= 180):
        raise InputError(
            f"{path}: plot {number + 1} spans {east[number] - west[number]:.0f}° of longitude; draw it around the scene"
        )


def _with_crs(
    table: gpd.GeoDataFrame, crs: pyproj.CRS | None, outline: Polygon, path: str | Path, notes: list[list[str]]
) -> gpd.GeoDataFrame:
    """Plots in their coordinate system; without one for a scene that has none."""
    if crs is None:
        if table.crs is not None and not _is_lonlat_default(path, table):
            raise InputError(
                f"{path}: has a coordinate system but the scene has none; give sites in metres from its upper left corner"
            )
        return table.set_crs(None, allow_override=True)
    if table.crs is not None:
        return table
    assumed = _assumed_crs(table, crs, [outline])
    which = "that of the scene was assumed" if assumed is crs else "its numbers look like degrees and were taken as such"
    for note in notes:
        note.append(f"the file names no coordinate system; {which}")
    return table.set_crs(assumed)


def _assumed_crs(table: gpd.GeoDataFrame, crs: pyproj.CRS, outlines: Sequence[Polygon]) -> pyproj.CRS:
    """The system of plots that name none: that of the scenes, or degrees where the plots can be these and touch no scene otherwise."""
    west, south, east, north = shapely.total_bounds(geometries_of(table))
    degrees = not crs.is_geographic and -180 <= west and east <= 180 and -90 <= south and north <= 90
    there = any(shapely.box(west, south, east, north).intersects(outline) for outline in outlines)
    return pyproj.CRS(4326) if degrees and not there else crs


def _note_beyond(sites: NDArray[np.object_], outline: Polygon, notes: list[list[str]]) -> None:
    """Note for each site how much of it lies within the scene, unless all does."""
    for note, site in zip(notes, sites, strict=True):
        inside = site.intersection(outline).area / site.area
        if inside <= 0:
            note.append("the site lies outside the scene; nothing was counted")
        elif inside < 0.999:
            note.append(f"{inside:.0%} of the site lies within the scene; what is beyond was not counted")


def _note_overlaps(sites: NDArray[np.object_], names: list[str], notes: list[list[str]]) -> None:
    """Note for each site which others overlap it (by at least a thousandth of the smaller one)."""
    one, other = shapely.STRtree(sites).query(sites, predicate="intersects")
    one, other = one[one < other], other[one < other]
    areas = shapely.area(sites)
    shared = shapely.area(shapely.intersection(sites[one], sites[other])) > 1e-3 * np.minimum(areas[one], areas[other])
    others: dict[int, list[int]] = {}
    for a, b in zip(one[shared].tolist(), other[shared].tolist(), strict=True):
        others.setdefault(a, []).append(b)
        others.setdefault(b, []).append(a)
    for a, over in others.items():
        named = [f"'{shortened(names[b])}'" for b in over[:MOST_NAMED]]
        more = f" and {len(over) - MOST_NAMED} more" if len(over) > MOST_NAMED else ""
        notes[a].append(f"overlaps {', '.join(named)}{more}; a building in both counts once, where most of it lies")


def touching(shapes: NDArray[np.object_], areas: NDArray[np.object_]) -> list[NDArray[np.intp]]:
    """For each area the numbers of the shapes that touch it, in their order; all are sought in one tree."""
    area, shape = shapely.STRtree(shapes).query(areas, predicate="intersects")
    order = np.lexsort((shape, area))
    ends = np.cumsum(np.bincount(area, minlength=len(areas)))
    return np.split(shape[order], ends)[:-1]


def unshared(ground: gpd.GeoDataFrame, sites: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Ground of sites (``detect.census.ground.survey``) in which what several of them share is left to the first one alone."""
    areas = geometries_of(sites)
    shared = [
        [j for j in which if j < i and shapely.area(areas[i] & areas[j]) > 0] for i, which in enumerate(touching(areas, areas))
    ]
    parts = []
    for name, earlier in zip(sites["name"], shared, strict=True):
        own = ground[ground["site"] == name]
        if earlier:
            taken = shapely.union_all(areas[earlier])
            whole = (own["kind"] == "cleared") | ~own.representative_point().within(taken)  # a pad belongs to one site
            own = own[whole]
            own = own.set_geometry(own.geometry.where(own["kind"] == "pad", own.difference(taken)))
        parts.append(own)
    return gpd.GeoDataFrame(pd.concat(parts), crs=ground.crs) if any(shared) else ground


def with_cut(sites: Sites, buildings: gpd.GeoDataFrame) -> Sites:
    """Sites, with a warning where buildings lie across their edge: each counts as a whole where most of it lies.

    An earlier warning of this kind is replaced. At the edge of the scene nothing lies beyond (``touches_edge``).
    """
    if sites.is_whole_scene:
        return sites
    shapes, areas = geometries_of(buildings), geometries_of(sites.table)
    notes = []
    for site, old, which in zip(areas, sites.warnings, touching(shapes, areas), strict=True):
        near = shapes[which]
        share = shapely.area(shapely.intersection(near, site)) / np.maximum(shapely.area(near), 1e-12)
        cut = int(((share > CUT_SHARE) & (share < 1 - CUT_SHARE)).sum())
        text = f"{cut} {'building lies' if cut == 1 else 'buildings lie'}{ACROSS}"
        at = next((i for i, line in enumerate(old) if line.endswith(ACROSS)), len(old))
        notes.append((*old[:at], *([text] if cut else []), *old[at + 1 :]))
    return replace(sites, warnings=tuple(notes))


ACROSS = " across its edge; each counts where most of it lies"
CUT_SHARE = 0.02
"""A building is cut if at least this share of it lies on each side of a site's edge."""
NEAR_M = 40.0
"""Unfinished buildings this far apart belong to one proposed site."""
AROUND_M = 20.0
"""Ground around the buildings of a proposed site that belongs to it."""
FEWEST = 3
PROPOSED = "proposed: a cluster of unfinished buildings, not a plot of anyone's"


def proposed_sites(buildings: gpd.GeoDataFrame) -> Sites:
    """Clusters of new construction: at least three foundations or shells near each other, and the finished buildings among them.

    Walls less than ``NEAR_M`` apart join (single linkage). The outline is the buildings grown and shrunk again, so that it closes over
    gaps, without holes.

    Args:
        buildings: with ``stage``.
    """
    new = buildings[buildings["stage"] != "complete"]
    plane = equal_area_crs(new)
    shapes = geometries_of(new if plane is None else new.to_crs(plane))
    grown = shapely.union_all(shapely.buffer(shapes, NEAR_M / 2))
    parts = [g for g in shapely.get_parts(grown) if not g.is_empty]
    outlines = []
    for within in touching(shapes, np.array(parts, object)):
        if len(within) >= FEWEST:
            closed = shapely.union_all(shapely.buffer(shapes[within], NEAR_M)).buffer(AROUND_M - NEAR_M)
            outlines += [Polygon(p.exterior) for p in shapely.get_parts(closed)]
    outlines.sort(key=lambda p: -p.area)
    series = gpd.GeoSeries(outlines, crs=plane if plane is not None else buildings.crs)
    if plane is not None:
        series = series.to_crs(buildings.crs)
    table = gpd.GeoDataFrame(
        {
            "name": [f"new construction {i}" for i in range(1, len(series) + 1)],
            "planned_buildings": np.full(len(series), np.nan),
            "area_km2": [area_km2(g, buildings.crs) for g in series],
        },
        geometry=series,
    )
    return Sites(table, ((PROPOSED,),) * len(table), "proposed")


def together_km2(sites: gpd.GeoDataFrame) -> float:
    """Area of all sites on the ellipsoid, km²; ground that several of them share counts once.

    Args:
        sites: with ``area_km2``, in the scene's CRS.
    """
    shapes, each = geometries_of(sites), float(sites["area_km2"].sum())
    if len(shapes) < 2:
        return each
    whole = shapely.union_all(shapely.make_valid(shapes))
    return area_km2(whole, sites.crs) if whole.area < (1 - 1e-6) * shapely.area(shapes).sum() else each


def assign(buildings: gpd.GeoDataFrame, sites: gpd.GeoDataFrame) -> NDArray[np.object_]:
    """Name of the site of each building; None outside all sites.

    A building belongs to the site that holds most of it, if at least half of it lies in sites; so it counts once even if sites
    overlap.
    """
    names = np.full(len(buildings), None, dtype=object)
    polygons, areas = geometries_of(buildings), geometries_of(sites)
    if not len(polygons) or not len(areas):
        return names
    which, site = shapely.STRtree(areas).query(polygons, predicate="intersects")
    shared = shapely.area(shapely.intersection(polygons[which], areas[site]))
    held = np.bincount(which, weights=shared, minlength=len(polygons))
    for several in np.nonzero(np.bincount(which, minlength=len(polygons)) > 1)[0]:  # overlapping sites share ground
        held[several] = polygons[several].intersection(shapely.union_all(areas[site[which == several]])).area
    own = shapely.area(polygons)
    # The best site last, so that it stays; of two equal ones the first in the file.
    best = np.lexsort((-site, shared))
    best = best[(shared[best] > 0) & (held[which[best]] >= 0.5 * own[which[best]])]
    names[which[best]] = sites["name"].to_numpy(object)[site[best]]
    return names


def _is_lonlat_default(path: str | Path, table: gpd.GeoDataFrame) -> bool:
    """A GeoJSON without a ``crs`` member, or a text table, is always read as longitude and latitude, so its CRS proves nothing."""
    return str(path).lower().endswith((".geojson", ".json", ".geojson.gz", *TEXT_TABLES)) and bool(
        table.crs.equals("OGC:CRS84") or table.crs.to_epsg() == 4326
    )


def _to_crs(table: gpd.GeoDataFrame, crs: pyproj.CRS | None, outline: Polygon) -> NDArray[np.object_]:
    """Convert sites to the scene's CRS; ``outline`` is that of the scene."""
    geometries = geometries_of(table)
    if crs is None or table.crs is None:
        return geometries
    if table.crs.is_geographic:
        geometries = unwrapped(geometries)
    if not table.crs.equals(crs):
        # A straight edge in one CRS is curved in another.
        west, south, east, north = shapely.total_bounds(geometries)
        piece = max(east - west, north - south) / 500
        dense = shapely.segmentize(geometries, piece) if piece > 0 else geometries
        geometries = geometries_of(gpd.GeoDataFrame(geometry=list(dense), crs=table.crs).to_crs(crs))
    if not all(np.isfinite(shapely.bounds(geometries)).all(axis=1)):
        raise InputError(
            "--sites: a site cannot be brought into the scene's coordinate system; is it in another part of the world?"
        )
    geometries = beside_on_map(geometries, crs, outline.centroid.x)
    return np.asarray(shapely.make_valid(geometries)) if not table.crs.equals(crs) else geometries


def _names(column: Iterable[Any]) -> list[str]:
    """The given names, or ``site 1``… without one; a repeated name gets a number."""
    names: dict[str, None] = {}
    used: dict[str, int] = {}
    for number, value in enumerate(column, start=1):
        # Numbers beside empty cells become floats; 15 digits keep those of a cadastre.
        text = "" if pd.isna(value) else f"{value:.15g}" if isinstance(value, float) else str(value)
        wanted = plain_text(text) or f"site {number}"
        unique, again = wanted, used.get(wanted, 2)
        while unique in names:
            unique, again = f"{wanted} ({again})", again + 1
        used[wanted] = again
        names[unique] = None
    return list(names)


def _planned(value: Any, notes: list[str]) -> float:
    if pd.isna(value) or not str(value).strip():
        return math.nan
    try:
        number = -1.0 if isinstance(value, bool | np.bool_) else float(value)
    except (TypeError, ValueError):
        number = -1.0
    if not 0 <= number <= MOST_PLANNED:
        notes.append(f"planned_buildings is {value!r}, which is not a number of buildings; it was left out")
        return math.nan
    return number
