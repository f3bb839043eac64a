"""Write weights that were adapted to a place: the network of other weights with new numbers and other thresholds, and its card."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detect.base.files import sha256_of, write_whole
from detect.network.last_layer import LastLayer, with_last_layer
from detect.network.tensors import with_tensors
from detect.network.weights import Weights, load_weights


@dataclass(frozen=True)
class Adaptation:
    """What is written."""

    name: str
    """Name of the weights."""
    layer: LastLayer | None
    """The new last layer, or None."""
    tensors: Mapping[str, NDArray[np.float32]] | None
    """New numbers of the whole network by their name in its ``state_dict``, or None; the network stays as it is without either."""
    thresholds: Mapping[str, float]
    """Keys of the card's ``thresholds`` that differ."""
    rates: Sequence[Mapping[str, Any]]
    """The card's ``rates``."""
    about: Mapping[str, Any]
    """What taught the weights, for the card's key ``adapted``."""


def write_adapted(folder: Path, weights: Weights, adaptation: Adaptation) -> Weights:
    """Write adapted weights into a folder, and load them from there.

    The folder appears whole or not at all, and the same input gives the same bytes.

    Args:
        folder: where they go, replaced if it exists; ``--weights`` takes it.
        weights: the weights they come from.
        adaptation: what differs.
    """
    assert weights.onnx is not None, "last_layer or tensors_of has read it"
    aside = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    onnx = aside / "adapted.onnx"
    if adaptation.tensors is not None:
        onnx.write_bytes(with_tensors(weights, adaptation.tensors))
    elif adaptation.layer is not None:
        onnx.write_bytes(with_last_layer(weights, adaptation.layer))
    else:
        shutil.copyfile(weights.onnx, onnx)
    files: dict[str, Any] = {"onnx": {"name": onnx.name, "sha256": sha256_of(onnx)}}
    if weights.stage_onnx is not None:
        shutil.copyfile(weights.stage_onnx, aside / "adapted.stage.onnx")
        files["stage"] = {"name": "adapted.stage.onnx", "sha256": weights.stage_sha256}
    card = weights.card | {
        "name": adaptation.name,
        "files": files,
        "thresholds": {**weights.card["thresholds"], **adaptation.thresholds},
        "rates": list(adaptation.rates),
        "adapted": dict(adaptation.about),
    }
    write_whole(aside / "adapted.json", json.dumps(card, indent=1, ensure_ascii=False) + "\n")
    shutil.rmtree(folder, ignore_errors=True)
    aside.rename(folder)
    return load_weights(folder)
