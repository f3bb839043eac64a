"""What a user says is used or a line says that it is not; what a file seems to be is not believed against what it holds."""

from __future__ import annotations

import gzip
import json
import shutil
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import cv2
import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import pyproj
import pytest
import rasterio.shutil
import shapely
import yaml
from rasterio.errors import NotGeoreferencedWarning
from shapely import LineString, Point, box

from detect.base.errors import InputError
from detect.base.resources import resource_path
from detect.base.yamls import Loader
from detect.census.profiles import DEFAULT_PROFILE, load_profile
from detect.census.review import Review, read_corrections
from detect.census.reviews import read_reviews
from detect.census.sites import load_sites, refuse_elsewhere
from detect.cli.main import main
from detect.datasets.registry import prepare
from detect.network.card import read_card
from detect.results.overview import _dashes, _within
from detect.results.own_parts import refuse_to_lose
from detect.scene.doubts import _map_of_classes
from detect.scene.scene import open_scene
from tests.conftest import ORIGIN_XY, WriteScene, draw_houses

X, Y = ORIGIN_XY
UTM = pyproj.CRS(32631)
SHOWN = box(X, Y - 48, X + 80, Y)
HOUSES = [box(X + 4 + 20 * i, Y - 30, X + 16 + 20 * i, Y - 10) for i in range(3)]
FOUND = gpd.GeoDataFrame(
    {"id": [1, 2, 3], "stage": "complete", "dormitory_like": [True, False, False], "beds": [256, 0, 0], "site": "scene"},
    geometry=HOUSES,
    crs=UTM,
)


# Options --------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--sites a.gpkg --sites b.gpkg", "--sites: is given twice; give it once"),
        ("--date 2024-01-01 --date=2024-02-02", "--date: is given twice"),
        ("--max-items 3", "--max-items belongs to a search; give --stac too"),
        ("--max-tiles 3", "--max-tiles belongs to map tiles, and this is a file"),
        ("--asset visual", "--asset visual: belongs to STAC items, and tiny.tif is none"),
        ("--bbox 4.41,51.8,4.40,51.9", "has its west side east of its east side"),
    ],
)
def test_an_option_that_would_be_dropped_is_refused(
    tiny_scene: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], options: str, words: str
) -> None:
    monkeypatch.chdir(tiny_scene.parent)
    assert main(["predict", "tiny.tif", "--out", "out", "-q", *options.split()]) == 2
    assert words in capsys.readouterr().err and not list(tiny_scene.parent.glob("out/*"))


def test_an_option_of_several_values_is_given_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["census", "out", "--review", "a.gpkg", "--review", "b.gpkg"]) == 2
    assert "--review: is given twice; write all values after one --review" in capsys.readouterr().err


# Plots ----------------------------------------------------------------------------------------------------------------------------


def test_a_list_of_names_is_text(tmp_path: Path) -> None:
    shape = shapely.to_geojson(gpd.GeoSeries([SHOWN], crs=UTM).to_crs(4326).iloc[0])
    (tmp_path / "s.geojson").write_text('{"type": "Feature", "properties": {"name": ["a", "b"]}, "geometry": ' + shape + "}")
    assert load_sites(tmp_path / "s.geojson", UTM, SHOWN).table["name"].tolist() == ["a, b"]


def test_a_list_in_corrections_is_one_line(tmp_path: Path) -> None:
    feature = FOUND.iloc[:1].to_crs(4326).to_geo_dict()["features"][0]
    feature["properties"]["stage"] = ["complete", "foundation"]
    (tmp_path / "v.geojson").write_text(json.dumps(feature))
    with pytest.raises(InputError, match="row 1: stage is 'complete, foundation', not one of"):
        read_corrections(tmp_path / "v.geojson", UTM, SHOWN)


def test_two_shapefiles_in_an_archive_are_two_layers(tmp_path: Path) -> None:
    for name, house in zip("ab", HOUSES, strict=False):
        gpd.GeoDataFrame({"name": [name]}, geometry=[house], crs=UTM).to_file(tmp_path / f"{name}.shp")
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        for part in [*tmp_path.glob("a.*"), *tmp_path.glob("b.*")]:
            archive.write(part, part.name)
    assert sorted(load_sites(tmp_path / "z.zip", UTM, SHOWN).table["name"]) == ["a", "b"]


