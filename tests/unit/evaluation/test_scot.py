"""The SpaceNet 7 score, on cases counted by hand."""

from __future__ import annotations

import geopandas as gpd
import pytest
import shapely

from detect.evaluation.scot import DateMatches, match_date, scot


def date_of(*pairs: tuple[str | None, int | None]) -> DateMatches:
    """(identity in ours, identity in the reference); None for a footprint without partner."""
    ours = [a for a, _ in pairs if a is not None]
    theirs = [b for _, b in pairs if b is not None]
    matched = [(ours.index(a), theirs.index(b)) for a, b in pairs if a is not None and b is not None]
    return DateMatches(tuple(ours), tuple(theirs), tuple(matched))


def test_a_perfect_series() -> None:
    told = scot([date_of(("a", 1)), date_of(("a", 1), ("b", 2))])
    assert told["scot"] == told["tracking"]["score"] == told["change"]["score"] == 1


def test_an_identity_that_changes_is_both_errors() -> None:
    # Three matches, of which the second and third go to other partners than before: 1 right, 2 + 2 wrong.
    told = scot([date_of(("a", 1)), date_of(("b", 1)), date_of(("a", 1))])
    assert told["tracking"] == {"score": pytest.approx(1 / 3), "tp": 1, "fp": 2, "fn": 2, "mismatches": 2}


def test_the_last_match_counts_across_a_gap() -> None:
    told = scot([date_of(("a", 1)), date_of((None, 1)), date_of(("a", 1))])
    assert told["tracking"]["mismatches"] == 0
    assert told["tracking"]["fn"] == 1


def test_change_counts_first_appearances_after_the_first_date() -> None:
    # New at date 2: 2 in the reference (matched to an old one of ours), b of ours (matched to an old one).
    told = scot([date_of(("a", 1)), date_of(("b", 1), ("a", 2)), date_of(("b", 1), ("a", 2), ("c", 3))])
    assert {k: told["change"][k] for k in ("tp", "fp", "fn")} == {"tp": 1, "fp": 1, "fn": 1}
    assert told["change"]["score"] == 0.5


def test_the_harmonic_mean_leans_on_tracking() -> None:
    told = scot([date_of(("a", 1)), date_of(("a", 1), ("b", 2), ("c", None))])
    tracking, change = told["tracking"]["score"], told["change"]["score"]
    assert tracking == pytest.approx(3 / 3.5)
    assert change == pytest.approx(1 / 1.5)
    assert told["scot"] == pytest.approx(5 * change * tracking / (4 * change + tracking))


def test_nothing_new_has_no_change_score() -> None:
    told = scot([date_of(("a", 1)), date_of(("a", 1))])
    assert told["change"]["score"] is None
    assert told["scot"] is None


def table(**boxes: tuple[float, float, float, float]) -> gpd.GeoDataFrame:
    return gpd.GeoDataFrame({"id": list(boxes)}, geometry=[shapely.box(*b) for b in boxes.values()])


def test_as_many_matches_as_can_be() -> None:
    # Greedy, best first, would match a with x (IoU 0.8) and leave b without; y overlaps a alone.
    ours = table(a=(0, 0, 10, 10), b=(8, 0, 14, 10))
    theirs = table(x=(2, 0, 12, 10), y=(0, 0, 4, 10))
    assert sorted(match_date(ours, theirs).matched) == [("a", "y"), ("b", "x")]


def test_an_iou_of_a_quarter_is_none() -> None:
    ours, theirs = table(a=(0, 0, 10, 10)), table(x=(0, 0, 10, 2.5))
    assert match_date(ours, theirs).matched == []
    assert match_date(ours, table(x=(0, 0, 10, 2.6))).matched == [("a", "x")]
