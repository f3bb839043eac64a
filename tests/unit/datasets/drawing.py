"""Miniatures of published data sets: small georeferenced images with bright roofs on textured ground, and their outlines."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyproj
import rasterio
import shapely
from affine import Affine
from numpy.typing import NDArray

from detect.datasets.chips import Chip, read_chip

Rectangle = tuple[int, int, int, int]
"""row0, col0, row1, col1 of a roof, native pixels."""

SIZE_HW = (72, 96)
ROOFS: tuple[Rectangle, ...] = ((8, 10, 24, 30), (40, 12, 60, 34), (30, 60, 50, 84))
"""Three buildings, well apart."""


def roof_mask(rectangles: tuple[Rectangle, ...]) -> NDArray[np.bool_]:
    """Which pixels are roofs."""
    mask = np.zeros(SIZE_HW, bool)
    for row0, col0, row1, col1 in rectangles:
        mask[row0:row1, col0:col1] = True
    return mask


def picture(rectangles: tuple[Rectangle, ...], roof: tuple[int, ...] = (200, 180, 160)) -> NDArray:
    """(bands, H, W): dark textured ground and roofs of one colour."""
    ground = np.random.default_rng(7).integers(40, 100, SIZE_HW)
    mask = roof_mask(rectangles)
    return np.stack([np.where(mask, value, ground) for value in roof])


def write_tif(path: Path, values: NDArray, crs: int, transform: Affine, dtype: str = "uint8", alpha: bool = False) -> None:
    """A GeoTIFF of (bands, H, W)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    bands, height, width = values.shape
    profile = {"driver": "GTiff", "count": bands, "height": height, "width": width, "dtype": dtype}
    options = {"photometric": "RGB", "alpha": "YES"} if alpha else {}
    with rasterio.open(path, "w", **profile, **options, crs=crs, transform=transform) as dataset:
        dataset.write(values.astype(dtype))


def polygon(rectangle: Rectangle) -> shapely.Polygon:
    """A roof's outline in pixels (x = column, y = row)."""
    row0, col0, row1, col1 = rectangle
    return shapely.box(col0, row0, col1, row1)


def on_the_ground(rectangle: Rectangle, transform: Affine, crs: int, label_crs: int = 4326) -> shapely.Polygon:
    """A roof's outline in another coordinate system."""
    to_label = pyproj.Transformer.from_crs(crs, label_crs, always_xy=True)
    corners = [transform * xy for xy in polygon(rectangle).exterior.coords]
    return shapely.Polygon([to_label.transform(*xy) for xy in corners])


def write_geojson(path: Path, rectangles: tuple[Rectangle, ...], transform: Affine, crs: int, label_crs: int = 4326) -> None:
    """A GeoJSON of outlines that names its coordinate system, as the SpaceNet releases do."""
    path.parent.mkdir(parents=True, exist_ok=True)
    name = "urn:ogc:def:crs:OGC:1.3:CRS84" if label_crs == 4326 else f"urn:ogc:def:crs:EPSG::{label_crs}"
    features = [
        {"type": "Feature", "properties": {}, "geometry": shapely.geometry.mapping(on_the_ground(r, transform, crs, label_crs))}
        for r in rectangles
    ]
    collection = {"type": "FeatureCollection", "crs": {"type": "name", "properties": {"name": name}}, "features": features}
    path.write_text(json.dumps(collection), encoding="utf-8")


def chip_of(store: Path, index: pd.DataFrame, source: str) -> Chip:
    """The only chip cut from an image."""
    (name,) = index.loc[index["source"] == source, "chip"]
    return read_chip(store, name)


def assert_drawn(chip: Chip, rectangles: tuple[Rectangle, ...]) -> None:
    """The chip's buildings are the rectangles, each its own, but for pixels on an edge; a chip has square pixels, an image need not."""
    scale = np.divide(chip.footprint.shape, SIZE_HW)
    mask = np.zeros(chip.footprint.shape, bool)
    numbers = []
    for rectangle in rectangles:
        row0, col0, row1, col1 = np.round(np.array(rectangle) * np.tile(scale, 2)).astype(int)
        mask[row0:row1, col0:col1] = True
        numbers.append(set(np.unique(chip.instances[row0 + 1 : row1 - 1, col0 + 1 : col1 - 1])))
    built = chip.footprint == 1
    assert (built & mask).sum() >= 0.95 * (built | mask).sum()
    assert all(len(n) == 1 for n in numbers) and len(set.union(*numbers) - {0}) == len(rectangles)
