"""SpaceNet 1 in its two layouts → chips."""

from __future__ import annotations

from pathlib import Path

import pytest
from affine import Affine

from detect.base.errors import InputError
from detect.datasets import prepare
from detect.datasets.chips import read_index
from tests.unit.datasets.drawing import ROOFS, assert_drawn, chip_of, picture, write_geojson, write_tif

PIXEL_DEG = 4.49e-6
NUMBERS = {50: ROOFS, 57: ROOFS[:1], 120: ROOFS, 350: ()}
"""Tile → its buildings: two of one strip, two of others, one of them without buildings."""


def _release(images: Path, labels: Path) -> None:
    for number, roofs in NUMBERS.items():
        transform = Affine(PIXEL_DEG, 0, -43.68 + number * 1e-3, 0, -PIXEL_DEG, -22.95)
        write_tif(images / f"3band_AOI_1_RIO_img{number}.tif", picture(roofs), 4326, transform)
        label = labels / f"Geo_AOI_1_RIO_img{number}.geojson"
        if roofs:
            write_geojson(label, roofs, transform, 4326)
        else:
            label.touch()  # as published: not even an empty collection


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        ("processedBuildingLabels/3band", "processedBuildingLabels/vectordata/geojson"),
        ("3band", "vectordata/geojson/geojson"),
        ("SN1_buildings/train/3band", "SN1_buildings/train/geojson"),
    ],
)
def test_tiles_of_every_layout_become_chips(tmp_path: Path, images: str, labels: str) -> None:
    source, store = tmp_path / "source", tmp_path / "chips"
    _release(source / images, source / labels)
    write_tif(source / "SN1_buildings/test/3band/3band_AOI_1_RIO_img7.tif", picture(()), 4326, Affine(1e-6, 0, 0, 0, -1e-6, 0))
    report = prepare("spacenet1", source, store)
    index = read_index(store)
    assert (report.images, report.chips, report.buildings) == (4, 4, 3 + 1 + 3)
    assert set(index["data_set"]) == {"spacenet1"} and set(index["label_kind"]) == {"loose"}
    assert set(index["licence"]) == {"CC-BY-SA-4.0"}
    assert index["gsd_m"].to_numpy() == pytest.approx(0.48, abs=0.02)
    assert_drawn(chip_of(store, index, f"{images}/3band_AOI_1_RIO_img50.tif"), ROOFS)
    assert not chip_of(store, index, f"{images}/3band_AOI_1_RIO_img350.tif").footprint.any(), "no building, but known ground"


def test_a_strip_of_neighbours_is_never_cut(tmp_path: Path) -> None:
    _release(tmp_path / "source" / "3band", tmp_path / "source" / "geojson")
    prepare("spacenet1", tmp_path / "source", tmp_path / "chips")
    index = read_index(tmp_path / "chips")
    assert sorted(index["place"]) == ["Rio 0", "Rio 0", "Rio 1", "Rio 3"]
    assert index.groupby("place")["split"].nunique().max() == 1 and set(index["split"]) == {"train", "val"}


def test_a_missing_piece_is_named(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    with pytest.raises(InputError, match="3band: missing"):
        prepare("spacenet1", source, tmp_path / "chips")
    _release(source / "3band", source / "geojson")
    (source / "geojson" / "Geo_AOI_1_RIO_img57.geojson").unlink()
    with pytest.raises(InputError, match=r"Geo_AOI_1_RIO_img57\.geojson: missing"):
        prepare("spacenet1", source, tmp_path / "chips")
    (source / "geojson").rename(source / "elsewhere")
    with pytest.raises(InputError, match="geojson: missing"):
        prepare("spacenet1", source, tmp_path / "chips")
