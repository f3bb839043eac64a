"""Sites: what is read from which file, what is warned of or refused, and which building is in which."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyproj
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from shapely import LineString, MultiPolygon, Point, Polygon, affinity, box

from detect.base.errors import InputError
from detect.census.sites import WHOLE_SCENE, Sites, assign, load_sites, proposed_sites, together_km2, touching, with_cut

CRS = pyproj.CRS(32637)
X, Y = 414_000, 6_170_000
OUTLINE = box(X - 500, Y - 500, X + 1500, Y + 1500)


def here(*shapes: shapely.Geometry) -> list[shapely.Geometry]:
    return [affinity.translate(s, X, Y) for s in shapes]


def write_sites(path: Path, *shapes: shapely.Geometry, crs: object = CRS, **columns: list) -> Path:
    gpd.GeoDataFrame(columns, geometry=gpd.GeoSeries(here(*shapes), crs=crs), crs=crs).to_file(path)
    return path


def polygons(*shapes: shapely.Geometry, **columns: list) -> gpd.GeoDataFrame:
    return gpd.GeoDataFrame(columns, geometry=gpd.GeoSeries(here(*shapes), crs=CRS), crs=CRS)


def test_without_a_file_the_scene_is_the_site() -> None:
    for crs, rel in ((CRS, 3e-3), (None, 1e-9)):
        sites = load_sites(None, crs, OUTLINE)
        assert sites.table["name"].tolist() == [WHOLE_SCENE]
        assert sites.table["planned_buildings"].isna().all()
        assert sites.table["area_km2"][0] == pytest.approx(4, rel=rel)
        assert sites.warnings == ((),)


def test_sites_keep_names_plans_and_areas(tmp_path: Path) -> None:
    shapes = [box(0, 0, 700, 500), box(800, 0, 1400, 500), box(0, 600, 300, 900)]
    path = write_sites(tmp_path / "s.gpkg", *shapes, Name=["north", None, "south"], PLANNED_buildings=[40.0, None, 60.0])
    sites = load_sites(path, CRS, OUTLINE)
    assert sites.table["name"].tolist() == ["north", "site 2", "south"]
    assert sites.table["planned_buildings"].fillna(-1).tolist() == [40, -1, 60]
    assert sites.table["area_km2"].tolist() == pytest.approx([0.35, 0.3, 0.09], rel=2e-3)
    assert sites.table.crs == CRS
    assert sites.warnings == ((), (), ())


def test_of_several_layers_the_one_named_sites(tmp_path: Path) -> None:
    path = tmp_path / "result.gpkg"
    for layer, side in (("buildings", 5.0), ("sites", 50.0)):
        gpd.GeoDataFrame({"name": [layer]}, geometry=[box(0, 0, side, side)], crs=32631).to_file(path, layer=layer)
    sites = load_sites(path, pyproj.CRS(32631), box(0, 0, 100, 100))
    assert list(sites.table["name"]) == ["sites"]


def test_without_a_layer_sites_all_polygon_layers_count(tmp_path: Path) -> None:
    path = tmp_path / "plots.gpkg"
    polygons(box(0, 0, 40, 40), name=["A"]).set_geometry([Point(5, 5)]).set_crs(CRS).to_file(path, layer="pins")
    first, second = here(box(10, 10, 40, 40), box(60, 10, 90, 40))
    gpd.GeoDataFrame({"name": ["A"]}, geometry=[first], crs=CRS).to_file(path, layer="north")
    gpd.GeoDataFrame({"name": ["B"]}, geometry=[second], crs=CRS).to_file(path, layer="south")
    assert list(load_sites(path, CRS, OUTLINE).table["name"]) == ["A", "B"]


def test_layers_beside_sites_are_named(tmp_path: Path) -> None:
    path = tmp_path / "plots.gpkg"
    first, second = here(box(10, 10, 40, 40), box(60, 10, 90, 40))
    gpd.GeoDataFrame({"name": ["A"]}, geometry=[first], crs=CRS).to_file(path, layer="sites")
    gpd.GeoDataFrame({"name": ["B"]}, geometry=[second], crs=CRS).to_file(path, layer="others")
    sites = load_sites(path, CRS, OUTLINE)
    assert list(sites.table["name"]) == ["A"]
    assert sites.warnings == (("read from the layer 'sites' of the file; left out: others",),)


def test_every_folder_of_a_kml_counts(tmp_path: Path) -> None:
    lonlat = gpd.GeoSeries(here(box(10, 10, 40, 40), box(60, 10, 90, 40)), crs=CRS).to_crs(4326)
    folders = "".join(
        f"<Folder><name>folder {name}</name><Placemark><name>{name}</name><Polygon><outerBoundaryIs><LinearRing><coordinates>"
        + " ".join(f"{x},{y},0" for x, y in shape.exterior.coords)
        + "</coordinates></LinearRing></outerBoundaryIs></Polygon></Placemark></Folder>"
        for name, shape in zip("AB", lonlat, strict=True)
    )
    path = tmp_path / "plots.kml"
    path.write_text(f'<kml xmlns="http://www.opengis.net/kml/2.2"><Document>{folders}</Document></kml>')
    assert list(load_sites(path, CRS, OUTLINE).table["name"]) == ["A", "B"]


def path_file(path: Path, **rings: list[tuple[float, float]]) -> Path:
    """A KML of Google Earth with a path per ring of (x, y) in the plane of ``OUTLINE``, as ``here`` places them."""
    marks = ""
    for name, ring in rings.items():
        (line,) = gpd.GeoSeries(here(LineString(ring)), crs=CRS).to_crs(4326)
        text = " ".join(f"{x},{y},0" for x, y in line.coords)
        marks += f"<Placemark><name>{name}</name><LineString><coordinates>{text}</coordinates></LineString></Placemark>"
    path.write_text(f'<kml xmlns="http://www.opengis.net/kml/2.2"><Document><name>My places</name>{marks}</Document></kml>')
    return path


def test_paths_that_close_are_plots(tmp_path: Path) -> None:
    square = [(0, 0), (100, 0), (100, 100), (0, 100)]
    path = path_file(tmp_path / "plots.kml", exact=[*square, (0, 0)], nearly=[*square, (0, 9)], road=square)
    sites = load_sites(path, CRS, OUTLINE)
    assert sites.table["name"].tolist() == ["exact", "nearly"]
    assert sites.table["area_km2"].tolist() == pytest.approx([0.01, 0.01], rel=5e-3)
    assert sites.warnings[0][0] == "the path 'road' is left out: its ends lie 33% of its length apart"


def test_an_open_path_alone_is_refused(tmp_path: Path) -> None:
    path = path_file(tmp_path / "plots.kml", road=[(0, 0), (100, 0), (100, 100)])
    with pytest.raises(InputError, match=r"the path 'road' is left out: its ends lie 71% of its length apart; draw each site"):
        load_sites(path, CRS, OUTLINE)


def test_an_open_path_without_a_name(tmp_path: Path) -> None:
    ring, line = LineString([(0, 0), (9, 0), (9, 9), (0, 0)]), LineString([(0, 0), (9, 0)])
    path = write_sites(tmp_path / "p.gpkg", ring, line, name=["a", None])
    assert load_sites(path, CRS, OUTLINE).warnings[0][0] == "the path is left out: its ends lie 100% of its length apart"


def test_lines_beside_polygons_are_no_plots(tmp_path: Path) -> None:
    roundabout = LineString([(0, 0), (9, 0), (9, 9), (0, 9), (0, 0)])
    path = write_sites(tmp_path / "s.geojson", box(0, 0, 50, 50), roundabout, name=["plot", "road"])
    assert load_sites(path, CRS, OUTLINE).table["name"].tolist() == ["plot"]


def test_a_shapefile_keeps_its_plans(tmp_path: Path) -> None:
    path = tmp_path / "plots.shp"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the field's name is cut, which is what this is about
        gpd.GeoDataFrame({"name": ["A"], "planned_buildings": [7]}, geometry=here(box(10, 10, 40, 40)), crs=CRS).to_file(
            path, engine="pyogrio"
        )
    assert "planned_bu" in gpd.read_file(path).columns
    assert list(load_sites(path, CRS, OUTLINE).table["planned_buildings"]) == [7]


@pytest.mark.parametrize("epsg", [4326, 3857, 32638])
def test_another_coordinate_system_keeps_place_and_area(tmp_path: Path, epsg: int) -> None:
    path = write_sites(tmp_path / "s.gpkg", box(0, 0, 700, 500), box(800, 0, 1400, 500))
    want = load_sites(path, CRS, OUTLINE).table
    gpd.read_file(path).to_crs(epsg).to_file(tmp_path / "moved.gpkg")
    moved = load_sites(tmp_path / "moved.gpkg", CRS, OUTLINE)
    assert moved.table["area_km2"].tolist() == pytest.approx(want["area_km2"].tolist(), rel=1e-3)
    assert moved.table.geometry.area.tolist() == pytest.approx(want.geometry.area.tolist(), rel=1e-3)
    assert (moved.table.geometry.symmetric_difference(want.geometry).area < 100).all()
    assert moved.table.geometry.is_valid.all()


@pytest.mark.parametrize(
    ("given", "names"),
    [
        (["a", "a", "a"], ["a", "a (2)", "a (3)"]),
        ([None, " ", ""], ["site 1", "site 2", "site 3"]),
        (["a (2)", "a", "a"], ["a (2)", "a", "a (3)"]),
        (["site 2", None, " b "], ["site 2", "site 2 (2)", "b"]),
        ([7, 8, 7], ["7", "8", "7 (2)"]),
        ([12345678, None, 12345679], ["12345678", "site 2", "12345679"]),
        (None, ["site 1", "site 2", "site 3"]),
    ],
    ids=str,
)
def test_every_site_has_a_name_of_its_own(tmp_path: Path, given: list | None, names: list[str]) -> None:
    columns = {} if given is None else {"name": given}
    path = write_sites(tmp_path / "s.gpkg", *(box(i, 0, i + 0.9, 1) for i in range(3)), **columns)
    assert load_sites(path, CRS, OUTLINE).table["name"].tolist() == names


def test_a_long_edge_in_degrees_bends_on_the_map(tmp_path: Path) -> None:
    west, south, east, north = 37.5, 55.65, 37.9, 55.75
    path = tmp_path / "s.gpkg"
    gpd.GeoDataFrame(geometry=[box(west, south, east, north)], crs=4326).to_file(path)
    (middle,) = gpd.GeoSeries([Point((west + east) / 2, north)], crs=4326).to_crs(CRS)
    assert load_sites(path, CRS, OUTLINE).table.boundary[0].distance(middle) < 0.1, "a straight edge passes 18 m from it"


def test_plans_that_are_no_number_are_left_out(tmp_path: Path) -> None:
    wrong = ["many", "-2", "inf", "3", None, "12.0", "nan"]
    path = write_sites(tmp_path / "s.gpkg", *(box(i, 0, i + 0.9, 1) for i in range(7)), planned_buildings=wrong)
    sites = load_sites(path, CRS, OUTLINE)
    assert sites.table["planned_buildings"].fillna(-1).tolist() == [-1, -1, -1, 3, -1, 12, -1]
    assert [len(w) for w in sites.warnings] == [1, 1, 1, 0, 0, 0, 1]
    assert "planned_buildings is 'many'" in sites.warnings[0][0] and "left out" in sites.warnings[0][0]


def test_what_is_beyond_the_scene_is_warned_of(tmp_path: Path) -> None:
    path = write_sites(tmp_path / "s.gpkg", box(0, 0, 9, 9), box(1400, 0, 1600, 100), box(5000, 0, 5100, 100))
    sites = load_sites(path, CRS, OUTLINE)
    assert sites.warnings[0] == ()
    assert sites.warnings[1] == ("50% of the site lies within the scene; what is beyond was not counted",)
    assert sites.warnings[2] == ("the site lies outside the scene; nothing was counted",)
    assert sites.table["area_km2"][1] == pytest.approx(0.02, rel=2e-3), "its own area, not what the scene shows of it"


def test_a_file_without_a_coordinate_system_takes_that_of_the_scene(tmp_path: Path) -> None:
    path = write_sites(tmp_path / "bare.shp", box(0, 0, 100, 100))
    path.with_suffix(".prj").unlink()
    sites = load_sites(path, CRS, OUTLINE)
    assert sites.warnings == (("the file names no coordinate system; that of the scene was assumed",),)
    assert sites.table.crs == CRS
    assert sites.table["area_km2"][0] == pytest.approx(0.01, rel=2e-3)


def test_a_scene_without_a_coordinate_system_takes_plain_metres(tmp_path: Path) -> None:
    text = {"type": "Feature", "properties": {"name": "a"}, "geometry": json.loads(shapely.to_geojson(box(0, -100, 50, 0)))}
    (tmp_path / "s.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [text]}))
    sites = load_sites(tmp_path / "s.geojson", None, box(0, -200, 300, 0))
    assert sites.table.crs is None
    assert sites.table["area_km2"].tolist() == [0.005]
    assert sites.warnings == ((),)
    with pytest.raises(InputError, match=r"s\.gpkg: has a coordinate system but the scene has none"):
        load_sites(write_sites(tmp_path / "s.gpkg", box(0, 0, 9, 9)), None, box(0, -200, 300, 0))


def test_metres_passed_off_as_degrees_are_refused(tmp_path: Path) -> None:
    shape = json.loads(shapely.to_geojson(here(box(0, 0, 100, 100))[0]))
    (tmp_path / "s.geojson").write_text(json.dumps({"type": "Feature", "properties": {}, "geometry": shape}))
    with pytest.raises(InputError, match="coordinates that are no longitude and latitude") as caught:
        load_sites(tmp_path / "s.geojson", CRS, OUTLINE)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("shapes", "kinds"),
    [((Point(1, 1),), "Point"), ((LineString([(0, 0), (9, 9)]), Point(1, 1)), "LineString, Point")],
    ids=["points", "lines and points"],
)
def test_sites_without_area_are_refused(tmp_path: Path, shapes: tuple[shapely.Geometry, ...], kinds: str) -> None:
    with pytest.raises(InputError, match=rf"s\.geojson: holds no polygon \({kinds}\)"):
        load_sites(write_sites(tmp_path / "s.geojson", *shapes), CRS, OUTLINE)


def test_polygons_among_other_kinds_keep_their_rows(tmp_path: Path) -> None:
    crossed = Polygon([(0, 0), (100, 100), (100, 0), (0, 100)])
    shapes = (Point(1, 1), box(0, 0, 9, 9), crossed)
    path = write_sites(tmp_path / "s.geojson", *shapes, name=["dot", "plot", "bowtie"], planned_buildings=[1, 2, 3])
    sites = load_sites(path, CRS, OUTLINE)
    assert sites.table["name"].tolist() == ["plot", "bowtie"]
    assert sites.table["planned_buildings"].tolist() == [2, 3]
    assert sites.table.geometry.is_valid.all()
    assert sites.table["area_km2"][1] == pytest.approx(0.005, rel=2e-3)
    assert [any("its ring crosses itself" in w for w in site) for site in sites.warnings] == [False, True]


def test_overlapping_sites_are_warned_of(tmp_path: Path) -> None:
    shapes = [box(0, 0, 100, 100), box(90, 0, 200, 100), box(200, 0, 300, 100)]
    sites = load_sites(write_sites(tmp_path / "s.gpkg", *shapes, name=["a", "b", "c"]), CRS, OUTLINE)
    text = "overlaps '{}'; a building in both counts once, where most of it lies"
    assert sites.warnings == ((text.format("b"),), (text.format("a"),), ()), "touching is no overlap"


def test_buildings_across_an_edge_are_warned_of(tmp_path: Path) -> None:
    sites = load_sites(write_sites(tmp_path / "s.gpkg", box(0, 0, 100, 100), name=["a"]), CRS, OUTLINE)
    inside, across = box(10, 10, 30, 20), box(90, 40, 110, 50)
    assert with_cut(sites, polygons(inside)).warnings == ((),)
    text = "1 building lies across its edge; each counts where most of it lies"
    cut = with_cut(sites, polygons(inside, across))
    assert cut.warnings == ((text,),)
    other = replace(cut, warnings=(("first", *cut.warnings[0], "last"),))
    assert with_cut(other, polygons(across, across)).warnings == (
        ("first", text.replace("1 building lies", "2 buildings lie"), "last"),
    )
    assert with_cut(other, polygons(inside)).warnings == (("first", "last"),), "the building was deleted since"


def test_at_the_edge_of_the_scene_no_building_lies_across(tmp_path: Path) -> None:
    whole = load_sites(None, CRS, OUTLINE)
    west = OUTLINE.bounds[0]
    assert with_cut(whole, polygons(box(west - 2, 10, west + 20, 20))).warnings == ((),)


@given(st.integers(0, 10_000), st.integers(0, 40), st.integers(0, 8))
def test_what_touches_each_area_is_found_as_if_each_pair_were_asked(seed: int, shapes: int, areas: int) -> None:
    rng = np.random.default_rng(seed)
    corners = rng.integers(0, 30, (shapes + areas, 2))  # whole numbers: many only share an edge or a corner
    boxes = np.array(
        [box(x, y, x + w, y + h) for (x, y), (w, h) in zip(corners, rng.integers(1, 12, corners.shape), strict=True)], object
    )
    buildings, plots = boxes[:shapes], boxes[shapes:]
    if shapes:
        buildings[0] = None
    expected = [np.flatnonzero(shapely.intersects(plot, buildings)).tolist() for plot in plots]
    assert [which.tolist() for which in touching(buildings, plots)] == expected


def test_all_plots_are_looked_up_in_one_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tree for each plot took time with plots × buildings."""
    built, tree = [], shapely.STRtree
    monkeypatch.setattr(shapely, "STRtree", lambda shapes: built.append(len(shapes)) or tree(shapes))
    buildings = polygons(*(box(20 * i, 0, 20 * i + 10, 10) for i in range(30)), stage=["incomplete"] * 30)
    plots = polygons(*(box(40 * i, -5, 40 * i + 25, 15) for i in range(15)))
    sites = with_cut(Sites(plots, ((),) * 15), buildings)
    assert [len(lines) for lines in sites.warnings] == [1] * 15, "the second building lies across the edge"
    assert len(proposed_sites(buildings).table) == 1
    assert built == [30, 30]


