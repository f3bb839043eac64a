"""Draws of the true numbers behind what was found on a site: how many buildings, at which stages, how many of them dormitories.

One draw takes the steps 1 to 4 of ``detect.census.count``. All sites of a scene share a ``Place``.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import geopandas as gpd
import numpy as np
from numpy.typing import NDArray

from detect.base.stages import STAGES
from detect.census.profiles import Assumed, StructureProfile
from detect.census.rates import (
    DORMITORY,
    DOUBTFUL_BELOW,
    SIZES_M2,
    Drawn,
    Rates,
    draw_place,
    size_classes,
    stage_recall,
    stage_shares,
)
from detect.census.shadows import Storeys
from detect.census.spread import SMALL_M2, draw_spread

DRAWS = 4000
SEED = 20_240_601
PRIOR_BUILDINGS = 10.0
"""The network's stage probabilities count as much as this number of buildings whose true stage was checked."""
SOURCES = ("missed", "false", "stage", "profile")
"""What makes an interval wide."""
Draws = NDArray[np.float64]


class Place:
    """Draws that all counts of one census share: precision, recall, true stages, beds per building.

    Attributes:
        rates: precision and recall, by size class and for dormitories.
        stages: by the stage that the network gave: shares of the true stages, number of checked buildings, concentration.
        stage_recall: (3, D) recall by true stage, relative to that of complete buildings.
        beds_factor: (D,) true beds of a building divided by the likely ones, for the buildings that are seen.
        usual_beds_factor: (D,) the same for a building of the usual size, as planned ones are assumed to be.
        usual_beds: likely beds of a finished building of the usual size.
    """

    def __init__(self, rates: Rates, profile: StructureProfile, measured: Storeys | None) -> None:
        rng = np.random.default_rng(SEED)
        self.rates = {kind: draw_place(rates, kind, rng, DRAWS) for kind in (*SIZES_M2, DORMITORY)}
        self.stages = {name: stage_shares(rates, name) for name in STAGES}
        self.stage_recall = stage_recall(rates, rng, DRAWS)
        self.spread = draw_spread(rates, np.random.default_rng(SEED + 4), DRAWS)
        scaled = profile.rooms_per_metre
        per_room, rooms = profile.beds_per_room, profile.rooms_per_building
        per_room_factor = _triangular(rng, per_room) / max(per_room.likely, 1e-9)
        self.usual_beds_factor = per_room_factor * _triangular(rng, rooms) / max(rooms.likely, 1e-9)
        self.usual_beds = float(profile.beds_per_building)
        if scaled is None:
            self.beds_factor = self.usual_beds_factor
            return
        self.beds_factor = per_room_factor * _triangular(rng, scaled) / max(scaled.likely, 1e-9)
        if measured is not None:
            floors = _triangular(rng, Assumed(measured.low, measured.estimate, measured.high)) / measured.estimate
            self.beds_factor, self.usual_beds_factor = self.beds_factor * floors, self.usual_beds_factor * floors
            self.usual_beds = float(round(self.usual_beds * measured.estimate / profile.storeys))

    def only(self, *sources: str) -> Place:
        """The same place with only these of ``SOURCES`` drawn; everything else stays at its median."""
        missed, false = "missed" in sources, "false" in sources
        other = copy.copy(self)
        other.rates = {kind: _held(drawn, missed=missed, false=false) for kind, drawn in self.rates.items()}
        if self.spread is not None:
            other.spread = self.spread.narrowed(np.sqrt(self._share_of_spread(missed=missed, false=false)))
        if not missed:
            other.stage_recall = np.broadcast_to(np.median(self.stage_recall, axis=1, keepdims=True), self.stage_recall.shape)
        if "stage" not in sources:
            other.stages = {name: (shares, checked, np.inf) for name, (shares, checked, _) in self.stages.items()}
        if "profile" not in sources:
            other.beds_factor, other.usual_beds_factor = _median(self.beds_factor), _median(self.usual_beds_factor)
        return other

    def _share_of_spread(self, *, missed: bool, false: bool) -> float:
        """Share of the variance of true / found, which is about precision / recall: each has what the logarithms of its draws vary by."""
        drawn = self.rates["medium"]
        varies = {"missed": float(np.log(drawn.recall).var()), "false": float(np.log(drawn.precision).var())}
        return (missed * varies["missed"] + false * varies["false"]) / max(sum(varies.values()), 1e-12)


