"""The buildings of many results as one table, in four files: GeoParquet, FlatGeobuf, PMTiles, and a CSV with a line per scene.

The table is sorted along a Hilbert curve, so that neighbours on the ground are neighbours in the file; with the box of each building
(GeoParquet 1.1, ``covering``) and small row groups, a reader that wants a part of the map reads a part of the file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import shapely
from numpy.typing import NDArray
from shapely import Polygon

from detect.base.geometry import beside
from detect.base.vectors import geometries_of
from detect.results.summary import every_warning, found_of
from detect.results.tables import BUILDING_COLUMNS

ROWS_AT_A_TIME = 10_000
"""Rows of a row group, the part of a Parquet file that is read or skipped as a whole."""
TILE_ZOOMS = (12, 14)
_TILE_COLUMNS = ("scene", "id", "date", "stage", "dormitory_like", "beds", "area_m2", "score")


@dataclass(frozen=True)
class Piece:
    """A result of predict within a collection."""

    folder: Path
    name: str
    """Unique in the collection."""
    outline: Polygon
    """Of the scene, in longitude and latitude."""
    date: str | None
    """ISO day."""
    summary: dict[str, Any]
    buildings: gpd.GeoDataFrame
    """In longitude and latitude; without those that another result of the collection shows better, or in which they were deleted."""
    elsewhere: int = 0
    """Buildings that another result shows better."""
    deleted: int = 0
    """Buildings that a reviewer has deleted in another result."""


def one_table(pieces: Sequence[Piece]) -> gpd.GeoDataFrame:
    """All buildings, with ``scene`` and ``date`` before the columns of a result, along a Hilbert curve."""
    filled = [piece for piece in pieces if len(piece.buildings)] or list(pieces[:1])
    # Column by column: GeoPandas takes milliseconds for each table that it makes, and there may be thousands.
    counts = [len(piece.buildings) for piece in filled]
    columns: dict[str, Any] = {
        name: np.repeat(np.array([getattr(piece, attribute) for piece in filled], dtype=object), counts)
        for name, attribute in (("scene", "name"), ("date", "date"))
    }
    columns |= {name: np.concatenate([piece.buildings[name].to_numpy() for piece in filled]) for name in BUILDING_COLUMNS}
    shapes = np.concatenate([geometries_of(piece.buildings) for piece in filled])
    table = gpd.GeoDataFrame(columns, geometry=gpd.GeoSeries(shapes, crs=4326)).astype({"date": object, "site": object})
    if not len(table):
        return table
    order = np.lexsort((table["id"].to_numpy(), table["scene"].to_numpy().astype(str), hilbert(table)))
    return table.iloc[order].reset_index(drop=True)


def hilbert(table: gpd.GeoDataFrame) -> NDArray[np.uint32]:
    """Distance of each building along a Hilbert curve over the extent of the table."""
    return np.asarray(table.geometry.hilbert_distance(level=16), dtype=np.uint32)


def write_geoparquet(path: Path, table: gpd.GeoDataFrame) -> None:
    """Write GeoParquet 1.1 with a box for each building."""
    table.to_parquet(
        path, index=False, schema_version="1.1.0", compression="zstd", write_covering_bbox=True, row_group_size=ROWS_AT_A_TIME
    )


def write_native(path: Path, table: gpd.GeoDataFrame) -> None:
    """Write Parquet with its own type GEOMETRY (Apache Parquet, logical types, 2025) in OGC:CRS84, and ``bbox`` as GeoParquet has it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    shapes = geometries_of(table)
    columns = pa.Table.from_pandas(pd.DataFrame(table.drop(columns="geometry")), preserve_index=False)
    outlines = pa.ExtensionArray.from_storage(_native_type(), pa.array(shapely.to_wkb(shapes).tolist(), pa.binary()))
    boxes = pa.StructArray.from_arrays(list(shapely.bounds(shapes).reshape(-1, 4).T), names=["xmin", "ymin", "xmax", "ymax"])
    whole = columns.replace_schema_metadata().append_column("geometry", outlines).append_column("bbox", boxes)
    pq.write_table(whole, path, compression="zstd", row_group_size=ROWS_AT_A_TIME)


def _native_type() -> Any:
    """The Arrow type that pyarrow stores as GEOMETRY: it goes by the name, which GeoArrow defines."""
    import pyarrow as pa

    class Wkb(pa.ExtensionType):
        def __init__(self) -> None:
            super().__init__(pa.binary(), "geoarrow.wkb")

        def __arrow_ext_serialize__(self) -> bytes:
            return b"{}"

    return Wkb()


def write_flatgeobuf(path: Path, table: gpd.GeoDataFrame) -> None:
    """Write FlatGeobuf, whose spatial index lets QGIS and browsers read a part of a file, also behind a URL."""
    pyogrio.write_dataframe(table, path, driver="FlatGeobuf", layer="buildings", geometry_type="Unknown", SPATIAL_INDEX="YES")


def write_pmtiles(path: Path, table: gpd.GeoDataFrame) -> None:
    """Write vector tiles in one archive, for web maps; the outlines are rounded to a 4096th of a tile."""
    here = geometries_of(table)
    tiled = table[[*_TILE_COLUMNS, "geometry"]].assign(dormitory_like=table["dormitory_like"].astype(int))
    tiled = tiled.set_geometry(gpd.GeoSeries(beside(here, 0.0) if len(here) else here, crs=4326))
    pyogrio.write_dataframe(
        tiled, path, driver="PMTiles", layer="buildings", geometry_type="Unknown", MINZOOM=TILE_ZOOMS[0], MAXZOOM=TILE_ZOOMS[1],
        NAME="buildings", MAX_FEATURES=1_000_000, MAX_SIZE=5_000_000,
    )  # fmt: skip


def scene_table(pieces: Sequence[Piece]) -> pd.DataFrame:
    """A row for each scene: what its result says, and how many of its buildings the collection holds."""
    rows = []
    for piece in pieces:
        total = piece.summary["total"]
        rows.append(
            {
                "scene": piece.name,
                "date": piece.date,
                "area_km2": total["area_km2"],
                **{
                    f"buildings{end}": total["buildings"][key]
                    for end, key in (("", "estimate"), ("_low", "low"), ("_high", "high"))
                },
                "buildings_found": found_of(total["buildings"]),
                "dormitory_like": total["dormitory_like"]["estimate"],
                "beds_now": total["beds"]["now"]["estimate"],
                "shown": len(piece.buildings),
                "shown_elsewhere": piece.elsewhere,
                "deleted_elsewhere": piece.deleted,
                "warnings": len(every_warning(piece.summary)),
            }
        )
    return pd.DataFrame(rows)


def outline_box(pieces: Sequence[Piece]) -> tuple[float, float, float, float]:
    """West, south, east and north of all scenes."""
    west, south, east, north = shapely.total_bounds(np.array([piece.outline for piece in pieces], dtype=object))
    return float(west), float(south), float(east), float(north)
