"""What a site's intervals owe their width to."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from detect.base.errors import InputError
from detect.census.count import place_of, take_census
from detect.census.draws import SOURCES
from detect.census.explain import CHANCE, explain
from detect.census.profiles import Assumed
from tests.unit.census.test_count import PROFILE, RATES, SITED, buildings, plots

TWENTY = [("a", "complete", 0.95)] * 16 + [("a", "incomplete", 0.95)] * 4


def test_shares_sum_to_one_and_each_count_has_its_own() -> None:
    found = explain(buildings(*TWENTY, sure=0.7), PROFILE, RATES, "a")
    assert np.allclose(found[[*SOURCES, CHANCE]].sum(axis=1), 1)
    assert (found["low"] <= found["high"]).all()
    assert found.loc["buildings", "profile"] == 0 and found.loc["buildings", "stage"] == 0
    assert found.loc["beds when complete", "profile"] > 0.1
    assert found.loc["complete", "stage"] > 0.1


def test_the_interval_is_that_of_the_census() -> None:
    table = buildings(*TWENTY, sure=0.7)
    for rates in (RATES, SITED):
        found, site = explain(table, PROFILE, rates, "a"), take_census(table, plots(), PROFILE, rates)["sites"][0]
        counts = (site["buildings"], site["by_stage"]["complete"], site["dormitory_like"], *site["beds"].values())
        told = found[["low", "high"]].to_numpy().tolist()
        assert told == [[count["low"], count["high"]] for count in counts[:5]]


def test_a_source_that_is_certain_has_no_share() -> None:
    sure = dataclasses.replace(
        PROFILE, rooms_per_building=Assumed(64, 64, 64), beds_per_room=Assumed(4, 4, 4), rooms_per_metre=None
    )
    found = explain(buildings(*TWENTY), sure, RATES, "a")
    assert found.loc["beds now", "profile"] == 0
    assert found.loc["buildings", "missed"] > 0
    checked = explain(buildings(*TWENTY).assign(certain=True), sure, SITED, "a")
    assert not checked.loc[["dormitory-like", "beds now"], [*SOURCES, CHANCE]].to_numpy().any(), (
        "nothing is wide where all is known"
    )


def test_with_all_sources_the_place_is_the_same_and_with_none_a_spread_is_gone() -> None:
    place = place_of(buildings(*TWENTY), PROFILE, SITED)
    assert place.spread is not None
    every, none = place.only(*SOURCES), place.only()
    assert np.allclose(every.spread.z, place.spread.z)
    assert not none.spread.z.any()
    assert np.ptp(none.spread.factors(20, 0.0)) < 1e-9, "nor is its shift"
    split = [place.only(s).spread.z.std() ** 2 for s in ("missed", "false")]
    assert sum(split) == pytest.approx(place.spread.z.std() ** 2)
    assert min(split) > 0


def test_an_unknown_site_is_named_with_those_that_there_are() -> None:
    with pytest.raises(InputError, match="no building lies in a site 'b'; sites with buildings: a"):
        explain(buildings(*TWENTY), PROFILE, RATES, "b")
