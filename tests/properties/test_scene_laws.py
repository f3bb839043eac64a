"""What a work pixel holds depends on the scene alone: not on the span that asked, nor on what lies under no-data."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest import mock

import numpy as np
import pyproj
import pytest
import rasterio
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from rasterio.io import MemoryFile
from scipy import ndimage

from detect.base.geometry import ground_size_m
from detect.base.grid import Span
from detect.scene.scene import Scene, WorkGrid, open_scene
from tests.conftest import ORIGIN_XY

NATIVE_GSD_M = 0.5
law = settings(max_examples=30, deadline=None)

sides = st.tuples(st.integers(1, 40), st.integers(1, 60)).filter(lambda hw: hw[0] != hw[1])
shrinking = st.floats(0.5, 2.4)
enlarging = st.floats(0.11, 0.5)
any_gsd = st.one_of(shrinking, enlarging, st.just(NATIVE_GSD_M))
seeds = st.integers(0, 2**32 - 1)


@contextmanager
def scene_of(picture: NDArray[Any], mask: NDArray[np.bool_] | None = None, **profile: Any) -> Iterator[Scene]:
    """A scene in memory whose values are stretched from 0 to 255 and no further."""
    count, height, width = picture.shape
    place = {"crs": "EPSG:32631", "transform": Affine(NATIVE_GSD_M, 0, ORIGIN_XY[0], 0, -NATIVE_GSD_M, ORIGIN_XY[1])}
    shape = {"dtype": picture.dtype.name, "count": count, "height": height, "width": width}
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), MemoryFile(ext=".tif") as memory:
        with memory.open(driver="GTiff", **(shape | place | profile)) as out:
            out.write(picture)
            if mask is not None:
                out.write_mask(mask)
        yield replace(open_scene(memory.name), stretch_lo=(0.0,) * 3, stretch_hi=(255.0,) * 3, gamma=1.0)


def read(scene: Scene, grid: WorkGrid, span: Span | None = None) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    with scene.reader(grid) as reader:
        return reader.read(Span(0, 0, *grid.size_hw) if span is None else span)


def drawn(seed: int, size_hw: tuple[int, int], holes: float = 0.0) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Values of 1–254 and where they are observed: pixels, and a rectangle, are missing."""
    rng = np.random.default_rng(seed)
    picture = rng.uniform(1, 254, (3, *size_hw)).astype(np.float32)
    seen = rng.random(size_hw) >= holes
    if holes:
        row, col = rng.integers(0, size_hw[0]), rng.integers(0, size_hw[1])
        seen[row : row + 9, col : col + 9] = False
    return picture, seen


@law
@given(sides, any_gsd, seeds, st.sampled_from([0.0, 0.2, 0.6]), st.data())
def test_a_work_pixel_is_the_same_whichever_span_asks(
    size_hw: tuple[int, int], gsd_m: float, seed: int, holes: float, data: st.DataObject
) -> None:
    picture, seen = drawn(seed, size_hw, holes)
    picture[:, ~seen] = math.nan
    with scene_of(picture) as scene:
        grid = scene.work_grid(gsd_m)
        values, valid = read(scene, grid)
        (row0, row1), (col0, col1) = (
            sorted(data.draw(st.lists(st.integers(-9, size + 9), min_size=2, max_size=2, unique=True))) for size in grid.size_hw
        )
        span = Span(row0, col0, row1, col1)
        part, part_valid = read(scene, grid, span)
        with mock.patch("detect.scene.reader._CHUNK_PX", 300):
            chunked, chunked_valid = read(scene, grid, span)
    assert part.shape == (3, *span.size_hw) and part_valid.shape == span.size_hw
    inside = span.clip(grid.size_hw)
    beyond = np.ones(span.size_hw, bool)
    if not inside.is_empty:
        here, there = inside.shift(-row0, -col0).slices(), inside.slices()
        np.testing.assert_array_equal(part[:, *here], values[:, *there])
        np.testing.assert_array_equal(part_valid[here], valid[there])
        beyond[here] = False
    assert not part_valid[beyond].any()
    np.testing.assert_array_equal(chunked, part)
    np.testing.assert_array_equal(chunked_valid, part_valid)


