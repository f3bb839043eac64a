"""What held-out places say of a new one: counts by kind, and draws that are as wide as the places differ."""

from __future__ import annotations

import geopandas as gpd
import numpy as np
import pytest
from shapely import box

from detect.census.rates import count_rates, draw_place, of_kind, overall_recall, size_classes, stage_recall, stage_shares

DRAWS = 4000


def place(name: str, kind: str = "large", **counts: float) -> dict:
    return {"place": name, "by_size": {kind: {"predicted": 100, "real": 90, "reference": 100, "found": 90} | counts}}


def drawn(rates: list, kind: str = "large") -> tuple[np.ndarray, np.ndarray]:
    found = draw_place(rates, kind, np.random.default_rng(1), DRAWS)
    assert ((found.precision > 0) & (found.precision <= 1) & (found.recall > 0) & (found.recall <= 1)).all()
    return found.precision, found.recall


def test_draws_centre_on_the_places() -> None:
    precision, recall = drawn([place(str(i), real=60, found=95) for i in range(12)])
    assert np.median(precision) == pytest.approx(0.6, abs=0.04)
    assert np.median(recall) == pytest.approx(0.95, abs=0.02)


def test_draws_are_as_wide_as_the_places_differ() -> None:
    alike, apart = (
        np.ptp(np.quantile(drawn([place(str(n), real=n) for n in numbers])[0], [0.05, 0.95]))
        for numbers in ((78, 79, 80, 81, 82) * 3, (55, 70, 80, 90, 98) * 3)
    )
    assert apart > 2.5 * alike


def test_one_place_alone_leaves_much_open() -> None:
    one, many = (np.ptp(np.quantile(drawn([place(str(i)) for i in range(n)])[0], [0.05, 0.95])) for n in (1, 15))
    assert one > 2 * many


def test_places_that_never_miss_leave_hardly_a_doubt() -> None:
    _, recall = drawn([place(str(i), found=100) for i in range(30)])
    assert np.quantile(recall, 0.05) > 0.99


def test_precision_and_recall_go_together_where_they_do() -> None:
    both = drawn([place(str(n), real=n, found=n) for n in (50, 60, 70, 80, 90, 95)])
    assert np.corrcoef(*both)[0, 1] > 0.5


def test_doubtful_footprints_have_a_precision_of_their_own() -> None:
    rates = [place(str(i), predicted=100, real=70, doubtful=40, doubtful_real=12) for i in range(12)]
    found = draw_place(rates, "large", np.random.default_rng(1), DRAWS)
    assert np.median(found.precision) == pytest.approx(58 / 60, abs=0.02)
    assert np.median(found.doubtful) == pytest.approx(12 / 40, abs=0.04)
    assert np.median(drawn([place("x")])[0]) > 0.8, "a card that does not say counts all alike"


def test_what_is_not_known_of_a_kind_is_taken_from_another_or_is_half() -> None:
    rates = [place(str(i), "large", real=97, found=97) for i in range(12)]
    assert np.median(drawn(rates, "dormitory")[1]) == pytest.approx(0.97, abs=0.02)
    assert np.median(drawn([{"place": "x", "stages": {}}][:0], "small")[0]) == pytest.approx(0.5, abs=0.05)


def test_cards_without_sizes_count_with_all_buildings() -> None:
    rates = [{"place": str(i), "matched": 80, "predicted": 100, "reference": 160} for i in range(12)]
    precision, recall = drawn(rates, "small")
    assert np.median(precision) == pytest.approx(0.8, abs=0.03) and np.median(recall) == pytest.approx(0.5, abs=0.04)


def test_recall_of_all_sizes_and_places_together() -> None:
    sized = {
        "place": "a",
        "by_size": {"small": {"predicted": 9, "real": 9, "reference": 30, "found": 10}, **place("", found=60)["by_size"]},
    }
    whole = {"place": "b", "matched": 50, "predicted": 100, "reference": 70}
    stages_alone, rows_alone = {"place": "c", "by_stage": {}, "stages": {}}, place("d", "dormitory", found=100)
    assert overall_recall([sized, whole, stages_alone, rows_alone]) == (10 + 60 + 50) / (30 + 100 + 70)
    assert overall_recall([stages_alone, rows_alone]) is None
    assert overall_recall([]) is None


