"""What is checked in a document of outlines (GeoJSON, KML, GML) before GDAL opens it: GDAL follows and assumes things without a word."""

from __future__ import annotations

import codecs
import json
import mmap
import re
from pathlib import Path

import pyproj

from detect.base.errors import InputError

_POINTERS = (b"<OGRVRTDataSource", b"<OGRWFSDataSource", b"WFS_Capabilities", b"gdal_streamed_alg", b"<OGCAPI", b"<GDAL_")
"""What the documents begin with by which GDAL opens other files and servers: virtual data sources, WFS, GDALG."""
_CRS = re.compile(rb'"crs"\s*:\s*\{')
"""The coordinate system of a GeoJSON document (2008), or a property of that name."""
_LINKED_CRS = re.compile(rb'"crs"\s*:\s*\{(?:[^{}]|\{[^{}]*\})*"(?:link|url)"', re.IGNORECASE)
"""One that is at an address, which GDAL would ask."""
_WIDE = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, b"{\0", b"\0{", b"<\0", b"\0<")
"""What documents in UTF-16 and UTF-32 begin with."""


def refuse_document(path: Path) -> None:
    """Refuse documents that name files or servers which nobody typed, and those that GDAL reads wrongly.

    Raises:
        InputError: it only names where its outlines are, its coordinate system is at an address or unknown, or it is not in UTF-8.
    """
    if not path.is_file():
        return
    with path.open("rb") as file:
        start = file.read(2_000)
    if start.startswith(_WIDE):
        raise InputError(f"{path}: is text in UTF-16, which GDAL does not read; save it anew as UTF-8")
    if any(word in start for word in _POINTERS):
        raise InputError(f"{path}: only names where its outlines are; give the file that holds them")
    if start.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
        _check_crs(path)


def _check_crs(path: Path) -> None:
    """Check what a JSON document says of its coordinate system."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        places = [found.start() for found in _CRS.finditer(content)]
        linked = any(_LINKED_CRS.match(content[at : at + 2_000]) for at in places)
        crs = _own_crs(content, places[0]) if places and not linked else None
    unknown = "" if crs is None else _unknown(crs)
    if linked or "://" in unknown:
        raise InputError(f"{path}: its coordinate system is at an address, which is not read; remove its key 'crs'")
    if unknown:
        raise InputError(
            f"{path}: its key 'crs' names {unknown[:60]!r}, a coordinate system that PROJ does not know (GDAL would take its outlines "
            "for degrees); correct the key, or remove it if they are degrees"
        )


def _own_crs(content: mmap.mmap, first: int) -> object:
    """What a document says of its own coordinate system; None if it says nothing or is no JSON, of which GDAL judges.

    Args:
        content: of the file.
        first: where the first key ``crs`` stands. After the features it may be a property of one, so all is parsed.
    """
    features = content.find(b'"features"')
    try:
        if features < 0 or first < features:
            start = content.find(b"{", first)
            return json.JSONDecoder().raw_decode(content[start : start + 20_000].decode("utf-8", "replace"))[0]
        document = json.loads(content[:])
    except (ValueError, RecursionError):
        return None
    return document.get("crs") if isinstance(document, dict) else None


def _unknown(crs: object) -> str:
    """What the member ``crs`` of a GeoJSON document (2008) names, if nothing is known by it; empty if it is known."""
    kind, properties = (crs.get("type"), crs.get("properties")) if isinstance(crs, dict) else (None, None)
    if not isinstance(properties, dict):
        return json.dumps(crs)
    name = (
        f"EPSG:{properties.get('code')}" if str(kind).upper() == "EPSG" else str(properties.get("name") or properties.get("urn"))
    )
    for text in (name, f"OGC:{name}"):  # GDAL knows CRS84 without its authority too
        try:
            pyproj.CRS.from_user_input(text)
        except pyproj.exceptions.CRSError:
            continue
        return ""
    return name
