"""Estimates of the true numbers behind what was found on a site: medians over what a new place may be like.

The median is taken of the expected number in each draw of a place, before the draw becomes a whole number: where one building in a hundred
is missed, the median of whole numbers would say that none is. The estimate of all buildings is divided among the stages in the shares in
which these were found. The confusion of stages on held-out places is no part of it, since it depends on how many buildings are unfinished
there, which on a building site are far more; the intervals hold it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import geopandas as gpd
import numpy as np
from numpy.typing import NDArray

from detect.base.stages import STAGES
from detect.census.draws import Place, checks_of, factors_of
from detect.census.rates import DORMITORY

Whole = NDArray[np.int64]


@dataclass(frozen=True)
class Numbers:
    """Found or estimated on a site, or on several together; (3,) by stage each."""

    buildings: Whole
    dormitories: Whole
    beds: Whole
    """Beds of the dormitories once they are complete."""


def found_on(own: gpd.GeoDataFrame) -> Numbers:
    """What was found on a site.

    Args:
        own: its buildings, with ``stage``, ``dormitory_like``, ``beds``.
    """
    like, beds = own["dormitory_like"].to_numpy(bool), own["beds"].to_numpy(float)
    every = np.ones(len(own), bool)
    return Numbers(_by_stage(own, every), _by_stage(own, like), _by_stage(own, like, beds))


def estimate(own: gpd.GeoDataFrame, place: Place) -> Numbers:
    """Estimate the true numbers of a site; what was found, where it was never measured how far off counts are.

    Args:
        own: its buildings, with ``stage``, ``dormitory_like``, ``beds``, ``area_m2``; ``certain`` and ``surveyed`` as
            for ``detect.census.count.take_census``.
        place: draws for the place.
    """
    found = found_on(own)
    certain, alone = checks_of(own)
    factors = factors_of(own[~certain | alone], place)
    if factors is None:  # nothing was measured, or all are certain
        return found
    like, drawn = own["dormitory_like"].to_numpy(bool), place.rates[DORMITORY]
    buildings = _corrected(own, certain, alone, float(np.median(factors)), float(np.median(np.maximum(factors, 1))))
    ratios = float(np.median(drawn.precision / drawn.recall)), float(np.median(1 / drawn.recall))
    dormitories = np.minimum(_corrected(own[like], certain[like], alone[like], *ratios), buildings)
    each = found.beds / np.maximum(found.dormitories, 1)
    each[found.dormitories == 0] = found.beds.sum() / max(found.dormitories.sum(), 1)
    return Numbers(buildings, dormitories, np.rint(each * dormitories).astype(np.int64))


def _by_stage(own: gpd.GeoDataFrame, which: NDArray[np.bool_], values: NDArray[np.float64] | None = None) -> Whole:
    """(3,) how many of the buildings have each stage, or the sums of their values (n,)."""
    stage = own["stage"].to_numpy(object)
    here = [which & (stage == s) for s in STAGES]
    return np.array([h.sum() if values is None else values[h].sum() for h in here]).astype(np.int64)


def _corrected(
    own: gpd.GeoDataFrame, certain: NDArray[np.bool_], alone: NDArray[np.bool_], ratio: float, ratio_beside: float
) -> Whole:
    """(3,) the certain buildings as they are, the others times a ratio, and what is missing beside the certain ones that stand alone."""
    unchecked, beside = _by_stage(own, ~certain), _by_stage(own, alone)
    corrected = divided(unchecked.sum() * ratio, unchecked) + divided(beside.sum() * (ratio_beside - 1), beside)
    return _by_stage(own, certain) + corrected


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
    sums: list[Whole] = [np.array([getattr(n, f.name) for n in numbers], np.int64).sum(axis=0) for f in fields(Numbers)]
    return Numbers(*sums)
