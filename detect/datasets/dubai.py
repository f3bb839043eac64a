"""Humans in the Loop and MBRSC: land cover of Dubai, eight tiles of nine adjoining parts, without georeference.

``Semantic segmentation dataset/Tile 1/images/image_part_001.jpg`` and
``Semantic segmentation dataset/Tile 1/masks/image_part_001.png``: masks in colours, #3C1098 for buildings and #9B9B9B for
unlabelled ground. A building's colour covers rows of villas, yards and building sites together. Tiles 7 and 8 show some ground
twice, so they are one place. A pixel is about 0.9 m, estimated by eye: the publisher does not state it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from detect.datasets._folders import folders_named
from detect.datasets._masks import with_labels
from detect.datasets.images import DataSet, LabelledImage, Mask, raster, require

TITLE = "Semantic segmentation of aerial imagery, Dubai"
GSD_M = 0.9
TILES = range(1, 9)
OVERLAPPING = {7: "7_8", 8: "7_8"}
BUILDING, UNLABELLED = (0x3C, 0x10, 0x98), (0x9B, 0x9B, 0x9B)
LAYOUT = "Semantic segmentation dataset/Tile <1-8>/images/*.jpg and Semantic segmentation dataset/Tile <1-8>/masks/*.png"


def images(source: Path) -> Iterator[LabelledImage]:
    """The parts of every tile."""
    root = (folders_named(source, "Tile 1") or [require(source / "Tile 1", TITLE, LAYOUT)])[0].parent
    for number in TILES:
        tile = root / f"Tile {number}"
        for path, label in with_labels(tile / "images", tile / "masks", TITLE, LAYOUT):
            yield LabelledImage(
                path,
                place=f"dubai_{OVERLAPPING.get(number, number)}",
                label=Mask(raster(label, _buildings)),
                label_kind="coarse",
                gsd_m=GSD_M,
                data_set="hitl_dubai",
            )


def _buildings(colours: NDArray) -> NDArray[np.uint8]:
    built = (colours == BUILDING).all(axis=2).astype(np.uint8)
    built[(colours == UNLABELLED).all(axis=2)] = 255
    return built


DATA_SET = DataSet(
    name="dubai",
    title="Semantic segmentation of aerial imagery, Dubai (Humans in the Loop, MBRSC)",
    licence="CC0-1.0",
    gsd_m="0.9",
    places="Dubai",
    sensor="satellite",
    labels="coarse masks: plots, rows of villas and sites in one polygon",
    source="https://www.kaggle.com/datasets/humansintheloop/semantic-segmentation-of-aerial-imagery",
    cite="Humans in the Loop and Mohammed Bin Rashid Space Centre: Semantic segmentation of aerial imagery (2020)",
    images=images,
    layout=LAYOUT,
)
