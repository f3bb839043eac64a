"""Search for scenes by place, collection and time: a STAC API (1.0, item search), a static catalogue, or OpenAerialMap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import shapely
from shapely.geometry.base import BaseGeometry

from detect.base.errors import DetectError, InputError, said
from detect.base.resources import package_version
from detect.base.secrets import without_keys
from detect.scene.catalogues import Wanted, is_catalogue, walk, within_180
from detect.scene.sources import Source, source_of_item

_LISTED = 5


def search(
    url: str,
    area: BaseGeometry,
    *,
    collections: Sequence[str] = (),
    during: str | None = None,
    most: int = 10,
    asset: str | None = None,
) -> list[Source]:
    """The scenes that a search finds, oldest first.

    Args:
        url: landing page of an API, or what ``detect.scene.catalogues.walk`` takes.
        area: what the scenes must touch, in longitude and latitude.
        collections: their names; none: all.
        during: a day, a month such as ``2024-06``, or two days with ``/`` between them; None: any time.
        most: most scenes that are taken.
        asset: asset of the items to read; by default the visual one, else the only picture.

    Raises:
        InputError: the package pystac-client is missing, nothing is found, or more than ``most``.
        DetectError: the API cannot be reached or answers with an error.
    """
    place = without_keys(url)
    if is_catalogue(url):
        found = walk(url, Wanted(area, collections, during))
    else:
        found = [(item, url) for item in _asked(url, area, collections, during, most)]
    found.sort(key=lambda one: (_datetime(one[0]), str(one[0].get("id"))))
    if not found:
        raise InputError(
            f"--stac {place}: finds no scene there{f' in {during}' if during else ''}; try other --collection or --date"
        )
    if len(found) > most:
        names = ", ".join(f"{item.get('id')} ({_datetime(item)[:10]})" for item, _ in found[:_LISTED])
        raise InputError(
            f"--stac {place}: finds more than {most} scenes, such as {names}; narrow --date or --collection, or raise --max-items"
        )
    # A search names what it finds, wherever that is.
    return [source_of_item(item, here, asset, allow_remote=True) for item, here in found]


def _datetime(item: Mapping[str, Any]) -> str:
    """Also of an item that lacks what STAC requires, as a static catalogue may hold it."""
    return str((item.get("properties") or {}).get("datetime"))


def _asked(url: str, area: BaseGeometry, collections: Sequence[str], during: str | None, most: int) -> list[dict[str, Any]]:
    """Items that a STAC API finds, at most one more than ``most``."""
    try:
        from pystac_client import Client
        from pystac_client.exceptions import APIError
    except ModuleNotFoundError as cause:
        raise InputError(f"--stac {url}: needs a package; run: pip install 'detect-buildings[stac]'") from cause
    try:
        client = Client.open(url, headers={"User-Agent": f"detect-buildings/{package_version()}"})
        methods = {link.extra_fields.get("method", "GET") for link in client.get_links("search")}
        found = client.search(
            method="POST" if "POST" in methods else "GET",
            collections=list(collections) or None,
            datetime=during,
            intersects=shapely.geometry.mapping(shapely.union_all(within_180(area))),
            max_items=most + 1,
        )
        return list(found.items_as_dicts())
    except (APIError, OSError, ValueError, KeyError, NotImplementedError) as cause:  # requests' errors are OSErrors
        raise DetectError(f"--stac {without_keys(url)}: the search failed ({said(cause)[:200]})") from cause
