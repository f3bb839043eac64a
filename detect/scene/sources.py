"""Turn names (files, URLs, patterns, lists, STAC items and collections) into scenes, and find the date and sun of each.

Date and sun come from the strongest source that gives them: an option, a STAC item, the file's name, its tags, in this order.
Software overwrites tags when it saves a file; a person chose the name and wrote the item.

STAC (SpatioTemporal Asset Catalog 1.0) is read as plain JSON: an item is a scene of one date with named assets; one is the picture.
"""

from __future__ import annotations

import glob
import itertools
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from detect.base.errors import InputError
from detect.base.files import is_companion, refuse_unreadable_name
from detect.base.secrets import without_keys
from detect.base.texts import read_text
from detect.scene.dates import given_date, item_date, named_date, tagged_date
from detect.scene.overlays import overlays
from detect.scene.reach import linked
from detect.scene.stac import items_beside
from detect.scene.sun import Sun, given_sun, item_sun, tagged_sun
from detect.scene.tiles.addresses import kind_of, name_of
from detect.scene.tiles.download import get

T = TypeVar("T")
_PICTURES = ("image/tiff", "image/jp2", "image/vrt", "image/jpeg", "image/png")
_MOST_DOCUMENTS = 10_000
_LARGEST_DOCUMENT_BYTES = 100_000_000
_NO_PICTURES = {"thumbnail", "overview", "metadata", "cloud", "data-mask", "snow-ice"}


@dataclass(frozen=True)
class Source:
    """A raster to open, and what a STAC item says about it."""

    path: str
    name: str | None = None
    """Name of the result's folder; None: the file's stem."""
    date: str | None = None
    """ISO day; None: look at items beside the file, its name and its tags."""
    sun: Sun | None = None
    """Position of the sun; None: look at items beside the file and its tags."""
    attribution: str = ""
    """Whom to credit, as a STAC item says."""
    terms: str = ""
    """Licence, as a STAC item says."""
    allow_remote: bool = False
    """Whether what lies at the path may name addresses (see ``detect.scene.reach``)."""
    of_item: bool = field(default=False, compare=False)
    """Whether a STAC item named it."""
    original: str | None = None
    """The raster of which the path holds a part, or which it places: its name and what lies beside it tell date and sun. None: the path."""


@dataclass(frozen=True)
class Known:
    """The date of a scene, and the position of the sun."""

    date: str | None
    """ISO day."""
    sun: Sun | None
    notes: tuple[str, ...]
    """One line for each value on which the sources disagree."""


def known_of(
    source: Source, dataset: Any, date: str | None = None, sun_deg: tuple[float | None, float | None] = (None, None)
) -> Known:
    """Date and sun of a scene from the strongest source that gives them; None if none does.

    Args:
        source: the scene.
        dataset: the open rasterio dataset of the scene.
        date: the option ``--date``.
        sun_deg: the options ``--sun-elevation`` and ``--sun-azimuth``.

    Raises:
        InputError: an option is not a date, or not a position in the sky.
    """
    original = source.original or source.path
    beside = list(items_beside(Path(original)))
    item_day = source.date or _first(map(item_date, beside))
    tag_day = tagged_date(dataset)
    given_day = None if date is None else given_date(date)
    day, day_note = _strongest(
        "date",
        {
            "--date": given_day,
            "STAC item": item_day,
            "file name": named_date(stem_of(original), (given_day, item_day, tag_day)),
            "tag": tag_day,
        },
        str.__eq__,
    )
    sun, sun_note = _strongest(
        "sun",
        {
            "--sun-elevation and --sun-azimuth": given_sun(*sun_deg),
            "STAC item": source.sun or _first(map(item_sun, beside)),
            "tag": tagged_sun(dataset),
        },
        Sun.is_near,
    )
    return Known(day, sun, tuple(note for note in (day_note, sun_note) if note))


