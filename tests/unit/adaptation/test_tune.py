"""Fine-tuning learns what stands on checked ground, leaves out a fold, and gives the same bytes each time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import detect.adaptation.tune as tuning
from detect.adaptation.choose import choose
from detect.adaptation.tune import Tensors, Tuner
from detect.adaptation.ways import tuner_for
from detect.adaptation.windows import Window
from detect.base.errors import InputError
from detect.base.values import TOP
from detect.buildings.instances import InstanceParams
from detect.network.adapted import Adaptation, write_adapted
from detect.network.weights import load_weights
from tests.unit.adaptation.drawn_windows import SIDE_PX, draw_views, layer_of


def wrong(heads: np.ndarray, window: Window) -> float:
    """How far footprint probabilities are from the truth, in the mean."""
    return float(np.abs(heads[0] / TOP - window.built).mean())


def test_it_learns_buildings_and_is_written_as_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"STEPS": 4, "WARM_UP": 1, "CHECKED": 1, "ELSEWHERE": 1, "SIDE_PX": 96}.items():
        monkeypatch.setattr(tuning, name, value)
    weights, views, steps = load_weights("deep"), draw_views(layer_of(0), checked=1, elsewhere=1), []
    tuner = Tuner(weights, 0.4, lambda: steps.append(1))
    (window,) = views.checked
    tensors = tuner.fit(views.checked, views.elsewhere)
    before, after = (tuner.answers(window, t) for t in ({}, tensors))
    assert wrong(after, window) < 0.7 * wrong(before, window) and len(steps) == 4
    start = tuner.fit([], [])
    changed = {name for name in tensors if not np.array_equal(tensors[name], start[name])}
    assert {name.split(".")[3] for name in changed if name.startswith("encoder")} == {"3", "4", "5", "6"}, "the first blocks stay"
    assert "encoder.model.conv_stem.weight" not in changed and "segmentation_head.0.weight" in changed
    again = tuner.fit(views.checked, views.elsewhere)
    assert all(np.array_equal(tensors[name], again[name]) for name in tensors)

    adapted = write_adapted(tmp_path / "mine", weights, Adaptation("mine", None, tensors, {}, [], {}))
    read = Tuner(adapted, 0.4).answers(window, {})
    assert adapted.sha256 != weights.sha256 and abs(wrong(read, window) - wrong(after, window)) < 0.001, "float16"


def test_losses_of_parts_add_up() -> None:
    rng = np.random.default_rng(1)
    side = 64
    logits, old = (torch.from_numpy(rng.normal(size=(2, 5, side, side))) for _ in range(2))
    truth = torch.from_numpy(rng.integers(0, 2, (2, 5, side, side)).astype(float))
    truth[:, 2:4] = torch.stack([truth[:, 2], 1 - truth[:, 2]], 1)  # what is checked is not held
    twice = [torch.cat([part, part]) for part in (logits, old.sigmoid(), truth)]
    totals = twice[2][:, 2].sum(), twice[2][:, 3].sum(), twice[1][:, 0].sum()
    whole = tuning._loss(*twice, totals)
    parts = [tuning._loss(*(part[at] for part in twice), totals) for at in (slice(0, 2), slice(2, 4))]
    assert float(sum(parts)) == pytest.approx(float(whole), rel=1e-3)
    assert float(parts[0]) == pytest.approx(float(whole) / 2, rel=1e-3)


def test_a_fold_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    crops = []
    monkeypatch.setattr(Tuner, "_descend", lambda self, network, checked, elsewhere: crops.extend(checked))
    tuner = Tuner(load_weights("deep"), 0.4)
    (window,) = draw_views(layer_of(0), checked=1).checked
    fold = np.zeros((SIDE_PX, SIDE_PX), np.int64)
    fold[:, SIDE_PX // 2 :] = 1
    tuner.fit([window], [], [fold], without=1)
    (crop,) = crops
    known, held = crop.truth[2] > 0, crop.truth[3] > 0
    assert known.sum() == SIDE_PX * SIDE_PX // 2 and held.sum() == SIDE_PX * (tuning.SIDE_PX // 2 - SIDE_PX // 4), (
        "the rest is held"
    )
    assert not (known & held).any()


class Knowing:
    """Says what is true once it has been fitted."""

    steps = 1

    def __init__(self) -> None:
        self.left_out: list[int] = []

    def fit(self, checked: object, elsewhere: object, folds: object = None, without: int = -1) -> Tensors:
        self.left_out.append(without)
        return {"fold": np.array([without], np.float32)}

    def answers(self, window: Window, tensors: Tensors) -> np.ndarray:
        heads = np.zeros_like(window.heads)
        heads[0] = np.where(window.built, TOP, 0)
        return heads


def test_a_network_that_is_better_is_chosen() -> None:
    layer, tuner = layer_of(3), Knowing()
    verdict = choose(draw_views(layer), 0.4, layer, InstanceParams(), lambda done, total: None, tuner, (None,))  # type: ignore[arg-type]
    assert verdict.kept and verdict.tuned and verdict.layer is None and verdict.hold is None
    assert verdict.tensors is not None and verdict.tensors["fold"] == -1, "the last fit leaves nothing out"
    assert tuner.left_out == [0, 1, 2, -1]


def test_weights_in_integers_keep_their_network() -> None:
    weights = load_weights("deep-int8")
    tuner, why = tuner_for(weights, 0.4, "auto")
    assert tuner is None and "8-bit integers" in why
    with pytest.raises(InputError, match="8-bit integers"):
        tuner_for(weights, 0.4, "network")
    assert tuner_for(weights, 0.4, "last-layer") == (None, "")


def test_without_pytorch_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("detect.adaptation.ways.find_spec", lambda name: None)
    tuner, why = tuner_for(load_weights("deep"), 0.4, "auto")
    assert tuner is None and "pip install" in why