def test_degrees_without_a_coordinate_system_are_degrees(tmp_path: Path) -> None:
    gpd.GeoDataFrame({"name": ["a"]}, geometry=[SHOWN], crs=UTM).to_crs(4326).to_file(tmp_path / "s.shp")
    (tmp_path / "s.prj").unlink()
    refuse_elsewhere(tmp_path / "s.shp", [(SHOWN, UTM)])
    sites = load_sites(tmp_path / "s.shp", UTM, SHOWN)
    assert "its numbers look like degrees and were taken as such" in sites.warnings[0][0]
    assert sites.table.geometry.iloc[0].intersection(SHOWN).area == pytest.approx(SHOWN.area, rel=0.01)


def test_plots_in_metres_around_the_middle_of_a_place_are_no_degrees(tmp_path: Path) -> None:
    local = pyproj.CRS("+proj=tmerc +lat_0=51 +lon_0=10 +ellps=GRS80 +units=m")
    scene, plot = box(-260, -260, 260, 260), box(-80, -80, 80, 80)
    gpd.GeoDataFrame({"name": ["a"]}, geometry=[plot], crs=local).to_file(tmp_path / "s.shp")
    (tmp_path / "s.prj").unlink()
    refuse_elsewhere(tmp_path / "s.shp", [(scene, local)])
    assert load_sites(tmp_path / "s.shp", local, scene).table.geometry.iloc[0].equals(plot)


def test_of_a_plot_as_large_as_a_country_only_what_shows_is_drawn() -> None:
    country = np.array([[-1e7, -1e7], [1e7, -1e7], [1e7, 50.0], [-1e7, 50.0], [-1e7, -1e7]])
    [line] = _within(country, (100, 200))
    assert np.ptp(line[:, 0]) == pytest.approx(232) and set(line[:, 1]) == {50.0}
    assert len(_dashes(line)) == 12
    assert _within(np.array([[-1e7, -1e7], [1e7, -1e7], [1e7, 1e7], [-1e7, 1e7], [-1e7, -1e7]]), (100, 200)) == []


# Corrections ----------------------------------------------------------------------------------------------------------------------


def corrected(path: Path, table: gpd.GeoDataFrame = FOUND, **layer: str) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a Shapefile cuts names
        table.to_file(path, **layer)
    return path


def test_a_name_that_a_shapefile_cuts_is_known(tmp_path: Path) -> None:
    path = corrected(tmp_path / "v.shp", FOUND.assign(dormitory_like=[0, 0, 1]))
    assert "dormitory_" in pyogrio.read_info(path)["fields"]
    assert read_corrections(path, UTM, SHOWN, FOUND)["dormitory_like"].tolist() == [False, False, True]


SAID: dict[str, tuple[Callable[[], gpd.GeoDataFrame], str]] = {
    "a column of marks": (lambda: FOUND.assign(delete=[None, "yes", None]), "what it says in delete is not read"),
    "beds": (lambda: FOUND.assign(beds=[300, 0, 0]), "its edits of beds are not read"),
    "beds in capitals": (lambda: FOUND.rename(columns={"beds": "BEDS"}).assign(BEDS=512), "its edits of beds are not read"),
    "site": (lambda: FOUND.assign(site=["scene", "north", "scene"]), "its edits of site are not read"),
    "one unknown id": (lambda: FOUND.assign(id=[1, 2, 99]), r"1 building has an id that the result lacks \(such as 99\)"),
    "drawn on another": (
        lambda: pd.concat([FOUND, FOUND.iloc[:1].assign(id=None)], ignore_index=True),
        "1 new building lies on another one, and both count",
    ),
    "drawn twice": (
        lambda: pd.concat([FOUND.iloc[1:], FOUND.iloc[:1].assign(id=None), FOUND.iloc[:1].assign(id=None)], ignore_index=True),
        "1 new building lies on another one",
    ),
}


@pytest.mark.parametrize("kind", SAID)
def test_edits_that_may_not_be_meant_are_said(tmp_path: Path, kind: str) -> None:
    edit, words = SAID[kind]
    path = corrected(tmp_path / "v.gpkg", edit())
    with pytest.warns(UserWarning, match=words):
        read_reviews([path], FOUND, UTM, SHOWN)


