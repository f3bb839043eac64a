"""Counts and beds: the keys of the contract, what is counted where, and how wide the intervals are."""

from __future__ import annotations

import dataclasses
import json

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
from shapely import box

from detect.base.notices import Code
from detect.census.count import _interval, _plan, storeys_notices, take_census, with_beds
from detect.census.draws import DRAWS, TrueNumbers
from detect.census.estimates import divided
from detect.census.ground import Capacity
from detect.census.profiles import Assumed, StructureProfile, load_profile

PROFILE = load_profile()
STAGES = ("foundation", "incomplete", "complete")
RATES = [
    {"place": "a", "matched": 160, "predicted": 200, "reference": 210},
    {"place": "b", "matched": 90, "predicted": 110, "reference": 105},
]
SITED = [{"place": p, "sites": [[40, t, 0], [20, t // 2, 0]]} | r for p, t, r in zip("ab", (60, 30), RATES, strict=True)]
"""The same places with numbers found, true and small on sites."""
Counts = dict[str, int]


def buildings(*kinds: tuple[str | None, str, float], sure: float = 1.0) -> gpd.GeoDataFrame:
    """One building per (site, stage, likeness to a dormitory)."""
    sites, stages, scores = zip(*kinds, strict=True) if kinds else ((), (), ())
    table = gpd.GeoDataFrame(
        {"site": np.array(sites, object), "stage": np.array(stages, object), "dormitory_score": np.array(scores, float)},
        geometry=gpd.GeoSeries([box(i, 0, i + 0.5, 1) for i in range(len(kinds))], crs=32631),
        crs=32631,
    )
    table["dormitory_like"] = table["dormitory_score"] >= PROFILE.min_score
    table["beds"] = np.where(table["dormitory_like"], 256, 0)
    table["area_m2"], table["score"] = 720.0, 0.9
    for stage in STAGES:
        table[f"p_{stage}"] = np.where(table["stage"] == stage, sure, (1 - sure) / 2)
    return table


def plots(names: tuple[str, ...] = ("a",), planned: tuple[float, ...] = (np.nan,), area_km2: float = 0.4) -> gpd.GeoDataFrame:
    return gpd.GeoDataFrame(
        {"name": names, "planned_buildings": planned, "area_km2": [area_km2] * len(names)},
        geometry=gpd.GeoSeries([box(2 * i, 0, 2 * i + 1, 1) for i in range(len(names))], crs=32631),
        crs=32631,
    )


def census(table: gpd.GeoDataFrame, sites: gpd.GeoDataFrame | None = None, rates: list | None = RATES, **kwargs: object) -> dict:
    return take_census(table, plots() if sites is None else sites, PROFILE, rates, **kwargs)


def width(count: Counts) -> int:
    return count["high"] - count["low"]


def exactly(number: int, found: int | None = -1) -> dict[str, int | None]:
    """A count without doubt; it was found, unless ``found`` says otherwise."""
    return {"found": number if found == -1 else found, "estimate": number, "low": number, "high": number}


def every_count(part: object) -> list[Counts]:
    if not isinstance(part, dict):
        return []
    return (
        [part]
        if set(part) == {"found", "estimate", "low", "high"}
        else [c for value in part.values() for c in every_count(value)]
    )


def test_the_keys_are_those_of_the_contract() -> None:
    found = census(buildings(("a", "complete", 1)), plots(planned=(100.0,)))
    assert set(found) == {"assumptions", "total", "sites", "outside_sites"}
    assert {"storeys", "rooms_per_building", "beds_per_room"} <= set(found["assumptions"])
    counts = {
        "area_km2", "buildings", "by_stage", "dormitory_like", "dormitory_by_stage", "planned_buildings", "planned_from", "beds",
        "checks_to_narrow",
    }  # fmt: skip
    assert set(found["sites"][0]) == counts | {"name", "ground", "warnings"}
    assert set(found["total"]) == counts
    for part in (found["sites"][0], found["total"]):
        assert set(part["by_stage"]) == set(part["dormitory_by_stage"]) == set(STAGES)
        assert set(part["beds"]) == {"now", "when_complete", "planned"}
        assert len(every_count(part)) == 12, "every count has what was found, an estimate, low and high, and nothing else"
    assert json.loads(json.dumps(found, allow_nan=False)) == found, "plain JSON: no NaN, no numpy"


def test_assumptions_are_those_of_the_profile() -> None:
    assumed = census(buildings())["assumptions"]
    assert (assumed["structure"], assumed["storeys"], assumed["beds_per_building"]) == ("dormitory", 2, 256)
    assert (assumed["rooms_per_building"], assumed["beds_per_room"]) == (64, 4)
    assert assumed["rooms_per_building_range"] == [56, 72] and assumed["beds_per_room_range"] == [3, 5]
    assert assumed["interval"] == 0.9


def test_what_is_counted() -> None:
    table = buildings(
        ("a", "complete", 1), ("a", "complete", 1), ("a", "incomplete", 1), ("a", "foundation", 0.1), (None, "complete", 1)
    )  # fmt: skip
    found = census(table)
    site = found["sites"][0]
    assert site["buildings"]["estimate"] == 4
    assert {s: c["estimate"] for s, c in site["by_stage"].items()} == {"foundation": 1, "incomplete": 1, "complete": 2}
    assert site["dormitory_like"]["estimate"] == 3
    assert {s: c["estimate"] for s, c in site["dormitory_by_stage"].items()} == {"foundation": 0, "incomplete": 1, "complete": 2}
    assert site["beds"]["now"]["estimate"] == 2 * 256, "only finished ones have beds now"
    assert site["beds"]["when_complete"]["estimate"] == 3 * 256
    assert site["beds"]["planned"] is None
    assert found["outside_sites"] == 1
    assert found["total"]["buildings"]["estimate"] == 4, "the total is that of the sites"


def test_unfinished_rows_have_no_beds_yet() -> None:
    site = census(buildings(*[("a", "incomplete", 1)] * 6))["sites"][0]
    assert site["beds"]["now"]["estimate"] == 0
    assert site["beds"]["when_complete"]["estimate"] == 6 * 256
    assert site["beds"]["when_complete"]["high"] > 6 * 256


def test_a_hundred_planned_dormitories_have_25600_beds() -> None:
    found = census(buildings(), plots(("a", "b", "c"), (60.0, np.nan, 40.0)))
    assert found["total"]["beds"]["planned"]["estimate"] == 25_600
    planned = [site["beds"]["planned"] for site in found["sites"]]
    assert [p and p["estimate"] for p in planned] == [15_360, None, 10_240]
    whole = found["total"]["beds"]["planned"]
    # 56 rooms of 3 beds to 72 rooms of 5: the interval lies well inside what is possible at all.
    assert 100 * 56 * 3 < whole["low"] < 25_600 < whole["high"] < 100 * 72 * 5


def test_plans_of_nought_are_nought_and_no_plans_are_none() -> None:
    assert census(buildings(), plots(planned=(0.0,)))["total"]["beds"]["planned"] == exactly(0, None)
    assert census(buildings())["total"]["beds"]["planned"] is None


def test_no_buildings_give_zeros() -> None:
    found = census(buildings(), plots(("a", "b"), (np.nan, np.nan)))
    for part in (found["total"], *found["sites"]):
        counts = every_count(part)
        assert len(counts) == 10
        assert {c["estimate"] for c in counts} == {c["low"] for c in counts} == {0}
        assert part["buildings"]["high"] <= 2, "at these rates few can have been missed"
    assert found["outside_sites"] == 0


def test_only_beyond_the_sites() -> None:
    found = census(buildings(*[(None, "complete", 1.0)] * 3))
    assert found["outside_sites"] == 3
    assert found["total"]["buildings"]["estimate"] == 0


def test_areas_and_warnings_are_handed_on() -> None:
    sites = plots(("a", "b", "c"), (np.nan,) * 3, area_km2=1.39 / 3)
    found = census(buildings(), sites, site_warnings=[("half of it",), (), ("odd", "very odd")])
    assert [site["warnings"] for site in found["sites"]] == [["half of it"], [], ["odd", "very odd"]]
    assert found["total"]["area_km2"] == 1.39
    assert [site["name"] for site in found["sites"]] == ["a", "b", "c"]
    assert all(site["warnings"] == [] for site in census(buildings(), sites)["sites"])


def test_a_plan_of_less_than_stands_there_is_warned_of_once() -> None:
    table = buildings()
    there = census(table)["sites"][0]["dormitory_like"]["estimate"]
    given = [["odd"]]
    for _ in range(2):
        (site,) = census(table, plots(planned=(there - 1.0,)), site_warnings=given)["sites"]
        given = [site["warnings"]]
        assert site["warnings"] == [
            "odd",
            f"planned_buildings is {there - 1}, fewer than the {there} dormitory-like buildings estimated to be there already; "
            "planned_buildings is the number in the end, with those",
        ]
    (site,) = census(table, plots(planned=(float(there),)), site_warnings=given)["sites"]
    assert site["warnings"] == ["odd"]


# Intervals.


def rated(matched: int, of: int) -> list[dict]:
    return [{"place": "x", "matched": matched, "predicted": of, "reference": of}]


def test_worse_fewer_and_unknown_rates_widen_the_interval() -> None:
    table = buildings(*[("a", "complete", 1)] * 40)
    good, poor, few = (census(table, rates=rated(*r))["total"]["buildings"] for r in ((950, 1000), (500, 1000), (19, 20)))
    unknown = census(table, rates=None)["total"]["buildings"]
    assert width(good) < width(few) < width(unknown)
    assert width(good) < width(poor) < width(unknown)
    assert {c["estimate"] for c in (good, poor, few, unknown)} == {40}, "the estimate is what was counted"
    assert census(table, rates=[])["total"]["buildings"] == unknown


def test_places_that_differ_widen_the_interval() -> None:
    table = buildings(*[("a", "complete", 1)] * 40)
    alike, apart = (
        census(table, rates=[r for n in matched for r in rated(n, 1000)])["total"]["buildings"]
        for matched in ((790, 800, 810), (600, 800, 950))
    )
    assert width(apart) > 2 * width(alike)


def test_doubt_widens_the_interval() -> None:
    sure, unsure = (census(buildings(*[("a", "complete", 1)] * 40, sure=p))["total"]["by_stage"] for p in (1.0, 0.5))
    assert unsure["complete"]["low"] < sure["complete"]["low"]
    assert unsure["foundation"]["high"] > sure["foundation"]["high"], "some may be foundations"
    like, perhaps = (census(buildings(*[("a", "complete", s)] * 40))["total"]["dormitory_like"] for s in (1.0, 0.6))
    assert perhaps["low"] < like["low"]


def test_a_score_is_a_probability() -> None:
    unlikely = census(buildings(*[("a", "complete", 0.2)] * 40), rates=rated(1_000_000, 1_000_000))["total"]["dormitory_like"]
    assert unlikely["estimate"] == 0, "none of them is more likely than not"
    assert 10 <= unlikely["high"] <= 14, "8 are expected, ± 1.64 × √(40 × 0.2 × 0.8) = 4.2"


def test_no_stage_has_a_higher_interval_than_all_buildings() -> None:
    kinds = [("a", stage, 0.7) for stage in STAGES for _ in range(7)]
    total = census(buildings(*kinds, sure=0.4))["total"]
    for part, whole in (("by_stage", "buildings"), ("dormitory_by_stage", "dormitory_like"), ("dormitory_by_stage", "by_stage")):
        for stage in STAGES:
            most = total[whole][stage] if whole == "by_stage" else total[whole]
            assert total[part][stage]["high"] <= most["high"] and total[part][stage]["low"] <= most["low"]


def test_measured_confusion_moves_the_stages() -> None:
    always_wrong = {"place": "x", "by_size": {"large": dict.fromkeys(("predicted", "real", "reference", "found"), 100)}}
    confusion = {t: dict.fromkeys(STAGES, 0) for t in STAGES}
    confusion["foundation"]["complete"] = 100
    table = buildings(*[("a", "complete", 0.0)] * 20)
    plain, confused = (census(table, rates=[always_wrong | more])["total"]["by_stage"] for more in ({}, {"stages": confusion}))
    assert plain["foundation"]["high"] == 0
    assert confused["foundation"]["high"] > 15 and confused["complete"]["low"] < 5


def drawn_place(rng: np.random.Generator, many: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """True and given stages (0–2) of a place whose classifier calls half of what is incomplete complete."""
    true = rng.choice(3, many, p=rng.dirichlet([2, 4, 6]))
    given = np.where((true == 1) & (rng.random(many) < 0.5), 2, true)
    return true, given


def test_intervals_of_a_biased_classifier_hold_the_truth() -> None:
    rng = np.random.default_rng(5)
    rates = []
    for i in range(8):
        true, given = drawn_place(rng)
        all_found = dict.fromkeys(("predicted", "real", "reference", "found"), len(true))
        stages = {t: {g: int(((true == j) & (given == k)).sum()) for k, g in enumerate(STAGES)} for j, t in enumerate(STAGES)}
        rates.append({"place": str(i), "by_size": {"large": all_found}, "stages": stages})
    held = np.zeros((2, 3))  # with what was measured, and without
    biased = 0
    for _ in range(40):
        true, given = drawn_place(rng)
        table = buildings(*[("a", STAGES[g], 0.0) for g in given], sure=0.98)
        biased += int((given == 1).sum() - (true == 1).sum())
        plain = [{k: v for k, v in r.items() if k != "stages"} for r in rates]
        for row, known in enumerate((rates, plain)):
            counted = census(table, rates=known)["total"]["by_stage"]
            held[row] += [counted[s]["low"] <= (true == i).sum() <= counted[s]["high"] for i, s in enumerate(STAGES)]
    assert biased < -300, "a third of the buildings are incomplete, and half of them are called complete"
    assert (held[0] >= 0.8 * 40).all(), held
    assert held[1][1] < held[0][1], "the measured confusion is what corrects the count"


def test_what_a_user_has_checked_is_certain() -> None:
    table = buildings(*[("a", "complete", 1.0)] * 6).assign(certain=True)
    total = census(table)["total"]
    assert total["dormitory_like"] == exactly(6)
    assert width(total["buildings"]) <= 2, "another may have been missed all the same"


def test_beds_follow_each_building() -> None:
    table = buildings(*[("a", "complete", 1.0)] * 4)
    table["beds"] = [100, 200, 300, 400]
    total = census(table)["total"]
    assert total["beds"]["now"]["estimate"] == total["beds"]["when_complete"]["estimate"] == 1000


def test_assumptions_are_spelt_out() -> None:
    told = census(buildings())["assumptions"]
    assert "64 rooms (56–72) × 4 beds (3–5)" in told["beds_now"]
    assert "complete dormitory-like" in told["beds_now"] and "planned_buildings" in told["beds_planned"]


def test_perfect_weights_leave_hardly_a_doubt() -> None:
    count = census(buildings(*[("a", "complete", 1)] * 30), rates=rated(1_000_000, 1_000_000))["total"]["buildings"]
    assert count["estimate"] == 30 and width(count) <= 2


def test_without_a_range_of_rooms_and_beds_only_the_count_is_in_doubt() -> None:
    fixed: StructureProfile = dataclasses.replace(PROFILE, rooms_per_building=Assumed(64, 64, 64), beds_per_room=Assumed(4, 4, 4))
    table = buildings(*[("a", "complete", 1)] * 10)
    found = take_census(table, plots(planned=(100.0,)), fixed, RATES)["total"]
    assert found["beds"]["planned"] == exactly(25_600, None)
    assert {k: v * 256 for k, v in found["dormitory_like"].items()} == found["beds"]["when_complete"]
    assert {k: v * 256 for k, v in found["dormitory_by_stage"]["complete"].items()} == found["beds"]["now"]
    assert width(census(table)["total"]["beds"]["when_complete"]) > width(found["beds"]["when_complete"])


def cleared(pads: int = 0) -> gpd.GeoDataFrame:
    """Ground of site a: 300 × 200 m cleared beside what stands, some of it pads."""
    shapes = [box(1000, 0, 1300, 200)] + [box(1010, 20 * k, 1060, 20 * k + 12) for k in range(pads)]
    return gpd.GeoDataFrame(
        {"kind": ["cleared"] + ["pad"] * pads, "site": "a", "area_m2": [s.area for s in shapes]},
        geometry=gpd.GeoSeries(shapes, crs=32631),
        crs=32631,
    )


def row_of_blocks(count: int = 8) -> tuple[gpd.GeoDataFrame, gpd.GeoDataFrame]:
    """Finished blocks of 50 × 12 m side by side, 12 m apart, and a plot with them and open ground."""
    table = buildings(*[("a", "complete", 1)] * count)
    table = table.set_geometry([box(0, 24 * k, 50, 24 * k + 12) for k in range(count)], crs=32631).assign(row=1)
    return table, plots().set_geometry([box(-50, -50, 1400, 400)], crs=32631)


def test_without_a_plan_the_cleared_ground_is_filled() -> None:
    table, sites = row_of_blocks()
    found = census(table, sites, ground=cleared(pads=5))
    site = found["sites"][0]
    ground = site["ground"]
    assert ground["pads"] == 5 and ground["fits"] > 20 and ground["packing_from"] == "site"
    plan = site["planned_buildings"]
    assert site["planned_from"] == found["total"]["planned_from"] == "ground"
    assert plan["estimate"] == 8 + round(ground["fits"])
    assert 8 + 5 - 3 <= plan["low"] < plan["estimate"] <= plan["high"], "at least the pads are built up"
    assert site["beds"]["planned"]["estimate"] == 256 * plan["estimate"]
    assert found["total"]["planned_buildings"] == plan


def test_a_plan_that_is_given_stands() -> None:
    table, sites = row_of_blocks()
    site = census(table, sites.assign(planned_buildings=100.0), ground=cleared())["sites"][0]
    assert site["planned_from"] == "given"
    assert site["planned_buildings"] == exactly(100, None)
    assert site["beds"]["planned"]["estimate"] == 25_600


def test_given_and_filled_sites_add_up() -> None:
    table, one = row_of_blocks()
    sites = gpd.GeoDataFrame(
        {"name": ["a", "b"], "planned_buildings": [np.nan, 40.0], "area_km2": [0.5, 0.5]},
        geometry=[one.geometry.iloc[0], box(5000, 0, 5100, 100)],
        crs=32631,
    )
    found = census(table, sites, ground=cleared())
    a, b = found["sites"]
    assert found["total"]["planned_from"] == "given and ground"
    assert found["total"]["planned_buildings"]["estimate"] == a["planned_buildings"]["estimate"] + 40
    assert b["ground"]["cleared_km2"] == 0


def test_ground_that_plots_share_is_built_up_once() -> None:
    table, one = row_of_blocks()
    sites = gpd.GeoDataFrame(
        {"name": ["a", "b"], "planned_buildings": np.nan, "area_km2": 0.5},
        geometry=[box(-50, -50, 1300, 400), box(500, -50, 1500, 400)],
        crs=32631,
    )
    twice = pd.concat([cleared(pads=5), cleared(pads=5).assign(site="b")], ignore_index=True)
    alone, both = census(table, one, ground=cleared(pads=5)), census(table, sites, ground=twice)
    assert both["total"]["planned_buildings"] == alone["total"]["planned_buildings"]
    assert both["sites"][1]["ground"]["pads"] == 5, "of each plot all of its ground is told"
    more = cleared().set_geometry([box(1200, 0, 1400, 200)], crs=32631).assign(site="b", area_m2=40_000.0)
    half = census(table, sites, ground=pd.concat([cleared(), more], ignore_index=True))
    first, second = (site["ground"]["fits"] for site in half["sites"])
    assert half["total"]["planned_buildings"]["estimate"] == 8 + round(first) + round(second / 2)


@pytest.mark.parametrize("stage", ["foundation", "incomplete", "complete"])
def test_beds_are_those_of_dormitory_like_buildings_as_if_finished(stage: str) -> None:
    table = buildings(("a", stage, 1), ("a", stage, 0)).assign(length_m=[50.0, 50.0]).drop(columns="beds")
    assert with_beds(table, PROFILE)["beds"].tolist() == [256, 0]


def test_storeys_from_shadows_scale_rooms_that_grow_with_them() -> None:
    growing = dataclasses.replace(PROFILE, rooms_per_metre=Assumed(0.5, 0.6, 0.7))
    table = buildings(*[("a", "complete", 1)] * 10).assign(length_m=50.0, height_m=12.9)
    table = with_beds(table, growing)
    assert set(table["beds"]) == {round(50 * 4 * 0.6) * 4}
    assert with_beds(table.assign(length_m=50.3), growing)["beds"][0] == 121 * 4, "rooms are whole"
    found = take_census(table, plots(planned=(10.0,)), growing, RATES)
    assumed = found["assumptions"]
    assert (assumed["storeys"], assumed["storeys_from"]) == (4, "shadows")
    assert assumed["storeys_measured"]["buildings"] == 10
    site = found["sites"][0]
    assert site["beds"]["now"]["estimate"] == 10 * 480
    assert site["beds"]["planned"]["estimate"] == 10 * 512, "the usual 256 of two storeys, doubled"
    assert storeys_notices(found) == []


def test_storeys_from_shadows_leave_rooms_per_building_and_say_so() -> None:
    table = with_beds(buildings(*[("a", "complete", 1)] * 10).assign(length_m=50.0, height_m=12.9), PROFILE)
    found = census(table)
    assert (found["assumptions"]["storeys"], found["assumptions"]["storeys_from"]) == (2, "profile")
    assert found["sites"][0]["beds"]["now"]["estimate"] == 10 * 256
    (warning,) = storeys_notices(found)
    assert warning.code == Code.STOREYS_DIFFER
    assert warning.text.startswith("shadows of 10 buildings say 4 storeys") and "the profile says 2" in warning.text
    agreed = census(table.assign(height_m=6.7))
    assert storeys_notices(agreed) == [] and agreed["assumptions"]["storeys_measured"]["estimate"] == 2


def measured_sites(*errors: float, found: int = 40) -> list[dict]:
    """Rates of places whose sites have so many true buildings for each that was found."""
    return [
        {"place": str(i), "sites": [[found, round(found * e), 0]] * 12, **rated(950, 1000)[0], "by_size": {}}
        for i, e in enumerate(errors)
    ]


def test_sites_of_held_out_places_make_the_interval_of_buildings() -> None:
    table = buildings(*[("a", "complete", 1)] * 40)
    near, far, one = (
        census(table, rates=measured_sites(*errors))["total"]["buildings"]
        for errors in ((1.0, 1.02, 0.98) * 10, (0.7, 1.0, 1.4) * 10, (1.0,))
    )
    assert near["estimate"] == far["estimate"] == 40
    assert 2 * width(near) < width(far) < 60 and width(near) < width(one)
    assert far["low"] <= 0.7 * 40 + 2 and far["high"] >= 1.4 * 40 - 2
    many = census(buildings(*[("a", "complete", 1)] * 400), rates=measured_sites(*(1.0, 1.02, 0.98) * 10))["total"]["buildings"]
    assert width(many) / 400 < width(near) / 40, "a few missed buildings matter less where there are many"


def test_stages_and_dormitories_are_parts_of_the_buildings_drawn_from_sites() -> None:
    kinds = [("a", stage, 0.9) for stage in STAGES for _ in range(7)]
    total = census(buildings(*kinds, sure=0.4), rates=measured_sites(0.7, 1.0, 1.4))["total"]
    assert sum(c["estimate"] for c in total["by_stage"].values()) == total["buildings"]["estimate"] == 21
    assert total["dormitory_like"]["high"] <= total["buildings"]["high"]
    for stage, count in total["dormitory_by_stage"].items():
        assert count["high"] <= total["by_stage"][stage]["high"] <= total["buildings"]["high"]
    assert total["beds"]["now"]["high"] <= total["dormitory_by_stage"]["complete"]["high"] * 72 * 5


@pytest.mark.parametrize("rates", [RATES, measured_sites(0.8, 1.0, 1.2)], ids=["rates by size", "sites"])
def test_the_profile_leaves_the_interval_of_buildings_as_it_is(rates: list) -> None:
    kinds = [("a", stage) for stage in STAGES for _ in range(15)]
    dormitories, houses = (buildings(*((*k, p) for k in kinds), sure=0.8) for p in (0.97, 0.03))
    house = load_profile("house")
    one = take_census(dormitories, plots(), PROFILE, rates)["total"]
    other = take_census(houses, plots(), house, rates)["total"]
    assert one["dormitory_like"] != other["dormitory_like"]
    for what in ("buildings", "by_stage"):
        assert one[what] == other[what]


def test_what_is_checked_no_longer_widens_the_interval() -> None:
    table, rates = buildings(*[("a", "complete", 1.0)] * 40), measured_sites(0.7, 1.0, 1.4)
    widths = [width(census(table.assign(certain=np.arange(40) < n), rates=rates)["total"]["buildings"]) for n in (0, 20, 39)]
    assert widths[0] > widths[1] > widths[2]


def test_small_buildings_are_in_more_doubt_where_they_were_miscounted() -> None:
    rates = [
        {"place": str(i), "by_size": {}, "sites": [[40, 40, 0], [40, round(40 * e), 40]]} for i, e in enumerate((0.5, 1, 2) * 5)
    ]
    table = buildings(*[("a", "complete", 1)] * 40)
    large, small = (census(table.assign(area_m2=area), rates=rates)["total"]["buildings"] for area in (720.0, 40.0))
    assert width(small) > 2 * width(large)


def missing_a_fifth(places: int = 8) -> list:
    """Rates of places where four of five buildings were found, on sites of 20 to 80."""
    sites = [[16, 20, 0], [32, 40, 0], [64, 80, 0]]
    return [{"place": str(i), "matched": 112, "predicted": 112, "reference": 140, "sites": sites} for i in range(places)]


def test_no_more_dormitories_are_estimated_than_buildings() -> None:
    rates = [{"place": str(i), "matched": 50, "predicted": 50, "reference": 100, "sites": [[50, 50, 0]]} for i in range(8)]
    total = census(buildings(*[("a", "complete", 1)] * 60), rates=rates)["total"]
    assert total["dormitory_like"]["estimate"] == total["buildings"]["estimate"] == pytest.approx(60, abs=1)


def test_the_largest_remainders_are_rounded_up() -> None:
    assert divided(7, np.array([5, 3, 2])).tolist() == [4, 2, 1]
    assert divided(7, np.array([1, 1, 2])).tolist() == [2, 2, 3] and divided(3, np.zeros(3)).tolist() == [0, 0, 0]


def test_the_estimate_makes_up_for_what_counts_miss_elsewhere() -> None:
    table = buildings(*[("a", "complete", 1)] * 40, *[("a", "incomplete", 1)] * 20, *[("a", "foundation", 1)] * 20)
    total = census(table, rates=missing_a_fifth())["total"]
    assert total["buildings"]["found"] == 80 and total["buildings"]["estimate"] == pytest.approx(100, abs=3)
    assert [total["by_stage"][s]["found"] for s in STAGES] == [20, 20, 40]
    assert [total["by_stage"][s]["estimate"] for s in STAGES] == pytest.approx([25, 25, 50], abs=2)
    assert total["buildings"]["low"] > 80, "so many are missed everywhere that it is sure that some were"
    assert total["beds"]["now"]["found"] == 40 * 256 == total["dormitory_by_stage"]["complete"]["found"] * 256
    longer = table.assign(beds=np.where(table["stage"] == "complete", 300, 10))
    beds = census(longer, rates=missing_a_fifth())["total"]["beds"]
    assert beds["now"]["estimate"] < beds["when_complete"]["estimate"], "each stage has beds of its own"
    assert total["beds"]["now"]["estimate"] == 256 * total["dormitory_by_stage"]["complete"]["estimate"] > 40 * 256
    few = census(table, rates=missing_a_fifth(1))["total"]["buildings"]
    assert 80 < few["estimate"] < total["buildings"]["estimate"], "one place says less"


def test_no_correction_without_numbers_on_sites_or_of_what_was_checked() -> None:
    table = buildings(*[("a", "complete", 1)] * 40)
    assert census(table)["total"]["buildings"]["estimate"] == 40
    every = census(table.assign(certain=True), rates=missing_a_fifth())["total"]
    assert every["buildings"] == exactly(40)
    half = census(table.assign(certain=np.arange(40) < 20, surveyed=np.arange(40) < 20), rates=missing_a_fifth())["total"]
    assert half["buildings"]["estimate"] == pytest.approx(20 + 25, abs=1)
    stages = buildings(*[("a", "complete", 1)] * 30, *[("a", "foundation", 1)] * 30)
    checked = np.arange(60) < 30
    counted = census(stages.assign(certain=checked, surveyed=checked), rates=missing_a_fifth())["total"]
    assert counted["by_stage"]["complete"] == exactly(30), "the correction is that of the unchecked ones alone"
    assert counted["by_stage"]["foundation"]["estimate"] == pytest.approx(37, abs=1)
    assert census(buildings(), rates=missing_a_fifth())["total"]["buildings"]["estimate"] == 0


@pytest.mark.parametrize("rates", [RATES, SITED], ids=["precision and recall", "sites"])
def test_checks_to_narrow_are_those_after_which_the_interval_is_narrow(rates: list) -> None:
    table = buildings(*[("a", "complete", 0.0)] * 60)
    before = census(table, rates=rates)["total"]
    wanted = before["checks_to_narrow"]
    assert 0 < wanted < 60
    assert width(before["buildings"]) > 0.2 * 60
    assert width(before["buildings"]) * (1 - wanted / 60) == pytest.approx(0.2 * 60, abs=2), "what the unchecked ones leave"
    done = np.arange(60) < wanted
    after = census(table.assign(certain=done, surveyed=done), rates=rates)["total"]
    assert after["checks_to_narrow"] < wanted / 2, "a few remain, as the rest is drawn anew"
    alone = census(table.assign(certain=done), rates=rates)["total"]["buildings"]
    assert alone["low"] >= wanted
    assert width(after["buildings"]) < width(alone) < width(before["buildings"]), (
        "beside those checked alone, some may be missing"
    )
    assert width(after["buildings"]) < 0.4 * width(before["buildings"])
    every = census(table.assign(certain=True), rates=rates)["total"]
    assert every["checks_to_narrow"] == 0 and every["buildings"] == exactly(60)
    few = census(table.assign(certain=np.arange(60) < 20), rates=rates)["total"]
    assert few["checks_to_narrow"] <= 40 < 60 * (1 - 0.2 * 60 / width(few["buildings"])), "no more than are left to check"


@pytest.mark.parametrize(("estimate", "bounds"), [(3.0, (3, 5)), (5.0, (5, 5)), (8.0, (5, 8))])
def test_an_interval_holds_its_estimate(estimate: float, bounds: tuple[int, int]) -> None:
    found = _interval(None, estimate, np.full(DRAWS, 5.0))
    assert (found["low"], found["high"]) == bounds


def test_ground_holds_its_pads_at_least_and_all_that_fits_at_most() -> None:
    none = TrueNumbers(np.zeros((3, DRAWS)), np.zeros((3, DRAWS)))
    plan = _plan(float("nan"), Capacity(0.01, 20, 60.0, None, None), 0, none)
    assert plan is not None and plan.estimate == 60 and plan.draws.min() >= 20
    low, middle, high = np.quantile(plan.draws, [0.05, 0.5, 0.95])
    assert 20 < low < 24 < 35 < middle < 45 and 55 < high < 70
