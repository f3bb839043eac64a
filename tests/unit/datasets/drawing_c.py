"""Tiny scenes and outlines in the layouts that data sets are published in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import geopandas as gpd
import numpy as np
import rasterio
import shapely
from affine import Affine
from numpy.typing import NDArray

Box = tuple[int, int, int, int]
"""row0, col0, row1, col1 in pixels."""


def picture(size_hw: tuple[int, int], boxes: Sequence[Box] = ()) -> NDArray[np.uint8]:
    """(H, W, 3): bright roofs on noisy ground."""
    rng = np.random.default_rng(5)
    image = np.array([80, 104, 66]) + rng.normal(0, 6, (*size_hw, 3))
    for row0, col0, row1, col1 in boxes:
        image[row0:row1, col0:col1] = np.array([200, 130, 100]) + rng.normal(0, 4, (row1 - row0, col1 - col0, 3))
    return np.clip(image, 1, 255).astype(np.uint8)


def write_geotiff(
    path: Path, image: NDArray[np.uint8], place: Affine, crs: str, *, alpha: NDArray[np.uint8] | None = None
) -> Path:
    """An RGB(A) GeoTIFF, with the folders it lies in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    bands = [*image.transpose(2, 0, 1), *([] if alpha is None else [alpha])]
    size = {"height": image.shape[0], "width": image.shape[1], "count": len(bands)}
    with rasterio.open(path, "w", driver="GTiff", dtype="uint8", transform=place, crs=crs, photometric="rgb", **size) as out:
        out.write(np.stack(bands))
    return path


def outlines(boxes: Sequence[Box], place: Affine, crs: str, **columns: Sequence[object]) -> gpd.GeoDataFrame:
    """Boxes of pixels as polygons on the ground."""
    shapes = [shapely.Polygon([place * xy for xy in ((c0, r0), (c1, r0), (c1, r1), (c0, r1))]) for r0, c0, r1, c1 in boxes]
    return gpd.GeoDataFrame(columns, geometry=gpd.GeoSeries(shapes, crs=crs))


def write_geojson(path: Path, table: gpd.GeoDataFrame, crs: int = 4326) -> Path:
    """A GeoJSON in a coordinate system, with the folders it lies in; also without any feature."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_crs(crs).to_file(path, driver="GeoJSON")
    return path


def built_share(footprint: NDArray[np.uint8], box: Box, size_hw: tuple[int, int]) -> float:
    """Share of built pixels of a chip inside a box of its scene's native pixels, less a pixel all round."""
    height, width = (there / here for there, here in zip(footprint.shape, size_hw, strict=True))
    row0, col0, row1, col1 = (round(v * scale) for v, scale in zip(box, (height, width) * 2, strict=True))
    return float((footprint[row0 + 1 : row1 - 1, col0 + 1 : col1 - 1] == 1).mean())
