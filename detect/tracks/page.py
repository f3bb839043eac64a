"""report.html of a series: a map with a slider over the dates, timelines, and the history of each building."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date as Date
from pathlib import Path
from typing import Any

import cv2
import geopandas as gpd
import numpy as np
import pandas as pd
import pyproj
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from detect.base.errors import InputError
from detect.base.stages import STAGES
from detect.base.texts import number_of
from detect.base.vectors import geometries_of
from detect.results.again import opened_raster
from detect.results.page import write_page as fill_template
from detect.results.picture import TILE_PX, Picture, read_picture
from detect.results.summary import every_warning
from detect.tracks.counts import stage_column
from detect.tracks.histories import STATES
from detect.tracks.series import Series, Snapshot

SHOWN = 100_000
"""Most buildings on the map: they take some 20 MB."""
LONG_SIDE_PX = 1600
"""Longest side of the pictures on the map."""
BUDGET_BYTES = 12_000_000
"""Rough size of all pictures of a page; many dates get smaller pictures."""
_BYTES_PER_PX = 0.3  # satellite images as JPEG of quality 75
_CHART_WH = (720, 220)
_MARGIN = {"left": 44, "right": 12, "top": 10, "bottom": 26}


@dataclass(frozen=True)
class Frame:
    """Pixels of the page's map, x right and y down, over the plane of the series."""

    west: float
    north: float
    px_per_m: float
    size_wh: tuple[int, int]

    def pixels(self, x: Any, y: Any) -> NDArray[np.float64]:
        """(N, 2) pixels of points of the plane."""
        return np.stack([(np.asarray(x) - self.west) * self.px_per_m, (self.north - np.asarray(y)) * self.px_per_m], axis=1)

    def rings(self, polygon: shapely.Polygon) -> list[list[list[float]]]:
        """Outer ring and holes as [x, y] in pixels, to a tenth, without the point that closes a ring."""
        found = []
        for ring in (polygon.exterior, *polygon.interiors):
            found.append(np.round(self.pixels(*shapely.get_coordinates(ring)[:-1].T), 1).tolist())
        return found


def write_page(
    path: Path,
    buildings: gpd.GeoDataFrame,
    sites: gpd.GeoDataFrame,
    timeline: pd.DataFrame,
    summary: Mapping[str, Any],
    snapshots: Sequence[Snapshot],
    series: Series,
) -> None:
    """Write the page; the same input gives the same bytes.

    Args:
        path: HTML file to write.
        buildings: layer ``buildings``, in the CRS of the series.
        sites: layer ``sites``, in the CRS of the series.
        timeline: rows of timeline.csv.
        summary: content of summary.json.
        snapshots: aligned, in the plane of the series.
        series: the loaded series.
    """
    dates = series.dates
    in_plane = _to_plane(buildings, series.plane)
    frame = _frame(snapshots, in_plane, len(dates))
    shown = _to_look_at(buildings)
    groups = timeline.groupby(["is_total", "site"], sort=False)
    parts = sorted(groups, key=lambda part: not part[0][0])  # all sites first
    fill_template(
        path,
        "tracks.html",
        summary=summary,
        dates=dates,
        sites=summary["sites"],
        warnings=every_warning(summary),
        simulated=any(s.scene.simulated for s in series.summaries),
        timeline=timeline.to_dict("records"),
        charts=[_chart(str(name), rows) for (_, name), rows in parts],
        frame={"width": frame.size_wh[0], "height": frame.size_wh[1], "px_per_m": frame.px_per_m},
        pictures=[_picture(s, frame, series.plane) for s in snapshots],
        counted=[{state: int((buildings[stage_column(date)] == state).sum()) for state in STATES} for date in dates],
        buildings=_columns(buildings[shown], in_plane[shown], frame, dates),
        shown=int(shown.sum()),
        every=len(buildings),
        whole=series.whole,
        outlines=[] if series.whole else _site_outlines(sites, frame, series.plane),
        unseen_share=[round(1 - s.observed.area / max(_ground(snapshots).area, 1e-9), 4) for s in snapshots],
        unseen=[_unseen(s, frame, snapshots) for s in snapshots],
        states=STATES,
    )


def _to_look_at(buildings: gpd.GeoDataFrame) -> NDArray[np.bool_]:
    """The ``SHOWN`` buildings that changed, or if there are fewer, some of the others too."""
    rank = buildings["change"].map({"new": 0, "gone": 1, "advanced": 2, "unchanged": 3}).to_numpy(int)
    shown = np.zeros(len(buildings), bool)
    shown[np.argsort(rank, kind="stable")[:SHOWN]] = True
    return shown


