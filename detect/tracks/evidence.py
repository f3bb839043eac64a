"""The evidence that each date gives for each tracked building."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import geopandas as gpd
import numpy as np
import pyproj
import shapely
from numpy.typing import NDArray
from rasterio.features import rasterize
from rasterio.windows import Window

from detect.base.geometry import moved
from detect.base.stages import STAGES
from detect.base.values import NO_DATA, TOP
from detect.census.review import CHECKED
from detect.results.again import opened_raster
from detect.tracks.histories import Evidence
from detect.tracks.link import Links
from detect.tracks.series import Snapshot

_AT_A_TIME = 100
"""Footprints whose pixels are laid side by side: one by one, most of the time would go into calls."""


def gather(snapshots: Sequence[Snapshot], links: Links, plane: Any) -> Evidence:
    """The evidence of each date for each building; if the date did not detect it, its probability map is read.

    What a reviewer said of a date goes before: no census repaints the probability map, which shows a deleted building as before.
    """
    found = links.detection >= 0
    seen = np.zeros_like(found)
    score = np.full(found.shape, np.nan)
    stage_p = np.full((*found.shape, len(STAGES)), 1 / len(STAGES))
    certain = np.zeros_like(found)
    for t, snapshot in enumerate(snapshots):
        deleted = _deleted(snapshot, links, t)
        certain[:, t] = deleted | marked(snapshot, links, t, CHECKED)
        found[deleted, t] = False  # an outline beside it may cover it too
        seen[:, t] = snapshot.saw(links.footprints) | deleted
        rows = snapshot.buildings.iloc[links.detection[found[:, t], t]]
        score[found[:, t], t] = rows["score"]
        stage_p[found[:, t], t] = rows[[f"p_{s}" for s in STAGES]]
        ask = seen[:, t] & ~found[:, t]
        score[ask, t] = probability_within(snapshot, links.footprints[ask], plane)
        score[deleted, t] = 0.0
    return Evidence(seen, found, score, stage_p, certain)


def marked(snapshot: Snapshot, links: Links, t: int, column: str) -> NDArray[np.bool_]:
    """(N,) whether a date's own outline of a building has a mark, in a column (bool) that it may lack.

    An outline that covers several buildings is the own one of one of them: a reviewer who checked it has spoken of one building.
    """
    rows = np.where(links.shared[:, t], -1, links.detection[:, t])
    has = np.zeros(len(rows), bool)
    if column in snapshot.buildings:
        has[rows >= 0] = snapshot.buildings[column].to_numpy(bool)[rows[rows >= 0]]
    return has


def _deleted(snapshot: Snapshot, links: Links, t: int) -> NDArray[np.bool_]:
    """(N,) whether a reviewer of the date has deleted what stood on a footprint, and drew nothing in its place."""
    gone = np.zeros(len(links.footprints), bool)
    if len(snapshot.deleted) and len(gone):
        _, there = shapely.STRtree(links.footprints).query(snapshot.deleted, predicate="within")
        gone[there] = True
    return gone & ((links.detection[:, t] < 0) | links.shared[:, t])


def probability_within(snapshot: Snapshot, geometries: NDArray[np.object_], plane: pyproj.CRS | None) -> NDArray[np.float64]:
    """Mean building probability of a date's maps inside footprints in the plane; NaN if no map shows them."""
    best = np.full(len(geometries), np.nan)
    back = shapely.transform(geometries, lambda xy: xy - snapshot.shift_xy_m)
    for path in (folder / "probability.tif" for folder in snapshot.folders):
        if not path.is_file():
            continue
        with opened_raster(path) as raster:
            there = back if plane is None else gpd.GeoSeries(back, crs=plane).to_crs(raster.crs).to_numpy()
            in_px = moved(np.asarray(there, dtype=object), ~raster.transform)
            for first in range(0, len(in_px), _AT_A_TIME):
                some = slice(first, first + _AT_A_TIME)
                best[some] = np.fmax(best[some], _means_within(raster, in_px[some]))
    return best


def _means_within(raster: Any, shapes: NDArray[np.object_]) -> NDArray[np.float64]:
    """Mean of the pixels that each shape, in pixels (x = column, y = row), touches; NaN beyond the raster."""
    bounds = shapely.bounds(shapes)
    corners, ends = np.floor(bounds[:, :2]).astype(int), np.ceil(bounds[:, 2:]).astype(int)
    sizes = np.maximum(ends - corners, 1)
    places = np.concatenate([[0], np.cumsum(sizes[:, 0])])
    strip = np.full((sizes[:, 1].max(), places[-1]), NO_DATA, np.uint8)
    for (column, row), (width, height), place in zip(corners, sizes, places[:-1], strict=True):
        left, top = max(0, column), max(0, row)
        right, bottom = min(raster.width, column + width), min(raster.height, row + height)
        if left < right and top < bottom:
            seen = raster.read(1, window=Window(left, top, right - left, bottom - top))
            strip[top - row : bottom - row, place + left - column : place + right - column] = seen
    moves = np.stack([places[:-1] - corners[:, 0], -corners[:, 1]], axis=1)
    xy = shapely.get_coordinates(shapes) + np.repeat(moves, shapely.get_num_coordinates(shapes), axis=0)
    laid = shapely.set_coordinates(shapes.copy(), xy)
    owner = rasterize(zip(laid, range(1, len(laid) + 1), strict=True), strip.shape, all_touched=True, dtype="int32")
    known = (owner > 0) & (strip != NO_DATA)
    sums = np.bincount(owner[known], weights=strip[known], minlength=len(shapes) + 1)[1:]
    counts = np.bincount(owner[known], minlength=len(shapes) + 1)[1:]
    return np.divide(sums, counts * TOP, out=np.full(len(shapes), np.nan), where=counts > 0)
