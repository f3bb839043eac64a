"""AIRS tiles → chips."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from detect.base.errors import InputError
from detect.datasets import prepare
from detect.datasets.chips import read_index
from detect.datasets.cutting import STORE_GSD_M
from tests.unit.datasets.drawing_b import assert_drawn, pair, picture, roofs, write

TILES = {("train", "christchurch_1"): 3, ("train", "christchurch_2"): 0, ("val", "christchurch_3"): 2}


def _release(top: Path, pixel_m: float | None = None, labels: tuple[str, ...] = ("", "_vis")) -> None:
    for (part, name), buildings in TILES.items():
        for ending in labels:
            label = top / part / "label" / f"{name}{ending}.tif"
            pair(top / part / "image" / f"{name}.tif", label, buildings, lambda m, e=ending: m * 255 if e else m, pixel_m)


@pytest.mark.parametrize("pixel_m", [None, 0.075])
@pytest.mark.parametrize("labels", [("", "_vis"), ("",), ("_vis",)])
def test_tiles_become_chips(tmp_path: Path, pixel_m: float | None, labels: tuple[str, ...]) -> None:
    _release(tmp_path / "source" / "trainval", pixel_m, labels)
    prepare("airs", tmp_path / "source", tmp_path / "chips")
    index = read_index(tmp_path / "chips")
    assert set(index["data_set"]) == {"airs"} and set(index["label_kind"]) == {"merged"}
    assert index["gsd_m"].to_numpy() == pytest.approx(STORE_GSD_M, rel=0.02), "shrunk to the store's pixel"
    assert dict(zip(index["place"], index["split"], strict=True)) == {name: part for part, name in TILES}
    buildings = {name: count for (_, name), count in TILES.items()}
    for _, row in index.iterrows():
        assert_drawn(tmp_path / "chips", row, buildings[row["place"]])


@pytest.mark.parametrize(
    ("train", "test", "given"), [("trainval", "test", ""), (".", "test", ""), ("trainval", "test", "trainval")]
)
def test_labelled_test_tiles_validate(tmp_path: Path, train: str, test: str, given: str) -> None:
    source = tmp_path / "source"
    _release(source / train)
    pair(source / test / "image" / "christchurch_9.tif", source / test / "label" / "christchurch_9.tif", 1, lambda m: m)
    prepare("airs", source / given, tmp_path / "chips")
    index = read_index(tmp_path / "chips")
    held_out = index[index["place"] == "christchurch_9"]
    assert list(held_out["split"]) == ([] if given else ["val"]), "nothing outside the given folder is read"
    assert len(index) == len(TILES) + len(held_out)


def test_hidden_test_tiles_are_passed_over(tmp_path: Path) -> None:
    _release(tmp_path / "source" / "trainval")
    write(tmp_path / "source" / "test" / "image" / "christchurch_9.tif", picture(roofs()))
    prepare("airs", tmp_path / "source", tmp_path / "chips")
    assert "christchurch_9" not in set(read_index(tmp_path / "chips")["place"])


@pytest.mark.parametrize(
    ("gone", "named"),
    [
        ("train/label/christchurch_2.tif", r"label/christchurch_2\.tif"),
        ("val", "val: missing"),
        ("train/image", "train/image: missing"),
    ],
)
def test_a_missing_piece_is_named(tmp_path: Path, gone: str, named: str) -> None:
    _release(tmp_path / "source" / "trainval", labels=("",))
    path = tmp_path / "source" / "trainval" / gone
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(InputError, match=named):
        prepare("airs", tmp_path / "source", tmp_path / "chips")
