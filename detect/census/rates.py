"""Precision and recall of weights, counted on places outside the training data, and draws of both for a new place.

Places differ, and a new one is drawn from among such places: a hierarchical beta-binomial model (Gelman et al., Bayesian Data Analysis, 3rd
ed., section 5.3), whose mean and concentration are sampled from their posterior on a grid. With few places the concentration is that of the
prior, about the spread of the sample places. Precision and recall of a place are correlated (in a difficult town both are low), so
they are drawn from a Gaussian copula with the correlation between the places.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import geopandas as gpd
import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv, betaln, gammaln, ndtr

from detect.base.matching import match, overlaps
from detect.base.stages import STAGES
from detect.base.vectors import geometries_of
from detect.census.spread import SMALL_M2, cut_sites

SIZES_M2 = {"small": (0.0, SMALL_M2), "medium": (SMALL_M2, 300.0), "large": (300.0, float("inf"))}
"""Footprints of houses and huts; large houses and small blocks; halls and dormitories."""
DORMITORY = "dormitory"
DOUBTFUL_BELOW = 0.8
"""Footprints with a lower mean probability are often false, so their precision is counted separately."""
COUNT_IOU = 0.3
"""A footprint counts as a detection of a building if they overlap by this IoU, however good its outline is."""
CONCENTRATION = 10.0
"""Prior of the concentration of rates between places (log-normal, one unit wide): log-odds then differ by 0.6 to 0.7 between
places."""
FEW_PLACES = 3
UNKNOWN = (2.0, 1.0, 2.0, 1.0, 0.0, 0.0)
"""Used for ``_counts`` if nothing was measured."""
Rates = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Drawn:
    """Draws (D,) for a new place."""

    precision: NDArray[np.float64]
    """Share of the detections that are real, among footprints with a ``score`` of at least ``DOUBTFUL_BELOW``."""
    doubtful: NDArray[np.float64]
    """The same among footprints with a lower score."""
    recall: NDArray[np.float64]
    """Share of the real buildings that are found."""


def count_rates(place: str, found: gpd.GeoDataFrame, truth: gpd.GeoDataFrame) -> dict[str, Any]:
    """The record of one place in the weights' card.

    Args:
        place: its name.
        found: footprints with ``area_m2``, ``score``, ``stage``, ``dormitory_score``.
        truth: buildings with ``area_m2``; ``stage`` (None where unknown) and ``dormitory`` (bool) where these are known. In the plane of
            ``found``.

    Returns:
        ``by_size``: per class of ``SIZES_M2`` ``predicted`` and how many of them are ``real``, ``doubtful`` among these and
        ``doubtful_real``, ``reference`` and how many of them are ``found``; under ``dormitory`` the same in probabilities (sums of
        ``dormitory_score``), where the place has dormitories. ``by_stage``: ``reference`` and ``found``. ``stages``: found buildings
        by true and given stage. ``sites``: see ``detect.census.spread.cut_sites``.
    """
    ours, theirs, _ = match(overlaps(geometries_of(found), geometries_of(truth)), COUNT_IOU)
    real, seen = np.zeros(len(found), bool), np.zeros(len(truth), bool)
    real[ours], seen[theirs] = True, True
    doubtful = found["score"].to_numpy(float) < DOUBTFUL_BELOW
    by_size: dict[str, dict[str, float]] = {}
    for name, (low, high) in SIZES_M2.items():
        a, b = ((t["area_m2"].to_numpy(float) >= low) & (t["area_m2"].to_numpy(float) < high) for t in (found, truth))
        by_size[name] = {
            "predicted": int(a.sum()), "real": int((a & real).sum()),
            "doubtful": int((a & doubtful).sum()), "doubtful_real": int((a & doubtful & real).sum()),
            "reference": int(b.sum()), "found": int((b & seen).sum()),
        }  # fmt: skip
    record: dict[str, Any] = {"place": place, "by_size": by_size, "sites": cut_sites(found, truth)}
    if "dormitory" in truth and truth["dormitory"].any():
        by_size[DORMITORY] = _dormitory_rates(found, truth["dormitory"].to_numpy(bool), ours, theirs)
    if "stage" in truth:
        true, given = truth["stage"].to_numpy(object), found["stage"].to_numpy(object)
        record["by_stage"] = {s: {"reference": int((true == s).sum()), "found": int((seen & (true == s)).sum())} for s in STAGES}
        record["stages"] = {t: {g: int(((true[theirs] == t) & (given[ours] == g)).sum()) for g in STAGES} for t in STAGES}
    return record


def _dormitory_rates(
    found: gpd.GeoDataFrame, dormitory: NDArray[np.bool_], ours: NDArray[np.int64], theirs: NDArray[np.int64]
) -> dict[str, float]:
    score = found["dormitory_score"].to_numpy(float)
    hit = float(score[ours[dormitory[theirs]]].sum())
    return {
        "predicted": round(float(score.sum()), 2), "real": round(hit, 2), "reference": int(dormitory.sum()), "found": round(hit, 2)
    }  # fmt: skip


def of_kind(rates: Rates, *, simulated: bool) -> list[Mapping[str, Any]]:
    """The places that apply to a scene: simulated ones for simulated scenes, real ones for real scenes; all if there is no such place."""
    return [r for r in rates if bool(r.get("simulated")) == simulated] or list(rates)


def size_classes(area_m2: NDArray[np.float64]) -> NDArray[np.object_]:
    """Key of ``SIZES_M2`` for each area."""
    edges = [high for _, high in SIZES_M2.values()][:-1]
    return np.array(list(SIZES_M2), object)[np.digitize(area_m2, edges)]


def draw_place(rates: Rates, kind: str, rng: np.random.Generator, count: int) -> Drawn:
    """Precision and recall of a new place for a kind of building.

    Args:
        rates: rates in the weights' card; entries without ``by_size`` count with all their buildings.
        kind: a key of ``SIZES_M2``, or ``dormitory``.
        rng: generator for the draws.
        count: number of draws.
    """
    counts = _per_place(rates, kind)
    if kind == DORMITORY and len(counts) < FEW_PLACES:  # large buildings of other places are evidence too
        counts = np.concatenate([counts, _per_place(rates, "large")])
    for instead in (*reversed(SIZES_M2), None):  # for an unknown kind the rates of another, or half right
        counts = counts if len(counts) else _per_place(rates, instead) if instead else np.array([UNKNOWN])
    predicted, real, reference, hit, unsure, unsure_real = counts.T
    together = _correlation((real + 0.5) / (predicted + 1), (hit + 0.5) / (reference + 1))
    first, second = rng.standard_normal((2, count))
    second = together * first + np.sqrt(1 - together**2) * second
    precision = _new_place(real - unsure_real, predicted - unsure, first, rng)
    doubtful = _new_place(unsure_real, unsure, first, rng) if unsure.any() else precision
    return Drawn(precision, doubtful, _new_place(hit, reference, second, rng))


def overall_recall(rates: Rates) -> float | None:
    """Share of the real buildings that are found, all sizes and places together; None if nothing was counted."""
    kinds = tuple(SIZES_M2)
    counts = [_counts(r, kind) for r in rates for kind in (kinds if "by_size" in r else kinds[:1])]  # without sizes: all at once
    reference, found = (sum(c[i] for c in counts if c is not None) for i in (2, 3))
    return found / reference if reference else None


def _per_place(rates: Rates, kind: str) -> NDArray[np.float64]:
    """``_counts`` (places, 6) of the places that have the kind."""
    return np.array([c for r in rates if (c := _counts(r, kind)) is not None], float).reshape(-1, 6)


def _counts(record: Mapping[str, Any], kind: str) -> tuple[float, ...] | None:
    """(predicted, real, reference, found, doubtful, doubtful_real) of a place; None if the place has none of the kind."""
    if "by_size" not in record:
        if kind == DORMITORY or "predicted" not in record:
            return None
        return record["predicted"], record["matched"], record["reference"], record["matched"], 0, 0
    own = record["by_size"].get(kind)
    if own is None or not (own["predicted"] or own["reference"]):
        return None
    counts = (own["predicted"], own["real"], own["reference"], own["found"])
    return (*counts, own.get("doubtful", 0), own.get("doubtful_real", 0))


_ODDS, _LOGS = np.meshgrid(np.arange(-6.0, 14.0, 0.2), np.linspace(np.log(0.5), np.log(3000), 30), indexing="ij")


def _new_place(
    hits: NDArray[np.float64], trials: NDArray[np.float64], z: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Rates of a new place at standard normal positions ``z``, given hits and trials of known places."""
    mean, size = 1 / (1 + np.exp(-_ODDS)), np.exp(_LOGS)
    # Jeffreys' prior on the mean (on the scale of log-odds), log-normal on the concentration.
    log_p = 0.5 * np.log(mean * (1 - mean)) - 0.5 * (_LOGS - np.log(CONCENTRATION)) ** 2
    a, b = mean * size, (1 - mean) * size
    for good, bad in zip(hits, np.maximum(trials - hits, 0), strict=True):
        log_p += betaln(a + good, b + bad) - betaln(a, b)
    weight = np.exp(log_p - log_p.max()).ravel()
    cell = rng.choice(len(weight), size=len(z), p=weight / weight.sum())
    return np.clip(betaincinv(a.ravel()[cell], b.ravel()[cell], ndtr(z)), 1e-6, 1.0)


