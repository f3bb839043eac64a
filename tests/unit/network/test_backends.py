"""The network behind one call."""

from __future__ import annotations

import numpy as np
import pytest

from detect.base.errors import InputError
from detect.base.grid import NO_MARGINS, Margins
from detect.network.backends import BACKENDS, FlipAveraged, OnnxBackend, open_backend
from detect.network.heads import HEADS
from detect.network.weights import load_weights
from detect.runs.options import PredictOptions


@pytest.fixture(scope="module")
def backend() -> OnnxBackend:
    return OnnxBackend(load_weights())


def values(seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.clip(rng.random((3, 96, 128)) * 0.3 + 0.3, 0, 1).astype(np.float32)


def test_averaging_flips_makes_the_answer_follow_a_mirrored_scene(backend: OnnxBackend) -> None:
    scene = values()
    averaged = FlipAveraged(backend)
    once = averaged.predict(scene)
    assert once.shape == (5, 96, 128) and once.dtype == np.float32
    assert np.abs(once - backend.predict(scene)).max() > 1e-3, "it is another answer than the plain one"
    for axis in (1, 2):
        mirrored = np.ascontiguousarray(np.flip(scene, axis))
        assert np.flip(averaged.predict(mirrored), axis) == pytest.approx(once, abs=1e-5)
    assert once[2:].sum(axis=0) == pytest.approx(1, abs=1e-4)


def test_averaging_flips_mirrors_margins_and_holes_too(backend: OnnxBackend) -> None:
    picture = np.random.default_rng(1).random((3, 96, 160), np.float32)
    seen = np.ones((96, 160), bool)
    seen[64:, :] = seen[:, 128:] = False
    averaged = FlipAveraged(backend)
    whole = averaged.predict(picture[:, :64, :128])
    assert np.abs(averaged.predict(picture, Margins(32, 64, 0, 0), seen)[:, :32, :64] - whole[:, 32:, 64:]).max() < 1e-5


@pytest.mark.parametrize("device", ["gpu", "cuda:x", "mps"])
def test_an_unknown_device_is_refused(device: str) -> None:
    with pytest.raises(InputError, match="is not one of auto, cpu, cuda"):
        open_backend(load_weights(), device)


def test_a_backend_is_a_class_and_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    class Flat:
        """The same probability everywhere."""

        def __init__(self, device: str) -> None:
            self.device = device

        def predict(self, values: np.ndarray, margins: Margins = NO_MARGINS, seen: object = None) -> np.ndarray:
            return np.full((len(HEADS), *values[(0, *margins.inside(values.shape[1:]))].shape), 0.5, np.float32)

        def rest(self) -> None:
            pass

    monkeypatch.setitem(BACKENDS, "flat", lambda weights, device, threads: Flat(device))
    opened = open_backend(load_weights(), "flat:3")
    assert isinstance(opened, Flat) and opened.device == "flat:3"
    assert PredictOptions(device="flat:3").device == "flat:3"
    assert FlipAveraged(opened).predict(values(), Margins(32, 32, 32, 32)).shape == (5, 32, 64)


@pytest.mark.parametrize("device", ["cpu:0", "cuda:", "cuda:one"])
def test_a_device_that_is_no_number_of_its_kind_is_refused(device: str) -> None:
    with pytest.raises(InputError, match="is not one of auto, cpu, cuda"):
        open_backend(load_weights(), device)


@pytest.mark.parametrize("name", ["deep", "deep-int8"])
def test_threads_and_rest_change_no_bit(name: str) -> None:
    one, two = (OnnxBackend(load_weights(name), threads) for threads in (1, 2))
    picture = np.random.default_rng(2).random((3, 320, 352), np.float32)
    before = one.predict(picture, Margins(128, 128, 128, 128))
    assert (two.predict(picture, Margins(128, 128, 128, 128)) == before).all()
    one.rest()
    assert (one.predict(picture, Margins(128, 128, 128, 128)) == before).all()
