"""SpaceNet 4 → chips."""

from __future__ import annotations

from pathlib import Path

import pytest
from affine import Affine

from detect.base.errors import InputError
from detect.datasets import prepare
from detect.datasets.chips import read_index
from tests.unit.datasets.drawing import ROOFS, assert_drawn, chip_of, picture, write_geojson, write_tif

LOOKS = ("nadir7_catid_1030010003D22F00", "nadir25_catid_103001000307D800", "nadir53_catid_1030010003193D00")
TILES = {(732701, 3724239): ROOFS, (733151, 3724239): ROOFS[:2], (733601, 3724239): ()}
BLUE_GREEN_RED_NIR = (1500, 1500, 1500, 1500)
BLUE_PATCH = (slice(0, 6), slice(70, 90))
"""Ground, away from the roofs, that is bright in blue alone."""


def _release(source: Path) -> None:
    for (east, north), roofs in TILES.items():
        transform = Affine(0.5, 0, east, 0, -0.5, north)
        for look in LOOKS:
            path = source / f"Atlanta_{look}" / "Pan-Sharpen" / f"Pan-Sharpen_Atlanta_{look}_{east}_{north}.tif"
            values = picture(roofs, BLUE_GREEN_RED_NIR)
            values[(0, *BLUE_PATCH)] = 1500
            write_tif(path, values, 32616, transform, dtype="uint16")
        label = source / "geojson" / "spacenet-buildings" / f"spacenet-buildings_{east}_{north}.geojson"
        write_geojson(label, roofs, transform, 32616, label_crs=32616)


@pytest.mark.parametrize("top", [".", "SN4_buildings/train"])
def test_every_look_at_a_tile_is_a_chip_of_one_place(tmp_path: Path, top: str) -> None:
    source, store = tmp_path / "source", tmp_path / "chips"
    _release(source / top)
    report = prepare("spacenet4", source, store)
    index = read_index(store)
    assert (report.images, report.chips, report.buildings) == (9, 9, 3 * (3 + 2))
    assert set(index["data_set"]) == {"spacenet4"}
    assert index.groupby("place").size().to_dict() == {"732701_3724239": 3, "733151_3724239": 3, "733601_3724239": 3}
    assert index.groupby("place")["split"].nunique().max() == 1 and set(index["split"]) == {"train", "val"}
    assert index["gsd_m"].to_numpy() == pytest.approx(0.5, abs=0.01)


def test_outlines_are_loose_where_roofs_lean(tmp_path: Path) -> None:
    _release(tmp_path / "source")
    prepare("spacenet4", tmp_path / "source", tmp_path / "chips")
    kinds = read_index(tmp_path / "chips").drop_duplicates("sensor").set_index("sensor")["label_kind"].to_dict()
    assert kinds == {
        "WorldView-2, 7° off nadir": "outlines",
        "WorldView-2, 25° off nadir": "outlines",
        "WorldView-2, 53° off nadir": "loose",
    }


def test_bands_are_turned_to_red_green_blue(tmp_path: Path) -> None:
    _release(tmp_path / "source")
    store = tmp_path / "chips"
    prepare("spacenet4", tmp_path / "source", store)
    look = f"Atlanta_{LOOKS[0]}"
    chip = chip_of(store, read_index(store), f"{look}/Pan-Sharpen/Pan-Sharpen_{look}_732701_3724239.tif")
    assert_drawn(chip, ROOFS)
    red, green, blue = chip.image[BLUE_PATCH].mean(axis=(0, 1))
    assert blue > 200 and red < 100 and green < 100


def test_a_missing_piece_is_named(tmp_path: Path) -> None:
    source = tmp_path / "source"
    _release(source)
    label = source / "geojson" / "spacenet-buildings" / "spacenet-buildings_733151_3724239.geojson"
    label.unlink()
    with pytest.raises(InputError, match=f"{label.name}: missing"):
        prepare("spacenet4", source, tmp_path / "chips")
    (source / "geojson").rename(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="spacenet-buildings: missing"):
        prepare("spacenet4", source, tmp_path / "chips")