def tags_of(dataset: Any) -> dict[str, str]:
    """The tags of a raster for a copy that is to tell the same date and sun: GDAL does not copy tags with a space of their own."""
    day, sun = tagged_date(dataset), tagged_sun(dataset)
    told = {} if day is None else {"ACQUISITIONDATETIME": day}
    if sun is not None:
        told |= {"SUN_ELEVATION": f"{sun.elevation_deg:g}", "SUN_AZIMUTH": f"{sun.azimuth_deg:g}"}
    left_out = {*told, *map(str.upper, ("self", "ns", "bidx"))}  # the latter are words of rasterio's ``update_tags``
    return {key: value for key, value in dataset.tags().items() if key.upper() not in left_out} | told


def stem_of(path: str) -> str:
    """The name of a file or URL as that of a folder that is seen: without folder, ending, query, leading dots and control characters."""
    plain = path.split("?")[0] if "://" in path else path
    return re.sub(r"[\x00-\x1f\x7f]+", "_", Path(plain).stem).lstrip(".") or "scene"


def _first(values: Iterable[T | None]) -> T | None:
    return next((value for value in values if value is not None), None)


def _strongest(what: str, said: Mapping[str, T | None], agree: Callable[[Any, Any], bool]) -> tuple[T | None, str]:
    """The value of the first source that gives one, and a note on those that contradict it (empty if none does)."""
    given = [(where, value) for where, value in said.items() if value is not None]
    if not given:
        return None, ""
    (strongest, taken), *weaker = given
    against = [f"{value} ({where})" for where, value in weaker if not agree(taken, value)]
    note = f"{what}: {taken} ({strongest}) was taken; {' and '.join(against)} {'contradicts' if len(against) == 1 else 'contradict'} it"
    return taken, note if against else ""


def sources(given: Sequence[str | Path], asset: str | None = None, *, allow_remote: bool = False) -> list[Source]:
    """The scenes that the given names refer to, in their order.

    Args:
        given: each a raster's file or URL, a pattern with ``*`` or ``?`` for any of these files, a ``.txt`` file of one such name per
            line, or the file or URL of a STAC item, item collection, collection or catalogue (``.json``, ``.geojson``), map tiles (see
            ``detect.scene.tiles.addresses``), or a KMZ file, whose ground overlays are scenes.
        asset: asset of STAC items to read; by default the visual one, else the only picture.
        allow_remote: follow links of documents to other hosts.

    Raises:
        InputError: a pattern without a match, an unreadable list or catalogue, no such asset, or an ambiguous one.
    """
    found = [source for name in given for source in _some(str(name), _Wanted(asset, allow_remote))]
    for source in found:
        refuse_unreadable_name(source.path)
    if asset is not None and found and not any(source.of_item for source in found):
        raise InputError(f"--asset {asset}: belongs to STAC items, and {given[0]} is none; leave it out")
    return [replace(source, allow_remote=allow_remote) for source in found]


@dataclass(frozen=True)
class _Wanted:
    """What is taken from documents."""

    asset: str | None
    allow_remote: bool


def _some(name: str, wanted: _Wanted) -> list[Source]:
    """The scenes that a name refers to, at least one."""
    if not name.strip():
        raise InputError("SCENE: is empty; name a file, a URL, a pattern or a list")
    try:
        found = list(_expanded(name, wanted))
    except OSError as cause:  # such as a name that is too long
        raise InputError(f"{name[:80]}: names what cannot be looked up ({cause.strerror or cause}); correct it") from cause
    if not found:
        raise InputError(f"{name}: names no scene; write the file or URL of a raster on each line, or give a document with items")
    return found


