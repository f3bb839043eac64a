"""Learning: little ground changes little, and what nobody has checked stays."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from detect.adaptation.learn import Hold, Pixels, _minimum, answers, learn, sample
from detect.network.last_layer import LastLayer
from tests.unit.adaptation.drawn_windows import draw_views, layer_of


def learnt(layer: LastLayer, strength: float) -> LastLayer:
    views = draw_views(layer)
    checked, elsewhere = (
        sample(windows, [np.zeros(w.known.shape, np.int64) for w in windows], layer, checked=which)
        for windows, which in ((views.checked, True), (views.elsewhere, False))
    )
    return learn(checked, elsewhere, layer, Hold(strength, 1.0))


def test_a_strong_hold_changes_nothing_and_a_weak_one_much() -> None:
    layer = layer_of(1)
    changes = [np.abs(learnt(layer, strength).weight[0] - layer.weight[0]).max() for strength in (1e6, 1.0, 0.01)]
    assert changes[0] < 1e-4 < 0.1 < changes[1] < changes[2]


def test_features_may_lie_anywhere() -> None:
    layer, rng = layer_of(1), np.random.default_rng(1)
    size = layer.weight[0].size
    x = rng.normal(3.0, 1.0, (500, size))
    layer = dataclasses.replace(layer, weight=np.zeros_like(layer.weight), bias=np.zeros_like(layer.bias))
    checked = Pixels(x, (x[:, 0] > 3).astype(float), np.zeros(500, np.int64))
    found = learn(checked, Pixels(x[:0], np.zeros(0), np.zeros(0, np.int64)), layer, Hold(0.01, 0.0))
    logits = x @ found.weight[0].ravel() + found.bias[0]
    assert ((logits > 0) == (x[:, 0] > 3)).mean() > 0.95


def test_what_is_learnt_is_the_minimum() -> None:
    rng = np.random.default_rng(1)
    x, offset = np.column_stack([rng.normal(size=(400, 3)), np.ones(400)]), 4 * rng.normal(size=400) - 3
    target, weight = (x[:, 0] + rng.normal(size=400) > 0).astype(float), np.full(400, 1 / 400)
    found = _minimum(x, target, weight, offset, 0.03)
    slope = x.T @ (weight * (1 / (1 + np.exp(-(offset + x @ found))) - target)) + 0.03 * found
    assert np.abs(slope).max() < 1e-3 < 2 < found[0], "far from where it began, and flat"


def test_only_the_footprint_head_changes() -> None:
    layer = layer_of(1)
    new = learnt(layer, 0.1)
    assert np.array_equal(new.weight[1:], layer.weight[1:]) and np.array_equal(new.bias[1:], layer.bias[1:])


def test_answers_of_the_old_layer_are_the_old_heads() -> None:
    layer = layer_of(1)
    window = draw_views(layer).checked[0]
    assert np.abs(answers(window, layer).astype(int) - window.heads).max() <= 1


def test_learning_finds_the_buildings_that_the_old_head_missed() -> None:
    layer = layer_of(1)
    window = draw_views(layer).checked[0]
    old, new = window.heads[0] > 127, answers(window, learnt(layer, 0.03))[0] > 127
    wrong = [np.mean(mask != window.built) for mask in (old, new)]
    assert wrong[0] > 0.2 and wrong[1] < 0.5 * wrong[0]


@pytest.mark.parametrize("strength", [0.3, 0.03])
def test_the_same_samples_give_the_same_layer(strength: float) -> None:
    first, second = (learnt(layer_of(1), strength) for _ in range(2))
    assert np.array_equal(first.weight, second.weight) and np.array_equal(first.bias, second.bias)