def _correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Correlation between places; 0 if there are too few."""
    if len(a) < 5 or not a.std() or not b.std():
        return 0.0
    return float(np.clip(np.corrcoef(a, b)[0, 1], -0.95, 0.95))


def stage_shares(rates: Rates, given: str) -> tuple[NDArray[np.float64], float, float]:
    """True stages of buildings with a given predicted stage: shares (3,), number of checked buildings, concentration of places.

    A Dirichlet-multinomial model: its mean is that of all places together, its concentration the most likely one (with the prior
    ``CONCENTRATION``).
    """
    tables = np.array([[r["stages"][t][given] for t in STAGES] for r in rates if "stages" in r], float).reshape(-1, 3)
    checked = float(tables.sum())
    mean = (tables.sum(axis=0) + 1 / 3) / (checked + 1)
    logs = _LOGS[0]
    alpha = np.exp(logs)[:, None] * mean  # (concentrations, 3)
    log_p = -0.5 * (logs - np.log(CONCENTRATION)) ** 2
    for seen in tables:
        log_p = log_p + gammaln(alpha.sum(axis=1)) - gammaln(alpha.sum(axis=1) + seen.sum())
        log_p = log_p + (gammaln(alpha + seen) - gammaln(alpha)).sum(axis=1)
    return mean, checked, float(np.exp(logs[log_p.argmax()]))


def stage_recall(rates: Rates, rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    """(3, D) draws of the recall of each stage relative to that of complete buildings; at most 1."""
    found, reference = np.zeros(3), np.zeros(3)
    for record in rates:
        for i, s in enumerate(STAGES):
            own = record.get("by_stage", {}).get(s, {"reference": 0, "found": 0})
            found[i], reference[i] = found[i] + own["found"], reference[i] + own["reference"]
    if not reference.all():
        return np.ones((3, count))
    drawn = np.stack([rng.beta(a + 0.5, b - a + 0.5, count) for a, b in zip(found, reference, strict=True)])
    return np.minimum(drawn / drawn[2], 1.0)
