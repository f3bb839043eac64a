"""What was learnt, as the card of the weights and summary.json tell it, and as one line for the user."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from detect.adaptation.choose import Verdict, changed
from detect.adaptation.windows import Views
from detect.buildings.instances import InstanceParams

_KEYS = {
    "footprint_threshold": "footprint",
    "boundary_threshold": "boundary",
    "seed_margin": "seed_margin",
    "merge_below": "merge_below",
    "mean_margin": "mean_margin",
}
"""Key in a card of each field of ``InstanceParams``."""


def card_thresholds(params: InstanceParams, margins: Mapping[str, float], min_area_m2: float) -> dict[str, float]:
    """The thresholds of a result with changes, as a card holds them.

    Args:
        params: thresholds of the result, also those that its user gave.
        margins: changes.
        min_area_m2: smallest building of the result.
    """
    new = changed(params, margins)
    return {key: round(float(getattr(new, name)), 4) for name, key in _KEYS.items()} | {"min_area_m2": min_area_m2}


def rates_with(rates: Sequence[Mapping[str, Any]], verdict: Verdict, place: str, *, simulated: bool) -> list[Mapping[str, Any]]:
    """Rates of a card (``detect.census.rates``) pooled with the numbers found and true on the checked ground of one more place.

    Args:
        rates: of the weights before; what they hold of this place is replaced.
        verdict: counted by heads that had not seen the ground.
        place: name of its record.
        simulated: whether the place is drawn.
    """
    if verdict.numbers is None:
        return list(rates)
    record = {"place": place, "sites": [list(verdict.numbers)]} | ({"simulated": True} if simulated else {})
    return [*(r for r in rates if r["place"] != place), record]


def facts_of(verdict: Verdict, views: Views, gsd_m: float) -> dict[str, Any]:
    """What was checked, tried and gained, for summary.json."""
    before, after = (None if scores is None else _rounded(asdict(scores)) for scores in (verdict.before, verdict.after))
    pixels = sum(int(window.known.sum()) for window in views.checked)
    return {
        "checked": {
            "buildings": sum(len(window.outlines) for window in views.checked),
            "area_m2": round(pixels * gsd_m**2),
            "cells": verdict.cells,
            "left_out_m2": round(views.left_out_px * gsd_m**2),
        },
        "network": verdict.tuned,
        "head": None if verdict.hold is None else asdict(verdict.hold),
        "thresholds": dict(verdict.margins),
        "before": before,
        "after": after,
        "gain": round(verdict.gain, 4),
        "noise": round(verdict.noise, 4),
    }


def in_words(verdict: Verdict) -> str:
    """The verdict in one line."""
    if verdict.before is None or verdict.after is None:
        return f"nothing was learnt: {verdict.why}"
    if not verdict.kept:
        return f"nothing is kept, since there is no sure gain: {verdict.why}"
    return f"adapted: {verdict.why}"


def _rounded(scores: dict[str, Any]) -> dict[str, Any]:
    return {name: round(value, 4) for name, value in scores.items()}
