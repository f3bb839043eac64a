"""Pair chips and outlines in two folders, file by file under the same name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from detect.base.files import listed
from detect.datasets.images import files, require


def pairs(images: Path, labels: Path, data_set: str, layout: str) -> Iterator[tuple[Path, Path]]:
    """Each GeoTIFF below ``images`` with the GeoJSON that lies at the same place below ``labels``, sorted.

    Raises:
        InputError: no image, an image without outlines, or outlines without an image.
    """
    chips = files(images, "**/*.tif", data_set, layout)
    for chip in chips:
        yield chip, require((labels / chip.relative_to(images)).with_suffix(".geojson"), data_set, layout)
    for outlines in listed(labels, "**/*.geojson"):
        require((images / outlines.relative_to(labels)).with_suffix(".tif"), data_set, layout)
