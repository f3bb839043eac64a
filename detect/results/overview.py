"""overview.png: the scene with its footprints, for a chat or a slide.

OpenCV draws the lines and Pillow the letters; Matplotlib, which could do both, takes a second to import.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import cv2
import geopandas as gpd
import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from rasterio.features import rasterize
from shapely import LineString, Polygon
from shapely.ops import substring

from detect.base.geometry import moved, north_px
from detect.base.texts import number_of, shortened
from detect.base.vectors import geometries_of
from detect.results.styles import STAGE_COLOURS_RGB, Rgb
from detect.scene.scene import Scene, WorkGrid

LONG_SIDE_PX = 1600
MOST_OUTLINES = 20_000
"""More buildings are tinted pixel by pixel: their outlines would overlap and take hundreds of megabytes to draw."""
MOST_LETTERS = 120
"""Of a credit below the picture; summary.json and report.html have all of it."""
LEAST_WIDTH_PX = 760
"""The legend needs so much; a narrower scene stands in the middle."""
_FOOT_PX = 110
_FONT = Path(__file__).with_name("fonts") / "DejaVuSans.ttf"
"""Has the letters of most scripts that are written from left to right."""
_BITS = 4
"""Coordinates are drawn to 1/16 of a pixel."""
_BLACK, _WHITE, _GREY = (0, 0, 0), (255, 255, 255), (102, 102, 102)
_NAME_PX = 16
"""From the upper edge of a site to the middle of its name."""
_BEYOND_PX = 16
"""Lines are drawn so far beyond the picture, so that their ends do not show."""
_DASH_PX = (13, 7)
"""Lengths of the dashes around a site, and of the gaps between them."""
Picture = NDArray[np.uint8]
Rings = list[NDArray[np.float64]]
"""Outlines (n, 2) in pixels of the picture: x, y."""


def write_overview(
    path: Path,
    scene: Scene,
    overall: Picture,
    buildings: gpd.GeoDataFrame,
    sites: gpd.GeoDataFrame,
    *,
    draw_sites: bool,
    structure: str = "dormitory",
) -> None:
    """The scene, footprints coloured by stage, those like the structure filled, legend, scale bar, and an arrow where north is known.

    Args:
        path: PNG to write.
        scene: for its name, date and scale; its file is not read.
        overall: the whole scene in colours (H, W, 3), such as ``detect.results.picture.read_whole`` gives.
        buildings: in the scene's CRS.
        sites: in the scene's CRS.
        draw_sites: False where the whole scene is the one site.
        structure: name of the structure profile, for the legend.
    """
    grid = _picture_grid(scene)
    height, width = grid.size_hw
    picture = np.ascontiguousarray(cv2.resize(overall, (width, height), interpolation=cv2.INTER_AREA))
    to_px = ~grid.transform
    if len(buildings) <= MOST_OUTLINES:
        _draw_outlines(picture, buildings, to_px)
    else:
        picture = _tinted(picture, buildings, grid)
    names, rings = _site_rings(sites, to_px) if draw_sites else ([], [])
    for ring in rings:
        seen = _within(ring, (height, width))
        _lines(picture, seen, 4, _BLACK, closed=False)
        _lines(picture, [dash for line in seen for dash in _dashes(line)], 2, _WHITE, closed=False)
    page = np.full((height + _FOOT_PX, max(width, LEAST_WIDTH_PX), 3), 255, np.uint8)
    left = (page.shape[1] - width) // 2
    page[:height, left : left + width] = picture
    foot = page[height:]
    knows_north = scene.crs is not None
    if knows_north:
        _draw_north(foot, *north_px(grid.transform, grid.size_hw, scene.crs))
    _draw_legend_boxes(foot)
    metres = _round_length(page.shape[1] * grid.gsd_m / 6)
    bar = _draw_scale_bar(foot, metres / grid.gsd_m)
    drawing = Image.fromarray(page)
    pen = ImageDraw.Draw(drawing)
    for name, x, y in _named(names, rings, (height, width)):
        pen.text((left + x, y), name, font=_font(15), fill=_WHITE, anchor="mm", stroke_width=2, stroke_fill=_BLACK)
    title = _counted(buildings, len(sites) if draw_sites else 0)
    _write_foot(pen, scene, title, _legend(buildings, structure), height)
    length = f"{metres:g} m" if metres < 1000 else f"{metres / 1000:g} km"
    pen.text((bar, height + 38), length, font=_font(14), fill=_BLACK, anchor="ms")
    if knows_north:
        pen.text((page.shape[1] - 32, height + 86), "N", font=_font(16), fill=_BLACK, anchor="mm")
    done, encoded = cv2.imencode(".png", np.asarray(drawing)[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 2])
    assert done, "OpenCV encodes every 8-bit picture"
    path.write_bytes(bytes(encoded))


def _named(
    names: Sequence[str], rings: Sequence[NDArray[np.float64]], size_hw: tuple[int, int]
) -> Iterator[tuple[str, float, float]]:
    """Name and middle (x, y in pixels) of each site of which the picture shows a part."""
    height, width = size_hw
    picture = shapely.box(0, 0, width, height)
    shown = [i for i, ring in enumerate(rings) if picture.intersects(shapely.make_valid(Polygon(ring)))]
    places = [_below_top(rings[i]) for i in shown]
    texts = _apart([names[i] for i in shown], places, [float(np.ptp(rings[i][:, 0])) for i in shown])
    for text, (x, y) in zip(texts, places, strict=True):
        half = min(_font(15).getlength(text) / 2 + 4, width / 2)
        yield text, float(np.clip(x, half, width - half)), float(np.clip(y, max(0.02 * height, 10), 0.95 * height))


def _apart(names: Sequence[str], places: Sequence[tuple[float, float]], widths: Sequence[float]) -> list[str]:
    """Names as they are written with their middles at ``places`` (pixels): one that would cover another is cut to its site's width."""
    font, texts = _font(15), [shortened(name, 40) for name in names]
    lengths = np.array([font.getlength(text) for text in texts])
    x, y = np.array(places, float).reshape(-1, 2).T
    boxes = shapely.box(x - lengths / 2, y - 8, x + lengths / 2, y + 8)
    one, other = shapely.STRtree(boxes).query(boxes, predicate="intersects")
    for i in np.unique(one[one != other]).tolist():
        texts[i] = shortened(texts[i], max(3, int(len(texts[i]) * min(1.0, widths[i] / lengths[i]))))
    return texts


