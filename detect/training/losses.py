"""What the network is punished for, each head only where its label is known."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from detect.base.stages import STAGE_WEIGHTS
from detect.training.config import LossConfig

UNKNOWN = 3


def network_loss(logits: Tensor, batch: dict[str, Tensor], config: LossConfig) -> dict[str, Tensor]:
    """Losses by name, ``loss`` their weighted sum.

    Args:
        logits: (N, 5, H, W).
        batch: ``footprint`` (N, H, W) uint8 0 / 1 / 3 unknown; ``weight`` (N, H, W) float of each pixel in the footprint's cross
            entropy; ``boundary`` (N, H, W) uint8 0 / 1 / 3; ``stage`` (N, H, W) int64 1–3, 0 unknown.
        config: the weights of the parts.
    """
    footprint = _binary(logits[:, 0], batch["footprint"], batch["weight"])
    boundary = _binary(logits[:, 1], batch["boundary"], 1 + 3 * (batch["boundary"] == 1))
    stage = _stage(logits[:, 2:], batch["stage"])
    total = footprint + config.boundary * boundary + config.stage * stage
    return {"loss": total, "footprint": footprint, "boundary": boundary, "stage": stage}


def _binary(logit: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
    """Weighted binary cross entropy + soft Dice over the batch (Milletari et al. 2016), on known pixels."""
    known = (truth != UNKNOWN).to(logit.dtype)
    target = (truth == 1).to(logit.dtype)
    weight = weight.to(logit.dtype) * known
    entropy = F.binary_cross_entropy_with_logits(logit, target, reduction="none")
    entropy = (entropy * weight).sum() / weight.sum().clamp_min(1)
    probability = logit.sigmoid() * known
    overlap = (probability * target).sum()
    dice = 1 - (2 * overlap + 1) / (probability.sum() + target.sum() + 1)
    # A batch in which nothing is known must not pull anything.
    return entropy + dice * (known.sum() > 0)


def _stage(logits: Tensor, truth: Tensor) -> Tensor:
    """Class-weighted cross entropy over pixels of buildings whose stage is known; 0 where none is."""
    if not bool((truth > 0).any()):
        return logits.sum() * 0
    weights = torch.tensor(STAGE_WEIGHTS, device=logits.device, dtype=logits.dtype)
    return F.cross_entropy(logits, truth - 1, weight=weights, ignore_index=-1)


def distance(logits: Tensor, answer: Tensor, config: LossConfig) -> Tensor:
    """Cross entropy to the mean answer of teachers (Hinton et al. 2015, arXiv:1503.02531), the parts weighted as in ``network_loss``.

    It speaks of every pixel, also where the labels are silent; of stages as far as the teachers see a building.

    Args:
        logits: (N, 5, H, W).
        answer: (N, 5, H, W), probabilities.
        config: the weights of the parts.
    """
    footprint, boundary = (F.binary_cross_entropy_with_logits(logits[:, i], answer[:, i]) for i in (0, 1))
    entropy = -(answer[:, 2:] * logits[:, 2:].log_softmax(dim=1)).sum(dim=1)
    stage = (entropy * answer[:, 0]).sum() / answer[:, 0].sum().clamp_min(1)
    return footprint + config.boundary * boundary + config.stage * stage


def disagreement(logits: Tensor) -> Tensor:
    """Mean squared difference of footprint and boundary probabilities between the two halves of a batch.

    The halves are one picture sampled twice (Sajjadi et al. 2016, arXiv:1606.04586): what is found must not hang on where the pixels fell.
    """
    one, two = logits[:, :2].sigmoid().chunk(2)
    return (one - two).square().mean()