def test_a_site_given_to_a_building_outside_is_said(tmp_path: Path) -> None:
    outside = FOUND.assign(site=[None, "scene", "scene"])
    path = corrected(tmp_path / "v.gpkg", FOUND)
    with pytest.warns(UserWarning, match="its edits of site are not read"):
        read_reviews([path], outside, UTM, SHOWN)


def test_columns_of_a_geodatabase_are_not_the_users(tmp_path: Path) -> None:
    path = corrected(tmp_path / "v.gpkg", FOUND.assign(Shape_Length=12.5, layer="buildings"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_reviews([path], FOUND, UTM, SHOWN)


def test_nothing_is_said_of_a_plain_copy(tmp_path: Path) -> None:
    for name in ("v.gpkg", "v.shp", "v.geojson", "v.kml"):
        path = corrected(tmp_path / name, FOUND.to_crs(4326))
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            read_reviews([path], FOUND, UTM, SHOWN)


def test_corrections_of_another_result_are_no_deletions(tmp_path: Path) -> None:
    path = corrected(tmp_path / "v.gpkg", FOUND.assign(id=[11, 12, 13]))
    with pytest.raises(InputError, match=r"v.gpkg: none of its 3 ids is in this result"):
        read_reviews([path], FOUND, UTM, SHOWN)


def test_a_second_layer_of_corrections_is_no_deletion(tmp_path: Path) -> None:
    corrected(tmp_path / "v.gpkg", FOUND.iloc[:1], layer="anna")
    corrected(tmp_path / "v.gpkg", FOUND.iloc[1:], layer="ben", mode="a")
    with pytest.raises(InputError, match=r"several layers of polygons \(anna, ben\), none of which is named buildings"):
        read_corrections(tmp_path / "v.gpkg", UTM, SHOWN)


@pytest.mark.parametrize(
    ("shape", "why"),
    [(Point(X + 9, Y - 9), "it holds no polygon"), (LineString([(X, Y), (X + 9, Y - 9)]), "it holds no polygon")],
)
def test_checked_ground_that_is_none_is_said(tmp_path: Path, shape: shapely.Geometry, why: str) -> None:
    corrected(tmp_path / "v.gpkg", FOUND, layer="buildings")
    corrected(tmp_path / "v.gpkg", gpd.GeoDataFrame(geometry=[shape], crs=UTM), layer="checked", mode="a")
    with pytest.warns(UserWarning, match=rf"its layer checked marks nothing: .*{why}"):
        read_corrections(tmp_path / "v.gpkg", UTM, SHOWN)


def test_a_damaged_review_names_its_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"/camp/summary.json: its key 'review'"):
        Review.from_json({"changed": "x"}, tmp_path / "camp")


# Results --------------------------------------------------------------------------------------------------------------------------


def test_a_users_own_layer_is_not_replaced_and_a_column_is_named(tmp_path: Path) -> None:
    refuse_to_lose(tmp_path)
    corrected(tmp_path / "buildings.gpkg", FOUND, layer="buildings")
    refuse_to_lose(tmp_path)
    corrected(tmp_path / "buildings.gpkg", FOUND.assign(inspector="Anna"), layer="buildings")
    with pytest.warns(UserWarning, match="what its columns inspector hold is not in the new table"):
        refuse_to_lose(tmp_path)
    corrected(tmp_path / "buildings.gpkg", FOUND, layer="my notes", mode="a")
    with pytest.raises(InputError, match=r"has layers of your own \(my notes\)"):
        refuse_to_lose(tmp_path)
    (tmp_path / "buildings.gpkg").write_text("no table")
    refuse_to_lose(tmp_path)


# Scenes ---------------------------------------------------------------------------------------------------------------------------


def test_a_file_of_two_pictures_is_said(tmp_path: Path) -> None:
    picture = np.ascontiguousarray(draw_houses().transpose(1, 2, 0))
    cv2.imwritemulti(str(tmp_path / "two.tif"), [picture, picture[::-1].copy()])
    assert any(
        "holds 2 pictures, of which the first is read" in line for line in open_scene(tmp_path / "two.tif", gsd_m=0.5).warnings
    )


def test_a_map_of_classes_is_no_picture(write_scene: WriteScene, tmp_path: Path) -> None:
    few = (draw_houses()[:1] > 150).astype(np.uint8) + 1
    assert any("has only one value, as a mask" in line for line in open_scene(write_scene(few)).warnings)
    assert not any("as a mask or a map" in line for line in open_scene(write_scene(name="ok.tif")).warnings)
    lake = draw_houses()
    lake[:, : lake.shape[1] * 2 // 3] = 90
    sample = np.concatenate([np.full((3, 300_000), 90, np.uint8), lake.reshape(3, -1), lake.reshape(3, -1)], axis=1)
    assert not _map_of_classes("lake.tif", sample), "the whole sample counts, not its upper rows"
    shutil.copy(tmp_path / "ok.tif", tmp_path / "probability.tif")
    (tmp_path / "summary.json").write_text("{}")
    assert any("what detect has found in a scene" in line for line in open_scene(tmp_path / "probability.tif").warnings)


def test_another_system_beside_the_file_is_said(write_scene: WriteScene) -> None:
    path = write_scene()
    beside = path.with_name("tiny.tif.aux.xml")
    beside.write_text("<PAMDataset><SRS>EPSG:32601</SRS></PAMDataset>")
    scene = open_scene(path)
    assert scene.crs == pyproj.CRS(32601)
    assert any("(EPSG:32601) was taken; that of the file itself (EPSG:32631) contradicts it" in line for line in scene.warnings)
    beside.write_text("<PAMDataset><SRS>EPSG:32631</SRS></PAMDataset>")
    assert not any("contradicts" in line for line in open_scene(path).warnings)


def test_a_picture_placed_by_the_file_beside_it_gives_no_other_warning(write_scene: WriteScene, tmp_path: Path) -> None:
    rasterio.shutil.copy(write_scene(), tmp_path / "placed.png", driver="PNG")
    with warnings.catch_warnings():
        warnings.simplefilter("error", NotGeoreferencedWarning)
        assert open_scene(tmp_path / "placed.png").crs == UTM


def test_an_archive_under_another_name_is_an_archive(tiny_scene: Path, tmp_path: Path) -> None:
    (tmp_path / "packed.tif").write_bytes(gzip.compress(tiny_scene.read_bytes()))
    with pytest.raises(InputError, match=r"packed.tif: is an archive; unpack it"):
        open_scene(tmp_path / "packed.tif")


# Documents ------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: text + "\nstoreys: 7\n", "its key 'storeys' stands twice"),
        (lambda text: text.replace("storeys: 2", "storeys: 5000"), "'storeys' is 5000; it must be a whole number from 1 to 200"),
        (lambda text: text.replace("min_score: 0.5", "min_score: 50"), "'min_score' is 50"),
    ],
)
def test_a_profile_says_each_thing_once_and_within_reason(tmp_path: Path, change: Callable[[str], str], words: str) -> None:
    (tmp_path / "p.yaml").write_text(change(resource_path(DEFAULT_PROFILE).read_text("utf-8")))
    with pytest.raises(InputError, match=words):
        load_profile(tmp_path / "p.yaml")


