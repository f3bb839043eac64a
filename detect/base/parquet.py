"""Read Parquet tables with geometries: GeoParquet, and the native types GEOMETRY and GEOGRAPHY without its metadata.

The native types (Apache Parquet, logical types, 2025) are what pyarrow writes with GeoArrow types, and DuckDB with
``GEOPARQUET_VERSION NONE``. Their CRS is text in the type; without any it is OGC:CRS84, longitude and latitude.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import geopandas as gpd
import pyproj
import shapely

from detect.base.errors import InputError

SUFFIXES = (".parquet", ".geoparquet", ".parq", ".pq")
_NATIVE = ("Geometry", "Geography")
_USUAL = ("geometry", "geom", "wkb_geometry")
_DEFAULT_CRS = "OGC:CRS84"
_AS_GEOPARQUET = "write it as GeoParquet (GeoPandas: to_parquet; DuckDB: LOAD spatial, then COPY a column of type GEOMETRY)"


def is_parquet(path: Path) -> bool:
    """Whether a file, or a folder of files, is Parquet, by its name."""
    return path.name.lower().endswith(SUFFIXES)


def read_parquet(path: Path) -> gpd.GeoDataFrame:
    """A Parquet table with its geometries.

    Warns:
        UserWarning: it has several native geometry columns, of which one is read.

    Raises:
        InputError: it has no geometries, or names a coordinate system that is not known.
        Exception: pyarrow cannot read it.
    """
    import pyarrow.parquet as pq

    if path.is_dir():
        return gpd.read_parquet(path)
    file = pq.ParquetFile(path)
    metadata = file.metadata.metadata or {}
    if b"geo" in metadata:
        return gpd.read_parquet(path)
    columns = [file.schema.column(i) for i in range(len(file.schema))]
    logical = {c.path: json.loads(c.logical_type.to_json()) for c in columns}  # before version 26, its `type` is UNKNOWN
    types = {name: said for name, said in logical.items() if said["Type"] in _NATIVE}
    if not types:
        raise InputError(
            f"{path}: is a Parquet table without geometries: no GeoParquet metadata, no column of type GEOMETRY; {_AS_GEOPARQUET}"
        )
    chosen = next((name for name in _USUAL if name in types), next(iter(types)))
    if len(types) > 1:
        others = ", ".join(name for name in types if name != chosen)
        warnings.warn(f"{path}: read from its column '{chosen}'; left out: {others}", stacklevel=3)
    crs = _crs(types[chosen].get("crs"), metadata, path)
    table = file.read()
    shapes = shapely.from_wkb(_plain(table.column(chosen)).to_numpy(zero_copy_only=False))
    return gpd.GeoDataFrame(
        table.drop_columns(list(types)).to_pandas(ignore_metadata=True), geometry=gpd.GeoSeries(shapes, crs=crs)
    )


def _plain(column: Any) -> Any:
    """A column of bytes, also where a package has registered a type for it."""
    import pyarrow as pa

    if not isinstance(column.type, pa.BaseExtensionType):
        return column
    return pa.chunked_array([chunk.storage for chunk in column.chunks], column.type.storage_type)


def _crs(text: str | None, metadata: dict[bytes, bytes], path: Path) -> pyproj.CRS | None:
    """The CRS that a native type names: PROJJSON, ``authority:code``, ``srid:number`` (0: none) or ``projjson:key`` of the metadata."""
    if not text:
        return pyproj.CRS.from_user_input(_DEFAULT_CRS)
    kind, _, rest = text.partition(":")
    if kind.lower() == "srid":
        text = f"EPSG:{rest}"
    elif kind.lower() == "projjson":
        text = metadata.get(rest.encode(), b"").decode()
    if kind.lower() == "srid" and rest == "0":
        return None
    try:
        return pyproj.CRS.from_user_input(text)
    except pyproj.exceptions.CRSError as cause:
        raise InputError(f"{path}: its coordinate system '{text[:80]}' is not known; {_AS_GEOPARQUET}") from cause
