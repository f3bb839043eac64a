"""Images that are cut off, empty or incomplete: one line with the words of GDAL, exit 2, and nothing half-written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio

from detect.base.errors import DetectError, InputError, said
from detect.cli.main import main
from detect.scene.scene import open_scene
from tests.conftest import WriteScene, draw_houses

LARGE_HW = (200, 2200)
"""Twice as long as the picture in which a scene is measured, so that an overview is read for it."""


def cut(path: Path, share: float) -> Path:
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    return path


def fails_in_one_line(path: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["predict", str(path), "--out", str(out), "-q"]) == 2
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1 and str(path) in error and "previous exception" not in error
    assert not list(out.glob("*/*")), "no result, not even a part"
    return error


@pytest.mark.parametrize(("driver", "name"), [("GTiff", "a.tif"), ("PNG", "a.png"), ("JPEG", "a.jpg"), ("JP2OpenJPEG", "a.jp2")])
def test_a_file_that_is_cut_off_is_called_incomplete(
    write_scene: WriteScene, driver: str, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    noise = np.random.default_rng(1).integers(1, 255, (3, 300, 400), np.uint8)
    path = cut(write_scene(noise, name=name, driver=driver), 0.6)
    with pytest.raises(InputError, match="damaged or incomplete"):
        open_scene(path)
    assert "damaged or incomplete" in fails_in_one_line(path, tmp_path / "out", capsys)


@pytest.mark.parametrize("size", [0, 100])
def test_a_file_of_which_hardly_anything_is_there(
    tiny_scene: Path, size: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny_scene.write_bytes(tiny_scene.read_bytes()[:size])
    error = fails_in_one_line(tiny_scene, tmp_path / "out", capsys)
    assert ("is empty" if size == 0 else "damaged or incomplete") in error


def test_a_cut_behind_the_overviews_is_found_in_the_blocks(
    write_scene: WriteScene, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_scene(draw_houses(LARGE_HW), driver="COG", compress="deflate", blocksize=128)
    cut(path, 0.7)
    open_scene(path)
    assert "damaged or incomplete" in fails_in_one_line(path, tmp_path / "out", capsys)


def test_a_missing_part_of_a_mosaic_is_named(write_scene: WriteScene, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with rasterio.open(write_scene(name="whole.tif")) as whole:
        height, width = whole.shape
        place, crs = whole.transform, whole.crs
    half = width // 2
    rectangles = f'yOff="0" xSize="{half}" ySize="{height}"/>'
    bands = "".join(
        f'<VRTRasterBand dataType="Byte" band="{band}">'
        + "".join(
            f'<SimpleSource><SourceFilename relativeToVRT="1">{file}</SourceFilename><SourceBand>{band}</SourceBand>'
            f'<SrcRect xOff="{x}" {rectangles}<DstRect xOff="{x}" {rectangles}</SimpleSource>'
            for file, x in (("whole.tif", 0), ("gone.tif", half))
        )
        + "</VRTRasterBand>"
        for band in (1, 2, 3)
    )
    corner = f"{place.c},{place.a},0,{place.f},0,{place.e}"
    mosaic = tmp_path / "mosaic.vrt"
    mosaic.write_text(
        f'<VRTDataset rasterXSize="{width}" rasterYSize="{height}"><SRS>{crs}</SRS><GeoTransform>{corner}</GeoTransform>{bands}'
        "</VRTDataset>"
    )
    assert "gone.tif: No such file" in fails_in_one_line(mosaic, tmp_path / "out", capsys)


def test_the_words_of_the_deepest_cause_are_passed_on() -> None:
    deep = OSError("tile.tif: got 3 bytes,\n expected 7")
    middle = OSError("reading failed")
    middle.__cause__ = deep
    top = OSError("Read failed. See previous exception for details.")
    top.__cause__ = middle
    assert said(top) == "reading failed; tile.tif: got 3 bytes, expected 7"
    assert said(DetectError("plain")) == "plain"


def test_a_file_that_is_no_raster_is_not_called_damaged(tmp_path: Path) -> None:
    path = tmp_path / "scene.tif"
    path.write_text("<html>404 Not Found</html>")
    with pytest.raises(InputError, match="no raster that GDAL can read"):
        open_scene(path)
