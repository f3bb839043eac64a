"""OpenEarthMap: land cover of 97 regions in 44 countries, from the air and from space.

``OpenEarthMap_wo_xBD/<region>/images/<region>_1.tif`` and ``OpenEarthMap_wo_xBD/<region>/labels/<region>_1.tif``: GeoTIFFs in
many coordinate systems; in the label 8 is building, 0 unknown, 1 to 7 other ground. ``train.txt`` and ``val.txt`` list the
labelled tiles; those of ``test.txt`` have no public label. The lists cut every region, so the split is by region. Images that
come from xBD are not in the archive: ``xbd_files.csv`` lists them, and they are left out until the publisher's script has put
them beside the others.

Regions named like places of Inria, SpaceNet or xBD show the same ground as those data sets.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from detect.base.files import listed
from detect.datasets._masks import of_class
from detect.datasets.images import DataSet, LabelledImage, Mask, raster, require

TITLE = "OpenEarthMap"
UNKNOWN_CODE, BUILDING_CODE = 0, 8
LAYOUT = "OpenEarthMap[_wo_xBD]/train.txt, val.txt and <region>/{images,labels}/<region>_<number>.tif"
BUILDINGS = partial(of_class, building=BUILDING_CODE, unknown=UNKNOWN_CODE)


def images(source: Path) -> Iterator[LabelledImage]:
    """Every listed tile whose image exists."""
    lists = sorted(f for depth in range(3) for f in listed(source, "*/" * depth + "train.txt"))
    root = lists[0].parent if lists else require(source / "train.txt", TITLE, LAYOUT).parent
    tiles = [tile for name in ("train.txt", "val.txt") for tile in _lines(require(root / name, TITLE, LAYOUT))]
    from_xbd = root / "xbd_files.csv"
    elsewhere = {line.rpartition(",")[2] for line in _lines(from_xbd)} if from_xbd.is_file() else set()
    for tile in sorted(tiles):
        region = tile.rpartition("_")[0]
        path = root / region / "images" / tile
        label = require(root / region / "labels" / tile, TITLE, LAYOUT)
        if not path.exists() and tile in elsewhere:
            continue
        yield LabelledImage(require(path, TITLE, LAYOUT), region, Mask(raster(label, BUILDINGS)), label_kind="merged")


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").split()


DATA_SET = DataSet(
    name="openearthmap",
    title="OpenEarthMap: global high-resolution land cover",
    licence="CC-BY-NC-SA-4.0; as the source imagery",
    gsd_m="0.25-0.5",
    places="97 regions in 44 countries",
    sensor="aerial, satellite",
    labels="land cover masks, attached buildings merged",
    source="https://zenodo.org/records/7223446",
    cite="Xia et al.: OpenEarthMap: A Benchmark Dataset for Global High-Resolution Land Cover Mapping (2023), arXiv:2210.10732",
    images=images,
    layout=LAYOUT,
)
