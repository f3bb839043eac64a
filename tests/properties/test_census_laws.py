"""Whatever stands where: intervals hold their estimates, parts add up to the whole, and the same input gives the same numbers."""

from __future__ import annotations

import geopandas as gpd
import numpy as np
import pyproj
from hypothesis import given
from hypothesis import strategies as st
from shapely import affinity, box

from detect.base.geometry import measure
from detect.base.stages import STAGES
from detect.census.count import take_census, with_beds
from detect.census.dormitories import add_dormitories
from detect.census.profiles import load_profile
from detect.census.sites import assign

CRS = pyproj.CRS(32637)
X, Y = 414_000, 6_170_000
PROFILE = load_profile()

sites_of_a_place = st.lists(st.tuples(st.integers(0, 200), st.integers(0, 200), st.integers(0, 200)), max_size=4)
rates = st.lists(
    st.tuples(st.integers(0, 300), st.integers(0, 300), st.integers(0, 300), sites_of_a_place).map(
        lambda r: {"place": "x", "matched": r[0], "predicted": r[0] + r[1], "reference": r[0] + r[2], "sites": r[3]}
    ),
    max_size=4,
)
SITED = [{"place": "x", "matched": 40, "predicted": 50, "reference": 60, "sites": [[50, 60, 5], [20, 27, 2], [9, 11, 3]]}]
seeds = st.integers(0, 10_000)


def compound(count: int, seed: int) -> gpd.GeoDataFrame:
    """Blocks and houses, some in rows, anywhere on 2 × 2 km."""
    rng = np.random.default_rng(seed)
    shapes = []
    for i in range(count):
        corner = (0.0, 18.0 * i) if i % 3 else tuple(rng.uniform(-800, 800, 2))
        size = (60, 12) if rng.random() < 0.5 else tuple(rng.uniform(5, 40, 2))
        shapes.append(affinity.translate(box(0, 0, *size), X + corner[0], Y + corner[1]))
    shares = rng.dirichlet((0.5, 0.5, 0.5), count).reshape(-1, 3)
    table = gpd.GeoDataFrame(measure(shapes, CRS), geometry=gpd.GeoSeries(shapes, crs=CRS), crs=CRS)
    table["stage"], table["score"] = np.array(STAGES, object)[shares.argmax(axis=1)], rng.uniform(0.5, 1, count)
    table = add_dormitories(table.assign(**{f"p_{s}": shares[:, i] for i, s in enumerate(STAGES)}), PROFILE)
    return with_beds(table, PROFILE)


def plots(*shapes: tuple[float, float, float, float]) -> gpd.GeoDataFrame:
    """Sites by their west, south, east and north, metres from the middle."""
    placed = [affinity.translate(box(*s), X, Y) for s in shapes]
    columns = {"name": [f"p{i}" for i in range(len(placed))], "planned_buildings": [100.0] + [np.nan] * (len(placed) - 1)}
    return gpd.GeoDataFrame({**columns, "area_km2": 1.0}, geometry=gpd.GeoSeries(placed, crs=CRS), crs=CRS)


def census(table: gpd.GeoDataFrame, sites: gpd.GeoDataFrame, rated: list) -> dict:
    return take_census(table.assign(site=assign(table, sites)), sites, PROFILE, rated)


def flat(part: dict, above: str = "") -> dict[str, dict[str, int]]:
    found = {}
    for key, value in part.items():
        if isinstance(value, dict):
            found |= {above + key: value} if "estimate" in value else flat(value, f"{above}{key}/")
    return found


DISJOINT = plots((-900, -900, 0, 900), (0, -900, 900, 100), (0, 100, 900, 900))
OVERLAPPING = plots((-900, -900, 100, 900), (-50, -900, 900, 900), (-20, -100, 40, 400))


@given(count=st.integers(0, 30), seed=seeds, rated=rates)
def test_intervals_hold_their_estimates_in_whole_numbers(count: int, seed: int, rated: list) -> None:
    found = census(compound(count, seed), DISJOINT, rated)
    for part in (found["total"], *found["sites"]):
        for name, c in flat(part).items():
            assert set(c) == {"found", "estimate", "low", "high"}
            assert all(type(v) is int for key, v in c.items() if key != "found" or "planned" not in name), name
            assert 0 <= c["low"] <= c["estimate"] <= c["high"], name


@given(count=st.integers(0, 30), seed=seeds, sites=st.sampled_from([DISJOINT, OVERLAPPING]), rated=st.sampled_from([[], SITED]))
def test_sites_and_stages_add_up(count: int, seed: int, sites: gpd.GeoDataFrame, rated: list) -> None:
    found = census(compound(count, seed), sites, rated)
    total = flat(found["total"])
    parts = [flat(site) for site in found["sites"]]
    for name in total:
        assert sum(p[name]["estimate"] for p in parts if name in p) == total[name]["estimate"], name
    assert total["buildings"]["found"] + found["outside_sites"] == count
    for part in (total, *parts):
        for whole, split in (("buildings", "by_stage"), ("dormitory_like", "dormitory_by_stage")):
            assert sum(part[f"{split}/{s}"]["estimate"] for s in STAGES) == part[whole]["estimate"]
        assert all(part[f"dormitory_by_stage/{s}"]["estimate"] <= part[f"by_stage/{s}"]["estimate"] for s in STAGES)
        assert part["beds/now"]["estimate"] == 256 * part["dormitory_by_stage/complete"]["estimate"]
        assert part["beds/when_complete"]["estimate"] == 256 * part["dormitory_like"]["estimate"]


@given(count=st.integers(0, 20), seed=seeds, rated=rates)
def test_the_same_again_and_in_any_order(count: int, seed: int, rated: list) -> None:
    table = compound(count, seed)
    found = census(table, DISJOINT, rated)
    assert census(table, DISJOINT, rated) == found
    order = np.random.default_rng(seed).permutation(count)
    mixed = census(table.iloc[order].reset_index(drop=True), DISJOINT, rated)
    for one, other in zip((found["total"], *found["sites"]), (mixed["total"], *mixed["sites"]), strict=True):
        for name, c in flat(one).items():
            assert all(abs((c[k] or 0) - (flat(other)[name][k] or 0)) <= 1 for k in c), "but for the rounding of sums"


@given(count=st.integers(1, 30), seed=seeds, matched=st.integers(20, 300))
def test_better_measured_rates_narrow_the_interval(count: int, seed: int, matched: int) -> None:
    table = compound(count, seed)
    everywhere = plots((-2000, -2000, 2000, 2000))
    known, unknown = (
        census(table, everywhere, r)["total"]["buildings"]
        for r in ([{"place": "x", "matched": 9 * matched, "predicted": 10 * matched, "reference": 10 * matched}], [])
    )
    assert known["estimate"] == unknown["estimate"] == count
    assert known["high"] - known["low"] <= unknown["high"] - unknown["low"]


@given(planned=st.integers(0, 100_000))
def test_planned_beds_are_the_planned_buildings_times_256(planned: int) -> None:
    sites = plots((0, 0, 9, 9)).assign(planned_buildings=float(planned))
    beds = census(compound(0, 0), sites, [])["total"]["beds"]["planned"]
    assert beds["estimate"] == 256 * planned
    assert beds["low"] <= beds["estimate"] <= beds["high"]
    assert planned == 0 or beds["low"] < beds["high"]
