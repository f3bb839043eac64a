"""The day a scene was taken."""

from __future__ import annotations

import json
import shutil
from datetime import date, timedelta
from pathlib import Path

import pytest
import rasterio

from detect.base.errors import InputError
from detect.scene.dates import day_in, item_date, month_in
from detect.scene.scene import open_scene
from detect.scene.sources import Source
from tests.conftest import WriteScene


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("camp_2024-06-02_pan", "2024-06-02"),
        ("camp_2024_06_02", "2024-06-02"),
        ("camp_20240602", "2024-06-02"),
        ("20240602101112_wv3", "2024-06-02"),  # with a time of day
        ("2024:06:02 10:11:12", "2024-06-02"),
        ("2024-06-02T10:11:12.345Z", "2024-06-02"),
        ("24JUN02101112-M2AS", None),  # Maxar's names: the century is a guess
        ("tile_20481024", None),  # pixels, and a day to come
        ("tile_20481012", None),
        ("hd_19201080", None),
        ("hd_19201012", None),  # a day, but before there were such images
        ("site_20240231", None),
        ("id_120240602", None),  # a longer number
        ("id_202406021", None),
        ("a_20240231_20240301", "2024-03-01"),
        ("2024-0602", None),  # one separator, not the other
    ],
)
def test_day_in_a_text(text: str, day: str | None) -> None:
    assert day_in(text) == day


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("global_monthly_2020_01_mosaic", "2020-01-01"),
        ("2020-01", "2020-01-01"),
        ("x_2048_1024", None),
        ("2020_13", None),
        ("2020_0112", None),
    ],
)
def test_month_in_a_text(text: str, day: str | None) -> None:
    assert month_in(text) == day


def test_a_day_to_come_is_none() -> None:
    assert day_in((date.today() + timedelta(days=40)).isoformat()) is None
    assert day_in(date.today().isoformat()) == date.today().isoformat()


def test_an_items_interval_counts_from_its_start() -> None:
    assert item_date({"properties": {"datetime": None, "start_datetime": "2024-06-02T00:00:00Z"}}) == "2024-06-02"
    assert item_date({"properties": {}}) is None
    assert item_date({}) is None


def _item(path: Path, day: str, href: str = "elsewhere.tif") -> None:
    item = {
        "stac_version": "1.0.0",
        "type": "Feature",
        "properties": {"datetime": f"{day}T09:00:00Z"},
        "assets": {"a": {"href": href}},
    }
    path.write_text(json.dumps(item))


def test_each_source_gives_way_to_the_one_before(write_scene: WriteScene, tmp_path: Path) -> None:
    plain, named = write_scene(name="camp.tif"), write_scene(name="camp_2022-01-01.tif")
    for path in (plain, named):
        with rasterio.open(path, "r+") as target:
            target.update_tags(TIFFTAG_DATETIME="2020:01:01 10:11:12")
    assert open_scene(plain).date == "2020-01-01"
    with rasterio.open(plain, "r+") as target:
        target.update_tags(ACQUISITIONDATETIME="2021-01-01 10:11:12")
    assert open_scene(plain).date == "2021-01-01"
    assert open_scene(named).date == "2022-01-01"
    _item(tmp_path / "camp_2022-01-01.json", "2023-01-01")
    assert open_scene(named).date == "2023-01-01"
    assert open_scene(Source(str(named), date="2023-02-02")).date == "2023-02-02", "the item that the user named"
    assert open_scene(named, date="2024-01-01").date == "2024-01-01"


def test_one_line_names_what_contradicts_the_day(write_scene: WriteScene, tmp_path: Path) -> None:
    path = write_scene(name="camp_2022-01-01.tif")
    assert open_scene(path).warnings == ()
    with rasterio.open(path, "r+") as target:
        target.update_tags(TIFFTAG_DATETIME="2020:01:01 10:11:12")
    assert open_scene(path).warnings == ("date: 2022-01-01 (file name) was taken; 2020-01-01 (tag) contradicts it",)
    assert open_scene(path, date="2020-01-01").warnings == (
        "date: 2020-01-01 (--date) was taken; 2022-01-01 (file name) contradicts it",
    )
    _item(tmp_path / "camp_2022-01-01.json", "2023-01-01")
    assert open_scene(path).warnings == (
        "date: 2023-01-01 (STAC item) was taken; 2022-01-01 (file name) and 2020-01-01 (tag) contradict it",
    )


def test_a_month_in_the_name_agrees_with_its_days(write_scene: WriteScene) -> None:
    path = write_scene(name="mosaic_2020_01.tif")
    assert open_scene(path).date == "2020-01-01"
    for tag, day, count in (("2020:01:17 10:11:12", "2020-01-17", 0), ("2021:01:17 10:11:12", "2020-01-01", 1)):
        with rasterio.open(path, "r+") as target:
            target.update_tags(TIFFTAG_DATETIME=tag)
        assert open_scene(path).date == day
        assert len(open_scene(path).warnings) == count


def test_a_month_in_the_name_agrees_with_a_given_day(write_scene: WriteScene) -> None:
    path = write_scene(name="mosaic_2020_01.tif")
    scene = open_scene(path, date="2020-01-15")
    assert (scene.date, scene.warnings) == ("2020-01-15", ())
    assert open_scene(path, date="2020-02-15").warnings == (
        "date: 2020-02-15 (--date) was taken; 2020-01-01 (file name) contradicts it",
    )


def test_acquisition_metadata_of_a_provider(write_scene: WriteScene, tmp_path: Path) -> None:
    path = write_scene(name="wv.tif")
    (tmp_path / "wv.IMD").write_text(
        'version = "28.4";\nBEGIN_GROUP = IMAGE_1\n\tsatId = "WV03";\n\tfirstLineTime = 2019-05-06T07:08:09.000000Z;\n'
        "END_GROUP = IMAGE_1\nEND;\n"
    )
    assert open_scene(path).date == "2019-05-06"


def test_a_shared_item_counts_only_for_its_assets(write_scene: WriteScene, tmp_path: Path) -> None:
    path = write_scene(name="a.tif")
    shutil.copy(path, tmp_path / "b.tif")
    _item(tmp_path / "item.json", "2023-01-01", href="./a.tif")
    assert open_scene(path).date == "2023-01-01"
    assert open_scene(tmp_path / "b.tif").date is None


@pytest.mark.parametrize(
    "content", ["no json", "[]", "{}", '{"stac_version": "1.0.0", "assets": []}', '{"type": "FeatureCollection"}']
)
def test_a_json_that_is_no_item_says_nothing(write_scene: WriteScene, tmp_path: Path, content: str) -> None:
    path = write_scene(name="a.tif")
    (tmp_path / "a.json").write_text(content)
    assert open_scene(path).date is None


def test_a_given_day_must_be_one(write_scene: WriteScene) -> None:
    with pytest.raises(InputError, match="--date: '2023-02-31' is not a date written YYYY-MM-DD"):
        open_scene(write_scene(), date="2023-02-31")


@pytest.mark.parametrize("day", ["1939-12-31", "2099-01-01"])
def test_a_given_day_is_neither_too_early_nor_in_the_future(write_scene: WriteScene, day: str) -> None:
    with pytest.raises(InputError, match=f"--date: '{day}' is not a date from 1940 to today"):
        open_scene(write_scene(), date=day)
