"""Massachusetts Buildings (Mnih 2013): Boston and its surroundings in 151 tiles of 1500 pixels of 1 m.

Published layouts, both read:

- the author's: ``{train,valid,test}/sat/22678915_15.tiff`` and ``{train,valid,test}/map/22678915_15.tif``;
- Kaggle's: ``tiff/{train,val,test}/22678915_15.tiff`` and ``tiff/{train,val,test}_labels/22678915_15.tif``, and the same
  pictures once more under ``png``, which are read only without ``tiff``.

Labels are red where OpenStreetMap has a building and black elsewhere. The parts are tiles drawn at random from one region,
so a tile is a place; the author's test tiles validate too.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from detect.datasets._folders import folders_named
from detect.datasets._masks import merged_tile, with_labels
from detect.datasets.images import DataSet, LabelledImage, require

TITLE = "Massachusetts Buildings"
GSD_M = 1.0
LAYOUT = "{train,valid,test}/{sat,map}/*, or tiff/{train,val,test}/*.tiff and tiff/{train,val,test}_labels/*.tif"


def images(source: Path) -> Iterator[LabelledImage]:
    """Every tile."""
    found = folders_named(source, "train") or [require(source / "train", TITLE, LAYOUT)]
    root = max(found, key=lambda train: train.parent.name == "tiff").parent
    if (root / "train" / "sat").is_dir() or (root / "valid").is_dir():
        parts = [(name, root / name / "sat", root / name / "map") for name in ("train", "valid", "test")]
    else:
        parts = [(name, root / name, root / f"{name}_labels") for name in ("train", "val", "test")]
    for name, pictures, labels in parts:
        for path, label in with_labels(pictures, labels, TITLE, LAYOUT):
            yield merged_tile(path, label, place=path.stem, split="train" if name == "train" else "val", gsd_m=GSD_M)


DATA_SET = DataSet(
    name="massachusetts",
    title="Massachusetts Buildings Dataset",
    licence="not stated",
    gsd_m="1",
    places="Boston and surroundings",
    sensor="aerial",
    labels="masks from OpenStreetMap, attached buildings merged",
    source="https://www.cs.toronto.edu/~vmnih/data/ or kaggle.com/datasets/balraj98/massachusetts-buildings-dataset",
    cite="Mnih: Machine Learning for Aerial Image Labeling, PhD thesis, University of Toronto (2013)",
    images=images,
    layout=LAYOUT,
)
