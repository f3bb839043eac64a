"""What WMTS and WMS share: the capabilities document of an OGC service."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit
from xml.etree import ElementTree

import pyproj

from detect.base.errors import InputError
from detect.base.secrets import without_keys
from detect.scene.tiles.download import get

Element = ElementTree.Element
_T = TypeVar("_T")
PICTURES = ("image/jpeg", "image/jpg", "image/png", "image/webp", "image/png8", "image/vnd.jpeg-png")
"""Formats that are read, best for photographs first."""


def read_capabilities(address: str) -> Element:
    """The root of a capabilities document, its names without namespaces.

    Raises:
        InputError: there is none.
    """
    body = get(address)
    try:
        root = ElementTree.fromstring(body or b"")
    except ElementTree.ParseError as cause:
        raise InputError(f"{without_keys(address)}: is not a capabilities document ({cause})") from cause
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        for name in list(element.attrib):
            element.set(name.rpartition("}")[2], element.attrib.pop(name))
    return root


def text_of(element: Element, path: str) -> str:
    """Text of the first element at a path; empty if there is none."""
    return " ".join((element.findtext(path) or "").split())


def with_query(address: str, values: Mapping[str, object]) -> str:
    """An address with some parameters of its query set; their names are compared without regard to case."""
    parts = urlsplit(address)
    names = {name.lower() for name in values}
    kept = [(name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True) if name.lower() not in names]
    return urlunsplit(parts._replace(query=urlencode([*kept, *values.items()], safe=":,/{}")))


def chosen(layers: Mapping[str, _T], layer: str | None, address: str) -> _T:
    """The layer of a name, or the only one.

    Raises:
        InputError: no such layer, or several and no name.
    """
    names = list(layers)
    listed = ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
    if layer is not None and layer not in layers:
        raise InputError(f"{without_keys(address)}: has no layer '{layer}'; it has {listed or 'none'}")
    if layer is None and len(names) != 1:
        raise InputError(f"{without_keys(address)}: has {len(names)} layers; name one with --layer, of: {listed or 'none'}")
    return layers[layer or names[0]]


def picture_format(formats: Sequence[str], address: str) -> str:
    """The format to ask for.

    Raises:
        InputError: the layer has no format that is read.
    """
    for wanted in PICTURES:
        if wanted in formats:
            return wanted
    raise InputError(f"{without_keys(address)}: gives {', '.join(formats) or 'no format'}; JPEG, PNG or WebP is needed")


def crs_of(name: str) -> pyproj.CRS | None:
    """A coordinate system by its code or URN; None if it is unknown or has no place on Earth."""
    try:
        return pyproj.CRS.from_user_input("EPSG:3857" if name.rpartition(":")[2] == "900913" else name)
    except pyproj.exceptions.CRSError:
        return None


def is_north_first(crs: pyproj.CRS) -> bool:
    """Whether the first axis of a coordinate system points north, as latitude does."""
    return bool(crs.axis_info) and crs.axis_info[0].direction.lower() in ("north", "south")


def terms_of(root: Element, service: str) -> tuple[str, str]:
    """Who provides a service, and under which conditions, as its capabilities say.

    Args:
        root: of the document.
        service: path of its description, ``ServiceIdentification`` or ``Service``.
    """
    constraints = {text_of(root, f"{service}/{name}") for name in ("AccessConstraints", "Fees")}
    said = sorted(text for text in constraints if text and text.lower() not in ("none", "no conditions apply"))
    who = (text_of(root, path) for path in ("ServiceProvider/ProviderName", f"{service}/ContactInformation//ContactOrganization"))
    return next(filter(None, who), text_of(root, f"{service}/Title")), "; ".join(said)
