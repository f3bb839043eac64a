"""items.parquet: the STAC items of a collection as one table (stac-geoparquet 1.0), which answers searches without an API.

Written with pyarrow, which is here anyway, instead of the package stac-geoparquet: a table of some hundred rows needs no more than this.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from detect.results.collected import Piece
from detect.results.stac_collection import relative

_TIMES = ("datetime", "start_datetime", "end_datetime", "created", "updated")
VERSION = "1.1.0"
"""Of the STAC items."""


def write_items(path: Path, pieces: Sequence[Piece], *, name: str, place: Path) -> None:
    """Write the table; a result without ``item.json`` has no row.

    Columns are those of an item, and its properties beside them: ``id`` (the name in the collection, which no two have), ``geometry``,
    ``bbox`` (struct), ``datetime`` (UTC), ``links``, ``assets`` (struct), ``collection`` …

    Args:
        path: the file to write.
        pieces: the results.
        name: id of the collection.
        place: folder in which the file will lie in the end; addresses of assets are relative to it.
    """
    import pyarrow.parquet as pq

    files = [piece.folder / "item.json" for piece in pieces]
    rows = [
        _row(json.loads(file.read_text(encoding="utf-8")) | {"id": piece.name}, file, name, place)
        for piece, file in zip(pieces, files, strict=True)
        if file.is_file()
    ]
    shapes = [row.pop("geometry") for row in rows]
    names = list(dict.fromkeys([*(key for row in rows for key in row), "datetime"]))  # STAC wants it of unknown days too
    table = pd.DataFrame({key: pd.Series([row.get(key) for row in rows], dtype=object) for key in names})
    for key in _TIMES:
        if key in table:
            table[key] = pd.to_datetime(table[key], utc=True, format="ISO8601")
    for key in names:
        if not _fits_arrow(table[key]):
            table[key] = [None if value is None else json.dumps(value) for value in table[key]]
    items = gpd.GeoDataFrame(table, geometry=gpd.GeoSeries(np.array([*shapes, None], dtype=object)[:-1], crs=4326), crs=4326)
    items.to_parquet(path, index=False, schema_version="1.1.0", compression="zstd", write_covering_bbox=False)
    stored = pq.read_table(path)
    metadata = dict(stored.schema.metadata or {})
    geo = json.loads(metadata[b"geo"])
    if "bbox" in names:  # the boxes of STAC are those of GeoParquet
        geo["columns"]["geometry"]["covering"] = {"bbox": {end: ["bbox", end] for end in ("xmin", "ymin", "xmax", "ymax")}}
    metadata[b"geo"] = json.dumps(geo).encode()
    metadata[b"stac-geoparquet"] = json.dumps({"version": "1.0.0", "collections": {name: {"href": "./collection.json"}}}).encode()
    pq.write_table(stored.replace_schema_metadata(metadata), path, compression="zstd")


def _row(item: dict[str, Any], file: Path, name: str, place: Path) -> dict[str, Any]:
    """An item with its properties beside its other members; empty objects, which Parquet cannot hold, are left out."""
    assets = {
        key: {**asset, "href": _from_there(asset["href"], file.parent, place)} for key, asset in item.get("assets", {}).items()
    }
    west, south, *_ = box = item["bbox"]
    east, north = box[len(box) // 2], box[len(box) // 2 + 1]
    own = {
        "type": "Feature",
        "stac_version": item.get("stac_version", VERSION),
        "stac_extensions": item.get("stac_extensions", []),
        "id": item["id"],
        "geometry": shapely.geometry.shape(item["geometry"]),
        "bbox": {"xmin": west, "ymin": south, "xmax": east, "ymax": north},
        "links": [
            {"rel": "self", "href": relative(file, place), "type": "application/geo+json"},
            {"rel": "collection", "href": "./collection.json", "type": "application/json"},
        ],
        "assets": assets,
        "collection": name,
    }
    row: dict[str, Any] = _full({**item.get("properties", {}), **own})
    return row


def _from_there(href: str, folder: Path, place: Path) -> str:
    """An address that an item gives relative to its folder, relative to the collection's."""
    return href if "://" in href or Path(href).is_absolute() else relative(folder / unquote(href), place)


def _full(value: Any) -> Any:
    """The value without objects that hold nothing."""
    if isinstance(value, dict):
        inner = {key: _full(part) for key, part in value.items()}
        return {key: part for key, part in inner.items() if part is not None} or None
    return [_full(part) for part in value] if isinstance(value, list) else value


def _fits_arrow(column: pd.Series) -> bool:
    """Whether its values have one type that Parquet stores."""
    import pyarrow as pa

    try:
        kind = pa.Array.from_pandas(column).type
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return False
    return not pa.types.is_null(kind) or bool(column.isna().all())
