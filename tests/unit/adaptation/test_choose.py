"""A gain is kept, chance is not, and too little ground says so."""

from __future__ import annotations

import numpy as np

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
