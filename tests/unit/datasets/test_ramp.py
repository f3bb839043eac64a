"""RAMP's regions of chips."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from affine import Affine

from detect.base.errors import InputError
from detect.datasets import prepare
from detect.datasets.chips import read_chip, read_index
from tests.unit.datasets.drawing_c import built_share, outlines, picture, write_geojson, write_geotiff

SIZE_HW = (128, 128)
HOUSES = ((10, 20, 40, 60), (70, 80, 100, 120))
REGIONS = {"ramp_karnataka_india": (75.98, 12.46), "ramp_muscat_oman": (58.4, 23.6)}
PIXEL_DEGREES = 2.7e-06  # 0.3 m in latitude


def ramp(folder: Path, images: str = "source") -> Path:
    for region, (lon, lat) in REGIONS.items():
        place = Affine(PIXEL_DEGREES, 0, lon, 0, -PIXEL_DEGREES, lat)
        for name, houses in (("0a1b2c3d-0001", HOUSES), ("0a1b2c3d-0002", ())):
            write_geotiff(folder / region / images / f"{name}.tif", picture(SIZE_HW, houses), place, "EPSG:4326")
            write_geojson(folder / region / "labels" / f"{name}.geojson", outlines(houses, place, "EPSG:4326"))
        (folder / region / "README.md").touch()
    return folder


@pytest.mark.parametrize("images", ["source", "chips"])
def test_each_region_is_a_place(tmp_path: Path, images: str) -> None:
    prepare("ramp", ramp(tmp_path / "ramp", images), tmp_path / "chips")
    index = read_index(tmp_path / "chips")
    assert set(index["data_set"]) == {"ramp"} and set(index["label_kind"]) == {"outlines"}
    assert set(index["place"]) == set(REGIONS)
    assert set(index["split"]) == {"train", "val"} and index.groupby("place")["split"].nunique().max() == 1
    assert index["gsd_m"].between(0.26, 0.31).all()
    assert index.groupby("place")["buildings"].sum().to_dict() == dict.fromkeys(REGIONS, 2)
    assert set(index["licence"]) == {"CC-BY-NC-4.0"}
    for row in index.to_dict("records"):
        chip = read_chip(tmp_path / "chips", row["chip"])
        houses = HOUSES if row["buildings"] else ()
        assert all(built_share(chip.footprint, house, SIZE_HW) == 1 for house in houses)
        drawn = sum((r1 - r0) * (c1 - c0) for r0, c0, r1, c1 in houses) / np.prod(SIZE_HW)
        assert (chip.footprint == 1).mean() == pytest.approx(drawn, abs=0.01)


def test_one_region_may_be_given_alone(tmp_path: Path) -> None:
    prepare("ramp", ramp(tmp_path / "ramp") / "ramp_muscat_oman", tmp_path / "chips")
    assert set(read_index(tmp_path / "chips")["place"]) == {"ramp_muscat_oman"}


@pytest.mark.parametrize("missing", ["labels/0a1b2c3d-0002.geojson", "source/0a1b2c3d-0001.tif"])
def test_a_missing_file_is_named(tmp_path: Path, missing: str) -> None:
    (ramp(tmp_path / "ramp") / "ramp_muscat_oman" / missing).unlink()
    with pytest.raises(InputError, match=f"ramp_muscat_oman/{missing}: missing"):
        prepare("ramp", tmp_path / "ramp", tmp_path / "chips")


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ramp").mkdir()
    with pytest.raises(InputError, match="ramp/source: missing"):
        prepare("ramp", tmp_path / "ramp", tmp_path / "chips")
