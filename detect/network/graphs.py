"""Rewrite an ONNX graph so that a tile with a halo costs less; the output for the tile's core stays the same.

A tile has a wide halo because the deepest layers see far. The fine layers of the decoder, which take most of the time, see only a
few pixels. So the halo is removed step by step: before each enlargement, only those pixels are kept that later layers still need.
ONNX Runtime's softmax over channels is slow on large images, so it is written as exponentials and a sum. So is its enlargement of
8-bit tensors, which is written as copies. What follows the last of those takes most of the memory, so it is computed in strips.
"""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

HALO_KEY = "halo_px"
"""Key in a graph's metadata with its halo, if the graph's output already covers only the core of a tile."""


def without_halo(path: Path, halo_px: int, stride_px: int, *, strips: int = 4) -> bytes:
    """The graph with a cheaper softmax, whose output covers only the core of its tile: (N, 5, H − 2 halo, W − 2 halo).

    Args:
        path: ONNX file. If it is not a U-Net that doubles its features log2(stride) times, only the output is cropped.
        halo_px: margin on each side, a multiple of the stride.
        stride_px: stride of the network.
        strips: in how many the end of an 8-bit network is computed; with 1, its last convolution is one node.

    Raises:
        ValueError: the graph was made for another halo.
    """
    model = onnx.load(path)
    made_for = next((p.value for p in model.metadata_props if p.key == HALO_KEY), None)
    if made_for is not None:
        if made_for != str(halo_px):
            raise ValueError(f"it was made for tiles with a halo of {made_for} px, not {halo_px}")
    else:
        _cheapen_softmax(model.graph)
        _crop(model.graph, halo_px, stride_px)
    _drop_unused(model.graph)
    enlarged = _cheapen_enlargement(model)
    if enlarged and strips > 1:
        _divide_end(model.graph, enlarged[-1], strips)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def kept_margins(reach_px: list[int]) -> list[int]:
    """The margin that each enlargement of a decoder must see, in pixels of its input.

    Args:
        reach_px: how far the layers after each enlargement see, deepest first, in pixels of its output.

    Example: a 3 × 3 convolution reaches 1 px. With two of them after each enlargement and one more in the head, the last needs 3 px of its
    output, so 2 of its input; the one before 2 + 2, so 2 of its input: (2, 2, 3) → (2, 2, 2).
    """
    margins: list[int] = []
    for reach in reversed(reach_px):
        needed = reach + (margins[-1] if margins else 0)
        margins.append(-(-needed // 2))
    return margins[::-1]


def _crop(graph: onnx.GraphProto, halo_px: int, stride_px: int) -> None:
    """Remove the padding of the decoder's convolutions, and crop the rest of the margin before each enlargement."""
    enlargements = [n for n in graph.node if n.op_type == "Resize"]
    followers = [_convolutions(graph, n, enlargements) for n in enlargements]
    reaches = [sum(reach_px(n) for n in nodes) for nodes in followers]
    margins = kept_margins(reaches)
    available = halo_px // stride_px
    if margins and 2 ** len(margins) == stride_px and margins[0] <= available:
        for level, (node, margin) in enumerate(zip(enlargements, margins, strict=True), start=1):
            node.input[0] = _sliced(graph, node, node.input[0], available - margin)
            _double(graph, node)
            for joined in (n for n in _users(graph, node.output[0]) if n.op_type == "Concat"):
                surplus = halo_px * 2**level // stride_px - 2 * margin
                for i, name in enumerate(joined.input):
                    if name != node.output[0]:
                        joined.input[i] = _sliced(graph, joined, name, surplus)
            for convolution in followers[level - 1]:
                next(a for a in convolution.attribute if a.name == "pads").ints[:] = [0, 0, 0, 0]
            available = 2 * margin - reaches[level - 1]
    else:
        available = halo_px
    output = graph.output[0].name
    last = next(n for n in graph.node if output in n.output)
    last.output[0] = f"{output}_with_margin"
    graph.node.append(helper.make_node("Identity", [_sliced(graph, None, last.output[0], available)], [output]))


def _convolutions(graph: onnx.GraphProto, start: onnx.NodeProto, stops: list[onnx.NodeProto]) -> list[onnx.NodeProto]:
    """The convolutions between an enlargement and the next, or the end."""
    found, node = [], start
    while users := [n for n in _users(graph, node.output[0]) if n.op_type not in ("Shape", "Slice")]:
        node = users[0]
        if node in stops:
            break
        if node.op_type == "Conv":
            found.append(node)
    return found


def reach_px(convolution: onnx.NodeProto) -> int:
    """How many pixels a convolution sees to each side."""
    attributes = {a.name: a.ints for a in convolution.attribute}
    return (attributes["kernel_shape"][0] - 1) // 2 * attributes["dilations"][0]


def _users(graph: onnx.GraphProto, name: str) -> list[onnx.NodeProto]:
    return [n for n in graph.node if name in n.input]


def _sliced(graph: onnx.GraphProto, before: onnx.NodeProto | None, name: str, px: int) -> str:
    """The name of a tensor (N, C, H, W) cropped by ``px`` on each side; the cropping node is put before another node."""
    if px == 0:
        return name
    cut = f"{name}_cut{px}"
    if not _users(graph, cut) and all(cut not in n.output for n in graph.node):
        inputs = [name] + [
            _constant(graph, f"{cut}_{what}", values)
            for what, values in (("from", [px] * 2), ("to", [-px] * 2), ("axes", [2, 3]))
        ]
        node = helper.make_node("Slice", inputs, [cut], name=cut)
        place = len(graph.node) if before is None else list(graph.node).index(before)
        graph.node.insert(place, node)
    return cut


def _double(graph: onnx.GraphProto, enlargement: onnx.NodeProto) -> None:
    """Enlarge by a factor, not to the size of another tensor."""
    del enlargement.input[1:]
    scales = _constant(graph, f"{enlargement.output[0]}_scales", np.array([1, 1, 2, 2], np.float32))
    enlargement.input.extend(["", scales])


def _constant(graph: onnx.GraphProto, name: str, values: object) -> str:
    array = np.asarray(values)
    graph.initializer.append(numpy_helper.from_array(array if array.dtype == np.float32 else array.astype(np.int64), name))
    return name


def _cheapen_softmax(graph: onnx.GraphProto) -> None:
    """Softmax over channels as exp(x − max) / sum."""
    for node in [n for n in graph.node if n.op_type == "Softmax"]:
        x, y = node.input[0], node.output[0]
        place = list(graph.node).index(node)
        graph.node.remove(node)
        axes = _constant(graph, f"{y}_axes", [1])
        steps = [
            helper.make_node("ReduceMax", [x], [f"{y}_max"], axes=[1], keepdims=1),
            helper.make_node("Sub", [x, f"{y}_max"], [f"{y}_below"]),
            helper.make_node("Exp", [f"{y}_below"], [f"{y}_exp"]),
            helper.make_node("ReduceSum", [f"{y}_exp", axes], [f"{y}_sum"], keepdims=1),
            helper.make_node("Div", [f"{y}_exp", f"{y}_sum"], [y]),
        ]
        for i, step in enumerate(steps):
            graph.node.insert(place + i, step)


def _drop_unused(graph: onnx.GraphProto) -> None:
    """Remove nodes whose output nobody needs: ONNX Runtime computes them, such as the sizes of tensors, and tensors for their sizes."""
    needed, kept = {o.name for o in graph.output}, []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            kept.append(node)
            needed.update(node.input)
    del graph.node[:]
    graph.node.extend(reversed(kept))


def _cheapen_enlargement(model: onnx.ModelProto) -> list[str]:
    """Double 8-bit tensors by copies: with channels last, each pixel, and then each row, is put beside itself. Same values, faster.

    Returns:
        The names of the tensors, in their order.
    """
    graph, enlarged = model.graph, []
    inferred = onnx.shape_inference.infer_shapes(model).graph.value_info
    channels = {v.name: v.type.tensor_type.shape.dim[1].dim_value for v in inferred if len(v.type.tensor_type.shape.dim) == 4}
    makers = {name: node for node in graph.node for name in node.output}
    for node in [n for n in graph.node if n.op_type == "Resize" and _doubles(graph, n)]:
        before, after = makers.get(node.input[0]), _users(graph, node.output[0])
        if before is None or before.op_type != "DequantizeLinear" or [n.op_type for n in after] != ["QuantizeLinear"]:
            continue
        if before.input[1:] != after[0].input[1:] or not channels.get(node.input[0]):
            continue
        small, large = before.input[0], after[0].output[0]
        shape = _constant(graph, f"{large}_shape", [0, -1, 0, channels[node.input[0]]])
        last, pixels, rows, whole = (f"{large}_{step}" for step in ("last", "pixels", "rows", "whole"))
        steps = [
            helper.make_node("Transpose", [small], [last], perm=[0, 2, 3, 1]),
            helper.make_node("Concat", [last, last], [pixels], axis=3),  # (N, H, W, 2 C), which is (N, H, 2 W, C)
            helper.make_node("Concat", [pixels, pixels], [rows], axis=2),
            helper.make_node("Reshape", [rows, shape], [whole]),
            helper.make_node("Transpose", [whole], [large], perm=[0, 3, 1, 2]),
        ]
        place = list(graph.node).index(node)
        graph.node.remove(node)
        graph.node.remove(after[0])
        for i, step in enumerate(steps):
            graph.node.insert(place + i, step)
        enlarged.append(small)
    _drop_unused(graph)
    return enlarged


def _divide_end(graph: onnx.GraphProto, start: str, strips: int) -> None:
    """Compute what follows a tensor strip by strip, which takes a fraction of the memory; the same values, since each row sees few others.

    With the head of ``deep-int8``, which computes in float32, a tile of 1280 px then holds 0.10 GB in place of 0.24.

    Args:
        graph: without padding after ``start``; otherwise nothing is changed.
        start: name of the tensor that is enlarged last, (N, C, H, W).
        strips: their number.
    """
    end = _following(graph, start)
    convolutions = [n for n in end if n.op_type == "Conv"]
    from_image = _following(graph, graph.input[0].name)
    others = {name for node in from_image if node not in end for name in node.output} - {start}
    alone = not any(others.intersection(node.input) for node in end)
    if not alone or {n.op_type for n in end} - _ROW_BY_ROW or any(any(_ints(n, "pads")) for n in convolutions):
        return
    # Rows of ``start`` that its first and its last row in the answer see beyond them.
    (margin,) = kept_margins([sum(reach_px(n) for n in convolutions)])
    around, axis, count = (
        _constant(graph, f"{start}_{what}", [value]) for what, value in (("around", 2 * margin), ("axis", 2), ("strips", strips))
    )
    for node in end:
        graph.node.remove(node)
    size, rows = f"{start}_size", f"{start}_rows"
    graph.node.append(helper.make_node("Shape", [start], [size], start=2, end=3))
    graph.node.append(helper.make_node("Sub", [size, around], [rows]))
    for i in range(strips):
        first, last, stop, strip = (f"{start}_{what}{i}" for what in ("first", "last", "stop", "strip"))
        for bound, part in ((first, i), (last, i + 1)):
            share = _constant(graph, f"{bound}_of_{count}", [part])
            graph.node.append(helper.make_node("Mul", [rows, share], [f"{bound}_times"]))
            graph.node.append(helper.make_node("Div", [f"{bound}_times", count], [bound]))
        graph.node.append(helper.make_node("Add", [last, around], [stop]))
        graph.node.append(helper.make_node("Slice", [start, first, stop, axis], [strip]))
        graph.node.extend(_renamed(end, start, strip, f"_strip{i}"))
    answer = graph.output[0].name
    graph.node.append(helper.make_node("Concat", [f"{answer}_strip{i}" for i in range(strips)], [answer], axis=2))


_ROW_BY_ROW = {
    "Add", "Clip", "Concat", "Conv", "DequantizeLinear", "Div", "Exp", "Identity", "Mul", "QuantizeLinear", "ReduceMax", "ReduceSum",
    "Relu", "Reshape", "Sigmoid", "Slice", "Sub", "Transpose",
}  # fmt: skip
"""Operators of ``build_network``'s decoder and head, of which only convolutions look at other rows."""


def _following(graph: onnx.GraphProto, start: str) -> list[onnx.NodeProto]:
    """The nodes that depend on a tensor, in their order."""
    found, names = [], {start}
    for node in graph.node:
        if names.intersection(node.input):
            found.append(node)
            names.update(node.output)
    return found


def _renamed(nodes: list[onnx.NodeProto], start: str, new: str, suffix: str) -> list[onnx.NodeProto]:
    """Copies of nodes that read ``new`` in place of ``start``, and whose outputs have other names."""
    names = {start: new} | {name: name + suffix for node in nodes for name in node.output}
    copies = [deepcopy(node) for node in nodes]
    for node in copies:
        node.name = node.name and node.name + suffix
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names[name] for name in node.output]
    return copies


def _ints(node: onnx.NodeProto, name: str) -> list[int]:
    return next((list(a.ints) for a in node.attribute if a.name == name), [])


def _doubles(graph: onnx.GraphProto, node: onnx.NodeProto) -> bool:
    """Whether a Resize puts each pixel beside and below itself."""
    how = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    values = {i.name: i for i in graph.initializer}
    if how.get("mode", b"nearest") != b"nearest" or how.get("nearest_mode") != b"floor" or len(node.input) != 3:
        return False
    scales = values.get(node.input[2])
    asymmetric = how.get("coordinate_transformation_mode") == b"asymmetric"
    return asymmetric and scales is not None and numpy_helper.to_array(scales).tolist() == [1, 1, 2, 2]