@dataclass(frozen=True)
class TrueNumbers:
    """Draws of the true numbers in one site, by stage: (3, D) each."""

    buildings: Draws
    dormitories: Draws


def true_numbers(own: gpd.GeoDataFrame, place: Place) -> TrueNumbers:
    """Draw the true numbers behind a site's own detected buildings."""
    certain, stands_alone = checks_of(own)
    checked, unchecked, alone = own[certain], own[~certain], own[stands_alone]
    rng = np.random.default_rng(SEED + 1)
    parts = [
        _Part(stage, same, _true_stages(same, stage, place, rng))
        for stage, same in ((i, unchecked[unchecked["stage"] == name]) for i, name in enumerate(STAGES))
        if len(same)
    ]
    if not len(own):
        buildings = _unseen(place, rng)
    else:
        factors = factors_of(own[~certain | stands_alone], place)
        buildings = _true_buildings(parts, factors, place, rng) + _missed_beside(alone, factors, place, rng)
    dormitories = _true_dormitories(parts, place, np.random.default_rng(SEED + 3))
    dormitories += _missed_beside(
        alone[alone["dormitory_like"].astype(bool)], None, place, np.random.default_rng(SEED + 5), DORMITORY
    )
    dormitories = np.minimum(dormitories, buildings)
    for stage, name in enumerate(STAGES):
        here = checked[checked["stage"] == name]
        buildings[stage] += len(here)
        dormitories[stage] += int(here["dormitory_like"].sum())
    return TrueNumbers(buildings, dormitories)


@dataclass(frozen=True)
class _Part:
    """The buildings of one given stage."""

    stage: int
    own: gpd.GeoDataFrame
    shares: Draws
    """(D, 3) of ``_true_stages``."""


def checks_of(own: gpd.GeoDataFrame) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """(n,) which buildings of a site are certain, and which of these stand alone: beside them, buildings may be missing."""
    certain, surveyed = (own[c].to_numpy(bool) if c in own else np.zeros(len(own), bool) for c in ("certain", "surveyed"))
    return certain, certain & ~surveyed & bool((~certain).any())


def factors_of(buildings: gpd.GeoDataFrame, place: Place) -> Draws | None:
    """(D,) true number of buildings / number found; None if the card does not say, or there are none."""
    if place.spread is None or buildings.empty:
        return None
    return place.spread.factors(len(buildings), float((buildings["area_m2"].to_numpy(float) < SMALL_M2).mean()))


def _true_buildings(parts: Sequence[_Part], factors: Draws | None, place: Place, rng: np.random.Generator) -> Draws:
    """(3, D) draws of the true numbers of buildings, by stage."""
    if not parts:
        return np.zeros((3, DRAWS))
    if factors is None:
        return np.sum([_real_and_missed(part, place, rng) for part in parts], axis=0)
    totals = np.rint(sum(len(part.own) for part in parts) * factors)
    below = np.cumsum([len(part.own) / place.stage_recall[part.stage] for part in parts], axis=0)
    numbers = np.diff(np.rint(totals * below / below[-1]), axis=0, prepend=0)  # whole numbers that sum to the totals
    return np.sum([_split(n, part.shares, rng) for n, part in zip(numbers, parts, strict=True)], axis=0)


def _real_and_missed(part: _Part, place: Place, rng: np.random.Generator) -> Draws:
    """(3, D) draws of the true numbers behind the buildings of one given stage, from precision and recall."""
    classes = size_classes(part.own["area_m2"].to_numpy(float))
    doubtful = part.own["score"].to_numpy(float) < DOUBTFUL_BELOW
    buildings = np.zeros((3, DRAWS))
    for kind in SIZES_M2:
        drawn = place.rates[kind]
        sure, unsure = (int(((classes == kind) & (doubtful == which)).sum()) for which in (False, True))
        real = (rng.binomial(sure, drawn.precision) + rng.binomial(unsure, drawn.doubtful)).astype(float)
        missed = _missed(real, drawn.recall * place.stage_recall[part.stage], rng)
        buildings += _split(real + missed, part.shares, rng)
    return buildings