def _to_plane(table: gpd.GeoDataFrame, plane: pyproj.CRS | None) -> gpd.GeoDataFrame:
    return table if plane is None or table.crs is None else table.to_crs(plane)


def _ground(snapshots: Sequence[Snapshot]) -> BaseGeometry:
    return shapely.union_all([s.observed for s in snapshots])


def _frame(snapshots: Sequence[Snapshot], buildings: gpd.GeoDataFrame, dates: int) -> Frame:
    everything = [g for g in (_ground(snapshots), *geometries_of(buildings)) if not g.is_empty]
    west, south, east, north = shapely.total_bounds(np.array(everything, dtype=object)) if everything else (0.0, 0.0, 1.0, 1.0)
    width, height = max(east - west, 1e-6), max(north - south, 1e-6)
    affordable = math.sqrt(BUDGET_BYTES / _BYTES_PER_PX / dates / (width * height))  # px per m
    px_per_m = min(LONG_SIDE_PX / max(width, height), affordable)
    return Frame(west, north, px_per_m, (math.ceil(width * px_per_m), math.ceil(height * px_per_m)))


def _columns(buildings: gpd.GeoDataFrame, in_plane: gpd.GeoDataFrame, frame: Frame, dates: Sequence[str]) -> dict[str, list[Any]]:
    """Column → list; the states of a building as one digit per date."""
    code = {state: str(k) for k, state in enumerate(STATES)}
    states = buildings[[stage_column(d) for d in dates]].to_numpy(object)
    plain = ("id", "site", "first_seen", "last_seen", "change", "p_standing", "area_m2", "dormitory_like", "beds")
    return {name: [None if v != v else v for v in buildings[name].tolist()] for name in plain} | {
        "states": ["".join(code[s] for s in row) for row in states],
        "rings": [frame.rings(p) for g in geometries_of(in_plane) for p in shapely.get_parts(g)[:1]],
    }


def _site_outlines(sites: gpd.GeoDataFrame, frame: Frame, plane: pyproj.CRS | None) -> list[dict[str, Any]]:
    parts = _to_plane(sites, plane).explode(index_parts=False)
    return [{"name": n, "rings": frame.rings(g)} for n, g in zip(parts["name"], geometries_of(parts), strict=True)]


def _unseen(snapshot: Snapshot, frame: Frame, snapshots: Sequence[Snapshot]) -> list[list[list[list[float]]]]:
    """Ground that some date shows and this one does not, as rings; areas below 3 pixels are left out."""
    hidden = shapely.difference(_ground(snapshots), snapshot.observed).simplify(1 / frame.px_per_m)
    least = (3 / frame.px_per_m) ** 2
    return [frame.rings(p) for p in shapely.get_parts(hidden) if p.geom_type == "Polygon" and p.area > least]


def _picture(snapshot: Snapshot, frame: Frame, plane: pyproj.CRS | None) -> str | None:
    """The date's scene on the frame, as JPEG in base64; None if its page is missing."""
    canvas = None
    for folder in reversed(snapshot.folders):  # the first result lies on top
        try:
            picture = read_picture(folder / "report.html")
        except InputError:
            continue
        laid, covered = _laid(picture, _crs_of(folder), snapshot, frame, plane)
        canvas = laid if canvas is None else np.where(covered[..., None], laid, canvas)
    if canvas is None:
        return None
    done, encoded = cv2.imencode(".jpg", canvas, [cv2.IMWRITE_JPEG_QUALITY, 75])
    assert done, "OpenCV encodes every 8-bit picture"
    return base64.b64encode(bytes(encoded)).decode("ascii")


def _crs_of(folder: Path) -> pyproj.CRS | None:
    with opened_raster(folder / "mask.tif") as mask:
        return None if mask.crs is None else pyproj.CRS.from_user_input(mask.crs)