@law
@given(sides, any_gsd, seeds, st.integers(0, 12))
def test_beyond_the_edge_values_are_reflected_and_not_valid(size_hw: tuple[int, int], gsd_m: float, seed: int, px: int) -> None:
    with scene_of(drawn(seed, size_hw)[0]) as scene:
        grid = scene.work_grid(gsd_m)
        values, valid = read(scene, grid)
        padded, padded_valid = read(scene, grid, Span(0, 0, *grid.size_hw).pad(px))
        far, far_valid = read(scene, grid, Span(500, 900, 510, 903))
    for axis, size in ((1, grid.size_hw[0]), (2, grid.size_hw[1])):
        widths = [(px, px) if a == axis else (0, 0) for a in range(3)]
        values = np.pad(values, widths, mode="reflect" if size > 1 else "edge")
    np.testing.assert_array_equal(padded, values)
    np.testing.assert_array_equal(padded_valid, np.pad(valid, px))
    assert far.shape == (3, 10, 3) and (far == 0.5).all() and not far_valid.any()


@law
@given(sides, seeds, st.sampled_from(["uint8", "uint16", "int16", "float32"]))
def test_at_its_own_ground_size_a_scene_is_itself_without_its_grain(size_hw: tuple[int, int], seed: int, dtype: str) -> None:
    picture = drawn(seed, size_hw)[0].astype(dtype)
    with scene_of(picture) as scene:
        grid = scene.work_grid(scene.gsd_m)
        values, valid = read(scene, grid)
    assert grid.size_hw == size_hw and grid.transform == scene.transform and valid.all()
    smooth = picture.astype(np.float64)
    for axis in (1, 2):  # the cubic B-spline's mean over a pixel: the quartic one at whole numbers
        smooth = ndimage.convolve1d(smooth, np.array([1, 76, 230, 76, 1]) / 384, axis=axis, mode="reflect")
    np.testing.assert_allclose(values, smooth / 255, rtol=1e-5, atol=1e-6)


@law
@given(sides, any_gsd, st.integers(1, 254))
def test_a_constant_scene_stays_constant(size_hw: tuple[int, int], gsd_m: float, level: int) -> None:
    with scene_of(np.full((3, *size_hw), level, np.uint8)) as scene:
        values, valid = read(scene, scene.work_grid(gsd_m))
    assert valid.all()
    np.testing.assert_allclose(values, level / 255, rtol=2e-6)


@law
@given(st.integers(1, 12), st.integers(13, 20), st.integers(2, 4), seeds)
def test_shrinking_by_a_whole_number_takes_the_mean_of_each_cell(rows: int, cols: int, factor: int, seed: int) -> None:
    picture, _ = drawn(seed, (rows * factor, cols * factor))
    with scene_of(picture) as scene:
        grid = scene.work_grid(scene.gsd_m * factor)
        values, _ = read(scene, grid)
    assert grid.size_hw == (rows, cols)
    np.testing.assert_allclose(values, picture.reshape(3, rows, factor, cols, factor).mean(axis=(2, 4)) / 255, rtol=1e-5)


@law
@given(st.integers(3, 20), st.integers(21, 40), enlarging)
def test_enlarging_keeps_a_slope_in_its_place(rows: int, cols: int, gsd_m: float) -> None:
    slope = (np.add.outer(2.0 * np.arange(rows), np.arange(cols)) + 20).astype(np.float32)
    with scene_of(np.stack([slope] * 3)) as scene:
        grid = scene.work_grid(gsd_m)
        values, _ = read(scene, grid)
    # A work pixel's centre in native pixels; near the edge the mirrored scene flattens the slope.
    row, col = ((np.arange(n) + 0.5) * scale - 0.5 for n, scale in zip(grid.size_hw, grid.scale_rc, strict=True))
    away = np.ix_(*((c > 2) & (c < size - 3) for c, size in zip((row, col), slope.shape, strict=True)))
    np.testing.assert_allclose(values[0][away], ((np.add.outer(2 * row, col) + 20) / 255)[away], rtol=1e-5)


@law
@given(sides, shrinking, seeds)
def test_shrinking_keeps_the_mean_of_a_scene(size_hw: tuple[int, int], gsd_m: float, seed: int) -> None:
    picture, _ = drawn(seed, size_hw)
    with scene_of(picture) as scene:
        grid = scene.work_grid(gsd_m)
        values, _ = read(scene, grid)
    if all(scale >= 1 for scale in grid.scale_rc):  # one row of 0.5 m at 0.6 m stays one row
        np.testing.assert_allclose(values.mean(axis=(1, 2)), picture.mean(axis=(1, 2)) / 255, rtol=1e-4)


