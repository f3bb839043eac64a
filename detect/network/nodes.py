"""Find, add and measure nodes of an ONNX graph."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper


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


def reach_px(convolution: onnx.NodeProto) -> int:
    """How many pixels a convolution sees to each side."""
    size, dilation = (ints_of(convolution, name) or [1] for name in ("kernel_shape", "dilations"))
    return (size[0] - 1) // 2 * dilation[0]


def users_of(graph: onnx.GraphProto, name: str) -> list[onnx.NodeProto]:
    """The nodes that read a tensor."""
    return [n for n in graph.node if name in n.input]


def maker_of(graph: onnx.GraphProto, name: str) -> onnx.NodeProto | None:
    """The node that a tensor comes from; None for inputs and constants."""
    return next((n for n in graph.node if name in n.output), None)


def following(graph: onnx.GraphProto, start: str) -> list[onnx.NodeProto]:
    """The nodes that depend on a tensor, in their order."""
    found, names = [], {start}
    for node in graph.node:
        if names.intersection(node.input):
            found.append(node)
            names.update(node.output)
    return found


def place_after(graph: onnx.GraphProto, name: str) -> int:
    """Where a node may stand that reads a tensor."""
    return next((i + 1 for i, node in enumerate(graph.node) if name in node.output), 0)


def add_constant(graph: onnx.GraphProto, name: str, values: object) -> str:
    """Add a constant, float32 or int64; returns its name."""
    array = np.asarray(values)
    graph.initializer.append(numpy_helper.from_array(array if array.dtype == np.float32 else array.astype(np.int64), name))
    return name


def drop_unused(graph: onnx.GraphProto) -> None:
    """Remove nodes whose output nobody needs: ONNX Runtime computes them, such as the sizes of tensors, and tensors for their sizes."""
    needed, kept = {o.name for o in graph.output}, []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            kept.append(node)
            needed.update(node.input)
    del graph.node[:]
    graph.node.extend(reversed(kept))


def ints_of(node: onnx.NodeProto, name: str) -> list[int]:
    """A list of whole numbers among a node's attributes; empty if it has none of that name."""
    return next((list(a.ints) for a in node.attribute if a.name == name), [])


def is_doubling(graph: onnx.GraphProto, node: onnx.NodeProto) -> bool:
    """Whether a Resize puts each pixel beside and below itself."""
    how = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    values = {i.name: i for i in graph.initializer}
    if how.get("mode", b"nearest") != b"nearest" or how.get("nearest_mode") != b"floor" or len(node.input) != 3:
        return False
    scales = values.get(node.input[2])
    asymmetric = how.get("coordinate_transformation_mode") == b"asymmetric"
    return asymmetric and scales is not None and numpy_helper.to_array(scales).tolist() == [1, 1, 2, 2]
