"""The LightningModule: one step, one schedule, validation on whole chips."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from detect.base.values import TOP
from detect.buildings.instances import InstanceParams
from detect.datasets.chips import read_chip
from detect.network.model import STRIDE, build_network, load_imagenet, load_network, start_from, to_probabilities
from detect.network.weights import load_weights
from detect.training.augment import mix, resampled
from detect.training.budget import LAST_MEASURED, TimeBudget
from detect.training.config import TrainConfig
from detect.training.data import to_tensor
from detect.training.heads import METRICS
from detect.training.losses import disagreement, distance, network_loss
from detect.training.metrics import Tally, coarse_sets, evaluate_chips, scores_of

CHIPS_PER_PLACE = 1
"""Validation during training uses the chip with most buildings of each place; ``detect test`` uses all chips."""


class _SingleOnCpu(nn.Conv2d):
    """A depthwise convolution that stays in float32 on a CPU despite autocast: there it is many times slower in bfloat16."""

    def forward(self, image: Tensor) -> Tensor:
        """As ``Conv2d``."""
        if image.device.type != "cpu":
            return super().forward(image)
        with torch.autocast("cpu", enabled=False):
            return super().forward(image.float())


def spare_depthwise(network: nn.Module) -> None:
    """Keep depthwise convolutions out of bfloat16 on CPUs, in place; names and weights stay."""
    for module in network.modules():
        if type(module) is nn.Conv2d and module.groups > 1:
            module.__class__ = _SingleOnCpu


def rate_factor(config: TrainConfig, step: int, budget: TimeBudget | None = None) -> float:
    """The factor of the learning rate at a step: a linear rise, a constant part at 1, then half a cosine.

    With a budget, the rise ends when the number of steps is fixed.

    torch's SequentialLR of LinearLR, ConstantLR and CosineAnnealingLR gives the same numbers, but computes each step from the one
    before: its checkpoints hold the state of three schedules, and it could not continue from those of earlier versions.
    """
    steps = config.steps if budget is None or budget.steps is None else budget.steps
    warm = max(1, round(steps * config.optimizer.warmup)) if budget is None else LAST_MEASURED
    falls = warm + round(steps * config.optimizer.hold)
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * min(1.0, max(0, step - falls) / max(1, steps - falls))))


class SegmentationTask(lightning.LightningModule):
    """Trains a network on mixed labels and scores it by place."""

    def __init__(self, config: TrainConfig, index: pd.DataFrame) -> None:
        """Build the network; ``index`` is that of the chip store."""
        super().__init__()
        self.config = config
        self.budget = TimeBudget(config) if config.minutes else None
        network = config.network
        self.network = build_network(
            {
                "encoder": network.encoder,
                "decoder_channels": list(network.decoder_channels),
                "batch_norm_eps": network.batch_norm_eps,
            }
        )
        if network.start:
            start_from(self.network, network.start)
        elif network.pretrained:
            load_imagenet(self.network, network.encoder)
        # In a list, so that checkpoints and averages ignore them.
        self._teachers = [load_network(load_weights(name)).requires_grad_(False) for name in network.teachers]
        for module in (self.network, *self._teachers):
            spare_depthwise(module)
        self.network.to(memory_format=torch.channels_last)  # three times as fast on a CPU
        self._coarse = coarse_sets(index)
        rows = index[index["split"] == "val"].sort_values("buildings", ascending=False)
        self._val_rows = rows.groupby(["data_set", "place"], sort=True).head(CHIPS_PER_PLACE)

    def training_step(self, batch: dict[str, Tensor], _index: int) -> Tensor:
        """Loss of one batch."""
        losses = self.losses(batch, (self.config.seed, self.global_step, self.global_rank))
        self.log_dict({f"train/{k}": v.detach() for k, v in losses.items()}, prog_bar=False)
        self.log("loss", losses["loss"].detach(), prog_bar=True, logger=False)
        return losses["loss"]

    def losses(self, batch: dict[str, Tensor], draw: tuple[int, ...]) -> dict[str, Tensor]:
        """Losses of one batch by name, ``loss`` their weighted sum; ``draw`` is the seed of choices for the batch."""
        loss = self.config.loss
        if self.config.data.mixed:
            batch = mix(batch, self.config.data.mixed, (*draw, 1))
        image = batch["image"]
        answer = None
        if self._teachers:
            answer = self._taught(batch.get("plain", image), draw if self.config.network.plain_teachers else None)
        if loss.consistency:
            image = torch.cat([image, resampled(image, draw)])
            batch = {k: torch.cat([v, v]) for k, v in batch.items()}
            answer = None if answer is None else torch.cat([answer, answer])
        logits = self.network(image.to(memory_format=torch.channels_last)).float()
        losses = network_loss(logits, batch, loss)
        if answer is not None:
            losses["distil"] = distance(logits, answer, loss)
            losses["loss"] = losses["loss"] + loss.distil * losses["distil"]
        if loss.consistency:
            losses["consistency"] = disagreement(logits)
            losses["loss"] = losses["loss"] + loss.consistency * losses["consistency"]
        return losses

    def on_fit_start(self) -> None:
        """Move the teachers to the device of the network."""
        for teacher in self._teachers:
            teacher.to(self.device)

    @torch.no_grad()
    def _taught(self, image: Tensor, draw: tuple[int, ...] | None) -> Tensor:
        """Mean answer (N, 5, H, W) of the teachers; with ``draw``, the seed of the choice, for the batch in one of eight orientations."""
        quarters, mirrored = (0, 0) if draw is None else np.random.default_rng((*draw, 2)).integers((4, 2))
        turned = torch.rot90(image.flip(-1) if mirrored else image, int(quarters), (-2, -1)).to(memory_format=torch.channels_last)
        answer = torch.stack([teacher(turned).float() for teacher in self._teachers]).mean(dim=0)
        answer = torch.rot90(answer, -int(quarters), (-2, -1))
        return answer.flip(-1) if mirrored else answer

    def keep_of_start(self) -> None:
        """Move the network back towards the weights that it started from, by the share that the recipe keeps of them."""
        network = self.config.network
        if not network.keep:
            return
        learnt = {name: value.clone() for name, value in self.network.state_dict().items()}
        start_from(self.network, network.start)
        for name, value in self.network.state_dict().items():
            if value.is_floating_point():
                value.lerp_(learnt[name], 1 - network.keep)

    def on_train_batch_start(self, _batch: Any, _index: int) -> None:
        """Freeze the encoder for the first steps, by their number, so that a resumed run does the same."""
        steps = self.config.steps if self.budget is None or self.budget.steps is None else self.budget.steps
        moves = self.global_step >= self.config.network.freeze * steps
        whole: Any = self.network
        whole.encoder.requires_grad_(moves)
        whole.encoder.train(moves)  # its batch norms keep the statistics of the original training
        if self.config.network.norms_at_rest:
            for module in whole.modules():
                if isinstance(module, torch.nn.BatchNorm2d):
                    module.eval()

    def configure_callbacks(self) -> list[lightning.Callback]:
        """The budget, where the run has one."""
        return [] if self.budget is None else [self.budget]

    def configure_optimizers(self) -> Any:
        """AdamW with a slower encoder, its rate multiplied by ``rate_factor``."""
        chosen = self.config.optimizer
        whole: Any = self.network
        encoder = list(whole.encoder.parameters())
        ids = {id(p) for p in encoder}
        rest = [p for p in self.network.parameters() if id(p) not in ids]
        optimizer = torch.optim.AdamW(
            [{"params": encoder, "lr": chosen.encoder_lr}, {"params": rest, "lr": chosen.decoder_lr}],
            weight_decay=chosen.weight_decay,
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, partial(rate_factor, self.config, budget=self.budget))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def validation_step(self, _batch: Any, _index: int) -> None:
        """Score all validation chips at once; the loader holds a single empty batch."""
        tallies = self.score(self._val_rows)
        for place, tally in tallies.items():
            self.log_dict({f"val/{place}/{metric.key}": metric.score(tally) for metric in METRICS})
        scores = scores_of(tallies, self._coarse)
        self.log_dict({f"val/{metric.key}": scores[f"mean_{metric.key}"] for metric in METRICS}, prog_bar=True)

    def score(self, rows: pd.DataFrame) -> dict[str, Tally]:
        """Tallies by place of validation chips."""
        store = Path(self.config.data.chips)
        return evaluate_chips(
            rows, lambda name: read_chip(store, name), self.heads, self.config.data.read_gsd_m, InstanceParams()
        )

    @torch.no_grad()
    def heads(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Image (H, W, 3) of any size → heads (5, H, W) as uint8, p × TOP."""
        height, width = image.shape[:2]
        bottom, right = -height % STRIDE, -width % STRIDE
        padded = np.pad(image, ((0, bottom), (0, right), (0, 0)), mode="symmetric")
        batch = to_tensor(padded)[None].to(self.device, memory_format=torch.channels_last)
        probabilities = to_probabilities(self.network(batch).float())[0, :, :height, :width]
        return (probabilities.cpu().numpy() * TOP + 0.5).astype(np.uint8)
