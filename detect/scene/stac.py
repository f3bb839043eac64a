"""STAC items (SpatioTemporal Asset Catalog 1.0) beside a scene, read as plain JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from detect.base.errors import InputError
from detect.base.texts import read_text

_LARGEST_ITEM_BYTES = 5_000_000


def items_beside(path: Path) -> Iterator[dict[str, Any]]:
    """STAC items that describe a file.

    These are ``scene.json``, ``scene.tif.json`` or ``scene.stac.json`` beside ``scene.tif``; or ``item.json``, ``stac.json`` or
    ``<folder>.json`` beside it, if one of its assets names the file.
    """
    if not path.is_file():
        return
    for item, own in _items(path):
        hrefs = (a.get("href") for a in item["assets"].values() if isinstance(a, Mapping))
        if own or any(isinstance(h, str) and Path(h.split("?")[0]).name == path.name for h in hrefs):
            yield item


def _items(path: Path) -> Iterator[tuple[dict[str, Any], bool]]:
    """STAC items beside a file, and whether each has a name of that file; those come first."""
    own = [path.with_suffix(".json"), path.with_name(path.name + ".json"), path.with_suffix(".stac.json")]
    shared = [path.with_name("item.json"), path.with_name("stac.json"), path.with_name(f"{path.parent.name}.json")]
    for candidate in [*own, *shared]:
        if not candidate.is_file() or candidate.stat().st_size > _LARGEST_ITEM_BYTES:
            continue
        try:
            item = json.loads(read_text(candidate))
        except (InputError, ValueError, RecursionError):
            continue
        if isinstance(item, dict) and "stac_version" in item and isinstance(item.get("assets"), Mapping):
            yield item, candidate in own
