"""Estimates of the true numbers behind what was found on a site: medians over what a new place may be like.

The median is taken of the expected number in each draw of a place, before the draw becomes a whole number: where one building in a hundred
is missed, the median of whole numbers would say that none is. The estimate of all buildings is divided among the stages in the shares in
which these were found. The confusion of stages on held-out places is no part of it, since it depends on how many buildings are unfinished
there, which on a building site are far more; the intervals hold it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import geopandas as gpd
import numpy as np
from numpy.typing import NDArray

from detect.base.stages import STAGES
from detect.census.draws import Place
from detect.census.rates import DORMITORY
from detect.census.spread import SMALL_M2

Whole = NDArray[np.int64]


@dataclass(frozen=True)
class Numbers:
    """Found or estimated on a site, or on several together."""

    buildings: Whole
    """(3,) by stage."""
    dormitories: Whole
    """(3,) by stage."""
    beds_now: int
    beds_when_complete: int


def found_on(own: gpd.GeoDataFrame) -> Numbers:
    """What was found on a site.

    Args:
        own: its buildings, with ``stage``, ``dormitory_like``, ``beds``.
    """
    stage, like, beds = own["stage"].to_numpy(object), own["dormitory_like"].to_numpy(bool), own["beds"].to_numpy(float)
    return Numbers(
        np.array([(stage == s).sum() for s in STAGES], np.int64),
        np.array([(like & (stage == s)).sum() for s in STAGES], np.int64),
        int(beds[like & (stage == STAGES[-1])].sum()),
        int(beds[like].sum()),
    )


def estimate(own: gpd.GeoDataFrame, place: Place) -> Numbers:
    """Estimate the true numbers of a site; what was found, where it was never measured how far off counts are.

    Args:
        own: its buildings, with ``stage``, ``dormitory_like``, ``beds``, ``area_m2``; ``certain`` and ``surveyed`` as
            for ``detect.census.count.take_census``.
        place: draws for the place.
    """
    found = found_on(own)
    if place.spread is None or own.empty:
        return found
    certain, surveyed = (own[c].to_numpy(bool) if c in own else np.zeros(len(own), bool) for c in ("certain", "surveyed"))
    alone = certain & ~surveyed & bool((~certain).any())  # beside them, buildings may be missing
    like, drawn = own["dormitory_like"].to_numpy(bool), place.rates[DORMITORY]
    buildings = certain.sum() + _beside(~certain, alone, own, place)
    dormitories = (certain & like).sum() + (like & ~certain).sum() * np.median(drawn.precision / drawn.recall)
    dormitories += (alone & like).sum() * np.median(1 / drawn.recall - 1)
    by_stage = divided(buildings, found.buildings)
    housing = np.minimum(divided(dormitories, found.dormitories), by_stage)
    each = found.beds_when_complete / max(like.sum(), 1)
    each_now = found.beds_now / found.dormitories[-1] if found.dormitories[-1] else each
    return Numbers(by_stage, housing, round(each_now * housing[-1]), round(each * housing.sum()))


def _beside(unchecked: NDArray[np.bool_], alone: NDArray[np.bool_], own: gpd.GeoDataFrame, place: Place) -> float:
    """Buildings expected beside those that are certain: those that the unchecked ones stand for, and missed ones."""
    assert place.spread is not None
    drawn_from = unchecked | alone
    if not drawn_from.any():
        return 0.0
    small = (own["area_m2"].to_numpy(float)[drawn_from] < SMALL_M2).mean()
    factors = place.spread.factors(int(drawn_from.sum()), float(small))
    return float(unchecked.sum() * np.median(factors) + alone.sum() * np.median(np.maximum(factors, 1) - 1))


def divided(number: float, shares: Whole) -> Whole:
    """(3,) the number, rounded, in parts as large as ``shares`` (3,) by the method of largest remainders; zeros where these are."""
    if not shares.any():
        return np.zeros(3, np.int64)
    parts = round(number) * shares / shares.sum()
    whole = np.floor(parts + 1e-9).astype(np.int64)
    whole[np.argsort(whole - parts, kind="stable")[: round(number) - whole.sum()]] += 1
    return whole


def together(numbers: Sequence[Numbers]) -> Numbers:
    """The sums over sites."""
    return Numbers(
        np.sum([n.buildings for n in numbers], axis=0, dtype=np.int64),
        np.sum([n.dormitories for n in numbers], axis=0, dtype=np.int64),
        sum(n.beds_now for n in numbers),
        sum(n.beds_when_complete for n in numbers),
    )
