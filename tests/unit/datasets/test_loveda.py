"""LoveDA's tiles → chips."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from detect.base.errors import InputError
from detect.datasets import prepare
from detect.datasets.chips import read_index
from tests.unit.datasets.drawing_b import SIZE_HW, assert_drawn, pair, picture, roofs, write

TILES = {("Train", "Rural", "0"): 3, ("Train", "Urban", "1366"): 0, ("Val", "Rural", "2522"): 1, ("Val", "Urban", "3514"): 2}
NO_DATA = np.zeros(SIZE_HW, bool)
NO_DATA[88:] = True


def _classes(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Background, forest and building, and rows without data."""
    classes = np.where(mask == 1, 2, 1)
    classes[:, 118:] = 6
    classes[NO_DATA] = 0
    return classes.astype(np.uint8)


def _release(top: Path) -> None:
    for (part, scene, number), buildings in TILES.items():
        folder = top / part / scene
        pair(folder / "images_png" / f"{number}.png", folder / "masks_png" / f"{number}.png", buildings, _classes)
    write(top / "Test" / "Rural" / "images_png" / "4191.png", picture(roofs()))


@pytest.mark.parametrize("given", ["", "LoveDA"])
def test_tiles_become_chips(tmp_path: Path, given: str) -> None:
    _release(tmp_path / "source" / "LoveDA")
    prepare("loveda", tmp_path / "source" / given, tmp_path / "chips")
    index = read_index(tmp_path / "chips")
    assert set(index["data_set"]) == {"loveda"} and set(index["label_kind"]) == {"merged"}
    assert index["gsd_m"].to_numpy() == pytest.approx(0.3, rel=0.01)
    assert dict(zip(index["place"], index["split"], strict=True)) == {
        "train_rural": "train", "train_urban": "train", "val_rural": "val", "val_urban": "val",
    }  # fmt: skip
    assert len(index) == len(TILES), "the test part has no labels"
    for _, row in index.iterrows():
        path = Path(row["source"])
        assert_drawn(tmp_path / "chips", row, TILES[path.parts[-4], path.parts[-3], path.stem], NO_DATA)


@pytest.mark.parametrize(
    ("gone", "named"),
    [
        ("Train/Rural/masks_png/0.png", r"Rural/masks_png/0\.png"),
        ("Val", "Val: missing"),
        ("Train/Urban", "Urban/images_png: missing"),
    ],
)
def test_a_missing_piece_is_named(tmp_path: Path, gone: str, named: str) -> None:
    _release(tmp_path / "source")
    path = tmp_path / "source" / gone
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(InputError, match=named):
        prepare("loveda", tmp_path / "source", tmp_path / "chips")
