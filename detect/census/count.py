"""Count buildings and beds per site, with 90 % intervals and a list of the assumptions.

A count holds what was ``found``; an ``estimate`` of the true number (``detect.census.estimates``); and the interval that holds nine of ten
draws of that. The seeds are fixed, so the same input gives the same numbers. Each draw takes these steps:

1. Draw the true number of buildings from how far off counts were on sites of held-out places (``detect.census.spread``). A card
   without such sites gives precision and recall by size of building (``detect.census.rates``), with a precision of their own for
   doubtful footprints: draw how many of the detected buildings are real (binomial), and how many were missed (negative binomial:
   failures before the n-th success).
2. Draw their true stages from a Dirichlet distribution. Its mean combines the measured confusion of stages and the network's own
   probabilities, which count as much as ``PRIOR_BUILDINGS`` checked buildings; its spread matches the variation between held-out
   places.
3. Draw how many are dormitories: the sum of the dormitory scores (a Poisson binomial, nearly normal; Le Cam 1960), corrected by
   precision and recall of dormitories on held-out places. These draws are independent of those of buildings, so that another profile
   leaves the interval of buildings as it is.
4. Draw rooms and beds from the profile's ranges (triangular). If shadows give the storeys and the rooms scale with them, draw the
   storeys from their interval.
5. If the number of planned buildings is not given, draw how far the plots will be filled: uniformly between "only the existing
   pads are built on" and "all cleared ground is built on", as densely as the site's finished part.

The stages divide the buildings of the same draw, so no stage's interval exceeds that of all buildings. Estimates add up: those of the
stages to that of the buildings, those of the sites to that of the total. Buildings that a user has checked count as certain; so does that
nothing was missed beside them, where the ground was checked as well or all buildings of the site were.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import geopandas as gpd
import numpy as np

from detect.base.notices import Code, Notice
from detect.base.stages import STAGES
from detect.base.texts import number_of
from detect.census.draws import DRAWS, SEED, Draws, Place, TrueNumbers, true_numbers
from detect.census.estimates import Numbers, Whole, estimate, found_on, together
from detect.census.ground import Capacity, capacities
from detect.census.profiles import Assumed, StructureProfile
from detect.census.rates import Rates
from detect.census.shadows import Storeys, storeys
from detect.census.sites import together_km2, unshared

LOW, HIGH = 0.05, 0.95
NARROW = 0.1
"""An interval this share of the estimate to either side is narrow: ``checks_to_narrow`` says how many buildings to check for it."""
BEYOND_PLAN = " estimated to be there already; planned_buildings is the number in the end, with those"
PACKING_SD = 0.1
"""Relative standard deviation of the density at which cleared ground will be built up."""
# For weights without measured rates: half of the detections may be wrong, and half of the buildings may be missed.
UNKNOWN_RATES = ({"place": "unknown", "matched": 1, "predicted": 2, "reference": 2},)
Count = dict[str, int | None]
_PLACES: dict[str, Place] = {}
"""By what decides the draws: they are the same every time, and take as long as the rest of a small scene's census."""
MOST_PLACES = 16