def test_ground_of_two_sites_counts_once_in_their_area(tmp_path: Path) -> None:
    def area(*shapes: shapely.Polygon) -> float:
        names = [str(i) for i in range(len(shapes))]
        return together_km2(load_sites(write_sites(tmp_path / "s.gpkg", *shapes, name=names), CRS, OUTLINE).table)

    one = area(box(0, 0, 100, 100))
    assert area(box(0, 0, 100, 100), box(50, 0, 150, 100)) == pytest.approx(1.5 * one, rel=1e-4)
    assert area(box(0, 0, 100, 100), box(100, 0, 200, 100)) == pytest.approx(2 * one, rel=1e-4)


def test_a_site_of_several_parts_keeps_its_area(tmp_path: Path) -> None:
    both = MultiPolygon([box(0, 0, 20, 20), box(50, 0, 70, 20)])
    sites = load_sites(write_sites(tmp_path / "s.gpkg", both, name=["a"]), CRS, OUTLINE)
    assert sites.table["area_km2"].tolist() == pytest.approx([0.0008], rel=2e-3) and sites.warnings == ((),)


def test_clusters_of_new_construction_are_proposed() -> None:
    row = [box(0, 20 * i, 60, 20 * i + 12) for i in range(5)]
    far, finished = [box(900, 0, 960, 12)], [box(400, 400 + 20 * i, 460, 412 + 20 * i) for i in range(5)]
    stages = ["foundation", "incomplete", "incomplete", "complete", "incomplete", "foundation", *["complete"] * 5]
    buildings = polygons(*row, *far, *finished, stage=stages)
    sites = proposed_sites(buildings)
    assert sites.table["name"].tolist() == ["new construction 1"], "one alone and what is finished are none"
    assert sites.table["area_km2"][0] == pytest.approx(100 * 132 / 1e6, rel=0.05), "20 m around 60 × 92 m, corners rounded"
    assert assign(buildings, sites.table).tolist() == ["new construction 1"] * 5 + [None] * 6, "the finished one among them too"
    assert len(proposed_sites(buildings.iloc[6:]).table) == 0
    assert [len(proposed_sites(buildings.iloc[:count]).table) for count in (2, 3)] == [0, 1], "three make a cluster"


