"""The losses are those of the formulas that their docstrings name, computed here by hand in double precision."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from detect.base.stages import STAGE_WEIGHTS
from detect.datasets.chips import UNKNOWN
from detect.training.config import LossConfig
from detect.training.losses import distance, network_loss

SIZE = (3, 24, 20)


def sigmoid(x: NDArray) -> NDArray:
    return 1 / (1 + np.exp(-x))


def binary(logit: NDArray, truth: NDArray, weight: NDArray) -> float:
    """Weighted binary cross entropy plus soft Dice, smoothed by 1, over the known pixels of the batch."""
    known = truth != UNKNOWN
    if not known.any():
        return 0.0
    p, target = sigmoid(logit)[known], (truth == 1)[known]
    entropy = -(weight[known] * np.where(target, np.log(p), np.log(1 - p))).sum() / max(weight[known].sum(), 1)
    return float(entropy + 1 - (2 * p[target].sum() + 1) / (p.sum() + target.sum() + 1))


def stages(logits: NDArray, truth: NDArray) -> float:
    """Cross entropy of the stages, weighted by class, over the pixels whose stage is known."""
    known = truth > 0
    if not known.any():
        return 0.0
    logs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    at, weight = truth[known] - 1, np.array(STAGE_WEIGHTS)[truth[known] - 1]
    return float(-(weight * logs.transpose(0, 2, 3, 1)[known][np.arange(len(at)), at]).sum() / weight.sum())


def drawn(case: str) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    rng = np.random.default_rng(5)
    footprint, boundary = (rng.choice([0, 1, UNKNOWN], SIZE, p=[0.5, 0.3, 0.2]).astype(np.uint8) for _ in range(2))
    stage = np.where(footprint == 1, rng.integers(0, 4, SIZE), 0)
    if case == "no building":
        footprint[footprint == 1], boundary[boundary == 1], stage[:] = 0, 0, 0
    if case == "nothing known":
        footprint[:], boundary[:], stage[:] = UNKNOWN, UNKNOWN, 0
    batch = {
        "footprint": torch.from_numpy(footprint), "boundary": torch.from_numpy(boundary), "stage": torch.from_numpy(stage),
        "weight": torch.from_numpy(rng.choice([1.0, 4.0], SIZE).astype(np.float32)),
    }  # fmt: skip
    return torch.from_numpy(rng.normal(0, 3, (SIZE[0], 5, *SIZE[1:])).astype(np.float32)), batch


@pytest.mark.parametrize("case", ["mixed", "no building", "nothing known"])
def test_the_losses_are_those_of_the_formulas(case: str) -> None:
    logits, batch = drawn(case)
    found = network_loss(logits, batch, LossConfig(boundary=0.7, stage=0.3))
    x, truth = logits.double().numpy(), {k: v.numpy() for k, v in batch.items()}
    wanted: dict[str, Any] = {
        "footprint": binary(x[:, 0], truth["footprint"], truth["weight"]),
        "boundary": binary(x[:, 1], truth["boundary"], np.where(truth["boundary"] == 1, 4.0, 1.0)),
        "stage": stages(x[:, 2:], truth["stage"]),
    }
    wanted["loss"] = wanted["footprint"] + 0.7 * wanted["boundary"] + 0.3 * wanted["stage"]
    assert {k: v.item() for k, v in found.items()} == pytest.approx(wanted, rel=1e-5, abs=1e-6)


def test_the_distance_to_teachers_is_that_of_the_formulas() -> None:
    logits, _ = drawn("mixed")
    teacher = np.random.default_rng(6).normal(0, 2, tuple(logits.shape))
    stage_odds = np.exp(teacher[:, 2:])
    answer = np.concatenate([sigmoid(teacher[:, :2]), stage_odds / stage_odds.sum(axis=1, keepdims=True)], axis=1)
    x = logits.double().numpy()
    p = sigmoid(x[:, :2])
    footprint, boundary = (-(answer[:, i] * np.log(p[:, i]) + (1 - answer[:, i]) * np.log(1 - p[:, i])).mean() for i in (0, 1))
    logs = x[:, 2:] - np.log(np.exp(x[:, 2:]).sum(axis=1, keepdims=True))
    stage = -((answer[:, 2:] * logs).sum(axis=1) * answer[:, 0]).sum() / answer[:, 0].sum()
    found = distance(logits, torch.from_numpy(answer).float(), LossConfig(boundary=0.7, stage=0.3))
    assert found.item() == pytest.approx(footprint + 0.7 * boundary + 0.3 * stage, rel=1e-5)
