"""No data as people deliver it: alpha with a value, infrared that is called alpha, masks without a tag, numbers that are none."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.enums import ColorInterp

from detect.base.grid import Span
from detect.scene.scene import Scene, open_scene
from tests.conftest import SCENE_SIZE_HW, WriteScene, draw_houses

H, W = SCENE_SIZE_HW
ROWS, COLS = np.mgrid[:H, :W]
AROUND = abs(ROWS - H / 2) + abs(COLS - W / 2) > 105
"""What a turned scene leaves of its rectangle."""
HOLE = np.hypot(ROWS - 40, COLS - 110) < 20
RGBA = (ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha)
UNTAGGED = (*RGBA[:3], ColorInterp.undefined)


def look(path: Path) -> tuple[Scene, NDArray[np.bool_]]:
    """The scene, and which of its pixels are valid, at its own ground size."""
    scene = open_scene(path)
    grid = scene.work_grid(scene.gsd_m)
    with scene.reader(grid) as reader:
        return scene, reader.read(Span(0, 0, *grid.size_hw))[1]


def tagged(path: Path, colours: tuple[ColorInterp, ...]) -> Path:
    with rasterio.open(path, "r+") as out:
        out.colorinterp = colours
    return path


def noise(values: NDArray[np.uint8], where: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """A picture with something to be seen where nothing was observed, as programs leave it below a mask."""
    values = values.copy()
    values[:, where] = np.random.default_rng(5).integers(20, 230, (3, int(where.sum())))
    return values


def infrared() -> NDArray[np.uint8]:
    """(1, H, W): bright fields, and water and shadows of exactly 0."""
    rng = np.random.default_rng(6)
    band = np.clip(rng.normal(150, 25, (1, H, W)), 1, 255).astype(np.uint8)
    band[:, HOLE] = 0
    return band


@pytest.mark.parametrize("where", [AROUND, HOLE], ids=["around", "hole"])
@pytest.mark.parametrize("nodata", [0, 255, None])
@pytest.mark.parametrize(("dtype", "opaque"), [("uint8", 255), ("uint16", 65535), ("uint8", 1)])
def test_alpha_wins_over_a_no_data_value(
    write_scene: WriteScene, where: NDArray[np.bool_], nodata: int | None, dtype: str, opaque: int
) -> None:
    alpha = np.where(where, 0, opaque)[None]
    values = np.concatenate([noise(draw_houses(), where), alpha]).astype(dtype)
    path = tagged(write_scene(values, nodata=nodata), RGBA)
    assert (look(path)[1] == ~where).all()


def test_alpha_wins_beside_one_band_and_beside_infrared(write_scene: WriteScene) -> None:
    alpha = np.where(AROUND, 0, 255).astype(np.uint8)[None]
    grey = write_scene(np.concatenate([noise(draw_houses(), AROUND)[:1], alpha]), name="grey.tif", nodata=0)
    assert (look(tagged(grey, (ColorInterp.gray, ColorInterp.alpha)))[1] == ~AROUND).all()
    five = write_scene(np.concatenate([noise(draw_houses(), AROUND), infrared(), alpha]), name="five.tif", nodata=0)
    assert (look(tagged(five, (*UNTAGGED, ColorInterp.alpha)))[1] == ~AROUND).all()


def test_half_transparent_is_observed_and_nearly_transparent_is_not(write_scene: WriteScene) -> None:
    alpha = np.where(AROUND, 0, 100).astype(np.uint8)[None]
    path = tagged(write_scene(np.concatenate([draw_houses(), alpha])), RGBA)
    assert (look(path)[1] == ~AROUND).all()
    soft = cv2.GaussianBlur(np.where(AROUND, 0, 255).astype(np.uint8), (0, 0), 2)[None]
    path = tagged(write_scene(np.concatenate([draw_houses(), soft]), name="soft.tif"), RGBA)
    assert (look(path)[1] != ~AROUND).mean() < 0.01


@pytest.mark.parametrize("how", ["rasterio", "tag", "photometric", "uint16"])
def test_infrared_that_is_called_alpha_is_a_band(write_scene: WriteScene, how: str) -> None:
    values = np.concatenate([draw_houses(), infrared()])
    if how == "uint16":
        path = tagged(write_scene(values.astype(np.uint16) * 8), RGBA)
    elif how == "photometric":
        path = write_scene(values, photometric="rgb", alpha="yes")
    else:
        path = write_scene(values)  # rasterio: four 8-bit bands are red, green, blue, alpha
        path = tagged(path, RGBA) if how == "tag" else path
    with rasterio.open(path) as dataset:
        assert dataset.colorinterp[3] is ColorInterp.alpha
    scene, valid = look(path)
    assert valid.all() and scene.bands == (1, 2, 3)
    assert sum("band 4 is tagged as alpha but shows a picture" in line for line in scene.warnings) == 1
    assert open_scene(path, bands=(4, 1, 2)).bands == (4, 1, 2)


def test_beside_such_infrared_other_marks_still_count(write_scene: WriteScene) -> None:
    values = np.concatenate([draw_houses(), infrared()])
    values[:, AROUND] = 0
    assert (look(tagged(write_scene(values), RGBA))[1] == ~AROUND).all()
    values[:, AROUND] = 255
    assert (look(tagged(write_scene(values, name="white.tif", nodata=255), RGBA))[1] == ~AROUND).all()


@pytest.mark.parametrize(
    ("dtype", "opaque", "where", "below"),
    [
        ("uint8", 255, AROUND, 128),
        ("uint8", 1, HOLE, 200),
        ("uint16", 65535, AROUND, 90),
        ("float32", 1, HOLE, 0.5),
        ("uint8", 255, AROUND, None),  # the picture goes on
    ],
)
@pytest.mark.parametrize("bands", [1, 3, 4])
def test_a_mask_without_a_tag_is_one(
    write_scene: WriteScene, dtype: str, opaque: int, where: NDArray[np.bool_], below: float | None, bands: int
) -> None:
    picture = np.concatenate([draw_houses(), infrared()])[:bands].astype(dtype)
    if below is not None:
        picture[:, where] = below
    path = write_scene(np.concatenate([picture, np.where(where, 0, opaque)[None].astype(dtype)]), photometric="minisblack")
    colours = (ColorInterp.gray, *[ColorInterp.undefined] * bands)
    scene, valid = look(tagged(path, colours))
    assert (valid == ~where).all()
    assert bands + 1 not in scene.bands
    assert any(f"band {bands + 1} has two values and is taken as a mask" in line for line in scene.warnings)


@pytest.mark.parametrize("value", [1, 255])
def test_labels_of_buildings_are_no_mask(write_scene: WriteScene, value: int) -> None:
    roofs = (draw_houses()[:1] > 150).astype(np.uint8) * value
    scene, valid = look(tagged(write_scene(np.concatenate([draw_houses(), roofs])), UNTAGGED))
    assert valid.all()
    assert any("the picture goes on where it is 0" in line for line in scene.warnings)


def test_a_mask_beside_the_bands_wins_over_a_value(write_scene: WriteScene) -> None:
    path = write_scene(noise(draw_houses(), AROUND), nodata=255)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as out:
        out.write_mask(~AROUND)
    assert (look(path)[1] == ~AROUND).all()


@pytest.mark.parametrize("tag", ["nodata", "mask", "alpha"])
def test_a_tag_that_marks_nothing_hides_no_collar(write_scene: WriteScene, tag: str) -> None:
    values = draw_houses()
    values[:, AROUND] = 0
    if tag == "alpha":
        path = tagged(write_scene(np.concatenate([values, np.full((1, H, W), 255, np.uint8)])), RGBA)
    else:
        path = write_scene(values, nodata=253 if tag == "nodata" else None)
        if tag == "mask":
            with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as out:
                out.write_mask(True)
    assert (look(path)[1] == ~AROUND).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("in_bands", [slice(None), slice(1, 2)], ids=["all bands", "one band"])
def test_numbers_that_are_not_finite_are_no_data_and_said_once(write_scene: WriteScene, value: float, in_bands: slice) -> None:
    values = draw_houses().astype(np.float32)
    values[in_bands, HOLE] = value
    scene, valid = look(write_scene(values))
    assert (valid == ~HOLE).all()
    assert [line for line in scene.warnings if "finite" in line] == [
        f"no data: {HOLE.mean():.1%} of the pixels hold no finite number (NaN or infinite) and are taken as no data"
    ]
    assert np.isfinite([*scene.stretch_lo, *scene.stretch_hi]).all()
    assert not any("finite" in line for line in look(write_scene(values, name="tagged.tif", nodata=np.nan))[0].warnings)


def test_a_smeared_collar_is_the_same_in_every_block(tmp_path: Path) -> None:
    rng = np.random.default_rng(8)
    values = cv2.GaussianBlur(rng.integers(60, 220, (260, 340, 3)).astype(np.uint8), (0, 0), 1.5)
    rows, cols = np.mgrid[:260, :340]
    around = abs(rows - 130) + abs(cols - 170) > 220
    values[around] = 0
    path = tmp_path / "jpeg.tif"
    profile = {"driver": "GTiff", "dtype": "uint8", "count": 3, "height": 260, "width": 340, "crs": "EPSG:32631"}
    with rasterio.open(
        path, "w", **profile, transform=Affine(0.5, 0, 593_270, 0, -0.5, 5_747_657), compress="jpeg", photometric="ycbcr"
    ) as out:
        out.write(np.moveaxis(values, 2, 0))
    scene, whole = look(path)
    assert (whole & around).sum() < 0.03 * around.sum()
    assert min(scene.stretch_lo) > 40
    grid = scene.work_grid(scene.gsd_m)
    with scene.reader(grid) as reader:
        for span in (Span(0, 0, 97, 131), Span(97, 0, 260, 131), Span(40, 200, 233, 340)):
            assert np.array_equal(reader.read(span)[1], whole[span.slices()])
