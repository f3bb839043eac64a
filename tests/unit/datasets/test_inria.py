"""Inria's tiles → chips."""

from __future__ import annotations

from pathlib import Path

import pytest

from detect.base.errors import InputError
from detect.datasets import prepare
from detect.datasets.chips import read_index
from tests.unit.datasets.drawing_b import assert_drawn, pair, picture, roofs, write

TILES = {"austin1": 3, "austin12": 0, "chicago1": 2, "kitsap36": 1, "tyrol-w1": 3, "vienna9": 3}


def _release(top: Path) -> None:
    for name, buildings in TILES.items():
        pair(top / "train" / "images" / f"{name}.tif", top / "train" / "gt" / f"{name}.tif", buildings, pixel_m=0.3)
    write(top / "test" / "images" / "bellingham1.tif", picture(roofs()), 0.3)


@pytest.mark.parametrize("given", ["", "AerialImageDataset", "AerialImageDataset/train"])
def test_tiles_become_chips_and_cities_places(tmp_path: Path, given: str) -> None:
    _release(tmp_path / "source" / "AerialImageDataset")
    prepare("inria", tmp_path / "source" / given, tmp_path / "chips")
    index = read_index(tmp_path / "chips")
    assert set(index["data_set"]) == {"inria"} and set(index["label_kind"]) == {"merged"}
    assert index["gsd_m"].to_numpy() == pytest.approx(0.3, rel=0.01)
    assert set(index["place"]) == {"austin", "chicago", "kitsap", "tyrol-w", "vienna"}
    assert index.groupby("place")["split"].nunique().max() == 1, "a city is never cut"
    assert index.loc[index["split"] == "val", "place"].nunique() == 1, "a fifth of five cities"
    assert len(index) == len(TILES) and not index.geometry.isna().any()
    for _, row in index.iterrows():
        assert_drawn(tmp_path / "chips", row, TILES[Path(row["source"]).stem])


@pytest.mark.parametrize(
    ("gone", "named"),
    [
        ("gt/chicago1.tif", r"gt/chicago1\.tif"),
        ("images/chicago1.tif", r"chicago1\.tif: has no image"),
        ("images", "images: missing"),
    ],
)
def test_a_missing_piece_is_named(tmp_path: Path, gone: str, named: str) -> None:
    _release(tmp_path / "source" / "AerialImageDataset")
    path = tmp_path / "source" / "AerialImageDataset" / "train" / gone
    path.rename(tmp_path / "gone")
    with pytest.raises(InputError, match=named):
        prepare("inria", tmp_path / "source", tmp_path / "chips")


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "source" / "test" / "images" / "bellingham1.tif", picture(roofs()), 0.3)
    with pytest.raises(InputError, match="train/gt: missing"):
        prepare("inria", tmp_path / "source", tmp_path / "chips")
