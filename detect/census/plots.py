"""Read a file of plots as users deliver it: any layer with polygons, fields in any spelling, paths that close; what is not used is said."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from shapely import Polygon

from detect.base.errors import InputError
from detect.base.vectors import (
    equal_area_crs,
    geometries_of,
    polygon_layers,
    polygons_of,
    polygons_only,
    read_vector,
    without_lists,
)
from detect.census.unread import SHAPEFILE_LETTERS

SITES_LAYER = "sites"
OTHER_LAYERS = ("buildings", "rows", "ground")
"""Beginnings of the names of the other layers that predict and simulate write."""
FIELDS = ("name", "planned_buildings")
OTHER_NAMES = {"planned_buildings": ("planned",)}
"""Other spellings of fields, as ``_plain_name`` gives them."""
LIKE_NAMES = (
    "site",
    "site_name",
    "sitename",
    "plot",
    "plot_name",
    "plotname",
    "title",
    "label",
    "names",
    "bezeichnung",
    "nom",
    "nombre",
    "imya",
)
"""Fields that often hold the name of a plot."""
CLOSED_SHARE = 0.05
"""A path closes if its ends are nearer than this share of its length: nobody hits the first point exactly by hand."""
CROSSED = "ring crosses itself"
"""Column of ``read_plots``: whether a ring crossed itself."""


def read_plots(path: str | Path) -> tuple[gpd.GeoDataFrame, str]:
    """Polygons of a file with ``name`` and ``planned_buildings`` unchanged, and a line on what was left out.

    Paths that close are plots too in files of Google Earth (KML, KMZ), where a path is easily drawn in place of a polygon, and in
    files without polygons.

    Raises:
        InputError: no readable file, no polygons in it, or only some of its layers name a coordinate system.
    """
    of_google_earth = Path(path).suffix.lower() in (".kml", ".kmz")
    layers = polygon_layers(path, paths=of_google_earth) or polygon_layers(path, paths=True)
    chosen = [SITES_LAYER] if SITES_LAYER in layers else layers
    raw = [without_lists(table) for table in ([read_vector(path, layer) for layer in chosen] if chosen else [read_vector(path)])]
    open_paths: list[str] = []
    if of_google_earth or not any(one.geom_type.isin(["Polygon", "MultiPolygon"]).any() for one in raw):
        raw = [_closed(one, open_paths) for one in raw]
    tables = [table for table in map(_plots_of, raw) if len(table)]
    if not tables:
        kinds = ", ".join(sorted({g.geom_type for table in raw for g in geometries_of(table) if g is not None})) or "nothing"
        kinds = kinds.replace("Polygon", "Polygon without an area")
        hint = f"; {', '.join(open_paths)}" if open_paths else ""
        raise InputError(f"{path}: holds no polygon ({kinds}){hint}; draw each site as a polygon, or as a path that closes")
    crs = tables[0].crs
    if any((table.crs is None) != (crs is None) for table in tables):
        raise InputError(f"{path}: only some of its layers name a coordinate system; give all of them the same one")
    moved = [table if table.crs == crs else table.to_crs(crs) for table in tables]
    columns = {name: [value for table in moved for value in table[name]] for name in (*FIELDS, CROSSED)}
    shapes = gpd.GeoSeries([g for table in moved for g in geometries_of(table)], crs=crs)
    table_lost = "its table (.dbf) is missing, and with it all names and numbers" if _lacks_table(Path(path)) else ""
    unread = "; ".join(
        line for line in (table_lost, _left_out(layers, chosen), *open_paths, *_unread(raw, tables, bool(open_paths))) if line
    )
    return gpd.GeoDataFrame(columns, geometry=shapes), unread


def _lacks_table(path: Path) -> bool:
    return path.suffix.lower() == ".shp" and not any(path.with_suffix(ending).exists() for ending in (".dbf", ".DBF"))


def _plots_of(raw: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Polygons of one layer: the fields in use (empty if the layer lacks one), and whether each ring crossed itself."""
    columns = {_plain_name(column): column for column in reversed(raw.columns)} | {str(column): column for column in raw.columns}
    spellings = {name: (name, name[:SHAPEFILE_LETTERS], *OTHER_NAMES.get(name, ())) for name in FIELDS}
    found = {name: next((columns[s] for s in known if s in columns), None) for name, known in spellings.items()}
    values: dict[str, list[Any]] = {
        name: [None] * len(raw) if column is None else list(raw[column]) for name, column in found.items()
    }
    values[CROSSED] = list(~shapely.is_valid(geometries_of(raw)))
    kept = {name: pd.Series(column, dtype=object) for name, column in values.items()}
    return polygons_only(gpd.GeoDataFrame(kept, geometry=gpd.GeoSeries(geometries_of(raw), crs=raw.crs)))


