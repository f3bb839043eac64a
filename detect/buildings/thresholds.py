"""Where buildings are cut out of probabilities: as the weights' card says, or as a user wants it."""

from __future__ import annotations

from dataclasses import replace

from detect.buildings.instances import InstanceParams
from detect.network.weights import Weights


def instance_params(weights: Weights, gsd_m: float, *, threshold: float | None, min_area_m2: float | None) -> InstanceParams:
    """Thresholds and the smallest building, in pixels.

    Args:
        weights: whose card holds the thresholds.
        gsd_m: ground size of a pixel of the work grid, metres.
        threshold: calibrated footprint probability, 0–1; None: the card's, which is one of the network's own.
        min_area_m2: smallest building; None: the card's.
    """
    given = weights.card["thresholds"]
    params = InstanceParams(
        footprint_threshold=given["footprint"],
        boundary_threshold=given["boundary"],
        seed_margin=given.get("seed_margin", InstanceParams.seed_margin),
        merge_below=given.get("merge_below", InstanceParams.merge_below),
        mean_margin=given.get("mean_margin", 0.0),  # cards from before it was known
        min_area_px=max(1, round((given["min_area_m2"] if min_area_m2 is None else min_area_m2) / gsd_m**2)),
    )
    if threshold is None:
        return params
    # From a calibrated probability to the network's own.
    odds = (threshold / (1 - threshold)) ** weights.temperature("footprint")
    return replace(params, footprint_threshold=odds / (1 + odds))
