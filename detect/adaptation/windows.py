"""Read what the network sees on checked ground: its heads, the features before its last layer, and the truth beside them.

Checked ground is read in windows of its own, with the halo of a tile around each, so a few windows of a large scene take seconds. Some
windows elsewhere hold what the network answers where nobody has looked; ``detect.adaptation.learn`` keeps it from changing much there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio.features import rasterize
from shapely.geometry.base import BaseGeometry

from detect.adaptation.ground import Ground
from detect.base.grid import Margins, Span
from detect.base.values import NO_DATA
from detect.network.last_layer import FeatureReader
from detect.network.lattice import Lattice, Tile
from detect.network.probabilities import as_stored
from detect.scene.reader import SceneReader
from detect.scene.scene import Scene, WorkGrid

PIECE_PX = 512
"""Longest side of the part of a window that counts."""
CONTEXT_PX = 64
"""Read around it, so that a building across its edge is whole."""
MOST_PX = 4_000_000
"""Checked ground beyond this is not learnt from: features take 80 bytes a pixel, and more ground teaches little more."""
ELSEWHERE = 16
"""Windows on ground that nobody has checked."""
ELSEWHERE_PX = 192
"""Side of such a window."""


@dataclass(frozen=True)
class Window:
    """A part of the scene, H × W pixels of the work grid."""

    span: Span
    heads: NDArray[np.uint8]
    """(5, H, W) as stored."""
    features: NDArray[np.float32]
    """(channels, H + 2 reach, W + 2 reach)."""
    known: NDArray[np.bool_]
    """(H, W) checked ground that counts here; elsewhere the window is context."""
    instances: NDArray[np.uint16]
    """(H, W) number of the true building on each pixel, from 1; 0 where there is none."""
    outlines: NDArray[np.object_]
    """(n,) true buildings on ``known``, in pixels of the window."""
    values: NDArray[np.float32]
    """(3, h, w) what the network saw, stretched to 0–1."""
    margins: Margins
    """Of ``values``; the window begins inside them."""

    @property
    def built(self) -> NDArray[np.bool_]:
        """(H, W) pixels of true buildings."""
        return self.instances > 0


def at(raster: NDArray, polygons: NDArray[np.object_]) -> NDArray:
    """(n,) values of a raster (H, W) at the inner points of polygons in its pixels; the nearest value for one beyond its edge."""
    xy = shapely.get_coordinates(shapely.point_on_surface(polygons)).astype(np.int64)
    row, col = (np.clip(xy[:, i], 0, n - 1) for i, n in ((1, raster.shape[0]), (0, raster.shape[1])))
    return raster[row, col]


@dataclass(frozen=True)
class Views:
    """All that is learnt from."""

    checked: list[Window]
    elsewhere: list[Window]
    left_out_px: int
    """Checked ground that was too much to read."""


def read_views(
    scene: Scene, grid: WorkGrid, lattice: Lattice, features: FeatureReader, ground: Ground, report: Callable[[int, int], None]
) -> Views:
    """Read the windows of checked ground, and some elsewhere; ``report`` is called as (done, total)."""
    pieces, left_out_px = _within_bounds(list(_pieces(ground.checked)))
    others = _elsewhere(grid.size_hw, ground)
    windows: list[Window] = []
    with scene.reader(grid) as reader:
        for done, (core, known) in enumerate([*pieces, *((span, None) for span in others)]):
            report(done, len(pieces) + len(others))
            span = _aligned(core, grid.size_hw, lattice.stride_px)
            windows.append(_read(reader, features, lattice.tile(span, grid.size_hw), known, ground))
    report(len(windows), len(windows))
    return Views(windows[: len(pieces)], windows[len(pieces) :], left_out_px)


def _pieces(checked: BaseGeometry) -> Iterator[tuple[Span, BaseGeometry]]:
    """Checked ground in parts of limited size, from north to south, each with its box."""
    parts = [part for part in shapely.get_parts(checked) if part.geom_type == "Polygon"]
    for part in sorted(parts, key=lambda p: (p.bounds[1], p.bounds[0])):
        west, north, east, south = part.bounds
        for top in np.arange(np.floor(north), south, PIECE_PX):
            for left in np.arange(np.floor(west), east, PIECE_PX):
                box = shapely.box(left, top, left + PIECE_PX, top + PIECE_PX)
                piece = shapely.intersection(part, box)
                if piece.area >= 1:
                    x0, y0, x1, y1 = piece.bounds
                    yield Span(int(y0), int(x0), int(np.ceil(y1)), int(np.ceil(x1))), piece


def _within_bounds(pieces: list[tuple[Span, BaseGeometry]]) -> tuple[list[tuple[Span, BaseGeometry]], int]:
    """The first pieces that fit into memory, and the pixels of the others."""
    totals = np.cumsum([span.height * span.width for span, _ in pieces])
    fit = int(np.searchsorted(totals, MOST_PX, side="right"))
    kept = max(1, fit)
    return pieces[:kept], int(sum(piece.area for _, piece in pieces[kept:]))


def _elsewhere(size_hw: tuple[int, int], ground: Ground) -> list[Span]:
    """Windows over the scene and on its buildings in turn, drawn with a fixed seed; they may touch checked ground, which is left out."""
    rng = np.random.default_rng(0)
    centres = shapely.get_coordinates(shapely.centroid(ground.buildings[~ground.inside]))
    spans = []
    for number in range(ELSEWHERE):
        x, y = rng.random(2) * (size_hw[1], size_hw[0])
        if number % 2 and len(centres):
            x, y = centres[rng.integers(len(centres))]
        half = ELSEWHERE_PX // 2
        span = Span(int(y) - half, int(x) - half, int(y) + half, int(x) + half).clip(size_hw)
        if not span.is_empty:
            spans.append(span)
    return spans


def _read(reader: SceneReader, features: FeatureReader, tile: Tile, checked: BaseGeometry | None, ground: Ground) -> Window:
    """One window; without ``checked``, what counts is the ground that nobody has checked."""
    span = tile.core
    values, valid = reader.read(tile.input)
    heads, before = features.read(values, tile.margins, reader.shown(tile.input, valid))
    (height, width), reach_px = span.size_hw, features.layer.reach_px
    seen = tile.of_core(valid)
    stored = as_stored(tile.of_answer(heads))
    stored[:, ~seen] = NO_DATA
    known = seen & (burnt([checked], span) if checked is not None else ~burnt([ground.checked], span))
    near = ground.buildings[shapely.intersects(ground.buildings, shapely.box(span.col0, span.row0, span.col1, span.row1))]
    outlines = shapely.transform(near, lambda xy: xy - (span.col0, span.row0))
    return Window(
        span=span,
        heads=stored,
        features=before[:, : height + 2 * reach_px, : width + 2 * reach_px].copy(),
        known=known,
        instances=numbered(outlines, span.size_hw),
        outlines=outlines[at(known, outlines)],
        values=values,
        margins=tile.margins,
    )


def _aligned(core: Span, size_hw: tuple[int, int], stride_px: int) -> Span:
    """The span to read around a core; it begins where a tile might, so that the network answers as it did for the scene."""
    span = core.pad(CONTEXT_PX).clip(size_hw)
    return Span(span.row0 // stride_px * stride_px, span.col0 // stride_px * stride_px, span.row1, span.col1)


def burnt(polygons: Sequence[BaseGeometry] | NDArray[np.object_], span: Span) -> NDArray[np.bool_]:
    """(H, W) which pixels of a span have their centre in one of the polygons."""
    shapes = [
        p
        for p in shapely.transform(np.array([*polygons, None], object)[:-1], lambda xy: xy - (span.col0, span.row0))
        if not p.is_empty
    ]
    if not shapes:
        return np.zeros(span.size_hw, bool)
    return np.asarray(rasterize(shapes, span.size_hw), bool)


def numbered(outlines: NDArray[np.object_], size_hw: tuple[int, int]) -> NDArray[np.uint16]:
    """(H, W) number, from 1, of the polygon in which each pixel has its centre; 0 where there is none."""
    shapes = [(p, number) for number, p in enumerate(outlines, start=1) if not p.is_empty]
    return np.asarray(rasterize(shapes, size_hw, dtype="uint16")) if shapes else np.zeros(size_hw, np.uint16)
