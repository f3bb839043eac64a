"""Counts and beds per site, with 90 % intervals and every assumption named.

An estimate is what was counted. Its interval says what the true number may be, by simulation with fixed seeds (same input, same numbers).
Each draw has these steps:

1. the true number of buildings, from how far counts were off on sites of held-out places (``detect.census.spread``). A card without such
   sites gives precision and recall by size of building (``detect.census.rates``): of the buildings found, how many are real (binomial),
   and how many were missed (negative binomial: failures before the n-th success);
2. their true stages, from a Dirichlet distribution around the measured confusion of stages and the network's own probabilities, which
   count as much as ``OWN_WORTH`` checked buildings; as wide as held-out places differ;
3. of these, how many are dormitories, from the sum of the likeness probabilities (a Poisson binomial, nearly normal; Le Cam 1960) and
   from how many dormitories were missed on held-out places; its draws are independent of those of buildings, so that another profile
   leaves the interval of buildings as it is;
4. rooms and beds, from the profile's ranges (triangular), and storeys from their interval, if shadows give them and rooms grow
with them;
5. how far the marked plots will be filled, if the number of planned buildings is not given: evenly between the pads that are laid
out and all of the cleared ground, packed like the site's finished part.

A stage is a part of the same draw's buildings, so no stage's interval exceeds that of all buildings. Buildings that a user has
checked are certain.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import geopandas as gpd
import numpy as np
from numpy.typing import NDArray

from detect.base.notices import Code, Notice
from detect.base.stages import STAGES
from detect.census.ground import Room, rooms
from detect.census.profiles import Assumed, StructureProfile
from detect.census.rates import DORMITORY, DOUBTFUL_BELOW, SIZES_M2, Rates, draw_place, size_classes, stage_recall, stage_shares
from detect.census.shadows import Storeys, storeys
from detect.census.spread import SMALL_M2, draw_spread

DRAWS = 4000
LOW, HIGH = 0.05, 0.95
SEED = 20_240_601
OWN_WORTH = 10.0
PACKING_SD = 0.1
"""Relative standard deviation of the density at which cleared ground will be built up."""
# Weights without measured rates: half of what is found may be wrong and half may be missed.
UNKNOWN_RATES = ({"place": "unknown", "matched": 1, "predicted": 2, "reference": 2},)
Count = dict[str, int]
Draws = NDArray[np.float64]


def take_census(
    buildings: gpd.GeoDataFrame,
    sites: gpd.GeoDataFrame,
    profile: StructureProfile,
    rates: Rates | None,
    site_warnings: Sequence[Sequence[str]] | None = None,
    ground: gpd.GeoDataFrame | None = None,
) -> dict[str, Any]:
    """``assumptions``, ``total``, ``sites`` and ``outside_sites`` of summary.json.

    Args:
        buildings: with ``site``, ``stage``, ``p_*``, ``score``, ``area_m2``, ``dormitory_like``, ``dormitory_score``, ``beds``,
            and ``height_m`` if shadows were measured; ``certain`` (bool, optional): a user has checked the building.
        sites: with ``name``, ``planned_buildings``, ``area_km2``.
        profile: profile of the structure to count.
        rates: rates in the weights' card, one entry per validation place; see ``detect.census.rates``.
        site_warnings: one list per site.
        ground: cleared ground and pads of the sites (``detect.census.ground.survey``); None where no ground was surveyed.

    Returns:
        ``total`` sums the sites; every building counts once. A count is ``{"estimate", "low", "high"}``, whole numbers, 90 %.
    """
    measured = storeys(buildings["height_m"].to_numpy(float)) if "height_m" in buildings else None
    place = _Place(rates or UNKNOWN_RATES, profile, measured)
    room: Sequence[Room | None] = [None] * len(sites) if ground is None else rooms(ground, sites, buildings, profile)
    counted, planned = [], []
    for i, (site, ground_here) in enumerate(zip(sites.to_dict("records"), room, strict=True)):
        own = buildings[buildings["site"] == site["name"]]
        true = _true_numbers(own, place)
        plan = _plan(site["planned_buildings"], ground_here, int(own["dormitory_like"].sum()), true)
        planned.append(plan)
        record = {"name": site["name"], "area_km2": round(site["area_km2"], 6), **_count(own, true, plan, place)}
        record["ground"] = None if ground_here is None else asdict(ground_here)
        record["warnings"] = list(site_warnings[i]) if site_warnings else []
        counted.append(record)
    inside = buildings[buildings["site"].notna()]
    return {
        "assumptions": _assumptions(profile, measured),
        "total": {
            "area_km2": round(float(sites["area_km2"].sum()), 6),
            **_count(inside, _true_numbers(inside, place), _together(planned), place),
        },
        "sites": counted,
        "outside_sites": len(buildings) - len(inside),
    }


def with_beds(buildings: gpd.GeoDataFrame, profile: StructureProfile) -> gpd.GeoDataFrame:
    """The table with ``beds`` of finished buildings of the type, with the storeys that shadows give, if any; 0 for all others."""
    measured = storeys(buildings["height_m"].to_numpy(float))
    beds = (profile if measured is None else replace(profile, storeys=measured.estimate)).beds(
        buildings["length_m"].to_numpy(float)
    )
    return buildings.assign(beds=np.where(buildings["dormitory_like"], beds, 0).astype(np.int64))


def storeys_notices(counted: Mapping[str, Any]) -> list[Notice]:
    """A notice where shadows contradict the storeys that beds rest on; ``counted`` is the result of ``take_census``."""
    assumed, measured = counted["assumptions"]["storeys"], counted["assumptions"]["storeys_measured"]
    if measured is None or measured["low"] <= assumed <= measured["high"]:
        return []
    text = (
        f"shadows of {measured['buildings']} buildings say {measured['estimate']} storeys ({measured['low']}–{measured['high']}), "
        f"the profile says {assumed}; beds follow the profile's rooms per building"
    )
    return [Notice(Code.STOREYS_DIFFER, text)]


def _assumptions(profile: StructureProfile, measured: Storeys | None) -> dict[str, Any]:
    rooms_each, beds, scaled = profile.rooms_per_building, profile.beds_per_room, profile.rooms_per_metre
    grown = measured is not None and scaled is not None
    floors = measured.estimate if measured is not None and grown else profile.storeys
    each = (
        f"{rooms_each.likely:g} rooms ({rooms_each.low:g}–{rooms_each.high:g})"
        if scaled is None
        else f"{scaled.likely:g} rooms ({scaled.low:g}–{scaled.high:g}) per metre of length on each of {floors} storeys"
    )
    per_room = f"{beds.likely:g} beds ({beds.low:g}–{beds.high:g})"
    usual = f"{rooms_each.likely:g} rooms ({rooms_each.low:g}–{rooms_each.high:g}) × {per_room}"
    if grown and floors != profile.storeys:
        usual += f" × {floors}/{profile.storeys} storeys"
    return {
        "structure": profile.name,
        "storeys": floors,
        "storeys_from": "shadows" if grown else "profile",
        "storeys_measured": None if measured is None else asdict(measured),
        "rooms_per_building": rooms_each.likely,
        "rooms_per_building_range": [rooms_each.low, rooms_each.high],
        "rooms_per_metre": None if scaled is None else scaled.likely,
        "beds_per_room": beds.likely,
        "beds_per_room_range": [beds.low, beds.high],
        "beds_per_building": profile.beds_per_building,
        "interval": 0.9,
        "beds_now": f"every complete dormitory-like building is in use and holds {each} × {per_room}",
        "beds_when_complete": "every dormitory-like building that is seen, at whatever stage, is finished and holds "
        f"{each} × {per_room}",
        "beds_planned": "as many buildings as planned_buildings says stand on the site; where it says nothing, those that are seen and as "
        "many more as fit on the site's cleared ground, packed as densely as its finished part (at the low end, on its pads alone); "
        f"all of the profile's usual size: {usual}",
    }


class _Place:
    """Draws that all counts of one census share: precision, recall, true stages, beds per building."""

    def __init__(self, rates: Rates, profile: StructureProfile, measured: Storeys | None) -> None:
        rng = np.random.default_rng(SEED)
        self.rates = {kind: draw_place(rates, kind, rng, DRAWS) for kind in (*SIZES_M2, DORMITORY)}
        self.stages = {name: stage_shares(rates, name) for name in STAGES}
        self.stage_recall = stage_recall(rates, rng, DRAWS)
        self.spread = draw_spread(rates, np.random.default_rng(SEED + 4), DRAWS)
        scaled = profile.rooms_per_metre
        per_metre = profile.rooms_per_building if scaled is None else scaled
        beds = profile.beds_per_room
        self.worth = _triangular(rng, beds) / max(beds.likely, 1e-9)
        """Draws of the beds of a building, relative to their likely number; ``worth_usual`` is for a building of the usual
        size."""
        self.worth_usual = (
            self.worth * _triangular(rng, profile.rooms_per_building) / max(profile.rooms_per_building.likely, 1e-9)
        )
        self.usual = float(profile.beds_per_building)
        """Likely beds of a finished building of the usual size."""
        if scaled is None:
            self.worth = self.worth_usual
            return
        self.worth = self.worth * _triangular(rng, per_metre) / max(per_metre.likely, 1e-9)
        if measured is not None:
            floors = _triangular(rng, Assumed(measured.low, measured.estimate, measured.high)) / measured.estimate
            self.worth, self.worth_usual = self.worth * floors, self.worth_usual * floors
            self.usual = float(round(self.usual * measured.estimate / profile.storeys))


@dataclass(frozen=True)
class _True:
    """Draws of true numbers, by stage: (3, D) each."""

    buildings: Draws
    dormitories: Draws


def _true_numbers(own: gpd.GeoDataFrame, place: _Place) -> _True:
    certain = own["certain"].to_numpy(bool) if "certain" in own else np.zeros(len(own), bool)
    checked, unchecked = own[certain], own[~certain]
    rng = np.random.default_rng(SEED + 1)
    given = unchecked["stage"].to_numpy(object)
    parts = [
        _Part(stage, same, _true_stages(same, stage, place, rng))
        for stage, same in ((i, unchecked[given == name]) for i, name in enumerate(STAGES))
        if len(same)
    ]
    buildings = _true_buildings(parts, place, rng)
    dormitories = np.minimum(_true_dormitories(parts, place, np.random.default_rng(SEED + 3)), buildings)
    for stage, name in enumerate(STAGES):
        here = checked[checked["stage"] == name]
        buildings[stage] += len(here)
        dormitories[stage] += int(here["dormitory_like"].sum())
    return _True(buildings, dormitories)


@dataclass(frozen=True)
class _Part:
    """The buildings of one given stage."""

    stage: int
    own: gpd.GeoDataFrame
    shares: Draws
    """(D, 3) of ``_true_stages``."""


def _true_buildings(parts: Sequence[_Part], place: _Place, rng: np.random.Generator) -> Draws:
    """(3, D) draws of the true numbers of buildings, by stage."""
    if not parts:
        return _unseen(place, rng)
    if place.spread is None:
        return np.sum([_real_and_missed(part, place, rng) for part in parts], axis=0)
    areas_m2 = np.concatenate([part.own["area_m2"].to_numpy(float) for part in parts])
    totals = place.spread.true_numbers(len(areas_m2), float((areas_m2 < SMALL_M2).mean()))
    below = np.cumsum([len(part.own) / place.stage_recall[part.stage] for part in parts], axis=0)
    numbers = np.diff(np.rint(totals * below / below[-1]), axis=0, prepend=0)  # whole numbers that sum to the totals
    return np.sum([_split(n, part.shares, rng) for n, part in zip(numbers, parts, strict=True)], axis=0)


def _real_and_missed(part: _Part, place: _Place, rng: np.random.Generator) -> Draws:
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


def _true_dormitories(parts: Sequence[_Part], place: _Place, rng: np.random.Generator) -> Draws:
    """(3, D) draws of the true numbers of dormitories, by stage."""
    dormitories, drawn = np.zeros((3, DRAWS)), place.rates[DORMITORY]
    for part in parts:
        p = part.own["dormitory_score"].to_numpy(float)
        mean = drawn.precision * p.sum()
        spread = np.sqrt(np.maximum(mean - drawn.precision**2 * (p**2).sum(), 0))
        real = np.clip(np.round(mean + spread * rng.standard_normal(DRAWS)), 0, len(part.own))
        dormitories += _split(real + _missed(real, drawn.recall, rng), part.shares, rng)
    return dormitories


def _true_stages(own: gpd.GeoDataFrame, stage: int, place: _Place, rng: np.random.Generator) -> Draws:
    """(D, 3) draws of the true stages' shares among buildings of one given stage."""
    p = own[[f"p_{s}" for s in STAGES]].to_numpy(float).mean(axis=0)
    shares, checked, concentration = place.stages[STAGES[stage]]
    measured = checked / (checked + OWN_WORTH)
    mean = measured * shares + (1 - measured) * p
    if mean.max() > 0.9999:
        return np.broadcast_to(mean, (DRAWS, 3))
    return rng.dirichlet(np.maximum(concentration * mean, 1e-3), DRAWS)


