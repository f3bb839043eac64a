"""Search catalogues that have no search of their own: static STAC catalogues (Maxar Open Data and the like), and OpenAerialMap's list.

A static catalogue is a tree of JSON documents. Branches whose extent lies elsewhere, or at another time, are not read. STAC is read as
plain JSON here as in ``detect.scene.sources``: pystac would add its own requests, without our name and pauses.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

import numpy as np
import shapely
from shapely.affinity import translate
from shapely.geometry.base import BaseGeometry

from detect.base.errors import InputError
from detect.base.geometry import unwrapped
from detect.base.secrets import without_keys
from detect.scene.dates import item_date
from detect.scene.reach import linked
from detect.scene.sources import read_document

MOST_DOCUMENTS = 3000
"""A catalogue of which more documents lie at the place and time is refused."""
MOST_IMAGES = 5000
"""A place of which OpenAerialMap lists more images is refused."""
_AT_A_TIME = 4
_TURNS = (-360.0, 0.0, 360.0)


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
        return self.meets(shapely.box(west, south, east if west <= east else east + 360, north))

    def meets(self, shape: BaseGeometry) -> bool:
        """Whether a shape in longitude and latitude meets the wanted area, of which each may continue beyond 180°."""
        return any(self.area.intersects(translate(shape, turn)) for turn in _TURNS)


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
                items = _items(document, content)
                wanted_ones = [item for item in items if _is_of(item, document, wanted) and _fits(item, wanted)]
                found += [(_signed(item, document.place, place), document.place) for item in wanted_ones]
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


def _items(document: _Document, content: dict[str, Any]) -> list[dict[str, Any]]:
    """The items that a document holds: it is one, or a page of them, to which ``items`` links; none for a catalogue or collection."""
    is_page = content.get("type") == "FeatureCollection"
    items = content.get("features") if is_page else [content] if _is_item(content) else []
    if not isinstance(items, list) or not all(isinstance(item, dict) and "assets" in item for item in items):
        raise InputError(f"{without_keys(document.place)}: holds features that are no STAC items; give a STAC document")
    for item in items:
        if not isinstance(item.get("properties") or {}, dict):
            raise InputError(
                f"{without_keys(document.place)}: item {item.get('id')}: properties is no object; correct the document"
            )
    return items


def _is_item(content: Mapping[str, Any]) -> bool:
    return content.get("type") == "Feature" and "assets" in content


def _is_of(item: Mapping[str, Any], document: _Document, wanted: Wanted) -> bool:
    return document.in_collection or item.get("collection") in wanted.collections


def _below(document: _Document, content: Mapping[str, Any], wanted: Wanted, root: str) -> Iterator[_Document]:
    """The documents that a catalogue, collection or page of items links to; none for an item, or if it lies elsewhere."""
    if _is_item(content):
        return
    is_page = content.get("type") == "FeatureCollection"
    links = content.get("links", [] if is_page else None)
    if not isinstance(links, list):
        raise InputError(f"{without_keys(document.place)}: is not a STAC item, collection or catalogue")
    extent = content.get("extent") or {}
    boxes = (extent.get("spatial") or {}).get("bbox") or []
    times = (extent.get("temporal") or {}).get("interval") or []
    if boxes and not any(map(wanted.is_there, boxes)):
        return
    if times and not any(wanted.is_in_time(*map(_day, time)) for time in times if isinstance(time, list) and len(time) == 2):
        return
    inside = document.in_collection or content.get("id") in wanted.collections
    relations = ("next",) if is_page else ("child", "item", "items")
    for link in links:
        if isinstance(link, dict) and link.get("rel") in relations and isinstance(link.get("href"), str):
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
    return wanted.meets(unwrapped(np.array([outline], dtype=object))[0])


def _day(value: Any) -> str | None:
    return str(value)[:10] if value else None


def _open_aerial_map(place: str, wanted: Wanted) -> Iterator[dict[str, Any]]:
    """Images of OpenAerialMap (https://api.openaerialmap.org/meta) as STAC items."""
    boxes = [part.bounds for part in within_180(wanted.area)]
    listed = [one for box in boxes for one in _listed(place, box) if isinstance(one, dict) and isinstance(one.get("uuid"), str)]
    for one in {one["uuid"]: one for one in listed}.values():
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


def _listed(place: str, box: Sequence[float]) -> Iterator[Any]:
    """What OpenAerialMap lists in a box, page by page.

    Pages of a list by ids, which differ, do not overlap.
    Its ``acquisition_from`` and ``acquisition_to`` are not asked for: they leave out images whose time only overlaps the wanted one.
    """
    query = {"bbox": ",".join(f"{value:.6f}" for value in box), "limit": "200", "order_by": "_id", "sort": "asc"}
    seen = 0
    for page in itertools.count(1):
        asked = urlencode({**query, "page": str(page)})
        content = read_document(f"{place}{'&' if urlsplit(place).query else '?'}{asked}")
        results, about = content.get("results"), content.get("meta")
        if not isinstance(results, list):
            raise InputError(f"{without_keys(place)}: is not a list of OpenAerialMap: it has no results")
        yield from results
        seen += len(results)
        in_all = about.get("found") if isinstance(about, dict) else None
        if not results or not isinstance(in_all, int) or seen >= in_all:
            return
        if in_all > MOST_IMAGES:
            raise InputError(
                f"--stac {without_keys(place)}: lists {in_all:,} images there, and at most {MOST_IMAGES:,} are looked at; "
                "give a smaller area"
            )


def within_180(area: BaseGeometry) -> list[BaseGeometry]:
    """An area in longitude and latitude as parts between -180° and 180°: several where it lies across (RFC 7946, 3.1.9)."""
    west, _, east, _ = area.bounds
    if -180 <= west and east <= 180:
        return [area]
    parts = (shapely.intersection(translate(area, turn), shapely.box(-180, -90, 180, 90)) for turn in _TURNS)
    return [part for part in parts if part.area > 0]


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
