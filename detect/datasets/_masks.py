"""Shared code for data sets with images and label rasters in two folders, one label per image under the same name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from detect.base.errors import InputError
from detect.base.files import listed
from detect.datasets.images import LabelledImage, Mask, raster, require
from detect.scene.georeference import stated_place
from detect.scene.opening import opened

_RASTERS = (".tif", ".tiff", ".png", ".jpg", ".jpeg")


def with_labels(
    images: Path, labels: Path, data_set: str, layout: str, endings: tuple[str, ...] = ("",)
) -> Iterator[tuple[Path, Path]]:
    """Each image of a folder with the label of the same name and any file type, sorted by name.

    Args:
        images: folder of the images.
        labels: folder of the labels.
        data_set: for messages.
        layout: for messages.
        endings: possible additions to the image's name in the name of its label; the first one that exists is used.

    Raises:
        InputError: a folder is missing, there is no image, or one of the two has no counterpart.
    """
    pictures = _by_name(require(images, data_set, layout))
    masks = _by_name(require(labels, data_set, layout))
    if not pictures:
        raise InputError(f"{images}: holds no image; {data_set} is read as {layout}; was it downloaded in full?")
    for name, picture in pictures.items():
        found = [masks[name + ending] for ending in endings if name + ending in masks]
        yield picture, found[0] if found else require(labels / f"{name}{endings[0]}{picture.suffix}", data_set, layout)
    expected = {name + ending for name in pictures for ending in endings}
    for name in sorted(masks.keys() - expected):
        raise InputError(f"{masks[name]}: has no image in {images}; was {data_set} downloaded and unpacked in full?")


def subfolder(folder: Path, names: tuple[str, ...], data_set: str, layout: str) -> Path:
    """The subfolder with one of the names, in lower or upper case.

    Raises:
        InputError: there is none; the message gives the first name.
    """
    there = {p.name.lower(): p for p in listed(require(folder, data_set, layout)) if p.is_dir()}
    found = [there[name] for name in names if name in there]
    return found[0] if found else require(folder / names[0], data_set, layout)


def nonzero(values: NDArray) -> NDArray[np.uint8]:
    """Building wherever a label raster, or its red band, is not 0: published masks hold 1 or 255."""
    band = values if values.ndim == 2 else values[..., 0]
    return (band > 0).astype(np.uint8)


def of_class(classes: NDArray, building: int, unknown: int) -> NDArray[np.uint8]:
    """Building and unknown ground of a label raster of class codes."""
    built = (classes == building).astype(np.uint8)
    built[classes == unknown] = 255
    return built


def merged_tile(path: Path, label: Path, *, place: str, split: str, gsd_m: float, data_set: str | None = None) -> LabelledImage:
    """A tile whose mask (0 or not) merges attached buildings; its pixel is the published one, unless the file has its own."""
    return LabelledImage(
        path,
        place,
        Mask(raster(label, nonzero)),
        label_kind="merged",
        split=split,
        gsd_m=assumed_gsd_m(path, gsd_m),
        data_set=data_set,
    )


def assumed_gsd_m(path: Path, gsd_m: float) -> float | None:
    """The stated ground size of a pixel, or None if the image has a georeference, whatever its name; only its header is read."""
    try:
        with opened(str(path)) as image:
            crs, transform = stated_place(image, str(path))
    except InputError:
        return gsd_m  # the error is reported when the image is cut
    return gsd_m if crs is None or transform == Affine.identity() else None


def _by_name(folder: Path) -> dict[str, Path]:
    return {p.stem: p for p in listed(folder) if p.suffix.lower() in _RASTERS}