def take_census(
    buildings: gpd.GeoDataFrame,
    sites: gpd.GeoDataFrame,
    profile: StructureProfile,
    rates: Rates | None,
    site_warnings: Sequence[Sequence[str]] | None = None,
    ground: gpd.GeoDataFrame | None = None,
) -> dict[str, Any]:
    """Compute ``assumptions``, ``total``, ``sites`` and ``outside_sites`` of summary.json.

    Args:
        buildings: with ``site``, ``stage``, ``p_*``, ``score``, ``area_m2``, ``dormitory_like``, ``dormitory_score``, ``beds``,
            and ``height_m`` if shadows were measured; optionally ``certain`` (bool) where a user has checked the building, and
            ``surveyed`` (bool) where nothing is missing around it either.
        sites: with ``name``, ``planned_buildings``, ``area_km2``.
        profile: the type of building to count.
        rates: rates in the weights' card, one entry per held-out place; see ``detect.census.rates``.
        site_warnings: one list per site.
        ground: cleared ground and pads of the sites (``detect.census.ground.survey``); None if no ground was surveyed.

    Returns:
        ``total`` sums the sites; every building counts once, and ground that sites share once. A count is ``{"found", "estimate",
        "low", "high"}`` in whole numbers; ``found`` is None for what is planned.
        ``checks_to_narrow`` of the total and each site is how many more buildings must be checked until the interval of buildings
        is within ``NARROW`` of the estimate: its width is that of the unchecked ones, and shrinks as they do.
    """
    measured = _measured_storeys(buildings)
    place = place_of(buildings, profile, rates)
    capacity, once = _capacity(ground, sites, buildings, profile)
    counted, planned, estimated = [], [], []
    for i, (site, capacity_here) in enumerate(zip(sites.to_dict("records"), capacity, strict=True)):
        own = buildings[buildings["site"] == site["name"]]
        true = true_numbers(own, place)
        here = estimate(own, place)
        plan = _plan(site["planned_buildings"], capacity_here, int(here.dormitories.sum()), true)
        alone = once[i] is capacity_here
        planned.append(plan if alone else _plan(site["planned_buildings"], once[i], int(here.dormitories.sum()), true))
        estimated.append(here)
        record = {"name": site["name"], "area_km2": round(site["area_km2"], 6), **counts_of(own, here, true, plan, place)}
        record["ground"] = None if capacity_here is None else asdict(capacity_here)
        record["warnings"] = _warnings(site_warnings[i] if site_warnings else (), site["planned_buildings"], here, profile)
        counted.append(record)
    inside = buildings[buildings["site"].notna()]
    if len(sites) != 1 or len(own) != len(inside):  # else they are those of the one site
        true = true_numbers(inside, place)
    return {
        "assumptions": _assumptions(profile, measured),
        "total": {
            "area_km2": round(together_km2(sites), 6),
            **counts_of(inside, together(estimated), true, _together(planned), place),
        },
        "sites": counted,
        "outside_sites": len(buildings) - len(inside),
    }


def _capacity(
    ground: gpd.GeoDataFrame | None, sites: gpd.GeoDataFrame, buildings: gpd.GeoDataFrame, profile: StructureProfile
) -> tuple[Sequence[Capacity | None], Sequence[Capacity | None]]:
    """What each site's ground would hold; and without the ground that an earlier site holds, for the total."""
    if ground is None:
        return [None] * len(sites), [None] * len(sites)
    whole, once = capacities(ground, sites, buildings, profile), unshared(ground, sites)
    return whole, whole if once is ground else capacities(once, sites, buildings, profile)


def _warnings(others: Sequence[str], planned: float, here: Numbers, profile: StructureProfile) -> list[str]:
    """The warnings of a site, with one that more stands there than is planned; an earlier one of this kind is replaced."""
    kept, there = [line for line in others if not line.endswith(BEYOND_PLAN)], int(here.dormitories.sum())
    if there <= planned or math.isnan(planned):
        return kept
    return [
        *kept,
        f"planned_buildings is {planned:g}, fewer than the {number_of(there, f'{profile.name}-like building')}{BEYOND_PLAN}",
    ]


def place_of(buildings: gpd.GeoDataFrame, profile: StructureProfile, rates: Rates | None) -> Place:
    """The draws that all counts of one census share, and often those of other scenes; arguments as for ``take_census``."""
    measured = _measured_storeys(buildings)
    decides = json.dumps([rates, asdict(profile), measured and asdict(measured)], default=str)
    if decides not in _PLACES:
        if len(_PLACES) == MOST_PLACES:
            _PLACES.clear()
        _PLACES[decides] = Place(rates or UNKNOWN_RATES, profile, measured)
    return _PLACES[decides]


