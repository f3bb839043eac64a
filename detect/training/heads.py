"""The heads in training, one row each: targets, losses, weight, and metric.

``detect.network.heads`` lists the channels of the network; each of them belongs to one row of ``TRAINED_HEADS``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from detect.base.stages import STAGE_WEIGHTS
from detect.datasets.chips import UNKNOWN, Chip
from detect.network.heads import BOUNDARY, FOOTPRINT, STAGE_HEADS
from detect.network.truth import BOUNDARY_M, BOUNDARY_WEIGHT, binary_loss, boundaries, gap_weights
from detect.training.config import LossConfig
from detect.training.device import labels
from detect.training.device.labels import Truths

if TYPE_CHECKING:
    from detect.training.metrics import Tally


@dataclass(frozen=True)
class Truth:
    """What is known about one training sample."""

    chip: Chip
    gsd_m: float
    """Ground size of its pixel, metres."""
    exact: NDArray[np.bool_]
    """(H, W) whether outlines lie on walls, so that the edges of gaps are reliable."""
    separated: NDArray[np.bool_]
    """(H, W) whether each building has an outline of its own."""


@dataclass(frozen=True)
class Metric:
    """A score of validation chips."""

    key: str
    """Key in logs, cards and the result of ``detect test``."""
    title: str
    """Title in the table of ``detect test``."""
    score: Callable[[Tally], float]
    """The score of a tally; NaN if there is nothing to score."""
    needs_outlines: bool = False
    """Whether it needs labels that separate neighbours."""


@dataclass(frozen=True)
class TrainedHead:
    """How one answer of the network is trained and scored."""

    name: str
    """Name in logs and messages."""
    channels: slice
    """Its channels of the network's output."""
    targets: Callable[[Truth, LossConfig], Mapping[str, NDArray]]
    """Arrays (H, W) that join the batch, by name."""
    tensors: Callable[[Truths, LossConfig], Mapping[str, Tensor]]
    """The same for a batch on a device, (N, H, W)."""
    loss: Callable[[Tensor, Mapping[str, Tensor]], Tensor]
    """Logits (N, channels, H, W) and batch → loss; 0, with a gradient of 0, if nothing is known."""
    distance: Callable[[Tensor, Tensor, Tensor], Tensor]
    """Logits and probabilities of teachers (N, channels, H, W), their footprint probability (N, H, W) → loss."""
    weight: Callable[[LossConfig], float]
    """Weight in the sum of losses."""
    metric: Metric


# Targets.


def _footprint_targets(truth: Truth, config: LossConfig) -> dict[str, NDArray]:
    weight = gap_weights(truth.chip.footprint, truth.gsd_m, config.gap_m, config.gap_weight)
    return {"footprint": truth.chip.footprint, "weight": np.where(truth.exact, weight, np.float32(1))}


def _boundary_targets(truth: Truth, _config: LossConfig) -> dict[str, NDArray]:
    boundary = boundaries(truth.chip.instances, truth.gsd_m)
    # Merged and coarse masks fill gaps, so they hold no information on gaps; unlabelled ground holds none at all.
    boundary[~truth.separated | (truth.chip.footprint == UNKNOWN)] = UNKNOWN
    return {"boundary": boundary}


def _stage_targets(truth: Truth, _config: LossConfig) -> dict[str, NDArray]:
    return {"stage": truth.chip.stage.astype(np.int64)}


def _footprint_tensors(truths: Truths, config: LossConfig) -> dict[str, Tensor]:
    reach_px = labels.reaches(config.gap_m, truths.gsd_m, least_px=1)
    gap = labels.near(truths.footprint == 1, reach_px) & (truths.footprint == 0) & truths.exact
    return {"footprint": truths.footprint, "weight": torch.where(gap, config.gap_weight, 1.0)}


def _boundary_tensors(truths: Truths, _config: LossConfig) -> dict[str, Tensor]:
    boundary = labels.boundaries(truths.instances, labels.reaches(BOUNDARY_M, truths.gsd_m, least_px=2))
    return {"boundary": boundary.masked_fill_(~truths.separated | (truths.footprint == UNKNOWN), UNKNOWN)}


def _stage_tensors(truths: Truths, _config: LossConfig) -> dict[str, Tensor]:
    return {"stage": truths.stage.long()}


# Losses.


def _binary(logit: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
    """``binary_loss`` on known pixels."""
    return binary_loss(logit, truth == 1, truth != UNKNOWN, weight)


def _footprint_loss(logits: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
    return _binary(logits[:, 0], batch["footprint"], batch["weight"])


def _boundary_loss(logits: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
    truth = batch["boundary"]
    return _binary(logits[:, 0], truth, 1 + (BOUNDARY_WEIGHT - 1) * (truth == 1))


def _stage_loss(logits: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
    """Class-weighted cross entropy over pixels of buildings whose stage is known."""
    truth = batch["stage"]
    if not bool((truth > 0).any()):
        return logits.sum() * 0
    weights = torch.tensor(STAGE_WEIGHTS, device=logits.device, dtype=logits.dtype)
    return F.cross_entropy(logits, truth - 1, weight=weights, ignore_index=-1)


def _binary_distance(logits: Tensor, answer: Tensor, _built: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, answer)


def _stage_distance(logits: Tensor, answer: Tensor, built: Tensor) -> Tensor:
    """Cross entropy, weighted by the building probability of the teachers."""
    entropy = -(answer * logits.log_softmax(dim=1)).sum(dim=1)
    return (entropy * built).sum() / built.sum().clamp_min(1)


TRAINED_HEADS = (
    TrainedHead(
        "footprint",
        slice(FOOTPRINT, FOOTPRINT + 1),
        targets=_footprint_targets,
        tensors=_footprint_tensors,
        loss=_footprint_loss,
        distance=_binary_distance,
        weight=lambda config: 1.0,
        metric=Metric("iou", "IoU", lambda tally: tally.iou),
    ),
    TrainedHead(
        "boundary",
        slice(BOUNDARY, BOUNDARY + 1),
        targets=_boundary_targets,
        tensors=_boundary_tensors,
        loss=_boundary_loss,
        distance=_binary_distance,
        weight=lambda config: config.boundary,
        metric=Metric("f1", "F1@0.5", lambda tally: tally.f1, needs_outlines=True),
    ),
    TrainedHead(
        "stage",
        STAGE_HEADS,
        targets=_stage_targets,
        tensors=_stage_tensors,
        loss=_stage_loss,
        distance=_stage_distance,
        weight=lambda config: config.stage,
        metric=Metric("stage_f1", "stage F1", lambda tally: tally.stage_f1),
    ),
)
"""A new head is one more row; its weight is a key of ``LossConfig``, its metric a property of ``Tally``."""
METRICS = tuple(head.metric for head in TRAINED_HEADS)
