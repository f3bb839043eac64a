"""Calibration of probabilities: a temperature for footprint and stage, and reliability diagrams that show its effect.

Temperature scaling (Guo et al. 2017, arXiv:1706.04599): logits are divided by one number, chosen on held-out places by least cross entropy.
It keeps the order of probabilities, and so the masks; it changes what a probability of 0.8 means.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from detect.base.values import TOP
from detect.training.metrics import Tally

BINS = 10
_LIMITS = (0.25, 4.0)  # a temperature outside this range means a broken network


@dataclass(frozen=True)
class Answers:
    """Probabilities that a network gave to pixels or buildings, and their true classes."""

    p: NDArray[np.float64]
    """(n, classes), rows sum to one."""
    truth: NDArray[np.int64]
    """(n,) class."""
    weight: NDArray[np.float64]
    """(n,), sums to one, so that every data set weighs the same."""


def calibration_of(tallies: Mapping[str, Tally], coarse: Collection[str] = ()) -> dict[str, Any]:
    """Temperatures and reliability of the footprint and stage probabilities of held-out places, for a card.

    Each head has ``temperature`` (fitted on all data sets), ``ece_before`` and ``ece_after`` (expected calibration error, mean
    over data sets; after: each with the temperature of the others, so that it is valid for new places) and ``reliability``, a row
    (mean predicted probability, observed share, share of all) per tenth of probability, after scaling. A head without labels has
    null.

    Args:
        tallies: by ``data_set/place``.
        coarse: data sets whose masks are too coarse for single pixels.
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
    counts = tally.confidence  # (TOP + 1, 2): pixels by stored probability and truth
    if not counts.any():
        return None
    stated = np.repeat(np.arange(TOP + 1) / TOP, 2)
    return Answers(np.stack([1 - stated, stated], axis=1), np.tile([0, 1], TOP + 1), counts.ravel() / counts.sum())


def _stage(tally: Tally) -> Answers | None:
    if not tally.stage_answers:
        return None
    p = np.array([answer[:3] for answer in tally.stage_answers])
    truth = np.array([answer[3] for answer in tally.stage_answers]).astype(np.int64)
    return Answers(p, truth, np.full(len(p), 1 / len(p)))


def _report(sets: Sequence[Answers], *, top: bool) -> dict[str, Any] | None:
    if not sets:
        return None
    temperature = _temperature_of(sets)
    others = [_temperature_of([*sets[:i], *sets[i + 1 :]]) if len(sets) > 1 else 1.0 for i in range(len(sets))]
    rows = _reliability(_joined(sets), temperature, top)
    before = [calibration_error(_reliability(s, 1.0, top)) for s in sets]
    after = [calibration_error(_reliability(s, t, top)) for s, t in zip(sets, others, strict=True)]
    return {
        "temperature": round(temperature, 3),
        "ece_before": round(float(np.mean(before)), 4),
        "ece_after": round(float(np.mean(after)), 4),
        "reliability": rows.round(4).tolist(),
    }


def _joined(sets: Sequence[Answers]) -> Answers:
    weight = np.concatenate([s.weight for s in sets]) / len(sets)
    return Answers(np.concatenate([s.p for s in sets]), np.concatenate([s.truth for s in sets]), weight)


def _temperature_of(sets: Sequence[Answers]) -> float:
    one = _joined(sets)
    return best_temperature(one.p, one.truth, one.weight)


def best_temperature(p: NDArray[np.float64], truth: NDArray[np.int64], weight: NDArray[np.float64] | None = None) -> float:
    """The temperature with the least cross entropy.

    Args:
        p: (n, classes) probabilities.
        truth: (n,) class.
        weight: (n,); None: all weigh the same.
    """

    def cross_entropy(log_temperature: float) -> float:
        right = temper(p, float(np.exp(log_temperature)))[np.arange(len(p)), truth]
        return float(-np.average(np.log(np.maximum(right, 1e-12)), weights=weight))

    return float(np.exp(minimize_scalar(cross_entropy, bounds=np.log(_LIMITS), method="bounded").x))


def _reliability(answers: Answers, temperature: float, top: bool) -> NDArray[np.float64]:
    """``reliability`` of the most likely class (``top``), or of the second of two classes."""
    p = temper(answers.p, temperature)
    stated = p.max(axis=1) if top else p[:, 1]
    right = (p.argmax(axis=1) == answers.truth) if top else (answers.truth == 1)
    return reliability(stated, right, answers.weight, BINS)


def reliability(
    stated: NDArray[np.floating], right: NDArray[np.bool_], weight: NDArray[np.floating], bins: int
) -> NDArray[np.float64]:
    """(non-empty bins, 3): mean predicted probability, share that is right, weight; in bins of equal width.

    Args:
        stated: (n,) probabilities.
        right: (n,) whether the predicted class is true.
        weight: (n,).
        bins: number of bins between 0 and 1.
    """
    number = np.minimum((stated * bins).astype(int), bins - 1)
    total = np.bincount(number, weight, bins)
    here = total > 0
    means = [np.bincount(number, weight * v, bins)[here] / total[here] for v in (stated, right)]
    return np.stack([*means, total[here]], axis=1)


def calibration_error(rows: NDArray[np.float64]) -> float:
    """Expected calibration error (Naeini et al. 2015) of rows of ``reliability``. torchmetrics has none with weights."""
    return float((np.abs(rows[:, 0] - rows[:, 1]) * rows[:, 2]).sum() / rows[:, 2].sum())
