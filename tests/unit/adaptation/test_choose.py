"""A gain is kept, chance is not, and too little ground says so."""

from __future__ import annotations

import numpy as np
import pytest

import detect.adaptation.choose as choosing
from detect.adaptation.choose import Verdict, choose
from detect.adaptation.scores import (
    COLUMNS,
    CREDIT,
    EITHER,
    FOUND,
    SHARED,
    SMALL,
    TRUE,
    Scores,
    blocks_of,
    cells_of,
    merit,
    noise,
    scores,
    tally,
)
from detect.adaptation.windows import Views
from detect.buildings.instances import InstanceParams
from detect.network.last_layer import LastLayer
from tests.unit.adaptation.drawn_windows import draw_views, layer_of

GSD_M = 0.4


def chosen(layer: LastLayer, views: Views | None = None) -> Verdict:
    return choose(views or draw_views(layer), GSD_M, layer, InstanceParams(), lambda done, total: None)


def test_a_head_that_misses_buildings_is_replaced() -> None:
    verdict = chosen(layer_of(1))
    assert verdict.kept and verdict.layer is not None and verdict.hold is not None
    assert verdict.before is not None and verdict.after is not None
    assert verdict.after.f1 > verdict.before.f1 + 0.1 and verdict.gain > verdict.noise
    assert verdict.before.true == 18
    assert verdict.numbers == (verdict.after.found, 18, 0), "buildings of 12 × 14 m are not small"


def test_a_head_that_is_right_stays() -> None:
    verdict = chosen(layer_of(0))
    assert not verdict.kept and verdict.layer is None
    assert verdict.before is not None and verdict.before.f1 > 0.95


@pytest.mark.parametrize(
    ("after", "gain", "error", "kept"),
    [
        ((0.60, 0.60), 0.03, 0.02, True),
        ((0.60, 0.60), 0.03, 0.03, False),  # it may be chance
        ((0.52, 0.51), 0.004, 0.0, False),  # sure, but tiny
        ((0.50, 0.70), 0.10, 0.0, False),  # outlines alone are better
        ((0.70, 0.49), 0.05, 0.0, False),  # outlines are worse
    ],
)
def test_what_counts_as_a_gain(after: tuple[float, float], gain: float, error: float, kept: bool) -> None:
    assert choosing._is_gain(Scores(0.5, 0.5, 20, 20), Scores(*after, 20, 20), gain, error) is kept


def test_faint_sheds_are_dropped_by_asking_for_surer_buildings(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = layer_of(0)
    layer.weight[0, 1, 1, 1] = 4.0  # sheds are found too, at 0.73
    monkeypatch.setattr(choosing, "HOLDS", (None,))
    verdict = chosen(layer)
    assert verdict.kept and verdict.layer is None and verdict.margins["mean_margin"] >= 0.3
    assert verdict.before is not None and verdict.after is not None
    assert verdict.before.found > 27 and verdict.after.found == 18


def test_a_gain_everywhere_is_preferred_to_a_larger_one_in_a_few_cells() -> None:
    old = np.zeros((10, COLUMNS))
    old[:, [FOUND, TRUE]], old[:, [SHARED, EITHER]], old[:, CREDIT] = 4, (50, 100), 1
    even, odd = old.copy(), old.copy()
    even[:, CREDIT] += 0.4
    odd[0, CREDIT], odd[1:4, CREDIT] = 0, 3
    assert merit(odd) > merit(even) and choosing._best([old, odd, even], old) == 2
    assert choosing._best([old, odd], old) == 1


def test_too_few_cells_say_so() -> None:
    layer = layer_of(1)
    views = draw_views(layer, checked=1)
    window = views.checked[0]
    window.known[30:] = False
    verdict = chosen(layer, Views([window], views.elsewhere, 0))
    assert not verdict.kept and "too few to tell" in verdict.why
    assert not chosen(layer, Views([], views.elsewhere, 0)).kept


def test_what_lies_in_one_window_is_left_out_together() -> None:
    windows = draw_views(layer_of(0)).checked
    cells, count = cells_of(windows, GSD_M)
    block = blocks_of(windows, cells, GSD_M, count)
    assert [len(np.unique(block[own])) for own in cells] == [1, 1, 1] and block.max() == 2
    fine, many = cells_of(windows, GSD_M / 4)
    assert [len(np.unique(blocks_of(windows, fine, GSD_M / 4, many)[own])) for own in fine] == [1, 1, 1], "of 16 m, a cell each"
    coarse, many = cells_of(windows, GSD_M * 3)
    assert [len(np.unique(blocks_of(windows, coarse, GSD_M * 3, many)[own])) for own in coarse] == [9, 9, 9], (
        "of 192 m, ten cells wide"
    )


def test_folds_are_made_of_blocks_and_hold_about_as_many_buildings() -> None:
    old = np.zeros((12, COLUMNS))
    old[:, TRUE] = 1
    block = np.repeat(np.arange(6), 2)
    folds = choosing._folds(old, block)
    assert all(len(set(folds[block == b])) == 1 for b in range(6)) and sorted(np.bincount(folds)) == [2, 2, 2, 2, 4]
    assert len(set(choosing._folds(old, np.zeros(12, np.int64)))) == choosing.FOLDS, "one block alone is divided into its cells"


def test_bare_windows_beside_one_with_buildings_do_not_make_the_folds() -> None:
    old = np.zeros((12, COLUMNS))
    old[:8, TRUE] = 2
    block = np.array([0] * 8 + [1] * 4)
    folds = choosing._folds(old, block)
    assert all((folds[:8] == fold).any() for fold in range(choosing.FOLDS)), (
        "buildings are learnt from whichever fold is left out"
    )


def test_the_truth_itself_scores_one() -> None:
    windows = draw_views(layer_of(0)).checked
    cells, count = cells_of(windows, GSD_M)
    total = np.zeros((count, COLUMNS))
    for window, own in zip(windows, cells, strict=True):
        heads = np.zeros((5, *window.built.shape), np.uint8)
        heads[0] = np.where(window.built, 254, 0)
        total += tally(window, own, heads, InstanceParams(), count, small_px=30 * 36 + 1)
    assert scores(total).f1 == 1 and scores(total).iou > 0.98 and scores(total).found == scores(total).true == 18
    assert merit(total) > 0.98 and total[:, SMALL].sum() == 18


def test_noise_is_that_of_cells_that_differ() -> None:
    before = np.zeros((10, COLUMNS))
    before[:, [FOUND, TRUE]], before[:, [SHARED, EITHER]], before[:, CREDIT] = 2, (50, 100), 1
    after = before.copy()
    after[:, CREDIT] += 0.2
    assert merit(after) > merit(before) and noise(before, after) < 1e-9, "each cell gains alike"
    after[0, CREDIT], after[1, CREDIT] = 2, 0
    assert noise(before, after) > 0.03
