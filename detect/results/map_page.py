"""map.html: all buildings of a collection on one page, which works from disk and without a network.

A browser does not let a page on disk read the file beside it, so the page holds the buildings itself: corners as differences on the
grid of the web's tiles, compressed. It draws tiles from them as they are needed. A million buildings take about 20 MB. Leaflet shows the
tiles: MapLibre needs WebGL, which remote desktops and hardened browsers lack, and worker scripts, which the page's policy forbids.
"""

from __future__ import annotations

import base64
import gzip
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import shapely
from numpy.typing import NDArray

from detect.base.geometry import beside
from detect.base.stages import STAGES
from detect.base.vectors import geometries_of
from detect.results.collected import Piece, outline_box
from detect.results.page import write_page
from detect.results.stac_collection import credits_of, relative
from detect.results.summary import likeness
from detect.scene.tiles.pyramid import HALF_WORLD_M, web_mercator

ZOOM = 22
"""Corners are whole pixels of tiles of this zoom: 4 cm at the equator."""
_LONGEST_STEP = 30_000  # differences are 16-bit; a longer edge is cut into pieces


def write_map(path: Path, table: gpd.GeoDataFrame, pieces: Sequence[Piece], *, place: Path) -> None:
    """Write the page.

    Args:
        path: the file to write.
        table: result of ``detect.results.collected.one_table``.
        pieces: the results.
        place: folder in which the page will lie in the end; links to reports are relative to it.
    """
    west, south, east, north = outline_box(pieces)
    middle = (west + east) / 2
    dates = sorted({piece.date for piece in pieces if piece.date is not None})
    scenes = [_scene(piece, middle, place) for piece in pieces]
    names = {likeness(piece.summary) for piece in pieces}
    called = names.pop() if len(names) == 1 else "like the profile"
    facts = {
        "zoom": ZOOM, "box": [west, south, east, north], "stages": list(STAGES), "dates": dates, "scenes": scenes, "count": len(table),
        "like_name": called,
    }  # fmt: skip
    arrays = pack(table, middle, {piece.name: i for i, piece in enumerate(pieces)}, dates)
    parts = {name: [str(values.dtype), len(values)] for name, values in arrays.items()}
    packed = gzip.compress(b"".join(values.tobytes() for values in arrays.values()), compresslevel=6, mtime=0)
    write_page(
        path,
        "collection.html",
        facts=facts | {"parts": parts},
        packed=base64.b64encode(packed).decode("ascii"),
        scenes=scenes,
        count=len(table),
        by_stage={stage: int((table["stage"] == stage).sum()) for stage in STAGES},
        like=int(table["dormitory_like"].sum()),
        like_name=called,
        dates=dates,
        credits=credits_of(pieces),
        simulated=any(piece.summary["scene"].get("simulated") for piece in pieces),
    )


def pack(table: gpd.GeoDataFrame, middle: float, scenes: Mapping[str, int], dates: Sequence[str]) -> dict[str, NDArray[Any]]:
    """The buildings as arrays, wide types first, so that each array begins at a multiple of its type.

    Corners are those of outer rings; courtyards are left out. A building of several parts stands once per part.

    Args:
        table: with ``scene``, ``date`` and the columns of a result.
        middle: longitude near which all of them are shown, degrees.
        scenes: number of each scene.
        dates: all days, in order.

    Returns:
        ``x``, ``y``: first corner (int32, pixels of zoom ``ZOOM``); ``id``, ``area``: of the building; ``steps``: differences of the
        following corners (int16, x and y in turn); ``corners``: how many there are (uint16); ``scene``, ``beds`` (uint16); ``date``:
        number of the day from 1, 0 unknown (uint16); ``kind``: stage from 0, plus 4 if dormitory-like; ``score`` (0–100).
    """
    shapes = beside(geometries_of(table), middle) if len(table) else np.array([], dtype=object)
    parts, row = shapely.get_parts(shapes, return_index=True)
    polygons = shapely.get_type_id(parts) == shapely.GeometryType.POLYGON
    parts, row = parts[polygons], row[polygons]
    rings = shapely.get_exterior_ring(parts)
    rings = shapely.transform(rings, world_px)
    rings = shapely.segmentize(rings, _LONGEST_STEP)
    at, ring = shapely.get_coordinates(rings, return_index=True)
    at = np.rint(at).astype(np.int64)
    starts = np.flatnonzero(np.diff(ring, prepend=-1))
    ends = np.append(starts[1:], len(at))[: len(starts)]
    counts = ends - starts - 1  # the last corner is the first one
    steps = np.diff(at, axis=0, append=at[-1:])
    last = np.zeros(len(at), bool)
    last[ends - 1] = True
    last[ends - 2] = True  # the step back to the first corner
    columns = table.iloc[row]
    day = {date: i for i, date in enumerate(dates, start=1)}
    stage = columns["stage"].map({stage: i for i, stage in enumerate(STAGES)}).to_numpy(np.uint8)
    return {
        "x": at[starts, 0].astype(np.int32),
        "y": at[starts, 1].astype(np.int32),
        "id": columns["id"].to_numpy(np.int32),
        "area": columns["area_m2"].to_numpy(np.float32),
        "steps": steps[~last].astype(np.int16).ravel(),
        "corners": counts.astype(np.uint16),
        "scene": columns["scene"].map(scenes).to_numpy(np.uint16),
        "beds": columns["beds"].clip(0, 65535).to_numpy(np.uint16),
        "date": columns["date"].map(lambda date: day.get(date, 0)).to_numpy(np.uint16),
        "kind": stage + 4 * columns["dormitory_like"].to_numpy(np.uint8),
        "score": (columns["score"] * 100).round().to_numpy(np.uint8),
    }


def world_px(lonlat: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pixels of the common tile grid at zoom ``ZOOM``, x to the east and y to the south (Web Mercator)."""
    return (web_mercator(lonlat) * (1, -1) + HALF_WORLD_M) * (256 * 2.0**ZOOM / (2 * HALF_WORLD_M))


def _scene(piece: Piece, middle: float, place: Path) -> dict[str, Any]:
    outline = beside(np.array([piece.outline], dtype=object), middle)[0]
    report = piece.folder / "report.html"
    total = piece.summary["total"]
    return {
        "name": piece.name,
        "date": piece.date,
        "ring": np.round(shapely.get_coordinates(outline.exterior), 6).tolist(),
        "report": relative(report, place) if report.is_file() else None,
        "buildings": total["buildings"],
        "beds": total["beds"]["now"],
        "area_km2": total["area_km2"],
    }
