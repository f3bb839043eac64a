"""Drawn series of one place with known truth, as tables: no pictures, no network."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pyproj
import rasterio
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.features import geometry_mask

from detect.base.geometry import measure
from detect.base.pixels import NO_DATA
from detect.base.stages import STAGES
from detect.base.vectors import geometries_of
from detect.census.count import take_census
from detect.census.profiles import load_profile
from detect.network.probabilities import Ledger
from detect.results.tables import with_schema, write_gpkg
from detect.tracks.histories import ABSENT, COMPLETE, DEMOLISHED, FOUNDATION, INCOMPLETE
from detect.tracks.series import Snapshot

PLANE = "EPSG:32637"
ORIGIN = (400_000.0, 6_200_000.0)
PX_M = 0.5


@dataclass(frozen=True)
class DrawnSeries:
    """Snapshots as a network would leave them, and what really stood."""

    snapshots: list[Snapshot]
    footprints: NDArray[np.object_]
    """(N,) true outlines."""
    state: NDArray[np.int64]
    """(N, T) true states, as ``histories.STATES``."""
    truth: list[NDArray[np.int64]]
    """Per date: which building each row of the table shows, -1 for a false alarm."""
    shifts: NDArray[np.float64]
    """(T, 2) metres by which each date was moved."""


def draw_series(
    seed: int, *, dates: int = 12, buildings: int = 100, missed: float = 0.1, clouded: int | None = 6, demolished: int = 3,
    false_alarms: int = 2, shift_m: float = 3.0,
) -> DrawnSeries:  # fmt: skip
    """Rows of long blocks and some houses; each corner 1–2 px off, each date as a whole up to ``shift_m``, a share missed."""
    rng = np.random.default_rng(seed)
    footprints = _lay_out(rng, buildings)
    state = _histories(rng, buildings, dates, demolished)
    days = [(date(2025, 1, 5) + timedelta(days=30 * t)).isoformat() for t in range(dates)]
    ground = shapely.box(*shapely.total_bounds(footprints)).buffer(60)
    shifts = rng.uniform(-shift_m, shift_m, (dates, 2))
    snapshots, truth = [], []
    for t, day in enumerate(days):
        standing = (state[:, t] != ABSENT) & (state[:, t] != DEMOLISHED)
        shown = np.nonzero(standing & (rng.random(buildings) >= missed))[0]
        if t == clouded:
            shown = shown[:0]
        drawn = [_jittered(rng, footprints[i], shifts[t]) for i in shown]
        alarms = [] if t == clouded else [_alarm(rng, ground) for _ in range(false_alarms)]
        table = _table(rng, [*drawn, *alarms], [*(state[shown, t] - 1), *([2] * len(alarms))], len(drawn))
        snapshots.append(Snapshot(day, table, shapely.Polygon() if t == clouded else ground))
        truth.append(np.array([*shown, *([-1] * len(alarms))], np.int64))
    return DrawnSeries(snapshots, footprints, state, truth, shifts)


def _lay_out(rng: np.random.Generator, count: int) -> NDArray[np.object_]:
    """Seven of ten are blocks of 40 × 12 m in rows 5 m apart, the others houses."""
    blocks = round(0.7 * count)
    outlines = []
    for i in range(blocks):
        x, y = ORIGIN[0] + (i // 10) * 55, ORIGIN[1] + (i % 10) * 17
        outlines.append(shapely.box(x, y, x + 40, y + 12))
    for i in range(count - blocks):
        x, y = ORIGIN[0] + (i % 15) * 24, ORIGIN[1] - 40 - (i // 15) * 22
        outlines.append(shapely.box(x, y, x + rng.uniform(8, 13), y + rng.uniform(7, 10)))
    turned = shapely.affinity.rotate(shapely.MultiPolygon(outlines), 20, origin=ORIGIN)
    return np.array([*turned.geoms, None], dtype=object)[:-1]


def _histories(rng: np.random.Generator, count: int, dates: int, demolished: int) -> NDArray[np.int64]:
    """A third stands all the time, the others are started at some date and finished in two to six; some are demolished."""
    state = np.full((count, dates), ABSENT)
    for i in range(count):
        if i % 3 == 0:
            state[i] = COMPLETE
            continue
        start = int(rng.integers(0, dates - 1))
        walls = start + int(rng.integers(1, 3))
        roof = walls + int(rng.integers(1, 4))
        state[i, start:walls], state[i, walls:roof], state[i, roof:] = FOUNDATION, INCOMPLETE, COMPLETE
    for i in range(0, 3 * demolished, 3):
        state[i, dates // 2 - 1 :] = DEMOLISHED
    return state


def _jittered(rng: np.random.Generator, outline: shapely.Polygon, shift: NDArray[np.float64]) -> shapely.Polygon:
    """The outline moved by 1–2 px in some direction, its sides up to 1 px further in or out, with the date's shift."""
    angle, step = rng.uniform(0, 2 * np.pi), rng.uniform(1, 2) * PX_M
    move = shift + step * np.array([np.cos(angle), np.sin(angle)])
    grown = outline.buffer(rng.uniform(-1, 1) * PX_M, join_style="mitre")
    return shapely.affinity.translate(grown, *move)


def _alarm(rng: np.random.Generator, ground: shapely.Polygon) -> shapely.Polygon:
    west, south, east, _ = ground.bounds
    x, y = rng.uniform(west, east), south + rng.uniform(0, 12)  # where nothing is built
    return shapely.box(x, y, x + rng.uniform(6, 12), y + rng.uniform(6, 12))


