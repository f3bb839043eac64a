"""overview.png: the scene with its footprints, for a chat or a slide."""

from __future__ import annotations

import math
import warnings
from pathlib import Path

import cv2
import geopandas as gpd
import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.features import rasterize

from detect.base.geometry import north_px
from detect.base.quiet import no_font_list
from detect.base.texts import shortened
from detect.base.vectors import geometries_of
from detect.results.styles import STAGE_COLOURS_RGB
from detect.scene.scene import Scene, WorkGrid

with no_font_list():
    from matplotlib import patheffects
    from matplotlib.axes import Axes
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.collections import PolyCollection
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

LONG_SIDE_PX = 1600
MOST_OUTLINES = 20_000
"""More buildings are tinted pixel by pixel: their outlines would overlap and take hundreds of megabytes to draw."""
MOST_LETTERS = 120
"""Of a credit below the picture; summary.json and report.html have all of it."""
_DPI = 100
_FOOT_PX = 110
_HALO = [patheffects.withStroke(linewidth=3, foreground="black")]


def write_overview(
    path: Path,
    scene: Scene,
    overall: NDArray[np.uint8],
    buildings: gpd.GeoDataFrame,
    sites: gpd.GeoDataFrame,
    *,
    draw_sites: bool,
) -> None:
    """The scene, footprints coloured by stage, dormitory-like ones filled, legend, scale bar and an arrow to true north.

    Args:
        path: PNG to write.
        scene: for its name, date and scale; its file is not read.
        overall: the whole scene in colours (H, W, 3), such as ``detect.results.picture.read_whole`` gives.
        buildings: in the scene's CRS.
        sites: in the scene's CRS.
        draw_sites: False where the whole scene is the one site.
    """
    grid = _picture_grid(scene)
    height, width = grid.size_hw
    picture = cv2.resize(overall, (width, height), interpolation=cv2.INTER_AREA)
    # At least wide enough for the legend; a narrow scene stands in the middle.
    full_width = max(width, 760)
    figure = Figure(figsize=(full_width / _DPI, (height + _FOOT_PX) / _DPI), dpi=_DPI, facecolor="none")
    canvas = FigureCanvasAgg(figure)
    foot = _FOOT_PX / (height + _FOOT_PX)
    axes = figure.add_axes(((full_width - width) / 2 / full_width, foot, width / full_width, 1 - foot))
    axes.set_axis_off()
    axes.set(xlim=(0, width), ylim=(height, 0))
    to_px = ~grid.transform
    if len(buildings) <= MOST_OUTLINES:
        _draw_outlines(axes, buildings, to_px)
    else:
        picture = _tinted(picture, buildings, grid)
    if draw_sites:
        for name, ring in zip(*_site_rings(sites, to_px), strict=True):
            axes.plot(*ring.T, color="black", linewidth=3.2)
            axes.plot(*ring.T, color="white", linewidth=1.6, linestyle=(0, (6, 3)))
            x, y = np.clip(ring.mean(axis=0), (0.1 * width, 0.05 * height), (0.9 * width, 0.95 * height))
            axes.text(
                x,
                y,
                shortened(name, 40),
                color="white",
                ha="center",
                va="center",
                fontsize=11,
                path_effects=_HALO,
                parse_math=False,
            )
    _draw_foot(figure, scene, buildings, grid, full_width, foot)
    # Matplotlib makes only the drawing: it resamples pictures in floating point, which takes time and hundreds of megabytes.
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # a box is drawn in place of a letter that no font here has
        canvas.draw()
    under = np.full((height + _FOOT_PX, full_width, 3), 255, np.uint8)
    left = (full_width - width) // 2
    under[:height, left : left + width] = picture
    _write_png(path, under, np.asarray(canvas.buffer_rgba()))


def _write_png(path: Path, under: NDArray[np.uint8], over: NDArray[np.uint8]) -> None:
    """Write a picture (H, W, 3) with a drawing (H, W, 4; not premultiplied) over it."""
    opacity = over[..., 3:].astype(np.uint16)
    mixed = (under * (255 - opacity) + over[..., :3] * opacity + 127) // 255
    done, encoded = cv2.imencode(".png", mixed.astype(np.uint8)[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 2])
    assert done, "OpenCV encodes every 8-bit picture"
    path.write_bytes(bytes(encoded))


