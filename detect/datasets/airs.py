"""AIRS, Aerial Imagery for Roof Segmentation: Christchurch in tiles of 10,000 pixels, outlines moved onto the roofs.

``trainval/{train,val}/image/christchurch_424.tif`` with the label ``trainval/{train,val}/label/christchurch_424.tif`` (1 roof,
0 not), and a copy for display as ``christchurch_424_vis.tif`` (255 roof); one of the two labels is enough. ``test/{image,label}``
beside them validates if it has labels. Some copies leave ``trainval`` out. The publisher's parts are tiles of one city, so a tile
is a place here. The ground is that of the aerial part of WHU (``whu``): a model that is trained on one cannot be tested on the
other.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from detect.datasets._folders import folders_named
from detect.datasets._masks import merged_tile, with_labels
from detect.datasets.images import DataSet, LabelledImage, require

TITLE = "AIRS"
GSD_M = 0.075
LAYOUT = "trainval/{train,val}/image/*.tif and trainval/{train,val}/label/*.tif (or *_vis.tif), and test likewise"


def images(source: Path) -> Iterator[LabelledImage]:
    """Every tile that has a label."""
    root = (folders_named(source, "val") or [require(source / "trainval" / "val", TITLE, LAYOUT)])[0].parent
    parts = [(root / "train", "train"), (root / "val", "val")]
    beside = [root / "test"] if root == source else [root / "test", root.parent / "test"]
    parts += [(folder, "val") for folder in beside if (folder / "label").is_dir()][:1]
    for folder, split in parts:
        for path, label in with_labels(folder / "image", folder / "label", TITLE, LAYOUT, endings=("", "_vis")):
            yield merged_tile(path, label, place=path.stem, split=split, gsd_m=GSD_M)


DATA_SET = DataSet(
    name="airs",
    title="AIRS: Aerial Imagery for Roof Segmentation",
    licence="not stated",
    gsd_m="0.075",
    places="Christchurch",
    sensor="aerial",
    labels="masks of roofs, attached buildings merged",
    source="https://www.airs-dataset.com/ or https://www.kaggle.com/datasets/atilol/aerialimageryforroofsegmentation",
    cite="Chen et al.: Aerial Imagery for Roof Segmentation (2019), arXiv:1807.09532",
    images=images,
    layout=LAYOUT,
)
