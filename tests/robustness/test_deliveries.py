"""What sensors' deliveries and GDAL's drivers say is read as it is meant; what a file points to is not read unasked."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import rasterio
from rasterio.shutil import copy

from detect.base.errors import InputError
from detect.scene.scene import open_scene
from tests.conftest import WriteScene

IMD = """version = "{}";
BEGIN_GROUP = IMAGE_1
\tsatId = "WV03";
\tfirstLineTime = 2024-06-05T10:11:12.000000Z;
\tmeanSunEl = 55.0;
\tmeanSunAz = 150.0;
END_GROUP = IMAGE_1
END;
"""


@pytest.mark.parametrize("version", ["AA", "R", "28.3"])
def test_date_and_sun_of_maxar_are_read(write_scene: WriteScene, version: str) -> None:
    path = write_scene()
    path.with_suffix(".IMD").write_text(IMD.format(version))
    path.with_suffix(".RPB").touch()
    scene = open_scene(path)
    assert scene.date == "2024-06-05"
    assert scene.sun is not None and (scene.sun.elevation_deg, scene.sun.azimuth_deg) == (55, 150)


def test_the_date_that_gdal_invents_for_nitf_is_not_believed(tiny_scene: Path, tmp_path: Path) -> None:
    copy(tiny_scene, tmp_path / "plain.ntf", driver="NITF")
    with rasterio.open(tmp_path / "plain.ntf") as dataset:
        assert dataset.tags()["NITF_IDATIM"] == "20021216151629"
    assert open_scene(tmp_path / "plain.ntf").date is None
    copy(tiny_scene, tmp_path / "dated.ntf", driver="NITF", IDATIM="20240605101112")
    assert open_scene(tmp_path / "dated.ntf").date == "2024-06-05"


def test_a_vrt_of_raw_bytes_is_refused(tmp_path: Path) -> None:
    secret = tmp_path / "secret.bin"
    secret.write_bytes(os.urandom(100))
    band = f"<SourceFilename>{secret}</SourceFilename><ImageOffset>0</ImageOffset><PixelOffset>1</PixelOffset><LineOffset>10</LineOffset>"
    text = f"""<VRTDataset rasterXSize="10" rasterYSize="10"><SRS>EPSG:32631</SRS><GeoTransform>593270,0.5,0,5747657,0,-0.5</GeoTransform>
        <VRTRasterBand dataType="Byte" band="1" subClass="VRTRawRasterBand">{band}</VRTRasterBand></VRTDataset>"""
    (tmp_path / "raw.vrt").write_text(text)
    with pytest.raises(InputError, match=r"raw.vrt: shows raw bytes of another file as pixels"):
        open_scene(tmp_path / "raw.vrt")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("scene.zip", "is an archive; unpack it"),
        ("scene.tif.gz", "is an archive; unpack it"),
        ("plots.kml", "holds no ground overlay that can be read"),
    ],
)
def test_files_that_are_no_raster_say_what_they_are(tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / name).write_text("<kml><Document/></kml>")
    with pytest.raises(InputError, match=words):
        open_scene(tmp_path / name)


def test_a_pipe_is_no_scene(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.tif")
    with pytest.raises(InputError, match=r"pipe.tif: is a device or a pipe; give a file"):
        open_scene(tmp_path / "pipe.tif")