def _draw_outlines(axes: Axes, buildings: gpd.GeoDataFrame, to_px: Affine) -> None:
    for stage, rgb in STAGE_COLOURS_RGB.items():
        for like in (False, True):
            chosen = buildings[(buildings["stage"] == stage) & (buildings["dormitory_like"] == like)]
            colour = tuple(c / 255 for c in rgb)
            rings = _rings(chosen, to_px)
            # A dark line below the coloured one keeps it visible on bright roofs.
            axes.add_collection(
                PolyCollection(rings, facecolors="none", edgecolors=[(0, 0, 0, 0.7)], linewidths=3.2 if like else 2.6)
            )
            axes.add_collection(
                PolyCollection(
                    rings,
                    facecolors=[(*colour, 0.45 if like else 0.12)],
                    edgecolors=[colour],
                    linewidths=2.0 if like else 1.4,
                )
            )


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


def _rings(table: gpd.GeoDataFrame, to_px: Affine) -> list[np.ndarray]:
    """Outer rings in pixels of the picture; courtyards are left out of the drawing."""
    return [_pixels(shapely.get_coordinates(g.exterior), to_px) for g in geometries_of(table)]


def _site_rings(sites: gpd.GeoDataFrame, to_px: Affine) -> tuple[list[str], list[np.ndarray]]:
    parts = sites.explode(ignore_index=True)
    return list(parts["name"]), _rings(parts, to_px)


def _pixels(xy: np.ndarray, to_px: Affine) -> np.ndarray:
    x, y = xy.T
    return np.stack([to_px.a * x + to_px.b * y + to_px.c, to_px.d * x + to_px.e * y + to_px.f], axis=1)


def _draw_foot(figure: Figure, scene: Scene, buildings: gpd.GeoDataFrame, grid: WorkGrid, full_width: int, foot: float) -> None:
    """Below the picture: what it shows, a legend, a scale bar, north."""
    axes = figure.add_axes((0, 0, 1, foot))
    axes.set(xlim=(0, full_width), ylim=(0, _FOOT_PX))
    axes.set_axis_off()
    simulated = " – SIMULATED" if scene.simulated else ""
    title = f"{shortened(scene.name)}{simulated}, {scene.date or 'date unknown'}: {len(buildings)} buildings"
    axes.text(14, 88, title, fontsize=12, va="center", weight="bold", parse_math=False)
    if scene.provenance is not None and scene.provenance.attribution:
        axes.text(14, 68, scene.provenance.attribution[:MOST_LETTERS], fontsize=7, va="center", color="0.4", parse_math=False)
    counts = {stage: int((buildings["stage"] == stage).sum()) for stage in STAGE_COLOURS_RGB}
    like = int(buildings["dormitory_like"].sum())
    handles: list[Patch | Line2D] = []
    for stage, rgb in STAGE_COLOURS_RGB.items():
        colour = (rgb[0] / 255, rgb[1] / 255, rgb[2] / 255)
        handles.append(Patch(facecolor=(*colour, 0.3), edgecolor=colour, label=f"{stage} ({counts[stage]})"))
    handles.append(
        Patch(facecolor=(0.4, 0.4, 0.4, 0.6), edgecolor="black", linewidth=2, label=f"filled: dormitory-like ({like})")
    )
    axes.legend(
        handles=handles, loc="lower left", bbox_to_anchor=(0.005, 0.02), ncol=4, frameon=False, fontsize=10, borderaxespad=0
    )
    metres = _round_length(full_width * grid.gsd_m / 6)
    length = metres / grid.gsd_m
    left = full_width - 70 - length
    axes.plot([left, left + length], [60, 60], color="black", linewidth=3, solid_capstyle="butt")
    axes.text(
        left + length / 2,
        72,
        f"{metres:g} m" if metres < 1000 else f"{metres / 1000:g} km",
        ha="center",
        va="bottom",
        fontsize=10,
    )
    x, y = north_px(grid.transform, grid.size_hw, scene.crs)
    centre = (full_width - 32, 68)
    axes.annotate(
        "", xy=(centre[0] + 22 * x, centre[1] - 22 * y), xytext=(centre[0] - 22 * x, centre[1] + 22 * y),
        arrowprops={"arrowstyle": "-|>", "color": "black", "linewidth": 2},
    )  # fmt: skip
    axes.text(centre[0], 30, "N", ha="center", va="center", fontsize=11, weight="bold")


def _round_length(metres: float) -> float:
    """1, 2 or 5 times a power of ten, at most ``metres``."""
    power = 10 ** math.floor(math.log10(metres))
    return max(f * power for f in (1, 2, 5) if f * power <= metres)
