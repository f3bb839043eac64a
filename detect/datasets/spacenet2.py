"""SpaceNet 2: Las Vegas, Paris, Shanghai and Khartoum, pan-sharpened tiles of 200 m and an outline file for each.

The tarballs unpack to ``AOI_2_Vegas_Train/RGB-PanSharpen/RGB-PanSharpen_AOI_2_Vegas_img1.tif`` and
``AOI_2_Vegas_Train/geojson/buildings/buildings_AOI_2_Vegas_img1.geojson``; the bucket itself holds
``train/AOI_2_Vegas/PS-RGB/SN2_buildings_train_AOI_2_Vegas_PS-RGB_img1.tif`` and
``train/AOI_2_Vegas/geojson_buildings/SN2_buildings_train_AOI_2_Vegas_geojson_buildings_img1.geojson``.
One of the cities is enough. The test folders have no labels.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from detect.datasets._spacenet import CITE, LICENCE, outlines, product_folders
from detect.datasets.images import DataSet, LabelledImage, files, require

NAME = "spacenet2"
LAYOUT = (
    "AOI_*_Train/RGB-PanSharpen/*_img*.tif with geojson/buildings/buildings_*.geojson, "
    "or AOI_*/PS-RGB/*_img*.tif with geojson_buildings/*.geojson"
)


def images(source: Path) -> Iterator[LabelledImage]:
    """Every tile of the training sets."""
    for folder in product_folders(source, ("PS-RGB", "RGB-PanSharpen"), NAME, LAYOUT):
        for path in files(folder, "*AOI_*_img[0-9]*.tif", NAME, LAYOUT):
            city = path.stem.partition("AOI_")[2].split("_")[1]
            yield LabelledImage(path, place=city, label=outlines(require(_label(path), NAME, LAYOUT)))


def _label(image: Path) -> Path:
    """The outline file of a tile."""
    aoi = image.parent.parent
    if image.parent.name == "PS-RGB":
        return aoi / "geojson_buildings" / f"{image.stem.replace('PS-RGB', 'geojson_buildings')}.geojson"
    return aoi / "geojson" / "buildings" / f"{image.stem.replace('RGB-PanSharpen', 'buildings')}.geojson"


DATA_SET = DataSet(
    name=NAME,
    title="SpaceNet 2 (Las Vegas, Paris, Shanghai, Khartoum)",
    licence=LICENCE,
    gsd_m="0.3",
    places="Las Vegas, Paris, Shanghai, Khartoum",
    sensor="WorldView-3",
    labels="outlines",
    source="s3://spacenet-dataset/spacenet/SN2_buildings/ (aws s3 cp --recursive --no-sign-request)",
    cite=CITE,
    images=images,
    layout=LAYOUT,
)
