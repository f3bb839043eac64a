"""Scenes of every kind: bands, types, no data, coordinate systems, georeference."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyproj
import pytest
import rasterio
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from rasterio import shutil as raster_shutil
from rasterio.vrt import WarpedVRT

from detect.base.errors import InputError
from detect.base.grid import Span
from detect.scene.scene import open_scene
from tests.conftest import ORIGIN_XY, WriteScene, draw_houses
from tests.real_data import data_path


def read_all(path: Path | str, gsd_m: float | None = None, **options: object) -> tuple[np.ndarray, np.ndarray]:
    scene = open_scene(path, **options)
    grid = scene.work_grid(gsd_m or scene.gsd_m)
    with scene.reader(grid) as reader:
        return reader.read(Span(0, 0, *grid.size_hw))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32", "float64"])
@pytest.mark.parametrize(("bands", "shown"), [(1, (1, 1, 1)), (3, (1, 2, 3)), (4, (1, 2, 3)), (8, (5, 3, 2))])
def test_bands_and_types_show_the_same_picture(write_scene: WriteScene, dtype: str, bands: int, shown: tuple[int, ...]) -> None:
    picture = draw_houses()
    values = np.repeat(picture[:1], bands, axis=0).astype(dtype) * (1 if dtype == "uint8" else 7)
    for band, source in zip(shown, picture, strict=True):
        values[band - 1] = source.astype(dtype) * (1 if dtype == "uint8" else 7)
    path = write_scene(values, photometric="minisblack")
    scene = open_scene(path)
    assert scene.bands == shown
    seen, valid = read_all(path)
    assert valid.all()
    assert seen.min() >= 0 and seen.max() <= 1
    if bands > 1:
        plain, _ = read_all(write_scene(picture, name="plain.tif"))
        assert np.abs(seen - plain).max() < 0.02


def test_bands_of_several_types_show_the_same_picture(write_scene: WriteScene, tmp_path: Path) -> None:
    picture = draw_houses()
    for i, dtype in enumerate(("uint8", "uint16", "int16")):
        write_scene(picture[i : i + 1].astype(dtype), name=f"{dtype}.tif")
    bands = [VRT_BAND.format(number=i + 1, kind=kind, name=name) for i, (kind, name) in enumerate(KINDS.items())]
    with rasterio.open(tmp_path / "uint8.tif") as first:
        corner = ",".join(map(str, first.transform.to_gdal()))
        head = f'<VRTDataset rasterXSize="{first.width}" rasterYSize="{first.height}"><SRS>EPSG:32631</SRS>'
    path = tmp_path / "mixed.vrt"
    path.write_text(f"{head}<GeoTransform>{corner}</GeoTransform>{''.join(bands)}</VRTDataset>")
    assert open_scene(path).dtype == "int32"
    seen, valid = read_all(path)
    plain, _ = read_all(write_scene(picture.astype(np.int32), name="plain.tif"))
    assert valid.all() and (seen == plain).all()


KINDS = {"Byte": "uint8.tif", "UInt16": "uint16.tif", "Int16": "int16.tif"}
VRT_BAND = (
    '<VRTRasterBand dataType="{kind}" band="{number}"><SimpleSource><SourceFilename relativeToVRT="1">{name}</SourceFilename>'
    "<SourceBand>1</SourceBand></SimpleSource></VRTRasterBand>"
)


@pytest.mark.parametrize("how", ["MINISWHITE", "scale"])
def test_a_negative_is_read_as_its_positive(write_scene: WriteScene, how: str) -> None:
    picture = draw_houses()[:1]
    path = write_scene(255 - picture, photometric=how if how == "MINISWHITE" else "minisblack")
    if how == "scale":
        with rasterio.open(path, "r+") as raster:
            raster.scales, raster.offsets = (-1.0,), (255.0,)
    assert any("small values are bright" in line for line in open_scene(path).warnings)
    seen, _ = read_all(path)
    plain, _ = read_all(write_scene(picture, name="plain.tif", photometric="minisblack"))
    assert np.abs(seen - plain).max() < 1e-5


def test_heights_of_a_coordinate_system_are_left_out(write_scene: WriteScene) -> None:
    scene = open_scene(write_scene(crs=pyproj.CRS("EPSG:32631").to_3d().to_wkt()))
    assert scene.crs is not None and scene.crs.to_epsg() == 32631


def test_a_coordinate_system_that_no_geopackage_holds_is_one_line(write_scene: WriteScene) -> None:
    path = write_scene(crs=pyproj.CRS("+proj=eqearth +lon_0=8 +datum=WGS84").to_wkt())
    with pytest.raises(InputError, match=r"has no form that a GeoPackage can hold; warp it"):
        open_scene(path)


def test_a_place_without_a_coordinate_system_is_told_how_to_get_one(tmp_path: Path) -> None:
    Image.fromarray(draw_houses().transpose(1, 2, 0)).save(tmp_path / "a.png")
    (tmp_path / "a.pgw").write_text("0.5\n0\n0\n-0.5\n500000.25\n5000000.25\n")
    with pytest.raises(
        InputError,
        match=r"in no coordinate system; name it .gdal_edit.py -a_srs EPSG:… a.png., or count without a place by --gsd",
    ):
        open_scene(tmp_path / "a.png")


def test_bands_option(write_scene: WriteScene) -> None:
    path = write_scene()
    assert open_scene(path, bands=[3, 2, 1]).bands == (3, 2, 1)
    assert open_scene(path, bands=[2]).bands == (2, 2, 2)
    for wrong in ([1, 2], [1, 2, 4], [0, 1, 2]):
        with pytest.raises(InputError, match="--bands"):
            open_scene(path, bands=wrong)


def test_a_url_is_read_whatever_its_server_can_do(write_scene: WriteScene) -> None:
    """The server of the standard library sends whole files only. It needs a process of its own: GDAL waits for it with the lock held."""
    path = write_scene()
    command = [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", str(path.parent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        try:
            assert server.stdout is not None
            port = re.search(r"port (\d+)", server.stdout.readline())
            assert port is not None
            url = f"http://127.0.0.1:{port[1]}/{path.name}"
            assert open_scene(url).name == path.stem
            assert np.array_equal(read_all(url)[0], read_all(path)[0])
            with pytest.raises(InputError, match=r"absent\.tif"):
                open_scene(url.replace(path.name, "absent.tif"))
        finally:
            server.kill()


@pytest.mark.parametrize("how", ["nodata", "mask", "alpha", "nan", "black border"])
def test_what_was_not_observed_is_not_valid(write_scene: WriteScene, tmp_path: Path, how: str) -> None:
    values = draw_houses().astype(np.float32)
    hole = np.zeros(values.shape[1:], bool)
    hole[:40, 100:] = True
    if how == "nodata":
        values[:, hole] = -9999
        path = write_scene(values, nodata=-9999)
    elif how == "nan":
        values[:, hole] = np.nan
        path = write_scene(values)
    elif how == "black border":
        values[:, hole] = 0
        path = write_scene(values.astype(np.uint8))
    elif how == "alpha":
        alpha = np.where(hole, 0, 255)[None]
        path = write_scene(np.concatenate([values, alpha]).astype(np.uint8), photometric="rgb", alpha="yes")
    else:
        path = write_scene(values.astype(np.uint8))
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as target:
            target.write_mask(~hole)
    seen, valid = read_all(path)
    assert (valid == ~hole).all()
    assert (seen[:, hole] == 0.5).all()
    assert np.isfinite(seen).all()


def test_no_data_does_not_bleed_into_what_was_observed(write_scene: WriteScene) -> None:
    values = np.full((3, 96, 160), 100, np.int16)
    values[:, :4] = 140  # something to stretch
    values[:, :, 81:] = -32768
    seen, valid = read_all(write_scene(values, nodata=-32768), gsd_m=1.0)
    assert valid[:, :40].all() and not valid[:, 41:].any()
    assert np.ptp(seen[:, 4:, :40]) < 1e-5


@pytest.mark.parametrize(
    ("crs", "transform", "gsd_m"),
    [
        ("EPSG:32631", Affine(0.5, 0, ORIGIN_XY[0], 0, -0.5, ORIGIN_XY[1]), 0.5),
        ("EPSG:3857", Affine(0.5, 0, 4_000_000, 0, -0.5, 7_558_000), 0.2805),  # 56° N: cos φ = 0.559
        ("EPSG:4326", Affine(4.5e-6, 0, 36.0, 0, -4.5e-6, 0.0), 0.4993),
        ("EPSG:2263", Affine(1.64, 0, 990_000, 0, -1.64, 200_000), 0.4999),  # US survey feet
        ("EPSG:32631", Affine.translation(*ORIGIN_XY) * Affine.rotation(30) * Affine.scale(0.5, -0.5), 0.5),
        ("EPSG:32631", Affine(0.5, 0, ORIGIN_XY[0], 0, 0.5, ORIGIN_XY[1]), 0.5),  # south up
    ],
    ids=["UTM", "Web Mercator", "degrees", "feet", "rotated", "south up"],
)
def test_ground_sampling_distance_is_in_true_metres(write_scene: WriteScene, crs: str, transform: Affine, gsd_m: float) -> None:
    scene = open_scene(write_scene(crs=crs, transform=transform))
    assert scene.gsd_m == pytest.approx(gsd_m, rel=0.003)
    grid = scene.work_grid(0.35)
    assert grid.gsd_m == pytest.approx(0.35, rel=0.01)
    for corner, native in (((0, 0), (0, 0)), (grid.size_hw[::-1], (160, 96))):
        assert grid.transform * corner == pytest.approx(transform * native, rel=1e-9), "the work grid covers the scene exactly"


@pytest.mark.filterwarnings("ignore:.*no geotransform")
def test_picture_without_georeference(write_scene: WriteScene, tmp_path: Path) -> None:
    path = write_scene(crs=None)
    with pytest.raises(InputError, match="--gsd"):
        open_scene(path)
    scene = open_scene(path, gsd_m=0.4)
    assert scene.crs is None and scene.gsd_m == pytest.approx(0.4)
    with pytest.raises(InputError, match="contradicts"):
        open_scene(write_scene(name="placed.tif"), gsd_m=0.4)


@pytest.mark.filterwarnings("ignore:.*no geotransform")
def test_vrt_and_png_with_world_file(write_scene: WriteScene, tmp_path: Path) -> None:
    plain, _ = read_all(write_scene())
    with rasterio.open(
        tmp_path / "map.png", "w", driver="PNG", width=160, height=96, count=3, dtype="uint8", crs="EPSG:32631"
    ) as png:
        png.write(draw_houses())
    (tmp_path / "map.pgw").write_text(f"0.5\n0\n0\n-0.5\n{ORIGIN_XY[0] + 0.25}\n{ORIGIN_XY[1] - 0.25}\n")
    assert open_scene(tmp_path / "map.png").gsd_m == pytest.approx(0.5, rel=0.003)
    assert np.array_equal(read_all(tmp_path / "map.png")[0], plain)
    with rasterio.open(tmp_path / "tiny.tif") as source, WarpedVRT(source) as vrt:
        raster_shutil.copy(vrt, tmp_path / "tiny.vrt", driver="VRT")
    assert np.array_equal(read_all(tmp_path / "tiny.vrt")[0], plain)


def test_date(write_scene: WriteScene) -> None:
    assert open_scene(write_scene(name="a.tif")).date is None
    assert open_scene(write_scene(name="site_20240602_x.tif")).date == "2024-06-02"
    assert open_scene(write_scene(name="site_2024-06-02.tif"), date="2023-01-31").date == "2023-01-31"
    assert open_scene(write_scene(name="no_20241341.tif")).date is None
    with pytest.raises(InputError, match="--date"):
        open_scene(write_scene(name="b.tif"), date="2023-02-31")
    path = write_scene(name="tagged.tif")
    with rasterio.open(path, "r+") as target:
        target.update_tags(TIFFTAG_DATETIME="2024:06:02 10:11:12")
    assert open_scene(path).date == "2024-06-02"


@pytest.mark.parametrize(
    ("kind", "words"), [("missing", "no such file"), ("text", "no raster"), ("complex", "complex"), ("coarse", "3 m")]
)
def test_refusals_are_one_line(write_scene: WriteScene, tmp_path: Path, kind: str, words: str) -> None:
    path = tmp_path / "scene.tif"
    if kind == "text":
        path.write_text("hello")
    elif kind == "complex":
        path = write_scene(np.ones((1, 9, 12), np.complex64))
    elif kind == "coarse":
        path = write_scene(gsd_m=3.2)
    with pytest.raises(InputError, match=words) as caught:
        open_scene(path)
    assert "\n" not in str(caught.value)
    assert path.name in str(caught.value)


@given(data=st.data(), gsd_m=st.sampled_from([0.2, 0.35, 0.5, 0.77, 1.3]))
def test_a_pixel_is_the_same_whichever_span_asks(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, gsd_m: float
) -> None:
    path = tmp_path_factory.mktemp("law") / "scene.tif"
    values = draw_houses().astype(np.uint16) * 8
    values[:, 60:70, 20:50] = 0
    profile = {"driver": "GTiff", "dtype": "uint16", "count": 3, "height": 96, "width": 160, "nodata": 0, "crs": "EPSG:32631"}
    with rasterio.open(path, "w", **profile, transform=Affine(0.5, 0, *ORIGIN_XY[:1], 0, -0.5, ORIGIN_XY[1])) as target:
        target.write(values)
    scene = open_scene(path)
    grid = scene.work_grid(gsd_m)
    height, width = grid.size_hw
    row0, col0 = data.draw(st.integers(-20, height - 1)), data.draw(st.integers(-20, width - 1))
    span = Span(row0, col0, row0 + data.draw(st.integers(1, 80)), col0 + data.draw(st.integers(1, 80)))
    with scene.reader(grid) as reader:
        whole, whole_valid = reader.read(Span(0, 0, height, width))
        part, part_valid = reader.read(span)
    inside = span.clip(grid.size_hw)
    if inside.is_empty:
        assert not part_valid.any()
        return
    at = inside.shift(-span.row0, -span.col0).slices()
    assert np.array_equal(part[(slice(None), *at)], whole[(slice(None), *inside.slices())])
    assert np.array_equal(part_valid[at], whole_valid[inside.slices()])
    outside = part_valid.copy()
    outside[at] = False
    assert not outside.any()


def test_dark_scene_is_lifted_and_an_ordinary_one_left_alone(write_scene: WriteScene) -> None:
    rng = np.random.default_rng(3)
    dark = np.where(rng.random((3, 96, 160)) < 0.06, 220, rng.integers(5, 60, (3, 96, 160))).astype(np.uint8)
    scene = open_scene(write_scene(dark, name="dark.tif"))
    assert scene.gamma < 1
    even = open_scene(write_scene(rng.integers(1, 255, (3, 96, 160)).astype(np.uint8), name="even.tif"))
    assert even.gamma == 1
    assert np.mean(scene.brightness_mean) == pytest.approx(0.36, abs=0.08)
    seen, _ = read_all(tmp := Path(scene.path))
    assert seen.mean() == pytest.approx(np.mean(scene.brightness_mean), abs=0.05), tmp  # read without the grain of the statistics


@pytest.mark.parametrize("name", ["rio_8band_uint16", "vegas_single_band_R", "rotterdam_ms_float64", "rio_black_nodata_untagged"])
def test_real_formats_open(name: str) -> None:
    scene = open_scene(data_path(f"formats/{name}.tif"))
    seen, valid = read_all(scene.path)
    assert 0.25 < scene.gsd_m < 2.5
    assert valid.mean() > 0.2
    assert seen[:, valid].std() > 0.05


def test_the_eye_sees_what_the_network_reads(write_scene: WriteScene) -> None:
    values = draw_houses()
    values[:, 60:, :40] = 0
    scene = open_scene(write_scene(values, nodata=0))
    grid = scene.work_grid(scene.gsd_m)
    with scene.reader(grid) as reader:
        read, valid = reader.read(Span(10, 20, 90, 150))
        seen = reader.look(Span(10, 20, 90, 150), (80, 130))
        whole = reader.look(Span(0, 0, 96, 160), (96, 160))
        half = reader.look(Span(0, 0, 96, 160), (48, 80))
    # The network's reading is smooth; one pixel off, the difference is larger.
    smooth = read.transpose(1, 2, 0) * 255
    apart = [np.abs(np.roll(seen.astype(float), by, axis=1) - smooth)[valid].mean() for by in (0, -1, 1)]
    assert apart[0] < 0.7 * min(apart[1:])
    assert seen[valid].mean() == pytest.approx(smooth[valid].mean(), abs=1)
    assert not valid.all() and (seen[~valid] == 64).all()
    averaged = whole.reshape(48, 2, 80, 2, 3).mean(axis=(1, 3))
    # Averaged before the stretch, which is no straight line; half a pixel off the difference would be 8.
    assert np.abs(half - averaged).mean() < 1


@pytest.mark.parametrize(("interleave", "gsd_m"), [("pixel", 0.5), ("band", 0.3), ("band", 0.8)])
def test_what_a_sparse_file_does_not_store_is_told_without_reading(tmp_path: Path, interleave: str, gsd_m: float) -> None:
    path = tmp_path / "sparse.tif"
    profile = {
        "driver": "GTiff", "width": 200, "height": 150, "count": 3, "dtype": "uint8", "crs": "EPSG:32631", "nodata": 0, "tiled": True,
        "blockxsize": 16, "blockysize": 32, "compress": "deflate", "sparse_ok": True, "interleave": interleave,
        "transform": Affine(0.5, 0, ORIGIN_XY[0], 0, -0.5, ORIGIN_XY[1]),
    }  # fmt: skip
    with rasterio.open(path, "w", **profile) as target:
        target.write(np.full((3, 20, 30), 99, np.uint8), window=((40, 60), (70, 100)))
    scene = open_scene(path)
    grid = scene.work_grid(gsd_m)
    told = set()
    with scene.reader(grid) as reader:
        for row in range(0, grid.size_hw[0], 10):
            for col in range(0, grid.size_hw[1], 10):
                span = Span(row, col, row + 10, col + 10)
                unstored, seen = reader.is_unstored(span), reader.read(span)[1].any()
                assert not (unstored and seen)
                told.add((bool(unstored), bool(seen)))
    assert {(True, False), (False, True)} <= told


def test_what_cannot_be_told_without_reading_is_read(write_scene: WriteScene, tmp_path: Path) -> None:
    whole = Span(0, 0, 10, 10)
    scene = open_scene(write_scene())
    with scene.reader(scene.work_grid(0.5)) as reader:
        assert not reader.is_unstored(whole), "nothing is no data in it"
    raster_shutil.copy(write_scene(name="marked.tif", nodata=0), tmp_path / "p.vrt", driver="VRT")
    scene = open_scene(tmp_path / "p.vrt")
    with scene.reader(scene.work_grid(0.5)) as reader:
        assert not reader.is_unstored(whole), "no GeoTIFF"


@pytest.mark.parametrize(
    ("hole", "hidden"),
    [
        ((slice(0), slice(0)), None),
        ((slice(10, 30), slice(10, 18)), None),  # 8 px wide: it stays grey
        ((slice(10, 30), slice(10, 19)), (slice(10, 30), slice(10, 19))),
        ((slice(50, 61), slice(0, 71)), (slice(50, 64), slice(0, 96))),  # at the scene's edge, and beyond it
        ((slice(None, None, 2), slice(None)), None),  # every second row
    ],
)
def test_wide_holes_are_hidden_from_the_network(
    write_scene: WriteScene, hole: tuple[slice, slice], hidden: tuple[slice, slice] | None
) -> None:
    values = np.full((3, 61, 71), 90, np.uint8)
    values[:, *hole] = 0
    scene = open_scene(write_scene(values, nodata=0))
    span = Span(0, 0, 64, 96)  # in whole strides, wider than the scene
    with scene.reader(scene.work_grid(scene.gsd_m)) as reader:
        shown = reader.shown(span, reader.read(span)[1])
    if hidden is None:
        assert shown is None
    else:
        expected = np.ones(span.size_hw, bool)
        expected[hidden] = False
        np.testing.assert_array_equal(shown, expected)
