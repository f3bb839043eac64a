"""How far a count of buildings may be off in a new place, measured on sites of held-out places.

Of each held-out place the weights' card holds numbers of buildings, found and true, on sites cut from it (``cut_sites``). The logarithm of
true / found is taken to follow Student's t distribution around ``shift`` with the variance ``place + small × share of small buildings
+ few / found²``: weights find more or fewer buildings than there are, places differ by a share of the count, more so in small buildings,
and a few buildings are missed or found too many whatever the size of the site. The four are sampled from their posterior on a grid, in
which each place counts as one observation, however many sites were cut from it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import geopandas as gpd
import numpy as np
from numpy.typing import NDArray

SITES = 12
"""Sites cut from a place."""
SITE_BUILDINGS = (5, 150)
"""True buildings on a site."""
CUT_FROM = 25
"""A place with fewer buildings is one site."""
SMALL_M2 = 80.0
"""A building below is small."""
DEGREES = 8
"""Degrees of freedom: a few sites are off by far more than most."""
PRIOR = {"place": (0.02, 1.5), "small": (0.05, 1.5), "few": (0.5, 1.0)}
"""Of each part of the variance the median, and the standard deviation of its logarithm."""
SHIFT_SD = 0.3
"""Standard deviation of the prior of ``shift``, around 0."""
_SHIFTS = np.sinh(np.linspace(-3.5, 3.5, 25)) / 20
"""From less than half to more than twice as many; closer to 0 in finer steps, since drawn scenes are found almost exactly."""
_GRID = dict(
    zip(
        (*PRIOR, "shift"),
        (a.ravel() for a in np.meshgrid(np.geomspace(1e-4, 2, 14), np.geomspace(1e-3, 3, 8), np.geomspace(0.05, 20, 9), _SHIFTS)),
        strict=True,
    )
)
Draws = NDArray[np.float64]


def cut_sites(found: gpd.GeoDataFrame, truth: gpd.GeoDataFrame) -> list[list[int]]:
    """Numbers [found, true, small ones among those found] of buildings on each of ``squares``.

    Args:
        found: footprints with ``area_m2``.
        truth: buildings, in the plane of ``found``; both cut to the ground on which the truth is complete.
    """
    return [numbers_of(found[inside(found, square)], truth[inside(truth, square)]) for square in squares(truth)]


def numbers_of(found: gpd.GeoDataFrame, truth: gpd.GeoDataFrame) -> list[int]:
    """Numbers [found, true, small ones among those found] of a site that holds just these."""
    return [len(found), len(truth), int((found["area_m2"] < SMALL_M2).sum())]


Square = tuple[float, float, float]
"""x and y of the middle, and half a side."""


def squares(truth: gpd.GeoDataFrame) -> list[Square]:
    """Sites as a user might draw them: the whole place, and squares around its buildings; none in a place with hardly any."""
    fewest, most = SITE_BUILDINGS
    if len(truth) < fewest:
        return []
    drawn = [(0.0, 0.0, float("inf"))]
    if len(truth) < CUT_FROM:
        return drawn
    rng, points = np.random.default_rng(len(truth)), truth.representative_point()
    while len(drawn) < SITES:
        middle = points.iloc[rng.integers(len(points))]
        wanted = int(np.exp(rng.uniform(np.log(fewest), np.log(min(most, len(truth) - 1)))))
        away = np.sort(_away(truth, middle.x, middle.y))
        drawn.append((middle.x, middle.y, away[wanted - 1 : wanted + 1].mean()))
    return drawn


def inside(buildings: gpd.GeoDataFrame, square: Square) -> NDArray[np.bool_]:
    """Which buildings (n,) lie in a square."""
    x, y, half = square
    return _away(buildings, x, y) < half


def _away(buildings: gpd.GeoDataFrame, x: float, y: float) -> NDArray[np.float64]:
    """Distance (n,) of each building from a point, the larger of that along x and along y."""
    points = buildings.representative_point()
    return np.maximum(np.abs(points.x - x), np.abs(points.y - y)).to_numpy(float)


@dataclass(frozen=True)
class Spread:
    """Draws (D,) for a new place."""

    parts: Mapping[str, Draws]
    """``shift``, and of the variance what ``PRIOR`` names."""
    z: Draws
    """Position of the draw in Student's t distribution."""

    def true_numbers(self, found: float, small: float) -> Draws:
        """Draws (D,), whole, of the true number where ``found`` buildings (at least 1) were found, the share ``small`` of them small."""
        return np.rint(found * self.factors(found, small))

    def factors(self, found: float, small: float) -> Draws:
        """Draws (D,) of the true number / ``found``."""
        far = self.parts["shift"] + self.z * np.sqrt(_variance(self.parts, np.float64(found), np.float64(small)))
        return np.exp(np.clip(far, -5, 5))

    def narrowed(self, share: float) -> Spread:
        """The same, with draws that lie from their median at this share of the distance."""
        shift = self.parts["shift"]
        middle = np.median(shift)
        return Spread({**self.parts, "shift": middle + (shift - middle) * share}, self.z * share)


def draw_spread(rates: Sequence[Mapping[str, Any]], rng: np.random.Generator, count: int) -> Spread | None:
    """The spread of a new place; None if the rates come from a card without ``sites``.

    Args:
        rates: rates in the weights' card.
        rng: generator for the draws.
        count: number of draws.
    """
    places = [np.array(r["sites"], float) for r in rates if r.get("sites")]
    if not places:
        return None
    log_p = -0.5 * (_GRID["shift"] / SHIFT_SD) ** 2
    for part, (median, sd) in PRIOR.items():
        log_p = log_p - 0.5 * (np.log(_GRID[part] / median) / sd) ** 2
    for sites in places:
        found, true, small = np.maximum(sites.T, [[0.5], [0.5], [0.0]])[:, :, None]  # (sites, 1) each
        scale = np.sqrt(_variance(_GRID, found, small / found))
        log_p = log_p + _log_student(np.log(true / found) - _GRID["shift"], scale).mean(axis=0)
    weight = np.exp(log_p - log_p.max())
    cell = rng.choice(len(weight), size=count, p=weight / weight.sum())
    return Spread({part: values[cell] for part, values in _GRID.items()}, rng.standard_t(DEGREES, count))


def _log_student(far: Draws, scale: Draws) -> Draws:
    """Logarithm of Student's t density, less what does not depend on ``scale``; ``scipy.stats`` takes 2 s to import."""
    return -np.log(scale) - (DEGREES + 1) / 2 * np.log1p((far / scale) ** 2 / DEGREES)


def _variance(parts: Mapping[str, Draws], found: Any, small: Any) -> Draws:
    """Of the logarithm of true / found."""
    return parts["place"] + parts["small"] * small + parts["few"] / found**2