def _missed(real: Draws, recall: Draws, rng: np.random.Generator) -> Draws:
    """How many were missed while ``real`` were found."""
    some = np.maximum(real, 1e-9)
    return np.where(real > 0, rng.negative_binomial(some, np.clip(recall, 1e-3, 1.0)), 0)


def _unseen(place: _Place, rng: np.random.Generator) -> Draws:
    """(3, D) where no building was found: those that may have been missed, as if half a building had been found."""
    unseen = rng.negative_binomial(0.5, np.clip(place.rates["medium"].recall, 1e-3, 1.0), DRAWS).astype(float)
    return _split(unseen, np.full((DRAWS, 3), 1 / 3), rng)


def _split(numbers: Draws, shares: Draws, rng: np.random.Generator) -> Draws:
    """(3, D): whole numbers (D,) distributed over the stages by their shares (D, 3)."""
    first = rng.binomial(numbers.astype(np.int64), np.clip(shares[:, 0], 0, 1))
    rest = shares[:, 1] / np.maximum(1 - shares[:, 0], 1e-12)
    second = rng.binomial(numbers.astype(np.int64) - first, np.clip(rest, 0, 1))
    return np.stack([first, second, numbers - first - second])


def _triangular(rng: np.random.Generator, assumed: Assumed) -> Draws:
    if assumed.low == assumed.high:
        return np.full(DRAWS, assumed.likely)
    return rng.triangular(assumed.low, assumed.likely, assumed.high, DRAWS)