def test_sites_that_are_no_vector_file(tmp_path: Path) -> None:
    (tmp_path / "s.geojson").write_text("hello")
    for name in ("s.geojson", "nowhere.gpkg"):
        with pytest.raises(InputError, match=name) as caught:
            load_sites(tmp_path / name, CRS, OUTLINE)
        assert "\n" not in str(caught.value)


# Which building is in which.


def test_each_building_is_in_one_site() -> None:
    sites = polygons(box(0, 0, 100, 100), box(80, 0, 200, 100), name=["a", "b"])
    shapes = {
        "within": box(10, 10, 30, 20),
        "more in b": box(82, 10, 110, 20),
        "in both": box(82, 40, 98, 50),
        "mostly outside": box(190, 10, 214, 20),
        "half": box(190, 50, 210, 60),
        "away": box(400, 0, 410, 10),
        "touching": box(-10, 0, 0, 10),
    }
    assert assign(polygons(*shapes.values()), sites).tolist() == ["a", "b", "a", None, "b", None, None]


def test_of_equal_sites_the_first_takes_the_building() -> None:
    building = polygons(affinity.rotate(box(40, 40, 60, 47), 33))
    for names in (["a", "b"], ["b", "a"]):
        assert assign(building, polygons(box(0, 0, 100, 100), box(0, 0, 100, 100), name=names)).tolist() == names[:1]