def distinct(named: Sequence[Source]) -> list[Source]:
    """The same scenes with names that differ: of those with one name, each gets its folder's name, or more folders, or a number before it.

    Example: ``june/scene.tif`` and ``july/scene.tif`` → ``june-scene`` and ``july-scene``.
    """
    paths_of: dict[str, list[str]] = {}
    for source in named:
        paths = paths_of.setdefault(source.name or stem_of(source.path), [])
        if source.path not in paths:
            paths.append(source.path)
    taken = {name for name, paths in paths_of.items() if len(paths) == 1}
    new_names: dict[tuple[str, str], str] = {}
    for name, paths in paths_of.items():
        if len(paths) > 1:
            chosen = next(new for new in _longer_names(name, paths) if not taken & set(new))
            taken.update(chosen)
            new_names |= {(name, path): new for path, new in zip(paths, chosen, strict=True)}
    return [
        replace(source, name=new_names.get((source.name or stem_of(source.path), source.path), source.name)) for source in named
    ]


def _longer_names(name: str, paths: Sequence[str]) -> Iterator[list[str]]:
    """Names for scenes of one name, each list without doubles: first those with the fewest folders before the name."""
    folders = [[re.sub(r"[^\w.-]+", "_", part) for part in _folders_of(path)] for path in paths]
    for depth in range(1, max(map(len, folders)) + 1):
        new = ["-".join([*parts[-depth:], name]) for parts in folders]
        if len(set(new)) == len(new):
            yield new
    for first in itertools.count(1):
        yield [f"{name}-{number}" for number in range(first, first + len(paths))]


def _folders_of(path: str) -> tuple[str, ...]:
    """Names of the folders above a file or URL, outermost first."""
    if "://" in path:
        return Path(path.split("?")[0].split("://")[1]).parent.parts
    return Path(path).absolute().parent.parts[1:]


def _expanded(name: str, wanted: _Wanted, within: tuple[Path, ...] = ()) -> Iterator[Source]:
    """The scenes that a name refers to, which stands in the lists ``within``."""
    remote = "://" in name or name.startswith("/vsi")
    if not remote and glob.has_magic(name) and not os.path.lexists(name):
        found = [path for path in sorted(glob.glob(name, recursive=True)) if not is_companion(Path(path).name)]
        if not found:
            raise InputError(f"{name}: no file fits this pattern")
        for path in found:
            yield from _expanded(path, wanted, within)
        return
    if kind_of(name) is not None:
        yield Source(name, name_of(name))
        return
    suffix = Path(name.split("?")[0] if remote else name).suffix.lower()
    if suffix in (".json", ".geojson"):
        yield from _catalogued(name, wanted)
    elif not remote and suffix == ".txt" and Path(name).is_file():
        if (this := Path(name).resolve()) in within:
            raise InputError(f"{name}: a list must not name itself, nor a list that names it; correct the lists")
        lines = [line.strip().strip("\"'") for line in read_text(name).splitlines()]
        for line in lines:
            if line and not line.startswith("#"):
                yield from _expanded(line if "://" in line else str(Path(name).parent / line), wanted, (*within, this))
    elif not remote and suffix == ".kmz" and Path(name).is_file() and len(several := overlays(Path(name))) > 1:
        yield from (Source(overlay.picture, f"{Path(name).stem}-{stem_of(overlay.picture)}") for overlay in several)
    else:
        yield Source(name)


def _catalogued(place: str, wanted: _Wanted) -> Iterator[Source]:
    """The scenes of a STAC document; collections and catalogues are followed to their items."""
    todo, known = [place], set()
    while todo:
        here = todo.pop(0)
        if here in known:
            continue
        known.add(here)
        if len(known) > _MOST_DOCUMENTS:
            raise InputError(f"{place}: leads to more than {_MOST_DOCUMENTS:,} documents; name a part of the catalogue")
        content = read_document(here)
        kind = content.get("type")
        if kind == "Feature" and "assets" in content:
            yield source_of_item(content, here, wanted.asset, allow_remote=wanted.allow_remote)
        elif kind == "FeatureCollection" and all(isinstance(f, dict) and "assets" in f for f in _list(content, "features", here)):
            for item in content["features"]:
                yield source_of_item(item, here, wanted.asset, allow_remote=wanted.allow_remote)
            if "links" in content:  # the next page of a long answer
                todo += _links(content, ("next",), here, wanted)
        elif "links" in content:
            todo += _links(content, ("item", "items", "child"), here, wanted)
        else:
            raise InputError(f"{here}: is not a STAC item, item collection or collection; give one, or a raster")


