"""What the files of a result hold, whatever their bytes: rows of a GeoPackage, pixels of a raster.

Programs change a container by merely opening it: QGIS switches a GeoPackage to a write-ahead log and back, which alters its
header, and keeps what was edited in a file ``-wal`` beside it while it is open.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import rasterio
from rasterio.errors import RasterioError
from rasterio.windows import Window

from detect.base.files import sha256_of

_ROWS_PX = 1024
"""Lines of a raster that are read at a time."""
_TABLES = "select name, sql from sqlite_master where type = 'table' and sql not like 'create virtual%' order by name"
_BOOK_KEEPING = ("sqlite_sequence", "gpkg_ogr_contents", "gpkg_contents")
"""Tables that programs keep up: counts, extents and the time of the last change. The layers stand in ``gpkg_contents``."""
_LAYERS = "select table_name, data_type, identifier, srs_id from gpkg_contents order by table_name"


def content_hash(path: Path) -> str | None:
    """SHA-256 of the layers of a GeoPackage and the rows of its tables, or of the pixels and place of a raster; None for other files.

    Changes that lie in a ``-wal`` beside a GeoPackage count.

    Raises:
        sqlite3.Error, rasterio.errors.RasterioError: the file cannot be read.
    """
    parts = _parts(path, with_log=True)
    return None if parts is None else _hash(parts)


def is_unchanged(path: Path, sha256: str, content: str | None) -> bool:
    """Whether a file holds what it held when it was written.

    Args:
        path: the file.
        sha256: hash of its bytes then.
        content: its ``content_hash`` then; None for other files, and in results of earlier versions.
    """
    same_bytes = sha256_of(path) == sha256
    if same_bytes and not _has_log(path):
        return True
    try:
        if content is None and same_bytes and (written := _parts(path, with_log=False)) is not None:
            content = _hash(written)
        return content is not None and not _is_damaged_cog(path) and content_hash(path) == content
    except (sqlite3.Error, RasterioError):
        return False


def _is_damaged_cog(path: Path) -> bool:
    """Whether a raster whose bytes differ is still marked as a COG: programs take the mark away when they change one."""
    if path.suffix != ".tif":
        return False
    with rasterio.open(path) as raster:
        return bool(raster.tags(ns="IMAGE_STRUCTURE").get("LAYOUT") == "COG")


def _hash(parts: Iterator[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def _parts(path: Path, *, with_log: bool) -> Iterator[bytes] | None:
    if path.suffix == ".gpkg":
        return _rows(path, with_log=with_log)
    return _pixels(path) if path.suffix == ".tif" else None


def _has_log(path: Path) -> bool:
    log = path.with_name(f"{path.name}-wal")
    return path.suffix == ".gpkg" and log.is_file() and log.stat().st_size > 0


def _rows(path: Path, *, with_log: bool) -> Iterator[bytes]:
    # An immutable database is read without a log, and nothing is written beside it.
    mode = "mode=ro" if with_log and _has_log(path) else "immutable=1"
    with closing(sqlite3.connect(f"file:{quote(str(path.resolve()))}?{mode}", uri=True)) as base:
        if base.execute("pragma quick_check").fetchone() != ("ok",):
            raise sqlite3.DatabaseError("its pages are damaged")
        yield repr(base.execute(_LAYERS).fetchall()).encode()
        for name, columns in base.execute(_TABLES).fetchall():
            if name in _BOOK_KEEPING:
                continue
            yield repr((name, columns)).encode()
            quoted = name.replace('"', '""')
            for row in base.execute(f'select * from "{quoted}" order by rowid'):
                yield repr(row).encode()


def _pixels(path: Path) -> Iterator[bytes]:
    with rasterio.open(path) as raster:
        levels = raster.overviews(1)
        yield repr(
            (raster.shape, raster.dtypes, raster.nodata, tuple(raster.transform), raster.crs and raster.crs.to_string())
        ).encode()
    for level in (None, *range(len(levels))):
        with rasterio.open(path, **({} if level is None else {"overview_level": level})) as raster:
            for row in range(0, raster.height, _ROWS_PX):
                yield raster.read(window=Window(0, row, raster.width, min(_ROWS_PX, raster.height - row))).tobytes()
