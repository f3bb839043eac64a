from __future__ import annotations

from pathlib import Path

import cv2
import geopandas as gpd
import numpy as np
import pyproj
import pytest
import rasterio
from shapely import box

from detect.base.errors import InputError
from detect.base.geometry import GEOD
from detect.scene.placed import corners_of, place, write_placed
from detect.scene.scene import open_scene
from detect.scene.sun import Sun
from tests.conftest import WriteScene

SIZE_HW = (96, 160)


def around(lat: float, lon: float, gsd_m: float) -> tuple[float, float, float, float]:
    """Upper left and lower right corner of a picture that looks north, whose middle is known."""
    half_h, half_w = (side / 2 * gsd_m for side in SIZE_HW)
    east, _, _ = GEOD.fwd(lon, lat, 90, half_w)
    _, north, _ = GEOD.fwd(lon, lat, 0, half_h)
    return north, 2 * lon - east, 2 * lat - north, east


@pytest.mark.parametrize(("lat", "lon"), [(51.87, 4.35), (-33.9, 151.2), (64, 8.9), (0, -179.9)])
def test_pixels_are_where_they_should_be(lat: float, lon: float, tmp_path: Path) -> None:
    picture = tmp_path / "shot.png"
    cv2.imwrite(str(picture), np.full((*SIZE_HW, 3), 90, np.uint8))
    corners = around(lat, lon, 0.4)
    write_placed(tmp_path / "shot.vrt", str(picture), corners, overwrite=False)
    scene = open_scene(tmp_path / "shot.vrt")
    assert scene.gsd_rc_m == pytest.approx((0.4, 0.4), rel=1e-3)
    to_degrees = pyproj.Transformer.from_crs(scene.crs, 4326, always_xy=True)
    for (col, row), (want_lon, want_lat) in {(0, 0): (corners[1], corners[0]), (160, 0): (corners[3], corners[0])}.items():
        found = to_degrees.transform(*(scene.transform * (col, row)))
        assert GEOD.inv(*found, want_lon, want_lat)[2] < 0.3


def test_the_same_again_is_kept_and_others_are_not_replaced(tmp_path: Path) -> None:
    picture, path = tmp_path / "shot.png", tmp_path / "shot.vrt"
    cv2.imwrite(str(picture), np.full((*SIZE_HW, 3), 90, np.uint8))
    write_placed(path, str(picture), around(50, 8, 0.4), overwrite=False)
    before = path.read_text()
    write_placed(path, str(picture), around(50, 8, 0.4), overwrite=False)
    assert path.read_text() == before
    with pytest.raises(InputError, match="holds something else already"):
        write_placed(path, str(picture), around(50, 8, 0.5), overwrite=False)
    write_placed(path, str(picture), around(50, 8, 0.5), overwrite=True)
    assert path.read_text() != before


def test_a_picture_that_was_replaced_is_placed_again(tmp_path: Path) -> None:
    picture, path = tmp_path / "shot.png", tmp_path / "shot.vrt"
    cv2.imwrite(str(picture), np.full((*SIZE_HW, 3), 90, np.uint8))
    write_placed(path, str(picture), around(50, 8, 0.4), overwrite=False)
    cv2.imwrite(str(picture), np.full((2 * SIZE_HW[0], 2 * SIZE_HW[1], 3), 90, np.uint8))
    with pytest.raises(InputError, match="holds something else already; give --overwrite"):
        write_placed(path, str(picture), around(50, 8, 0.4), overwrite=False)
    write_placed(path, str(picture), around(50, 8, 0.4), overwrite=True)
    assert open_scene(path).gsd_rc_m == pytest.approx((0.2, 0.2), rel=1e-3)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_tags_that_tell_date_and_sun_are_kept(write_scene: WriteScene, tmp_path: Path) -> None:
    picture = write_scene(crs=None)
    with rasterio.open(picture, "r+") as raster:
        raster.update_tags(ns="IMAGERY", ACQUISITIONDATETIME="2021-05-06 10:00:00")
        raster.update_tags(SUN_ELEVATION="40", SUN_AZIMUTH="150")
    write_placed(tmp_path / "a.vrt", str(picture), around(51, 4, 0.4), overwrite=False)
    scene = open_scene(tmp_path / "a.vrt")
    assert (scene.date, scene.sun) == ("2021-05-06", Sun(40, 150))


def test_swapped_or_wrong_corners_are_refused() -> None:
    north, west, south, east = around(51, 4, 0.4)
    for wrong in ((south, east, north, west), (west, north, east, south), (north, west, north, west)):
        with pytest.raises(InputError, match="would turn the picture"):
            place(wrong, SIZE_HW, "shot.png")


def test_corners_on_both_sides_of_180_degrees() -> None:
    crs, across = place((-17.0, 179.999, -17.001, -179.999), (100, 200), "shot.png")
    assert crs.to_epsg() in (32701, 32760)
    _, beside = place((-17.0, 178.999, -17.001, 179.001), (100, 200), "shot.png")
    assert across.a == pytest.approx(beside.a, rel=3e-3) and abs(across.d) < 0.01


def test_a_file_with_a_box(tmp_path: Path) -> None:
    gpd.GeoDataFrame({"name": ["box"]}, geometry=[box(4, 51, 5, 52)], crs=4326).to_file(tmp_path / "box.kml", driver="KML")
    assert corners_of(str(tmp_path / "box.kml")) == pytest.approx((52, 4, 51, 5))
    assert corners_of((52, 4, 51, 5)) == (52, 4, 51, 5)


def test_a_georeferenced_picture_has_its_corners(write_scene: WriteScene, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is georeferenced, so --corners contradicts it"):
        write_placed(tmp_path / "a.vrt", str(write_scene()), around(51, 4, 0.4), overwrite=False)
