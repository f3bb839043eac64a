"""A gain is kept, chance is not, and too little ground says so."""

from __future__ import annotations

import numpy as np
import pytest

import detect.adaptation.choose as choosing
from detect.adaptation.choose import Verdict, choose
from detect.adaptation.scores import CREDIT, EITHER, FOUND, SHARED, TRUE, cells_of, merit, noise, scores, tally
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


def test_a_head_that_is_right_stays() -> None:
    verdict = chosen(layer_of(0))
    assert not verdict.kept and verdict.layer is None
    assert verdict.before is not None and verdict.before.f1 > 0.95


def test_faint_sheds_are_dropped_by_asking_for_surer_buildings(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = layer_of(0)
    layer.weight[0, 1, 1, 1] = 4.0  # sheds are found too, at 0.73
    monkeypatch.setattr(choosing, "HOLDS", (None,))
    verdict = chosen(layer)
    assert verdict.kept and verdict.layer is None and verdict.margins["mean_margin"] >= 0.3
    assert verdict.before is not None and verdict.after is not None
    assert verdict.before.found > 27 and verdict.after.found == 18


def test_a_gain_everywhere_is_preferred_to_a_larger_one_in_a_few_cells() -> None:
    old = np.zeros((10, 6))
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


def test_the_truth_itself_scores_one() -> None:
    windows = draw_views(layer_of(0)).checked
    cells, count = cells_of(windows, GSD_M)
    total = np.zeros((count, 6))
    for window, own in zip(windows, cells, strict=True):
        heads = np.zeros((5, *window.built.shape), np.uint8)
        heads[0] = np.where(window.built, 254, 0)
        total += tally(window, own, heads, InstanceParams(), count)
    assert scores(total).f1 == 1 and scores(total).iou > 0.98 and scores(total).found == scores(total).true == 18
    assert merit(total) > 0.98


def test_noise_is_that_of_cells_that_differ() -> None:
    before = np.zeros((10, 6))
    before[:, [FOUND, TRUE]], before[:, [SHARED, EITHER]], before[:, CREDIT] = 2, (50, 100), 1
    after = before.copy()
    after[:, CREDIT] += 0.2
    assert merit(after) > merit(before) and noise(before, after) < 1e-9, "each cell gains alike"
    after[0, CREDIT], after[1, CREDIT] = 2, 0
    assert noise(before, after) > 0.03
