"""SpaceNet 6 → chips."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from affine import Affine

from detect.base.errors import InputError
from detect.datasets import prepare
from detect.datasets.chips import UNKNOWN, read_chip, read_index
from detect.datasets.spacenet6 import VAL_EAST_M
from tests.unit.datasets.drawing import ROOFS, assert_drawn, chip_of, picture, write_geojson, write_tif

AOI = "train/AOI_11_Rotterdam"
STRIP = "20190804111224_20190804111453"
TILES = {8679: (592_400.0, ROOFS), 8680: (VAL_EAST_M - 24, ROOFS), 8681: (595_700.0, ROOFS[:1]), 8682: (593_000.0, ())}
"""Tile → left edge and buildings; 8680 lies across the boundary, half on either side (48 m wide)."""


def _image(tile: int) -> str:
    return f"{AOI}/PS-RGB/SN6_Train_AOI_11_Rotterdam_PS-RGB_{STRIP}_tile_{tile}.tif"


def _label(tile: int) -> str:
    return f"{AOI}/geojson_buildings/SN6_Train_AOI_11_Rotterdam_Buildings_{STRIP}_tile_{tile}.geojson"


def _release(source: Path) -> None:
    for tile, (east, roofs) in TILES.items():
        transform = Affine(0.5, 0, east, 0, -0.5, 5_750_000)
        write_tif(source / _image(tile), picture(roofs), 32631, transform)
        write_geojson(source / _label(tile), roofs, transform, 32631, label_crs=32631)
    radar = (
        source / f"test_public/AOI_11_Rotterdam/SAR-Intensity/SN6_Test_Public_AOI_11_Rotterdam_SAR-Intensity_{STRIP}_tile_1.tif"
    )
    write_tif(radar, picture((), (1, 1, 1, 1)), 32631, Affine(0.5, 0, 592_000, 0, -0.5, 5_740_000), dtype="float32")


@pytest.mark.parametrize("level", [".", "train", AOI])
def test_optical_tiles_become_chips(tmp_path: Path, level: str) -> None:
    source, store = tmp_path / "source", tmp_path / "chips"
    _release(source)
    assert prepare("spacenet6", source / level, store).images == 4
    index = read_index(store)
    assert set(index["data_set"]) == {"spacenet6"} and set(index["place"]) == {"Rotterdam"}
    assert set(index["label_kind"]) == {"outlines"}
    assert index["gsd_m"].to_numpy() == pytest.approx(0.5, abs=0.01)


def test_the_east_validates_and_no_ground_does_both(tmp_path: Path) -> None:
    source, store = tmp_path / "source", tmp_path / "chips"
    _release(source)
    prepare("spacenet6", source, store)
    index = read_index(store)
    splits = {tile: sorted(index.loc[index["source"] == _image(tile), "split"]) for tile in TILES}
    assert splits == {8679: ["train"], 8680: ["train", "val"], 8681: ["val"], 8682: ["train"]}
    assert_drawn(chip_of(store, index, _image(8679)), ROOFS)
    assert not chip_of(store, index, _image(8682)).footprint.any(), "no building, but known ground"
    across = index[index["source"] == _image(8680)].set_index("split")["chip"]
    known = {split: read_chip(store, name).footprint != UNKNOWN for split, name in across.items()}
    assert known["train"][:, :48].all() and known["val"][:, 48:].all()
    assert not np.logical_and(known["train"], known["val"]).any()


def test_a_missing_piece_is_named(tmp_path: Path) -> None:
    source = tmp_path / "source"
    _release(source)
    (source / _label(8681)).unlink()
    with pytest.raises(InputError, match=r"Buildings_.*_tile_8681\.geojson: missing"):
        prepare("spacenet6", source, tmp_path / "chips")
    (source / AOI / "geojson_buildings").rename(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="geojson_buildings: missing"):
        prepare("spacenet6", source, tmp_path / "chips")
