"""OpenEarthMap's tiles → chips."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from detect.base.errors import InputError
from detect.datasets import prepare
from detect.datasets.chips import read_index
from tests.unit.datasets.drawing_b import SIZE_HW, assert_drawn, pair, picture, roofs, write

TILES = {"aachen_1": 3, "aachen_2": 0, "kujawsko-pomorskie_8": 1, "mexico_city_12": 2}
FROM_XBD, HIDDEN = "palu_3", "aachen_17"
PIXEL_M = 0.4
UNSEEN = np.zeros(SIZE_HW, bool)
UNSEEN[:6, :100] = True


def _classes(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Agriculture, road and building land, and a corner of which nothing is known."""
    classes = np.where(mask == 1, 8, 7)
    classes[:, 118:] = 4
    classes[UNSEEN] = 0
    return classes.astype(np.uint8)


def _tile(top: Path, name: str, kind: str) -> Path:
    return top / name.rpartition("_")[0] / kind / f"{name}.tif"


def _release(top: Path) -> None:
    for name, buildings in TILES.items():
        pair(_tile(top, name, "images"), _tile(top, name, "labels"), buildings, _classes, PIXEL_M)
    write(_tile(top, FROM_XBD, "labels"), _classes(roofs()), PIXEL_M)
    write(_tile(top, HIDDEN, "images"), picture(roofs()), PIXEL_M)
    (top / "train.txt").write_text("".join(f"{name}.tif\n" for name in ("mexico_city_12", "aachen_1", FROM_XBD)))
    (top / "val.txt").write_text("aachen_2.tif\nkujawsko-pomorskie_8.tif\n")
    (top / "test.txt").write_text(f"{HIDDEN}.tif\n")
    (top / "xbd_files.csv").write_text(f"palu-tsunami_00000003_pre_disaster.png,{FROM_XBD}.tif\n")


@pytest.mark.parametrize("given", ["", "OpenEarthMap_wo_xBD"])
def test_labelled_tiles_become_chips_and_regions_places(tmp_path: Path, given: str) -> None:
    _release(tmp_path / "source" / "OpenEarthMap_wo_xBD")
    prepare("openearthmap", tmp_path / "source" / given, tmp_path / "chips")
    index = read_index(tmp_path / "chips")
    assert set(index["data_set"]) == {"openearthmap"} and set(index["label_kind"]) == {"merged"}
    assert index["gsd_m"].to_numpy() == pytest.approx(PIXEL_M, rel=0.01)
    assert set(index["place"]) == {"aachen", "kujawsko-pomorskie", "mexico_city"}
    assert index.groupby("place")["split"].nunique().max() == 1, "the lists cut regions, we do not"
    assert set(index["split"]) == {"train", "val"}
    assert {Path(s).stem for s in index["source"]} == set(TILES), "neither hidden tiles nor those without an image"
    for _, row in index.iterrows():
        assert_drawn(tmp_path / "chips", row, TILES[Path(row["source"]).stem], UNSEEN)


def test_tiles_of_xbd_are_read_once_they_are_there(tmp_path: Path) -> None:
    _release(tmp_path / "source")
    write(_tile(tmp_path / "source", FROM_XBD, "images"), picture(roofs()), PIXEL_M)
    prepare("openearthmap", tmp_path / "source", tmp_path / "chips")
    index = read_index(tmp_path / "chips")
    assert_drawn(tmp_path / "chips", index[index["place"] == "palu"].iloc[0], 3, UNSEEN)


@pytest.mark.parametrize(
    ("gone", "named"),
    [
        ("aachen/labels/aachen_1.tif", r"aachen/labels/aachen_1\.tif: missing"),
        ("aachen/images/aachen_1.tif", r"aachen/images/aachen_1\.tif: missing"),
        ("val.txt", r"val\.txt: missing"),
        ("train.txt", r"train\.txt: missing"),
        ("mexico_city", "mexico_city_12"),
    ],
)
def test_a_missing_piece_is_named(tmp_path: Path, gone: str, named: str) -> None:
    _release(tmp_path / "source")
    (tmp_path / "source" / gone).rename(tmp_path / "gone")
    with pytest.raises(InputError, match=named):
        prepare("openearthmap", tmp_path / "source", tmp_path / "chips")
