"""Choose what to learn from checked ground, and decide whether it is a gain, by cross-validation over its cells."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from detect.adaptation.learn import Hold, Pixels, answers, learn, only, sample
from detect.adaptation.scores import COLUMNS, FOUND, SMALL, TRUE, Scores, blocks_of, cells_of, merit, noise, scores, tally
from detect.adaptation.windows import Views
from detect.buildings.instances import InstanceParams
from detect.census.spread import SMALL_M2
from detect.network.last_layer import LastLayer

if TYPE_CHECKING:
    from detect.adaptation.tune import Tensors, Tuner

    Way = Hold | Tuner | None
    """What is learnt: the last layer, the whole network, or nothing."""

HOLDS: tuple[Hold | None, ...] = (None, Hold(0.1, 2.0), Hold(0.03, 2.0), Hold(0.03, 0.5))
"""How strongly the head is held to the old one; None: it stays. Held more loosely, it lost 0.16 F1 on other images of one place."""
MARGINS: tuple[Mapping[str, float], ...] = (
    {},
    {"footprint_threshold": 0.07},
    {"mean_margin": -0.2},
    {"mean_margin": 0.15},
    {"mean_margin": 0.3},
    {"mean_margin": 0.45},
    {"boundary_threshold": -0.12},
)
"""Changes of the thresholds that are tried with the best hold. How sure a whole building must be (``mean_margin``) differs most between
places, so its steps reach far. A lower ``footprint_threshold`` is not tried: it joins neighbours, and cost up to 0.09 F1."""
CAUTION = 0.5
"""Of the ways to learn, the one is taken whose gain less this many of its standard errors is the largest: the best of many by chance is
often one that changes much."""
FOLDS, TUNING_FOLDS = 5, 3
"""Parts that are left out in turn; fewer where the whole network is fine-tuned, which takes half a minute each time."""
FEWEST_CELLS = 4
"""Cells with a building below which nothing can be told."""
SURE = 1.28
"""A gain counts from this many standard errors on."""
LEAST = 0.005
"""A smaller gain is not worth reading the scene again, however sure it is."""
HARM = 0.005
"""And only if F1 rises, since single buildings are what is counted, and IoU falls by no more than this."""


@dataclass(frozen=True)
class Verdict:
    """What was tried, and whether it is kept."""

    kept: bool
    why: str
    """In words, for the user."""
    layer: LastLayer | None = None
    """With the head that was learnt from all checked ground; None if it stays as it was, or nothing is kept."""
    tensors: Tensors | None = None
    """Of the whole network, learnt from all checked ground, if that was the best way."""
    tuned: bool = False
    """Whether fine-tuning the whole network was the best way."""
    margins: Mapping[str, float] = field(default_factory=dict)
    """Changes of thresholds, by their name in ``InstanceParams``."""
    hold: Hold | None = None
    before: Scores | None = None
    after: Scores | None = None
    """Of heads that had not seen the ground on which they are scored."""
    gain: float = 0.0
    """In ``merit``."""
    noise: float = 0.0
    """Standard error of the gain."""
    cells: int = 0
    numbers: tuple[int, int, int] | None = None
    """Buildings found, true, and small ones among those found, as ``detect.census.spread.numbers_of`` has them, of the same heads as
    ``after``."""


def choose(
    views: Views,
    gsd_m: float,
    layer: LastLayer,
    params: InstanceParams,
    report: Callable[[int, int], None],
    tuner: Tuner | None = None,
    holds: Sequence[Hold | None] | None = None,
) -> Verdict:
    """Try each way to learn, and each change of thresholds with the best, on ground that was left out; keep it if it is a gain.

    Args:
        views: checked windows, and some elsewhere.
        gsd_m: ground size of their pixels, metres.
        layer: last layer of the weights.
        params: thresholds of the weights.
        report: called as (done, total).
        tuner: fine-tunes the whole network, as one more way; None: it is not tried.
        holds: ways to learn the last layer; default: ``HOLDS``.
    """
    cells, count = cells_of(views.checked, gsd_m) if views.checked else ([], 0)
    small_px = SMALL_M2 / gsd_m**2
    tallies = (tally(w, c, w.heads, params, count, small_px) for w, c in zip(views.checked, cells, strict=True))
    old = sum(tallies, np.zeros((count, COLUMNS)))
    telling = int(((old[:, FOUND] + old[:, TRUE]) > 0).sum())
    if telling < FEWEST_CELLS:
        why = f"buildings were checked in {telling} cells 20 m wide, too few to tell a gain from chance; check at least {FEWEST_CELLS}"
        return Verdict(False, why, cells=telling)
    ways: list[Way] = [*(HOLDS if holds is None else holds), *([] if tuner is None else [tuner])]
    trial = _Trial(views, cells, old, blocks_of(views.checked, cells, gsd_m, count), layer, params, small_px)
    tried = _Steps(trial, len(ways) + len(MARGINS), tuner, report)
    by_way = [old if way is None else tried.tally(way, {}) for way in ways]
    best = _best(by_way, old)
    way = ways[best]
    by_margins = [tried.tally(way, margins) if margins else by_way[best] for margins in MARGINS]
    best = _best(by_margins, old)
    verdict = replace(_judged(old, by_margins[best]), margins=MARGINS[best], cells=telling)
    if isinstance(way, Hold):
        verdict = replace(verdict, hold=way, layer=trial.fit(way) if verdict.kept else None)
    elif way is not None:
        verdict = replace(verdict, tuned=True, tensors=way.fit(views.checked, views.elsewhere) if verdict.kept else None)
    tried.end()
    return verdict


def _judged(old: NDArray[np.float64], new: NDArray[np.float64]) -> Verdict:
    """Whether tallies (cells, COLUMNS) are a gain over the old ones, without what was learnt."""
    before, after = scores(old), scores(new)
    gain, error = float(merit(new) - merit(old)), noise(old, new)
    why = (
        f"F1 {before.f1:.2f} → {after.f1:.2f}, IoU {before.iou:.2f} → {after.iou:.2f} on checked ground that was left out in turn"
    )
    found, true, small = (int(new[:, column].sum()) for column in (FOUND, TRUE, SMALL))
    kept = _is_gain(before, after, gain, error)
    return Verdict(kept, why, before=before, after=after, gain=gain, noise=error, numbers=(found, true, small))


class _Steps:
    """Counts what was tried; each step of fine-tuning is one too."""

    def __init__(self, trial: _Trial, tries: int, tuner: Tuner | None, report: Callable[[int, int], None]) -> None:
        self._trial, self._report, self._done, self._total = trial, report, 0, tries
        if tuner is not None:
            self._total += tuner.steps * (TUNING_FOLDS + 1)
            tuner.report = self._step

    def tally(self, way: Way, margins: Mapping[str, float]) -> NDArray[np.float64]:
        self._step()
        return self._trial.tally(way, margins)

    def end(self) -> None:
        self._report(self._total, self._total)

    def _step(self) -> None:
        self._report(self._done, self._total)
        self._done += 1


@dataclass(frozen=True)
class _Trial:
    """What is learnt from checked ground, or from all but a fold of it, and how well it does."""

    views: Views
    cells: Sequence[NDArray[np.int64]]
    old: NDArray[np.float64]
    """(cells, COLUMNS) of the network as it is."""
    block: NDArray[np.int64]
    """(cells,)."""
    layer: LastLayer
    params: InstanceParams
    small_px: float
    _fitted: dict[tuple[Hold, int | None], LastLayer] = field(default_factory=dict)
    _answered: dict[tuple[int, int], NDArray[np.uint8]] = field(default_factory=dict)
    """Heads of a window by a network that has not seen a fold."""

    @cached_property
    def _folds(self) -> NDArray[np.int64]:
        return _folds(self.old, self.block, FOLDS)

    @cached_property
    def _tuning_folds(self) -> NDArray[np.int64]:
        return _folds(self.old, self.block, TUNING_FOLDS)

    def _by_pixel(self, folds: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """(H, W) fold of each pixel of each checked window, −1 where nothing counts."""
        return [np.where(c < 0, -1, folds[c]) for c in self.cells]

    @cached_property
    def _checked(self) -> Pixels:
        return sample(self.views.checked, self._by_pixel(self._folds), self.layer, checked=True)

    @cached_property
    def _elsewhere(self) -> Pixels:
        nowhere = [np.full(w.known.shape, -1) for w in self.views.elsewhere]
        return sample(self.views.elsewhere, nowhere, self.layer, checked=False)

    def fit(self, hold: Hold, without: int | None = None) -> LastLayer:
        """A head from all checked ground but the fold ``without``."""
        if (hold, without) not in self._fitted:
            chosen = self._checked if without is None else only(self._checked, self._checked.fold != without)
            self._fitted[hold, without] = learn(chosen, self._elsewhere, self.layer, hold)
        return self._fitted[hold, without]

    def _tune(self, tuner: Tuner) -> None:
        """Answers of networks that have not seen a fold, for each window that has ground of it."""
        folds = self._by_pixel(self._tuning_folds)
        for fold in np.unique(self._tuning_folds).tolist():
            tensors = tuner.fit(self.views.checked, self.views.elsewhere, folds, fold)
            for number, window in enumerate(self.views.checked):
                if (folds[number] == fold).any():
                    self._answered[number, fold] = tuner.answers(window, tensors)

    def tally(self, way: Way, margins: Mapping[str, float]) -> NDArray[np.float64]:
        """(cells, COLUMNS) each cell by a head that has not seen it; with the old head, if ``way`` is None."""
        fold_of, params = self._folds, changed(self.params, margins)
        if way is not None and not isinstance(way, Hold):
            fold_of = self._tuning_folds
            if not self._answered:
                self._tune(way)
        total = np.zeros((len(fold_of), COLUMNS))
        for number, (window, cells) in enumerate(zip(self.views.checked, self.cells, strict=True)):
            if way is None:
                total += tally(window, cells, window.heads, params, len(total), self.small_px)
                continue
            for fold in np.unique(fold_of[np.unique(cells[cells >= 0])]).tolist():
                left_out = fold_of == fold
                heads = answers(window, self.fit(way, fold)) if isinstance(way, Hold) else self._answered[number, fold]
                total[left_out] += tally(window, cells, heads, params, len(total), self.small_px)[left_out]
        return total


def _is_gain(before: Scores, after: Scores, gain: float, error: float) -> bool:
    """Whether a gain in ``merit`` with its standard error is to be kept."""
    return gain > max(SURE * error, LEAST) and after.f1 > before.f1 and after.iou >= before.iou - HARM


def _best(tried: Sequence[NDArray[np.float64]], old: NDArray[np.float64]) -> int:
    """Which of some tallies gains most over the old one, with ``CAUTION``."""
    return int(np.argmax([merit(new) - merit(old) - CAUTION * noise(old, new) for new in tried]))


def _folds(old: NDArray[np.float64], block: NDArray[np.int64], count: int = FOLDS) -> NDArray[np.int64]:
    """(cells,) fold of each cell, that of its block: those with most buildings first, each to the fold with the fewest so far."""
    shown = np.bincount(block, old[:, TRUE] + old[:, FOUND])
    if np.count_nonzero(shown) < 2:  # one block alone has buildings: it would be scored by what bare ground has taught
        block = np.arange(len(block))
    weight = np.bincount(block, old[:, TRUE] + old[:, FOUND] + 0.1)
    folds, loads = np.zeros(len(weight), np.int64), np.zeros(count)
    for one in np.argsort(-weight, kind="stable"):
        folds[one] = loads.argmin()
        loads[folds[one]] += weight[one]
    return folds[block]


def changed(params: InstanceParams, margins: Mapping[str, float]) -> InstanceParams:
    """Thresholds with changes, kept between 0.02 and 0.98."""
    return replace(params, **{name: round(min(max(getattr(params, name) + by, 0.02), 0.98), 4) for name, by in margins.items()})