def _below_top(ring: NDArray[np.float64]) -> tuple[float, float]:
    """Where the name of a site is written, in pixels: below the upper edge of its outline (n, 2), where it covers few buildings."""
    x = (ring[:, 0].min() + ring[:, 0].max()) / 2
    along = LineString([(x, ring[:, 1].min()), (x, ring[:, 1].max())])
    _, top, _, _ = shapely.intersection(shapely.make_valid(Polygon(ring)), along).bounds
    return float(x), (float(ring[:, 1].mean()) if math.isnan(top) else top) + _NAME_PX


def _draw_outlines(picture: Picture, buildings: gpd.GeoDataFrame, to_px: Affine) -> None:
    stages, likes = buildings["stage"].to_numpy(object), buildings["dormitory_like"].to_numpy(bool)
    rings = np.empty(len(buildings), object)
    rings[:] = _rings(buildings, to_px)
    for stage, rgb in STAGE_COLOURS_RGB.items():
        for like in (False, True):
            chosen = list(rings[(stages == stage) & (likes == like)])
            if chosen:
                # A dark line below the coloured one keeps it visible on bright roofs.
                _lines(picture, chosen, 4 if like else 3, _BLACK, 0.7)
                _fill(picture, chosen, rgb, 0.45 if like else 0.12)
                _lines(picture, chosen, 2 if like else 1, rgb)


