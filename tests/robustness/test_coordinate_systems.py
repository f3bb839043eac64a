"""Coordinate systems that give no place on Earth: one line that says so, and ``--gsd`` is a way out."""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import numpy as np
import pyproj
import pytest
import rasterio
from affine import Affine
from shapely import Polygon, box

from detect.base.errors import InputError
from detect.base.geometry import why_no_place
from detect.base.vectors import read_vector
from detect.census.sites import load_sites, refuse_elsewhere
from detect.cli.main import main
from detect.scene.scene import open_scene
from tests.conftest import WriteScene

METRES = 'LOCAL_CS["National / Lambert",UNIT["metre",1],AXIS["Easting",EAST],AXIS["Northing",NORTH]]'
FEET = 'LOCAL_CS["Site grid",UNIT["foot",0.3048],AXIS["X",EAST],AXIS["Y",NORTH]]'
PLACE = Affine(0.5, 0, 5_000, 0, -0.5, 9_000)
NO_PLACE = {
    "EPSG:4978": "counts from the centre of the Earth",
    "+proj=eqc +R=1737400 +units=m +no_defs": "is of another celestial body",
    "+proj=longlat +R=3396190 +no_defs": "is of another celestial body",
}


@pytest.mark.parametrize(("crs", "why"), [*NO_PLACE.items(), (METRES, "is local"), ("EPSG:5703", "gives heights alone")])
def test_systems_without_a_place_are_known(crs: str, why: str) -> None:
    assert why in why_no_place(pyproj.CRS(crs))


@pytest.mark.parametrize(
    "crs", ["EPSG:32631", "EPSG:4326", "EPSG:4979", "EPSG:3857", "EPSG:25832+7837", "EPSG:2056", "EPSG:27700"]
)
def test_systems_with_a_place_are_known(crs: str) -> None:
    assert why_no_place(pyproj.CRS(crs)) == ""


@pytest.mark.parametrize(("crs", "gsd_m"), [(METRES, 0.5), (FEET, 0.5 * 0.3048)])
def test_a_local_system_is_read_in_its_unit(write_scene: WriteScene, crs: str, gsd_m: float) -> None:
    scene = open_scene(write_scene(crs=crs, transform=PLACE))
    assert scene.crs is None and scene.gsd_rc_m == pytest.approx((gsd_m, gsd_m))
    assert scene.transform.almost_equals(Affine.scale(gsd_m, -gsd_m))
    assert any("is local, without a place on Earth" in w for w in scene.warnings)


def test_a_turned_local_system_keeps_the_size_of_its_pixels(write_scene: WriteScene) -> None:
    turned = Affine.translation(100, 200) * Affine.rotation(30) * Affine.scale(0.5, -0.4)
    scene = open_scene(write_scene(crs=METRES, transform=turned))
    assert scene.gsd_rc_m == pytest.approx((0.4, 0.5))


@pytest.mark.parametrize("crs", [METRES, FEET, *NO_PLACE])
def test_the_pixel_size_of_the_user_is_a_way_out(write_scene: WriteScene, crs: str) -> None:
    scene = open_scene(write_scene(crs=crs, transform=PLACE), gsd_m=0.6)
    assert scene.crs is None and scene.gsd_rc_m == pytest.approx((0.6, 0.6))
    assert any("the pixel size of --gsd was taken" in w for w in scene.warnings)


