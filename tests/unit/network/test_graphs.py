"""The rewritten graph answers as the original does, for what lies inside the margins."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest

from detect.base.grid import Margins
from detect.network.backends import OnnxBackend
from detect.network.graphs import core_graph, plain_graph
from detect.network.nodes import is_doubling, kept_margins
from detect.network.sessions import MARGINS, SEEN
from detect.network.weights import load_weights


@pytest.mark.parametrize(
    ("reaches", "margins"), [([2, 2, 3], [2, 2, 2]), ([3], [2]), ([2, 2, 2, 2, 3], [2] * 5), ([0, 4], [1, 2])]
)
def test_margins_cover_what_later_layers_see(reaches: list[int], margins: list[int]) -> None:
    assert kept_margins(reaches) == margins


@pytest.mark.parametrize(("name", "strips"), [("deep", 4), ("deep-int8", 1), ("deep-int8", 7)])
@pytest.mark.parametrize(
    "margins",
    [
        Margins(0, 0, 0, 0),
        Margins(128, 128, 128, 128),
        Margins(0, 128, 64, 0),  # a tile in a corner, whose neighbour below is short
        Margins(32, 0, 32, 96),
    ],
)
def test_the_core_stays_the_same(name: str, margins: Margins, strips: int) -> None:
    weights = load_weights(name)
    assert weights.onnx is not None
    size_hw = 64 + margins.top + margins.bottom, 96 + margins.left + margins.right
    image = np.random.default_rng(0).normal(size=(1, 3, *size_hw)).astype(np.float32)
    answers = []
    for graph, given in ((weights.onnx, {}), (core_graph(weights.onnx, 32, strips=strips), {MARGINS: np.array(margins)})):
        session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
        answers.append(session.run(None, {"image": image} | given)[0])
    whole, core = answers
    assert core.shape == (1, 5, 64, 96)
    assert np.abs(whole[(..., *margins.inside(size_hw))] - core).max() <= (1e-6 if name == "deep" else 0)


@pytest.mark.parametrize("name", ["deep", "deep-int8"])
@pytest.mark.parametrize("margins", [Margins(0, 0, 0, 0), Margins(64, 96, 0, 0)])
def test_beside_a_hole_the_answer_is_that_beside_an_edge(name: str, margins: Margins) -> None:
    """The lower and the right part were not observed; what they hold makes no difference."""
    weights = load_weights(name)
    assert weights.onnx is not None
    height, width = 64 + margins.top, 96 + margins.left
    image = np.random.default_rng(0).normal(size=(1, 3, height + 32, width + 64)).astype(np.float32)
    seen = np.zeros((1, 1, *image.shape[2:]), np.float32)
    seen[..., :height, :width] = 1
    whole, with_holes = (
        onnxruntime.InferenceSession(core_graph(weights.onnx, 32, with_holes=holes), providers=["CPUExecutionProvider"])
        for holes in (False, True)
    )
    given = {MARGINS: np.array(margins)}
    [expected] = whole.run(None, {"image": image[..., :height, :width]} | given)
    [beside_grey] = whole.run(None, {"image": image * seen} | given)
    [found] = with_holes.run(None, {"image": image, SEEN: seen} | given)
    assert np.abs(found[..., :64, :96] - expected).max() < 1e-5
    assert np.abs(beside_grey[..., :64, :96] - expected).max() > 0.05
    [all_seen] = with_holes.run(None, {"image": image, SEEN: np.ones_like(seen)} | given)
    [usual] = whole.run(None, {"image": image} | given)
    assert np.abs(all_seen - usual).max() < 1e-5


def test_eight_bits_answer_much_like_thirty_two() -> None:
    from detect.simulate import Layout, Sun, render

    values = render(Layout((115.2, 115.2)), 0.3, Sun(45, 180), 0.0, 3, [3])[..., :3].transpose(2, 0, 1).astype(np.float32) / 255
    values[:, 160:200, 150:230] = 0.9
    exact, rough = (
        OnnxBackend(load_weights(name)).predict(values, Margins(128, 128, 128, 128)) for name in ("deep", "deep-int8")
    )
    assert rough.shape == exact.shape == (5, 128, 128)
    assert np.abs(rough - exact).mean() < 0.05
    assert rough[2:].sum(axis=0) == pytest.approx(1, abs=1e-4)


def test_the_graph_that_is_quantised_answers_as_the_original() -> None:
    weights = load_weights("deep")
    assert weights.onnx is not None
    plain = plain_graph(weights.onnx)
    kinds = {node.op_type for node in onnx.load_from_string(plain).graph.node}
    assert "Softmax" not in kinds and MARGINS not in {i.name for i in onnx.load_from_string(plain).graph.input}
    image = np.random.default_rng(0).normal(size=(1, 3, 96, 64)).astype(np.float32)
    before, now = (
        onnxruntime.InferenceSession(g, providers=["CPUExecutionProvider"]).run(None, {"image": image})[0]
        for g in (weights.onnx, plain)
    )
    assert np.abs(before - now).max() < 1e-6


def test_eight_bits_are_enlarged_by_copies_and_end_in_strips() -> None:
    weights = load_weights("deep-int8")
    assert weights.onnx is not None
    kinds = [node.op_type for node in onnx.load_from_string(core_graph(weights.onnx, 32)).graph.node]
    assert "Resize" not in kinds
    assert kinds.count("Exp") == 4  # one for each strip


@pytest.mark.parametrize(
    ("scales", "mode", "doubles"),
    [((1, 1, 2, 2), "nearest", True), ((1, 1, 4, 4), "nearest", False), ((1, 1, 2, 2), "linear", False)],
)
def test_only_what_doubles_is_written_as_copies(scales: tuple[int, ...], mode: str, doubles: bool) -> None:
    how = {"mode": mode, "nearest_mode": "floor", "coordinate_transformation_mode": "asymmetric"}
    node = onnx.helper.make_node("Resize", ["x", "", "scales"], ["y"], **how)
    stored = onnx.numpy_helper.from_array(np.array(scales, np.float32), "scales")
    assert is_doubling(onnx.helper.make_graph([node], "g", [], [], [stored]), node) is doubles