def _lines(picture: Picture, lines: Rings, width_px: int, rgb: Rgb, opacity: float = 1.0, *, closed: bool = True) -> None:
    """Draw lines into a picture (H, W, 3); where they cross, they are not darker."""
    ink = np.zeros(picture.shape[:2], np.uint8)
    cv2.polylines(ink, [_fixed(line) for line in lines], closed, 255, width_px, cv2.LINE_AA, _BITS)
    _blend(picture, ink, rgb, opacity)


def _fill(picture: Picture, rings: Rings, rgb: Rgb, opacity: float) -> None:
    """Fill polygons in a picture (H, W, 3)."""
    ink = np.zeros(picture.shape[:2], np.uint8)
    for ring in rings:  # together, polygons that overlap would cancel each other
        cv2.fillPoly(ink, [_fixed(ring)], 255, cv2.LINE_AA, _BITS)
    _blend(picture, ink, rgb, opacity)


def _fixed(xy: NDArray[np.float64]) -> NDArray[np.int32]:
    """Coordinates as OpenCV takes them, in whole parts of a pixel from the middle of the first."""
    return np.rint((xy - 0.5) * 2**_BITS).astype(np.int32)


def _blend(picture: Picture, ink: NDArray[np.uint8], rgb: Rgb, opacity: float) -> None:
    """Lay a colour over a picture (H, W, 3) where there is ink (H, W)."""
    rows, cols = np.nonzero(ink)
    share = ink[rows, cols, None].astype(np.float32) * np.float32(opacity / 255)
    picture[rows, cols] = np.rint(picture[rows, cols] * (1 - share) + np.array(rgb, np.float32) * share).astype(np.uint8)


def _within(ring: NDArray[np.float64], size_hw: tuple[int, int]) -> Rings:
    """The parts of a ring that show in a picture, since a plot may be as large as a country."""
    height, width = size_hw
    shown = LineString(ring).intersection(shapely.box(-_BEYOND_PX, -_BEYOND_PX, width + _BEYOND_PX, height + _BEYOND_PX))
    parts = shapely.get_parts(shapely.line_merge(shown))
    return [shapely.get_coordinates(part) for part in parts if part.length > 0]


def _dashes(line_xy: NDArray[np.float64]) -> Rings:
    line = LineString(line_xy)
    dash, gap = _DASH_PX
    return [shapely.get_coordinates(substring(line, a, a + dash)) for a in np.arange(0, line.length, dash + gap)]