def with_beds(buildings: gpd.GeoDataFrame, profile: StructureProfile) -> gpd.GeoDataFrame:
    """Add ``beds``: of every dormitory-like building as if it were finished, at whatever stage it is; 0 for other buildings.

    If shadows were measured (``height_m``), their storeys replace those of the profile. This changes beds only if the profile has
    ``rooms_per_metre``.
    """
    measured = _measured_storeys(buildings)
    adjusted = profile if measured is None else replace(profile, storeys=measured.estimate)
    beds = adjusted.beds(buildings["length_m"].to_numpy(float))
    return buildings.assign(beds=np.where(buildings["dormitory_like"], beds, 0).astype(np.int64))


def _measured_storeys(buildings: gpd.GeoDataFrame) -> Storeys | None:
    return storeys(buildings["height_m"].to_numpy(float)) if "height_m" in buildings else None


def storeys_notices(counted: Mapping[str, Any]) -> list[Notice]:
    """A notice if shadows contradict the assumed storeys; ``counted`` is the result of ``take_census``."""
    assumed, measured = counted["assumptions"]["storeys"], counted["assumptions"]["storeys_measured"]
    if measured is None or measured["low"] <= assumed <= measured["high"]:
        return []
    text = (
        f"shadows of {measured['buildings']} buildings say {number_of(measured['estimate'], 'storey')} "
        f"({measured['low']}–{measured['high']}), the profile says {assumed}; beds follow the profile's rooms per building"
    )
    return [Notice(Code.STOREYS_DIFFER, text)]


def _assumptions(profile: StructureProfile, measured: Storeys | None) -> dict[str, Any]:
    rooms_each, beds, scaled = profile.rooms_per_building, profile.beds_per_room, profile.rooms_per_metre
    scales_with_storeys = measured is not None and scaled is not None
    floors = measured.estimate if measured is not None and scales_with_storeys else profile.storeys
    each = (
        _some(rooms_each, "room")
        if scaled is None
        else f"{_some(scaled, 'room')} per metre of length on each of {number_of(floors, 'storey')}"
    )
    per_room = _some(beds, "bed")
    usual = f"{_some(rooms_each, 'room')} × {per_room}"
    if scales_with_storeys and floors != profile.storeys:
        usual += f" × {floors}/{profile.storeys} storeys"
    return {
        "structure": profile.name,
        "storeys": floors,
        "storeys_from": "shadows" if scales_with_storeys else "profile",
        "storeys_measured": None if measured is None else asdict(measured),
        "rooms_per_building": rooms_each.likely,
        "rooms_per_building_range": [rooms_each.low, rooms_each.high],
        "rooms_per_metre": None if scaled is None else scaled.likely,
        "beds_per_room": beds.likely,
        "beds_per_room_range": [beds.low, beds.high],
        "beds_per_building": profile.beds_per_building,
        "interval": 0.9,
        "beds_now": f"every complete {profile.name}-like building is in use and holds {each} × {per_room}",
        "beds_when_complete": f"every {profile.name}-like building that is seen, at whatever stage, is finished and holds "
        f"{each} × {per_room}",
        "beds_planned": "as many buildings as planned_buildings says stand on the site; where it says nothing, those that are seen and as "
        "many more as fit on the site's cleared ground, packed as densely as its finished part (at the low end, on its pads alone); "
        f"all of the profile's usual size: {usual}",
    }


def _some(assumed: Assumed, noun: str) -> str:
    return f"{assumed.likely:g} {noun}{'' if assumed.likely == 1 else 's'} ({assumed.low:g}–{assumed.high:g})"


@dataclass(frozen=True)
class _Plan:
    """How many buildings of the type a site will have in the end."""

    estimate: float
    draws: Draws
    source: str
    """``given``: by the user; ``ground``: from the site's capacity."""