def _closed(raw: gpd.GeoDataFrame, open_paths: list[str]) -> gpd.GeoDataFrame:
    """A layer with paths that close as polygons; a line on each other path is added to ``open_paths``."""
    shapes = geometries_of(raw).copy()
    names = raw.get("Name", raw.get("name"))
    several = shapely.get_type_id(shapes) == shapely.GeometryType.MULTILINESTRING  # mostly of one part, or of parts that meet
    shapes[several] = shapely.line_merge(shapes[several])
    raw = raw.set_geometry(gpd.GeoSeries(shapes, index=raw.index, crs=raw.crs))
    paths = (shapely.GeometryType.LINESTRING, shapely.GeometryType.LINEARRING)
    lines = np.flatnonzero(np.isin(shapely.get_type_id(shapes), paths))
    plane = equal_area_crs(raw) if len(lines) else None
    planar = shapes if plane is None else geometries_of(raw.to_crs(plane))
    for i in lines:
        line = shapely.force_2d(shapes[i])
        ends = shapely.get_coordinates(planar[i])[[0, -1]]
        gap = math.dist(*ends) / planar[i].length if planar[i].length else 1.0
        if gap <= CLOSED_SHARE and len(line.coords) >= 4:
            shapes[i] = Polygon(line.coords)
        else:
            name = "" if names is None or pd.isna(names.iloc[i]) or not names.iloc[i] else f" '{names.iloc[i]}'"
            open_paths.append(f"the path{name} is left out: its ends lie {gap:.0%} of its length apart")
    return raw.set_geometry(gpd.GeoSeries(shapes, index=raw.index, crs=raw.crs))


def _plain_name(column: Any) -> str:
    """The name of a field in lower case, words joined by ``_``: ``Planned Buildings`` → ``planned_buildings``."""
    return re.sub(r"[\s_-]+", "_", str(column).strip().lower())


def _unread(raw: Sequence[gpd.GeoDataFrame], tables: Sequence[gpd.GeoDataFrame], paths_are_said: bool) -> list[str]:
    """Lines on what a file says about plots and is not used: things without a polygon, and fields that may state what is planned."""
    shapes = [g for table in raw for g in geometries_of(table)]
    lost = [g.geom_type if g is not None else "no geometry" for g in shapes if g is None or not len(polygons_of(g))]
    lost = [kind for kind in lost if not (paths_are_said and kind == "LineString")]
    lines = []
    if lost:
        kinds = ", ".join(sorted(set(lost)))
        lines.append(
            f"{len(lost)} of the {len(shapes)} things in the file {'is' if len(lost) == 1 else 'are'} no polygon ({kinds}) and left out"
        )
    if all(pd.isna(value) for table in tables for value in table[FIELDS[0]]):
        fields = [str(column) for table in raw for column in table.columns if _plain_name(column) in LIKE_NAMES]
        if fields:
            lines.append(f"the field '{fields[0]}' is not read; if it holds the names of the plots, call it name")
    if all(pd.isna(value) for table in tables for value in table[FIELDS[1]]):
        fields = sorted({str(column) for table in raw for column in table.columns if "plan" in str(column).lower()})
        unknown = [field for field in fields if _plain_name(field) not in (FIELDS[1], FIELDS[1][:SHAPEFILE_LETTERS])]
        if unknown:
            lines.append(f"the field '{unknown[0]}' is not read; if it states the planned buildings, name it planned_buildings")
    return lines


def _left_out(layers: list[str], chosen: list[str]) -> str:
    """A line on other layers than ``sites`` that may hold plots; those that detect itself writes hold none."""
    others = [layer for layer in layers if layer not in chosen and not layer.startswith(OTHER_LAYERS)]
    return f"read from the layer '{SITES_LAYER}' of the file; left out: {', '.join(others)}" if others else ""
