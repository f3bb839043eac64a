"""How far a count of buildings may be off in a new place, measured on sites of held-out places.

Of each held-out place the weights' card holds pairs of numbers, found and true, on sites cut from it (``cut_sites``). The logarithm of
true / found is taken to follow Student's t distribution around 0 with the variance ``place + few / found²``: places differ by a share of
the count, and a few buildings are missed or found too many whatever the size of the site. Both variances are sampled from their posterior
on a grid, in which each place counts as one observation, however many sites were cut from it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import geopandas as gpd
import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

SITES = 12
"""Sites cut from a place."""
SITE_BUILDINGS = (5, 150)
"""True buildings on a site."""
CUT_FROM = 25
"""A place with fewer buildings is one site."""
DEGREES = 8
"""Degrees of freedom: a few sites are off by far more than most."""
PRIOR_PLACE, PRIOR_FEW = (np.log(0.05), 1.5), (0.0, 1.0)
"""Mean and standard deviation of the logarithms of the two variances."""
_PLACE, _FEW = (a.ravel() for a in np.meshgrid(np.geomspace(1e-5, 3, 40), np.geomspace(0.02, 50, 30), indexing="ij"))
Draws = NDArray[np.float64]


def cut_sites(found: gpd.GeoDataFrame, truth: gpd.GeoDataFrame) -> list[list[int]]:
    """Numbers [found, true] of buildings on each of ``squares``.

    Args:
        found: footprints.
        truth: buildings, in the plane of ``found``; both cut to the ground on which the truth is complete.
    """
    return [[int(inside(t, square).sum()) for t in (found, truth)] for square in squares(truth)]


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

    place: Draws
    """Variance of the logarithm of true / found that all sites of a place share."""
    few: Draws
    """The rest of it, times the square of the number found."""
    z: Draws
    """Position of the draw in Student's t distribution."""

    def true_numbers(self, found: float) -> Draws:
        """Draws (D,) of the true number where ``found`` buildings were found, 1 or more; whole numbers."""
        far = self.z * np.sqrt(self.place + self.few / found**2)
        return np.rint(found * np.exp(np.clip(far, -5, 5)))


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
    log_p = np.zeros(len(_PLACE))
    for variance, (mean, sd) in ((_PLACE, PRIOR_PLACE), (_FEW, PRIOR_FEW)):
        log_p = log_p - 0.5 * ((np.log(variance) - mean) / sd) ** 2
    for pairs in places:
        found = np.maximum(pairs[:, :1], 0.5)
        far = np.log(np.maximum(pairs[:, 1:], 0.5) / found)
        scale = np.sqrt(_PLACE + _FEW / found**2)  # (sites, cells)
        log_p = log_p + student.logpdf(far, DEGREES, scale=scale).mean(axis=0)
    weight = np.exp(log_p - log_p.max())
    cell = rng.choice(len(weight), size=count, p=weight / weight.sum())
    return Spread(_PLACE[cell], _FEW[cell], rng.standard_t(DEGREES, count))
