"""Read vector files: any polygon layer that GDAL opens, cleaned."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import geopandas as gpd
import numpy as np
import pyogrio
import pyproj
import shapely
from numpy.typing import NDArray

from detect.base.documents import refuse_document
from detect.base.errors import InputError
from detect.base.files import is_companion, refuse_unreadable_name
from detect.base.geometry import beside, why_no_place
from detect.base.parquet import is_parquet, read_parquet
from detect.base.text_tables import is_text_table, read_text_table

_OFFLINE = {"GDAL_HTTP_PROXY": "127.0.0.1:9", "GML_DOWNLOAD_SCHEMA": "NO"}
"""Settings with which GDAL finds no server, whatever a file names: a proxy that is none."""
_WAITS = "OGR_SQLITE_SYNCHRONOUS"
_IN_ARCHIVES = (".shp", ".gpkg", ".geojson", ".json", ".kml", ".gml", ".fgb", ".tab")
_NO_POLYGONS = ("Point", "MultiPoint", "LineString", "MultiLineString")


def read_vector(path: str | Path, layer: str | None = None, preferred: str | Sequence[str] = ()) -> gpd.GeoDataFrame:
    """Read a layer of a vector file with all columns.

    It is ``layer`` if given, else the first of ``preferred`` that the file has, else the first that may hold polygons, else the first.

    Warns:
        UserWarning: several layers may hold polygons and none was named; those that are not read are listed.

    Raises:
        InputError: the file is missing, is not a vector file, or lacks the layer.
    """
    path = Path(path)
    with _reading(path):
        if is_parquet(path):
            return _placed(read_parquet(path), path)
        if is_text_table(path):
            return _placed(read_text_table(path), path)
        refuse_document(path)
        source = _source(path)
        kinds = {str(name): kind for name, kind in pyogrio.list_layers(source)}
        if layer is not None and layer not in kinds:
            raise InputError(f"{path}: has no layer '{layer}'; it holds {', '.join(kinds)}")
        candidates = [name for name, kind in kinds.items() if _may_hold_polygons(kind)] or list(kinds)
        wanted = (preferred,) if isinstance(preferred, str) else preferred
        chosen = layer or next((name for name in wanted if name in kinds), candidates[0])
        table = gpd.read_file(source, layer=chosen, on_invalid="fix")  # closes rings that are not closed
    if layer is None and chosen not in wanted and len(candidates) > 1:
        others = ", ".join(name for name in candidates if name != chosen)
        warnings.warn(f"{path}: read from its layer '{chosen}'; left out: {others}", stacklevel=2)
    if not isinstance(table, gpd.GeoDataFrame):
        raise InputError(f"{path}: holds a table without geometries; polygons are needed")
    return _placed(table, path)


def without_lists(table: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """The table with lists of values, as GeoJSON may hold them, as text."""
    for column in table.columns.drop(table.geometry.name):
        is_list = [isinstance(value, list | np.ndarray) for value in table[column]] if table[column].dtype == object else []
        if any(is_list):
            table[column] = [
                ", ".join(map(str, value)) if listed else value for value, listed in zip(table[column], is_list, strict=True)
            ]
    return table


def _placed(table: gpd.GeoDataFrame, path: Path) -> gpd.GeoDataFrame:
    """The table, without a CRS if that is a local one.

    Raises:
        InputError: the CRS gives no place on Earth for another reason.
    """
    if table.crs is None or not (why := why_no_place(table.crs)):
        return table
    if table.crs.is_engineering:
        return table.set_crs(None, allow_override=True)
    raise InputError(f"{path}: its coordinate system {why}; assign the right one (ogr2ogr -a_srs EPSG:…)")


def polygon_layers(path: str | Path, *, paths: bool = False) -> list[str]:
    """Names of the layers of a vector file that may hold polygons, in the file's order; none for a file with one unnamed table.

    Args:
        path: the file.
        paths: layers of lines too.

    Raises:
        InputError: the file is missing or not a vector file.
    """
    kinds = layers_of(path).items()
    return [name for name, kind in kinds if _may_hold_polygons(kind) or (paths and kind is not None and "Line" in kind)]


def layers_of(path: str | Path) -> dict[str, str | None]:
    """Layers of a vector file and their geometry types, in the file's order; none for a file with one unnamed table.

    Raises:
        InputError: the file is missing or not a vector file.
    """
    path = Path(path)
    with _reading(path):
        if is_parquet(path) or is_text_table(path):
            return {}
        refuse_document(path)
        return {str(name): kind for name, kind in pyogrio.list_layers(_source(path))}


def is_vector_folder(path: str | Path) -> bool:
    """Whether a folder is one vector file, as a File Geodatabase (``.gdb``) is, or a folder of Shapefiles."""
    path = Path(path)
    if not path.is_dir():
        return False
    if path.suffix.lower() == ".gdb":  # also a broken one, so that the error names what it is
        return True
    try:
        return len(pyogrio.list_layers(path)) > 0
    except pyogrio.errors.DataSourceError:
        return False


def _source(path: Path) -> Path | str:
    """What GDAL opens: the file, or what is packed in it."""
    if path.suffix.lower() == ".shp" and not any(path.with_suffix(ending).exists() for ending in (".shx", ".SHX")):
        raise InputError(
            f"{path}: its index (.shx) is missing; copy it too, or make it: ogrinfo --config SHAPE_RESTORE_SHX YES {path.name}"
        )
    if path.suffix.lower() == ".zip" and path.is_file():
        return _in_archive(path)
    return f"/vsigzip/{path.resolve()}" if path.suffix.lower() == ".gz" else path


def _in_archive(path: Path) -> Path | str:
    """The only vector file in an archive, or the only folder with some, wherever it lies; else the archive, as GDAL reads it."""
    with zipfile.ZipFile(path) as archive:
        inner = [PurePosixPath(name) for name in archive.namelist()]
    inner = [p for p in inner if p.suffix.lower() in _IN_ARCHIVES and not any(map(is_companion, p.parts))]
    folders = {p.parent for p in inner}
    if len(folders) != 1:
        return path
    [folder] = folders
    within = "" if len(inner) > 1 and folder == PurePosixPath(".") else f"/{inner[0] if len(inner) == 1 else folder}"
    return f"/vsizip/{path.resolve()}{within}"


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn errors of the libraries into one line about the file, and hide their warnings."""
    refuse_unreadable_name(path)
    if not path.exists():
        raise InputError(f"{path}: no such file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pyogrio warns of several layers, of unnamed fields and the like
            warnings.filterwarnings("default", message=".*: read from its column ")
            pyogrio.set_gdal_config_options(_OFFLINE)
            yield
    except InputError:
        raise
    except UnicodeDecodeError as cause:
        raise InputError(f"{path}: its text is not UTF-8; save it anew as UTF-8") from cause
    except Exception as cause:  # pyogrio and pyarrow raise classes of their own
        kind = "a Parquet file that can be read" if is_parquet(path) else "a vector file that GDAL can open"
        raise InputError(f"{path}: is not {kind} ({' '.join(str(cause).split())[:120]})") from cause
    finally:
        pyogrio.set_gdal_config_options(dict.fromkeys(_OFFLINE))


def write_layer(path: Path, layer: str, table: gpd.GeoDataFrame, geometry_type: str | None = None) -> None:
    """Add a layer to a GeoPackage that nobody reads yet; the caller makes it appear whole.

    So SQLite need not wait for the disk: where the disk is slow, that took ten times as long as the writing.

    Args:
        path: the file; made if it is missing.
        layer: name of the layer.
        table: its rows.
        geometry_type: as GDAL names it; by default that of the rows.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pyogrio warns of a missing CRS, which a scene without georeference does not have
            pyogrio.set_gdal_config_options({_WAITS: "OFF"})
            table.to_file(path, layer=layer, driver="GPKG", engine="pyogrio", geometry_type=geometry_type)
    finally:
        pyogrio.set_gdal_config_options({_WAITS: None})


def _may_hold_polygons(kind: str | None) -> bool:
    """Whether a layer of an OGR geometry type may hold polygons; not ``2.5D Point``, ``LineString ZM`` and tables without geometries."""
    return kind is not None and not set(kind.split()) & set(_NO_POLYGONS)


def polygons_only(table: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """The table's polygons: empty rows and other kinds dropped, Z removed, rings that cross made valid, multipolygons kept whole."""
    everything = geometries_of(table)
    table = table[~(shapely.is_missing(everything) | shapely.is_empty(everything) | _is_endless(everything))]
    geometries = shapely.force_2d(geometries_of(table))
    broken = ~shapely.is_valid(geometries)
    geometries[broken] = shapely.make_valid(geometries[broken])
    kept = geometries.copy()
    for i in np.nonzero((shapely.get_type_id(geometries) != shapely.GeometryType.POLYGON) | (shapely.area(geometries) == 0))[0]:
        kept[i] = _polygonal(geometries[i])
    here = ~shapely.is_missing(kept)
    return table[here].set_geometry(gpd.GeoSeries(kept[here], index=table.index[here], crs=table.crs)).reset_index(drop=True)


def _is_endless(geometries: NDArray[np.object_]) -> NDArray[np.bool_]:
    """Whether a geometry has a coordinate that is infinite or not a number."""
    xy, which = shapely.get_coordinates(geometries, return_index=True)
    endless = np.zeros(len(geometries), bool)
    endless[which[~np.isfinite(xy).all(axis=1)]] = True
    return endless


def polygons_of(geometry: shapely.Geometry) -> list[shapely.Geometry]:
    """The polygons in a geometry of any kind, at any depth, those without an area left out."""
    parts: list[shapely.Geometry] = []
    for part in shapely.get_parts(geometry):
        if part.geom_type == "GeometryCollection":
            parts += polygons_of(part)
        elif part.geom_type in ("Polygon", "MultiPolygon") and part.area > 0:
            parts.append(part)
    return parts


def _polygonal(geometry: shapely.Geometry) -> shapely.Geometry | None:
    parts = polygons_of(geometry)
    if not parts:
        return None
    return parts[0] if len(parts) == 1 else shapely.union_all(parts)


def equal_area_crs(table: gpd.GeoDataFrame) -> pyproj.CRS | None:
    """Lambert's azimuthal equal-area projection about the middle of a table, metres; None where the table has no CRS."""
    if table.crs is None or not len(table):
        return None
    geometries = geometries_of(table)
    if table.crs.is_geographic:
        geometries = beside(geometries, shapely.get_coordinates(geometries)[0, 0])
    west, south, east, north = shapely.total_bounds(geometries)
    to_degrees = pyproj.Transformer.from_crs(table.crs, 4326, always_xy=True)
    lon, lat = to_degrees.transform((west + east) / 2, (south + north) / 2)
    return pyproj.CRS.from_proj4(f"+proj=laea +lat_0={lat:.6f} +lon_0={lon:.6f} +datum=WGS84 +units=m +no_defs")


def geometries_of(table: gpd.GeoDataFrame) -> NDArray[np.object_]:
    """The geometries of a table, as an array of shapely objects."""
    return np.asarray(table.geometry.to_numpy(), dtype=object)
