"""Temperatures that mend over- and under-confidence, and change nothing where there is nothing to mend."""

from __future__ import annotations

import numpy as np
import pytest

from detect.training.calibration import calibration_of, temper
from detect.training.metrics import Tally


def tally(temperature: float, seed: int = 0, pixels: int = 200_000) -> Tally:
    """Truth drawn from p; the network says p with its logit multiplied by ``temperature``."""
    rng = np.random.default_rng(seed)
    p = rng.beta(0.6, 0.6, pixels)
    truth = rng.random(pixels) < p
    said = temper(np.stack([1 - p, p], axis=1), 1 / temperature)[:, 1]
    counts = np.zeros((255, 2), np.int64)
    np.add.at(counts, (np.round(said * 254).astype(int), truth.astype(int)), 1)
    stage = rng.dirichlet([1, 1, 1], 4000)
    true = (stage.cumsum(axis=1) < rng.random((4000, 1))).sum(axis=1).clip(0, 2)
    return Tally(
        confidence=counts, stage_answers=[(*row, int(t)) for row, t in zip(temper(stage, 1 / temperature), true, strict=True)]
    )


@pytest.mark.parametrize("temperature", [0.6, 1.0, 1.7])
def test_the_temperature_that_was_put_in_is_found(temperature: float) -> None:
    report = calibration_of({"a/one": tally(temperature, 1), "b/two": tally(temperature, 2)})
    for head in ("footprint", "stage"):
        assert report[head]["temperature"] == pytest.approx(temperature, rel=0.08), head
        assert report[head]["ece_after"] < 0.02
        if temperature != 1.0:
            assert report[head]["ece_before"] > 2 * report[head]["ece_after"]
        said, observed, share = np.array(report[head]["reliability"]).T
        assert said == pytest.approx(observed, abs=0.06)
        assert share.sum() == pytest.approx(1, abs=1e-3)


def test_coarse_sets_and_missing_labels_choose_nothing() -> None:
    good, wild = tally(1.0), tally(3.0)
    report = calibration_of({"good/one": good, "coarse/one": wild}, coarse={"coarse"})
    assert report["footprint"]["temperature"] == pytest.approx(1.0, abs=0.05)
    assert calibration_of({"none/one": Tally()}) == {"footprint": None, "stage": None}


def test_every_data_set_weighs_the_same() -> None:
    small, large = tally(1.0, 1, 20_000), tally(2.0, 2, 500_000)
    both = calibration_of({"small/a": small, "large/a": large})["footprint"]["temperature"]
    assert 1.2 < both < 1.8
