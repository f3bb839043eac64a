"""The chip store → batches. Sample ``i`` of a run is the same for any number of processes and any resume point."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import lightning
import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset, TensorDataset

from detect.base.errors import InputError
from detect.datasets.chips import Chip, mapped_chip, read_index
from detect.datasets.cutting import unfinished_in
from detect.datasets.licences import allowed
from detect.training import augment
from detect.training.config import TrainConfig
from detect.training.heads import TRAINED_HEADS, Truth

if TYPE_CHECKING:
    from detect.training.device.batches import DeviceBatches

MEAN, SD = 0.5, 0.5
"""Normalisation of the pretrained encoder: (x − 0.5) / 0.5 for x in 0–1."""


def to_tensor(image: NDArray[np.uint8]) -> torch.Tensor:
    """(H, W, 3) uint8 → normalised float (3, H, W)."""
    return torch.from_numpy((image.astype(np.float32) / 255 - MEAN) / SD).permute(2, 0, 1)


DRAWN_GSD_M = 0.7
"""Coarsest pixel of a drawn sample's imagined sensor, metres."""


class TrainingSamples(Dataset):
    """All samples of a run; each is drawn by a generator seeded with (seed, number)."""

    def __init__(self, config: TrainConfig, index: pd.DataFrame, first: int, count: int) -> None:
        """Samples ``first`` … ``first + count`` of a run over the training chips of ``index``."""
        self.config, self._first, self._count = config, first, count
        self.rows = rows = index[index["split"] == "train"].reset_index(drop=True)
        """The chips that train."""
        if rows.empty:
            raise InputError(f"{config.data.chips}: no chip may train (split train, licence {config.data.licences})")
        if config.data.unfinished and not rows.get("unfinished", pd.Series([0])).any():
            raise InputError(f"{config.data.chips}: no training chip shows an unfinished building; set data.unfinished to 0")
        self._sets = sorted(rows["data_set"].unique())
        self._shares = _shares(config.data.shares, rows, self._sets, config.data.chips)
        self.shares = dict(zip(self._sets, self._shares, strict=True))
        """Data set → share of the samples."""
        # Plain lists, not tables: there are hundreds of draws a second.
        self._rows = rows[["chip", "label_kind", "gsd_m", "sha256"]].to_dict("records")
        self._by_set = {name: _Lot.weighted(part.index, part["known_m2"]) for name, part in rows.groupby("data_set")}
        self._unfinished = _Lot.weighted(rows.index, rows["unfinished"]) if config.data.unfinished else None
        self._pixels: dict[str, list[NDArray[np.intp]]] = {}
        self._photometry, self._strong = augment.photometry(), augment.strong_photometry()
        self._chips: dict[str, Chip] = {}

    def __len__(self) -> int:
        """Number of samples."""
        return self._count

    def __getitem__(self, item: int) -> dict[str, Any]:
        """One sample as tensors; see ``detect.training.losses.network_loss`` for its parts."""
        data = self.config.data
        rng = np.random.default_rng([self.config.seed, self._first + item])
        sample = self.draw(rng, data.drawn, data.simulated)
        image = sample.chip.image
        if rng.random() < data.coloured:
            photometry = self._strong if data.strong and rng.random() < data.strong else self._photometry
            # Not a seed: all changes would begin with the same numbers, and so apply together or not at all.
            photometry.set_random_state(rng, random.Random(int(rng.integers(2**31))))
            image = photometry(image=image)["image"]
        targets = {name: a for head in TRAINED_HEADS for name, a in head.targets(sample, self.config.loss).items()}
        seen = {"image": to_tensor(image)}
        if self.config.network.plain_teachers:
            seen["plain"] = to_tensor(sample.chip.image)
        return seen | {name: torch.from_numpy(array) for name, array in targets.items()}

    def draw(self, rng: np.random.Generator, drawn: float, simulated: float) -> Truth:
        """One sample before its colours are changed.

        Args:
            rng: of all choices.
            drawn: chance that its ground is drawn.
            simulated: chance that rows of simulated blocks are painted on it.
        """
        data = self.config.data
        sun = augment.draw_sun(rng)
        row = None if rng.random() < drawn else self._draw_row(rng)
        own_m = rng.uniform(data.read_gsd_m(0), max(DRAWN_GSD_M, data.gsd_m)) if row is None else row["gsd_m"]
        seen_m = max(own_m, rng.uniform(data.gsd_m, data.max_gsd_m)) if rng.random() < augment.COARSENED else own_m
        gsd_m = data.read_gsd_m(seen_m)
        if row is None:
            label_kind, chip = "outlines", augment.drawn(rng, gsd_m, data.chip_px, sun)
        else:
            label_kind, whole = row["label_kind"], self._chip(row)
            around_rc = self._unfinished_pixel(rng, row["chip"], whole) if row.get("seeks") else None
            chip = augment.cut(
                rng, whole, row["gsd_m"], gsd_m, data.chip_px, turned=data.turned, built=data.built, around_rc=around_rc
            )
        exact, separated = (np.full(chip.footprint.shape, label_kind in k) for k in (("outlines",), ("outlines", "loose")))
        if label_kind != "coarse" and rng.random() < data.tinted:
            chip = augment.tint_roofs(rng, chip)
        if label_kind != "coarse" and data.recoloured and rng.random() < data.recoloured:
            chip = augment.recolour_roofs(rng, chip)
        if rng.random() < simulated:
            chip, decided = augment.add_rows(rng, chip, gsd_m, sun)
            exact, separated = exact | decided, separated | decided
        if seen_m > max(own_m, gsd_m):
            chip = replace(chip, image=augment.coarsen(chip.image, gsd_m, seen_m))
        return Truth(chip, gsd_m, exact, separated)

    def _draw_row(self, rng: np.random.Generator) -> dict[str, Any]:
        """A row of the index; with ``seeks`` if the sample must show an unfinished building."""
        if self._unfinished and rng.random() < self.config.data.unfinished:
            return self._rows[self._unfinished.draw(rng)] | {"seeks": True}
        return self._rows[self._by_set[self._sets[rng.choice(len(self._sets), p=self._shares)]].draw(rng)]

    def _chip(self, row: dict[str, Any]) -> Chip:
        name = row["chip"]
        if name not in self._chips:
            self._chips[name] = mapped_chip(Path(self.config.data.chips), name, row["sha256"])
        return self._chips[name]

    def _unfinished_pixel(self, rng: np.random.Generator, name: str, chip: Chip) -> tuple[int, int]:
        """A pixel of an unfinished building; all buildings are equally likely."""
        if name not in self._pixels:
            labels, count = unfinished_in(chip)
            self._pixels[name] = [np.argwhere(labels == label) for label in range(1, count + 1)]
        pixels = self._pixels[name][int(rng.integers(len(self._pixels[name])))]
        row, col = pixels[int(rng.integers(len(pixels)))]
        return int(row), int(col)


