"""WHU's aerial tiles → chips."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from detect.base.errors import InputError
from detect.datasets import prepare
from detect.datasets.chips import read_index
from tests.unit.datasets.drawing_b import assert_drawn, pair

ARCHIVE = "3. The cropped aerial image tiles and raster labels"
FOLDER = "3. The cropped image tiles and raster labels"
TILES = {("train", "0"): 3, ("train", "1"): 0, ("val", "0"): 2, ("test", "0"): 1}


def _release(top: Path, folders: tuple[str, str] = ("image", "label"), pixel_m: float | None = None) -> None:
    for (area, number), buildings in TILES.items():
        image, label = (top / area / folder / f"{number}.tif" for folder in folders)
        pair(image, label, buildings, pixel_m=pixel_m)


@pytest.mark.parametrize(
    ("given", "folders", "pixel_m"),
    [
        ("", ("image", "label"), None),
        (f"{ARCHIVE}/{FOLDER}", ("image", "label"), None),
        ("", ("Image", "Mask"), None),
        ("", ("image", "label"), 0.3),
    ],
)
def test_tiles_become_chips(tmp_path: Path, given: str, folders: tuple[str, str], pixel_m: float | None) -> None:
    _release(tmp_path / "source" / ARCHIVE / FOLDER, folders, pixel_m)
    prepare("whu", tmp_path / "source" / given, tmp_path / "chips")
    index = read_index(tmp_path / "chips")
    assert set(index["data_set"]) == {"whu"} and set(index["label_kind"]) == {"merged"}
    assert index["gsd_m"].to_numpy() == pytest.approx(0.3, rel=0.01)
    assert dict(zip(index["place"], index["split"], strict=True)) == {
        "christchurch_train": "train", "christchurch_val": "val", "christchurch_test": "val",
    }  # fmt: skip
    assert len(index) == len(TILES) and index.geometry.isna().all() == (pixel_m is None)
    for _, row in index.iterrows():
        path = Path(row["source"])
        assert_drawn(tmp_path / "chips", row, TILES[path.parts[-3], path.stem])


@pytest.mark.parametrize(
    ("gone", "named"),
    [
        ("val/label/0.tif", r"val/label/0\.tif"),
        ("test", "test: missing"),
        ("val", "val: missing"),
        ("train/label", "train/label: missing"),
    ],
)
def test_a_missing_piece_is_named(tmp_path: Path, gone: str, named: str) -> None:
    _release(tmp_path / "source" / FOLDER)
    path = tmp_path / "source" / FOLDER / gone
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(InputError, match=named):
        prepare("whu", tmp_path / "source", tmp_path / "chips")
