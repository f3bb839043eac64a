"""The losses of the network: the sum over its heads, and those that need no labels."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from detect.network.heads import FOOTPRINT, HEADS
from detect.training.config import LossConfig
from detect.training.heads import TRAINED_HEADS

_INDEPENDENT = [channel for channel, head in enumerate(HEADS) if head.activation == "sigmoid"]


def network_loss(logits: Tensor, batch: Mapping[str, Tensor], config: LossConfig) -> dict[str, Tensor]:
    """The loss of each head by its name, and ``loss``, their weighted sum; each pixel counts where its label is known.

    Args:
        logits: (N, 5, H, W).
        batch: ``footprint`` (N, H, W) uint8 0 / 1 / 3 unknown; ``weight`` (N, H, W) float, of each pixel in the footprint's cross
            entropy; ``boundary`` (N, H, W) uint8 0 / 1 / 3; ``stage`` (N, H, W) int64 1–3, 0 unknown.
        config: the weights of the heads.
    """
    parts = {head.name: head.loss(logits[:, head.channels], batch) for head in TRAINED_HEADS}
    return {"loss": _sum(parts, config), **parts}


def distance(logits: Tensor, answer: Tensor, config: LossConfig) -> Tensor:
    """Cross entropy to the mean answer of teachers (Hinton et al. 2015, arXiv:1503.02531), weighted as in ``network_loss``.

    Every pixel counts, labelled or not; for stages, weighted by the building probability of the teachers.

    Args:
        logits: (N, 5, H, W).
        answer: (N, 5, H, W), probabilities.
        config: the weights of the heads.
    """
    parts = {
        head.name: head.distance(logits[:, head.channels], answer[:, head.channels], answer[:, FOOTPRINT])
        for head in TRAINED_HEADS
    }
    return _sum(parts, config)


def _sum(parts: Mapping[str, Tensor], config: LossConfig) -> Tensor:
    return torch.stack([head.weight(config) * parts[head.name] for head in TRAINED_HEADS]).sum()


def disagreement(logits: Tensor) -> Tensor:
    """Mean squared difference between the footprint and boundary probabilities of the two halves of a batch.

    The halves are one picture sampled twice (Sajjadi et al. 2016, arXiv:1606.04586): results must not depend on the position of
    the pixel grid.
    """
    one, two = logits[:, _INDEPENDENT].sigmoid().chunk(2)
    return (one - two).square().mean()
