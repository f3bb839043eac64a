"""Levels of tiles: which tiles of which level show an area. XYZ, WMTS, WMS and archives of tiles all become a ``Pyramid``."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pyproj
import shapely
from affine import Affine
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from detect.base.errors import InputError
from detect.base.geometry import ground_size_m, moved
from detect.base.grid import Span

WEB_MERCATOR = pyproj.CRS.from_epsg(3857)
HALF_WORLD_M = 20037508.342789244
"""Half the width of the world in Web Mercator, metres."""
LARGEST_SIDE_PX = 65_536
"""Longest side of a raster that is made of tiles."""
_PIECES = 100  # a straight edge in degrees is curved in another CRS
_SOME = 5  # tiles that are read to find out whether a level exists


@dataclass(frozen=True)
class Level:
    """Tiles of one pixel size, numbered by column from the left and row from the top."""

    name: str
    """Zoom, or the identifier of a tile matrix."""
    transform: Affine
    """Pixels of the level (x = column, y = row) → CRS."""
    tile_hw: tuple[int, int]
    """Height and width of a tile, pixels."""
    tiles_rc: tuple[int, int]
    """Rows and columns of tiles."""


@dataclass(frozen=True)
class Pyramid:
    """Tiles of one picture at several pixel sizes."""

    address: str
    """Where it was found, without keys."""
    levels: tuple[Level, ...]
    """Coarsest first."""
    read: Callable[[Level, int, int], bytes | None]
    """The encoded picture of a tile (level, column, row); None where there is none."""
    crs: pyproj.CRS = WEB_MERCATOR
    attribution: str = ""
    terms: str = ""
    """Conditions of use, as the source states them."""
    outline: BaseGeometry | None = None
    """Where tiles are, in longitude and latitude; None: not known."""
    is_local: bool = False
    """A file on this machine, where a limit of tiles protects nobody's server."""
    content: tuple[str, ...] = ()
    """What decides its pixels beside the address and the levels, such as the layer of a service or the version of a file."""


@dataclass(frozen=True)
class Plan:
    """What to read."""

    level: Level
    span: Span
    """Pixels of the level that become the raster."""
    tiles: tuple[tuple[int, int], ...]
    """(column, row) of the tiles to read."""
    gsd_m: float
    """Ground size of a pixel in the middle of the area, mean of both axes, metres."""


def web_mercator_levels(lowest: int, highest: int, tile_px: int = 256) -> tuple[Level, ...]:
    """The levels of the common tile grid of the web (XYZ): level z has 2^z × 2^z tiles."""
    levels = []
    for zoom in range(lowest, highest + 1):
        pixel_m = 2 * HALF_WORLD_M / (tile_px * 2**zoom)
        transform = Affine(pixel_m, 0, -HALF_WORLD_M, 0, -pixel_m, HALF_WORLD_M)
        levels.append(Level(str(zoom), transform, (tile_px, tile_px), (2**zoom, 2**zoom)))
    return tuple(levels)


def with_tile_px(pyramid: Pyramid, tile_px: int) -> Pyramid:
    """An XYZ pyramid whose tiles turned out to have another size than 256 pixels: twice the pixels on the same ground."""
    zooms = [int(level.name) for level in pyramid.levels]
    return replace(pyramid, levels=web_mercator_levels(zooms[0], zooms[-1], tile_px))


def choose_level(pyramid: Pyramid, area: BaseGeometry, gsd_m: float) -> Level:
    """The level whose true pixel in the middle of an area is nearest, as a ratio, to a size on the ground.

    Args:
        pyramid: the tiles.
        area: in longitude and latitude.
        gsd_m: wanted ground size of a pixel, metres.
    """
    return min(pyramid.levels, key=lambda level: abs(math.log(true_gsd_m(pyramid, level, area) / gsd_m)))


def level_named(pyramid: Pyramid, name: str) -> Level:
    """The level of a zoom or identifier.

    Raises:
        InputError: there is none.
    """
    for level in pyramid.levels:
        if level.name == name:
            return level
    known = [level.name for level in pyramid.levels]
    raise InputError(f"{pyramid.address}: has no zoom {name}; it has {known[0]} to {known[-1]}")


def true_gsd_m(pyramid: Pyramid, level: Level, area: BaseGeometry) -> float:
    """Ground size of a pixel of a level in the middle of an area in longitude and latitude, metres."""
    west, south, east, north = _in_pixels(pyramid, level, area).bounds
    return float(np.mean(ground_size_m(level.transform, (round(south + north), round(west + east)), pyramid.crs)))


