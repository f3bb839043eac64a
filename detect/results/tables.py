"""buildings.gpkg and buildings.parquet: the columns of the buildings, their types and precision, and the layers.

The only module that knows the names and types of columns. Each function writes the given file; the caller makes outputs appear
whole (``ResultFolder.swap``).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import geopandas as gpd

from detect.base.geometry import to_degrees
from detect.base.vectors import geometries_of, write_layer
from detect.results import styles

BUILDING_COLUMNS: dict[str, Any] = {
    "id": "int64",
    "site": object,
    "row": "int64",
    "stage": object,
    "stage_score": "float64",
    "p_foundation": "float64",
    "p_incomplete": "float64",
    "p_complete": "float64",
    "score": "float64",
    "area_m2": "float64",
    "length_m": "float64",
    "width_m": "float64",
    "orientation_deg": "float64",
    "rectangularity": "float64",
    "height_m": "float64",
    "dormitory_like": "bool",
    "dormitory_score": "float64",
    "dormitory_reasons": object,
    "beds": "int64",
    "touches_edge": "bool",
}
_DECIMALS = {
    "stage_score": 4, "p_foundation": 4, "p_incomplete": 4, "p_complete": 4, "score": 4, "area_m2": 2, "length_m": 2, "width_m": 2,
    "orientation_deg": 1, "rectangularity": 3, "height_m": 2, "dormitory_score": 3,
}  # fmt: skip
GROUND = "ground"
"""Layer of cleared ground and pads; only if plots were given."""


def with_schema(buildings: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """The table with exactly the columns of the schema, in their order and types, numbers rounded to their precision."""
    table = buildings[[*BUILDING_COLUMNS, "geometry"]].astype(BUILDING_COLUMNS)
    rounded = table.round(_DECIMALS).reset_index(drop=True)
    return rounded.assign(orientation_deg=rounded["orientation_deg"] % 180)  # 179.96 is 0.0, not 180.0


def write_gpkg(path: Path, layers: Mapping[str, gpd.GeoDataFrame]) -> None:
    """Write layers by name, each with its default style for QGIS."""
    for name, table in layers.items():
        write_layer(path, name, table, "Polygon" if name != "sites" else "Unknown")
    known = {"buildings": styles.BUILDINGS, "rows": styles.ROWS, "sites": styles.SITES, GROUND: styles.GROUND}
    styles.store_styles(path, {name: known[name] for name in layers})


def write_parquet(path: Path, buildings: gpd.GeoDataFrame) -> None:
    """Write GeoParquet 1.1 in longitude and latitude; without a CRS if the scene has none.

    Longitudes of a building across 180° continue beyond it.
    """
    table = buildings
    if buildings.crs is not None:
        degrees = to_degrees(geometries_of(buildings), buildings.crs)
        table = buildings.set_geometry(gpd.GeoSeries(degrees, index=buildings.index, crs=4326))
    table.to_parquet(path, index=False, schema_version="1.1.0", compression="zstd")