@law
@given(sides, any_gsd, seeds, st.sampled_from(["no-data value", "NaN", "mask band", "alpha"]), st.sampled_from([0.1, 0.5]))
def test_no_data_never_bleeds(size_hw: tuple[int, int], gsd_m: float, seed: int, kind: str, holes: float) -> None:
    _, seen = drawn(seed, size_hw, holes)
    results = []
    for under in {"NaN": (math.nan,), "no-data value": (-32000, 0, 200)}.get(kind, (0, 9, 65000)):
        dtype = {"NaN": "float32", "no-data value": "int16"}.get(kind, "uint16")
        picture = np.stack([np.where(seen, 100, under).astype(dtype)] * 3)
        profile: dict[str, Any] = {"nodata": under} if kind == "no-data value" else {}
        if kind == "alpha":
            picture = np.concatenate([picture, np.where(seen, 65535, 0).astype(dtype)[None]])
            profile = {"photometric": "RGB", "alpha": "YES"}
        with scene_of(picture, seen if kind == "mask band" else None, **profile) as scene:
            assert scene.bands == (1, 2, 3)
            results.append(read(scene, scene.work_grid(gsd_m)))
    for values, valid in results:
        np.testing.assert_allclose(values[:, valid], 100 / 255, rtol=2e-5)
        assert (values[:, ~valid] == 0.5).all()
        np.testing.assert_array_equal(values, results[0][0])
        np.testing.assert_array_equal(valid, results[0][1])
    if gsd_m == NATIVE_GSD_M:
        np.testing.assert_array_equal(valid, seen)


def degree_m(latitude: float) -> tuple[float, float]:
    """Metres of one degree of latitude and of longitude on WGS 84, from the radii of curvature."""
    a, es, phi = 6_378_137.0, 0.00669437999014, math.radians(latitude)
    squash = 1 - es * math.sin(phi) ** 2
    return math.radians(a * (1 - es) / squash**1.5), math.radians(a / math.sqrt(squash) * math.cos(phi))


UTM = 1.00028  # 1 / scale factor of zone 31 there
NORTH, EAST = degree_m(56)
MERCATOR_DEG = math.degrees(1 / 6_378_137.0)  # of longitude in a Web Mercator metre; of latitude it is cos φ of that
PLACES = {
    "projected": ("EPSG:32631", Affine(0.4, 0, ORIGIN_XY[0], 0, -0.6, ORIGIN_XY[1]), (0.6 * UTM, 0.4 * UTM)),
    "south-up": ("EPSG:32631", Affine(0.5, 0, ORIGIN_XY[0], 0, 0.7, ORIGIN_XY[1]), (0.7 * UTM, 0.5 * UTM)),
    "rotated": (
        "EPSG:32631",
        Affine.translation(*ORIGIN_XY) * Affine.rotation(30) * Affine.scale(0.7, -0.5),
        (0.5 * UTM, 0.7 * UTM),
    ),
    "geographic": ("EPSG:4326", Affine(9e-6, 0, 10, 0, -5e-6, 56), (5e-6 * NORTH, 9e-6 * EAST)),
    "Web Mercator": (
        "EPSG:3857",
        Affine(1, 0, 1_113_194, 0, -1, 7_558_415),  # 10° E 56° N
        (MERCATOR_DEG * math.cos(math.radians(56)) * NORTH, MERCATOR_DEG * EAST),
    ),
}


@pytest.mark.parametrize("place", PLACES)
@settings(max_examples=10, deadline=None)
@given(sides, st.floats(0.2, 1.5))
def test_a_work_grid_covers_the_scene_exactly_in_true_metres(place: str, size_hw: tuple[int, int], gsd_m: float) -> None:
    crs, transform, gsd_rc_m = PLACES[place]
    with scene_of(drawn(0, size_hw)[0], crs=crs, transform=transform) as scene:
        grid = scene.work_grid(gsd_m)
        values, valid = read(scene, grid)
    assert scene.gsd_rc_m == pytest.approx(gsd_rc_m, rel=2e-4)
    assert scene.transform.almost_equals(transform) and scene.crs == pyproj.CRS(crs)
    height, width = grid.size_hw
    assert values.shape == (3, height, width) and valid.all()
    assert grid.transform * (0, 0) == pytest.approx(transform * (0, 0), rel=1e-12)
    assert grid.transform * (width, height) == pytest.approx(transform * size_hw[::-1], rel=1e-12)
    true_rc_m = ground_size_m(grid.transform, grid.size_hw, scene.crs)
    assert grid.gsd_m == pytest.approx(sum(true_rc_m) / 2, rel=1e-6)
    for pixels, true_m in zip(grid.size_hw, true_rc_m, strict=True):
        assert pixels == 1 or abs(true_m - gsd_m) * pixels <= 0.51 * gsd_m, "more than half a pixel is stretched over the scene"