def _plan(given: float, capacity: Capacity | None, seen: int, true: TrueNumbers) -> _Plan | None:
    """The number given for the site, or else what is there plus what its cleared ground would hold; None if neither is known.

    Args:
        given: planned buildings of the site; NaN if not given.
        capacity: what the site's cleared ground would hold.
        seen: estimated number of dormitory-like buildings on the site.
        true: draws of the true numbers on the site.
    """
    if not math.isnan(given):
        return _Plan(given, np.full(DRAWS, given), "given")
    if capacity is None or capacity.fits is None:
        return None
    rng = np.random.default_rng(SEED + 2)
    full = np.maximum(capacity.fits * rng.lognormal(0, PACKING_SD, DRAWS), capacity.pads)
    more = capacity.pads + (full - capacity.pads) * rng.random(DRAWS)
    return _Plan(seen + round(capacity.fits), true.dormitories.sum(axis=0) + more, "ground")


def _together(plans: Sequence[_Plan | None]) -> _Plan | None:
    """The sum of the plans of all sites that have one."""
    known = [p for p in plans if p is not None]
    if not known:
        return None
    sources = sorted({p.source for p in known})
    return _Plan(sum(p.estimate for p in known), np.sum([p.draws for p in known], axis=0), " and ".join(sources))


def counts_of(own: gpd.GeoDataFrame, estimated: Numbers, true: TrueNumbers, plan: _Plan | None, place: Place) -> dict[str, Any]:
    """The counts of one site, or of all together, as summary.json holds them."""
    found = found_on(own)
    now, when_complete = drawn_beds(own, true, place)
    return {
        "buildings": _interval(found.buildings.sum(), estimated.buildings.sum(), true.buildings.sum(axis=0)),
        "checks_to_narrow": _checks_to_narrow(own, int(estimated.buildings.sum()), true.buildings.sum(axis=0)),
        "by_stage": _by_stage(found.buildings, estimated.buildings, true.buildings),
        "dormitory_like": _interval(found.dormitories.sum(), estimated.dormitories.sum(), true.dormitories.sum(axis=0)),
        "dormitory_by_stage": _by_stage(found.dormitories, estimated.dormitories, true.dormitories),
        "planned_buildings": None if plan is None else _interval(None, plan.estimate, plan.draws),
        "planned_from": None if plan is None else plan.source,
        "beds": {
            "now": _interval(found.beds[-1], estimated.beds[-1], now),
            "when_complete": _interval(found.beds.sum(), estimated.beds.sum(), when_complete),
            "planned": None
            if plan is None
            else _interval(None, plan.estimate * place.usual_beds, plan.draws * place.usual_beds * place.usual_beds_factor),
        },
    }


def _by_stage(found: Whole, estimated: Whole, draws: Draws) -> dict[str, Count]:
    return {s: _interval(found[i], estimated[i], draws[i]) for i, s in enumerate(STAGES)}


def _checks_to_narrow(own: gpd.GeoDataFrame, estimate: int, buildings: Draws) -> int:
    unchecked = len(own) - int(own["certain"].sum()) if "certain" in own else len(own)
    width, wanted = np.subtract(*np.quantile(buildings, [HIGH, LOW])), 2 * NARROW * estimate
    return math.ceil(unchecked * (1 - wanted / width)) if width > wanted else 0


def drawn_beds(own: gpd.GeoDataFrame, true: TrueNumbers, place: Place) -> tuple[Draws, Draws]:
    """Draws (D,) of the beds of a site's complete dormitories, and of all of its dormitories once they are complete."""
    like = own["dormitory_like"].to_numpy(bool)
    each = place.beds_factor * (own["beds"].to_numpy(float)[like].mean() if like.any() else place.usual_beds)
    return true.dormitories[2] * each, true.dormitories.sum(axis=0) * each


def _interval(found: float | None, estimate: float, draws: Draws) -> Count:
    """The middle 90 % of the draws, widened if needed to include the estimate; all in whole numbers."""
    low, high = np.quantile(draws, [LOW, HIGH], method="inverted_cdf")
    whole = round(estimate)
    return {
        "found": None if found is None else int(found),
        "estimate": whole,
        "low": min(whole, math.floor(low)),
        "high": max(whole, math.ceil(high)),
    }
