"""The rewritten graph answers as the original does, for what lies inside the halo."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest

from detect.base.errors import InputError
from detect.network.backends import OnnxBackend
from detect.network.card import card_from
from detect.network.graphs import _doubles, kept_margins, without_halo
from detect.network.weights import load_weights


@pytest.mark.parametrize(
    ("reaches", "margins"), [([2, 2, 3], [2, 2, 2]), ([3], [2]), ([2, 2, 2, 2, 3], [2] * 5), ([0, 4], [1, 2])]
)
def test_margins_cover_what_later_layers_see(reaches: list[int], margins: list[int]) -> None:
    assert kept_margins(reaches) == margins


@pytest.mark.parametrize("halo_px", [0, 32, 64, 128])
def test_the_core_stays_the_same(halo_px: int) -> None:
    weights = load_weights()
    assert weights.onnx is not None
    side_h, side_w = 64 + 2 * halo_px, 96 + 2 * halo_px
    image = np.random.default_rng(halo_px).normal(size=(1, 3, side_h, side_w)).astype(np.float32)
    answers = []
    for graph in (weights.onnx, without_halo(weights.onnx, halo_px, 32)):
        session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
        answers.append(session.run(None, {"image": image})[0])
    whole, core = answers
    assert core.shape == (1, 5, 64, 96)
    kept = whole[:, :, halo_px : side_h - halo_px, halo_px : side_w - halo_px]
    assert np.abs(kept - core).max() < 1e-6


def test_eight_bits_answer_much_like_thirty_two() -> None:
    from detect.simulate import Layout, Sun, render

    values = render(Layout((115.2, 115.2)), 0.3, Sun(45, 180), 0.0, 3, [3])[..., :3].transpose(2, 0, 1).astype(np.float32) / 255
    values[:, 160:200, 150:230] = 0.9
    exact, rough = (OnnxBackend(load_weights(name)).predict(values, 128) for name in ("deep", "deep-int8"))
    assert rough.shape == exact.shape == (5, 128, 128)
    assert np.abs(rough - exact).mean() < 0.05
    assert rough[2:].sum(axis=0) == pytest.approx(1, abs=1e-4)


def test_a_graph_made_for_one_halo_refuses_another() -> None:
    weights = load_weights("deep-int8")
    card = weights.card | {"tile": {"core_px": 1024, "halo_px": 64, "stride_px": 32}}
    with pytest.raises(InputError, match="made for tiles with a halo of 128 px, not 64"):
        OnnxBackend(replace(weights, card=card_from(card, "card")))


def test_eight_bits_are_enlarged_by_copies_and_answer_the_same() -> None:
    weights = load_weights("deep-int8")
    assert weights.onnx is not None
    image = np.random.default_rng(0).normal(size=(1, 3, 64 + 256, 96 + 256)).astype(np.float32)
    graph = without_halo(weights.onnx, 128, 32)
    kinds = [node.op_type for node in onnx.load_from_string(graph).graph.node]
    assert kinds.count("Resize") == 1  # the first: the tensor before it has another scale
    assert kinds.count("Shape") == 1  # of the strips in which the end is computed
    assert sum(kind == "Exp" for kind in kinds) == 4
    before, now = (
        onnxruntime.InferenceSession(g, providers=["CPUExecutionProvider"]).run(None, {"image": image})[0]
        for g in (weights.onnx, graph)
    )
    np.testing.assert_array_equal(before, now)


@pytest.mark.parametrize(
    ("scales", "mode", "doubles"),
    [((1, 1, 2, 2), "nearest", True), ((1, 1, 4, 4), "nearest", False), ((1, 1, 2, 2), "linear", False)],
)
def test_only_what_doubles_is_written_as_copies(scales: tuple[int, ...], mode: str, doubles: bool) -> None:
    how = {"mode": mode, "nearest_mode": "floor", "coordinate_transformation_mode": "asymmetric"}
    node = onnx.helper.make_node("Resize", ["x", "", "scales"], ["y"], **how)
    stored = onnx.numpy_helper.from_array(np.array(scales, np.float32), "scales")
    assert _doubles(onnx.helper.make_graph([node], "g", [], [], [stored]), node) is doubles
