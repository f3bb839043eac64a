"""Likeness, rows, sites and the census."""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import numpy as np
import pyproj
import pytest
import shapely
import yaml
from hypothesis import given
from hypothesis import strategies as st
from shapely import affinity, box

from detect.census import take_census
from detect.dormitories import add_dormitories, load_profile, rows_layer
from detect.errors import InputError
from detect.geometry import measure
from detect.resources import resource_path
from detect.sites import assign, load_sites

CRS = pyproj.CRS(32637)
X, Y = 414_000, 6_170_000
PROFILE = load_profile()
OUTLINE = box(X - 500, Y - 500, X + 1500, Y + 1500)
RATES = [
    {"place": "a", "matched": 160, "predicted": 200, "reference": 210},
    {"place": "b", "matched": 90, "predicted": 110, "reference": 105},
]


def buildings(*shapes: shapely.Polygon, stage: str = "complete") -> gpd.GeoDataFrame:
    placed = [affinity.translate(s, X, Y) for s in shapes]
    table = gpd.GeoDataFrame(measure(placed, CRS), geometry=gpd.GeoSeries(placed, crs=CRS), crs=CRS)
    for name in ("foundation", "incomplete", "complete"):
        table[f"p_{name}"] = 0.9 if name == stage else 0.05
    return table.assign(stage=stage)


def row_of(count: int, gap: float = 6.0, length: float = 62.0, width: float = 12.0) -> list[shapely.Polygon]:
    return [box(0, i * (width + gap), length, i * (width + gap) + width) for i in range(count)]


def census(table: gpd.GeoDataFrame, sites: gpd.GeoDataFrame | None = None, rates: list | None = RATES) -> dict:
    table = add_dormitories(table, PROFILE)
    plots = load_sites(None, CRS, OUTLINE).table if sites is None else sites
    return take_census(table.assign(site=assign(table, plots)), plots, PROFILE, rates)


def test_the_known_type_has_256_beds() -> None:
    assert PROFILE.beds_per_building == 256
    assert PROFILE.storeys == 2


def test_a_row_of_long_blocks_is_dormitory_like() -> None:
    table = add_dormitories(buildings(*row_of(5)), PROFILE)
    assert table["dormitory_like"].all()
    assert set(table["row"]) == {1}
    assert set(table["beds"]) == {256}
    layer = rows_layer(table.assign(site="plot"))
    assert layer.loc[0, ["buildings", "dormitory_like", "beds"]].tolist() == [5, 5, 1280]
    assert layer.loc[0, "heading_deg"] == pytest.approx(90, abs=2)


@pytest.mark.parametrize(
    ("shape", "reason"),
    [
        (box(0, 0, 62, 12), "group of 1"),
        (box(0, 0, 12, 9), "length"),
        (box(0, 0, 60, 40), "width"),
        (box(0, 0, 150, 14), "length"),
    ],
    ids=["alone", "house", "hall", "too long"],
)
def test_what_is_no_dormitory_says_why(shape: shapely.Polygon, reason: str) -> None:
    table = add_dormitories(buildings(shape), PROFILE)
    assert not table["dormitory_like"].any()
    assert table["beds"].sum() == 0
    assert reason in table.loc[0, "dormitory_reasons"]


def test_rows_take_only_their_like() -> None:
    others = [
        affinity.translate(box(0, 0, 62, 12), 0, 400),  # far
        affinity.rotate(affinity.translate(box(0, 0, 62, 12), 66, 0), 60),  # turned
        affinity.translate(box(0, 0, 38, 12), -45, 0),  # shorter
    ]
    table = add_dormitories(buildings(*row_of(4), *others), PROFILE)
    assert table["row"].tolist() == [1, 1, 1, 1, 0, 0, 0]


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"colour": "red"}, "colour"),
        ({"length_m": [60, 40, 80, 90]}, "length_m"),
        ({"length_m": 5}, "length_m"),
        ({"beds_per_room": {"low": 4}}, "beds_per_room"),
        ({"storeys": "two"}, "storeys"),
        ({"width_m": None}, "width_m"),
    ],
)
def test_wrong_profiles_are_one_line(tmp_path: Path, change: dict, word: str) -> None:
    raw = yaml.safe_load(resource_path("configs/structures/dormitory.yaml").read_text()) | change
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(raw))
    with pytest.raises(InputError, match=word) as caught:
        load_profile(path)
    assert "\n" not in str(caught.value)


