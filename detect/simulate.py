"""Worker compounds with known truth: rows of long blocks, drawn on real or drawn ground.

Everything here is simulated and says so in the picture's metadata and name. Simulated chips train the network to keep blocks apart
that stand a few metres from each other; they are never part of a test that is called real. Ranges follow what such compounds
look like from above: blocks of 35–75 × 8–17 m, 2–10 m apart, in rows, under one of a few roof colours.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import geopandas as gpd
import numpy as np
import rasterio
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.enums import ColorInterp

from detect.errors import InputError

Image = NDArray[np.uint8]

ROOF_COLOURS_RGB = {
    "white": (225, 225, 220),
    "light grey": (176, 178, 178),
    "dark grey": (98, 100, 104),
    "slate": (58, 60, 66),
    "blue": (82, 112, 168),
    "red": (150, 72, 60),
    "brown": (128, 98, 78),
    "green": (92, 122, 100),
    "sand": (198, 176, 142),
}
CONCRETE_RGB = (186, 182, 172)
_FINE = 2  # supersampling of the drawing, so that edges fall between pixels as in a real image


@dataclass(frozen=True)
class Block:
    """One drawn building."""

    corners_px: NDArray[np.float64]
    """(4, 2) x, y in pixels, around the base; the first side is a long one."""
    stage: str
    """foundation, incomplete or complete."""
    row: int
    """Number of its row within the compound, from 0."""


@dataclass(frozen=True)
class Compound:
    """Blocks of one look, in rows, with the yard they stand on."""

    blocks: tuple[Block, ...]
    yard_px: NDArray[np.float64]
    """(4, 2) corners of the graded yard, x, y in pixels."""


@dataclass(frozen=True)
class CompoundRanges:
    """What compounds are drawn from; each pair is (low, high), uniform."""

    length_m: tuple[float, float] = (35.0, 75.0)
    width_m: tuple[float, float] = (8.0, 17.0)
    gap_m: tuple[float, float] = (2.0, 9.0)
    """Between neighbouring long sides."""
    per_row: tuple[int, int] = (2, 7)
    rows: tuple[int, int] = (1, 3)
    stage_shares: tuple[float, float, float] = (0.12, 0.16, 0.72)
    """Of foundation, incomplete, complete; one stage per row mostly, as compounds are built row by row."""


@dataclass(frozen=True)
class Look:
    """How the buildings of a compound look from above."""

    roofs: tuple[str, ...]
    """Keys of ``ROOF_COLOURS_RGB``."""
    ridge_share: float
    """Of compounds whose roofs are pitched; the rest are flat."""
    contrast: tuple[float, float]
    """How much the two sides of a ridge, or a parapet, differ from the roof."""
    yard_share: float
    """Of compounds that stand on a graded yard of their own."""


CAMP = Look(tuple(ROOF_COLOURS_RGB), ridge_share=0.6, contrast=(0.04, 0.22), yard_share=0.7)
TERRACE = Look(("dark grey", "slate", "red", "brown"), ridge_share=1.0, contrast=(0.12, 0.5), yard_share=0.15)
"""Steep dark roofs, whose far side is hardly brighter than a shadow."""
TERRACE_RANGES = CompoundRanges((9.0, 65.0), (7.0, 12.0), (6.0, 28.0), (1, 5), (1, 3), (0.02, 0.03, 0.95))
"""Houses and terraces along streets, with gardens between."""

STAGES = ("foundation", "incomplete", "complete")


def draw_compound(
    rng: np.random.Generator, centre_xy_px: tuple[float, float], gsd_m: float, ranges: CompoundRanges | None = None
) -> Compound:
    """A compound laid out around a centre; nothing is painted yet."""
    ranges = ranges or CompoundRanges()
    length, width = rng.uniform(*ranges.length_m) / gsd_m, rng.uniform(*ranges.width_m) / gsd_m
    gap = rng.uniform(*ranges.gap_m) / gsd_m
    end_gap = max(gap, rng.uniform(4.0, 14.0) / gsd_m)
    per_row = int(rng.integers(ranges.per_row[0], ranges.per_row[1] + 1))
    rows = int(rng.integers(ranges.rows[0], ranges.rows[1] + 1))
    heading = rng.uniform(0, np.pi)
    along = np.array([np.cos(heading), np.sin(heading)])
    across = np.array([-along[1], along[0]])
    blocks = []
    for row in range(rows):
        row_stage = rng.choice(3, p=ranges.stage_shares)
        for place in range(per_row):
            stage = row_stage if rng.random() < 0.8 else rng.choice(3, p=ranges.stage_shares)
            middle = (
                np.asarray(centre_xy_px)
                + along * (row - (rows - 1) / 2) * (length + end_gap)
                + across * (place - (per_row - 1) / 2) * (width + gap)
            )
            half_l, half_w = along * length / 2, across * width / 2
            corners = middle + np.array([-half_l - half_w, half_l - half_w, half_l + half_w, -half_l + half_w])
            blocks.append(Block(corners, STAGES[stage], row))
    margin = rng.uniform(4, 15) / gsd_m
    half_along = along * (rows * length + (rows - 1) * end_gap + 2 * margin) / 2
    half_across = across * (per_row * width + (per_row - 1) * gap + 2 * margin) / 2
    yard = np.asarray(centre_xy_px) + np.array(
        [-half_along - half_across, half_along - half_across, half_along + half_across, -half_along + half_across]
    )
    return Compound(tuple(blocks), yard)


def paint_compound(
    rng: np.random.Generator,
    image: Image,
    compound: Compound,
    gsd_m: float,
    *,
    sun_azimuth_deg: float | None = None,
    look: Look = CAMP,
) -> tuple[Image, bool]:
    """The image (H, W, 3) with the compound painted on it, and whether a graded yard was painted below."""
    canvas = cv2.resize(image, None, fx=_FINE, fy=_FINE, interpolation=cv2.INTER_LINEAR).astype(np.float32)
    azimuth = np.deg2rad(rng.uniform(0, 360) if sun_azimuth_deg is None else sun_azimuth_deg)
    shade_xy = -np.array([np.sin(azimuth), -np.cos(azimuth)])  # shadows fall away from the sun; y grows to the south
    has_yard = bool(rng.random() < look.yard_share)
    if has_yard:
        _fill(canvas, compound.yard_px, _ground_tone(rng), rng, noise=rng.uniform(3, 9))
    roof = np.asarray(ROOF_COLOURS_RGB[look.roofs[rng.integers(len(look.roofs))]]) * rng.uniform(0.8, 1.12)
    shadow_px = rng.uniform(1.5, 6.0) / gsd_m
    darkness = rng.uniform(0.3, 0.6)
    for block in compound.blocks:
        height = {"foundation": 0.0, "incomplete": rng.uniform(0.3, 1.0), "complete": 1.0}[block.stage]
        if height:
            _cast_shadow(canvas, block.corners_px, shade_xy * shadow_px * height, darkness)
    style = _roof_style(rng, look)
    for block in compound.blocks:
        tone = roof * rng.uniform(0.95, 1.05)
        if block.stage == "complete":
            _paint_roof(canvas, block.corners_px, tone, shade_xy, style, rng)
        elif block.stage == "incomplete":
            _paint_shell(canvas, block.corners_px, tone, gsd_m, rng)
        else:
            _paint_foundation(canvas, block.corners_px, gsd_m, rng)
    small = cv2.resize(canvas, (image.shape[1], image.shape[0]), interpolation=cv2.INTER_AREA)
    if rng.random() < 0.6:
        small = cv2.GaussianBlur(small, (0, 0), rng.uniform(0.3, 0.8))
    return np.clip(small + 0.5, 0, 255).astype(np.uint8), has_yard


def _points(corners_px: NDArray[np.float64]) -> NDArray[np.int32]:
    # Pixel corners at integers → OpenCV's pixel centres, with 4 fractional bits.
    return np.round((corners_px * _FINE - 0.5) * 16).astype(np.int32)


def _mask(canvas: NDArray[np.float32], corners_px: NDArray[np.float64]) -> NDArray[np.bool_]:
    mask = np.zeros(canvas.shape[:2], np.uint8)
    cv2.fillPoly(mask, [_points(corners_px)], 1, shift=4)
    return mask.astype(bool)


def _window(canvas: NDArray[np.float32], corners_px: NDArray[np.float64]) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """The part of the canvas around the corners, as a view, and the corners relative to it (both may be empty)."""
    low = np.maximum(np.floor(corners_px.min(axis=0)).astype(int) - 1, 0)
    high = np.maximum(np.ceil(corners_px.max(axis=0)).astype(int) + 1, 0)
    view = canvas[low[1] * _FINE : high[1] * _FINE, low[0] * _FINE : high[0] * _FINE]
    return view, corners_px - low


def _fill(
    canvas: NDArray[np.float32], corners_px: NDArray[np.float64], tone: NDArray, rng: np.random.Generator, *, noise: float
) -> None:
    view, corners = _window(canvas, corners_px)
    if not view.size:
        return
    mask = _mask(view, corners)
    grain = rng.standard_normal(view.shape[:2], dtype=np.float32) * np.float32(noise)
    # Blotches: smoothing by 6 px needs no more than every fourth pixel (whose noise is a quarter as strong once averaged).
    quarter_wh = [max(1, n // 4) for n in grain.shape[::-1]]
    coarse = cv2.GaussianBlur(cv2.resize(grain, quarter_wh, interpolation=cv2.INTER_AREA), (0, 0), 1.5)
    grain += cv2.resize(coarse, grain.shape[::-1], interpolation=cv2.INTER_LINEAR) * 4
    cv2.copyTo(np.asarray(tone, np.float32) + grain[..., None], mask.astype(np.uint8), view)


def _ground_tone(rng: np.random.Generator) -> NDArray[np.float64]:
    bases = np.array([[172, 152, 124], [190, 178, 156], [150, 138, 120], [128, 124, 118], [160, 122, 92]])
    return bases[rng.integers(len(bases))] * rng.uniform(0.75, 1.15)


def _cast_shadow(
    canvas: NDArray[np.float32], corners_px: NDArray[np.float64], shift_px: NDArray[np.float64], darkness: float
) -> None:
    hull = cv2.convexHull(np.concatenate([corners_px, corners_px + shift_px]).astype(np.float32))[:, 0].astype(np.float64)
    view, hull = _window(canvas, hull)
    if view.size:
        view[_mask(view, hull)] *= darkness


@dataclass(frozen=True)
class _RoofStyle:
    ridge: bool
    contrast: float
    stripes: float
    units: int


def _roof_style(rng: np.random.Generator, look: Look) -> _RoofStyle:
    return _RoofStyle(
        bool(rng.random() < look.ridge_share), rng.uniform(*look.contrast), rng.uniform(0, 7), int(rng.integers(0, 14))
    )


def _paint_roof(
    canvas: NDArray[np.float32], corners: NDArray, tone: NDArray, shade_xy: NDArray, style: _RoofStyle, rng: np.random.Generator
) -> None:
    _fill(canvas, corners, tone, rng, noise=3.0)
    a, b, c, d = corners  # a–b and d–c are the long sides
    if style.ridge:
        towards = (d - a) / np.linalg.norm(d - a) @ shade_xy  # the side that leans away from the sun is darker
        half = np.array([(a + d) / 2, (b + c) / 2, c, d])
        _shade(canvas, half, 1 - style.contrast * np.sign(towards))
    else:
        _edge(canvas, corners, 1 + style.contrast, thickness=1)  # a parapet
    if style.stripes > 1:
        for t in np.linspace(0, 1, int(np.linalg.norm(b - a) // 4) + 2)[1:-1]:
            _line(canvas, a + (b - a) * t, d + (c - d) * t, 1 - style.stripes / 100)
    for _ in range(style.units):
        at = a + (b - a) * rng.uniform(0.05, 0.95) + (d - a) * rng.uniform(0.2, 0.8)
        size = rng.uniform(0.5, 1.2) * 2
        _shade(canvas, at + size * np.array([[0, 0], [1, 0], [1, 1], [0, 1]]), rng.choice([0.6, 1.25]))


def _paint_shell(canvas: NDArray[np.float32], corners: NDArray, tone: NDArray, gsd_m: float, rng: np.random.Generator) -> None:
    """Walls without a roof: dark rooms between light walls; or a bare slab with part of the roof laid."""
    wall = np.asarray(CONCRETE_RGB) * rng.uniform(0.8, 1.1)
    inside = wall * rng.uniform(0.35, 0.75)
    _fill(canvas, corners, inside, rng, noise=8.0)
    a, b, c, d = corners
    rooms = max(3, int(np.linalg.norm(b - a) * gsd_m / rng.uniform(3.0, 6.0)))
    thick = max(1, round(0.4 / gsd_m * _FINE))
    for t in np.linspace(0, 1, rooms + 1):
        _stroke(canvas, a + (b - a) * t, d + (c - d) * t, wall, thick)
    for t in (0.0, rng.choice([0.5, 0.42]), 1.0):
        _stroke(canvas, a + (d - a) * t, b + (c - b) * t, wall, thick)
    if rng.random() < 0.35:  # part of the roof lies already
        share = rng.uniform(0.15, 0.6)
        _fill(canvas, np.array([a, a + (b - a) * share, d + (c - d) * share, d]), tone, rng, noise=3.0)


def _paint_foundation(canvas: NDArray[np.float32], corners: NDArray, gsd_m: float, rng: np.random.Generator) -> None:
    """A bare slab, or trenches and footings on open ground."""
    a, b, c, d = corners
    if rng.random() < 0.6:
        _fill(canvas, corners, np.asarray(CONCRETE_RGB) * rng.uniform(0.85, 1.2), rng, noise=4.0)
        _edge(canvas, corners, rng.uniform(0.8, 1.1), thickness=1)
        return
    _fill(canvas, corners, _ground_tone(rng), rng, noise=8.0)
    line = np.asarray(CONCRETE_RGB) * rng.choice([0.45, 1.1])
    thick = max(1, round(0.6 / gsd_m * _FINE))
    for t in np.linspace(0, 1, max(3, int(np.linalg.norm(b - a) * gsd_m / 6)) + 1):
        _stroke(canvas, a + (b - a) * t, d + (c - d) * t, line, thick)
    for t in (0.0, 0.5, 1.0):
        _stroke(canvas, a + (d - a) * t, b + (c - b) * t, line, thick)


def _shade(canvas: NDArray[np.float32], corners_px: NDArray, factor: float) -> None:
    view, corners = _window(canvas, corners_px)
    if view.size:
        view[_mask(view, corners)] *= factor


def _edge(canvas: NDArray[np.float32], corners: NDArray, factor: float, *, thickness: int) -> None:
    view, corners = _window(canvas, corners)
    if view.size:
        mask = np.zeros(view.shape[:2], np.uint8)
        cv2.polylines(mask, [_points(corners)], True, 1, thickness, shift=4)
        view[mask.astype(bool)] *= factor


def _line(canvas: NDArray[np.float32], start: NDArray, end: NDArray, factor: float) -> None:
    _edge(canvas, np.array([start, end]), factor, thickness=1)


def _stroke(canvas: NDArray[np.float32], start: NDArray, end: NDArray, tone: NDArray, thickness: int) -> None:
    cv2.line(
        canvas, *(tuple(int(v) for v in p) for p in _points(np.array([start, end]))), tuple(map(float, tone)), thickness, shift=4
    )


def draw_ground(rng: np.random.Generator, size_hw: tuple[int, int], gsd_m: float) -> Image:
    """Open ground (H, W, 3): soil with patches of vegetation, a few tracks and trees."""
    height, width = size_hw
    tone = _ground_tone(rng)
    ground = np.tile(tone.astype(np.float32), (height, width, 1))
    for scale_m, amount in ((60, 22), (15, 12), (3, 6), (0.6, 4)):
        shape = (max(2, int(height * gsd_m / scale_m) + 2), max(2, int(width * gsd_m / scale_m) + 2))
        grain = cv2.resize(rng.normal(0, 1, shape).astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
        ground += grain[..., None] * amount
        if scale_m == 60:
            green = np.clip(grain - 0.6, 0, 1)[..., None]
            ground = ground * (1 - green) + np.array([92, 104, 70], np.float32) * green
    for _ in range(int(rng.integers(1, 4))):
        ends = rng.uniform(0, 1, (2, 2)) * [width, height]
        direction = (ends[1] - ends[0]) / (np.linalg.norm(ends[1] - ends[0]) + 1e-9) * max(size_hw) * 2
        p, q = (tuple(int(v) for v in e) for e in (ends[0] - direction, ends[0] + direction))
        cv2.line(ground, p, q, tuple(map(float, tone * 1.12)), max(1, int(rng.uniform(4, 8) / gsd_m)))
    for _ in range(int(height * width * gsd_m**2 / 900)):
        at = (int(rng.uniform(0, width)), int(rng.uniform(0, height)))
        radius = max(1, int(rng.uniform(1, 3) / gsd_m))
        cv2.circle(ground, (at[0] + radius // 2, at[1] - radius // 2), radius, (60, 58, 50), -1)
        cv2.circle(ground, at, radius, tuple(map(float, np.array([72, 92, 56]) * rng.uniform(0.8, 1.2))), -1)
    return np.clip(ground, 0, 255).astype(np.uint8)


CELL_M = 380.0
"""Side of the square that holds one compound, its diagonal included."""
HOUSES_PER_CELL = 8
CRS, ORIGIN_XY = "EPSG:32637", (400_000.0, 6_200_000.0)  # anywhere in true metres; the scene shows no real place
BEDS = 256
SIMULATED = "SIMULATED"


def simulate(
    out: str | Path,
    *,
    seed: int = 0,
    gsd_m: float = 0.5,
    gap_m: float | None = None,
    compounds: int = 1,
    date: str = "2024-06-01",
) -> tuple[Path, Path]:
    """Draw worker compounds with known truth: ``scene.tif`` and ``truth.gpkg`` in a folder.

    Each compound is a site of rows of long blocks; a few houses that are no dormitories stand around it. The same seed and options
    give the same scene. The picture, its metadata and the truth all say SIMULATED.

    Args:
        out: folder; created.
        seed: of everything drawn.
        gsd_m: ground size of a pixel, metres.
        gap_m: between the long sides of neighbouring blocks; drawn from 2 to 10 m for each compound without.
        compounds: number of compounds.
        date: written into the scene.

    Raises:
        InputError: the folder holds a scene or a truth already.
    """
    folder = Path(out)
    paths = folder / "scene.tif", folder / "truth.gpkg"
    for path in paths:
        if path.exists():
            raise InputError(f"{path}: exists already; give another --out")
    if not 0.05 <= gsd_m <= 2:
        raise InputError(f"--gsd {gsd_m:g}: blocks are drawn with pixels of 0.05 to 2 m")
    rng = np.random.default_rng(seed)
    side = round(CELL_M / gsd_m)
    columns = int(np.ceil(np.sqrt(compounds)))
    size_hw = (side * -(-compounds // columns), side * columns)
    image = draw_ground(rng, size_hw, gsd_m)
    azimuth = rng.uniform(0, 360)
    ranges = CompoundRanges(gap_m=(2.0, 10.0)) if gap_m is None else CompoundRanges(gap_m=(gap_m, gap_m))
    buildings: list[dict[str, Any]] = []
    sites: list[dict[str, Any]] = []
    for number in range(compounds):
        centre = (side * (number % columns + 0.5), side * (number // columns + 0.5))
        compound = draw_compound(rng, centre, gsd_m, ranges)
        image, _ = paint_compound(rng, image, compound, gsd_m, sun_azimuth_deg=azimuth)
        houses = draw_houses(rng, centre, side, compound, gsd_m)
        if houses.blocks:
            image, _ = paint_compound(rng, image, houses, gsd_m, sun_azimuth_deg=azimuth, look=replace(CAMP, yard_share=0.0))
        name = f"compound {number + 1}"
        sites.append({"name": name, "planned_buildings": len(compound.blocks), "simulated": True, "polygon": compound.yard_px})
        buildings += [_record(b, name, dormitory=True) for b in compound.blocks] + [
            _record(b, None, dormitory=False) for b in houses.blocks
        ]
    cv2.putText(image, SIMULATED, (8, size_hw[0] - 10), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 255), 1, cv2.LINE_AA)
    folder.mkdir(parents=True, exist_ok=True)
    transform = Affine(gsd_m, 0, ORIGIN_XY[0], 0, -gsd_m, ORIGIN_XY[1])
    asides = [path.with_name(f".{path.name}") for path in paths]
    _write_scene(asides[0], image, transform, seed, date)
    asides[1].unlink(missing_ok=True)
    for layer, records in (("buildings", buildings), ("sites", sites)):
        polygons = [shapely.Polygon([transform * tuple(xy) for xy in r.pop("polygon")]) for r in records]
        table = gpd.GeoDataFrame(records, geometry=polygons, crs=CRS)
        if layer == "buildings":
            table.insert(0, "id", np.arange(1, len(table) + 1))
        table.to_file(asides[1], layer=layer, driver="GPKG")
    for aside, path in zip(asides, paths, strict=True):
        aside.replace(path)
    return paths


def _record(block: Block, site: str | None, *, dormitory: bool) -> dict[str, Any]:
    beds = BEDS if dormitory else 0
    return {
        "stage": block.stage,
        "dormitory": dormitory,
        "beds": beds,
        "site": site,
        "simulated": True,
        "polygon": block.corners_px,
    }


def draw_houses(
    rng: np.random.Generator, centre_xy_px: tuple[float, float], side_px: int, compound: Compound, gsd_m: float
) -> Compound:
    """Single houses around a compound, clear of it and of each other."""
    taken = [shapely.Polygon(compound.yard_px).buffer(12 / gsd_m)]
    houses = []
    for _ in range(HOUSES_PER_CELL * 4):
        at = np.asarray(centre_xy_px) + rng.uniform(-0.45, 0.45, 2) * side_px
        angle = rng.uniform(0, np.pi)
        along = np.array([np.cos(angle), np.sin(angle)]) * rng.uniform(8, 14) / gsd_m / 2
        across = np.array([-np.sin(angle), np.cos(angle)]) * rng.uniform(7, 11) / gsd_m / 2
        corners = at + np.array([-along - across, along - across, along + across, -along + across])
        outline = shapely.Polygon(corners)
        if any(outline.intersects(t) for t in taken):
            continue
        taken.append(outline.buffer(6 / gsd_m))
        houses.append(Block(corners, "complete", 0))
        if len(houses) == HOUSES_PER_CELL:
            break
    return replace(compound, blocks=tuple(houses))


def _write_scene(path: Path, image: Image, transform: Affine, seed: int, date: str) -> None:
    profile = {
        "driver": "GTiff", "dtype": "uint8", "count": 3, "height": image.shape[0], "width": image.shape[1], "crs": CRS,
        "transform": transform, "tiled": True, "blockxsize": 256, "blockysize": 256, "compress": "deflate", "photometric": "rgb",
    }  # fmt: skip
    with rasterio.open(path, "w", **profile) as target:
        target.write(image.transpose(2, 0, 1))
        target.colorinterp = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
        target.update_tags(
            TIFFTAG_IMAGEDESCRIPTION=f"{SIMULATED} worker compound, seed {seed}; no real place",
            TIFFTAG_DATETIME=f"{date.replace('-', ':')} 10:00:00",
        )