def _tinted(picture: NDArray[np.uint8], buildings: gpd.GeoDataFrame, grid: WorkGrid) -> NDArray[np.uint8]:
    """The picture (H, W, 3) with the pixels that buildings touch tinted in the colours of their stages."""
    codes = buildings["stage"].map({stage: i for i, stage in enumerate(STAGE_COLOURS_RGB, start=1)}).to_numpy()
    geometries, touched = geometries_of(buildings), np.zeros(grid.size_hw, np.uint8)
    parts = -(-len(buildings) // 5000)  # rasterio converts each building to a dictionary
    for some in np.array_split(np.arange(len(buildings)), parts):
        pairs = zip(geometries[some], codes[some].tolist(), strict=True)
        rasterize(pairs, out=touched, transform=grid.transform, all_touched=True)
    tinted = picture.copy()
    for code, rgb in enumerate(STAGE_COLOURS_RGB.values(), start=1):
        here = touched == code
        tinted[here] = (0.4 * picture[here] + 0.6 * np.array(rgb)).astype(np.uint8)
    return tinted


def _picture_grid(scene: Scene) -> WorkGrid:
    """At most ``LONG_SIDE_PX``, and no more than twice as fine as the scene."""
    longest_m = max(n * g for n, g in zip(scene.size_hw, scene.gsd_rc_m, strict=True))
    return scene.work_grid(max(longest_m / LONG_SIDE_PX, scene.gsd_m / 2))


def _rings(table: gpd.GeoDataFrame, to_px: Affine) -> Rings:
    """Outer rings in pixels of the picture; courtyards are left out of the drawing."""
    return [shapely.get_coordinates(g.exterior) for g in moved(geometries_of(table), to_px)]


def _site_rings(sites: gpd.GeoDataFrame, to_px: Affine) -> tuple[list[str], Rings]:
    parts = sites.explode(ignore_index=True)
    return list(parts["name"]), _rings(parts, to_px)


def _draw_north(foot: Picture, x: float, y: float) -> None:
    """An arrow along the unit vector (x, y) in a picture (``_FOOT_PX``, W, 3)."""
    along, across = np.array([x, y]), np.array([-y, x])
    middle = np.array([foot.shape[1] - 32, 42])
    tip, neck = middle + 22 * along, middle + 10 * along
    _lines(foot, [np.stack([middle - 22 * along, neck])], 3, _BLACK, closed=False)
    _fill(foot, [np.stack([tip, neck + 6 * across, neck - 6 * across])], _BLACK, 1.0)


def _draw_scale_bar(foot: Picture, length_px: float) -> float:
    """A bar in a picture (``_FOOT_PX``, W, 3); the column of its middle."""
    left = foot.shape[1] - 70 - length_px
    foot[48:52, round(left) : round(left + length_px)] = _BLACK
    return left + length_px / 2


def _counted(buildings: gpd.GeoDataFrame, sites: int) -> str:
    """What is in the picture, which is not the estimate of the true number; where sites are drawn, what is in them first."""
    if not sites:
        return f"{number_of(len(buildings), 'building')} found"
    inside = int(buildings["site"].notna().sum())
    outside = f", {len(buildings) - inside:,} outside" if inside < len(buildings) else ""
    return f"{number_of(inside, 'building')} found in {number_of(sites, 'site')}{outside}"


def _legend(buildings: gpd.GeoDataFrame, structure: str) -> list[str]:
    stages = buildings["stage"].to_numpy(object)
    counts = [f"{stage} ({int((stages == stage).sum()):,})" for stage in STAGE_COLOURS_RGB]
    return [*counts, f"filled: {shortened(structure, 24)}-like ({int(buildings['dormitory_like'].sum()):,})"]


_BOX_AT, _BOX_WIDTH = (14, 160, 310, 450), 26
"""First column of each box of the legend, and its width."""


def _draw_legend_boxes(foot: Picture) -> None:
    colours = [*STAGE_COLOURS_RGB.values(), _GREY]
    for left, rgb in zip(_BOX_AT, colours, strict=True):
        corners = np.array([[0, 0], [_BOX_WIDTH, 0], [_BOX_WIDTH, 12], [0, 12]]) + np.array([left + 0.5, 84.5])
        _fill(foot, [corners], rgb, 0.6 if rgb == _GREY else 0.3)
        _lines(foot, [corners], 2, _BLACK if rgb == _GREY else rgb)


def _write_foot(pen: ImageDraw.ImageDraw, scene: Scene, title: str, legend: list[str], top: int) -> None:
    """Below the picture: what it shows, credit, legend; ``top`` is the first row of the foot."""
    simulated = " – SIMULATED" if scene.simulated else ""
    named = f"{shortened(scene.name, 40)}{simulated}, {scene.date or 'date unknown'}: {title}"
    pen.text((14, top + 22), named, font=_font(17), fill=_BLACK, anchor="lm")
    if scene.provenance is not None and scene.provenance.attribution:
        pen.text((14, top + 42), scene.provenance.attribution[:MOST_LETTERS], font=_font(10), fill=_GREY, anchor="lm")
    for left, text in zip(_BOX_AT, legend, strict=True):
        pen.text((left + _BOX_WIDTH + 6, top + 91), text, font=_font(13), fill=_BLACK, anchor="lm")


@cache
def _font(size_px: int) -> ImageFont.FreeTypeFont:
    # The other layout engine needs a library that not every machine has, and would draw other pixels there.
    return ImageFont.truetype(_FONT, size_px, layout_engine=ImageFont.Layout.BASIC)


def _round_length(metres: float) -> float:
    """1, 2 or 5 times a power of ten, at most ``metres``."""
    power = 10 ** math.floor(math.log10(metres))
    return max(f * power for f in (1, 2, 5) if f * power <= metres)
