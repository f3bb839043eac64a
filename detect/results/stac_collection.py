"""collection.json: many results as a STAC 1.1 Collection, which links to the item of each and to the files of all together."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from detect.results.collected import Piece, outline_box

ASSETS: Mapping[str, tuple[str, str, str]] = {
    "buildings": ("buildings.parquet", "application/vnd.apache.parquet", "all buildings, GeoParquet 1.1"),
    "buildings-flatgeobuf": ("buildings.fgb", "application/vnd.flatgeobuf", "all buildings, FlatGeobuf"),
    "buildings-pmtiles": ("buildings.pmtiles", "application/vnd.pmtiles", "all buildings as vector tiles"),
    "map": ("map.html", "text/html", "a map of all buildings in one page"),
    "items": ("items.parquet", "application/vnd.apache.parquet", "the STAC items as one table, stac-geoparquet 1.0"),
    "scenes": ("scenes.csv", "text/csv", "counts of each scene"),
}
_ROLES = {"map": "overview", "items": "stac-items"}


def write_collection(path: Path, pieces: Sequence[Piece], *, name: str, place: Path) -> None:
    """Write the collection.

    Args:
        path: the file to write, after all other files of the collection.
        pieces: the results.
        name: id of the collection.
        place: folder in which the file will lie in the end; links are relative to it.
    """
    days = sorted(piece.date for piece in pieces if piece.date is not None)
    # STAC wants a beginning or an end: without any day, an interval that leaves all of them open.
    interval = [f"{days[0]}T00:00:00Z", f"{days[-1]}T23:59:59Z"] if days else ["1900-01-01T00:00:00Z", None]
    content: dict[str, Any] = {
        "type": "Collection",
        "stac_version": "1.1.0",
        "id": name,
        "title": f"Buildings in {len(pieces)} scene{'' if len(pieces) == 1 else 's'}",
        "description": "Buildings and their construction stages, found by detect. Each item is the result of one scene.",
        "license": "other",
        "extent": {"spatial": {"bbox": [list(outline_box(pieces))]}, "temporal": {"interval": [interval]}},
        "providers": [{"name": credit, "roles": ["producer"]} for credit in credits_of(pieces)],
        "summaries": {"gsd": sorted({round(piece.summary["run"]["work_gsd_m"], 3) for piece in pieces})},
        "links": [
            {"rel": "root", "href": "./collection.json", "type": "application/json"},
            *(
                {
                    "rel": "item",
                    "href": relative(piece.folder / "item.json", place),
                    "type": "application/geo+json",
                    "title": piece.name,
                }
                for piece in pieces
                if (piece.folder / "item.json").is_file()
            ),
        ],
        "assets": {
            key: {"href": f"./{file}", "type": media_type, "title": title, "roles": [_ROLES.get(key, "data")]}
            for key, (file, media_type, title) in ASSETS.items()
            if (path.parent / file).is_file()
        },
    }
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def relative(file: Path, place: Path) -> str:
    """A file as a link from a folder: a relative reference, in which ``#``, ``?`` and ``%`` of names are escaped (RFC 3986)."""
    return quote(Path(os.path.relpath(file.resolve(), place.resolve())).as_posix())


def credits_of(pieces: Sequence[Piece]) -> list[str]:
    """Who made the pictures, as far as the results say."""
    credits = {(piece.summary["scene"].get("provenance") or {}).get("attribution") for piece in pieces}
    return sorted(filter(None, credits))
