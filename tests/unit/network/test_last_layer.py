"""The last convolution is found in any of the shipped graphs, and others take its place."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from detect.base.errors import InputError
from detect.base.grid import NO_MARGINS, Margins
from detect.network.adapted import Adaptation, write_adapted
from detect.network.backends import OnnxBackend
from detect.network.last_layer import FeatureReader, LastLayer, last_layer, with_last_layer
from detect.network.tensors import tensors_of
from detect.network.weights import load_weights

SHIPPED = ("deep", "deep-int8")


def logits(features: np.ndarray, layer: LastLayer) -> np.ndarray:
    """The convolution, written out: features (C, h + 2, w + 2) → (5, h, w)."""
    height, width = features.shape[1] - 2, features.shape[2] - 2
    total = np.zeros((len(layer.bias), height, width)) + layer.bias[:, None, None]
    for row in range(3):
        for col in range(3):
            part = features[:, row : row + height, col : col + width]
            total += np.einsum("oc,chw->ohw", layer.weight[:, :, row, col], part)
    return total


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize("margins", [Margins(128, 128, 128, 128), Margins(0, 32, 64, 0), NO_MARGINS])
def test_features_and_layer_give_the_heads(name: str, margins: Margins) -> None:
    reader = FeatureReader(load_weights(name))
    size_hw = 64 + margins.top + margins.bottom, 96 + margins.left + margins.right
    values = np.random.default_rng(0).random((3, *size_hw), np.float32)
    heads, features = reader.read(values, margins)
    assert heads.shape == (5, 64, 96) and features.shape[1:] == (66, 98)
    assert np.abs(1 / (1 + np.exp(-logits(features, reader.layer)[:2])) - heads[:2]).max() < 1e-5


@pytest.mark.parametrize("name", SHIPPED)
def test_features_and_layer_give_the_heads_that_predict_gives_beside_a_hole(name: str) -> None:
    weights, margins = load_weights(name), Margins(32, 0, 0, 64)
    reader = FeatureReader(weights)
    values = np.random.default_rng(0).random((3, 96, 160), np.float32)
    seen = np.ones((96, 160), bool)
    seen[20:, :50] = False
    heads, features = reader.read(values, margins, seen)
    assert np.abs(heads - OnnxBackend(weights).predict(values, margins, seen)).max() < 1e-5
    assert np.abs(heads - reader.read(values, margins)[0]).max() > 0.05, "the hole makes a difference"
    assert np.abs(1 / (1 + np.exp(-logits(features, reader.layer)[:2])) - heads[:2]).max() < 1e-5


def test_weights_made_for_one_width_of_margins_are_refused_in_one_line(tmp_path: Path) -> None:
    weights = load_weights("deep-int8")
    assert weights.onnx is not None
    model = onnx.load(weights.onnx)
    onnx.helper.set_model_props(model, {"halo_px": "128"})
    onnx.save(model, tmp_path / "old.onnx")
    for opens in (OnnxBackend, FeatureReader):
        with pytest.raises(InputError, match=r"old\.onnx: .*earlier version.*quantise the weights again"):
            opens(replace(weights, onnx=tmp_path / "old.onnx"))


@pytest.mark.parametrize("name", SHIPPED)
def test_the_same_layer_gives_the_same_file(name: str) -> None:
    weights = load_weights(name)
    assert weights.onnx is not None and with_last_layer(weights, last_layer(weights)) == weights.onnx.read_bytes()


def test_adapted_weights_answer_with_the_new_layer(tmp_path: Path) -> None:
    weights = load_weights()
    reader = FeatureReader(weights)
    layer = replace(reader.layer, bias=reader.layer.bias + np.array([1.0, 0, 0, 0, 0]))
    what = Adaptation("deep, adapted", layer, None, {"footprint": 0.4}, [{"place": "here"}], {"review": "r.gpkg"})
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / "old.txt").touch()
    adapted = write_adapted(tmp_path / "w", weights, what)
    first = {p.name: p.read_bytes() for p in (tmp_path / "w").iterdir()}
    assert adapted.name == "deep, adapted" and adapted.card["adapted"] == {"review": "r.gpkg"} and "old.txt" not in first
    assert adapted.card.thresholds == replace(weights.card.thresholds, footprint=0.4)
    assert adapted.stage_sha256 == weights.stage_sha256 and adapted.sha256 != weights.sha256
    values = np.random.default_rng(1).random((3, 320, 320), np.float32)
    old, new = (OnnxBackend(w).predict(values, Margins(128, 128, 128, 128)) for w in (weights, adapted))
    odds = new[0] / (1 - new[0]) / (old[0] / (1 - old[0]))
    assert np.allclose(odds, np.e, rtol=0.01) and np.array_equal(new[1:], old[1:])
    assert tensors_of(adapted).keys() == tensors_of(weights).keys(), "PyTorch reads them too"
    write_adapted(tmp_path / "w", weights, what)
    assert {p.name: p.read_bytes() for p in (tmp_path / "w").iterdir()} == first


def test_weights_without_a_graph_are_refused() -> None:
    with pytest.raises(InputError, match=r"there is no \.onnx"):
        last_layer(replace(load_weights(), onnx=None))
