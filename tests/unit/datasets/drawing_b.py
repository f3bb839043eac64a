"""Miniatures of data sets of images and label rasters: bright roofs on textured ground, and their masks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import rasterio
from affine import Affine
from numpy.typing import NDArray

from detect.datasets.chips import UNKNOWN, read_chip

SIZE_HW = (96, 128)
ROOFS = ((8, 12, 40, 52), (52, 20, 84, 60), (36, 76, 76, 116))
"""row0, col0, row1, col1 of three buildings, well apart."""
UTM = 32614


def roofs(count: int = len(ROOFS)) -> NDArray[np.uint8]:
    """(H, W): 1 in the first buildings, 0 elsewhere."""
    mask = np.zeros(SIZE_HW, np.uint8)
    for row0, col0, row1, col1 in ROOFS[:count]:
        mask[row0:row1, col0:col1] = 1
    return mask


def picture(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(H, W, 3): dark ground, roofs in a colour of their own per band."""
    ground = np.random.default_rng(3).integers(40, 100, SIZE_HW)
    return np.stack([np.where(mask == 1, tone, ground) for tone in (210, 180, 150)], axis=2).astype(np.uint8)


def write(path: Path, values: NDArray[np.uint8], pixel_m: float | None = None) -> None:
    """An image file of (H, W) or (H, W, 3) red, green, blue; a GeoTIFF with square pixels where their size is given."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if pixel_m is None:
        assert cv2.imwrite(str(path), values[..., ::-1] if values.ndim == 3 else values)
        return
    bands = values.transpose(2, 0, 1) if values.ndim == 3 else values[None]
    profile = {"driver": "GTiff", "count": len(bands), "height": SIZE_HW[0], "width": SIZE_HW[1], "dtype": "uint8", "crs": UTM}
    with rasterio.open(path, "w", **profile, transform=Affine(pixel_m, 0, 600_000, 0, -pixel_m, 3_300_000)) as dataset:
        dataset.write(bands)


def pair(
    image: Path, label: Path, buildings: int, code: Callable[[NDArray[np.uint8]], NDArray] = lambda mask: mask * 255,
    pixel_m: float | None = None,
) -> None:  # fmt: skip
    """An image with some of the buildings, and its label as the data set codes it."""
    mask = roofs(buildings)
    write(image, picture(mask), pixel_m)
    write(label, code(mask).astype(np.uint8), pixel_m)


def assert_drawn(store: Path, row: pd.Series, buildings: int, unknown: NDArray[np.bool_] | None = None) -> None:
    """A chip's buildings are the first drawn ones, at their place; nothing but ``unknown`` is unknown.

    Chip pixels are 0.20 m or the image's own; a shrunk one is built if more than half of it is.
    """
    chip = read_chip(store, row["chip"])
    height_width = chip.footprint.shape[::-1]
    expected = cv2.resize(roofs(buildings).astype(np.float32), height_width, interpolation=cv2.INTER_AREA) > 0.5
    hidden = np.zeros(expected.shape, bool)
    if unknown is not None:
        hidden = cv2.resize(unknown.astype(np.float32), height_width, interpolation=cv2.INTER_AREA) > 0.5
    built = chip.footprint == 1
    assert ((chip.footprint == UNKNOWN) == hidden).all()
    assert (built & expected).sum() >= 0.98 * ((built | expected) & ~hidden).sum()
    assert row["buildings"] == buildings == len(np.unique(chip.instances[built]))
    if buildings:
        red, green, blue = chip.image[built].mean(axis=0)
        assert chip.image[built].mean() > chip.image[~built].mean() + 50, "roofs lie under their labels"
        assert red > 0 and green > 0 and blue > 0
