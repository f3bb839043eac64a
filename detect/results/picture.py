"""The scene as a picture for a page: JPEG tiles of the whole scene up to a limit of size, and finer ones around the buildings.

Levels are halvings: 0 has the scene's own pixels (square on the ground), level k pixels of 2ᵏ times their side. The whole scene
is stored from the finest level of at most ``WHOLE_PX`` pixels upwards. If that is not level 0, tiles of level 0 are added while
they fit into ``BUDGET_BYTES``: first those around the given buildings, in their order, then from the top. JPEG is used because WebP
of the same quality saved 4 % of the bytes and took 14 times as long (measured on 0.3 m imagery).
"""

from __future__ import annotations

import base64
import itertools
import json
import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from detect.base.errors import InputError
from detect.base.grid import Span
from detect.scene.reader import BLANK
from detect.scene.scene import Scene

TILE_PX = 512
WHOLE_PX = 12_000_000
BUDGET_BYTES = 7_000_000
"""Size of all JPEG tiles; base64 in the page takes a third more. A page of a 4 km² scene at 0.3 m stays below 15 MB."""
_QUALITY = 75
_STRIP_PX = 6_000_000
"""Pixels of the scene that are averaged at a time: GDAL reads band by band, so its cache must hold them or they are decoded three times."""
_AROUND_PX = 24
"""Least margin shown around a building."""


@dataclass(frozen=True)
class Picture:
    """Tiles, and where they lie."""

    size_hw: tuple[int, int]
    """Size of level 0, pixels."""
    transform: Affine
    """Pixels of level 0 (x = column, y = row) → the scene's CRS."""
    gsd_m: float
    """Ground size of a pixel of level 0, metres."""
    whole: int
    """The finest level that shows the whole scene."""
    tiles: dict[str, str]
    """``level/column/row`` → JPEG in base64."""

    @property
    def note(self) -> str:
        """What the picture shows of the scene, for the reader of the page."""
        if self.whole == 0:
            return f"The picture shows the whole scene at {self.gsd_m:.2f} m per pixel, compressed."
        fine = sum(key.startswith("0/") for key in self.tiles)
        every = math.prod(math.ceil(n / TILE_PX) for n in self.size_hw)
        return (
            f"To keep this page small the picture shows the whole scene at {self.gsd_m * 2**self.whole:.2f} m per pixel, and {fine} of its "
            f"{every} tiles, those with the buildings to check first, at {self.gsd_m:.2f} m."
        )

    def as_json(self) -> dict[str, Any]:
        """JSON for the page's script and for ``read_picture``."""
        height, width = self.size_hw
        placed = {"transform": list(self.transform)[:6], "gsd_m": self.gsd_m}
        return {"width": width, "height": height, "tile": TILE_PX, "whole": self.whole, **placed, "tiles": self.tiles}


