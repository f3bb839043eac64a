"""WMS 1.1.1 and 1.3.0 (OGC 06-042): maps are drawn for any box, so boxes on the grid of the web's tiles are asked for."""

from __future__ import annotations

import pyproj
from affine import Affine

from detect.base.errors import InputError
from detect.base.secrets import without_keys
from detect.scene.tiles.capabilities import (
    Element,
    chosen,
    crs_of,
    is_north_first,
    picture_format,
    read_capabilities,
    terms_of,
    text_of,
    with_query,
)
from detect.scene.tiles.download import get
from detect.scene.tiles.pyramid import WEB_MERCATOR, Level, Pyramid, web_mercator_levels

_TILE_PX = 512
_HIGHEST_ZOOM = 21
_SIDE_M = 2.0**26
"""Side of the square around the origin of another CRS than Web Mercator, in metres: 67,000 km."""


def open_wms(address: str, layer: str | None = None) -> Pyramid:
    """The maps of a layer of a WMS, as tiles of 512 pixels.

    Args:
        address: of the service; its capabilities are asked for.
        layer: its name; None: the only one.

    Raises:
        InputError: no such layer, or no coordinate system or format that can be read.
    """
    root = read_capabilities(with_query(address, {"SERVICE": "WMS", "REQUEST": "GetCapabilities"}))
    if not root.tag.startswith(("WMS_Capabilities", "WMT_MS_Capabilities")):
        raise InputError(f"{without_keys(address)}: is not a WMS")
    version = root.get("version") or "1.3.0"
    layers = {text_of(one, "Name"): parents for one, parents in _layers(root) if text_of(one, "Name")}
    codes = {
        (code.text or "").strip()
        for one in chosen(layers, layer, address)
        for tag in ("CRS", "SRS")
        for code in one.iterfind(tag)
    }
    code, crs = _best_crs(sorted(codes), address)
    picture = picture_format([f.text or "" for f in root.iterfind("Capability/Request/GetMap/Format")], address)
    href = next((one.get("href") for one in root.iterfind("Capability/Request/GetMap/DCPType/HTTP/Get/OnlineResource")), None)
    fixed = {
        "SERVICE": "WMS", "REQUEST": "GetMap", "VERSION": version, "LAYERS": layer or next(iter(layers)), "STYLES": "",
        "FORMAT": picture, "WIDTH": _TILE_PX, "HEIGHT": _TILE_PX, "CRS" if version >= "1.3" else "SRS": code,
    }  # fmt: skip
    swapped = version >= "1.3" and is_north_first(crs)

    def read(level: Level, column: int, row: int) -> bytes | None:
        left, top = level.transform * (column * _TILE_PX, row * _TILE_PX)
        right, bottom = level.transform * ((column + 1) * _TILE_PX, (row + 1) * _TILE_PX)
        box = (bottom, left, top, right) if swapped else (left, bottom, right, top)
        return get(with_query(href or address, {**fixed, "BBOX": ",".join(f"{value:.9g}" for value in box)}))

    attribution, terms = terms_of(root, "Service")
    content = tuple(f"{name}={fixed[name]}" for name in sorted(fixed))
    return Pyramid(without_keys(address), _levels(crs), read, crs, attribution, terms, content=content)


def _layers(root: Element) -> list[tuple[Element, list[Element]]]:
    """Each layer with itself and those around it, whose coordinate systems it inherits."""
    found = []
    todo: list[tuple[Element, list[Element]]] = [(one, [one]) for one in root.iterfind("Capability/Layer")]
    while todo:
        one, line = todo.pop(0)
        found.append((one, line))
        todo = [(inner, [inner, *line]) for inner in one.iterfind("Layer")] + todo
    return found


def _best_crs(codes: list[str], address: str) -> tuple[str, pyproj.CRS]:
    """Web Mercator, else the first projected coordinate system in metres."""
    known = [(code, crs) for code in codes if (crs := crs_of(code)) is not None]
    for code, crs in known:
        if crs == WEB_MERCATOR:
            return code, crs
    for code, crs in known:
        if crs.is_projected and crs.axis_info[0].unit_conversion_factor == 1:
            return code, crs
    raise InputError(f"{without_keys(address)}: offers no projected coordinate system in metres for this layer")


def _levels(crs: pyproj.CRS) -> tuple[Level, ...]:
    """Levels of halving pixel size, on a grid that does not depend on what is asked for."""
    if crs == WEB_MERCATOR:
        return web_mercator_levels(0, _HIGHEST_ZOOM, _TILE_PX)
    levels = []
    for zoom in range(_HIGHEST_ZOOM + 1):
        pixel_m = _SIDE_M / (_TILE_PX * 2**zoom)
        transform = Affine(pixel_m, 0, -_SIDE_M / 2, 0, -pixel_m, _SIDE_M / 2)
        levels.append(Level(str(zoom), transform, (_TILE_PX, _TILE_PX), (2**zoom, 2**zoom)))
    return tuple(levels)
