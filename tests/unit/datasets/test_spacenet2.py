"""SpaceNet 2 in its two layouts → chips."""

from __future__ import annotations

from pathlib import Path

import pytest
from affine import Affine

from detect.base.errors import InputError
from detect.datasets import prepare
from detect.datasets.chips import read_index
from tests.unit.datasets.drawing import ROOFS, assert_drawn, chip_of, picture, write_geojson, write_tif

PIXEL_DEG = 2.7e-6
WEST_NORTH = {"2_Vegas": (-115.27, 36.18), "5_Khartoum": (32.5, 15.6)}
TILES = {1: ROOFS, 11: ROOFS[1:], 3: ()}


def _city(folder: Path, city: str, image: str, label: str) -> None:
    west, north = WEST_NORTH[city]
    for number, roofs in TILES.items():
        transform = Affine(PIXEL_DEG, 0, west + number * 1e-3, 0, -PIXEL_DEG, north)
        values = picture(roofs, roof=(1100, 1000, 900)) * 2  # 11-bit counts
        write_tif(folder / image.format(city=city, number=number), values, 4326, transform, dtype="uint16")
        write_geojson(folder / label.format(city=city, number=number), roofs, transform, 4326)


OLD = ("RGB-PanSharpen/RGB-PanSharpen_AOI_{city}_img{number}.tif", "geojson/buildings/buildings_AOI_{city}_img{number}.geojson")
NEW = (
    "PS-RGB/SN2_buildings_train_AOI_{city}_PS-RGB_img{number}.tif",
    "geojson_buildings/SN2_buildings_train_AOI_{city}_geojson_buildings_img{number}.geojson",
)


@pytest.mark.parametrize(
    ("names", "folder", "test_folder"),
    [
        (OLD, "AOI_{city}_Train", "AOI_{city}_Test_public"),
        (NEW, "SN2_buildings/train/AOI_{city}", "SN2_buildings/test_public/AOI_{city}"),
    ],
)
def test_cities_of_both_layouts_become_chips(tmp_path: Path, names: tuple[str, str], folder: str, test_folder: str) -> None:
    source, store = tmp_path / "source", tmp_path / "chips"
    for city in WEST_NORTH:
        _city(source / folder.format(city=city), city, *names)
    hidden = source / test_folder.format(city="2_Vegas") / names[0].format(city="2_Vegas", number=2)
    write_tif(hidden, picture(()), 4326, Affine(PIXEL_DEG, 0, 0, 0, -PIXEL_DEG, 0))
    report = prepare("spacenet2", source, store)
    index = read_index(store)
    assert (report.images, report.chips, report.buildings) == (6, 6, 2 * (3 + 2))
    assert set(index["data_set"]) == {"spacenet2"} and set(index["label_kind"]) == {"outlines"}
    assert index.groupby("place").size().to_dict() == {"Khartoum": 3, "Vegas": 3}
    assert index.groupby("place")["split"].unique().map(len).max() == 1 and set(index["split"]) == {"train", "val"}
    assert index["gsd_m"].to_numpy() == pytest.approx(0.28, abs=0.02)
    tile = f"{folder}/{names[0]}".format(city="2_Vegas", number=11)
    assert_drawn(chip_of(store, index, tile), ROOFS[1:])


def test_one_city_given_by_its_own_folder(tmp_path: Path) -> None:
    _city(tmp_path / "AOI_2_Vegas_Train", "2_Vegas", *OLD)
    prepare("spacenet2", tmp_path / "AOI_2_Vegas_Train", tmp_path / "chips")
    assert set(read_index(tmp_path / "chips")["place"]) == {"Vegas"}


@pytest.mark.parametrize(("names", "folder"), [(OLD, "AOI_2_Vegas_Train"), (NEW, "train/AOI_2_Vegas")])
def test_a_missing_label_is_named(tmp_path: Path, names: tuple[str, str], folder: str) -> None:
    source = tmp_path / "source"
    _city(source / folder, "2_Vegas", *names)
    label = source / folder / names[1].format(city="2_Vegas", number=11)
    label.unlink()
    with pytest.raises(InputError, match=f"{label.name}: missing"):
        prepare("spacenet2", source, tmp_path / "chips")


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "source" / "AOI_2_Vegas_Train" / "MUL").mkdir(parents=True)
    with pytest.raises(InputError, match="PS-RGB: missing"):
        prepare("spacenet2", tmp_path / "source", tmp_path / "chips")