def test_profile_that_is_no_yaml(tmp_path: Path) -> None:
    for text in ("a: [", "just words", "!!python/object/apply:os.system ['true']"):
        (tmp_path / "p.yaml").write_text(text)
        with pytest.raises(InputError, match=r"p\.yaml"):
            load_profile(tmp_path / "p.yaml")


# Sites.


def write_sites(path: Path, *shapes: shapely.Geometry, crs: object = CRS, **columns: list) -> Path:
    moved = [affinity.translate(s, X, Y) for s in shapes]
    gpd.GeoDataFrame(columns, geometry=gpd.GeoSeries(moved, crs=crs), crs=crs).to_file(path)
    return path


def test_sites_keep_names_plans_and_areas(tmp_path: Path) -> None:
    shapes = [box(0, 0, 700, 500), box(800, 0, 1400, 500), box(0, 600, 300, 900)]
    path = write_sites(tmp_path / "s.gpkg", *shapes, Name=["north", None, "north"], planned_buildings=[40.0, None, 60.0])
    sites = load_sites(path, CRS, OUTLINE)
    assert sites.table["name"].tolist() == ["north", "site 2", "north (2)"]
    assert sites.table["planned_buildings"].fillna(-1).tolist() == [40, -1, 60]
    assert sites.table["area_km2"].tolist() == pytest.approx([0.35, 0.3, 0.09], rel=2e-3)
    assert sites.warnings == ((), (), ())
    there = gpd.read_file(path).to_crs(3857)
    there.to_file(tmp_path / "m.geojson")
    moved = load_sites(tmp_path / "m.geojson", CRS, OUTLINE)
    assert moved.table["area_km2"].tolist() == pytest.approx(sites.table["area_km2"].tolist(), rel=1e-3)
    assert moved.table.geometry[0].symmetric_difference(sites.table.geometry[0]).area < 100


def test_odd_sites_are_warned_of(tmp_path: Path) -> None:
    crossed = shapely.Polygon([(0, 0), (100, 100), (100, 0), (0, 100)])
    shapes = [box(1400, 0, 1600, 100), box(5000, 0, 5100, 100), crossed]
    path = write_sites(tmp_path / "s.gpkg", *shapes, planned_buildings=["many", "3", "-2"])
    sites = load_sites(path, CRS, OUTLINE)
    assert "50%" in sites.warnings[0][0] and "'many'" in sites.warnings[0][1]
    assert "0%" in sites.warnings[1][0]
    assert sites.table.geometry.is_valid.all()
    assert sites.table["planned_buildings"].fillna(-1).tolist() == [-1, 3, -1]
    with pytest.warns(UserWarning, match="crs"):
        bare = write_sites(tmp_path / "bare.shp", box(0, 0, 10, 10), crs=None)
    assert "assumed" in load_sites(bare, CRS, OUTLINE).warnings[0][0]


@pytest.mark.parametrize("shape", [shapely.Point(1, 1), shapely.LineString([(0, 0), (9, 9)])])
def test_sites_without_area_are_refused(tmp_path: Path, shape: shapely.Geometry) -> None:
    with pytest.raises(InputError, match="polygon"):
        load_sites(write_sites(tmp_path / "s.gpkg", shape), CRS, OUTLINE)


