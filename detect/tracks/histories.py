"""Stage of each building at each date, smoothed by a hidden Markov model.

Five hidden states: absent, foundation, incomplete, complete, demolished. Construction moves forward or ends; a demolished
building may be rebuilt. At each date a building is found, with a score and stage probabilities; or not found although its ground
was seen; or its ground was not seen (cloud, edge), which is no evidence. A missed detection is more likely than a demolition, so
a single miss does not end a building; under a cloud the previous state is kept. What a reviewer said of a date is not weighed
against the others: the building was there at that stage, or was not. The most likely path comes from Viterbi's
algorithm, the probabilities from forward and backward passes (Rabiner 1989, § III).

How fast states follow each other is a rate per day (a continuous-time chain, so that a gap of a year allows more than one of a week):
see ``MEAN_DAYS``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date as Date
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import expm

from detect.base.stages import STAGES

STATES = ("absent", *STAGES, "demolished")
ABSENT, FOUNDATION, INCOMPLETE, COMPLETE, DEMOLISHED = range(5)
MEAN_DAYS = {
    (ABSENT, FOUNDATION): 1000.0,
    (FOUNDATION, INCOMPLETE): 140.0,
    (INCOMPLETE, COMPLETE): 250.0,
    (FOUNDATION, DEMOLISHED): 7300.0,
    (INCOMPLETE, DEMOLISHED): 7300.0,
    (COMPLETE, DEMOLISHED): 7300.0,
    (DEMOLISHED, FOUNDATION): 1000.0,
}
"""Mean time from one state to the next. In IARPA SMART (Goldberg et al. 2023) site preparation lasted 138 days in the median of
717 sites and active construction 494 of 894; a single building takes about half as long as its site. The others are assumed: a
start within three years at a place where some date shows a building, a demolition in twenty years."""
START = np.array([0.3, 0.23, 0.23, 0.23, 0.01])
"""State at the first date, before anything is seen. All stages are equally likely: how common each is is already part of the
network's probabilities."""
FALSE_ALARM = 0.05
"""Probability that a date finds a building where there is none, at a place where some date finds one; assumed."""
ASSUMED_FOUND = 0.75
"""Share of existing buildings that a date finds, if the weights' card has no rates; assumed."""
PRIOR_DATES = 10.0
"""Weight of that rate, as a number of buildings of the series."""
RULED_OUT = 1e-30
"""Likelihood of what a reviewer denies: far below that of any history, and yet no zero, so that its logarithm can be summed."""
_DOUBT = 0.05  # probabilities of the network are limited to this and one minus this


@dataclass(frozen=True)
class Evidence:
    """The evidence of every date for every building, (N, T) and (N, T, 3)."""

    seen: NDArray[np.bool_]
    """Whether its ground was observed."""
    found: NDArray[np.bool_]
    """Whether it was detected."""
    score: NDArray[np.float64]
    """Probability of a building: the detection's score, else the mean of the probability map there; NaN where unknown."""
    stage_p: NDArray[np.float64]
    """Probabilities of foundation, incomplete, complete if it was detected."""
    certain: NDArray[np.bool_]
    """Whether a reviewer has said so: that it stands at its likeliest stage where it was found, else that there is no building."""

    def only(self, kept: NDArray[np.bool_]) -> Evidence:
        """The evidence for some of the buildings."""
        return Evidence(self.seen[kept], self.found[kept], self.score[kept], self.stage_p[kept], self.certain[kept])


@dataclass(frozen=True)
class Histories:
    """Smoothed states."""

    state: NDArray[np.int64]
    """(N, T) most likely path, index in ``STATES``."""
    state_p: NDArray[np.float64]
    """(N, T, 5) probability of each state at each date, given all dates."""

    @property
    def standing(self) -> NDArray[np.bool_]:
        """(N, T) whether the building stands."""
        return (self.state != ABSENT) & (self.state != DEMOLISHED)

    def only(self, kept: NDArray[np.bool_]) -> Histories:
        """The histories of some of the buildings."""
        return Histories(self.state[kept], self.state_p[kept])


def smooth(evidence: Evidence, dates: Sequence[str], found_rate: float | None = None) -> Histories:
    """Histories of N buildings over T dates.

    Args:
        evidence: evidence of every date.
        dates: ISO days, ascending.
        found_rate: share of existing buildings that a date finds, from the weights' card; the series adjusts it.
    """
    likelihood = _likelihood(evidence, found_rates(evidence, ASSUMED_FOUND if found_rate is None else found_rate))
    steps = [transition(b - a) for a, b in pairwise(_days(dates))]
    path = _held(_viterbi(likelihood, steps), evidence.seen | evidence.found)
    return Histories(path, _forward_backward(likelihood, steps))