def _laid(
    picture: Picture, crs: pyproj.CRS | None, snapshot: Snapshot, frame: Frame, plane: pyproj.CRS | None
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """A picture (H, W, 3) on the frame, and where it lies. Three corners place it, exact to a pixel over some kilometres."""
    level = _level(picture, frame)
    pixels = _stitched(picture, level)
    corners = np.array([[0, 0], [pixels.shape[1], 0], [0, pixels.shape[0]]], np.float64)
    x, y = zip(*(picture.transform * tuple(corner) for corner in corners * 2**level), strict=True)
    if plane is not None and crs is not None:
        x, y = pyproj.Transformer.from_crs(crs, plane, always_xy=True).transform(x, y)
    dx, dy = snapshot.shift_xy_m
    there = frame.pixels(np.asarray(x) + dx, np.asarray(y) + dy)
    # OpenCV counts from the centre of a pixel.
    place = cv2.getAffineTransform((corners - 0.5).astype(np.float32), (there - 0.5).astype(np.float32))
    laid = cv2.warpAffine(pixels, place, frame.size_wh, flags=cv2.INTER_LINEAR, borderValue=(64, 64, 64))
    covered = cv2.warpAffine(np.ones(pixels.shape[:2], np.uint8), place, frame.size_wh, flags=cv2.INTER_NEAREST)
    return laid, covered == 1


def _level(picture: Picture, frame: Frame) -> int:
    """The coarsest level of the picture that is as fine as the frame, or else the finest level."""
    coarsest = max(int(key.split("/")[0]) for key in picture.tiles)
    wanted = math.floor(math.log2(max(1 / frame.px_per_m / picture.gsd_m, 1.0)) + 0.01)
    return min(max(wanted, picture.whole), coarsest)


def _stitched(picture: Picture, level: int) -> NDArray[np.uint8]:
    """One level of a picture, with bands in OpenCV's order, blue first."""
    height, width = (-(-n // 2**level) for n in picture.size_hw)
    whole = np.full((height, width, 3), 64, np.uint8)
    for key, data in picture.tiles.items():
        at, column, row = (int(v) for v in key.split("/"))
        if at != level:
            continue
        tile = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)
        part = whole[row * TILE_PX : (row + 1) * TILE_PX, column * TILE_PX : (column + 1) * TILE_PX]
        part[:] = tile[: part.shape[0], : part.shape[1]]
    return whole


def _chart(name: str, rows: pd.DataFrame) -> dict[str, Any]:
    """Stacked areas of the stages over time and the interval of their sum, as points of an SVG."""
    width, height = _CHART_WH
    left, right, top, bottom = (_MARGIN[k] for k in ("left", "right", "top", "bottom"))
    days = np.array([Date.fromisoformat(d).toordinal() for d in rows["date"]], float)
    x = left + (days - days[0]) / (days[-1] - days[0]) * (width - left - right)
    highest = _round_up(max(1, int(rows["buildings_high"].max())))

    def y(count: Any) -> NDArray[np.float64]:
        return height - bottom - np.asarray(count, float) / highest * (height - top - bottom)

    areas, below = [], np.zeros(len(rows))
    for stage in reversed(STAGES):  # the finished ones below
        above = below + rows[stage].to_numpy(float)
        edge = [*zip(x, y(above), strict=True), *zip(x[::-1], y(below)[::-1], strict=True)]
        areas.append({"stage": stage, "points": " ".join(f"{px:.1f},{py:.1f}" for px, py in edge)})
        below = above
    whiskers = [
        {"x": round(px, 1), "low": round(float(a), 1), "high": round(float(b), 1)}
        for px, a, b in zip(x, y(rows["buildings_low"]), y(rows["buildings_high"]), strict=True)
    ]
    ticks = [{"y": round(float(y(v)), 1), "label": f"{v:,}"} for v in (0, highest // 2, highest) if v == 0 or highest > 1]
    labels = _date_labels(list(rows["date"]), x)
    first, last = rows.iloc[0], rows.iloc[-1]
    text = (
        f"{name}: {number_of(first['buildings'], 'building')} on {first['date']}, {last['buildings']:,} on {last['date']}, "
        f"of which {last['complete']:,} complete, {last['incomplete']:,} incomplete, {number_of(last['foundation'], 'foundation')}"
    )
    return {
        "name": name, "width": width, "height": height, "areas": areas, "whiskers": whiskers, "ticks": ticks, "labels": labels,
        "left": left, "right": width - right, "base": height - bottom, "top": top, "text": text,
    }  # fmt: skip


def _round_up(value: int) -> int:
    """Round up to at most two digits, the second one even: 137 → 140."""
    step = max(2, 2 * 10 ** (len(str(value)) - 2))
    return -(-value // step) * step


def _date_labels(dates: list[str], x: NDArray[np.float64]) -> list[dict[str, Any]]:
    """Dates below a chart, as many as fit."""
    kept: list[dict[str, Any]] = []
    for date, at in zip(dates, x, strict=True):
        if not kept or at - kept[-1]["x"] > 78:
            kept.append({"x": round(float(at), 1), "date": date, "anchor": "start" if not kept else "middle"})
    if kept[-1]["date"] != dates[-1]:
        if len(kept) > 1 and x[-1] - kept[-1]["x"] < 110:
            kept.pop()
        kept.append({"x": round(float(x[-1]), 1), "date": dates[-1], "anchor": "end"})
    elif len(kept) > 1:
        kept[-1]["anchor"] = "end"
    return kept