def plan(pyramid: Pyramid, level: Level, area: BaseGeometry) -> Plan:
    """The tiles of a level that touch an area in longitude and latitude.

    Raises:
        InputError: the area is beyond the level, or so wide that no raster can hold it.
    """
    shape = _in_pixels(pyramid, level, area)
    west, north, east, south = shape.bounds
    span = Span(math.floor(north), math.floor(west), math.ceil(south), math.ceil(east))
    if max(span.size_hw) > LARGEST_SIDE_PX:
        km = max(span.size_hw) * true_gsd_m(pyramid, level, area) / 1000
        raise InputError(
            f"{pyramid.address}: the area is {km:.0f} km wide, more than one raster should hold; give plots that lie near each other"
        )
    tall, wide = level.tile_hw
    rows, columns = np.arange(span.row0 // tall, -(-span.row1 // tall)), np.arange(span.col0 // wide, -(-span.col1 // wide))
    rows = rows[(rows >= 0) & (rows < level.tiles_rc[0])]
    if not _wraps(pyramid, level):
        columns = columns[(columns >= 0) & (columns < level.tiles_rc[1])]
    column, row = (grid.ravel() for grid in np.meshgrid(columns, rows))
    shapely.prepare(shape)
    touched = shapely.intersects(shape, shapely.box(column * wide, row * tall, (column + 1) * wide, (row + 1) * tall))
    if not touched.any():
        raise InputError(f"{pyramid.address}: has no tiles there; are longitude and latitude swapped?")
    tiles = tuple(zip(column[touched].tolist(), row[touched].tolist(), strict=True))
    return Plan(level, span, tiles, true_gsd_m(pyramid, level, area))


def column_read(pyramid: Pyramid, level: Level, column: int) -> int:
    """The column of a tile within the level: beyond 180° the world begins again."""
    return column % level.tiles_rc[1] if _wraps(pyramid, level) else column


def some_tiles(pyramid: Pyramid, wanted: Plan, area: BaseGeometry) -> list[tuple[int, int]]:
    """A few of the tiles of a plan: the one in the midst of the area, which is most likely to exist, and others from all parts."""
    shape = _in_pixels(pyramid, wanted.level, area)
    midst = shape.representative_point()
    first = (math.floor(midst.x / wanted.level.tile_hw[1]), math.floor(midst.y / wanted.level.tile_hw[0]))
    others = sorted({round(i) for i in np.linspace(0, len(wanted.tiles) - 1, min(_SOME, len(wanted.tiles)))})
    return list(dict.fromkeys([*([first] if first in wanted.tiles else []), *(wanted.tiles[i] for i in others)]))


def plain_text(markup: str) -> str:
    """A credit as text: without HTML tags and entities."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", "", markup)).split())


def _wraps(pyramid: Pyramid, level: Level) -> bool:
    return pyramid.crs == WEB_MERCATOR and abs(level.transform.a * level.tile_hw[1] * level.tiles_rc[1] - 2 * HALF_WORLD_M) < 1


def _in_pixels(pyramid: Pyramid, level: Level, area: BaseGeometry) -> BaseGeometry:
    """An area in longitude and latitude, in pixels of a level."""
    west, south, east, north = area.bounds
    dense = shapely.segmentize(area, max(east - west, north - south) / _PIECES) if area.length else area
    if pyramid.crs == WEB_MERCATOR:  # by its own formula, so that longitudes beyond 180 stay there
        placed = shapely.transform(dense, web_mercator)
    else:
        to_crs = pyproj.Transformer.from_crs(4326, pyramid.crs, always_xy=True)
        placed = shapely.transform(dense, to_crs.transform, interleaved=False)
    if not np.isfinite(placed.bounds).all():
        raise InputError(f"{pyramid.address}: the area lies beyond its coordinate system ({pyramid.crs.name})")
    return moved(placed, ~level.transform)


def web_mercator(lonlat: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, 2) longitude and latitude → metres in Web Mercator (EPSG:3857), by the spherical formulas with the equatorial radius.

    Unlike PROJ's, longitudes beyond 180° stay there; latitudes beyond the square of the map become its edge.
    """
    radius = HALF_WORLD_M / math.pi
    latitude = np.radians(np.clip(lonlat[:, 1], -85.06, 85.06))
    return np.column_stack([np.radians(lonlat[:, 0]) * radius, np.log(np.tan(math.pi / 4 + latitude / 2)) * radius])
