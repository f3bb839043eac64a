"""Rewrite an ONNX graph so that a tile with margins costs less; the output inside the margins stays the same.

A tile has wide margins because the deepest layers see far. The fine layers of the decoder, which take most of the time, see only a
few pixels. So the margins are removed step by step: before each enlargement, only those pixels are kept that later layers still need.
How wide they are on each side is an input of the graph, since tiles at the edges of a scene have none there.

A graph may treat ground that was not observed as what lies beyond a picture: each convolution sees zeros there. (Liu et al. 2018,
arXiv:1811.11718, treat padding as holes; here holes are treated as padding.)

ONNX Runtime's softmax over channels is slow on large images, so it is written as exponentials and a sum.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from functools import partial
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from detect.network.eight_bits import channels_of, divide_end, enlarge_by_copies
from detect.network.nodes import add_constant, drop_unused, is_doubling, kept_margins, maker_of, place_after, reach_px, users_of
from detect.network.sessions import MARGINS, SEEN

LEFT = "margins_left"
"""Name of a tensor of such a graph: (4,), how much of the margins the last convolution still has around it."""


def core_graph(path: Path, stride_px: int, *, with_holes: bool = False, strips: int = 4) -> bytes:
    """The graph with a cheaper softmax, whose output covers only what lies inside the margins of its tile: (N, 5, h, w).

    Args:
        path: ONNX file. If it is not a U-Net that doubles its features log2(stride) times, only the output is cropped.
        stride_px: stride of the network.
        with_holes: whether a further input says where the scene is shown.
        strips: in how many the end of an 8-bit network is computed; with 1, and with holes, its last convolution is one node.

    Raises:
        ValueError: the graph was made for tiles with margins of one width, as detect 0.1.0 did at first.
    """
    model = onnx.load(path)
    if any(p.key == "halo_px" for p in model.metadata_props):
        raise ValueError("it is of an earlier version, made for one width of margins; quantise the weights again")
    _cheapen_softmax(model.graph)
    channels = channels_of(model)
    if with_holes:
        _mask(model, stride_px)
        drop_unused(model.graph)
    whole = _crop(model.graph, stride_px)
    drop_unused(model.graph)
    enlarged = enlarge_by_copies(model.graph, channels)
    if enlarged and strips > 1 and not with_holes:
        divide_end(model.graph, enlarged[-1], whole, strips)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def plain_graph(path: Path) -> bytes:
    """The graph of a file as ``core_graph`` begins: with a cheaper softmax, and enlargements by a factor."""
    model = onnx.load(path)
    _cheapen_softmax(model.graph)
    for node in model.graph.node:
        if node.op_type == "Resize":
            _double(model.graph, node)
    drop_unused(model.graph)
    return model.SerializeToString()


def _crop(graph: onnx.GraphProto, stride_px: int) -> str:
    """Crop the margins before each enlargement, to what later layers see, and at the end; returns the name of what is cropped there."""
    enlargements = [n for n in graph.node if n.op_type == "Resize"]
    convolutions = [_convolutions(graph, start, enlargements) for start in enlargements]
    margins = kept_margins([sum(reach_px(n) for n in part) for part in convolutions])
    steps = _Steps()
    if margins and 2 ** len(margins) == stride_px:
        available = steps.add("Div", [MARGINS, steps.constant([stride_px])])
        for level, (node, margin) in enumerate(zip(enlargements, margins, strict=True), start=1):
            if level < len(margins):
                kept = steps.add("Min", [available, steps.constant([margin])])
                node.input[0] = _cut(graph, node.input[0], steps.add("Sub", [available, kept]), steps)
                available = kept
            # Before the last one, a few pixels are left; not to cut them leaves the largest tensors in ONNX Runtime's own layout (8 % of
            # the time).
            _double(graph, node)
            available = steps.add("Mul", [available, steps.constant([2])])
            beside = [(n, i) for n in _joins(graph, node) for i, name in enumerate(n.input) if not _comes_from(graph, name, node)]
            beside += [(n, 0) for n in map(partial(_mask_of, graph), convolutions[level - 1]) if n is not None]
            if beside:
                here = steps.add("Div", [MARGINS, steps.constant([stride_px // 2**level])])
                surplus = steps.add("Sub", [here, available])
            for reader, i in beside:
                reader.input[i] = _cut(graph, reader.input[i], surplus, steps)
    else:
        available = MARGINS
    output = graph.output[0].name
    last = next(n for n in graph.node if output in n.output)
    last.output[0] = f"{output}_with_margin"
    steps.nodes.append(helper.make_node("Identity", [available], [LEFT]))
    graph.node.append(helper.make_node("Identity", [_cut(graph, last.output[0], LEFT, steps)], [output]))
    for place, step in enumerate(steps.nodes):  # they depend on the margins alone
        graph.node.insert(place, step)
    graph.initializer.extend(steps.constants)
    graph.input.append(helper.make_tensor_value_info(MARGINS, onnx.TensorProto.INT64, [4]))
    return last.output[0]


def _mask(model: onnx.ModelProto, stride_px: int) -> None:
    """Let convolutions that look at neighbours see zeros where nothing of a pixel, at their scale, is shown."""
    graph = model.graph
    sides = _sides(model, stride_px)
    masks: dict[int, str] = {}
    zero = add_constant(graph, f"{SEEN}_zero", np.array(0, np.float32))
    for convolution in [n for n in graph.node if n.op_type == "Conv" and reach_px(n)]:
        side = sides.get(convolution.input[0])
        if not side or stride_px % side:  # of another kind than those that detect trains
            continue
        scale = stride_px // side
        if scale not in masks:
            share, masks[scale], factor = f"{SEEN}_share{scale}", f"{SEEN}_by{scale}", f"{SEEN}_factor{scale}"
            pooled = helper.make_node("AveragePool", [SEEN], [share], kernel_shape=[scale] * 2, strides=[scale] * 2)
            chosen = helper.make_node("Greater", [share, zero], [masks[scale]])
            for i, node in enumerate(
                (pooled, chosen, helper.make_node("Cast", [masks[scale]], [factor], to=onnx.TensorProto.FLOAT))
            ):
                graph.node.insert(i, node)
        source = maker_of(graph, convolution.input[0])
        name = f"{convolution.output[0]}_seen"
        if source is not None and source.op_type == "DequantizeLinear":  # zero in 8 bits is the zero point
            again = deepcopy(source)
            again.input[0], again.output[0], again.name = f"{name}_8bit", name, name
            masked = [helper.make_node("Where", [masks[scale], source.input[0], source.input[2]], [f"{name}_8bit"]), again]
        else:
            masked = [helper.make_node("Mul", [f"{SEEN}_factor{scale}", convolution.input[0]], [name], name=name)]
        where = list(graph.node).index(convolution)
        for i, node in enumerate(masked):
            graph.node.insert(where + i, node)
        convolution.input[0] = name
    graph.input.append(helper.make_tensor_value_info(SEEN, onnx.TensorProto.FLOAT, [1, 1, "height", "width"]))


def _sides(model: onnx.ModelProto, px: int) -> dict[str, int]:
    """How many pixels wide each tensor is, for an image that is ``px`` wide."""
    fixed = deepcopy(model)
    for dim in fixed.graph.input[0].type.tensor_type.shape.dim[2:]:
        dim.dim_value = px
    del fixed.graph.value_info[:]
    shaped = onnx.shape_inference.infer_shapes(fixed, data_prop=True).graph
    known = [*shaped.value_info, *shaped.input]
    return {v.name: v.type.tensor_type.shape.dim[3].dim_value for v in known if len(v.type.tensor_type.shape.dim) == 4}


def _mask_of(graph: onnx.GraphProto, convolution: onnx.NodeProto) -> onnx.NodeProto | None:
    """The node that masks what a convolution sees."""
    node = maker_of(graph, convolution.input[0])
    if node is not None and node.op_type == "DequantizeLinear":
        node = maker_of(graph, node.input[0])
    return node if node is not None and node.input[0].startswith(SEEN) else None


class _Steps:
    """Arithmetic with margins."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, values: Sequence[int]) -> str:
        name = f"margins_constant{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.array(values, np.int64), name))
        return name

    def add(self, kind: str, inputs: list[str]) -> str:
        name = f"margins_step{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], name=name))
        return name


