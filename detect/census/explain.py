"""Where the width of a site's intervals comes from: buildings missed, buildings found that are none, stages, the profile, chance."""

from __future__ import annotations

import geopandas as gpd
import numpy as np
import pandas as pd

from detect.base.errors import InputError
from detect.census.count import HIGH, LOW, counts_of, drawn_beds, place_of
from detect.census.draws import SOURCES, Draws, Place, true_numbers
from detect.census.estimates import estimate
from detect.census.profiles import StructureProfile
from detect.census.rates import Rates

CHANCE = "chance"
"""What is left when all sources stay at their medians: which of the buildings happen to be missed, false, or of another stage."""

LIKE = "dormitory-like"
"""The row of buildings like the profile, whatever it is called; ``attrs`` of the table say under this name what people call them."""


def explain(buildings: gpd.GeoDataFrame, profile: StructureProfile, rates: Rates | None, site: str) -> pd.DataFrame:
    """What each count of a site owes its width to.

    Each source is drawn alone, with all others at their medians, and counts with the square of the interval's width, as variances add
    up; what chance makes of it without any source is taken off, and is a share of its own.

    Args:
        buildings: as for ``detect.census.count.take_census``.
        profile: the type of building that is counted.
        rates: rates in the weights' card.
        site: name of a site.

    Returns:
        One row per count: ``low`` and ``high`` of its interval, as ``take_census`` gives them, and shares (0-1, sum 1, or all 0 where
        the width is 0) under ``SOURCES`` and ``CHANCE``.

    Raises:
        InputError: no building lies in a site of that name.
    """
    own = buildings[buildings["site"] == site]
    if own.empty:
        names = ", ".join(sorted(buildings["site"].dropna().unique())) or "none"
        raise InputError(f"--explain: no building lies in a site '{site}'; sites with buildings: {names}")
    place = place_of(buildings, profile, rates)
    chance = _widths(_drawn(own, place.only())) ** 2
    parts = pd.DataFrame({s: (_widths(_drawn(own, place.only(s))) ** 2 - chance).clip(lower=0) for s in SOURCES})
    parts[CHANCE] = chance
    shares = parts.div(parts.sum(axis=1).replace(0, 1), axis=0)
    counted = counts_of(own, estimate(own, place), true_numbers(own, place), None, place)
    beds = counted["beds"]
    counts = [
        counted["buildings"],
        counted["by_stage"]["complete"],
        counted["dormitory_like"],
        beds["now"],
        beds["when_complete"],
    ]
    table = shares.assign(**{end: [count[end] for count in counts] for end in ("low", "high")})
    table.attrs[LIKE] = f"{profile.name}-like"
    return table


def _drawn(own: gpd.GeoDataFrame, place: Place) -> dict[str, Draws]:
    """Draws (D,) of each count."""
    true = true_numbers(own, place)
    now, when_complete = drawn_beds(own, true, place)
    return {
        "buildings": true.buildings.sum(axis=0),
        "complete": true.buildings[2],
        LIKE: true.dormitories.sum(axis=0),
        "beds now": now,
        "beds when complete": when_complete,
    }


def _widths(drawn: dict[str, Draws]) -> pd.Series[float]:
    return pd.Series({name: float(np.subtract(*np.quantile(draws, [HIGH, LOW]))) for name, draws in drawn.items()})