def _table(rng: np.random.Generator, outlines: list[shapely.Polygon], stages: list[int], real: int) -> gpd.GeoDataFrame:
    """What a network tells: the stage right in nine cases of ten, a score that is lower for false alarms."""
    p = np.array([_stage_p(rng, int(s)) for s in stages]).reshape(-1, 3)
    like = np.array([g.area > 300 for g in outlines], bool)
    table = gpd.GeoDataFrame(geometry=gpd.GeoSeries(outlines, crs=PLANE), crs=PLANE)
    return table.assign(
        stage=[STAGES[k] for k in p.argmax(axis=1)] if len(p) else [],
        **{f"p_{name}": p[:, k] for k, name in enumerate(STAGES)},
        score=np.where(
            np.arange(len(outlines)) < real, rng.uniform(0.7, 0.95, len(outlines)), rng.uniform(0.5, 0.7, len(outlines))
        ),
        width_m=np.where(like, 12.0, 8.0),
        dormitory_like=like,
        dormitory_score=np.where(like, 0.9, 0.1),
        beds=np.where(like, 256, 0),
    )


def _stage_p(rng: np.random.Generator, stage: int) -> NDArray[np.float64]:
    told = stage if rng.random() < 0.9 else int(rng.integers(3))
    weights = np.full(3, 1.0)
    weights[told] = 8.0
    return rng.dirichlet(weights)


def write_result(
    folder: Path,
    snapshot: Snapshot,
    *,
    crs: str | None = PLANE,
    gsd_m: float = 0.5,
    sites: gpd.GeoDataFrame | None = None,
    rates: list[Any] | None = None,
) -> Path:
    """A folder as predict leaves it, of one snapshot: tables, mask and summary; no maps and no page.

    Args:
        folder: to create.
        snapshot: in ``PLANE``.
        crs: of the result; None for one without georeference.
        gsd_m: ground size of the mask's pixel.
        sites: with ``name`` and ``planned_buildings``; all ground without.
        rates: of the weights, as the summary holds them.
    """
    folder.mkdir(parents=True)
    outline = shapely.box(*_bounds(snapshot))
    moved = gpd.GeoSeries([outline], crs=PLANE)
    moved = moved.set_crs(None, allow_override=True) if crs is None else moved.to_crs(crs)
    buildings = snapshot.buildings if crs is None else snapshot.buildings.to_crs(crs)
    if crs is None:
        buildings = buildings.set_crs(None, allow_override=True)
    given = sites is not None
    if sites is None:
        sites = gpd.GeoDataFrame({"name": ["scene"], "planned_buildings": [np.nan]}, geometry=moved)
    _write_mask(folder / "mask.tif", snapshot, moved.iloc[0], crs, gsd_m)
    table = buildings.drop(columns="width_m").assign(**measure(list(geometries_of(buildings)), buildings.crs))
    table = table.assign(
        site=None,
        row=0,
        dormitory_reasons="",
        stage_score=0.8,
        touches_edge=False,
        height_m=np.nan,
        id=np.arange(1, len(table) + 1),
    )
    layers = {"buildings": with_schema(table), "rows": table.iloc[:0][["row", "geometry"]], "sites": sites}
    write_gpkg(folder / "buildings.gpkg", layers)
    counted = take_census(layers["buildings"], sites.assign(area_km2=1.0), load_profile(None), rates)
    summary = _summary(folder.name, snapshot.date, not given) | counted | {"rates": rates}
    (folder / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
    return folder


def _bounds(snapshot: Snapshot) -> NDArray[np.float64]:
    if snapshot.observed.is_empty:  # a scene under clouds lies around its place all the same
        return np.array([ORIGIN[0] - 150, ORIGIN[1] - 150, ORIGIN[0] + 400, ORIGIN[1] + 400])
    return np.asarray(shapely.bounds(snapshot.observed))


def _write_mask(path: Path, snapshot: Snapshot, outline: shapely.Polygon, crs: str | None, gsd_m: float) -> None:
    west, south, east, north = outline.bounds
    pixel = gsd_m if crs is None or not pyproj.CRS.from_user_input(crs).is_geographic else gsd_m / 111_000
    transform = Affine(pixel, 0, west, 0, -pixel, north)
    size_hw = (round((north - south) / pixel), round((east - west) / pixel))
    seen = gpd.GeoSeries([snapshot.observed], crs=PLANE)
    seen = seen if crs is None else seen.to_crs(crs)
    values = np.full(size_hw, NO_DATA, np.uint8)
    if not snapshot.observed.is_empty:
        values[geometry_mask([seen.iloc[0]], size_hw, transform, invert=True)] = 0
    settled = {"driver": "GTiff", "dtype": "uint8", "count": 1, "height": size_hw[0], "width": size_hw[1], "crs": crs}
    with rasterio.open(path, "w", **settled, transform=transform, nodata=NO_DATA) as target:
        target.write(values, 1)


def _summary(name: str, date: str | None, whole: bool) -> dict[str, Any]:
    return {
        "scene": {
            "name": name, "path": f"{name}.tif", "sha256": "0" * 64, "date": date, "crs": None, "size_px": [1, 1], "gsd_m": 0.5,
            "bands": [1, 2, 3], "area_km2": 1.0, "whole_scene_is_the_site": whole,
        },
        "model": {"name": "drawn", "sha256": "0" * 64, "gsd_m": 0.3},
        "run": {
            "key": "", "options": {}, "versions": {}, "work_gsd_m": 0.5, "work_size_px": [1, 1],
            "structure": asdict(load_profile(None)),
        },
        "blocks": asdict(Ledger()),
        "rates": None,
        "warnings": [],
    }  # fmt: skip