def test_a_building_across_two_sites_is_in_the_larger_part() -> None:
    sites = polygons(box(0, 0, 50, 50), box(50, 0, 100, 50), name=["west", "east"])
    buildings = polygons(box(44, 0, 54, 10), box(46, 0, 56, 10), box(48, 40, 53, 70))
    assert assign(buildings, sites).tolist() == ["west", "east", None], "40 % each would do together, 20 % and 13 % do not"


def test_a_site_of_several_parts_is_one_site() -> None:
    sites = polygons(MultiPolygon([box(0, 0, 20, 20), box(50, 0, 70, 20)]), name=["both"])
    assert assign(polygons(box(1, 1, 9, 9), box(51, 1, 59, 9), box(30, 1, 38, 9)), sites).tolist() == ["both", "both", None]


def test_nothing_to_assign() -> None:
    sites, table = polygons(box(0, 0, 9, 9), name=["a"]), polygons(box(1, 1, 2, 2))
    assert assign(table.iloc[:0], sites).tolist() == []
    assert assign(table, sites.iloc[:0]).tolist() == [None]
    assert assign(table, sites).dtype == np.dtype(object)


def test_overlapping_sites_do_not_draw_in_what_is_mostly_outside() -> None:
    sites = polygons(box(0, 0, 100, 100), box(0, 0, 90, 100), name=["a", "b"])
    assert assign(polygons(box(-7, 10, 3, 20)), sites).tolist() == [None]
