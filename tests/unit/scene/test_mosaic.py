"""Sheets as one raster: which fit, and that their pixels and what was not observed stay as they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.enums import ColorInterp

from detect.base.errors import InputError
from detect.scene.mosaic import contradiction, layout_of, misfit, write_mosaic
from detect.scene.reader import read_native
from detect.scene.scene import Scene, open_scene
from tests.conftest import ORIGIN_XY, WriteScene

GRID = Affine(0.5, 0, ORIGIN_XY[0], 0, -0.5, ORIGIN_XY[1])
Cut = Callable[..., Scene]


@pytest.fixture
def picture() -> NDArray[np.uint8]:
    return np.random.default_rng(3).integers(1, 254, (3, 120, 200), np.uint8)


@pytest.fixture
def cut(write_scene: WriteScene) -> Cut:
    """A function that writes some rows and columns of a picture as a sheet."""

    def sheet(values: NDArray[Any], rows: slice, columns: slice, name: str, grid: Affine = GRID, **profile: Any) -> Scene:
        place = grid * Affine.translation(columns.start, rows.start)
        path = write_scene(values[:, rows, columns], name=f"{name}.tif", transform=place, **profile)
        return open_scene(path)

    return sheet


def mosaic(scenes: list[Scene], path: Path) -> Scene:
    write_mosaic(path, scenes, [layout_of(scene) for scene in scenes], overwrite=False)
    return open_scene(path)


def pixels(scene: Scene) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    with rasterio.open(scene.path) as dataset:
        return read_native(dataset, scene.bands, None, scene.marks)


def reason(*scenes: Scene) -> str | None:
    return misfit(scenes[0], scenes[1], (layout_of(scenes[0]), layout_of(scenes[1])))


def test_four_sheets_are_the_picture_again(picture: NDArray[np.uint8], cut: Cut, tmp_path: Path) -> None:
    rows, columns = (slice(0, 50), slice(50, 120)), (slice(0, 90), slice(90, 200))
    sheets = [cut(picture, r, c, f"{r.start}_{c.start}") for r in rows for c in columns]
    whole = mosaic(sheets[::-1], tmp_path / "out" / "m.vrt")
    values, valid = pixels(whole)
    assert np.array_equal(values, picture)
    assert valid.all()
    assert whole.transform == GRID
    assert whole.crs == sheets[0].crs
    uncut = cut(picture, slice(0, 120), slice(0, 200), "uncut")
    same = ("stretch_lo", "stretch_hi", "gamma", "brightness_mean", "size_hw", "bands", "dtype")
    assert [getattr(whole, name) for name in same] == [getattr(uncut, name) for name in same]


def test_where_sheets_overlap_the_first_is_shown_and_a_gap_is_no_data(
    picture: NDArray[np.uint8], cut: Cut, tmp_path: Path
) -> None:
    first = cut(picture, slice(0, 80), slice(0, 120), "first")
    second = cut(255 - picture, slice(40, 120), slice(100, 200), "second")
    values, valid = pixels(mosaic([first, second], tmp_path / "m.vrt"))
    assert np.array_equal(values[:, :80, :120], picture[:, :80, :120])
    assert np.array_equal(values[:, 80:, 100:], 255 - picture[:, 80:, 100:])
    expected = np.zeros((120, 200), bool)
    expected[:80, :120] = expected[40:, 100:] = True
    assert np.array_equal(valid, expected)


def collared(picture: NDArray[Any], value: float) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.bool_]]:
    """Two pictures of one place: west has a slanted collar in the east, east one in the west; together they show all but a corner."""
    row, column = np.mgrid[:120, :200]
    west, east = picture.copy(), picture.copy()
    west_void, east_void = column > 110 + row / 10, column < 100 + row / 10
    corner = (row < 15) & (column < 20)
    west[:, west_void | corner], east[:, east_void | corner] = value, value
    return west, east, ~corner


MARKS: dict[str, tuple[str, float, dict[str, Any]]] = {
    "no-data value": ("uint8", 0, {"nodata": 0}),
    "no-data value of 16 bits": ("uint16", 65535, {"nodata": 65535}),
    "black collar without a mark": ("uint8", 0, {}),
    "white collar without a mark": ("uint8", 255, {}),
    "numbers that are none": ("float32", np.nan, {}),
}


@pytest.mark.parametrize("kind", MARKS)
def test_no_data_of_a_sheet_shows_what_lies_below(kind: str, picture: NDArray[np.uint8], cut: Cut, tmp_path: Path) -> None:
    dtype, value, profile = MARKS[kind]
    west, east, seen = collared(picture.astype(dtype), value)
    west[0, 60, 50] = west[:, 60, 52] = 0 if np.isnan(value) else value  # a dark pixel in one band, and in all
    sheets = [
        cut(west, slice(0, 120), slice(0, 130), "west", **profile),
        cut(east, slice(0, 120), slice(90, 200), "east", **profile),
    ]
    values, valid = pixels(mosaic(sheets, tmp_path / "m.vrt"))
    if not np.isnan(value):
        seen[60, 52] = False
    assert np.array_equal(valid, seen)
    expected = picture.astype(dtype)
    expected[0, 60, 50], expected[:, 60, 52] = west[0, 60, 50], west[:, 60, 52]
    assert np.array_equal(values[:, seen], expected[:, seen])


@pytest.mark.parametrize("alpha", [True, False])
def test_masks_and_alpha_bands_of_sheets_are_kept(alpha: bool, picture: NDArray[np.uint8], cut: Cut, tmp_path: Path) -> None:
    west, east, seen = collared(picture, 7)
    sheets = []
    for name, values, columns in (("west", west, slice(0, 130)), ("east", east, slice(90, 200))):
        mask = ((values != 7).any(axis=0) * 255).astype(np.uint8)
        whole = np.concatenate([values, mask[None]]) if alpha else values
        profile = {"photometric": "RGB", "alpha": "YES"} if alpha else {}
        sheet = cut(whole, slice(0, 120), columns, name, **profile)
        if not alpha:
            with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(sheet.path, "r+") as dataset:
                dataset.write_mask(mask[:, columns])
            sheet = open_scene(sheet.path)
        sheets.append(sheet)
    whole = mosaic(sheets, tmp_path / "m.vrt")
    with rasterio.open(whole.path) as dataset:
        assert (ColorInterp.alpha in dataset.colorinterp) is alpha
    values, valid = pixels(whole)
    assert np.array_equal(valid, seen)
    assert np.array_equal(values[:, seen], picture[:, seen])


def test_tags_and_bands_of_the_sheets_are_those_of_the_mosaic(picture: NDArray[np.uint8], cut: Cut, tmp_path: Path) -> None:
    sheets = [cut(picture, slice(0, 120), c, f"s{c.start}") for c in (slice(0, 90), slice(90, 200))]
    for number, sheet in enumerate(sheets):
        with rasterio.open(sheet.path, "r+") as dataset:
            dataset.update_tags(TIFFTAG_IMAGEDESCRIPTION="SIMULATED <&> scene", SHEET=str(number))
            dataset.colorinterp = (ColorInterp.blue, ColorInterp.green, ColorInterp.red)
            dataset.set_band_description(1, "blue")
    whole = mosaic([open_scene(sheet.path) for sheet in sheets], tmp_path / "m.vrt")
    assert whole.simulated
    assert whole.bands == (3, 2, 1)
    with rasterio.open(whole.path) as dataset:
        assert "SHEET" not in dataset.tags()
        assert dataset.descriptions[0] == "blue"


def test_what_does_not_fit_is_said(picture: NDArray[np.uint8], cut: Cut) -> None:
    left, right = slice(0, 90), slice(90, 200)
    rows = slice(0, 120)
    first = cut(picture, rows, left, "first")
    assert reason(first, cut(picture, rows, right, "fits")) is None
    nearly = GRID * Affine.translation(0.02, 0)
    assert reason(first, cut(picture, rows, right, "nearly", nearly)) is None
    assert reason(first, cut(picture, rows, right, "zone", crs="EPSG:32632")) == "coordinate systems differ"
    assert reason(first, cut(picture[:1], rows, right, "grey")) == "bands differ"
    assert reason(first, cut(picture.astype(np.uint16), rows, right, "deep")) == "bands differ"
    assert reason(first, cut(picture, rows, right, "coarse", GRID * Affine.scale(1.01))) == "pixel sizes differ"
    shifted = cut(picture, rows, right, "shifted", GRID * Affine.translation(0.5, 0))
    assert reason(first, shifted) == "pixel grids are shifted against each other"
    assert reason(first, replace(first, date="2024-06-01")) == "one of them has no date; --date gives it"
    layouts = (layout_of(first), layout_of(first))
    assert misfit(first, replace(first, path="https://example.org/a.tif"), layouts) == "only files on this machine can be joined"


def test_two_values_of_no_data_contradict_each_other(picture: NDArray[np.uint8], cut: Cut) -> None:
    rows = slice(0, 120)
    plain, black, white = (
        layout_of(cut(picture, rows, slice(0, 90), name, **profile))
        for name, profile in {"plain": {}, "black": {"nodata": 0}, "white": {"nodata": 255}}.items()
    )
    assert contradiction([plain, black, plain]) is None
    assert contradiction([black, white]) == "no data is marked in different ways"
    assert contradiction([black, replace(plain, masked=True)]) == "no data is marked in different ways"


def test_another_file_of_the_name_is_kept(picture: NDArray[np.uint8], cut: Cut, tmp_path: Path) -> None:
    sheets = [cut(picture, slice(0, 120), c, f"s{c.start}") for c in (slice(0, 90), slice(90, 200))]
    layouts = [layout_of(sheet) for sheet in sheets]
    path = tmp_path / "m.vrt"
    write_mosaic(path, sheets, layouts, overwrite=False)
    before = path.read_bytes()
    write_mosaic(path, sheets, layouts, overwrite=False)
    assert path.read_bytes() == before, "the same mosaic is no conflict"
    with pytest.raises(InputError, match="--overwrite"):
        write_mosaic(path, sheets[::-1], layouts, overwrite=False)
    write_mosaic(path, sheets[::-1], layouts, overwrite=True)
    assert path.read_bytes() != before
    path.write_text("mine")
    with pytest.raises(InputError, match="another --out"):
        write_mosaic(path, sheets, layouts, overwrite=True)
    assert path.read_text() == "mine"
    assert not list(tmp_path.glob(".*"))


def test_sheets_are_found_through_links(picture: NDArray[np.uint8], cut: Cut, tmp_path: Path) -> None:
    sheets = [cut(picture, slice(0, 120), c, f"s{c.start}") for c in (slice(0, 90), slice(90, 200))]
    (tmp_path / "far" / "away").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "far" / "away")
    assert np.array_equal(pixels(mosaic(sheets, tmp_path / "link" / "m.vrt"))[0], picture)
