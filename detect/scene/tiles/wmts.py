"""WMTS 1.0 (OGC 07-057r7): the capabilities document gives layers, tile matrices and addresses."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urljoin

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
from detect.scene.tiles.pyramid import WEB_MERCATOR, Level, Pyramid

_STANDARD_PIXEL_M = 0.00028
"""A scale denominator refers to pixels of this size on a screen (OGC 07-057r7, 6.1)."""


def open_wmts(address: str, layer: str | None = None) -> Pyramid:
    """The tiles of a layer of a WMTS.

    Args:
        address: of its capabilities document.
        layer: its identifier; None: the only one.

    Raises:
        InputError: no such layer, or no grid or format that can be read.
    """
    root = read_capabilities(address)
    if root.tag != "Capabilities":
        raise InputError(f"{without_keys(address)}: is not the capabilities document of a WMTS")
    layers = {text_of(one, "Identifier"): one for one in root.iterfind("Contents/Layer")}
    one = chosen(layers, layer, address)
    crs, grid = _grid(root, one, address)
    picture = picture_format([f.text or "" for f in one.iterfind("Format")], address)
    values = _values(one, text_of(grid, "Identifier"))
    template = _template(root, one, picture, values, address)
    levels = sorted((_level(matrix, crs) for matrix in grid.iterfind("TileMatrix")), key=lambda level: -level.transform.a)
    attribution, terms = terms_of(root, "ServiceIdentification")

    def read(level: Level, column: int, row: int) -> bytes | None:
        where = template
        for name, value in {"TileMatrix": level.name, "TileRow": str(row), "TileCol": str(column)}.items():
            where = where.replace("{" + name + "}", value)
        return get(where)

    content = tuple(f"{name}={value}" for name, value in sorted({**values, "Layer": text_of(one, "Identifier")}.items()))
    return Pyramid(without_keys(address), tuple(levels), read, crs, attribution, terms, content=(*content, f"Format={picture}"))


def _grid(root: Element, layer: Element, address: str) -> tuple[pyproj.CRS, Element]:
    """The tile matrix set to read and its CRS: Web Mercator where the layer has it, else the first that is understood."""
    sets = {text_of(one, "Identifier"): one for one in root.iterfind("Contents/TileMatrixSet")}
    linked = [text_of(link, "TileMatrixSet") for link in layer.iterfind("TileMatrixSetLink")]
    known = [(crs, sets[name]) for name in linked if name in sets and (crs := crs_of(text_of(sets[name], "SupportedCRS")))]
    if not known:
        raise InputError(f"{without_keys(address)}: its layer has no tile grid in a known coordinate system")
    return next((pair for pair in known if pair[0] == WEB_MERCATOR), known[0])


def _level(matrix: Element, crs: pyproj.CRS) -> Level:
    metres_per_unit = 111_319.49079327358 if crs.is_geographic else crs.axis_info[0].unit_conversion_factor
    pixel = float(text_of(matrix, "ScaleDenominator")) * _STANDARD_PIXEL_M / metres_per_unit
    corner = [float(number) for number in text_of(matrix, "TopLeftCorner").split()]
    left, top = corner[::-1] if is_north_first(crs) else corner
    return Level(
        name=text_of(matrix, "Identifier"),
        transform=Affine(pixel, 0, left, 0, -pixel, top),
        tile_hw=(int(text_of(matrix, "TileHeight")), int(text_of(matrix, "TileWidth"))),
        tiles_rc=(int(text_of(matrix, "MatrixHeight")), int(text_of(matrix, "MatrixWidth"))),
    )


def _values(layer: Element, grid: str) -> dict[str, str]:
    """What the address of a tile names beside its place: the layer's style, its dimensions such as the time, and the grid."""
    styles = [(one.get("isDefault") == "true", text_of(one, "Identifier")) for one in layer.iterfind("Style")]
    values = {text_of(one, "Identifier"): text_of(one, "Default") for one in layer.iterfind("Dimension")}
    return values | {"Style": max(styles, default=(False, ""))[1], "TileMatrixSet": grid}


def _template(root: Element, layer: Element, picture: str, values: Mapping[str, str], address: str) -> str:
    """The address of a tile with ``{TileMatrix}``, ``{TileRow}`` and ``{TileCol}``: of the layer's resource, else a query (KVP)."""
    resources = [one for one in layer.iterfind("ResourceURL") if one.get("resourceType") == "tile"]
    for resource in sorted(resources, key=lambda one: one.get("format") != picture):
        template = resource.get("template") or ""
        for name, value in values.items():
            for spelt in (name, name.lower(), name.upper()):
                template = template.replace("{" + spelt + "}", value)
        return urljoin(address, template)
    posts = root.iterfind("OperationsMetadata/Operation[@name='GetTile']/DCP/HTTP/Get")
    base = next((href for get_ in posts if (href := get_.get("href"))), address.partition("?")[0])
    query = {
        "SERVICE": "WMTS", "REQUEST": "GetTile", "VERSION": "1.0.0", "LAYER": text_of(layer, "Identifier"), "FORMAT": picture,
        **values,
        "TileMatrix": "{TileMatrix}", "TileRow": "{TileRow}", "TileCol": "{TileCol}",
    }  # fmt: skip
    return with_query(base, query)