def test_drawn_places_tell_of_drawn_scenes_alone() -> None:
    real, simulated = {"place": "a"}, {"place": "b", "simulated": True}
    assert of_kind([real, simulated], simulated=True) == [simulated]
    assert of_kind([real, simulated], simulated=False) == [real]
    assert of_kind([real], simulated=True) == [real], "better than nothing"


def buildings(*kinds: tuple[float, str | None, float]) -> gpd.GeoDataFrame:
    """A building per (x, stage, dormitory score), 40 × 10 m."""
    shapes = [box(x, 0, x + 40, 10) for x, _, _ in kinds]
    columns = {
        "stage": np.array([s for _, s, _ in kinds], object),
        "dormitory_score": [p for _, _, p in kinds],
        "area_m2": 400.0,
        "score": 0.9,
    }
    return gpd.GeoDataFrame(columns, geometry=shapes)


def test_counts_of_a_place() -> None:
    found = buildings((0, "complete", 0.9), (102, "foundation", 0.6), (300, "complete", 0.3)).assign(score=[0.9, 0.7, 0.6])
    truth = buildings((1, "complete", 0), (100, "incomplete", 0), (200, "complete", 0)).assign(dormitory=[True, True, True])
    record = count_rates("here", found, truth)
    assert record["by_size"]["large"] == {
        "predicted": 3, "real": 2, "doubtful": 2, "doubtful_real": 1, "reference": 3, "found": 2
    }  # fmt: skip
    assert record["by_size"]["small"] == dict.fromkeys(record["by_size"]["large"], 0)
    assert record["by_size"]["dormitory"] == {"predicted": 1.8, "real": 1.5, "reference": 3, "found": 1.5}
    assert record["by_stage"]["complete"] == {"reference": 2, "found": 1}
    assert record["stages"]["incomplete"] == {"foundation": 1, "incomplete": 0, "complete": 0}


def test_size_classes_have_their_edges() -> None:
    assert size_classes(np.array([10.0, 79.9, 80, 299, 300, 5000])).tolist() == ["small"] * 2 + ["medium"] * 2 + ["large"] * 2


def test_stage_shares_are_those_of_the_places_and_know_how_they_differ() -> None:
    def table(complete: int, incomplete: int) -> dict:
        column = {"foundation": 0, "incomplete": incomplete, "complete": complete}
        return {"stages": {t: {"foundation": 0, "incomplete": 0, "complete": n} for t, n in column.items()}}

    shares, checked, alike = stage_shares([table(90, 10)] * 10, "complete")
    assert shares == pytest.approx([0, 0.1, 0.9], abs=0.01) and checked == 1000
    _, _, apart = stage_shares([table(99, 1), table(60, 40)] * 5, "complete")
    assert apart < alike / 3
    shares, checked, _ = stage_shares([], "complete")
    assert shares == pytest.approx([1 / 3] * 3) and checked == 0


def test_rarer_stages_are_found_less_often() -> None:
    stages = {"foundation": {"reference": 400, "found": 200}, "incomplete": {"reference": 400, "found": 400},
              "complete": {"reference": 400, "found": 396}}  # fmt: skip
    relative = np.median(stage_recall([{"by_stage": stages}], np.random.default_rng(1), DRAWS), axis=1)
    assert relative == pytest.approx([0.5 / 0.99, 1, 1], abs=0.03)
    assert (stage_recall([], np.random.default_rng(1), DRAWS) == 1).all()
    stages["complete"]["found"] = 200
    assert stage_recall([{"by_stage": stages}], np.random.default_rng(1), DRAWS).max() == 1, "as often as complete ones"
