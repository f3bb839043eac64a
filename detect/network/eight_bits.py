"""Rewrite the graph of a network that computes in 8-bit integers: the same values in less time and memory.

ONNX Runtime's enlargement of 8-bit tensors is slow, so it is written as copies. What follows the last of them, in float32, takes most of
the memory, so it is computed in strips.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import onnx
from onnx import helper

from detect.network.nodes import add_constant, drop_unused, following, ints_of, is_doubling, kept_margins, reach_px, users_of


def channels_of(model: onnx.ModelProto) -> dict[str, int]:
    """The channels of each tensor (N, C, H, W)."""
    inferred = onnx.shape_inference.infer_shapes(model).graph.value_info
    return {v.name: v.type.tensor_type.shape.dim[1].dim_value for v in inferred if len(v.type.tensor_type.shape.dim) == 4}


def enlarge_by_copies(graph: onnx.GraphProto, channels: Mapping[str, int]) -> list[str]:
    """Double 8-bit tensors by copies: with channels last, each pixel, and then each row, is put beside itself. Same values, faster.

    Returns:
        The names of the tensors, in their order.
    """
    enlarged = []
    makers = {name: node for node in graph.node for name in node.output}
    for node in [n for n in graph.node if n.op_type == "Resize" and is_doubling(graph, n)]:
        before, after = makers.get(node.input[0]), users_of(graph, node.output[0])
        if before is None or before.op_type != "DequantizeLinear" or [n.op_type for n in after] != ["QuantizeLinear"]:
            continue
        if before.input[1:] != after[0].input[1:]:
            continue
        uncut = node.input[0]
        while uncut not in channels:  # inference of shapes ends where margins are cut
            uncut = makers[uncut].input[0]
        small, large = before.input[0], after[0].output[0]
        shape = add_constant(graph, f"{large}_shape", [0, -1, 0, channels[uncut]])
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
    drop_unused(graph)
    return enlarged


def divide_end(graph: onnx.GraphProto, start: str, whole: str, strips: int) -> None:
    """Compute what lies between two tensors strip by strip: the same values, since each row sees few others, in a fraction of the memory.

    With the head of ``deep-int8``, which computes in float32, a tile of 1280 px then holds 0.10 GB in place of 0.24.

    Args:
        graph: if convolutions between the tensors do not keep the size, nothing is changed.
        start: name of the tensor that is enlarged last, (N, C, H, W).
        whole: name of the answer before its margins are removed, (N, C, 2 H, 2 W).
        strips: their number.
    """
    beyond = following(graph, whole)
    end = [n for n in following(graph, start) if n not in beyond]
    convolutions = [n for n in end if n.op_type == "Conv"]
    from_image = following(graph, graph.input[0].name)
    others = {name for node in from_image if node not in end for name in node.output} - {start}
    alone = not any(others.intersection(node.input) for node in end)
    keep_size = all(ints_of(n, "pads") == [reach_px(n)] * 4 for n in convolutions)
    if not alone or not keep_size or {n.op_type for n in end} - _ROW_BY_ROW:
        return
    (reach,) = kept_margins([sum(reach_px(n) for n in convolutions)])
    reached, none, two, axis, count = (
        add_constant(graph, f"{start}_{what}", [value])
        for what, value in (("reach", reach), ("none", 0), ("two", 2), ("axis", 2), ("strips", strips))
    )
    place = list(graph.node).index(end[0])
    for node in end:
        graph.node.remove(node)
    nodes: list[onnx.NodeProto] = []

    def add(kind: str, name: str, *inputs: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(kind, inputs, [f"{start}_{name}"], name=f"{start}_{name}", **attributes))
        return f"{start}_{name}"

    rows = add("Shape", "rows", start, start=2, end=3)
    kept = []
    for i in range(strips):
        # Each with the rows around it that it sees; beyond the first and the last are zeros, as without strips.
        part, next_part = (add_constant(graph, f"{start}_part{i}_{j}", [j]) for j in (i, i + 1))
        first = add("Div", f"first{i}", add("Mul", f"first{i}_times", rows, part), count)
        stop = add("Div", f"stop{i}", add("Mul", f"stop{i}_times", rows, next_part), count)
        seen_first = add("Max", f"seen_first{i}", add("Sub", f"before{i}", first, reached), none)
        seen_stop = add("Min", f"seen_stop{i}", add("Add", f"after{i}", stop, reached), rows)
        strip = add("Slice", f"strip{i}", start, seen_first, seen_stop, axis)
        nodes.extend(_renamed(end, start, strip, f"_strip{i}"))
        above = add("Mul", f"above{i}", add("Sub", f"above{i}_half", first, seen_first), two)
        height = add("Mul", f"height{i}", add("Sub", f"height{i}_half", stop, first), two)
        kept.append(add("Slice", f"kept{i}", f"{whole}_strip{i}", above, add("Add", f"below{i}", above, height), axis))
    nodes.append(helper.make_node("Concat", kept, [whole], axis=2))
    for i, node in enumerate(nodes):
        graph.node.insert(place + i, node)


_ROW_BY_ROW = {
    "Add", "Clip", "Concat", "Conv", "DequantizeLinear", "Div", "Exp", "Identity", "Mul", "QuantizeLinear", "ReduceMax", "ReduceSum",
    "Relu", "Reshape", "Sigmoid", "Slice", "Sub", "Transpose",
}  # fmt: skip
"""Operators of ``build_network``'s decoder and head, of which only convolutions look at other rows."""


def _renamed(nodes: list[onnx.NodeProto], start: str, new: str, suffix: str) -> list[onnx.NodeProto]:
    """Copies of nodes that read ``new`` in place of ``start``, and whose outputs have other names."""
    names = {start: new} | {name: name + suffix for node in nodes for name in node.output}
    copies = [deepcopy(node) for node in nodes]
    for node in copies:
        node.name = node.name and node.name + suffix
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names[name] for name in node.output]
    return copies