def test_keys_that_others_give_are_no_doubles() -> None:
    text = "base: &base {a: 1, b: 2}\nx: {mid: &mid {<<: *base, b: 3}}\ntop: {<<: *mid, c: 1}\n"
    assert yaml.load(text, Loader) == yaml.safe_load(text)


def test_a_deep_card_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "w.json").write_text("[" * 100_000)
    with pytest.raises(InputError, match=r"w.json: is not a readable card"):
        read_card(tmp_path / "w.json")


# Training data --------------------------------------------------------------------------------------------------------------------


def test_labels_that_are_points_teach_nothing(tiny_scene: Path, tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    shutil.move(tiny_scene, tmp_path / "set/town.tif")
    FOUND.set_geometry(FOUND.centroid).to_file(tmp_path / "set/town.gpkg")
    with pytest.raises(InputError, match=r"town.tif: its 3 labels are points or lines"):
        prepare("generic", tmp_path / "set", tmp_path / "chips")
    mixed = FOUND.set_geometry([FOUND.centroid.iloc[0], *FOUND.geometry.iloc[1:]])
    mixed.to_file(tmp_path / "set/town.gpkg")
    with pytest.warns(UserWarning, match=r"town.tif: 1 of its 3 labels are points or lines and left out"):
        assert prepare("generic", tmp_path / "set", tmp_path / "chips").buildings == 2
