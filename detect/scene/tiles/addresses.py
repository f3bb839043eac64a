"""Recognise what names map tiles, and open it: XYZ and TMS addresses, names of xyzservices, WMTS and WMS, archives of tiles."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from detect.base.errors import InputError
from detect.base.secrets import without_keys
from detect.scene.tiles.download import get
from detect.scene.tiles.pyramid import Pyramid, plain_text, web_mercator_levels

Kind = Literal["xyz", "wmts", "wms", "mbtiles", "pmtiles", "named"]
HIGHEST_ZOOM = 22
"""Of an address that states none: 0.04 m at the equator."""
_NAMED = re.compile(r"[A-Za-z]\w*(\.\w+)+")
_CAPITALS = re.compile(r"[A-Z]\w*(\.[A-Z]\w*)+")
_PLACE = re.compile(r"\{(-?[a-z]+)(?::([^}]*))?\}", re.IGNORECASE)


def kind_of(place: str) -> Kind | None:
    """What kind of tiles a scene's name stands for; None for anything else, such as a file of an image.

    Raises:
        InputError: a name like those of xyzservices, which is not installed.
    """
    low = place.lower()
    if low.startswith(("http://", "https://")):
        path, query = urlsplit(low).path, urlsplit(low).query
        if {"x", "y", "z"} <= _placeholders(low) or "q" in _placeholders(low):
            return "xyz"
        if "service=wmts" in query or path.endswith("wmtscapabilities.xml"):
            return "wmts"
        if "service=wms" in query:
            return "wms"
        return "pmtiles" if path.endswith(".pmtiles") else None
    for ending in ("mbtiles", "pmtiles"):
        if low.endswith(f".{ending}"):
            return ending
    return "named" if _NAMED.fullmatch(place) and not Path(place).exists() and _is_provider(place) else None


def name_of(place: str) -> str:
    """A name for the result of tiles: the file's, that of xyzservices, or the server's."""
    kind = kind_of(place)
    if kind == "named":
        return place
    if kind in ("mbtiles", "pmtiles"):
        return Path(urlsplit(place).path if "://" in place else place).stem
    return re.sub(r"\{[^}]*\}\.?|[^\w.-]+", "", urlsplit(place).hostname or "tiles").strip(".") or "tiles"


def open_pyramid(place: str, layer: str | None = None) -> Pyramid:
    """The tiles that a scene's name stands for.

    Args:
        place: one for which ``kind_of`` is not None.
        layer: layer of a WMTS or WMS; needed where there are several.

    Raises:
        InputError: nothing that can be used is there.
        DetectError: a server could not be reached.
    """
    from detect.scene.tiles.archives import open_mbtiles, open_pmtiles
    from detect.scene.tiles.wms import open_wms
    from detect.scene.tiles.wmts import open_wmts

    kind = kind_of(place)
    assert kind is not None, "the caller has asked kind_of"
    if kind in ("wmts", "wms"):
        return (open_wmts if kind == "wmts" else open_wms)(place, layer)
    if layer is not None:
        raise InputError(f"--layer {layer}: {without_keys(place)} has no layers; leave --layer out")
    by_kind: dict[str, Callable[[str], Pyramid]] = {
        "xyz": open_xyz,
        "named": _open_named,
        "mbtiles": open_mbtiles,
        "pmtiles": open_pmtiles,
    }
    return by_kind[kind](place)


def open_xyz(template: str, *, highest: int = HIGHEST_ZOOM, attribution: str = "") -> Pyramid:
    """Tiles behind an address with ``{z}``, ``{x}`` and ``{y}`` (``{-y}``: rows from below, TMS; ``{q}``: quadkey).

    ``{s}`` becomes a, ``{switch:a,b}`` its first value, ``{r}`` nothing.

    Raises:
        InputError: another placeholder, such as one for a key.
    """
    unknown = _placeholders(template) - {"x", "y", "-y", "z", "zoom", "q", "s", "r", "switch"}
    if unknown:
        raise InputError(f"{without_keys(template)}: {{{sorted(unknown)[0]}}} must be replaced by a value, such as your key")
    return Pyramid(
        address=without_keys(template),
        levels=web_mercator_levels(0, highest),
        read=lambda level, column, row: get(xyz_address(template, int(level.name), column, row)),
        attribution=attribution or _known_attribution(template),
    )


def xyz_address(template: str, zoom: int, column: int, row: int) -> str:
    """The address of one tile."""

    def value(found: re.Match[str]) -> str:
        name, choices = found[1].lower(), found[2] or ""
        quad = "".join(str((column >> bit & 1) + 2 * (row >> bit & 1)) for bit in range(zoom - 1, -1, -1))
        known = {"x": column, "y": row, "-y": 2**zoom - 1 - row, "z": zoom, "zoom": zoom, "q": quad, "s": "a", "r": ""}
        return choices.split(",")[0] if name == "switch" else str(known[name])

    return _PLACE.sub(value, template)


def _placeholders(template: str) -> set[str]:
    found = {name.lower() for name, _ in _PLACE.findall(template)}
    return found | ({"y"} if "-y" in found else set()) | ({"z"} if "zoom" in found else set())


def _is_provider(name: str) -> bool:
    try:
        import xyzservices
    except ModuleNotFoundError as cause:
        if not _CAPITALS.fullmatch(name):
            return False
        hint = "if it names a provider of map tiles, run: pip install 'detect-buildings[tiles]'"
        raise InputError(f"{name}: no such file; {hint}") from cause
    try:
        return bool(xyzservices.providers.query_name(name))
    except ValueError:
        return False


def _open_named(name: str) -> Pyramid:
    import xyzservices

    provider = xyzservices.providers.query_name(name)
    if provider.requires_token():
        raise InputError(f"{name}: needs a key of its provider; give the address with your key instead: {provider.url}")
    template = provider.build_url(x="{x}", y="{y}", z="{z}")
    return open_xyz(
        template, highest=int(provider.get("max_zoom", HIGHEST_ZOOM)), attribution=plain_text(provider.get("attribution", ""))
    )


def _known_attribution(template: str) -> str:
    """The credit of a provider of xyzservices with the same server and path; empty if there is none, or no xyzservices."""
    try:
        import xyzservices
    except ModuleNotFoundError:
        return ""
    ours = template.partition("{")[0].partition("?")[0]
    for provider in xyzservices.providers.flatten().values():
        theirs = re.sub(r"\{variant\}", str(provider.get("variant", "")), str(provider.get("url", ""))).partition("{")[0]
        if len(urlsplit(theirs).path) > 1 and ours.startswith(theirs):
            return plain_text(provider.get("attribution", ""))
    return ""
