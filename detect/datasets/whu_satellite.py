"""WHU building data set, satellite parts: global cities (I) and East Asia (II), tiles of 512 pixels without georeference.

- ``Satellite dataset Ⅰ (global cities)/{image,label}/*.tif``: 204 tiles of many sensors. The publisher only states that pixels
are 0.3 to 2.5 m on the ground; 0.6 m, as for QuickBird, is assumed for all. They are a data set of their own,
``whu_satellite_global``, so that a recipe can leave them out, and one place, because tiles do not give their position.
- ``Satellite dataset Ⅱ (East Asia)/1. The cropped image data and raster labels/{train,test}/{image,label}/*.tif`` and the tiles
  with hardly any building in ``train_no`` and ``test_no``: three strips of one region, ``1_*`` and ``2_*`` for training and
  bare numbers for testing. The publisher has stated pixels of 2.7 m and of 0.45 m; the world files of the whole images give
  0.3396 m in World Mercator, which at 39.6° north is 0.262 m on the ground and fits the size of the houses.

Labels are 255 for buildings and 0 for everything else. Some unzip programs change the Roman numerals, so folders are recognised
by the words in brackets. One of the two parts is enough.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from detect.base.errors import InputError
from detect.datasets._folders import folders_named
from detect.datasets._masks import merged_tile, with_labels
from detect.datasets.images import DataSet, LabelledImage

TITLE = "WHU building data set, satellite"
GLOBAL_GSD_M = 0.6
EAST_ASIA_GSD_M = 0.262
CROPPED = "1. The cropped image data and raster labels"
LAYOUT = f"*(global cities)/{{image,label}}/*.tif and *(East Asia)/{CROPPED}/{{train,test}}/{{image,label}}/*.tif"


def images(source: Path) -> Iterator[LabelledImage]:
    """Every tile of the parts in the folder."""
    cities, strips = _global_cities(source), _east_asia(source)
    if cities is None and strips is None:
        raise InputError(f"{source}: holds no '(global cities)' and no '(East Asia)' folder; {TITLE} is read as {LAYOUT}")
    if cities is not None:
        for path, label in with_labels(cities / "image", cities / "label", TITLE, LAYOUT):
            yield merged_tile(
                path, label, place="global_cities", split="train", gsd_m=GLOBAL_GSD_M, data_set="whu_satellite_global"
            )
    if strips is not None:
        for part in ("train", "train_no", "test", "test_no"):
            if part.endswith("_no") and not (strips / part).is_dir():
                continue
            own_split = part.removesuffix("_no")
            for path, label in with_labels(strips / part / "image", strips / part / "label", TITLE, LAYOUT):
                strip, has_strip, _ = path.stem.rpartition("_")
                place = f"east_asia_{strip if has_strip else own_split}"
                split = "train" if own_split == "train" else "val"
                yield merged_tile(path, label, place=place, split=split, gsd_m=EAST_ASIA_GSD_M)


def _global_cities(source: Path) -> Path | None:
    """The innermost folder of that name; archives nest them."""
    folders = [f for f in folders_named(source, "*global cities*") if not any("global cities" in p.name for p in f.iterdir())]
    if not folders and (source / "image").is_dir():
        folders = [source]
    return folders[0] if folders else None


def _east_asia(source: Path) -> Path | None:
    """The folder of the cropped tiles."""
    folders = folders_named(source, CROPPED)
    if (
        not folders and (source / "train" / "image").is_dir() and not (source / "val").is_dir()
    ):  # the aerial part has a folder val
        folders = [source]
    return folders[0] if folders else None


DATA_SET = DataSet(
    name="whu_satellite",
    title="WHU building data set, satellite parts I (global cities) and II (East Asia)",
    licence="not stated",
    gsd_m="0.26, 0.3-2.5",
    places="cities of the world; a region at 39.6° north, 125.5° east",
    sensor="QuickBird, WorldView, IKONOS, ZY-3 and others",
    labels="masks, attached buildings merged",
    source="https://gpcv.whu.edu.cn/data/building_dataset.html",
    cite="Ji et al.: Fully Convolutional Networks for Multisource Building Extraction (2019), doi:10.1109/TGRS.2018.2858817",
    images=images,
    layout=LAYOUT,
)