def _joins(graph: onnx.GraphProto, enlargement: onnx.NodeProto) -> list[onnx.NodeProto]:
    """The nodes that join an enlarged tensor with others; in an 8-bit network, behind a change of its scale."""
    found, waiting = [], [enlargement]
    while waiting:
        users = users_of(graph, waiting.pop().output[0])
        found += [n for n in users if n.op_type == "Concat"]
        waiting += [n for n in users if n.op_type in _SCALE]
    return found


def _comes_from(graph: onnx.GraphProto, name: str, enlargement: onnx.NodeProto) -> bool:
    node = maker_of(graph, name)
    while node is not None and node.op_type in _SCALE:
        node = maker_of(graph, node.input[0])
    return node is enlargement


_SCALE = ("QuantizeLinear", "DequantizeLinear")


def _convolutions(graph: onnx.GraphProto, start: onnx.NodeProto, stops: list[onnx.NodeProto]) -> list[onnx.NodeProto]:
    """The convolutions between an enlargement and the next, or the end."""
    found, node = [], start
    while users := [n for n in users_of(graph, node.output[0]) if n.op_type not in ("Shape", "Slice")]:
        node = users[0]
        if node in stops:
            break
        if node.op_type == "Conv":
            found.append(node)
    return found


def _cut(graph: onnx.GraphProto, name: str, px: str, steps: _Steps) -> str:
    """The name of a tensor (N, C, H, W) without ``px``, the name of (4,) margins; what is kept in 8 bits is cut as such."""
    maker = maker_of(graph, name)
    if maker is not None and maker.op_type == "DequantizeLinear":
        again = deepcopy(maker)
        again.input[0], again.output[0] = _cut(graph, maker.input[0], px, steps), f"{name}_without_{px}"
        again.name = again.output[0]
        if maker_of(graph, again.output[0]) is None:
            graph.node.insert(place_after(graph, again.input[0]), again)
        return again.output[0]
    cut = f"{name}_without_{px}"
    if maker_of(graph, cut) is None:
        size, stop = f"{cut}_size", f"{cut}_stop"
        if maker_of(graph, f"{px}_first") is None and all(f"{px}_first" not in n.output for n in steps.nodes):
            start, middle, end, axis = (steps.constant([value]) for value in (0, 2, 4, 0))
            steps.nodes.append(helper.make_node("Slice", [px, start, middle, axis], [f"{px}_first"]))
            steps.nodes.append(helper.make_node("Slice", [px, middle, end, axis], [f"{px}_last"]))
        axes = steps.constant([2, 3])
        nodes = [
            helper.make_node("Shape", [name], [size], start=2, end=4, name=size),
            helper.make_node("Sub", [size, f"{px}_last"], [stop], name=stop),
            helper.make_node("Slice", [name, f"{px}_first", stop, axes], [cut], name=cut),
        ]
        place = place_after(graph, name)
        for i, node in enumerate(nodes):
            graph.node.insert(place + i, node)
    return cut