@dataclass(frozen=True)
class _Plan:
    """How many buildings of the type a site will have."""

    estimate: float
    draws: Draws
    source: str
    """``given`` or ``ground``."""


def _plan(given: float, room: Room | None, seen: int, true: _True) -> _Plan | None:
    """The number given for the site, or else the number that its ground would hold; None if neither is known."""
    if not math.isnan(given):
        return _Plan(given, np.full(DRAWS, given), "given")
    if room is None or room.fits is None:
        return None
    rng = np.random.default_rng(SEED + 2)
    full = np.maximum(room.fits * rng.lognormal(0, PACKING_SD, DRAWS), room.pads)
    more = room.pads + (full - room.pads) * rng.random(DRAWS)
    return _Plan(seen + round(room.fits), true.dormitories.sum(axis=0) + more, "ground")


def _together(plans: Sequence[_Plan | None]) -> _Plan | None:
    """The plan of all sites that have one."""
    known = [p for p in plans if p is not None]
    if not known:
        return None
    sources = sorted({p.source for p in known})
    return _Plan(sum(p.estimate for p in known), np.sum([p.draws for p in known], axis=0), " and ".join(sources))


def _count(own: gpd.GeoDataFrame, true: _True, plan: _Plan | None, place: _Place) -> dict[str, Any]:
    stage = own["stage"].to_numpy(object)
    like = own["dormitory_like"].to_numpy(bool)
    beds = own["beds"].to_numpy(float)
    every = beds[like].mean() if like.any() else place.usual
    return {
        "buildings": _interval(len(own), true.buildings.sum(axis=0)),
        "by_stage": {s: _interval(int((stage == s).sum()), true.buildings[i]) for i, s in enumerate(STAGES)},
        "dormitory_like": _interval(int(like.sum()), true.dormitories.sum(axis=0)),
        "dormitory_by_stage": {s: _interval(int((like & (stage == s)).sum()), true.dormitories[i]) for i, s in enumerate(STAGES)},
        "planned_buildings": None if plan is None else _interval(round(plan.estimate), plan.draws),
        "planned_from": None if plan is None else plan.source,
        "beds": {
            "now": _interval(int(beds[like & (stage == "complete")].sum()), true.dormitories[2] * every * place.worth),
            "when_complete": _interval(int(beds[like].sum()), true.dormitories.sum(axis=0) * every * place.worth),
            "planned": None
            if plan is None
            else _interval(round(plan.estimate * place.usual), plan.draws * place.usual * place.worth_usual),
        },
    }


def _interval(estimate: int, draws: Draws) -> Count:
    """The middle 90 % of the draws in whole numbers, widened where needed to hold the estimate."""
    low, high = np.quantile(draws, [LOW, HIGH], method="inverted_cdf")
    return {"estimate": int(estimate), "low": min(estimate, math.floor(low)), "high": max(estimate, math.ceil(high))}
