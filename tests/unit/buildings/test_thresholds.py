"""Thresholds: the card's, or those of a user, in the units of the work grid."""

from __future__ import annotations

from typing import Any

import pytest

from detect.buildings.instances import InstanceParams
from detect.buildings.thresholds import instance_params
from detect.network.card import card_from
from detect.network.weights import Weights
from tests.unit.network.test_card import least_card


def weights(**changes: Any) -> Weights:
    return Weights(card_from(least_card() | changes, "tiny.json"), None, None)


def test_the_card_decides_and_areas_become_pixels() -> None:
    every = {
        "footprint": 0.5,
        "boundary": 0.25,
        "seed_margin": 0.125,
        "merge_below": 0.375,
        "mean_margin": 0.0625,
        "min_area_m2": 12,
    }
    params = instance_params(weights(thresholds=every), 0.5, threshold=None, min_area_m2=None)
    assert (params.footprint_threshold, params.boundary_threshold) == (0.5, 0.25)
    assert (params.seed_margin, params.merge_below, params.mean_margin) == (0.125, 0.375, 0.0625)
    assert params.min_area_px == 48, "12 m² in pixels of 0.25 m²"


def test_keys_that_an_older_card_lacks() -> None:
    params = instance_params(weights(), 0.5, threshold=None, min_area_m2=None)
    assert (params.seed_margin, params.merge_below) == (InstanceParams.seed_margin, InstanceParams.merge_below)
    assert params.mean_margin == 0, "such cards were made without it"


@pytest.mark.parametrize(("min_area_m2", "pixels"), [(0, 1), (0.5, 2), (100, 400)])
def test_the_users_smallest_building_comes_before_the_cards(min_area_m2: float, pixels: int) -> None:
    assert instance_params(weights(), 0.5, threshold=None, min_area_m2=min_area_m2).min_area_px == pixels


@pytest.mark.parametrize(
    ("temperature", "calibrated", "own"),
    [
        (1.0, 0.7, 0.7),
        (2.0, 0.5, 0.5),
        (2.0, 0.75, 0.9),  # odds of 3 to 1, squared: 9 to 1
        (2.0, 0.25, 0.1),
        (0.5, 0.9, 0.75),
    ],
)
def test_a_calibrated_threshold_becomes_one_of_the_network(temperature: float, calibrated: float, own: float) -> None:
    card = weights(calibration={"footprint": {"temperature": temperature}})
    params = instance_params(card, 0.5, threshold=calibrated, min_area_m2=None)
    assert params.footprint_threshold == pytest.approx(own)
    assert params.boundary_threshold == 0.3, "the card's"