def read_whole(scene: Scene) -> NDArray[np.uint8]:
    """A whole scene at the finest level that has at most ``WHOLE_PX`` pixels, (H, W, 3)."""
    grid = scene.work_grid(scene.gsd_m)
    level = _whole_level(grid.size_hw)
    side, (height, width) = TILE_PX << level, grid.size_hw
    part = side
    while part > 1 << level and part * width > _STRIP_PX:
        part //= 2
    rows = [*range(0, height // side * side, part), *range(height // side * side, height, side), height]
    strips = []
    with scene.reader(grid) as reader:
        for row, below in itertools.pairwise(rows):
            span = Span(row, 0, below, width)
            strips.append(reader.look(span, (-(-span.height >> level), -(-span.width >> level))))
    return np.concatenate(strips)


def take_picture(
    scene: Scene, overall: NDArray[np.uint8], around: Iterable[BaseGeometry] = (), budget_bytes: int = BUDGET_BYTES
) -> Picture:
    """A scene as a picture.

    Args:
        scene: read again at full resolution for finer tiles.
        overall: result of ``read_whole``.
        around: geometries in the scene's CRS, the most important first.
        budget_bytes: largest size of all JPEG tiles.
    """
    grid = scene.work_grid(scene.gsd_m)
    whole = _whole_level(grid.size_hw)
    with scene.reader(grid) as reader:
        tiles = dict(_whole_scene(overall, whole))
        if whole:
            # Finer pixels of the same ground take somewhat fewer bytes each, so this errs on the safe side.
            shown = _shown_tiles(overall, TILE_PX >> whole)
            coarse_bytes = sum(len(tile) for key, tile in tiles.items() if key.startswith(f"{whole}/"))
            spare = budget_bytes - sum(map(len, tiles.values()))
            bytes_per_px = coarse_bytes / max(1, int(np.count_nonzero(_shown(overall))))
            count = max(0, int(spare / (bytes_per_px * TILE_PX**2)))
            for column, row in sorted(_fine_tiles(around, grid.transform, shown)[:count], key=lambda t: t[::-1]):
                span = Span(row * TILE_PX, column * TILE_PX, (row + 1) * TILE_PX, (column + 1) * TILE_PX).clip(grid.size_hw)
                tiles[f"0/{column}/{row}"] = _jpeg(reader.look(span, span.size_hw))
    encoded = {key: base64.b64encode(tile).decode("ascii") for key, tile in tiles.items()}
    return Picture(grid.size_hw, grid.transform, grid.gsd_m, whole, encoded)


def read_picture(page: Path) -> Picture:
    """The picture in an existing page, for use without the scene.

    Raises:
        InputError: no page, or none with a picture.
    """
    try:
        text = page.read_text(encoding="utf-8")
        data = json.loads(re.search(r'<script type="application/json" id="picture">(.*?)</script>', text, re.DOTALL)[1])  # type: ignore[index]
        size_hw, transform = (int(data["height"]), int(data["width"])), Affine(*data["transform"])
        return Picture(size_hw, transform, float(data["gsd_m"]), int(data["whole"]), dict(data["tiles"]))
    except (OSError, ValueError, TypeError, KeyError) as cause:
        raise InputError(f"{page}: holds no picture of a scene; give a report.html that predict wrote") from cause


def _whole_level(size_hw: tuple[int, int]) -> int:
    return max(0, math.ceil(math.log2(max(1.0, math.prod(size_hw) / WHOLE_PX)) / 2))


def _whole_scene(overall: NDArray[np.uint8], whole: int) -> Iterator[tuple[str, bytes]]:
    """Tiles of the level ``whole`` and of all coarser ones, down to a single tile."""
    level, picture = whole, overall
    while True:
        height, width = picture.shape[:2]
        for row in range(math.ceil(height / TILE_PX)):
            for column in range(math.ceil(width / TILE_PX)):
                rows, columns = slice(row * TILE_PX, (row + 1) * TILE_PX), slice(column * TILE_PX, (column + 1) * TILE_PX)
                yield f"{level}/{column}/{row}", _jpeg(picture[rows, columns])
        if max(height, width) <= TILE_PX:
            return
        # A last odd row or column is doubled first, so that the pixels of all levels are aligned.
        even = np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        level, picture = level + 1, cv2.resize(even, (even.shape[1] // 2, even.shape[0] // 2), interpolation=cv2.INTER_AREA)


def _shown_tiles(overall: NDArray[np.uint8], side_px: int) -> NDArray[np.bool_]:
    """Whether each tile (rows, columns) of level 0, with side ``side_px`` in the whole picture, shows anything."""
    seen = _shown(overall)
    rows, columns = (np.arange(0, n, side_px) for n in seen.shape)
    return np.logical_or.reduceat(np.logical_or.reduceat(seen, rows, axis=0), columns, axis=1)


def _shown(overall: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Pixels (H, W) that are not blank; band by band, since NumPy is slow along an axis of three."""
    red, green, blue = (overall[..., i] != BLANK for i in range(3))
    return red | green | blue


def _fine_tiles(around: Iterable[BaseGeometry], transform: Affine, shown: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """(column, row) of every tile of level 0 that shows something: those around the geometries first, in their order, then from the top."""
    rows, columns = shown.shape
    ordered: dict[tuple[int, int], None] = {}
    to_px = ~transform
    for west, south, east, north in shapely.bounds([*around]):
        x, y = zip(*(to_px * corner for corner in ((west, south), (west, north), (east, south), (east, north))), strict=True)
        left, right = ((f(x) + d) // TILE_PX for f, d in ((min, -_AROUND_PX), (max, _AROUND_PX)))
        top, bottom = ((f(y) + d) // TILE_PX for f, d in ((min, -_AROUND_PX), (max, _AROUND_PX)))
        for row in range(max(0, int(top)), min(rows - 1, int(bottom)) + 1):
            for column in range(max(0, int(left)), min(columns - 1, int(right)) + 1):
                ordered[column, row] = None
    ordered |= dict.fromkeys((column, row) for row in range(rows) for column in range(columns))
    return [(column, row) for column, row in ordered if shown[row, column]]


def _jpeg(rgb: NDArray[np.uint8]) -> bytes:
    done, encoded = cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    assert done, "OpenCV encodes every 8-bit picture"
    return bytes(encoded)
