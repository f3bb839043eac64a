"""Search catalogues that have no search of their own: static STAC catalogues (Maxar Open Data and the like), and OpenAerialMap's list.

A static catalogue is a tree of JSON documents. Branches whose extent lies elsewhere, or at another time, are not read. STAC is read as
plain JSON here as in ``detect.scene.sources``: pystac would add its own requests, without our name and pauses.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

import shapely
from shapely.geometry.base import BaseGeometry

from detect.base.errors import InputError
from detect.base.secrets import without_keys
from detect.scene.dates import item_date
from detect.scene.reach import linked
from detect.scene.sources import read_document

MOST_DOCUMENTS = 3000
"""A catalogue of which more documents lie at the place and time is refused."""
_AT_A_TIME = 4


@dataclass(frozen=True)
class Wanted:
    """What is searched for."""

    area: BaseGeometry
    """In longitude and latitude."""
    collections: Sequence[str] = ()
    """Ids of collections, of which an item must be in one at any depth; none: all."""
    during: str | None = None
    """A day, a month such as ``2024-06``, or two of them with ``/`` between; None: any time."""

    def is_in_time(self, first: str | None, last: str | None) -> bool:
        """Whether the time between two ISO days (None: open) meets the wanted one."""
        if self.during is None:
            return True
        begin, _, end = self.during.partition("/")
        end = end or begin
        return (not last or last[: len(begin)] >= begin) and (not first or first[: len(end)] <= end)

    def is_there(self, box: Any) -> bool:
        """Whether a box W, S, E, N meets the wanted area; a box of three dimensions too, and one that cannot be read."""
        if not isinstance(box, list) or len(box) not in (4, 6) or not all(isinstance(v, int | float) for v in box):
            return True
        west, south, east, north = (*box[:2], *box[len(box) // 2 :][:2])
        boxes = [(west, east)] if west <= east else [(west, 180.0), (-180.0, east)]
        return any(self.area.intersects(shapely.box(left, south, right, north)) for left, right in boxes)


@dataclass(frozen=True)
class _Document:
    place: str
    in_collection: bool
    """Whether a collection that is wanted holds it."""


def is_catalogue(place: str) -> bool:
    """Whether a name is that of a document or a list, not of a STAC API."""
    path = urlsplit(place).path if "://" in place else place
    return path.endswith((".json", "/meta", "/meta/"))


def walk(place: str, wanted: Wanted) -> list[tuple[dict[str, Any], str]]:
    """Items that fit, each with the address of its document.

    Args:
        place: file or URL of a static catalogue or collection, or of OpenAerialMap's ``/meta``. What follows ``?`` in it, such as a
            signature, is given to the other documents and files of that server too.
        wanted: what to look for.

    Raises:
        InputError: not a catalogue, or too many documents.
        DetectError: a server cannot be reached.
    """
    if re.search(r"/meta/?$", urlsplit(place).path) and "://" in place:
        return [(item, place) for item in _open_aerial_map(place, wanted)]
    found: list[tuple[dict[str, Any], str]] = []
    todo, known = [_Document(place, not wanted.collections)], {place}
    with ThreadPoolExecutor(_AT_A_TIME) as pool:
        while todo:
            contents = list(pool.map(lambda one: read_document(one.place), todo))
            below: dict[str, _Document] = {}
            for document, content in zip(todo, contents, strict=True):
                if content.get("type") == "Feature" and "assets" in content:
                    if document.in_collection and _fits(content, wanted):
                        found.append((_signed(content, document.place, place), document.place))
                else:
                    for one in _below(document, content, wanted, place):
                        # Two branches may lead to it, of which one is of a collection that is wanted.
                        if one.place not in known and (one.in_collection or one.place not in below):
                            below[one.place] = one
            known.update(below)
            if len(known) > MOST_DOCUMENTS:
                raise InputError(
                    f"--stac {without_keys(place)}: more than {MOST_DOCUMENTS} of its documents lie at this place and time; give the "
                    "document of a part of it, or narrow --date or --collection"
                )
            todo = list(below.values())
    return found


def _below(document: _Document, content: Mapping[str, Any], wanted: Wanted, root: str) -> Iterator[_Document]:
    """The documents that a catalogue or collection links to; none if it lies elsewhere."""
    if not isinstance(content.get("links"), list):
        raise InputError(f"{without_keys(document.place)}: is not a STAC item, collection or catalogue")
    extent = content.get("extent") or {}
    boxes = (extent.get("spatial") or {}).get("bbox") or []
    times = (extent.get("temporal") or {}).get("interval") or []
    if boxes and not any(map(wanted.is_there, boxes)):
        return
    if times and not any(wanted.is_in_time(*map(_day, time)) for time in times if isinstance(time, list) and len(time) == 2):
        return
    inside = document.in_collection or content.get("id") in wanted.collections
    for link in content["links"]:
        if isinstance(link, dict) and link.get("rel") in ("child", "item", "items") and isinstance(link.get("href"), str):
            yield _Document(_with_query(linked(document.place, link["href"], allow_remote=True), root), inside)


def _fits(item: Mapping[str, Any], wanted: Wanted) -> bool:
    properties = item.get("properties") or {}
    first, last = (properties.get(name) or properties.get("datetime") for name in ("start_datetime", "end_datetime"))
    if not wanted.is_in_time(_day(first), _day(last)) or not wanted.is_there(item.get("bbox")):
        return False
    if item.get("geometry") is None:
        return True
    try:
        outline = shapely.make_valid(shapely.geometry.shape(item["geometry"]))
    except (ValueError, TypeError, KeyError, AttributeError, shapely.errors.ShapelyError):
        return True  # its box fits
    return bool(outline.intersects(wanted.area))


def _day(value: Any) -> str | None:
    return str(value)[:10] if value else None


def _open_aerial_map(place: str, wanted: Wanted) -> Iterator[dict[str, Any]]:
    """Images of OpenAerialMap (https://api.openaerialmap.org/meta) as STAC items."""
    bounds = ",".join(f"{value:.6f}" for value in wanted.area.bounds)
    query = {"bbox": bounds, "limit": "200", "order_by": "acquisition_end", "sort": "asc"}
    content = read_document(f"{place}{'&' if urlsplit(place).query else '?'}{urlencode(query)}")
    results = content.get("results")
    if not isinstance(results, list):
        raise InputError(f"{without_keys(place)}: is not a list of OpenAerialMap: it has no results")
    for one in results:
        if not isinstance(one, dict) or not isinstance(one.get("uuid"), str):
            continue
        about = one.get("properties") if isinstance(one.get("properties"), dict) else {}
        item = {
            "type": "Feature",
            "id": f"{one.get('title') or 'image'}_{str(one.get('_id', ''))[-6:]}".strip("_"),
            "bbox": one.get("bbox"),
            "geometry": one.get("geojson"),
            "properties": {
                "datetime": one.get("acquisition_end"),
                "start_datetime": one.get("acquisition_start"),
                "license": (about or {}).get("license") or "",
                "providers": [{"name": str(one["provider"])}] if one.get("provider") else [],
            },
            "assets": {"visual": {"href": one["uuid"], "type": "image/tiff"}},
        }
        if _fits(item, wanted) and item_date(item) is not None:
            yield item


def _signed(item: dict[str, Any], here: str, root: str) -> dict[str, Any]:
    """An item whose files on the catalogue's server have its signature."""
    assets = item.get("assets")
    if not urlsplit(root).query or not isinstance(assets, dict):
        return item
    signed = {
        key: {**asset, "href": _with_query(linked(here, asset["href"], allow_remote=True), root)}
        for key, asset in assets.items()
        if isinstance(asset, dict) and isinstance(asset.get("href"), str)
    }
    return {**item, "assets": assets | signed}


def _with_query(address: str, root: str) -> str:
    """An address with what follows ``?`` in that of the catalogue, if it is on the same server and has nothing of its own."""
    one, other = urlsplit(address), urlsplit(root)
    return f"{address}?{other.query}" if other.query and one.netloc == other.netloc and not one.query else address
