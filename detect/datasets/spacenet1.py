"""SpaceNet 1, Rio de Janeiro: RGB tiles of 200 m and an outline file for each.

The release of 2016 unpacks to ``processedBuildingLabels/3band/3band_AOI_1_RIO_img1.tif`` and
``processedBuildingLabels/vectordata/geojson/Geo_AOI_1_RIO_img1.geojson`` (or once more ``geojson/`` below that);
today's tarballs, in one folder, give ``SN1_buildings/train/3band/`` and ``train/geojson/`` with the same file names.
``test/`` has no labels. The outlines were traced from raster masks and lie 1–3 pixels off.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from detect.datasets._spacenet import CITE, LICENCE, outlines, product_folders
from detect.datasets.images import DataSet, LabelledImage, files, require

NAME = "spacenet1"
LAYOUT = "3band/3band_AOI_1_RIO_img*.tif and geojson/ or vectordata/geojson/ with Geo_AOI_1_RIO_img*.geojson"
_STRIP = 100
"""Tiles are numbered column by column: a hundred numbers are a strip of neighbours, which a split leaves whole."""


def images(source: Path) -> Iterator[LabelledImage]:
    """Every tile of the training set."""
    for folder in product_folders(source, ("3band",), NAME, LAYOUT):
        labels = _labels(folder.parent)
        for path in files(folder, "3band_AOI_1_RIO_img[0-9]*.tif", NAME, LAYOUT):
            number = int(path.stem.rpartition("img")[2])
            label = require(labels / f"Geo_AOI_1_RIO_img{number}.geojson", NAME, LAYOUT)
            yield LabelledImage(path, place=f"Rio {number // _STRIP}", label=outlines(label), label_kind="loose")


def _labels(folder: Path) -> Path:
    """The folder of outline files beside the folder of images."""
    for name in ("geojson", "vectordata/geojson/geojson", "vectordata/geojson"):
        if (folder / name).is_dir():
            return folder / name
    return require(folder / "geojson", NAME, LAYOUT)


DATA_SET = DataSet(
    name=NAME,
    title="SpaceNet 1 (Rio de Janeiro)",
    licence=LICENCE,
    gsd_m="0.5",
    places="Rio de Janeiro",
    sensor="WorldView-2",
    labels="outlines, 1–3 pixels off",
    source="s3://spacenet-dataset/spacenet/SN1_buildings/ (aws s3 cp --recursive --no-sign-request)",
    cite=CITE,
    images=images,
    layout=LAYOUT,
)
