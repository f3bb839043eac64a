"""Are the probabilities true? A temperature for footprint and stage, and the diagrams that show what it mends.

Temperature scaling (Guo et al. 2017, arXiv:1706.04599): logits are divided by one number, chosen on held-out places by least cross entropy.
It changes no order, so masks stay as they are; what changes is what a probability of 0.8 means.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from detect.training.metrics import Tally

BINS = 10
_LIMITS = (0.25, 4.0)  # a temperature outside speaks of a broken network, not of a confident one


@dataclass(frozen=True)
class Answers:
    """What a network said of some things, and what they are."""

    p: NDArray[np.float64]
    """(n, classes), rows sum to one."""
    truth: NDArray[np.int64]
    """(n,) class."""
    weight: NDArray[np.float64]
    """(n,), sums to one, so that every data set weighs the same."""


def calibration_of(tallies: Mapping[str, Tally], coarse: Collection[str] = ()) -> dict[str, Any]:
    """Temperatures and reliability of the footprint and stage probabilities of held-out places, for a card.

    Each head has ``temperature`` (fitted on all data sets), ``ece_before`` and ``ece_after`` (expected calibration error, mean over data
    sets; after: each with the temperature of the others, so that it holds for places that chose nothing) and ``reliability``, a row
    (mean probability said, observed share, share of all) per tenth of probability, after scaling. A head without labels has null.

    Args:
        tallies: by ``data_set/place``.
        coarse: data sets whose masks say too little of single pixels.
    """
    sets: dict[str, Tally] = {}
    for place, tally in tallies.items():
        name = place.partition("/")[0]
        if name not in coarse:
            sets[name] = sets[name] + tally if name in sets else tally
    return {
        "footprint": _report([a for t in sets.values() if (a := _footprint(t)) is not None], top=False),
        "stage": _report([a for t in sets.values() if (a := _stage(t)) is not None], top=True),
    }


def temper(p: NDArray[np.floating], temperature: float) -> NDArray[np.float64]:
    """Probabilities (n, classes) whose logits are divided by a temperature."""
    logs = np.log(np.maximum(p, 1e-6)) / temperature
    powers = np.exp(logs - logs.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def _footprint(tally: Tally) -> Answers | None:
    counts = tally.confidence  # (255, 2): pixels by stored probability and truth
    if not counts.any():
        return None
    said = np.repeat(np.arange(255) / 254, 2)
    return Answers(np.stack([1 - said, said], axis=1), np.tile([0, 1], 255), counts.ravel() / counts.sum())


def _stage(tally: Tally) -> Answers | None:
    if not tally.stage_answers:
        return None
    p = np.array([answer[:3] for answer in tally.stage_answers])
    truth = np.array([answer[3] for answer in tally.stage_answers]).astype(np.int64)
    return Answers(p, truth, np.full(len(p), 1 / len(p)))


def _report(sets: Sequence[Answers], *, top: bool) -> dict[str, Any] | None:
    if not sets:
        return None
    temperature = _best_temperature(sets)
    others = [_best_temperature([*sets[:i], *sets[i + 1 :]]) if len(sets) > 1 else 1.0 for i in range(len(sets))]
    rows = _reliability(_joined(sets), temperature, top)
    return {
        "temperature": round(temperature, 3),
        "ece_before": round(float(np.mean([_ece(_reliability(s, 1.0, top)) for s in sets])), 4),
        "ece_after": round(float(np.mean([_ece(_reliability(s, t, top)) for s, t in zip(sets, others, strict=True)])), 4),
        "reliability": rows.round(4).tolist(),
    }


def _joined(sets: Sequence[Answers]) -> Answers:
    weight = np.concatenate([s.weight for s in sets]) / len(sets)
    return Answers(np.concatenate([s.p for s in sets]), np.concatenate([s.truth for s in sets]), weight)


def _best_temperature(sets: Sequence[Answers]) -> float:
    one = _joined(sets)

    def cross_entropy(log_temperature: float) -> float:
        p = temper(one.p, float(np.exp(log_temperature)))
        return float(-(one.weight * np.log(np.maximum(p[np.arange(len(p)), one.truth], 1e-12))).sum())

    return float(np.exp(minimize_scalar(cross_entropy, bounds=np.log(_LIMITS), method="bounded").x))


def _reliability(answers: Answers, temperature: float, top: bool) -> NDArray[np.float64]:
    """(bins with anything in them, 3): mean probability said, observed share, weight. Of the likeliest class, or of the second of two."""
    p = temper(answers.p, temperature)
    said = p.max(axis=1) if top else p[:, 1]
    right = (p.argmax(axis=1) == answers.truth) if top else (answers.truth == 1)
    bins = np.minimum((said * BINS).astype(int), BINS - 1)
    weight = np.bincount(bins, answers.weight, BINS)
    here = weight > 0
    means = [np.bincount(bins, answers.weight * v, BINS)[here] / weight[here] for v in (said, right)]
    return np.stack([*means, weight[here]], axis=1)


def _ece(rows: NDArray[np.float64]) -> float:
    return float((np.abs(rows[:, 0] - rows[:, 1]) * rows[:, 2]).sum() / rows[:, 2].sum())
