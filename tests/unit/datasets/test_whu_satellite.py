"""WHU's satellite tiles → chips."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from detect.base.errors import InputError
from detect.datasets import prepare
from detect.datasets.chips import read_index
from tests.unit.datasets.drawing_b import assert_drawn, pair

GLOBAL = "Satellite dataset Ⅰ (global cities)"
EAST_ASIA = "Satellite dataset Ⅱ (East Asia)/1. The cropped image data and raster labels"
CITIES = {"1": 3, "2": 0}
STRIPS = {
    ("train", "1_35"): 3, ("train", "2_7"): 2, ("train_no", "1_36"): 0, ("train_no", "2_8"): 1,
    ("test", "1003"): 1, ("test_no", "1004"): 0,
}  # fmt: skip
PLACES = {"1": "east_asia_1", "2": "east_asia_2", "1003": "east_asia_test", "1004": "east_asia_test"}


def _cities(top: Path) -> None:
    for number, buildings in CITIES.items():
        pair(top / "image" / f"{number}.tif", top / "label" / f"{number}.tif", buildings)


def _strips(top: Path) -> None:
    for (part, number), buildings in STRIPS.items():
        pair(top / part / "image" / f"{number}.tif", top / part / "label" / f"{number}.tif", buildings)


@pytest.mark.parametrize("given", ["", EAST_ASIA.partition("/")[0], EAST_ASIA])
def test_strips_become_places(tmp_path: Path, given: str) -> None:
    _strips(tmp_path / "source" / EAST_ASIA)
    prepare("whu-satellite", tmp_path / "source" / given, tmp_path / "chips")
    index = read_index(tmp_path / "chips")
    assert set(index["data_set"]) == {"whu_satellite"} and set(index["label_kind"]) == {"merged"}
    assert index["gsd_m"].to_numpy() == pytest.approx(0.262, rel=0.01)
    assert len(index) == len(STRIPS)
    for _, row in index.iterrows():
        path = Path(row["source"])
        assert row["place"] == PLACES[path.stem.partition("_")[0]]
        assert row["split"] == ("val" if row["place"] == "east_asia_test" else "train")
        assert_drawn(tmp_path / "chips", row, STRIPS[path.parts[-3], path.stem])


@pytest.mark.parametrize("folder", [GLOBAL, f"{GLOBAL}/Satellite dataset ó± (global cities)"])
def test_both_parts_are_read_and_kept_apart(tmp_path: Path, folder: str) -> None:
    _cities(tmp_path / "source" / folder)
    _strips(tmp_path / "source" / EAST_ASIA)
    prepare("whu_satellite", tmp_path / "source", tmp_path / "chips")
    index = read_index(tmp_path / "chips")
    cities = index[index["data_set"] == "whu_satellite_global"]
    assert len(cities) == len(CITIES) and len(index) == len(CITIES) + len(STRIPS)
    assert set(cities["place"]) == {"global_cities"} and set(cities["split"]) == {"train"}
    assert cities["gsd_m"].to_numpy() == pytest.approx(0.6, rel=0.01)
    for _, row in cities.iterrows():
        assert_drawn(tmp_path / "chips", row, CITIES[Path(row["source"]).stem])


@pytest.mark.parametrize(
    ("gone", "named"),
    [
        (f"{GLOBAL}/label/2.tif", r"label/2\.tif"),
        (f"{EAST_ASIA}/test", "test/image: missing"),
        (f"{EAST_ASIA}/train_no/label/1_36.tif", r"train_no/label/1_36\.tif"),
    ],
)
def test_a_missing_piece_is_named(tmp_path: Path, gone: str, named: str) -> None:
    _cities(tmp_path / "source" / GLOBAL)
    _strips(tmp_path / "source" / EAST_ASIA)
    path = tmp_path / "source" / gone
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(InputError, match=named):
        prepare("whu_satellite", tmp_path / "source", tmp_path / "chips")


def test_the_aerial_part_is_not_taken_for_it(tmp_path: Path) -> None:
    for area in ("train", "val", "test"):
        pair(tmp_path / "source" / area / "image" / "0.tif", tmp_path / "source" / area / "label" / "0.tif", 1)
    with pytest.raises(InputError, match="East Asia"):
        prepare("whu_satellite", tmp_path / "source", tmp_path / "chips")