def _missed_beside(
    checked: gpd.GeoDataFrame, factors: Draws | None, place: Place, rng: np.random.Generator, kind: str | None = None
) -> Draws:
    """(3, D) draws of what was missed beside buildings that are certain, at the stages that these have.

    The false ones among what was found are gone, so true / found is at least 1; without it, recall says how many are missing.
    """
    if checked.empty:
        return np.zeros((3, DRAWS))
    if factors is not None:
        missed = np.rint(len(checked) * np.maximum(factors, 1)) - len(checked)
    else:
        kinds = [kind] * len(checked) if kind else size_classes(checked["area_m2"].to_numpy(float))
        real = {k: float(n) for k, n in zip(*np.unique(kinds, return_counts=True), strict=True)}
        missed = np.sum([_missed(np.full(DRAWS, n), place.rates[k].recall, rng) for k, n in real.items()], axis=0)
    shares = np.array([(checked["stage"] == name).mean() for name in STAGES])
    return _split(missed, np.broadcast_to(shares, (DRAWS, 3)), rng)


def _true_dormitories(parts: Sequence[_Part], place: Place, rng: np.random.Generator) -> Draws:
    """(3, D) draws of the true numbers of dormitories, by stage."""
    dormitories, drawn = np.zeros((3, DRAWS)), place.rates[DORMITORY]
    for part in parts:
        p = part.own["dormitory_score"].to_numpy(float)
        mean = drawn.precision * p.sum()
        spread = np.sqrt(np.maximum(mean - drawn.precision**2 * (p**2).sum(), 0))
        real = np.clip(np.round(mean + spread * rng.standard_normal(DRAWS)), 0, len(part.own))
        dormitories += _split(real + _missed(real, drawn.recall, rng), part.shares, rng)
    return dormitories


def _true_stages(own: gpd.GeoDataFrame, stage: int, place: Place, rng: np.random.Generator) -> Draws:
    """Draw the shares (D, 3) of the true stages among the buildings to which the network gave one stage."""
    p = own[[f"p_{s}" for s in STAGES]].to_numpy(float).mean(axis=0)
    shares, checked, concentration = place.stages[STAGES[stage]]
    measured = checked / (checked + PRIOR_BUILDINGS)
    mean = measured * shares + (1 - measured) * p
    if mean.max() > 0.9999 or np.isinf(concentration):
        return np.broadcast_to(mean, (DRAWS, 3))
    return rng.dirichlet(np.maximum(concentration * mean, 1e-3), DRAWS)


def _missed(real: Draws, recall: Draws, rng: np.random.Generator) -> Draws:
    """Draw how many buildings were missed while ``real`` ones were found."""
    some = np.maximum(real, 1e-9)
    return np.where(real > 0, rng.negative_binomial(some, np.clip(recall, 1e-3, 1.0)), 0)


def _unseen(place: Place, rng: np.random.Generator) -> Draws:
    """(3, D) where no building was found at all: some that may have been missed, as if half a building had been found."""
    unseen = rng.negative_binomial(0.5, np.clip(place.rates["medium"].recall, 1e-3, 1.0), DRAWS).astype(float)
    return _split(unseen, np.full((DRAWS, 3), 1 / 3), rng)


def _split(numbers: Draws, shares: Draws, rng: np.random.Generator) -> Draws:
    """Distribute whole numbers (D,) over the stages by their shares (D, 3); returns (3, D)."""
    first = rng.binomial(numbers.astype(np.int64), np.clip(shares[:, 0], 0, 1))
    rest = shares[:, 1] / np.maximum(1 - shares[:, 0], 1e-12)
    second = rng.binomial(numbers.astype(np.int64) - first, np.clip(rest, 0, 1))
    return np.stack([first, second, numbers - first - second])


def _triangular(rng: np.random.Generator, assumed: Assumed) -> Draws:
    if assumed.low == assumed.high:
        return np.full(DRAWS, assumed.likely)
    return rng.triangular(assumed.low, assumed.likely, assumed.high, DRAWS)


def _held(drawn: Drawn, *, missed: bool, false: bool) -> Drawn:
    """Precision or recall or both at their medians."""
    recall = drawn.recall if missed else _median(drawn.recall)
    return (
        Drawn(drawn.precision, drawn.doubtful, recall)
        if false
        else Drawn(_median(drawn.precision), _median(drawn.doubtful), recall)
    )


def _median(draws: Draws) -> Draws:
    return np.full(len(draws), np.median(draws))
