"""Mnih's tiles → chips, in both published layouts."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from detect.base.errors import InputError
from detect.datasets import prepare
from detect.datasets.chips import read_index
from tests.unit.datasets.drawing_b import assert_drawn, pair

TILES = {("train", "22678915_15"): 3, ("train", "22678930_15"): 0, ("valid", "22978870_15"): 2, ("test", "22828930_15"): 1}


def _red(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.stack([mask * 255, mask * 0, mask * 0], axis=2)


def _release(top: Path, pixel_m: float | None = None) -> None:
    for (part, name), buildings in TILES.items():
        pair(top / part / "sat" / f"{name}.tiff", top / part / "map" / f"{name}.tif", buildings, _red, pixel_m)


def _kaggle(top: Path) -> None:
    for (part, name), buildings in TILES.items():
        part = part.replace("valid", "val")
        pair(top / "tiff" / part / f"{name}.tiff", top / "tiff" / f"{part}_labels" / f"{name}.tif", buildings, _red)
        pair(top / "png" / part / f"{name}.png", top / "png" / f"{part}_labels" / f"{name}.png", buildings, _red)


def _check(store: Path, suffix: str) -> None:
    index = read_index(store)
    assert set(index["data_set"]) == {"massachusetts"} and set(index["label_kind"]) == {"merged"}
    assert index["gsd_m"].to_numpy() == pytest.approx(1.0, rel=0.01)
    assert {Path(s).suffix for s in index["source"]} == {suffix} and len(index) == len(TILES), "each tile once"
    buildings = {name: (part, count) for (part, name), count in TILES.items()}
    for _, row in index.iterrows():
        part, count = buildings[Path(row["source"]).stem]
        assert row["place"] == Path(row["source"]).stem and row["split"] == ("train" if part == "train" else "val")
        assert_drawn(store, row, count)


@pytest.mark.parametrize("pixel_m", [None, 1.0])
def test_the_authors_layout(tmp_path: Path, pixel_m: float | None) -> None:
    _release(tmp_path / "source" / "mass_buildings", pixel_m)
    prepare("massachusetts", tmp_path / "source", tmp_path / "chips")
    _check(tmp_path / "chips", ".tiff")
    assert read_index(tmp_path / "chips").geometry.isna().all() == (pixel_m is None)


@pytest.mark.parametrize(("given", "suffix"), [("", ".tiff"), ("png", ".png")])
def test_kaggles_layout(tmp_path: Path, given: str, suffix: str) -> None:
    _kaggle(tmp_path / "source")
    prepare("massachusetts", tmp_path / "source" / given, tmp_path / "chips")
    _check(tmp_path / "chips", suffix)


@pytest.mark.parametrize(
    ("gone", "named"),
    [("train/map/22678915_15.tif", r"map/22678915_15"), ("valid", "valid/sat: missing"), ("train", "train: missing")],
)
def test_a_missing_piece_is_named(tmp_path: Path, gone: str, named: str) -> None:
    _release(tmp_path / "source")
    path = tmp_path / "source" / gone
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(InputError, match=named):
        prepare("massachusetts", tmp_path / "source", tmp_path / "chips")


def test_a_missing_piece_of_kaggles_is_named(tmp_path: Path) -> None:
    _kaggle(tmp_path / "source")
    shutil.rmtree(tmp_path / "source" / "tiff" / "val_labels")
    with pytest.raises(InputError, match="val_labels: missing"):
        prepare("massachusetts", tmp_path / "source", tmp_path / "chips")
