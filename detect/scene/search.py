"""Search a STAC API for scenes (STAC API 1.0, item search), by place, collection and time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import shapely
from shapely.geometry.base import BaseGeometry

from detect.base.errors import DetectError, InputError, said
from detect.base.resources import package_version
from detect.base.secrets import without_keys
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
    """The scenes that a STAC API finds, oldest first.

    Args:
        url: landing page of the API.
        area: what the scenes must touch, in longitude and latitude.
        collections: their names; none: all.
        during: a day, a month such as ``2024-06``, or two days with ``/`` between them; None: any time.
        most: most scenes that are taken.
        asset: asset of the items to read; by default the visual one, else the only picture.

    Raises:
        InputError: the package pystac-client is missing, nothing is found, or more than ``most``.
        DetectError: the API cannot be reached or answers with an error.
    """
    try:
        from pystac_client import Client
        from pystac_client.exceptions import APIError
    except ModuleNotFoundError as cause:
        raise InputError(f"--stac {url}: needs a package; run: pip install 'detect-buildings[stac]'") from cause
    place = without_keys(url)
    try:
        client = Client.open(url, headers={"User-Agent": f"detect-buildings/{package_version()}"})
        methods = {link.extra_fields.get("method", "GET") for link in client.get_links("search")}
        found = client.search(
            method="POST" if "POST" in methods else "GET",
            collections=list(collections) or None,
            datetime=during,
            intersects=shapely.geometry.mapping(area),
            max_items=most + 1,
        )
        items: list[dict[str, Any]] = list(found.items_as_dicts())
    except (APIError, OSError, ValueError, KeyError, NotImplementedError) as cause:  # requests' errors are OSErrors
        raise DetectError(f"--stac {place}: the search failed ({said(cause)[:200]})") from cause
    items.sort(key=lambda item: (str(item["properties"].get("datetime")), str(item["id"])))
    if not items:
        raise InputError(
            f"--stac {place}: finds no scene there{f' in {during}' if during else ''}; try other --collection or --date"
        )
    if len(items) > most:
        names = ", ".join(f"{item['id']} ({str(item['properties'].get('datetime'))[:10]})" for item in items[:_LISTED])
        raise InputError(
            f"--stac {place}: finds more than {most} scenes, such as {names}; narrow --date or --collection, or raise --max-items"
        )
    return [
        source_of_item(item, url, asset, allow_remote=True) for item in items
    ]  # a search names what it finds, wherever that is
