"""Counts and beds per site, with 90 % intervals and every assumption named.

An estimate is what was counted. Its interval says what the true number may be, given how often the weights were right on places that no
training saw: precision and recall are drawn per place from the card's ``rates``, how many finds are real from the one, how many
buildings were missed from the other. Stages and likeness to a dormitory enter with their probabilities, rooms and beds with the
profile's ranges. The draws are seeded: same input, same numbers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import geopandas as gpd
import numpy as np
from numpy.typing import NDArray

from detect.dormitories import Assumed, StructureProfile
from detect.stages import STAGES

DRAWS = 4000
LOW, HIGH = 0.05, 0.95
SEED = 20_240_601
# Weights without measured rates: half of what is found may be wrong and half may be missed.
UNKNOWN_RATES = ({"place": "unknown", "matched": 1, "predicted": 2, "reference": 2},)
Count = dict[str, int]


def take_census(
    buildings: gpd.GeoDataFrame,
    sites: gpd.GeoDataFrame,
    profile: StructureProfile,
    rates: Sequence[Mapping[str, Any]] | None,
    site_warnings: Sequence[Sequence[str]] | None = None,
) -> dict[str, Any]:
    """``assumptions``, ``total``, ``sites`` and ``outside_sites`` of summary.json.

    Args:
        buildings: with ``site``, ``stage``, ``p_*``, ``dormitory_like``, ``dormitory_score``.
        sites: with ``name``, ``planned_buildings``, ``area_km2``.
        profile: of the structure that is counted.
        rates: of the weights' card: per validation place ``matched``, ``predicted`` and ``reference`` buildings at IoU 0.5.
        site_warnings: one list per site.

    Returns:
        ``total`` sums the sites; every building counts once. A count is ``{"estimate", "low", "high"}``, whole numbers, 90 %.
    """
    draws = _Draws(rates or UNKNOWN_RATES, profile)
    counted = []
    for i, site in enumerate(sites.to_dict("records")):
        own = buildings[buildings["site"] == site["name"]]
        record = {
            "name": site["name"],
            "area_km2": round(site["area_km2"], 6),
            **_count(own, site["planned_buildings"], profile, draws),
        }
        record["warnings"] = list(site_warnings[i]) if site_warnings else []
        counted.append(record)
    inside = buildings[buildings["site"].notna()]
    planned = sites["planned_buildings"].to_numpy(float)
    all_planned = float(np.nansum(planned)) if np.isfinite(planned).any() else math.nan
    return {
        "assumptions": {
            "structure": profile.name,
            "storeys": profile.storeys,
            "rooms_per_building": profile.rooms_per_building.likely,
            "rooms_per_building_range": [profile.rooms_per_building.low, profile.rooms_per_building.high],
            "beds_per_room": profile.beds_per_room.likely,
            "beds_per_room_range": [profile.beds_per_room.low, profile.beds_per_room.high],
            "beds_per_building": profile.beds_per_building,
            "interval": 0.9,
        },
        "total": {"area_km2": round(float(sites["area_km2"].sum()), 6), **_count(inside, all_planned, profile, draws)},
        "sites": counted,
        "outside_sites": len(buildings) - len(inside),
    }


class _Draws:
    """What is unknown about every count of one census, drawn once: precision, recall and beds per building."""

    def __init__(self, rates: Sequence[Mapping[str, Any]], profile: StructureProfile) -> None:
        rng = np.random.default_rng(SEED)
        place = rng.integers(len(rates), size=DRAWS)
        matched, predicted, reference = (
            np.array([r[k] for r in rates], float)[place] for k in ("matched", "predicted", "reference")
        )
        # Jeffreys' prior: one half of a success and one half of a failure.
        self.precision = rng.beta(matched + 0.5, np.maximum(predicted - matched, 0) + 0.5)
        self.recall = rng.beta(matched + 0.5, np.maximum(reference - matched, 0) + 0.5)
        self.beds = _triangular(rng, profile.rooms_per_building) * _triangular(rng, profile.beds_per_room)

    def true_count(self, shares: NDArray[np.float64]) -> NDArray[np.float64]:
        """Draws of how many real buildings of a kind there are, given each find's probability of being of that kind."""
        rng = np.random.default_rng(SEED + 1)
        mean = self.precision * shares.sum()
        variance = np.maximum(mean - self.precision**2 * (shares**2).sum(), 0)  # sum of independent yes-or-no's
        found = np.clip(np.round(mean + np.sqrt(variance) * rng.standard_normal(DRAWS)), 0, len(shares))
        # Failures before the found-th success: how many were missed at this recall.
        missed = rng.negative_binomial(found + 0.5, np.clip(self.recall, 1e-3, 1.0))
        return found + missed


def _triangular(rng: np.random.Generator, assumed: Assumed) -> NDArray[np.float64]:
    if assumed.low == assumed.high:
        return np.full(DRAWS, assumed.likely)
    return rng.triangular(assumed.low, assumed.likely, assumed.high, DRAWS)


def _count(own: gpd.GeoDataFrame, planned: float, profile: StructureProfile, draws: _Draws) -> dict[str, Any]:
    p = own[[f"p_{s}" for s in STAGES]].to_numpy(float).reshape(-1, 3)
    stage = own["stage"].to_numpy(object)
    like = own["dormitory_like"].to_numpy(bool)
    # A score is no probability; it says who is in doubt. Below a quarter nobody is, above three quarters neither.
    doubt = np.clip((own["dormitory_score"].to_numpy(float) - 0.25) / 0.5, 0, 1)
    ones = np.ones(len(own))
    ready = int((like & (stage == "complete")).sum())
    each = profile.beds_per_building
    return {
        "buildings": _interval(len(own), draws.true_count(ones)),
        "by_stage": {s: _interval(int((stage == s).sum()), draws.true_count(p[:, i])) for i, s in enumerate(STAGES)},
        "dormitory_like": _interval(int(like.sum()), draws.true_count(doubt)),
        "dormitory_by_stage": {
            s: _interval(int((like & (stage == s)).sum()), draws.true_count(doubt * p[:, i])) for i, s in enumerate(STAGES)
        },
        "beds": {
            "now": _interval(ready * each, draws.true_count(doubt * p[:, 2]) * draws.beds),
            "when_complete": _interval(int(like.sum()) * each, draws.true_count(doubt) * draws.beds),
            "planned": None if math.isnan(planned) else _interval(round(planned * each), planned * draws.beds),
        },
    }


def _interval(estimate: int, draws: NDArray[np.float64]) -> Count:
    low, high = np.quantile(draws, [LOW, HIGH])
    return {"estimate": int(estimate), "low": min(estimate, math.floor(low)), "high": max(estimate, math.ceil(high))}
