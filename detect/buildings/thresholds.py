"""Thresholds at which probabilities become buildings: those of the weights' card, or those that a user gives."""

from __future__ import annotations

from dataclasses import replace

from detect.buildings.instances import InstanceParams
from detect.network.weights import Weights


def instance_params(weights: Weights, gsd_m: float, *, threshold: float | None, min_area_m2: float | None) -> InstanceParams:
    """Thresholds, and the size of the smallest building in pixels.

    Args:
        weights: weights whose card holds the thresholds.
        gsd_m: ground size of a pixel of the work grid, metres.
        threshold: calibrated footprint probability, 0–1; None: the card's, which is one of the network's own.
        min_area_m2: smallest building; None: the card's.
    """
    given = weights.card.thresholds
    smallest_m2 = given.min_area_m2 if min_area_m2 is None else min_area_m2
    params = InstanceParams(
        footprint_threshold=given.footprint,
        boundary_threshold=given.boundary,
        seed_margin=InstanceParams.seed_margin if given.seed_margin is None else given.seed_margin,
        merge_below=InstanceParams.merge_below if given.merge_below is None else given.merge_below,
        mean_margin=0.0 if given.mean_margin is None else given.mean_margin,  # older cards were made without it
        min_area_px=max(1, round(smallest_m2 / gsd_m**2)),
    )
    if threshold is None:
        return params
    # From a calibrated probability to the network's own.
    odds = (threshold / (1 - threshold)) ** weights.temperature("footprint")
    return replace(params, footprint_threshold=odds / (1 + odds))
