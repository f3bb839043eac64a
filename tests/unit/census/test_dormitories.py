"""Which shapes are called dormitory-like, in which rows, and what is said of profiles that are none."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyproj
import pytest
import yaml
from shapely import Polygon, affinity, box

from detect.base.errors import InputError
from detect.base.geometry import measure
from detect.base.resources import resource_path
from detect.census.count import with_beds
from detect.census.dormitories import add_dormitories, find_rows, group_fit, likeness, membership, rows_layer
from detect.census.profiles import DEFAULT_PROFILE, Assumed, Calibration, load_profile, profile_from, profile_text

CRS = pyproj.CRS(32637)
X, Y = 414_000, 6_170_000
PROFILE = load_profile()
BLOCK = box(0, 0, 60, 12)
L_SHAPE = Polygon([(0, 0), (60, 0), (60, 9), (9, 9), (9, 24), (0, 24)])
ADDED = ["row", "dormitory_like", "dormitory_score", "dormitory_reasons"]


def buildings(*shapes: Polygon, crs: pyproj.CRS | None = CRS) -> gpd.GeoDataFrame:
    placed = [affinity.translate(s, X, Y) for s in shapes]
    return gpd.GeoDataFrame(measure(placed, crs), geometry=gpd.GeoSeries(placed, crs=crs), crs=crs)


def row_of(count: int, shape: Polygon = BLOCK, step: float = 20.0) -> list[Polygon]:
    return [affinity.translate(shape, 0, i * step) for i in range(count)]


def test_the_shipped_profile_is_the_known_type() -> None:
    assert PROFILE.beds_per_building == 256
    assert PROFILE.storeys == 2
    assert PROFILE.name == "dormitory"
    assert PROFILE.sources
    assert load_profile(resource_path(DEFAULT_PROFILE)) == PROFILE


def test_a_bump_makes_no_block_too_wide() -> None:
    bumped = BLOCK.union(
        box(20, 12, 26, 26)
    )  # a strip of ground on one side: the smallest rectangle is 26 m wide, the block 13 m
    table = buildings(*row_of(5, bumped, 40.0))
    assert (table["width_m"] > PROFILE.width_m[3]).all()
    profile = dataclasses.replace(PROFILE, rectangularity=(0.3, 0.4, 1, 1))
    assert add_dormitories(table, profile)["dormitory_like"].all()
    taller = BLOCK.union(box(20, 12, 26, 20))
    unlike = buildings(*(affinity.translate(s, 0, i * 40) for i, s in enumerate([BLOCK, taller])))
    assert find_rows(unlike, np.ones(2, bool), PROFILE.group)[1].tolist() == [2, 2], "their mean widths agree"


def test_membership_rises_holds_and_falls() -> None:
    values = membership(np.array([0.0, 10, 15, 20, 30, 35, 40, 99]), (10, 20, 30, 40))
    assert values.tolist() == [0, 0, 0.5, 1, 1, 0.5, 0, 0]
    assert membership(np.array([0.9, 1.0, 1.1]), (1, 1, 1, 1)).tolist() == [0, 1, 0], "four times the same is that number alone"


@pytest.mark.parametrize("crs", [CRS, None], ids=["projected", "no CRS"])
def test_a_row_of_long_blocks_is_dormitory_like(crs: pyproj.CRS | None) -> None:
    table = add_dormitories(buildings(*row_of(5), crs=crs), PROFILE)
    assert table["dormitory_like"].all()
    assert (table["dormitory_score"] > 0.95).all()
    assert table["row"].tolist() == [1] * 5
    assert table["dormitory_reasons"].tolist() == ["group of 5"] * 5


def test_a_geographic_table_gives_the_same_rows() -> None:
    there = buildings(*row_of(4), affinity.translate(BLOCK, 0, 300))
    degrees = there.to_crs(4326)
    found = add_dormitories(degrees.assign(**measure(list(degrees.geometry), degrees.crs)), PROFILE)
    assert found["row"].tolist() == add_dormitories(there, PROFILE)["row"].tolist() == [1, 1, 1, 1, 0]


@pytest.mark.parametrize(
    ("shape", "reason"),
    [
        (BLOCK, "group of 1, 3 wanted"),
        (box(0, 0, 12, 9), "length 0.00; aspect 0.00"),
        (box(0, 0, 60, 40), "width 0.00"),
        (box(0, 0, 150, 14), "length 0.00"),
        (L_SHAPE, "rectangularity 0.00"),
    ],
    ids=["alone", "house", "hall", "too long", "L"],
)
def test_what_is_no_dormitory_says_why(shape: Polygon, reason: str) -> None:
    table = add_dormitories(buildings(shape), PROFILE)
    assert not table["dormitory_like"].any()
    assert table["dormitory_score"][0] < PROFILE.min_score
    assert reason in table["dormitory_reasons"][0]


def test_houses_and_l_shapes_stay_what_they_are_in_rows() -> None:
    for shape in (box(0, 0, 12, 9), L_SHAPE):
        table = add_dormitories(buildings(*row_of(6, shape, 30)), PROFILE)
        assert not table["dormitory_like"].any()
        assert table["row"].tolist() == [0] * 6
        assert (table["dormitory_score"] == 0).all()


def test_a_bigger_group_never_lowers_the_score() -> None:
    scores = [add_dormitories(buildings(*row_of(n)), PROFILE)["dormitory_score"][0] for n in range(1, 9)]
    assert scores == sorted(scores)
    assert scores[0] < 0.5 < 0.97 < scores[7], "a lone long building is in doubt, one of eight is not"


def test_the_fit_of_a_group_is_full_from_twice_the_number_that_is_asked_for() -> None:
    fits = group_fit(np.array([1, 2, 4, 8, 16]), dataclasses.replace(PROFILE.group, min_buildings=4))
    assert fits == pytest.approx([0, 1 / 3, 2 / 3, 1, 1])


def test_where_no_group_is_asked_for_one_alone_is_enough() -> None:
    alone = dataclasses.replace(PROFILE, group=dataclasses.replace(PROFILE.group, min_buildings=1))
    assert add_dormitories(buildings(BLOCK), alone)["dormitory_like"].all()


def test_the_score_is_the_profile_s_curve() -> None:
    profile = dataclasses.replace(PROFILE, calibration=Calibration(-3.0, 2.0, 1.0))
    scores = likeness(np.array([1.0, 1.0, 0.5, 0.0]), np.array([1, 6, 6, 6]), profile)
    # Log-odds −3 + 2, −3 + 2 + 1, −3 + 1 + 1; out of all range.
    assert scores.tolist() == pytest.approx([1 / (1 + np.e), 0.5, 1 / (1 + np.e), 0], abs=1e-3)


def test_rooms_grow_with_length_and_storeys_where_the_profile_says_so() -> None:
    profile = dataclasses.replace(PROFILE, rooms_per_metre=Assumed(0.4, 0.5, 0.6))
    assert profile.beds(np.array([60.0, 30.0])).tolist() == [60 * 2 * 0.5 * 4, 30 * 2 * 0.5 * 4]
    assert PROFILE.beds(np.array([60.0, 30.0])).tolist() == [256, 256]


def test_min_score_decides_what_is_alike() -> None:
    table = buildings(*row_of(2))
    score = add_dormitories(table, PROFILE)["dormitory_score"][0]
    for least, like in ((score, True), (score + 0.01, False)):
        found = add_dormitories(table, dataclasses.replace(PROFILE, min_score=least))
        assert found["dormitory_like"].tolist() == [like, like]


@pytest.mark.parametrize(
    "other",
    [
        affinity.translate(BLOCK, 0, 400),
        affinity.rotate(affinity.translate(BLOCK, 66, 0), 60),
        affinity.translate(box(0, 0, 38, 12), -45, 0),
        affinity.translate(box(0, 0, 60, 18), 66, 0),
    ],
    ids=["distant", "turned", "shorter", "wider"],
)
def test_rows_take_only_their_like(other: Polygon) -> None:
    table = add_dormitories(buildings(*row_of(4), other), PROFILE)
    assert table["row"].tolist() == [1, 1, 1, 1, 0]
    assert "group of 1" in table["dormitory_reasons"][4]


def test_headings_agree_across_north() -> None:
    upright = [affinity.translate(affinity.rotate(box(0, 0, 12, 60), turn), 25 * i, 0) for i, turn in enumerate((3, -3, 3))]
    table = buildings(*upright)
    assert table["orientation_deg"].max() > 170 and table["orientation_deg"].min() < 10
    assert add_dormitories(table, PROFILE)["row"].tolist() == [1, 1, 1]


def test_rows_are_numbered_in_the_order_of_the_buildings() -> None:
    near, far = row_of(3), [affinity.translate(s, 500, 0) for s in row_of(3)]
    mixed = [shape for pair in zip(far, near, strict=True) for shape in pair]
    table = buildings(*mixed)
    rows, sizes = find_rows(table, np.ones(6, bool), PROFILE.group)
    assert rows.tolist() == [1, 2, 1, 2, 1, 2]
    assert sizes.tolist() == [3] * 6
    rows, sizes = find_rows(table, np.array([1, 0, 1, 0, 0, 1], bool), PROFILE.group)
    assert (rows.tolist(), sizes.tolist()) == ([1, 0, 1, 0, 0, 0], [2, 1, 2, 1, 1, 1])


def test_the_rows_layer_sums_its_members() -> None:
    shapes = [*row_of(5), *(affinity.translate(s, 500, 0) for s in row_of(2)), affinity.translate(BLOCK, 0, 900)]
    table = with_beds(add_dormitories(buildings(*shapes), PROFILE), PROFILE).assign(
        site=["plot"] * 3 + ["other", None] + [None] * 3
    )
    layer = rows_layer(table)
    assert layer["row"].tolist() == [1, 2]
    assert layer["buildings"].tolist() == [5, 2]
    assert layer["dormitory_like"].tolist() == [5, int(table["dormitory_like"][5:7].sum())]
    assert layer["beds"].tolist() == [1280, int(table["beds"][5:7].sum())]
    assert layer["site"][0] == "plot" and layer["site"].isna().tolist() == [False, True]
    assert layer["heading_deg"].tolist() == pytest.approx([90, 90], abs=2), "the convergence of the grid is below 2°"
    assert all(layer.geometry[0].buffer(0.01).covers(g) for g in table.geometry[:5])
    assert layer.crs == CRS


def test_no_buildings_give_empty_tables_of_the_same_columns() -> None:
    some, none = buildings(*row_of(3)), buildings(BLOCK).iloc[:0]
    empty = with_beds(add_dormitories(none, PROFILE), PROFILE)
    assert set(ADDED) <= set(empty.columns) and len(empty) == 0
    full = rows_layer(with_beds(add_dormitories(some, PROFILE), PROFILE).assign(site="a"))
    layer = rows_layer(empty.assign(site=None))
    assert len(layer) == 0
    assert list(layer.columns) == list(full.columns)
    assert [str(t) for t in layer.dtypes] == [str(t) for t in full.dtypes]


# Profiles.


def write_profile(folder: Path, change: dict, drop: str | None = None) -> Path:
    raw = yaml.safe_load(resource_path(DEFAULT_PROFILE).read_text(encoding="utf-8")) | change
    raw.pop(drop, None)
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump(raw), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"colour": "red"}, "mine.yaml: unknown key 'colour'; known are"),
        ({"group": {"min_buildings": 3}}, "mine.yaml: 'group.max_gap_m' is missing; it must be a number from 0 to 10⁹"),
        ({"group": 3}, "mine.yaml: 'group' is 3; it must be an object with keys"),
        ({"length_m": [60, 40, 80, 90]}, "'length_m' is .*; it must be a list of 4 numbers that do not fall from left to right"),
        ({"length_m": 5}, "'length_m' is 5; it must be a list of 4 numbers"),
        ({"length_m": [1, 2, 3]}, r"'length_m' is \[1, 2, 3\]; it must be a list of 4 numbers"),
        ({"width_m": None}, "'width_m' is null; it must be a list of 4 numbers"),
        ({"width_m": [-1, 2, 3, 4]}, r"'width_m\[0\]' is -1; it must be a number from 0 to 10⁹"),
        ({"aspect": [1, 2, 3, float("inf")]}, r"'aspect\[3\]' is Infinity; it must be a number"),
        ({"beds_per_room": {"low": 4}}, "'beds_per_room.likely' is missing"),
        ({"beds_per_room": {"low": 5, "likely": 4, "high": 6}}, "'beds_per_room' is .* low ≤ likely ≤ high"),
        ({"calibration": {"intercept": -1, "shape": 1}}, "'calibration.group' is missing"),
        (
            {"calibration": {"intercept": "low", "shape": 1, "group": 1}},
            "'calibration.intercept' is \"low\"; it must be a number",
        ),
        (
            {"calibration": {"intercept": 1, "shape": -1, "group": 1}},
            "'calibration.shape' is -1; it must be a number from 0 to 10⁹",
        ),
        ({"rooms_per_metre": {"low": 1, "likely": 2}}, "'rooms_per_metre.high' is missing"),
        ({"storeys": "two"}, "'storeys' is \"two\"; it must be a whole number"),
        ({"storeys": True}, "'storeys' is true; it must be a whole number"),
        ({"storeys": 2.5}, "'storeys' is 2.5; it must be a whole number"),
        ({"storeys": 0}, "'storeys' is 0; it must be a whole number from 1 to 200"),
        ({"min_score": [1]}, r"'min_score' is \[1\]; it must be a number"),
    ],
)
def test_wrong_profiles_are_one_line(tmp_path: Path, change: dict, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        load_profile(write_profile(tmp_path, change))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("key", ["name", "length_m", "group", "storeys", "rooms_per_building"])
def test_each_needed_key_is_missed(tmp_path: Path, key: str) -> None:
    with pytest.raises(InputError, match=f"mine.yaml: '{key}' is missing; it must be .* is an example$"):
        load_profile(write_profile(tmp_path, {}, drop=key))


def test_what_is_optional_may_be_left_out(tmp_path: Path) -> None:
    for key in ("min_score", "description", "sources"):
        load_profile(write_profile(tmp_path, {}, drop=key))
    assert load_profile(write_profile(tmp_path, {}, drop="min_score")).min_score == 0.5


@pytest.mark.parametrize("text", [b"a: [", b"just words", b"", b"\xff\xfe\x00", b"!!python/object/apply:os.system ['true']"])
def test_a_profile_that_is_no_yaml_is_one_line(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "p.yaml"
    path.write_bytes(text)
    with pytest.raises(InputError, match=r"p\.yaml: (is not valid YAML|expected an object with keys, found )") as caught:
        load_profile(path)
    assert "\n" not in str(caught.value)


def test_a_profile_that_is_not_there(tmp_path: Path) -> None:
    for path, words in ((tmp_path / "none.yaml", "no such name or file"), (tmp_path, "cannot be read")):
        with pytest.raises(InputError, match=rf"{words}.* is an example"):
            load_profile(path)


def test_shipped_profiles_have_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = sorted(path.stem for path in resource_path(DEFAULT_PROFILE).parent.glob("*.yaml"))
    (tmp_path / "house").mkdir()  # a folder of that name is no profile
    assert [load_profile(name).name for name in names] == names
    with pytest.raises(InputError, match=rf"structure 'castle': no such name or file; shipped are: {', '.join(names)}"):
        load_profile("castle")
    write_profile(tmp_path, {}).rename(tmp_path / "warehouse")
    assert load_profile("warehouse").name != "warehouse", "a file of that name comes first"


@pytest.mark.parametrize("change", [{"sources": None}, {"sources": 5}, {1: 2, "colour": 3}], ids=str)
def test_odd_sources_and_keys_are_one_line(tmp_path: Path, change: dict) -> None:
    with pytest.raises(InputError, match=r"mine\.yaml"):
        load_profile(write_profile(tmp_path, change))


@pytest.mark.parametrize("path", sorted(resource_path(DEFAULT_PROFILE).parent.glob("*.yaml")), ids=lambda p: p.stem)
def test_shipped_profiles_survive_writing(path: Path) -> None:
    profile = load_profile(path)
    assert profile.name == path.stem and profile.sources and profile.calibration.source
    assert profile_from(yaml.safe_load(profile_text(profile)), "again") == profile
