"""The heads in one place: channels, and the activation of each."""

from __future__ import annotations

import numpy as np
import pytest

from detect.base.stages import STAGES
from detect.network import model
from detect.network.heads import BOUNDARY, FOOTPRINT, HEAD_NAMES, HEADS, STAGE_HEADS, Head


def test_channels_are_those_that_shipped_weights_answer_in() -> None:
    assert HEAD_NAMES == ("footprint", "boundary", "foundation", "incomplete", "complete")
    assert (HEAD_NAMES[FOOTPRINT], HEAD_NAMES[BOUNDARY], HEAD_NAMES[STAGE_HEADS]) == ("footprint", "boundary", STAGES)


def test_a_new_head_is_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(model, "HEADS", (*HEADS, Head("height", "sigmoid")))
    network = model.ProbabilityNetwork(model.build_network()).eval()
    with torch.inference_mode():
        p = network(torch.zeros(1, 3, 64, 64))[0].numpy()
    assert p.shape == (6, 64, 64)
    assert p[STAGE_HEADS].sum(axis=0) == pytest.approx(1, abs=1e-5)
    logits = torch.linspace(-3, 3, 6).reshape(1, 6, 1, 1)
    expected = 1 / (1 + np.exp(-logits.numpy()[0, [0, 1, 5], 0, 0]))
    assert model.to_probabilities(logits).numpy()[0, [0, 1, 5], 0, 0] == pytest.approx(expected)
