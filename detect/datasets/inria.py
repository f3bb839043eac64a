"""Inria Aerial Image Labeling: five cities of the United States and Austria from the air, 36 tiles each.

``AerialImageDataset/train/images/austin1.tif`` and ``AerialImageDataset/train/gt/austin1.tif``: georeferenced tiles of 5000
pixels, red, green and blue, and masks of 255 for buildings and 0 for everything else. ``test`` holds five more cities without
labels. The split of most papers, the first five tiles of each city for validation, cuts the cities and is not followed.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from detect.datasets._folders import folders_named
from detect.datasets._masks import nonzero, with_labels
from detect.datasets.images import DataSet, LabelledImage, Mask, raster, require

TITLE = "Inria Aerial Image Labeling"
LAYOUT = "AerialImageDataset/train/images/<city><number>.tif and AerialImageDataset/train/gt/<city><number>.tif"


def images(source: Path) -> Iterator[LabelledImage]:
    """Every training tile; its place is the city in its name."""
    for labels in folders_named(source, "gt") or [require(source / "train" / "gt", TITLE, LAYOUT)]:
        for path, label in with_labels(labels.parent / "images", labels, TITLE, LAYOUT):
            yield LabelledImage(path, path.stem.rstrip("0123456789"), Mask(raster(label, nonzero)), label_kind="merged")


DATA_SET = DataSet(
    name="inria",
    title=TITLE,
    licence="not stated",
    gsd_m="0.3",
    places="Austin, Chicago, Kitsap County, western Tyrol, Vienna",
    sensor="aerial",
    labels="masks from official footprints, attached buildings merged",
    source="https://project.inria.fr/aerialimagelabeling/",
    cite="Maggiori et al.: Can Semantic Labeling Methods Generalize to Any City? (2017), doi:10.1109/IGARSS.2017.8127684",
    images=images,
    layout=LAYOUT,
)