def _held(path: NDArray[np.int64], seen: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The path, with the previous state kept while a date shows nothing: a change is dated when it is first seen."""
    held = path.copy()
    for t in range(1, path.shape[1]):
        held[:, t] = np.where(seen[:, t], path[:, t], held[:, t - 1])
    return held


def transition(days: float) -> NDArray[np.float64]:
    """(5, 5) probabilities of each state some days after each state."""
    rates = np.zeros((5, 5))
    for (before, after), mean in MEAN_DAYS.items():
        rates[before, after] = 1 / mean
    rates -= np.diag(rates.sum(axis=1))
    return np.asarray(expm(rates * days)).clip(0, 1)


def found_rates(evidence: Evidence, prior: float) -> NDArray[np.float64]:
    """(T,) share of existing buildings that each date finds.

    Counted on buildings that were found before and after a date, so they existed. The prior has the weight of ``PRIOR_DATES``
    buildings in the mean over dates, and this mean the same weight at each date, so that a hazy date is not taken for a
    demolition. A building that a reviewer has deleted was not missed.
    """
    before = np.cumsum(evidence.found, axis=1) - evidence.found > 0
    after = np.cumsum(evidence.found[:, ::-1], axis=1)[:, ::-1] - evidence.found > 0
    stood = before & after & evidence.seen & (evidence.found | ~evidence.certain)
    hits, tries = (evidence.found & stood).sum(axis=0), stood.sum(axis=0)
    mean = (hits.sum() + PRIOR_DATES * prior) / (tries.sum() + PRIOR_DATES)
    return np.asarray(np.clip((hits + PRIOR_DATES * mean) / (tries + PRIOR_DATES), 0.05, 0.98))


def _days(dates: Sequence[str]) -> list[int]:
    return [Date.fromisoformat(d).toordinal() for d in dates]


def _likelihood(evidence: Evidence, rates: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, T, 5) likelihood of the evidence, given each state.

    A detection of score p has density 2p if there is a building and 2(1 − p) if there is none. Where nothing was detected, the
    mean p of the probability map inside the footprint has density 9(1 − p)⁸ over bare ground, where it is nearly always near 0,
    and 6p(1 − p) where a building was missed. Both are assumed; p is calibrated.
    """
    unknown = np.isnan(evidence.score)
    p = np.clip(np.where(unknown, 0.5, evidence.score), _DOUBT, 1 - _DOUBT)
    stage_p = _DOUBT / 3 + (1 - _DOUBT) * evidence.stage_p
    found = np.stack([FALSE_ALARM * 2 * (1 - p) / 3] + [rates * 2 * p * stage_p[..., k] for k in range(3)], axis=2)
    bare, built = (np.where(unknown, 1.0, density) for density in (9 * (1 - p) ** 8, 6 * p * (1 - p)))
    missed = np.stack([(1 - FALSE_ALARM) * bare] + [(1 - rates) * built] * 3, axis=2)
    four = np.where(evidence.found[..., None], found, missed)
    four = np.where((evidence.seen | evidence.found)[..., None], four, 1.0)
    said = np.where(evidence.found, evidence.stage_p.argmax(axis=2) + FOUNDATION, ABSENT)
    four = np.where(evidence.certain[..., None], np.where(said[..., None] == np.arange(4), 1.0, RULED_OUT), four)
    return np.concatenate([four, four[..., :1]], axis=2)  # a demolished building looks the same as an absent one


def _viterbi(likelihood: NDArray[np.float64], steps: Sequence[NDArray[np.float64]]) -> NDArray[np.int64]:
    count, times, _ = likelihood.shape
    logs = np.log(likelihood)
    best = np.log(START) + logs[:, 0]  # (N, 5)
    came_from = np.zeros((times, count, 5), np.int64)
    for t, step in enumerate(steps, start=1):
        with np.errstate(divide="ignore"):
            ways = best[:, :, None] + np.log(step)  # (N, before, after)
        came_from[t] = ways.argmax(axis=1)
        best = ways.max(axis=1) + logs[:, t]
    path = np.zeros((count, times), np.int64)
    path[:, -1] = best.argmax(axis=1)
    every = np.arange(count)
    for t in range(times - 1, 0, -1):
        path[:, t - 1] = came_from[t][every, path[:, t]]
    return path


def _forward_backward(likelihood: NDArray[np.float64], steps: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    forward, backward = likelihood.copy(), np.ones_like(likelihood)
    forward[:, 0] *= START
    for t in range(likelihood.shape[1]):
        if t:
            forward[:, t] *= forward[:, t - 1] @ steps[t - 1]
        forward[:, t] /= forward[:, t].sum(axis=1, keepdims=True)
    for t in range(likelihood.shape[1] - 2, -1, -1):
        backward[:, t] = (backward[:, t + 1] * likelihood[:, t + 1]) @ steps[t].T
        backward[:, t] /= backward[:, t].sum(axis=1, keepdims=True)
    both = forward * backward
    return np.asarray(both / both.sum(axis=2, keepdims=True))