def test_sites_that_are_no_vector_file(tmp_path: Path) -> None:
    (tmp_path / "s.geojson").write_text("hello")
    for name in ("s.geojson", "nowhere.gpkg"):
        with pytest.raises(InputError, match=name):
            load_sites(tmp_path / name, CRS, OUTLINE)


def test_each_building_is_in_one_site(tmp_path: Path) -> None:
    path = write_sites(tmp_path / "s.gpkg", box(0, 0, 100, 100), box(80, 0, 200, 100), name=["a", "b"])
    sites = load_sites(path, CRS, OUTLINE).table
    table = buildings(box(10, 10, 30, 20), box(82, 10, 110, 20), box(82, 40, 98, 50), box(190, 10, 214, 20), box(400, 0, 410, 10))
    assert assign(table, sites).tolist() == ["a", "b", "a", None, None]


# Counts.


def walk(counts: object) -> list[dict]:
    if isinstance(counts, dict):
        return [counts] if set(counts) == {"estimate", "low", "high"} else [c for v in counts.values() for c in walk(v)]
    return []


@given(count=st.integers(0, 30), seed=st.integers(0, 1000))
def test_intervals_hold_their_estimates_and_sites_add_up(count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    shapes = [
        affinity.translate(box(0, 0, rng.uniform(5, 80), rng.uniform(5, 20)), *rng.uniform(-400, 1300, 2)) for _ in range(count)
    ]
    table = buildings(*shapes) if count else buildings(box(0, 0, 9, 9)).iloc[:0]
    plots = gpd.GeoDataFrame(
        {"name": ["west", "east"], "planned_buildings": [100.0, np.nan], "area_km2": [2.0, 2.0]},
        geometry=[box(X - 500, Y - 500, X + 500, Y + 1500), box(X + 500, Y - 500, X + 1500, Y + 1500)],
        crs=CRS,
    )
    found = census(table, plots)
    for counts in (found["total"], *found["sites"]):
        for c in walk(counts):
            assert 0 <= c["low"] <= c["estimate"] <= c["high"]
            assert all(isinstance(v, int) for v in c.values())
        assert sum(c["estimate"] for c in counts["by_stage"].values()) == counts["buildings"]["estimate"]
    for key in ("buildings", "dormitory_like"):
        assert sum(s[key]["estimate"] for s in found["sites"]) == found["total"][key]["estimate"]
    assert sum(s["buildings"]["estimate"] for s in found["sites"]) + found["outside_sites"] == count
    assert found["sites"][0]["beds"]["planned"]["estimate"] == 25_600
    assert found["sites"][1]["beds"]["planned"] is None
    assert census(table, plots) == found, "the same twice"


def test_contract_of_a_site() -> None:
    site = census(buildings(*row_of(6)))["sites"][0]
    wanted = {"name", "area_km2", "buildings", "by_stage", "dormitory_like", "dormitory_by_stage", "beds", "warnings"}
    assert set(site) == wanted
    assert set(site["by_stage"]) == set(site["dormitory_by_stage"]) == {"foundation", "incomplete", "complete"}
    assert set(site["beds"]) == {"now", "when_complete", "planned"}
    assert site["beds"]["now"]["estimate"] == 6 * 256


def test_beds_now_are_those_of_complete_buildings() -> None:
    site = census(buildings(*row_of(6), stage="incomplete"))["sites"][0]
    assert site["beds"]["now"]["estimate"] == 0
    assert site["beds"]["when_complete"]["estimate"] == 6 * 256
    assert site["beds"]["when_complete"]["high"] > 6 * 256


def test_better_weights_give_narrower_intervals() -> None:
    table = buildings(*row_of(20))
    poor, good = ([{"place": "x", "matched": m, "predicted": 1000, "reference": 1000}] for m in (500, 950))
    widths = [census(table, rates=r)["total"]["buildings"] for r in (poor, good)]
    assert widths[0]["high"] - widths[0]["low"] > widths[1]["high"] - widths[1]["low"]
    assert census(table, rates=None)["total"]["buildings"]["high"] > 20
