"""Dubai's tiles → chips."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from detect.base.errors import InputError
from detect.datasets import prepare
from detect.datasets.chips import UNKNOWN, read_chip, read_index
from tests.unit.datasets.drawing_b import ROOFS, SIZE_HW, pair

FOLDER = "Semantic segmentation dataset"
LAND, BUILDING, UNLABELLED = (132, 41, 246), (60, 16, 152), (155, 155, 155)
EMPTY_TILE = 2


def _coloured(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Land and buildings, and a strip along the right that nobody labelled."""
    colours = np.full((*SIZE_HW, 3), LAND, np.uint8)
    colours[mask == 1] = BUILDING
    colours[:, 124:] = UNLABELLED
    return colours


def _release(top: Path) -> None:
    for tile in range(1, 9):
        for part in (1, 2):
            folder, name = top / f"Tile {tile}", f"image_part_{part:03}"
            buildings = 0 if tile == EMPTY_TILE else 3
            pair(folder / "images" / f"{name}.jpg", folder / "masks" / f"{name}.png", buildings, _coloured)
    (top / "classes.json").write_text("{}")


@pytest.mark.parametrize("given", ["", FOLDER])
def test_parts_become_chips_and_tiles_places(tmp_path: Path, given: str) -> None:
    _release(tmp_path / "source" / FOLDER)
    prepare("dubai", tmp_path / "source" / given, tmp_path / "chips")
    index = read_index(tmp_path / "chips")
    assert set(index["data_set"]) == {"hitl_dubai"}, "the name it has among the samples"
    assert set(index["label_kind"]) == {"coarse"} and len(index) == 16
    assert index["gsd_m"].to_numpy() == pytest.approx(0.9, rel=0.01)
    assert set(index["place"]) == {*(f"dubai_{n}" for n in range(1, 7)), "dubai_7_8"}
    assert index.groupby("place")["split"].nunique().max() == 1 and set(index["split"]) == {"train", "val"}
    assert (index.loc[index["place"] == f"dubai_{EMPTY_TILE}", "buildings"] == 0).all()
    assert (index.loc[index["place"] != f"dubai_{EMPTY_TILE}", "buildings"] == 3).all()


def test_an_unknown_rim_lies_round_the_plots(tmp_path: Path) -> None:
    _release(tmp_path / "source" / FOLDER)
    prepare("dubai", tmp_path / "source", tmp_path / "chips")
    row = read_index(tmp_path / "chips").query("place == 'dubai_1'").iloc[0]
    footprint = read_chip(tmp_path / "chips", row["chip"]).footprint
    for row0, col0, row1, col1 in ROOFS:
        assert (footprint[row0:row1, col0:col1] == 1).all()
        assert (footprint[row0 - 1, col0:col1] == UNKNOWN).all()
        assert (footprint[row0 - 3 : row0 - 1, col0:col1] == 0).all()
    assert (footprint[:, 124:] == UNKNOWN).all(), "nobody labelled it"
    assert (footprint[:, 118:123] == 0).all()


@pytest.mark.parametrize(
    ("gone", "named"),
    [
        ("Tile 3/masks/image_part_002.png", r"Tile 3/masks/image_part_002"),
        ("Tile 6", "Tile 6/images: missing"),
        ("Tile 1", "Tile 1: missing"),
    ],
)
def test_a_missing_piece_is_named(tmp_path: Path, gone: str, named: str) -> None:
    _release(tmp_path / "source" / FOLDER)
    path = tmp_path / "source" / FOLDER / gone
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(InputError, match=named):
        prepare("dubai", tmp_path / "source", tmp_path / "chips")
