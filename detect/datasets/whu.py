"""WHU building data set, aerial part: Christchurch in 8,188 tiles of 512 pixels, shrunk from 0.075 m to 0.3 m.

``3. The cropped image tiles and raster labels/{train,val,test}/{image,label}/*.tif``, labels 255 for buildings and 0 for
everything else. Copies elsewhere call the folders ``Image`` and ``Mask``. The three parts are separate areas of the city;
the publisher's test area validates too. The ground is that of AIRS (``airs``), cut and labelled by others: a model that is
trained on one cannot be tested on the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from detect.datasets._folders import folders_named
from detect.datasets._masks import merged_tile, subfolder, with_labels
from detect.datasets.images import DataSet, LabelledImage, require

TITLE = "WHU building data set, aerial"
GSD_M = 0.3
SPLITS = {"train": "train", "val": "val", "test": "val"}
LAYOUT = "3. The cropped image tiles and raster labels/{train,val,test}/{image,label}/*.tif"


def images(source: Path) -> Iterator[LabelledImage]:
    """Every tile; its place is the area it was cut from."""
    root = (folders_named(source, "val") or [require(source / "val", TITLE, LAYOUT)])[0].parent
    for area, split in SPLITS.items():
        folder = root / area
        labels = subfolder(folder, ("label", "labels", "mask", "masks"), TITLE, LAYOUT)
        for path, label in with_labels(subfolder(folder, ("image", "images"), TITLE, LAYOUT), labels, TITLE, LAYOUT):
            yield merged_tile(path, label, place=f"christchurch_{area}", split=split, gsd_m=GSD_M)


DATA_SET = DataSet(
    name="whu",
    title=TITLE,
    licence="not stated",
    gsd_m="0.3",
    places="Christchurch",
    sensor="aerial",
    labels="masks, attached buildings merged",
    source="https://gpcv.whu.edu.cn/data/building_dataset.html",
    cite="Ji et al.: Fully Convolutional Networks for Multisource Building Extraction (2019), doi:10.1109/TGRS.2018.2858817",
    images=images,
    layout=LAYOUT,
)