@dataclass(frozen=True)
class _Lot:
    """Rows to draw from, in proportion to their weights."""

    rows: NDArray[np.intp]
    shares: NDArray[np.float64]

    @classmethod
    def weighted(cls, rows: pd.Index, weights: pd.Series) -> _Lot:
        return cls(rows.to_numpy(), (weights / weights.sum()).to_numpy())

    def draw(self, rng: np.random.Generator) -> int:
        return int(self.rows[rng.choice(len(self.rows), p=self.shares)])


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


def one_thread(_number: int) -> None:
    """Switch off the threads of OpenCV: there are as many workers as cores."""
    cv2.setNumThreads(1)


class ChipData(lightning.LightningDataModule):
    """One epoch lies between two validations; its samples depend only on its number."""

    def __init__(self, config: TrainConfig) -> None:
        """Read the index of the chip store; training chips whose licence the recipe does not allow are left out."""
        super().__init__()
        self._config = config
        index = read_index(config.data.chips)
        may_train = index["licence"].map(lambda licence: allowed(licence, config.data.licences))
        self.index = index[may_train | (index["split"] != "train")].reset_index(drop=True)
        self._batches: DeviceBatches | None = None

    def train_dataloader(self) -> DataLoader:
        """The samples of the current epoch, in order; with ``data.device: gpu`` the numbers of its steps."""
        assert self.trainer is not None, "Lightning sets the trainer before it asks for data"
        data, trainer = self._config.data, self.trainer
        steps = min(self._config.validate_every, self._config.steps)
        if data.device == "gpu":
            self._batches = self._batches or self._on_device(trainer.strategy.root_device)
            return DataLoader(range(trainer.current_epoch * steps, (trainer.current_epoch + 1) * steps), batch_size=None)  # type: ignore[arg-type]
        world, rank = trainer.world_size, trainer.global_rank
        per_epoch = steps * data.batch
        first = trainer.current_epoch * per_epoch * world + rank * per_epoch
        samples = TrainingSamples(self._config, self.index, first, per_epoch)
        return DataLoader(
            samples,
            batch_size=data.batch,
            num_workers=data.workers,
            drop_last=True,
            pin_memory=torch.cuda.is_available(),
            worker_init_fn=one_thread,
        )

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """With ``data.device: gpu``: number of a training step → its batch."""
        if self._batches is None or self.trainer is None or not self.trainer.training:
            return batch
        return self._batches.batch(batch, self.trainer.global_rank)

    def teardown(self, stage: str) -> None:
        """Free the device, and stop what draws for it."""
        if self._batches is not None:
            self._batches.stop()
            self._batches = None

    def _on_device(self, device: torch.device) -> DeviceBatches:
        from detect.training.device.batches import DeviceBatches  # it draws with the classes above

        return DeviceBatches(self._config, self.index, device)

    def val_dataloader(self) -> DataLoader:
        """One empty batch: the task scores whole validation chips itself."""
        return DataLoader(TensorDataset(torch.zeros(1)), batch_size=1)
