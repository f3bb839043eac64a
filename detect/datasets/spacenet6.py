"""SpaceNet 6, Rotterdam: optical tiles of 450 m, cut along the strips of a radar flight, and an outline file for each.

Below ``train/AOI_11_Rotterdam/``, ``PS-RGB/SN6_Train_AOI_11_Rotterdam_PS-RGB_20190804111224_20190804111453_tile_8679.tif``
and ``geojson_buildings/SN6_Train_AOI_11_Rotterdam_Buildings_20190804111224_20190804111453_tile_8679.geojson``. The strips
overlap, so the same ground is in several tiles, all from one optical scene. ``test_public/`` has radar only.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import geopandas as gpd
import shapely

from detect.datasets._spacenet import LICENCE, outlines, product_folders
from detect.datasets.images import DataSet, LabelledImage, files, require

NAME = "spacenet6"
LAYOUT = "AOI_11_Rotterdam/PS-RGB/SN6_Train_*_PS-RGB_*.tif and geojson_buildings/SN6_Train_*_Buildings_*.geojson beside it"
VAL_EAST_M = 595_310.0
"""UTM 31 easting beyond which the publisher's baseline validates: the last fifth of the area that the tiles' left edges span.

https://github.com/CosmiQ/CosmiQ_SN6_Baseline
"""


def images(source: Path) -> Iterator[LabelledImage]:
    """Every optical tile; the east of the city validates."""
    for folder in product_folders(source, ("PS-RGB",), NAME, LAYOUT):
        labels = require(folder.parent / "geojson_buildings", NAME, LAYOUT)
        for path in files(folder, "SN6_Train_AOI_11_Rotterdam_PS-RGB_*.tif", NAME, LAYOUT):
            label = labels / f"{path.stem.replace('PS-RGB', 'Buildings')}.geojson"
            yield LabelledImage(path, place="Rotterdam", label=outlines(require(label, NAME, LAYOUT)), val_area=_east)


def _east() -> gpd.GeoDataFrame:
    return gpd.GeoDataFrame(geometry=[shapely.box(VAL_EAST_M, 5_700_000, VAL_EAST_M + 50_000, 5_800_000)], crs=32631)


DATA_SET = DataSet(
    name=NAME,
    title="SpaceNet 6 (Rotterdam)",
    licence=LICENCE,
    gsd_m="0.5",
    places="Rotterdam",
    sensor="WorldView-2",
    labels="outlines",
    source="s3://spacenet-dataset/spacenet/SN6_buildings/ (aws s3 cp --recursive --no-sign-request)",
    cite="Shermeyer et al.: SpaceNet 6: Multi-Sensor All Weather Mapping Dataset (2020), arXiv:2004.06500",
    images=images,
    layout=LAYOUT,
)
