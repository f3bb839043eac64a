"""fAIr's tiles, before and after its own preprocessing, drawn ones and real chips."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine

from detect.base.errors import InputError
from detect.datasets import prepare
from detect.datasets.chips import UNKNOWN, read_chip, read_index
from tests.real_data import data_path
from tests.unit.datasets.drawing_c import built_share, outlines, picture, write_geojson, write_geotiff

TILE_PX = 256
SIZE_HW = (TILE_PX, TILE_PX)
HOUSES = ((20, 30, 80, 130), (150, 100, 220, 160))
BANEPA = (386_800, 219_600, 19)  # x, y, zoom: Nepal
KAKUMA = (313_000, 256_700, 19)  # Kenya, near the equator


def tile_place(x: int, y: int, zoom: int) -> Affine:
    side = 2 * math.pi * 6378137 / 2**zoom
    return Affine(side / TILE_PX, 0, (x - 2 ** (zoom - 1)) * side, 0, -side / TILE_PX, (2 ** (zoom - 1) - y) * side)


def write_input(folder: Path, x: int, y: int, zoom: int) -> Path:
    """Two neighbouring tiles, houses on the first, and a labels.geojson for both."""
    folder.mkdir(parents=True)
    for step, houses in ((0, HOUSES), (1, ())):
        cv2.imwrite(str(folder / f"OAM-{x + step}-{y}-{zoom}.png"), picture(SIZE_HW, houses)[..., ::-1])
    write_geojson(folder / "labels.geojson", outlines(HOUSES, tile_place(x, y, zoom), "EPSG:3857", building=["yes", "yes"]))
    return folder


def write_preprocessed(folder: Path, x: int, y: int, zoom: int) -> Path:
    for step, houses in ((0, HOUSES), (1, ())):
        name, place = f"OAM-{x + step}-{y}-{zoom}", tile_place(x + step, y, zoom)
        write_geotiff(folder / "chips" / f"{name}.tif", picture(SIZE_HW, houses), place, "EPSG:3857")
        write_geojson(folder / "labels" / f"{name}.geojson", outlines(houses, place, "EPSG:3857"), crs=3857)
    return folder


def test_both_layouts(tmp_path: Path) -> None:
    write_input(tmp_path / "source" / "banepa" / "input", *BANEPA)
    write_preprocessed(tmp_path / "source" / "training_364" / "preprocessed", *KAKUMA)
    write_input(tmp_path / "source" / "training_364" / "preprocessed" / "input", *KAKUMA)
    prepare("fair", tmp_path / "source", tmp_path / "chips")
    index = read_index(tmp_path / "chips")
    assert len(index) == 4, "the input of a preprocessed region is not read again"
    assert set(index["data_set"]) == {"fair"} and set(index["label_kind"]) == {"loose"}
    assert index.groupby("place")["buildings"].sum().to_dict() == {"banepa": 2, "training_364": 2}
    assert set(index["split"]) == {"train", "val"} and index.groupby("place")["split"].nunique().max() == 1
    # 0.2986 m at the equator; Banepa lies at 27.6°, Kakuma at 3.7°
    expected = {"banepa": 0.2986 * math.cos(math.radians(27.6)), "training_364": 0.2986 * math.cos(math.radians(3.7))}
    for row in index.to_dict("records"):
        assert row["gsd_m"] == pytest.approx(expected[row["place"]], rel=0.01)
        chip = read_chip(tmp_path / "chips", row["chip"])
        if row["buildings"]:
            assert all(built_share(chip.footprint, house, SIZE_HW) == 1 for house in HOUSES)
            drawn = sum((r1 - r0) * (c1 - c0) for r0, c0, r1, c1 in HOUSES) / TILE_PX**2
            assert (chip.footprint == 1).mean() == pytest.approx(drawn, abs=0.01)
            assert chip.image[chip.footprint == 1].mean() > chip.image[chip.footprint == 0].mean() + 60
        else:
            assert not (chip.footprint == 1).any()


def test_ground_that_was_not_mapped_is_unknown(tmp_path: Path) -> None:
    folder = write_input(tmp_path / "banepa", *BANEPA)
    place = tile_place(*BANEPA)
    write_geojson(folder / "aois.geojson", outlines([(0, 0, 256, 140)], place, "EPSG:3857"))
    prepare("fair", folder, tmp_path / "chips")
    (row,) = read_index(tmp_path / "chips").to_dict("records")  # nothing is known of the second tile
    assert row["place"] == "banepa"
    footprint = read_chip(tmp_path / "chips", row["chip"]).footprint
    assert (footprint[:, 142:] == UNKNOWN).all() and (footprint[:, :138] != UNKNOWN).all()
    assert built_share(footprint, HOUSES[0], SIZE_HW) == 1


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    folder = write_input(tmp_path / "banepa" / "input", *BANEPA)
    (folder / "labels.geojson").unlink()
    with pytest.raises(InputError, match=r"input/labels\.geojson: missing"):
        prepare("fair", tmp_path / "banepa", tmp_path / "chips")
    chips = write_preprocessed(tmp_path / "kakuma", *KAKUMA)
    (chips / "labels" / "OAM-313001-256700-19.geojson").unlink()
    with pytest.raises(InputError, match=r"labels/OAM-313001-256700-19\.geojson: missing"):
        prepare("fair", tmp_path / "kakuma", tmp_path / "chips")


def test_a_page_saved_as_a_tile_is_named(tmp_path: Path) -> None:
    folder = write_input(tmp_path / "banepa", *BANEPA)
    (folder / "OAM-386802-219600-19.png").write_text("<html>404 Not Found</html>")
    with pytest.raises(InputError, match=r"OAM-386802-219600-19\.png: is not a readable PNG"):
        prepare("fair", folder, tmp_path / "chips")


def test_a_folder_without_tiles_is_refused(tmp_path: Path) -> None:
    write_geojson(tmp_path / "source" / "labels.geojson", gpd.GeoDataFrame(geometry=[shapely.box(85, 27, 85.1, 27.1)], crs=4326))
    with pytest.raises(InputError, match="holds no tile"):
        prepare("fair", tmp_path / "source", tmp_path / "chips")


def test_real_chips(tmp_path: Path) -> None:
    for region, chip in (("banepa", "banepa_0"), ("virac", "virac_0")):
        for part, suffix in (("chips", "tif"), ("labels", "geojson")):
            (tmp_path / "source" / region / part).mkdir(parents=True)
            name = f"{chip}.{suffix}"
            (tmp_path / "source" / region / part / name).symlink_to(data_path(f"oam_chips/{name}"))
    prepare("fair", tmp_path / "source", tmp_path / "chips")
    index = read_index(tmp_path / "chips").set_index("place")
    assert index["buildings"].groupby("place").sum().to_dict() == {"banepa": 46, "virac": 46}
    for row in index.to_dict("records"):
        chip = read_chip(tmp_path / "chips", row["chip"])
        assert 0.05 < (chip.footprint == 1).mean() < 0.6
        assert len(np.unique(chip.instances)) == row["buildings"] + 1
