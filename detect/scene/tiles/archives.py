"""Archives of map tiles: MBTiles 1.3 (SQLite) and PMTiles 3 (one file, on disk or behind a URL)."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import shapely
from shapely.geometry.base import BaseGeometry

from detect.base.errors import InputError
from detect.base.secrets import without_keys
from detect.scene.tiles.download import get
from detect.scene.tiles.pyramid import Level, Pyramid, plain_text, web_mercator_levels
from detect.scene.versions import version_of

_VECTOR = "holds vector tiles (a drawn map), not pictures; give tiles of a satellite or aerial image"


def open_mbtiles(path: str) -> Pyramid:
    """The tiles of an MBTiles file.

    Raises:
        InputError: no such file, not MBTiles, or vector tiles.
    """
    if not Path(path).is_file():
        raise InputError(f"{path}: no such file (MBTiles must lie on this machine)")
    uri = f"file:{quote(str(Path(path).resolve()))}?mode=ro"

    def ask(query: str, *values: int) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(uri, uri=True)) as base:
            return base.execute(query, values).fetchall()

    try:
        about = {str(name): str(value) for name, value in ask("select name, value from metadata")}
        ((lowest, highest),) = ask("select min(zoom_level), max(zoom_level) from tiles")
    except sqlite3.Error as cause:
        raise InputError(f"{path}: is not an MBTiles file ({cause})") from cause
    if about.get("format") in ("pbf", "mvt"):
        raise InputError(f"{path}: {_VECTOR}")
    if highest is None:
        raise InputError(f"{path}: holds no tiles")

    def read(level: Level, column: int, row: int) -> bytes | None:
        from_below = 2 ** int(level.name) - 1 - row
        found = ask(
            "select tile_data from tiles where zoom_level = ? and tile_column = ? and tile_row = ?",
            int(level.name),
            column,
            from_below,
        )
        return bytes(found[0][0]) if found else None

    return Pyramid(
        address=path,
        levels=web_mercator_levels(lowest, highest),
        read=read,
        attribution=plain_text(about.get("attribution", "")),
        terms=about.get("license", ""),
        outline=_outline(about.get("bounds", "").split(",")),
        is_local=True,
        content=tuple(version_of([path, f"{path}-wal"])),
    )


def open_pmtiles(place: str) -> Pyramid:
    """The tiles of a PMTiles file or URL; of a URL only the wanted parts are read.

    Raises:
        InputError: the package pmtiles is missing, no such file, not PMTiles, or vector tiles.
    """
    try:
        from pmtiles.reader import Reader
        from pmtiles.tile import TileType
    except ModuleNotFoundError as cause:
        raise InputError(f"{place}: PMTiles need a package; run: pip install 'detect-buildings[tiles]'") from cause
    is_url = place.startswith(("http://", "https://"))
    try:
        reader = Reader(_parts_of_url(place) if is_url else _parts_of_file(place))
        header, about = reader.header(), reader.metadata()
    except (OSError, ValueError, KeyError, AssertionError) as cause:
        raise InputError(f"{without_keys(place)}: is not a PMTiles archive ({cause or type(cause).__name__})") from cause
    except Exception as cause:  # MagicNumberNotFound and SpecVersionUnsupported derive from Exception alone
        if type(cause).__module__.startswith("pmtiles"):
            raise InputError(f"{place}: is not a PMTiles archive of version 3 ({type(cause).__name__})") from cause
        raise
    if header["tile_type"] == TileType.MVT:
        raise InputError(f"{place}: {_VECTOR}")
    degrees = [header[name] / 1e7 for name in ("min_lon_e7", "min_lat_e7", "max_lon_e7", "max_lat_e7")]
    return Pyramid(
        address=without_keys(place),
        levels=web_mercator_levels(header["min_zoom"], header["max_zoom"]),
        read=lambda level, column, row: reader.get(int(level.name), column, row),
        attribution=plain_text(str(about.get("attribution", ""))),
        terms=str(about.get("license", "")),
        outline=_outline(degrees),
        is_local=not is_url,
        content=() if is_url else tuple(version_of([place])),
    )


def _parts_of_file(path: str) -> Callable[[int, int], bytes]:
    if not Path(path).is_file():
        raise InputError(f"{path}: no such file")

    def part(offset: int, length: int) -> bytes:
        with Path(path).open("rb") as file:
            file.seek(offset)
            return file.read(length)

    return part


def _parts_of_url(url: str) -> Callable[[int, int], bytes]:
    @lru_cache(maxsize=64)  # header and directories are read for every tile
    def part(offset: int, length: int) -> bytes:
        found = get(url, (offset, length))
        if found is None:
            raise InputError(f"{without_keys(url)}: no such file on the server")
        return found

    return part


def _outline(west_south_east_north: list[Any]) -> BaseGeometry | None:
    """The box of an archive, in degrees; None if it states none."""
    try:
        west, south, east, north = (float(json.loads(str(value))) for value in west_south_east_north)
    except ValueError:
        return None
    return shapely.box(west, south, east, north) if west < east and south < north else None
