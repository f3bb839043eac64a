"""DeepGlobe 2018, building track: the tiles of SpaceNet 2 with outlines in pixels, one table per city.

``AOI_2_Vegas_Train/RGB-PanSharpen/RGB-PanSharpen_AOI_2_Vegas_img1.tif`` and
``AOI_2_Vegas_Train/summaryData/AOI_2_Vegas_Train_Building_Solutions.csv`` with the columns ImageId
(``AOI_2_Vegas_img1``), BuildingId, PolygonWKT_Pix and PolygonWKT_Geo; a tile without buildings has one row, building -1,
``POLYGON EMPTY``. One of the cities is enough. The test folders have no table.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import geopandas as gpd
import pandas as pd
import shapely

from detect.base.errors import InputError
from detect.datasets._spacenet import LICENCE, product_folders
from detect.datasets.images import DataSet, LabelledImage, Outlines, files, require

NAME = "deepglobe"
LAYOUT = "AOI_*_Train/RGB-PanSharpen/RGB-PanSharpen_AOI_*_img*.tif and AOI_*_Train/summaryData/*.csv (ImageId, PolygonWKT_Pix)"


def images(source: Path) -> Iterator[LabelledImage]:
    """Every tile of the training sets."""
    for folder in product_folders(source, ("RGB-PanSharpen",), NAME, LAYOUT):
        polygons = _polygons(require(folder.parent / "summaryData", NAME, LAYOUT))
        for path in files(folder, "RGB-PanSharpen_AOI_*_img[0-9]*.tif", NAME, LAYOUT):
            tile = path.stem.removeprefix("RGB-PanSharpen_")
            if tile not in polygons:
                raise InputError(f"{folder.parent / 'summaryData'}: no row for {tile}; {NAME} is read as {LAYOUT}")
            yield LabelledImage(path, place=tile.split("_")[2], label=Outlines(partial(_outlines, polygons[tile])))


def _polygons(folder: Path) -> dict[str, list[str]]:
    """Polygons in pixels, as text, by tile."""
    by_tile: dict[str, list[str]] = {}
    for path in files(folder, "*.csv", NAME, LAYOUT):
        try:
            table = pd.read_csv(path, usecols=["ImageId", "PolygonWKT_Pix"], dtype=str)
        except ValueError as cause:
            raise InputError(f"{path}: is not a table with ImageId and PolygonWKT_Pix; {NAME} is read as {LAYOUT}") from cause
        for tile, polygons in table.groupby("ImageId")["PolygonWKT_Pix"]:
            by_tile.setdefault(str(tile), []).extend(polygons.dropna())
    return by_tile


def _outlines(polygons: list[str]) -> gpd.GeoDataFrame:
    return gpd.GeoDataFrame(geometry=shapely.from_wkt(polygons))


DATA_SET = DataSet(
    name=NAME,
    title="DeepGlobe 2018 building extraction (tiles of SpaceNet 2)",
    licence=LICENCE,
    gsd_m="0.3",
    places="Las Vegas, Paris, Shanghai, Khartoum",
    sensor="WorldView-3",
    labels="outlines",
    source="s3://spacenet-dataset/spacenet/SN2_buildings/tarballs/ or https://competitions.codalab.org/competitions/18544",
    cite="Demir et al.: DeepGlobe 2018: A Challenge to Parse the Earth through Satellite Images (2018), arXiv:1805.06561",
    images=images,
    layout=LAYOUT,
)
