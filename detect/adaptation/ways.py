"""Whether the whole network can be fine-tuned here, which needs PyTorch and weights in floating point."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from detect.network.tensors import is_quantised
from detect.network.weights import Weights

if TYPE_CHECKING:
    from detect.adaptation.tune import Tuner

_NEEDED = ("torch", "segmentation_models_pytorch")


def tuner_for(weights: Weights, gsd_m: float, way: str) -> tuple[Tuner | None, str]:
    """What fine-tunes weights, if that is wanted and can be done; else None, and for the user why ``auto`` does without.

    Args:
        weights: where to start.
        gsd_m: ground size of the windows' pixels, metres.
        way: ``auto``, ``last-layer`` or ``network``.

    Raises:
        ModuleNotFoundError: ``network`` without PyTorch.
        InputError: ``network`` with weights in 8-bit integers.
    """
    if way == "last-layer":
        return None, ""
    if way == "auto":
        if not all(map(find_spec, _NEEDED)):
            return (
                None,
                " (the last layer alone was tried; with PyTorch, pip install 'detect-buildings[train]', the whole network is)",
            )
        if is_quantised(weights):
            return None, f" (the last layer alone was tried, since {weights.name} computes in 8-bit integers)"
    from detect.adaptation.tune import Tuner

    return Tuner(weights, gsd_m), ""
