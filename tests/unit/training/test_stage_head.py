"""The stage head's parts: varied crops, the linear layer, what is measured, and the graph that ships."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch
from sklearn.metrics import f1_score
from torchmetrics.functional.classification import multiclass_calibration_error

from detect.training.calibration import best_temperature, temper
from detect.training.stage_head import ECE_BINS, Components, Linear, measured, varied
from detect.training.stage_network import StageNetwork, features_of, stage_onnx


def crops(count: int = 3, side: int = 64) -> np.ndarray:
    rng = np.random.default_rng(1)
    made = rng.integers(0, 255, (count, 2, side, side, 4), dtype=np.uint8)
    made[..., 3] = 0
    made[:, :, 20:44, 16:40, 3] = 255
    return made


def test_varied_crops_are_crops_with_a_footprint() -> None:
    rng = np.random.default_rng(3)
    original = crops(1)[0]
    for _ in range(20):
        other = varied(original, (0.3, 0.15), rng)
        assert other.shape == original.shape and other.dtype == np.uint8
        assert set(np.unique(other[..., 3])) == {0, 255}
        assert not np.array_equal(other, original)


def test_the_layer_learns_what_is_linear_and_rare_classes_weigh_more() -> None:
    rng = np.random.default_rng(0)
    truth = rng.choice(3, 600, p=[0.05, 0.15, 0.8])
    features = rng.normal(size=(600, 30)).astype(np.float32)
    features[np.arange(600), truth] += 3
    weight = np.ones(600)
    fair, plain = (
        Linear(Components.from_features(features, 20), 0.1, balance).fit(features, truth, weight).probabilities(features)
        for balance in (1.0, 0.0)
    )
    assert (fair.argmax(axis=1) == truth).mean() > 0.8
    assert fair.sum(axis=1) == pytest.approx(1)
    assert fair[:, 0].sum() > plain[:, 0].sum()


def test_the_temperature_that_was_put_in_is_found() -> None:
    rng = np.random.default_rng(2)
    p = rng.dirichlet([1, 1, 1], 5000)
    truth = (p.cumsum(axis=1) < rng.random((5000, 1))).sum(axis=1).clip(0, 2)
    assert best_temperature(temper(p, 1 / 2), truth) == pytest.approx(2, rel=0.1)


def test_what_is_measured() -> None:
    truth = np.array([0, 0, 1, 1, 2, 2, 2, 2])
    given = np.array([0, 1, 1, 1, 2, 2, 2, 0])
    p = np.full((8, 3), 0.1)
    p[np.arange(8), given] = 0.8
    found = measured(p, truth)
    assert found["confusion"] == [[1, 1, 0], [0, 2, 0], [1, 0, 3]]
    assert found["f1"] == pytest.approx([2 / 4, 4 / 5, 6 / 7])
    assert found["macro_f1"] == pytest.approx(np.mean([2 / 4, 4 / 5, 6 / 7]))
    assert found["macro_f1_90"][0] < found["macro_f1"] < found["macro_f1_90"][1]
    assert found["ece"] == pytest.approx(abs(0.8 - 6 / 8))
    assert found["ece_balanced"] == pytest.approx(abs(0.8 - (1 / 2 + 1 + 3 / 4) / 3))


def test_a_place_without_a_stage_is_measured_by_the_others() -> None:
    truth = np.repeat([1, 2], 20)
    p = np.full((40, 3), 0.1)
    p[np.arange(40), np.where(np.arange(40) % 10, truth, 3 - truth)] = 0.8
    found = measured(p, truth)
    assert found["macro_f1"] == pytest.approx(0.9)
    assert found["macro_f1_90"][0] < found["macro_f1"] < found["macro_f1_90"][1]


def test_scores_are_those_of_the_libraries() -> None:
    rng = np.random.default_rng(4)
    p = rng.dirichlet([1, 1, 1], 400)
    truth = np.where(rng.random(400) < 0.6, p.argmax(axis=1), rng.integers(0, 3, 400))
    found = measured(p, truth, draws=10)
    assert found["f1"] == pytest.approx(f1_score(truth, p.argmax(axis=1), average=None))
    assert found["macro_f1"] == pytest.approx(f1_score(truth, p.argmax(axis=1), average="macro"))
    error = multiclass_calibration_error(torch.from_numpy(p), torch.from_numpy(truth), 3, ECE_BINS)
    assert found["ece"] == pytest.approx(error.item(), abs=1e-6)


def test_the_graph_answers_as_the_network_does_for_any_number_of_buildings() -> None:
    network = StageNetwork("tu-efficientnet_lite0", 2)
    features = features_of(network, crops())
    layer = Linear(Components.from_features(features, 2), 1.0, 0.5).fit(features, np.array([0, 1, 2]), np.ones(3))
    with torch.no_grad():
        network.mean.copy_(torch.from_numpy(layer.components.mean))
        network.sd.copy_(torch.from_numpy(layer.components.sd))
        network.linear.weight.copy_(torch.from_numpy(layer.matrix))
        network.linear.bias.copy_(torch.from_numpy(layer.bias))
    graph = stage_onnx(network, 2, 64).SerializeToString()
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    images = crops().transpose(0, 1, 4, 2, 3).astype(np.float32) / 255
    for chosen in (images, images[:1]):
        assert session.run(None, {"crops": chosen})[0] == pytest.approx(
            layer.probabilities(features[: len(chosen)]), abs=0.02
        )  # matrices are halved
