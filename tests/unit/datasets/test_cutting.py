"""Labelled images → chips: what is kept, what is found wrong, and that a store can grow."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine

from detect.base.errors import InputError
from detect.datasets.chips import UNKNOWN, Chip, read_chip, read_index
from detect.datasets.cutting import offset_of, prepare_images
from detect.datasets.images import DataSet, LabelledImage, Mask, Outlines
from tests.real_data import data_path

GSD_M = 0.5
ORIGIN_XY = (593_270.0, 5_747_657.0)
HOUSES = [
    (12 + 34 * row, 10 + 38 * col, 30 + 34 * row, 34 + 38 * col) for row in range(4) for col in range(4)
]  # row0, col0, row1, col1


def picture(shift_px: int = 0) -> np.ndarray:
    rng = np.random.default_rng(1)
    values = np.array([80, 100, 70])[:, None, None] + rng.normal(0, 4, (3, 160, 176))
    for row0, col0, row1, col1 in HOUSES:
        values[:, row0:row1, col0 + shift_px : col1 + shift_px] = np.array([200, 130, 110])[:, None, None]
    return np.clip(values, 1, 255).astype(np.uint8)


def write(path: Path, values: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    profile = {"driver": "GTiff", "dtype": "uint8", "count": 3, "height": values.shape[1], "width": values.shape[2]}
    transform = Affine(GSD_M, 0, ORIGIN_XY[0], 0, -GSD_M, ORIGIN_XY[1])
    with rasterio.open(path, "w", crs="EPSG:32631", transform=transform, **profile) as target:
        target.write(values)
    return path


def outlines() -> gpd.GeoDataFrame:
    x, y = ORIGIN_XY
    boxes = [shapely.box(x + c0 / 2, y - r1 / 2, x + c1 / 2, y - r0 / 2) for r0, c0, r1, c1 in HOUSES]
    return gpd.GeoDataFrame({"stage": ["foundation"] + [None] * (len(boxes) - 1)}, geometry=boxes, crs=32631)


def data_set(*images: LabelledImage, name: str = "drawn") -> DataSet:
    return DataSet(
        name, "drawn town", "CC0-1.0", "0.5", "nowhere", "pencil", "outlines", "here", "nobody", lambda _: images, "scene.tif"
    )


@pytest.fixture
def image(tmp_path: Path) -> LabelledImage:
    return LabelledImage(write(tmp_path / "src" / "town.tif", picture()), "town", Outlines(outlines), split="train")


def test_a_chip_and_its_row_tell_what_was_drawn(image: LabelledImage, tmp_path: Path) -> None:
    report = prepare_images(data_set(image), tmp_path / "src", tmp_path / "chips")
    assert (report.chips, report.buildings, report.images) == (1, 16, 1)
    row = read_index(tmp_path / "chips").iloc[0]
    assert dict(row.drop(["geometry", "sha256", "offset_m", "gsd_m", "known_m2"])) == {
        "chip": "drawn_town_0_0", "data_set": "drawn", "place": "town", "split": "train", "label_kind": "outlines",
        "licence": "CC0-1.0", "source": "town.tif", "sensor": "pencil", "buildings": 16, "unfinished": 1, "problem": "",
    }  # fmt: skip
    assert row["gsd_m"] == pytest.approx(GSD_M, rel=2e-3)
    assert row["known_m2"] == pytest.approx(160 * 176 * GSD_M**2, rel=5e-3)
    west, south, east, north = row["geometry"].bounds
    assert 4 < west < east < 5 and 51 < south < north < 52
    chip = read_chip(tmp_path / "chips", row["chip"])
    row0, col0, row1, col1 = HOUSES[0]
    assert chip.footprint[row0:row1, col0:col1].all() and chip.footprint.sum() == sum(
        (r1 - r0) * (c1 - c0) for r0, c0, r1, c1 in HOUSES
    )
    assert set(np.unique(chip.stage[row0:row1, col0:col1])) == {1} and chip.stage.sum() == (row1 - row0) * (col1 - col0)


def test_the_same_source_gives_the_same_bytes(image: LabelledImage, tmp_path: Path) -> None:
    for name in ("one", "two"):
        prepare_images(data_set(image), tmp_path / "src", tmp_path / name)
    one, two = ({p.name: p.read_bytes() for p in (tmp_path / name).iterdir()} for name in ("one", "two"))
    assert one == two and len(one) == 4


def test_images_under_other_licences_are_left_out(image: LabelledImage, tmp_path: Path) -> None:
    other = replace(image, path=tmp_path / "src" / "b.tif", licence="ODbL-1.0")
    two = replace(data_set(image), images=lambda source: iter([image, other]))
    (tmp_path / "src" / "b.tif").write_bytes(image.path.read_bytes())
    report = prepare_images(two, tmp_path / "src", tmp_path / "chips", licences="permissive")
    assert (report.images, report.other_licence, report.chips) == (1, 1, 1)
    assert set(read_index(tmp_path / "chips")["licence"]) == {"CC0-1.0"}
    assert prepare_images(two, tmp_path / "src", tmp_path / "all", licences="open").other_licence == 0
    with pytest.raises(InputError, match=r"CC-BY-NC-4\.0; --licences open leaves that out"):
        prepare_images(two, tmp_path / "src", tmp_path / "none", licence="CC-BY-NC-4.0", licences="open")
    assert not (tmp_path / "none").exists()


def test_a_store_takes_another_data_set_but_none_twice(image: LabelledImage, tmp_path: Path) -> None:
    store = tmp_path / "chips"
    prepare_images(data_set(image), tmp_path / "src", store)
    prepare_images(data_set(replace(image, split="val"), name="other"), tmp_path / "src", store)
    index = read_index(store)
    assert list(index["chip"]) == ["drawn_town_0_0", "other_town_0_0"] and list(index["split"]) == ["train", "val"]
    before = {p.name: p.read_bytes() for p in store.iterdir()}
    with pytest.raises(InputError, match="holds drawn already"):
        prepare_images(data_set(image), tmp_path / "src", store)
    assert {p.name: p.read_bytes() for p in store.iterdir()} == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["chips", "src"], "nothing is left aside"


def test_a_folder_with_other_things_is_refused(image: LabelledImage, tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.txt").write_text("precious")
    with pytest.raises(InputError, match="holds no chip store"):
        prepare_images(data_set(image), tmp_path / "src", tmp_path / "thesis")
    assert (tmp_path / "thesis" / "chapter1.txt").read_text() == "precious"


def test_a_failure_leaves_no_store(image: LabelledImage, tmp_path: Path) -> None:
    broken = replace(image, path=tmp_path / "src" / "gone.tif")
    with pytest.raises(InputError, match=r"gone\.tif"):
        prepare_images(data_set(image, broken), tmp_path / "src", tmp_path / "chips")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["src"]


@pytest.mark.parametrize(
    ("problem", "values"),
    [
        ("black", lambda rng: np.zeros((3, 160, 176))),
        ("cloud", lambda rng: np.clip(rng.normal(238, 2, (1, 160, 176)), 0, 255).repeat(3, axis=0)),
    ],
)
def test_chips_that_show_nothing_are_reported_and_can_be_dropped(
    problem: str, values: object, image: LabelledImage, tmp_path: Path
) -> None:
    # Beside the town, so that one stretch serves both.
    side = values(np.random.default_rng(3)).astype(np.uint8)  # type: ignore[operator]
    wide = np.zeros((3, 160, 1024 + 176), np.uint8)
    wide[:, :, :1024] = np.tile(side, (1, 1, 6))[:, :, :1024]
    wide[:, :, 1024:] = picture()
    two = replace(image, path=write(tmp_path / "src" / "two.tif", wide))
    report = prepare_images(data_set(two), tmp_path / "src", tmp_path / "kept")
    unseen = problem == "black"  # there is nothing to keep of it
    assert dict(report.problems) == {problem: 1} and (report.chips, report.dropped) == (2 - unseen, unseen)
    report = prepare_images(data_set(two), tmp_path / "src", tmp_path / "dropped", drop={problem})
    assert (report.chips, report.dropped) == (1, 1)
    assert list(read_index(tmp_path / "dropped")["problem"]) == [""]


def test_shifted_outlines_are_measured(tmp_path: Path) -> None:
    for shift_px, problem in ((0, ""), (4, "shifted")):
        path = write(tmp_path / "src" / f"by{shift_px}.tif", picture(shift_px))
        report = prepare_images(
            data_set(LabelledImage(path, "town", Outlines(outlines))), tmp_path / "src", tmp_path / f"chips{shift_px}"
        )
        row = read_index(tmp_path / f"chips{shift_px}").iloc[0]
        assert row["offset_m"] == pytest.approx(shift_px * GSD_M, abs=0.3)
        assert row["problem"] == problem and report.problems[problem or "shifted"] == bool(problem)


def test_real_outlines_that_lie_metres_off_are_found_and_good_ones_are_not() -> None:
    from detect.datasets.cutting import chips_of
    from detect.datasets.images import vector

    offsets = {}
    for stem in ("nairobi_0", "virac_1"):
        path = data_path(f"oam_chips/{stem}.tif")
        label = Outlines(vector(data_path(f"oam_chips/{stem}.geojson")))
        one = LabelledImage(path, stem, label)
        offsets[stem] = [row.offset_m for _, row in chips_of(one, "train", stem, data_set(one), path.parent)]
    assert np.nanmax(offsets["virac_1"]) < 0.6
    assert np.nanmax(offsets["nairobi_0"]) > 1.0


def test_noise_has_no_offset() -> None:
    rng = np.random.default_rng(5)
    labels = np.zeros((160, 176), np.uint16)
    for number, (row0, col0, row1, col1) in enumerate(HOUSES, start=1):
        labels[row0:row1, col0:col1] = number
    chip = Chip(
        rng.integers(0, 255, (160, 176, 3), np.uint8), labels, (labels > 0).astype(np.uint8), np.zeros(labels.shape, np.uint8)
    )
    assert np.isnan(offset_of(chip, GSD_M))


def test_one_image_can_hold_both_splits(image: LabelledImage, tmp_path: Path) -> None:
    x, y = ORIGIN_XY
    north = gpd.GeoDataFrame(geometry=[shapely.box(x, y - 40, x + 88, y)], crs=32631)
    prepare_images(data_set(replace(image, val_area=lambda: north)), tmp_path / "src", tmp_path / "chips")
    index = read_index(tmp_path / "chips").set_index("split")
    train, val = (read_chip(tmp_path / "chips", index.loc[s, "chip"]).footprint for s in ("train", "val"))
    assert ((train == UNKNOWN) ^ (val == UNKNOWN)).all(), "each pixel is known to one split"
    assert (val[:80] != UNKNOWN).all() and (train[80:] != UNKNOWN).all()


def test_the_east_of_the_labelled_ground_validates_wherever_that_lies(image: LabelledImage, tmp_path: Path) -> None:
    x, y = ORIGIN_XY
    west = gpd.GeoDataFrame(geometry=[shapely.box(x, y - 80, x + 40, y)], crs=32631)  # 80 of the 176 columns of 0.5 m
    one = replace(image, area=lambda: west, val_east=0.25)
    prepare_images(data_set(one), tmp_path / "src", tmp_path / "chips")
    index = read_index(tmp_path / "chips").set_index("split")
    train, val = (read_chip(tmp_path / "chips", index.loc[s, "chip"]).footprint != UNKNOWN for s in ("train", "val"))
    assert np.flatnonzero(train.any(axis=0)).tolist() == list(range(60))
    assert np.flatnonzero(val.any(axis=0)).tolist() == list(range(60, 80))


def test_a_mask_in_pixels_of_a_picture_without_place(tmp_path: Path) -> None:
    import cv2

    mask = np.zeros((160, 176), np.uint8)
    mask[40:80, 40:100] = 1
    mask[:, 150:] = 255
    (tmp_path / "src").mkdir()
    cv2.imwrite(str(tmp_path / "src" / "town.jpg"), picture().transpose(1, 2, 0))
    one = LabelledImage(tmp_path / "src" / "town.jpg", "town", Mask(lambda: mask), label_kind="merged", gsd_m=0.4)
    prepare_images(data_set(one), tmp_path / "src", tmp_path / "chips")
    row = read_index(tmp_path / "chips").iloc[0]
    assert row["gsd_m"] == pytest.approx(0.4) and row["geometry"] is None and np.isnan(row["offset_m"])
    chip = read_chip(tmp_path / "chips", row["chip"])
    assert (chip.footprint == np.where(mask == 255, UNKNOWN, mask)).all()
