"""Number of a step → batch, drawn on the device that trains."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from detect.base.errors import InputError
from detect.datasets.chips import Chip, mapped_chip
from detect.datasets.cutting import unfinished_in
from detect.training.config import TrainConfig
from detect.training.data import MEAN, SD, TrainingSamples
from detect.training.device import looks, roofs
from detect.training.device.bank import Bank, PaintedSamples
from detect.training.device.cut import cut
from detect.training.device.labels import Truths
from detect.training.device.moves import put
from detect.training.device.pixels import ResidentPixels
from detect.training.device.plan import Planner, Unfinished
from detect.training.heads import TRAINED_HEADS


class DeviceBatches:
    """The training chips of a run on its device, and the batches drawn from them."""

    def __init__(self, config: TrainConfig, index: pd.DataFrame, device: torch.device) -> None:
        """Copy the chips of ``index`` that train to the device; samples of the bank follow in a thread.

        Raises:
            InputError: the device is neither a CUDA device nor a CPU, nothing may train, a share names a data set that the chips lack, or
                the chips do not fit.
        """
        if device.type not in ("cuda", "cpu"):
            raise InputError(f"data.device: gpu draws samples on CUDA devices, not on {device}; set data.device to cpu")
        self._config, self.device = config, device
        samples = TrainingSamples(config, index, 0, config.data.samples)
        rows, data = samples.rows, config.data
        store = Path(data.chips)
        chips = [mapped_chip(store, row["chip"], row["sha256"]) for row in rows.to_dict("records")]
        banked = data.bank if data.drawn or data.simulated else 0
        self.pixels = ResidentPixels(chips, list(rows["label_kind"]), data.chip_px, banked, device)
        unfinished = _unfinished(chips) if data.unfinished else None
        self._planner = Planner(data, rows, samples.shares, self.pixels.sizes_hw[: len(chips)], unfinished)
        self._bank = Bank(PaintedSamples(samples, banked), self.pixels, data.workers)

    def batch(self, step: int, rank: int) -> dict[str, Tensor]:
        """The batch of a step; the same for the same seed, step and rank on the same device. Parts as ``TrainingSamples`` gives them."""
        data = self._config.data
        rng = np.random.default_rng([self._config.seed, step, rank])
        noise = torch.Generator(self.device).manual_seed(int(rng.integers(2**62)))
        plan = self._planner.draw(rng, data.batch, self._bank.gsd_m(step))
        sample = cut(self.pixels, plan)
        for wanted, change in ((plan.tinted, roofs.tint), (plan.recoloured, roofs.recolour)):
            if wanted.any():
                change(rng, sample, put(np.flatnonzero(wanted), self.device))
        looks.coarsen(sample.image, *_coarser(plan.coarser))
        plain = sample.image.clone() if self._config.network.plain_teachers else None
        coloured = rng.random(data.batch) < data.coloured
        strong = rng.random(data.batch) < data.strong
        for limits, wanted in ((looks.ORDINARY, coloured & ~strong), (looks.STRONG, coloured & strong)):
            looks.change(rng, noise, sample.image, np.flatnonzero(wanted), limits)
        truths = Truths(sample.instances, sample.footprint, sample.stage, sample.exact, sample.separated, plan.gsd_m)
        targets = {name: part for head in TRAINED_HEADS for name, part in head.tensors(truths, self._config.loss).items()}
        seen = {"image": sample.image} if plain is None else {"image": sample.image, "plain": plain}
        return {name: (image / 255 - MEAN) / SD for name, image in seen.items()} | targets

    def stop(self) -> None:
        """Draw no more samples for the bank."""
        self._bank.stop()


def _coarser(times: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Numbers of the samples that lose resolution, and by how much."""
    where = np.flatnonzero(times > 1)
    return where, times[where]


def _unfinished(chips: list[Chip]) -> Unfinished:
    buildings, sizes, pixels = [0], [0], [np.empty((0, 2), np.int32)]
    for chip in chips:
        labels, count = unfinished_in(chip)
        order = np.argsort(labels, axis=None, kind="stable")
        counts = np.bincount(labels.ravel(), minlength=count + 1)
        pixels.append(np.stack(np.unravel_index(order[counts[0] :], labels.shape), axis=1).astype(np.int32))
        sizes.extend(counts[1:])
        buildings.append(buildings[-1] + count)
    return Unfinished(np.array(buildings, np.int64), np.cumsum(sizes), np.concatenate(pixels))
