"""SpaceNet 7 → chips."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from affine import Affine

from detect.base.errors import InputError
from detect.datasets import prepare
from detect.datasets.chips import UNKNOWN, read_index
from tests.unit.datasets.drawing import (
    ROOFS,
    SIZE_HW,
    Rectangle,
    assert_drawn,
    chip_of,
    picture,
    roof_mask,
    write_geojson,
    write_tif,
)

NORTH_M = {"L15-0331E-1257N_1327_3160_13": 4_532_000.0, "L15-1538E-1163N_6154_3539_13": 2_800_000.0}
"""Area → Web Mercator northing: about 37.7° and 24.4° north."""
MONTHS = {"2018_01": ROOFS, "2018_02": ROOFS[:2], "2018_03": ()}
CLOUD: tuple[Rectangle, ...] = ((0, 60, 20, 96),)
CLOUDY = "2018_02"


def _stem(area: str, month: str) -> str:
    return f"global_monthly_{month}_mosaic_{area}"


def _release(train: Path, images: str = "images_masked", labels: str = "labels_match") -> None:
    for area, north in NORTH_M.items():
        transform = Affine(4.777, 0, -13_500_000, 0, -4.777, north)
        for month, roofs in MONTHS.items():
            cloud = CLOUD if month == CLOUDY else ()
            opaque = np.full((1, *SIZE_HW), 255)
            values = np.concatenate([picture(roofs), opaque])
            write_tif(train / area / images / f"{_stem(area, month)}.tif", values, 3857, transform, alpha=True)
            write_geojson(train / area / labels / f"{_stem(area, month)}_Buildings.geojson", roofs, transform, 3857)
            write_geojson(train / area / "labels" / f"{_stem(area, month)}_UDM.geojson", cloud, transform, 3857)
        unlabelled = train / area / images / f"{_stem(area, '2018_04')}.tif"
        write_tif(unlabelled, np.concatenate([picture(()), np.full((1, *SIZE_HW), 255)]), 3857, transform, alpha=True)


@pytest.mark.parametrize(
    ("images", "labels", "top"),
    [("images_masked", "labels_match", "SN7_buildings/train"), ("images", "labels", "."), ("images", "labels_match", "train")],
)
def test_labelled_months_become_chips(tmp_path: Path, images: str, labels: str, top: str) -> None:
    source, store = tmp_path / "source", tmp_path / "chips"
    _release(source / top, images, labels)
    hidden = source / "test_public" / "L15-0369E-1244N_1479_3214_13" / images / "global_monthly_2018_01_mosaic.tif"
    write_tif(hidden, picture(()), 3857, Affine(4.777, 0, 0, 0, -4.777, 0))
    report = prepare("spacenet7", source, store)
    index = read_index(store)
    assert (report.images, report.chips, report.buildings) == (6, 6, 2 * (3 + 2))
    assert set(index["data_set"]) == {"spacenet7"} and set(index["label_kind"]) == {"outlines"}
    assert index.groupby("place").size().to_dict() == dict.fromkeys(NORTH_M, 3)
    assert index.groupby("place")["split"].nunique().max() == 1 and set(index["split"]) == {"train", "val"}
    # 4.777 m in Web Mercator times the cosine of the latitude
    assert index.groupby("place")["gsd_m"].first().to_numpy() == pytest.approx([3.78, 4.35], abs=0.03)
    area = next(iter(NORTH_M))
    image = Path(top, area, images, f"{_stem(area, '2018_01')}.tif").as_posix()
    assert_drawn(chip_of(store, index, image), ROOFS)


def test_unusable_ground_is_unknown(tmp_path: Path) -> None:
    source, store = tmp_path / "source", tmp_path / "chips"
    _release(source)
    prepare("spacenet7", source, store)
    area = next(iter(NORTH_M))
    chip = chip_of(store, read_index(store), f"{area}/images_masked/{_stem(area, CLOUDY)}.tif")
    unknown, cloud = chip.footprint == UNKNOWN, roof_mask(CLOUD)
    assert (unknown & cloud).sum() >= 0.95 * (unknown | cloud).sum()
    assert_drawn(chip, MONTHS[CLOUDY])


def test_a_missing_piece_is_named(tmp_path: Path) -> None:
    source, area = tmp_path / "source", next(iter(NORTH_M))
    _release(source)
    image = source / area / "images_masked" / f"{_stem(area, '2018_02')}.tif"
    image.unlink()
    with pytest.raises(InputError, match=f"{image.name}: missing"):
        prepare("spacenet7", source, tmp_path / "chips")
    unusable = source / area / "labels" / f"{_stem(area, '2018_01')}_UDM.geojson"
    unusable.unlink()
    with pytest.raises(InputError, match=f"{unusable.name}: missing"):
        prepare("spacenet7", source, tmp_path / "chips")
    (source / area / "labels").rename(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="labels: missing"):
        prepare("spacenet7", source, tmp_path / "chips")
