"""The chip store → batches. Sample ``i`` of a run is the same whatever process draws it and wherever the run was resumed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning
import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset, TensorDataset

from detect.datasets.chips import UNKNOWN, Chip, read_chip, read_index
from detect.datasets.cutting import unfinished_in
from detect.datasets.licences import allowed
from detect.errors import InputError
from detect.training import augment
from detect.training.config import TrainConfig

MEAN, SD = 0.5, 0.5
"""Normalisation of the pretrained encoder: (x − 0.5) / 0.5 for x in 0–1."""


def to_tensor(image: NDArray[np.uint8]) -> torch.Tensor:
    """(H, W, 3) uint8 → normalised float (3, H, W)."""
    return torch.from_numpy((image.astype(np.float32) / 255 - MEAN) / SD).permute(2, 0, 1)


class TrainingSamples(Dataset):
    """All samples of a run; each is drawn by a generator seeded with (seed, number)."""

    def __init__(self, config: TrainConfig, index: pd.DataFrame, first: int, count: int) -> None:
        """Samples ``first`` … ``first + count`` of a run over the training chips of ``index``."""
        self._config, self._first, self._count = config, first, count
        self._rows = index[index["split"] == "train"].reset_index(drop=True)
        if self._rows.empty:
            raise InputError(f"{config.data.chips}: no chip may train (split train, licence {config.data.licences})")
        if config.data.unfinished and not self._rows.get("unfinished", pd.Series([0])).any():
            raise InputError(f"{config.data.chips}: no training chip shows an unfinished building; set data.unfinished to 0")
        self._sets = sorted(self._rows["data_set"].unique())
        self._shares = _shares(config.data.shares, self._rows, self._sets, config.data.chips)
        self._photometry = augment.photometry()
        # PNGs are decoded once; a store of a few hundred chips fits in memory several times over.
        self._chips: dict[str, Chip] = {}

    def __len__(self) -> int:
        """Number of samples."""
        return self._count

    def __getitem__(self, item: int) -> dict[str, Any]:
        """One sample as tensors; see ``detect.training.losses.network_loss`` for its parts."""
        data = self._config.data
        number = self._first + item
        rng = np.random.default_rng([self._config.seed, number])
        if data.drawn and rng.random() < data.drawn:  # a recipe without draws the samples that it drew before there was a choice
            label_kind = "outlines"
            chip = augment.drawn(rng, data.gsd_m, data.chip_px)
        else:
            seeks = data.unfinished > 0 and rng.random() < data.unfinished
            row = self._draw_unfinished(rng) if seeks else self._draw_row(rng)
            label_kind = row["label_kind"]
            whole = self._chip(row["chip"])
            around_rc = _unfinished_pixel(rng, whole) if seeks else None
            chip = augment.cut(
                rng, whole, row["gsd_m"], data.gsd_m, data.chip_px, turned=data.turned, built=data.built, around_rc=around_rc
            )
        exact, separated = (np.full(chip.footprint.shape, label_kind in k) for k in (("outlines",), ("outlines", "loose")))
        if label_kind != "coarse" and rng.random() < data.tinted:
            chip = augment.tint_roofs(rng, chip)
        if rng.random() < data.simulated:
            chip, decided = augment.add_compound(rng, chip, data.gsd_m)
            exact, separated = exact | decided, separated | decided
        image = chip.image
        if rng.random() < 0.35:
            image = augment.coarsen(rng, image, data.gsd_m, data.max_gsd_m)
        self._photometry.set_random_seed(int(rng.integers(2**31)))
        image = self._photometry(image=image)["image"]
        loss = self._config.loss
        weight = augment.gap_weights(chip.footprint, data.gsd_m, loss.gap_m, loss.gap_weight)
        boundary = augment.boundaries(chip.instances, data.gsd_m)
        # Merged and coarse masks fill gaps, so they say nothing of gaps; unlabelled ground says nothing at all.
        boundary[~separated | (chip.footprint == UNKNOWN)] = UNKNOWN
        return {
            "image": to_tensor(image),
            "footprint": torch.from_numpy(chip.footprint),
            "boundary": torch.from_numpy(boundary),
            "stage": torch.from_numpy(chip.stage.astype(np.int64)),
            "weight": torch.from_numpy(np.where(exact, weight, np.float32(1))),
        }

    def _draw_row(self, rng: np.random.Generator) -> pd.Series:
        chosen = self._sets[rng.choice(len(self._sets), p=self._shares)]
        rows = self._rows[self._rows["data_set"] == chosen]
        weights = rows["known_m2"].to_numpy()
        return rows.iloc[int(rng.choice(len(rows), p=weights / weights.sum()))]

    def _draw_unfinished(self, rng: np.random.Generator) -> pd.Series:
        weights = self._rows["unfinished"].to_numpy()
        return self._rows.iloc[int(rng.choice(len(self._rows), p=weights / weights.sum()))]

    def _chip(self, name: str) -> Chip:
        if name not in self._chips:
            self._chips[name] = read_chip(Path(self._config.data.chips), name)
        return self._chips[name]


def _unfinished_pixel(rng: np.random.Generator, chip: Chip) -> tuple[int, int]:
    """A pixel of an unfinished building, each building as likely as the next."""
    labels, count = unfinished_in(chip)
    rows, cols = np.nonzero(labels == rng.integers(1, count + 1))
    chosen = int(rng.integers(len(rows)))
    return int(rows[chosen]), int(cols[chosen])


def _shares(wanted: dict[str, float], rows: pd.DataFrame, sets: list[str], store: str) -> NDArray[np.float64]:
    unknown = set(wanted) - set(sets)
    if unknown:
        raise InputError(f"data.shares names {', '.join(sorted(unknown))}, of which {store} holds no training chips")
    counts = rows["data_set"].value_counts()
    others = [s for s in sets if s not in wanted]
    left = 1 - sum(wanted.values()) if others else 0.0
    total = sum(counts[s] for s in others) or 1
    shares = np.array([wanted.get(s, left * counts[s] / total) for s in sets])
    return shares / shares.sum()


class ChipData(lightning.LightningDataModule):
    """One epoch is the stretch between two validations; its samples follow from its number alone."""

    def __init__(self, config: TrainConfig) -> None:
        """Read the index of the chip store; training chips whose licence the recipe does not admit are left out."""
        super().__init__()
        self._config = config
        index = read_index(config.data.chips)
        may_train = index["licence"].map(lambda licence: allowed(licence, config.data.licences))
        self.index = index[may_train | (index["split"] != "train")].reset_index(drop=True)

    def train_dataloader(self) -> DataLoader:
        """The samples of the current epoch, in order."""
        assert self.trainer is not None, "Lightning sets the trainer before it asks for data"
        data, trainer = self._config.data, self.trainer
        world, rank = trainer.world_size, trainer.global_rank
        per_epoch = min(self._config.validate_every, self._config.steps) * data.batch
        first = trainer.current_epoch * per_epoch * world + rank * per_epoch
        samples = TrainingSamples(self._config, self.index, first, per_epoch)
        return DataLoader(
            samples, batch_size=data.batch, num_workers=data.workers, drop_last=True, pin_memory=torch.cuda.is_available()
        )

    def val_dataloader(self) -> DataLoader:
        """One empty batch: the task scores whole validation chips itself."""
        return DataLoader(TensorDataset(torch.zeros(1)), batch_size=1)