@pytest.mark.parametrize(("crs", "why"), NO_PLACE.items())
def test_without_it_one_line_says_why(
    write_scene: WriteScene, crs: str, why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_scene(crs=crs, transform=PLACE)
    assert main(["predict", str(path), "--out", str(tmp_path / "out"), "-q"]) == 2
    error = capsys.readouterr().err
    assert why in error and "--gsd" in error and len(error.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_coordinates_beyond_the_system_leave_the_same_way_out(write_scene: WriteScene) -> None:
    far = write_scene(transform=Affine(0.5, 0, 9e12, 0, -0.5, 9e12))
    with pytest.raises(InputError, match=r"gives no ground size.*--gsd"):
        open_scene(far)
    assert open_scene(far, gsd_m=0.5).crs is None


def test_a_usable_georeference_still_contradicts(tiny_scene: Path) -> None:
    with pytest.raises(InputError, match="contradicts"):
        open_scene(tiny_scene, gsd_m=0.6)


def test_a_scene_in_a_local_system_is_counted(write_scene: WriteScene, tmp_path: Path) -> None:
    path = write_scene(crs=METRES, transform=PLACE)
    assert main(["predict", str(path), "--out", str(tmp_path / "out"), "-q"]) == 0
    with rasterio.open(tmp_path / "out/tiny/mask.tif") as mask:
        assert mask.crs is None
    assert len(read_vector(tmp_path / "out/tiny/buildings.gpkg", "buildings")) > 0


def test_outlines_in_such_systems(tmp_path: Path) -> None:
    table = gpd.GeoDataFrame(geometry=[box(5_000, 8_980, 5_020, 9_000)], crs=pyproj.CRS(METRES))
    table.to_file(tmp_path / "local.gpkg")
    assert read_vector(tmp_path / "local.gpkg").crs is None
    table.set_crs("+proj=eqc +R=1737400 +units=m", allow_override=True).to_file(tmp_path / "moon.gpkg")
    with pytest.raises(InputError, match=r"moon.gpkg: its coordinate system .* is of another celestial body"):
        read_vector(tmp_path / "moon.gpkg")


@pytest.mark.parametrize(
    ("transform", "words"),
    [
        (
            Affine(4.5e-6, 0, 4.3, 0, -4.5e-6, 51.9),
            "finer than any picture from the air; correct its georeference",
        ),  # degrees as metres
        (Affine(0.05, 0, 593_270, 0, -5, 5_747_657), "are 5.0.* m long and 0.05.* m wide; resample it to square ones"),
        (Affine(0.5, 0.5, 593_270, 0.5, 0.5, 5_747_657), "its georeference gives no ground size"),
        (Affine(0.5, 0, 593_270, 0, 0, 5_747_657), "its georeference gives no ground size"),
    ],
    ids=["degrees", "strips", "sheared flat", "no height"],
)
def test_pixels_that_no_ground_has_are_refused(write_scene: WriteScene, transform: Affine, words: str) -> None:
    with pytest.raises(InputError, match=words):
        open_scene(write_scene(transform=transform))


@pytest.mark.parametrize(
    ("crs", "lon"),
    [("EPSG:4326", -78.5), ("EPSG:4326", 190.0), ("EPSG:3857", 179.9995), ("EPSG:3395", -179.9995), ("EPSG:32760", 179.9995)],
)
@pytest.mark.parametrize("start", [-180, 0])
def test_plots_are_found_whatever_their_longitudes_count_from(
    write_scene: WriteScene, tmp_path: Path, crs: str, lon: float, start: int
) -> None:
    """A scene of 80 m that may go on beyond 180°; the same plot with longitudes from -180 to 180, and from 0 to 360."""
    system = pyproj.CRS(crs)
    x, y = (
        (lon, -17.0) if system.is_geographic else pyproj.Transformer.from_crs(4326, system, always_xy=True).transform(lon, -17.0)
    )
    pixel = 4.6e-6 if system.is_geographic else 0.5
    scene = open_scene(write_scene(crs=crs, transform=Affine(pixel, 0, x, 0, -pixel, y)))
    assert scene.crs is not None
    corners = np.array([scene.transform * at for at in ((10, 10), (150, 10), (150, 86), (10, 86))])
    degrees = np.array(pyproj.Transformer.from_crs(system, 4326, always_xy=True).transform(*corners.T)).T
    degrees[:, 0] = (degrees[:, 0] - start) % 360 + start
    gpd.GeoSeries([Polygon(degrees)], crs=4326).to_file(tmp_path / "plots.gpkg")
    refuse_elsewhere(tmp_path / "plots.gpkg", [(scene.outline, scene.crs)])
    [plot] = load_sites(tmp_path / "plots.gpkg", scene.crs, scene.outline).table.geometry
    assert plot.intersection(scene.outline).area == pytest.approx(Polygon(corners).area, rel=0.02)
