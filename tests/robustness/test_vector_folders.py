"""Vector files that are folders, such as a File Geodatabase: read wherever a vector file is, and never taken for a result."""

from __future__ import annotations

import shutil
from pathlib import Path

import geopandas as gpd
import pytest
from shapely import Point, box

from detect.base.errors import InputError
from detect.base.files import sha256_of, sha256_of_parts
from detect.base.vectors import is_vector_folder, read_vector
from detect.census.learn import learn
from detect.census.review import read_corrections
from detect.census.sites import load_sites
from detect.cli.main import main
from detect.datasets import generic
from detect.evaluation.footprints import evaluate
from detect.evaluation.tracks import evaluate_tracks
from detect.results.folder import buildings_file
from detect.results.observed import observed_ground
from tests.conftest import ORIGIN_XY

X, Y = ORIGIN_XY
HOUSES = gpd.GeoDataFrame(
    {"id": [1, 2], "stage": ["complete", "foundation"], "name": ["north", "south"]},
    geometry=[box(X + 5, Y - 20, X + 20, Y - 5), box(X + 30, Y - 40, X + 45, Y - 30)],
    crs=32631,
).astype({"id": "int32"})  # a File Geodatabase holds no int64
WELLS = gpd.GeoDataFrame({"depth_m": [3.0]}, geometry=[Point(X, Y)], crs=32631)


@pytest.fixture
def geodatabase(tmp_path: Path) -> Path:
    """A layer of points, then one of houses."""
    path = tmp_path / "town.gdb"
    WELLS.to_file(path, driver="OpenFileGDB", layer="wells")
    HOUSES.to_file(path, driver="OpenFileGDB", layer="houses", mode="a")
    return path


@pytest.fixture
def shapefiles(tmp_path: Path) -> Path:
    """A folder of one Shapefile."""
    path = tmp_path / "shapes"
    path.mkdir()
    HOUSES.to_file(path / "houses.shp")
    return path


def test_folders_that_are_vector_files_are_known(geodatabase: Path, shapefiles: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.gdb").mkdir()
    (tmp_path / "plain").mkdir()
    assert all(map(is_vector_folder, (geodatabase, shapefiles, tmp_path / "broken.gdb")))
    assert not any(map(is_vector_folder, (tmp_path / "plain", tmp_path / "absent.gdb", shapefiles / "houses.shp")))
    with pytest.raises(InputError, match=r"broken.gdb: is no vector file that GDAL can open"):
        read_vector(tmp_path / "broken.gdb")


@pytest.mark.parametrize("kind", ["geodatabase", "shapefiles"])
def test_they_are_read_wherever_a_vector_file_is(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    path: Path = request.getfixturevalue(kind)
    assert buildings_file(path) == path
    assert observed_ground(path) is None
    assert (
        evaluate(path, HOUSES)["matched"] == evaluate(HOUSES, path)["matched"] == evaluate(HOUSES, HOUSES, area=path)["matched"]
    )
    assert evaluate(HOUSES, path)["matched"] == 2
    sites = load_sites(path, HOUSES.crs, box(X, Y - 50, X + 50, Y))
    assert sites.table["name"].tolist() == ["north", "south"]
    assert sorted(read_corrections(path, HOUSES.crs)["id"]) == [1, 2]
    learn(buildings_file(path), [1], tmp_path / "profile.yaml", name="north", structure=None)
    assert (tmp_path / "profile.yaml").is_file()


def test_prepare_reads_the_outlines_of_a_geodatabase(tiny_scene: Path, geodatabase: Path) -> None:
    shutil.move(tiny_scene, tiny_scene.with_name("town.tif"))
    (image,) = generic.images(geodatabase.parent)
    assert len(image.label.read()) == 2  # type: ignore[union-attr]


def test_evaluate_track_reads_a_geodatabase(tmp_path: Path) -> None:
    for layer in ("buildings_2024-06-01", "buildings_2024-09-01"):
        name = layer.replace("-", "_")
        HOUSES.to_file(
            tmp_path / "two.gdb", driver="OpenFileGDB", layer=name, mode="a" if (tmp_path / "two.gdb").exists() else "w"
        )
        HOUSES.to_file(tmp_path / "two.gpkg", layer=layer)
    metrics = evaluate_tracks(tmp_path / "two.gdb", tmp_path / "two.gpkg")
    assert metrics["dates"] == ["2024-06-01", "2024-09-01"]


def test_predict_and_census_count_in_its_plots(tiny_scene: Path, geodatabase: Path, tmp_path: Path) -> None:
    given = [str(tiny_scene), "--out", str(tmp_path / "out"), "--sites", str(geodatabase), "-q"]
    assert main(["predict", *given]) == 0
    assert main(["predict", *given]) == 0, "and the result is known again"
    plots = tmp_path / "plots.gdb"
    HOUSES.iloc[:1].to_file(plots, driver="OpenFileGDB")
    assert main(["census", str(tmp_path / "out"), "--sites", str(plots)]) == 0
    assert read_vector(tmp_path / "out/tiny/buildings.gpkg", "sites")["name"].tolist() == ["north"]


def test_a_result_beside_a_shapefile_stays_a_result(tmp_path: Path) -> None:
    scene = tmp_path / "out/scene"
    scene.mkdir(parents=True)
    HOUSES.to_file(scene / "buildings.gpkg", layer="buildings")
    for folder in (scene, scene.parent):
        HOUSES.iloc[:1].to_file(folder / "own.shp")
        assert buildings_file(folder) == scene / "buildings.gpkg"


def test_layers_with_polygons_come_first_and_the_rest_are_named(geodatabase: Path) -> None:
    assert len(read_vector(geodatabase)) == 2, "wells hold no polygon"
    HOUSES.iloc[:1].to_file(geodatabase, driver="OpenFileGDB", layer="sheds", mode="a")
    with pytest.warns(UserWarning, match=r"town.gdb: read from its layer 'houses'; left out: sheds$"):
        assert len(read_vector(geodatabase)) == 2
    assert len(read_vector(geodatabase, preferred="sheds")) == len(read_vector(geodatabase, "sheds")) == 1


def test_the_hash_covers_every_part(shapefiles: Path, geodatabase: Path, tmp_path: Path) -> None:
    single = tmp_path / "one.geojson"
    HOUSES.to_file(single)
    assert sha256_of_parts(single) == sha256_of(single)
    shape = shapefiles / "houses.shp"
    before = sha256_of_parts(shape), sha256_of_parts(geodatabase)
    renamed = HOUSES.assign(name=["left", "right"])
    bytes_before = shape.read_bytes()
    renamed.to_file(shape)
    assert shape.read_bytes() == bytes_before, "names stand in the table beside"
    renamed.to_file(geodatabase, driver="OpenFileGDB", layer="houses")
    after = sha256_of_parts(shape), sha256_of_parts(geodatabase)
    assert before[0] != after[0] and before[1] != after[1]
    (geodatabase / "_gdb.HOST.1.2.sr.lock").touch()
    assert sha256_of_parts(geodatabase) == after[1], "a program that has it open changes nothing"
    shutil.copytree(geodatabase, tmp_path / "copy.gdb")
    assert sha256_of_parts(tmp_path / "copy.gdb") == after[1]
