"""The shift between dates."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import shapely

from detect.tracks.align import AGREE_M, FEWEST, REACH_M, _most_voted, align, estimate_shift
from tests.unit.tracks.drawn_series import draw_series


def test_a_shift_larger_than_the_gap_between_blocks_is_found() -> None:
    drawn = draw_series(1, dates=2, clouded=None, shift_m=0)
    moved = drawn.snapshots[1].moved((9.0, -7.0))
    shift, agreed = estimate_shift(moved, drawn.snapshots[0])
    np.testing.assert_allclose(shift, (-9.0, 7.0), atol=0.3)
    assert agreed > 50


def test_all_dates_are_laid_on_their_median() -> None:
    drawn = draw_series(2, dates=5, clouded=None, shift_m=4)
    aligned, agreed = align(drawn.snapshots)
    shifts = np.array([s.shift_xy_m for s in aligned])
    left = drawn.shifts + shifts
    assert np.abs(left - np.median(left, axis=0)).max() < 0.4
    np.testing.assert_allclose(np.median(shifts, axis=0), 0, atol=1e-9)
    assert min(agreed) >= FEWEST


def test_a_date_without_buildings_stays_where_it_is() -> None:
    drawn = draw_series(3, dates=3, clouded=1)
    aligned, agreed = align(drawn.snapshots)
    assert aligned[1].shift_xy_m == (0.0, 0.0)
    assert agreed[1] == 0


def test_ground_moves_with_the_buildings() -> None:
    snapshot = draw_series(4, dates=2, clouded=None).snapshots[0]
    moved = snapshot.moved((3.0, 4.0))
    assert shapely.centroid(snapshot.observed).distance(shapely.centroid(moved.observed)) == pytest.approx(5.0)
    assert moved.shift_xy_m == (3.0, 4.0)


def test_a_hundred_thousand_pairs_vote_on_a_grid() -> None:
    rng = np.random.default_rng(1)
    moves = rng.normal((4.1, -3.3), 0.5, (100_000, 2))
    moves[:30_000] = rng.uniform(-REACH_M, REACH_M, (30_000, 2))
    np.testing.assert_allclose(_most_voted(moves), (4.1, -3.3), atol=0.5)


def test_every_move_is_on_the_grid() -> None:
    for edge in ([REACH_M, 0.0], [0.0, -REACH_M]):
        np.testing.assert_allclose(_most_voted(np.array([edge] * 5)), edge, atol=AGREE_M)


def test_moves_that_do_not_agree_tell_nothing_and_warn_of_nothing() -> None:
    rng = np.random.default_rng(0)
    drawn = draw_series(1, dates=2, clouded=None).snapshots[0]
    for _ in range(150):
        at = np.column_stack([np.arange(6) * 300.0, np.zeros(6)])
        dates = []
        for corners in (at, at + rng.uniform(-20, 20, (6, 2))):
            table = drawn.buildings.iloc[:6].set_geometry([shapely.box(x, y, x + 10, y + 10) for x, y in corners])
            dates.append(replace(drawn, buildings=table))
        estimate_shift(*dates)
