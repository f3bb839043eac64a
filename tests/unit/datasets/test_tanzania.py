"""Open AI Tanzania: grids with construction stages, drawn ones and the published sample."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from affine import Affine

from detect.base.errors import InputError
from detect.datasets import prepare
from detect.datasets.chips import read_chip, read_index
from detect.datasets.cutting import STORE_GSD_M
from tests.real_data import data_path
from tests.unit.datasets.drawing_c import built_share, outlines, picture, write_geojson, write_geotiff

SIZE_HW = (128, 160)
HOUSES = {
    "Complete": (10, 10, 40, 40),
    "Incomplete": (10, 60, 40, 100),
    "Foundation": (70, 10, 110, 50),
    None: (70, 70, 110, 120),
}
CODES = {"Foundation": 1, "Incomplete": 2, "Complete": 3, None: 0}
PLACE = Affine(0.25, 0, 532_854, 0, -0.25, 9_366_840)
CRS = "EPSG:32737"


def grid(image: Path, labels: Path, conditions: list[str | None]) -> None:
    houses = [HOUSES[c] for c in conditions]
    write_geotiff(image, picture(SIZE_HW, houses), PLACE, CRS)
    write_geojson(labels, outlines(houses, PLACE, CRS, condition=conditions, building=[None] * len(houses)))


def challenge(folder: Path) -> Path:
    grid(folder / "grid_001.tif", folder / "grid_001.geojson", list(HOUSES))
    # The name that the image of grid 022 has on OpenAerialMap.
    grid(folder / "images" / "5ae242fd0b093000130afd27.tif", folder / "labels" / "grid_022.geojson", [])
    write_geotiff(folder / "grid_059.tif", picture(SIZE_HW), PLACE, CRS)
    return folder


def test_conditions_are_stages(tmp_path: Path) -> None:
    prepare("tanzania", challenge(tmp_path / "source"), tmp_path / "chips")
    index = read_index(tmp_path / "chips").set_index("place")
    assert index["buildings"].to_dict() == {"grid_001": 4, "grid_022": 0}, "grid 059 has no labels"
    assert set(index["data_set"]) == {"tanzania"} and set(index["label_kind"]) == {"outlines"}
    assert set(index["split"]) == {"train", "val"}
    assert index["gsd_m"].to_numpy() == pytest.approx(0.25, rel=0.01)
    chip = read_chip(tmp_path / "chips", index.loc["grid_001", "chip"])
    for condition, house in HOUSES.items():
        row0, col0, row1, col1 = house
        assert built_share(chip.footprint, house, SIZE_HW) == 1
        assert np.unique(chip.stage[row0 + 1 : row1 - 1, col0 + 1 : col1 - 1]).tolist() == [CODES[condition]]


@pytest.mark.parametrize("missing", ["grid_001.tif", "grid_001.geojson"])
def test_a_missing_file_is_named(tmp_path: Path, missing: str) -> None:
    (challenge(tmp_path / "source") / missing).unlink()
    with pytest.raises(InputError, match=f"{missing}: missing"):
        prepare("tanzania", tmp_path / "source", tmp_path / "chips")


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    with pytest.raises(InputError, match=r"grid_001\.tif: missing"):
        prepare("tanzania", tmp_path / "source", tmp_path / "chips")


def test_outlines_of_another_origin_are_refused(tmp_path: Path) -> None:
    challenge(tmp_path / "source")
    write_geojson(tmp_path / "source" / "grid_001.geojson", outlines([HOUSES["Complete"]], PLACE, CRS))
    with pytest.raises(InputError, match="no column 'condition'"):
        prepare("tanzania", tmp_path / "source", tmp_path / "chips")


def test_the_published_sample(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "grid_001.tif").symlink_to(data_path("tanzania/sample.tif"))
    (tmp_path / "source" / "grid_001.geojson").symlink_to(data_path("tanzania/conditions.geojson"))
    prepare("tanzania", tmp_path / "source", tmp_path / "chips")
    (row,) = read_index(tmp_path / "chips").to_dict("records")
    chip = read_chip(tmp_path / "chips", row["chip"])
    assert row["gsd_m"] == pytest.approx(STORE_GSD_M, rel=0.01)  # 0.077 m, shrunk
    assert 6 <= row["buildings"] <= 7  # one of 14 m² lies across the edge
    built = chip.footprint == 1
    assert set(np.unique(chip.stage[built])) == {3}, "all of them are complete"
    # Roofs of corrugated iron are brighter than the ground between them.
    assert chip.image[built].mean() > chip.image[~built].mean() + 15
