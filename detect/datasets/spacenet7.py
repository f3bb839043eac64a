"""SpaceNet 7: 60 areas around the world as monthly mosaics of two years, with outlines for each month.

``train/L15-0331E-1257N_1327_3160_13/`` holds, for ``global_monthly_2018_01_mosaic_L15-0331E-1257N_1327_3160_13``,
``images_masked/*.tif`` (clouds blanked) or ``images/*.tif``, ``labels_match/*_Buildings.geojson`` or
``labels/*_Buildings.geojson``, and ``labels/*_UDM.geojson``: ground that was not labelled because of clouds or haze. A month
without outlines is left out; so is ``test_public/``, which has none.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import geopandas as gpd
import numpy as np

from detect.datasets._spacenet import LICENCE, outlines, product_folders
from detect.datasets.images import DataSet, LabelledImage, Outlines, files, require

NAME = "spacenet7"
LAYOUT = "L15-*/images_masked/ or images/*.tif, L15-*/labels_match/ or labels/*_Buildings.geojson, L15-*/labels/*_UDM.geojson"


def images(source: Path) -> Iterator[LabelledImage]:
    """Every labelled month of every area; the months of an area are one place."""
    folders = product_folders(source, ("images_masked", "images"), NAME, LAYOUT)
    for area in sorted({folder.parent for folder in folders}):
        unusable = require(area / "labels", NAME, LAYOUT)
        buildings = area / "labels_match" if (area / "labels_match").is_dir() else unusable
        for label in files(buildings, "*_Buildings.geojson", NAME, LAYOUT):
            month = label.name.removesuffix("_Buildings.geojson")
            masked = area / "images_masked" / f"{month}.tif"
            yield LabelledImage(
                path=masked if masked.is_file() else require(area / "images" / f"{month}.tif", NAME, LAYOUT),
                place=month.partition("_mosaic_")[2],
                label=Outlines(partial(_known, label, require(unusable / f"{month}_UDM.geojson", NAME, LAYOUT))),
            )


def _known(buildings_path: Path, unusable_path: Path) -> gpd.GeoDataFrame:
    """Buildings, and unusable ground as unknown."""
    buildings = outlines(buildings_path).read().to_crs(4326).geometry
    unusable = outlines(unusable_path).read().to_crs(4326).geometry
    unknown = np.repeat([False, True], [len(buildings), len(unusable)])
    return gpd.GeoDataFrame({"unknown": unknown}, geometry=[*buildings, *unusable], crs=4326)


DATA_SET = DataSet(
    name=NAME,
    title="SpaceNet 7 (monthly mosaics)",
    licence=LICENCE,
    gsd_m="4",
    places="60 areas of 4 km around the world",
    sensor="PlanetScope",
    labels="outlines per month, unusable ground",
    source="s3://spacenet-dataset/spacenet/SN7_buildings/ (aws s3 cp --recursive --no-sign-request)",
    cite="Van Etten et al.: The Multi-Temporal Urban Development SpaceNet Dataset (2021), arXiv:2102.04420",
    images=images,
    layout=LAYOUT,
)
