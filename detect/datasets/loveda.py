"""LoveDA: land cover of Nanjing, Changzhou and Wuhan, town and country, in tiles of 1024 pixels without georeference.

``{Train,Val}/{Rural,Urban}/images_png/0.png`` and ``{Train,Val}/{Rural,Urban}/masks_png/0.png``; in the mask 2 is building, 0
no data, 1 and 3 to 7 other ground. ``Test`` has no public labels. A tile does not say which city it shows; its publisher keeps
the areas of the parts apart, so the published split stands.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from detect.datasets._folders import folders_named
from detect.datasets._masks import of_class, with_labels
from detect.datasets.images import DataSet, LabelledImage, Mask, raster, require

TITLE = "LoveDA"
GSD_M = 0.3
NO_DATA_CODE, BUILDING_CODE = 0, 2
LAYOUT = "{Train,Val}/{Rural,Urban}/images_png/*.png and {Train,Val}/{Rural,Urban}/masks_png/*.png"
BUILDINGS = partial(of_class, building=BUILDING_CODE, unknown=NO_DATA_CODE)


def images(source: Path) -> Iterator[LabelledImage]:
    """Every tile of the training and validation parts."""
    for part, split in (("Train", "train"), ("Val", "val")):
        folder = (folders_named(source, part, part.lower()) or [require(source / part, TITLE, LAYOUT)])[0]
        for scene in ("Rural", "Urban"):
            scenes = folder / scene
            for path, label in with_labels(scenes / "images_png", scenes / "masks_png", TITLE, LAYOUT):
                place = f"{split}_{scene.lower()}"
                yield LabelledImage(path, place, Mask(raster(label, BUILDINGS)), label_kind="merged", split=split, gsd_m=GSD_M)


DATA_SET = DataSet(
    name="loveda",
    title="LoveDA: land cover for domain adaptive semantic segmentation",
    licence="CC-BY-NC-SA-4.0",
    gsd_m="0.3",
    places="Nanjing, Changzhou, Wuhan",
    sensor="Google Earth",
    labels="land cover masks, attached buildings merged",
    source="https://zenodo.org/records/5706578",
    cite="Wang et al.: LoveDA: A Remote Sensing Land-Cover Dataset for Domain Adaptive Segmentation (2021), arXiv:2110.08733",
    images=images,
    layout=LAYOUT,
)
