"""Outlines, references, corrections and plots of another place: one line, exit 2; a warning where only some of them are."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyproj
import pytest
import shapely
from affine import Affine
from shapely import Polygon, box

import detect
from detect.base.errors import InputError
from detect.base.placement import elsewhere
from detect.base.vectors import geometries_of, read_vector
from detect.cli.main import main
from detect.datasets.registry import prepare
from detect.evaluation.footprints import evaluate
from tests.conftest import GSD_M, HOUSES, ORIGIN_XY, WriteScene

UTM = pyproj.CRS(32631)
X, Y = ORIGIN_XY
SHAPES = [box(X + c0 * GSD_M, Y - r1 * GSD_M, X + c1 * GSD_M, Y - r0 * GSD_M) for r0, c0, r1, c1 in HOUSES]
TRUTH = gpd.GeoDataFrame({"id": range(1, 5), "stage": "complete"}, geometry=SHAPES, crs=UTM)
FAR = TRUTH.set_geometry(TRUTH.translate(50_000, 0))
SCENE = box(X, Y - 48, X + 80, Y)


def swapped(table: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """A table in degrees, latitude first."""
    degrees = table.to_crs(4326)
    return degrees.set_geometry(shapely.transform(degrees.geometry.values, lambda xy: xy[:, ::-1]))


def array(*shapes: Polygon) -> np.ndarray:
    return np.array(shapes, dtype=object)


@pytest.mark.parametrize("crs", ["EPSG:32631", "EPSG:4326", "EPSG:3857", "EPSG:32632"])
def test_polygons_of_the_place_are_found_in_any_system(crs: str) -> None:
    table = TRUTH.to_crs(crs)
    assert elsewhere(geometries_of(table), table.crs, [(SCENE, UTM)]) == ""
    far = FAR.to_crs(crs)
    assert elsewhere(geometries_of(far), far.crs, [(SCENE, UTM)]) == "none of its 4 polygons lies there"


def test_one_that_touches_is_enough() -> None:
    shapes = array(*FAR.geometry, SHAPES[0])
    assert elsewhere(shapes, UTM, [(box(0, 0, 1, 1), UTM), (SCENE, UTM)]) == ""
    assert elsewhere(array(), UTM, [(SCENE, UTM)]) == ""
    assert elsewhere(array(box(0, 0, 1, 1)), None, [(box(1, 0, 2, 1), None)]) == ""


@pytest.mark.parametrize("degrees", [(4.35, 51.87), (139.7, 35.6), (-179.99, 10.0)])
def test_swapped_coordinates_are_noticed(degrees: tuple[float, float]) -> None:
    lon, lat = degrees
    scene, house = box(lon, lat, lon + 0.01, lat + 0.01), box(lat + 0.001, lon + 0.001, lat + 0.002, lon + 0.002)
    assert "with x and y swapped they would" in elsewhere(array(house), pyproj.CRS(4326), [(scene, pyproj.CRS(4326))])
    utm = pyproj.CRS(32631) if lon == 4.35 else pyproj.CRS(3857)
    moved = gpd.GeoSeries([scene], crs=4326).to_crs(utm).iloc[0]
    assert "with x and y swapped they would" in elsewhere(array(house), pyproj.CRS(4326), [(moved, utm)])


def test_a_scene_across_180_degrees_is_reached_from_both_sides() -> None:
    scene = box(179.99, 10, 180.01, 10.02)
    for west in (179.995, -179.995):
        assert elsewhere(array(box(west, 10.001, west + 0.001, 10.002)), pyproj.CRS(4258), [(scene, pyproj.CRS(4326))]) == ""


@pytest.fixture
def source(tiny_scene: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "set"
    folder.mkdir()
    shutil.copy(tiny_scene, folder / "town.tif")
    return folder


def test_prepare_refuses_outlines_of_another_place(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    swapped(TRUTH).to_file(source / "town.geojson")
    assert main(["prepare", "generic", str(source), str(tmp_path / "chips"), "-q"]) == 2
    error = capsys.readouterr().err
    assert "town.tif: its outlines lie elsewhere" in error and "with x and y swapped they would" in error
    assert len(error.splitlines()) == 1 and not (tmp_path / "chips").exists()


def test_prepare_names_single_images_without_their_outlines(source: Path, tmp_path: Path) -> None:
    shutil.copy(source / "town.tif", source / "village.tif")
    TRUTH.to_file(source / "town.gpkg")
    FAR.to_file(source / "village.gpkg")
    with pytest.warns(UserWarning, match=r"^village.tif: no outline lies on the image"):
        assert prepare("generic", source, tmp_path / "chips").images == 2


def test_prepare_takes_one_map_of_several_places(write_scene: WriteScene, source: Path, tmp_path: Path) -> None:
    field = write_scene(name="field.tif", transform=placed(30_000))
    shutil.move(field, source / "field.tif")
    TRUTH.to_file(source / "map.gpkg")
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        assert prepare("generic", source, tmp_path / "chips").images == 2, "a place without buildings on the map is fine"


def placed(east_m: float) -> Affine:
    """Transform of a scene some metres east of the drawn one."""
    return Affine(GSD_M, 0, X + east_m, 0, -GSD_M, Y)


def test_prepare_takes_an_empty_map_and_refuses_an_area_elsewhere(source: Path, tmp_path: Path) -> None:
    (source / "town.geojson").write_text('{"type": "FeatureCollection", "features": []}')
    assert prepare("generic", source, tmp_path / "chips").buildings == 0
    TRUTH.to_file(source / "town.geojson")
    FAR.to_file(source / "labelled_area.geojson")
    with pytest.raises(InputError, match=r"nothing of town\.tif lies in its labelled area"):
        prepare("generic", source, tmp_path / "other")


def test_plots_of_another_place_are_refused(
    write_scene: WriteScene, tiny_scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    far, near, both = (tmp_path / f"{name}.geojson" for name in ("far", "near", "both"))
    swapped(TRUTH).to_file(far)
    TRUTH.to_crs(4326).to_file(near)
    other = write_scene(name="other.tif", transform=placed(30_000))
    out = tmp_path / "out"
    assert main(["predict", str(tiny_scene), "--sites", str(far), "--out", str(out), "-q"]) == 2
    error = capsys.readouterr().err
    assert "far.geojson: no site lies on the scene" in error and "swapped" in error and len(error.splitlines()) == 1
    assert not list(out.glob("*/*"))
    scenes = [str(tiny_scene), str(other)]
    assert main(["predict", *scenes, "--sites", str(near), "--out", str(out), "-q"]) == 0, "plots on one of two scenes"
    assert main(["census", str(out), "--sites", str(far)]) == 2
    assert "on any of the 2 scenes" in capsys.readouterr().err
    assert main(["census", str(out), "--sites", str(near)]) == 0
    FAR.to_crs(4326).to_file(both)
    assert main(["census", str(out / "tiny"), "--sites", str(both)]) == 2

    buildings = read_vector(out / "tiny/buildings.gpkg", "buildings")
    moved, points = tmp_path / "moved.gpkg", tmp_path / "points.gpkg"
    buildings.set_geometry(buildings.translate(50_000, 0)).to_file(moved)
    buildings.set_geometry(buildings.centroid).to_file(points)
    capsys.readouterr()
    assert main(["census", str(out / "tiny"), "--review", str(moved)]) == 2
    assert "moved.gpkg: no building lies on the scene" in capsys.readouterr().err
    assert main(["census", str(out / "tiny"), "--review", str(points)]) == 2
    assert "has a polygon" in capsys.readouterr().err

    swapped(TRUTH).to_file(tmp_path / "reference.geojson")
    assert main(["evaluate", str(out / "tiny"), str(tmp_path / "reference.geojson"), "--out", str(tmp_path / "scores.json")]) == 2
    shown = capsys.readouterr()
    assert "reference.geojson: no outline lies where the prediction does" in shown.err and "swapped" in shown.err
    assert "0 in the reference" in shown.out and not (tmp_path / "scores.json").exists()
    assert main(["evaluate", str(out / "tiny"), str(near), "--area", str(far)]) == 2
    assert detect.evaluate(out / "tiny", near)["reference"] == 4


def test_evaluate_refuses_a_reference_of_another_place() -> None:
    for reference in (FAR, swapped(TRUTH), swapped(TRUTH.to_crs(4326).translate(130, 0).to_frame("geometry"))):
        with pytest.raises(InputError, match="no outline lies where the prediction does") as caught:
            evaluate(TRUTH, reference)
        assert caught.value.results[0]["predicted"] == 4
    assert evaluate(TRUTH, TRUTH.iloc[:0])["reference"] == 0
    assert evaluate(TRUTH.iloc[:0], TRUTH)["predicted"] == 0


def test_evaluate_needs_polygons(tmp_path: Path) -> None:
    TRUTH.set_geometry(TRUTH.centroid).to_file(tmp_path / "points.gpkg")
    with pytest.raises(InputError, match="none of its 4 rows has a polygon"):
        evaluate(TRUTH, tmp_path / "points.gpkg")