def _double(graph: onnx.GraphProto, enlargement: onnx.NodeProto) -> None:
    """Enlarge by a factor, not to the size of another tensor."""
    if is_doubling(graph, enlargement):
        return
    del enlargement.input[1:]
    scales = add_constant(graph, f"{enlargement.output[0]}_scales", np.array([1, 1, 2, 2], np.float32))
    enlargement.input.extend(["", scales])


def _cheapen_softmax(graph: onnx.GraphProto) -> None:
    """Softmax over channels as exp(x − max) / sum."""
    for node in [n for n in graph.node if n.op_type == "Softmax"]:
        x, y = node.input[0], node.output[0]
        place = list(graph.node).index(node)
        graph.node.remove(node)
        axes = add_constant(graph, f"{y}_axes", [1])
        steps = [
            helper.make_node("ReduceMax", [x], [f"{y}_max"], axes=[1], keepdims=1),
            helper.make_node("Sub", [x, f"{y}_max"], [f"{y}_below"]),
            helper.make_node("Exp", [f"{y}_below"], [f"{y}_exp"]),
            helper.make_node("ReduceSum", [f"{y}_exp", axes], [f"{y}_sum"], keepdims=1),
            helper.make_node("Div", [f"{y}_exp", f"{y}_sum"], [y]),
        ]
        for i, step in enumerate(steps):
            graph.node.insert(place + i, step)
