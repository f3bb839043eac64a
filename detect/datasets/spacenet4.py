"""SpaceNet 4, Atlanta: the same tiles of 450 m from 27 looks between 7° and 54° off nadir, one outline file per tile.

``Atlanta_nadir7_catid_1030010003D22F00/Pan-Sharpen/Pan-Sharpen_Atlanta_nadir7_catid_1030010003D22F00_732701_3724239.tif``
per look and ``geojson/spacenet-buildings/spacenet-buildings_732701_3724239.geojson`` beside the looks; one of the looks is
enough. The bands are blue, green, red and near infrared. The outlines were drawn at nadir: in other looks, roofs lean away from
them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from detect.datasets._spacenet import LICENCE, outlines, product_folders
from detect.datasets.images import DataSet, LabelledImage, files, require

NAME = "spacenet4"
LAYOUT = "Atlanta_nadir*_catid_*/Pan-Sharpen/*.tif and geojson/spacenet-buildings/spacenet-buildings_*.geojson"
NADIR_DEG = 25
"""Largest angle that the publisher calls nadir."""


def images(source: Path) -> Iterator[LabelledImage]:
    """Every tile of every look; all looks at a tile are one place."""
    for folder in product_folders(source, ("Pan-Sharpen",), NAME, LAYOUT):
        labels = require(folder.parent.parent / "geojson" / "spacenet-buildings", NAME, LAYOUT)
        for path in files(folder, "Pan-Sharpen_Atlanta_nadir[0-9]*_catid_*_*_*.tif", NAME, LAYOUT):
            _, _, nadir, _, _, east, north = path.stem.split("_")
            angle_deg, tile = int(nadir.removeprefix("nadir")), f"{east}_{north}"
            yield LabelledImage(
                path,
                place=tile,
                label=outlines(require(labels / f"spacenet-buildings_{tile}.geojson", NAME, LAYOUT)),
                label_kind="outlines" if angle_deg <= NADIR_DEG else "loose",
                bands=(3, 2, 1),
                sensor=f"WorldView-2, {angle_deg}° off nadir",
            )


DATA_SET = DataSet(
    name=NAME,
    title="SpaceNet 4 (Atlanta off nadir)",
    licence=LICENCE,
    gsd_m="0.5",
    places="Atlanta",
    sensor="WorldView-2",
    labels="outlines; roofs lean off them beyond 25° off nadir",
    source="s3://spacenet-dataset/spacenet/SN4_buildings/ (aws s3 cp --recursive --no-sign-request)",
    cite="Weir et al.: SpaceNet MVOI: a Multi-View Overhead Imagery Dataset (2019), arXiv:1903.12239",
    images=images,
    layout=LAYOUT,
)
