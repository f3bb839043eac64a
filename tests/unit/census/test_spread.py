"""How far counts are off: sites cut from a place, and draws as wide as held-out places were off."""

from __future__ import annotations

import geopandas as gpd
import numpy as np
import pytest
import shapely

from detect.census.rates import count_rates
from detect.census.spread import CUT_FROM, SITES, cut_sites, draw_spread


def town(many: int, seed: int = 1) -> gpd.GeoDataFrame:
    xy = np.random.default_rng(seed).uniform(0, 500, (many, 2))
    shapes = shapely.box(xy[:, 0], xy[:, 1], xy[:, 0] + 8, xy[:, 1] + 8)
    return gpd.GeoDataFrame({"area_m2": np.where(xy[:, 0] < 250, 64.0, 90.0)}, geometry=shapes)


def drawn(*places: list[list[int]], found: int = 40, small: float = 0.0) -> np.ndarray:
    spread = draw_spread([{"place": str(i), "sites": p} for i, p in enumerate(places)], np.random.default_rng(1), 4000)
    assert spread is not None
    numbers = spread.true_numbers(found, small)
    assert (numbers == np.rint(numbers)).all() and (numbers >= 0).all()
    return numbers


def width(numbers: np.ndarray) -> float:
    return float(np.ptp(np.quantile(numbers, [0.05, 0.95])))


def test_sites_of_a_place_hold_its_buildings() -> None:
    truth = town(200)
    sites = cut_sites(truth, truth)
    assert len(sites) == SITES and sites == cut_sites(truth, truth)
    assert sites[0] == [200, 200, int((truth["area_m2"] < 80).sum())]
    assert all(found == true >= small and 4 <= true <= 150 for found, true, small in sites[1:])
    assert len({true for _, true, _ in sites}) > 5
    half = cut_sites(truth[::2], truth)
    assert [true for _, true, _ in half] == [true for _, true, _ in sites]
    assert all(found < true for found, true, _ in half)


def test_small_places_are_one_site_and_tiny_ones_none() -> None:
    few = town(CUT_FROM - 1)
    assert cut_sites(few[:20], few) == [[20, CUT_FROM - 1, int((few[:20]["area_m2"] < 80).sum())]]
    assert cut_sites(few, few[:4]) == []
    assert cut_sites(few[:0], few) == [[0, CUT_FROM - 1, 0]]


def test_the_record_of_a_place_holds_its_sites() -> None:
    truth = town(30)
    found = truth.assign(score=0.9, stage="complete", dormitory_score=0.0)
    assert count_rates("here", found, truth)["sites"] == cut_sites(found, truth)


def test_draws_are_centred_on_what_was_found_and_as_wide_as_places_differ() -> None:
    alike, apart = (drawn(*([[100, round(100 * e), 0]] for e in errors)) for errors in ((0.97, 1, 1.03) * 8, (0.6, 1, 1.6) * 8))
    assert np.median(alike) == np.median(apart) == 40
    assert width(apart) > 4 * width(alike)
    assert np.mean((apart >= 24) & (apart <= 64)) == pytest.approx(0.85, abs=0.1), "two thirds of the places are that far off"


def test_a_few_missed_buildings_matter_on_small_sites_alone() -> None:
    places = [[[10, 10 + e, 0], [100, 100 + e, 0]] for e in (-2, -1, 0, 1, 2) * 5]
    assert width(drawn(*places, found=10)) / 10 > 3 * width(drawn(*places, found=100)) / 100


def test_small_buildings_widen_the_interval_where_they_are_miscounted() -> None:
    places = [[[40, 40, 0], [40, round(40 * e), 40]] for e in (0.5, 0.8, 1.0, 1.3, 2.0) * 4]
    large, mixed, small = (width(drawn(*places, small=share)) for share in (0.0, 0.5, 1.0))
    assert large < mixed < small and small > 2 * large


def test_a_place_counts_once_however_many_sites_it_has() -> None:
    once, often = (drawn([[40, 60, 0]] * n, *[[[40, 40, 0]]] * 9) for n in (1, 500))
    assert (once == often).all()


def test_cards_without_sites_have_no_spread() -> None:
    rates = [{"place": "a", "matched": 1, "predicted": 2, "reference": 2}, {"place": "b", "by_size": {}, "sites": []}]
    assert draw_spread(rates, np.random.default_rng(1), 10) is None
