"""The last convolution of the network, which turns features into heads: its input, its weights, and other weights in its place.

It is found from the graph's output backwards, so nothing depends on names or numbers of nodes, and any graph of this architecture will do,
also one that ``core_graph`` has rewritten or that computes in 8-bit integers before this layer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from detect.base.errors import InputError
from detect.base.grid import Margins
from detect.network.backends import normalisation
from detect.network.graphs import LEFT, core_graph
from detect.network.nodes import reach_px
from detect.network.sessions import MARGINS, SEEN, cpu_session, loading
from detect.network.weights import Weights


@dataclass(frozen=True)
class LastLayer:
    """Weights and bias of the last convolution: heads (5, h, w) = conv(features) as logits."""

    weight: NDArray[np.float64]
    """(heads, channels, k, k)."""
    bias: NDArray[np.float64]
    """(heads,)."""

    @property
    def reach_px(self) -> int:
        """How many pixels the layer sees to each side."""
        return self.weight.shape[-1] // 2


def last_layer(weights: Weights) -> LastLayer:
    """The last convolution of trained weights.

    Raises:
        InputError: the weights have no ONNX file, or the layer is not one of plain numbers.
    """
    graph = _model(weights).graph
    weight, bias = _tensors(graph, weights.name)
    return LastLayer(*(numpy_helper.to_array(tensor).astype(np.float64) for tensor in (weight, bias)))


def with_last_layer(weights: Weights, layer: LastLayer) -> bytes:
    """The ONNX file of weights with another last convolution, which is stored as the old one was (float16 or float32)."""
    model = _model(weights)
    for tensor, values in zip(_tensors(model.graph, weights.name), (layer.weight, layer.bias), strict=True):
        dtype = numpy_helper.to_array(tensor).dtype
        tensor.CopyFrom(numpy_helper.from_array(values.astype(dtype), tensor.name))
    written: bytes = model.SerializeToString(deterministic=True)
    return written


class FeatureReader:
    """Runs the network and returns its heads and the features before its last convolution; on the CPU, thread-safe."""

    def __init__(self, weights: Weights, threads: int | None = None) -> None:
        """Open the graph with the features as a further output; ``threads`` per forward pass, default all cores.

        Raises:
            InputError: see ``last_layer``.
        """
        self.layer = last_layer(weights)
        self._mean, self._sd = normalisation(weights)
        assert weights.onnx is not None, "last_layer refuses weights without an ONNX file"
        with loading(weights.onnx):
            model = onnx.load_from_string(core_graph(weights.onnx, weights.lattice.stride_px, with_holes=True, strips=1))
        features = _last_convolution(model.graph, weights.name).input[0]
        model.graph.output.append(onnx.helper.make_tensor_value_info(features, onnx.TensorProto.FLOAT, None))
        model.graph.output.append(onnx.helper.make_tensor_value_info(LEFT, onnx.TensorProto.INT64, [4]))
        with loading(weights.onnx):  # windows differ in size, and each would keep its memory
            self._session = cpu_session(model.SerializeToString(), threads, enable_mem_pattern=False, enable_cpu_mem_arena=False)

    def read(
        self, values: NDArray[np.float32], margins: Margins, seen: NDArray[np.bool_] | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Heads and features of a tile.

        Args:
            values: stretched (3, H, W) in 0–1; H and W multiples of the stride.
            margins: of the tile; multiples of the stride.
            seen: (H, W) where the scene is shown, None: everywhere.

        Returns:
            Probabilities (5, h, w) of what lies inside the margins, and features (channels, h + 2 reach, w + 2 reach), from which the last
            convolution computes them; zeros where the scene is not shown and where the tile has no margin, as the convolution sees it.
        """
        image = ((values - self._mean) / self._sd)[None].astype(np.float32)
        holes = (np.ones(values.shape[1:], bool) if seen is None else seen)[None, None].astype(np.float32)
        heads, features, left = self._session.run(None, {"image": image, MARGINS: np.array(margins), SEEN: holes})
        top, before, bottom, after = (int(px) - self.layer.reach_px for px in left)
        features = np.pad(features[0], ((0, 0), (max(0, -top), max(0, -bottom)), (max(0, -before), max(0, -after))))
        _, height, width = features.shape
        return heads[0], features[:, max(0, top) : height - max(0, bottom), max(0, before) : width - max(0, after)]


def _model(weights: Weights) -> onnx.ModelProto:
    if weights.onnx is None:
        raise InputError(f"weights {weights.name}: there is no .onnx beside the card; make one with detect export")
    return onnx.load(weights.onnx)


def _last_convolution(graph: onnx.GraphProto, name: str) -> onnx.NodeProto:
    """The one convolution from which the output comes without another in between."""
    maker = {output: node for node in graph.node for output in node.output}
    waiting, seen = [output.name for output in graph.output], set()
    found: dict[str, onnx.NodeProto] = {}
    while waiting:
        tensor = waiting.pop()
        node = maker.get(tensor)
        if node is None or tensor in seen:
            continue
        seen.add(tensor)
        if node.op_type == "Conv":
            found[tensor] = node
        else:
            waiting += node.input
    if len(found) != 1:
        raise InputError(
            f"weights {name}: their heads do not share one last convolution, which adapting needs; use the shipped weights"
        )
    [node] = found.values()
    return node


def _tensors(graph: onnx.GraphProto, name: str) -> tuple[onnx.TensorProto, onnx.TensorProto]:
    """Weight and bias of the last convolution as the graph stores them; a weight may be kept as float16 and cast."""
    maker = {output: node for node in graph.node for output in node.output}
    stored = {tensor.name: tensor for tensor in graph.initializer}
    node = _last_convolution(graph, name)
    tensors = []
    for wanted in node.input[1:3]:
        source = maker.get(wanted)
        kept = stored.get(source.input[0] if source is not None and source.op_type == "Cast" else wanted)
        if kept is None:
            raise InputError(
                f"weights {name}: their last convolution does not hold plain numbers; adapt the weights that they were made from"
            )
        tensors.append(kept)
    if len(tensors) != 2 or reach_px(node) * 2 + 1 != tensors[0].dims[-1]:
        raise InputError(f"weights {name}: their last convolution has no bias or skips pixels, which adapting does not know")
    return tensors[0], tensors[1]