def _links(content: Mapping[str, Any], relations: tuple[str, ...], here: str, wanted: _Wanted) -> list[str]:
    """Where the links of these relations lead."""
    links = _list(content, "links", here)
    for link in links:
        if not isinstance(link, dict) or not isinstance(link.get("href"), str):
            raise InputError(f"{here}: links holds {str(link)[:80]!r}, not an object with an href; correct the document")
    return [linked(here, link["href"], allow_remote=wanted.allow_remote) for link in links if link.get("rel") in relations]


def _list(content: Mapping[str, Any], key: str, here: str) -> list[Any]:
    value = content.get(key)
    if not isinstance(value, list):
        raise InputError(f"{here}: {key} is {type(value).__name__}, not a list; give a STAC document")
    return value


def source_of_item(item: dict[str, Any], here: str, asset: str | None, *, allow_remote: bool = False) -> Source:
    """The scene of a STAC item that was found at ``here``; an InputError if it has no such asset, no single picture, or one elsewhere."""
    name = re.sub(r"[^\w.-]+", "_", str(item.get("id", "item"))).strip(".") or "item"
    said = item.get("properties") or {}
    providers = said.get("providers")
    named = providers if isinstance(providers, list) else []
    credit = ", ".join(str(one["name"]) for one in named if isinstance(one, dict) and one.get("name"))
    picture = linked(here, _chosen(item, here, asset)["href"], allow_remote=allow_remote)
    return Source(picture, name, item_date(item), item_sun(item), credit, str(said.get("license") or ""), of_item=True)


def _chosen(item: dict[str, Any], here: str, asset: str | None) -> dict[str, Any]:
    """The asset to read."""
    assets = item["assets"]
    if not isinstance(assets, dict):
        raise InputError(f"{here}: item {item.get('id')}: assets is {type(assets).__name__}, not an object; give a STAC item")
    for key, a in assets.items():
        if not isinstance(a, dict) or not isinstance(a.get("href"), str) or not isinstance(a.get("roles") or [], list):
            raise InputError(
                f"{here}: item {item.get('id')}: asset {key} is not an object with an href and a list of roles; correct it"
            )
    names = ", ".join(assets) or "none"
    if asset is not None:
        if asset not in assets:
            raise InputError(f"{here}: item {item.get('id')} has no asset '{asset}'; it has {names}")
        return assets[asset]
    pictures = {
        key: a
        for key, a in assets.items()
        if str(a.get("type", "image/tiff")).startswith(_PICTURES) and not _NO_PICTURES & _roles(a)
    }
    visual = [a for key, a in pictures.items() if key == "visual" or "visual" in _roles(a)]
    data = [a for a in pictures.values() if "data" in _roles(a)]
    for candidates in (visual, data, list(pictures.values())):
        if len(candidates) == 1:
            return candidates[0]
    raise InputError(f"{here}: item {item.get('id')} has {len(pictures)} pictures; name one with --asset, of: {names}")


def _roles(asset: Mapping[str, Any]) -> set[str]:
    return set(map(str, asset.get("roles") or []))


def read_document(place: str) -> dict[str, Any]:
    """A STAC document, from a file or an http address; an InputError if there is none."""
    try:
        if place.startswith(("http://", "https://")):
            text = get(place, most_bytes=_LARGEST_DOCUMENT_BYTES)
            if text is None:
                raise InputError(f"{without_keys(place)}: no such document on the server; correct the address")
            content = json.loads(text)
        else:
            content = json.loads(read_text(place))
    except (OSError, ValueError, RecursionError) as cause:
        raise InputError(f"{without_keys(place)}: cannot be read as a STAC document ({cause})") from cause
    if not isinstance(content, dict):
        raise InputError(f"{without_keys(place)}: is not a STAC document")
    return content
