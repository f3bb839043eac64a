"""The tensors of trained weights under their names in PyTorch, read from the ONNX file that runs on a CPU."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from onnx import numpy_helper

from detect.base.errors import InputError
from detect.network.weights import Weights

PREFIX = "network."
"""Prefix of the names in a graph: the network is inside the module that turns its logits into probabilities."""
HALF = "_half"
"""Suffix of the name of a matrix that the graph stores as float16 and converts to float32."""


def tensors_of(weights: Weights) -> dict[str, NDArray[np.generic]]:
    """Tensors by their name in the network's ``state_dict``, as stored: matrices float16, vectors float32.

    Weights of earlier versions have them in a safetensors file, which is read where it lies beside the card.

    Raises:
        InputError: the ONNX file computes in 8-bit integers and keeps no such tensors.
    """
    if weights.safetensors is not None:
        from safetensors.numpy import load_file

        return load_file(weights.safetensors)
    if is_quantised(weights):
        raise InputError(
            f"weights {weights.name}: compute in 8-bit integers, which PyTorch (a GPU, training, export) cannot read; "
            "use the weights that they were made from, such as deep"
        )
    return {
        tensor.name.removeprefix(PREFIX).removesuffix(HALF): numpy_helper.to_array(tensor)
        for tensor in _graph(weights).initializer
        if tensor.name.startswith(PREFIX)
    }


def with_tensors(weights: Weights, tensors: Mapping[str, NDArray[np.floating]]) -> bytes:
    """The ONNX file of weights with other numbers in its tensors, which are stored as the old ones were (float16 or float32).

    Args:
        weights: the graph comes from them.
        tensors: new numbers by their name in the network's ``state_dict``; what is not named stays.
    """
    assert weights.onnx is not None, "tensors_of has read it"
    model = onnx.load(weights.onnx)
    for tensor in model.graph.initializer:
        new = tensors.get(tensor.name.removeprefix(PREFIX).removesuffix(HALF)) if tensor.name.startswith(PREFIX) else None
        if new is not None:
            tensor.CopyFrom(numpy_helper.from_array(new.astype(numpy_helper.to_array(tensor).dtype), tensor.name))
    written: bytes = model.SerializeToString(deterministic=True)
    return written


def is_quantised(weights: Weights) -> bool:
    """Whether the weights are an ONNX file alone, which computes in 8-bit integers."""
    return weights.safetensors is None and any(node.op_type == "QuantizeLinear" for node in _graph(weights).node)


def _graph(weights: Weights) -> onnx.GraphProto:
    path: Path | None = weights.onnx
    assert path is not None, "load_weights refuses a card without files"
    try:
        return onnx.load(path).graph
    except DecodeError as cause:
        raise InputError(f"{path}: is not a valid ONNX file ({' '.join(str(cause).split())[:200]})") from cause
