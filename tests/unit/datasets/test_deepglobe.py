"""The DeepGlobe building track → chips."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from affine import Affine

from detect.base.errors import InputError
from detect.datasets import prepare
from detect.datasets.chips import read_index
from tests.unit.datasets.drawing import ROOFS, assert_drawn, chip_of, on_the_ground, picture, polygon, write_tif

PIXEL_DEG = 2.7e-6
WEST_NORTH = {"AOI_2_Vegas": (-115.27, 36.18), "AOI_3_Paris": (2.2, 49.0)}
TILES = {1: ROOFS, 12: ROOFS[:1], 3: ()}


def _image(aoi: str, number: int) -> str:
    return f"{aoi}_Train/RGB-PanSharpen/RGB-PanSharpen_{aoi}_img{number}.tif"


def _table(aoi: str) -> str:
    return f"{aoi}_Train/summaryData/{aoi}_Train_Building_Solutions.csv"


def _release(source: Path) -> None:
    for aoi, (west, north) in WEST_NORTH.items():
        rows: list[tuple[str, int, str, str]] = []
        for number, roofs in TILES.items():
            transform = Affine(PIXEL_DEG, 0, west + number * 1e-3, 0, -PIXEL_DEG, north)
            write_tif(source / _image(aoi, number), picture(roofs, (1100, 1000, 900)), 4326, transform, dtype="uint16")
            tile = f"{aoi}_img{number}"
            rows += [(tile, i, polygon(r).wkt, on_the_ground(r, transform, 4326).wkt) for i, r in enumerate(roofs)]
            if not roofs:
                rows.append((tile, -1, "POLYGON EMPTY", "POLYGON EMPTY"))
        table = source / _table(aoi)
        table.parent.mkdir()
        with table.open("w", newline="") as file:
            csv.writer(file).writerows([("ImageId", "BuildingId", "PolygonWKT_Pix", "PolygonWKT_Geo"), *rows])


def test_tiles_become_chips(tmp_path: Path) -> None:
    source, store = tmp_path / "source", tmp_path / "chips"
    _release(source)
    hidden = source / "AOI_2_Vegas_Test_Public/RGB-PanSharpen/RGB-PanSharpen_AOI_2_Vegas_img2.tif"
    write_tif(hidden, picture(()), 4326, Affine(PIXEL_DEG, 0, 0, 0, -PIXEL_DEG, 0))
    report = prepare("deepglobe", source, store)
    index = read_index(store)
    assert (report.images, report.chips, report.buildings) == (6, 6, 2 * (3 + 1))
    assert set(index["data_set"]) == {"deepglobe"} and set(index["label_kind"]) == {"outlines"}
    assert index.groupby("place").size().to_dict() == {"Paris": 3, "Vegas": 3}
    assert index.groupby("place")["split"].nunique().max() == 1 and set(index["split"]) == {"train", "val"}
    assert index.groupby("place")["gsd_m"].first().to_numpy() == pytest.approx([0.25, 0.27], abs=0.02)
    assert_drawn(chip_of(store, index, _image("AOI_2_Vegas", 1)), ROOFS)
    assert not chip_of(store, index, _image("AOI_2_Vegas", 3)).footprint.any(), "no building, but known ground"


def test_a_missing_piece_is_named(tmp_path: Path) -> None:
    source = tmp_path / "source"
    _release(source)
    table = source / _table("AOI_3_Paris")
    lines = table.read_text().splitlines(keepends=True)
    table.write_text("".join(line for line in lines if "img12" not in line))
    with pytest.raises(InputError, match="no row for AOI_3_Paris_img12"):
        prepare("deepglobe", source, tmp_path / "chips")
    table.write_text("ImageId,Confidence\nAOI_3_Paris_img1,1\n")
    with pytest.raises(InputError, match=r"Solutions\.csv: is not a table with ImageId and PolygonWKT_Pix"):
        prepare("deepglobe", source, tmp_path / "chips")
    table.unlink()
    with pytest.raises(InputError, match=r"summaryData.*\.csv: no such file"):
        prepare("deepglobe", source, tmp_path / "chips")
    table.parent.rmdir()
    with pytest.raises(InputError, match="summaryData: missing"):
        prepare("deepglobe", source, tmp_path / "chips")
