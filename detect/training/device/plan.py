"""The choices for a batch: which chips, which squares of them, how turned, how coarse, which roofs in other colours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from detect.base.errors import InputError
from detect.training.augment import COARSENED, TRIES
from detect.training.config import DataConfig

_RIGHT_ANGLES = np.array([[[1, 0], [0, 1]], [[0, -1], [1, 0]], [[-1, 0], [0, -1]], [[0, 1], [-1, 0]]], np.float32)


@dataclass(frozen=True)
class Plan:
    """Choices for N samples; arrays on the host."""

    row: NDArray[np.int64]
    """(N,) row of the resident chips, or of the bank, whose rows follow them."""
    banked: NDArray[np.bool_]
    """(N,) whether the sample comes from the bank: it is painted and coarsened already."""
    gsd_m: NDArray[np.float64]
    """(N,) ground size of the network's pixel."""
    coarser: NDArray[np.float64]
    """(N,) times by which the pixel of the imitated sensor is coarser than that; 1 leaves the sample as it is."""
    side_px: NDArray[np.int64]
    """(N,) side of the square, pixels of the chip."""
    corners_rc: NDArray[np.int64]
    """(N, TRIES, 2) first row and column of the squares to try."""
    built: NDArray[np.bool_]
    """(N,) whether the square must show a building."""
    turn: NDArray[np.float32]
    """(N, 2, 2) offset (row, col) from the middle of the sample → from the middle of the square, in units of their sides."""
    tinted: NDArray[np.bool_]
    """(N,) whether the roofs get another tone."""
    recoloured: NDArray[np.bool_]
    """(N,) whether the roofs get other colours."""


@dataclass(frozen=True)
class Unfinished:
    """Pixels of unfinished buildings of all chips."""

    first: NDArray[np.int64]
    """(chips + 1,) number of the first building of each chip."""
    starts: NDArray[np.int64]
    """(buildings + 1,) number of the first pixel of each building."""
    pixels_rc: NDArray[np.int32]
    """(pixels, 2) row and column in the chip."""

    def draw(self, rng: np.random.Generator, chips: NDArray[np.int64]) -> NDArray[np.int64]:
        """(len(chips), 2): a pixel of each chip; its buildings are equally likely, and so are the pixels of a building."""
        building = rng.integers(self.first[chips], self.first[chips + 1])
        return self.pixels_rc[rng.integers(self.starts[building], self.starts[building + 1])].astype(np.int64)


class Planner:
    """Draws plans over the training rows of an index."""

    def __init__(
        self,
        data: DataConfig,
        rows: pd.DataFrame,
        shares: dict[str, float],
        sizes_hw: NDArray[np.int64],
        unfinished: Unfinished | None,
    ) -> None:
        """``shares`` holds the share of the samples of each data set of ``rows``; ``sizes_hw`` the size of each chip."""
        self._data, self._sizes_hw, self._unfinished = data, sizes_hw, unfinished
        self._own_m = rows["gsd_m"].to_numpy(float)
        self._coarse = rows["label_kind"].to_numpy() == "coarse"
        within = rows["known_m2"] / rows.groupby("data_set")["known_m2"].transform("sum")
        self._chances = np.cumsum((within * rows["data_set"].map(shares)).to_numpy(float))
        self._chances_unfinished: NDArray[np.float64] | None = None
        if unfinished is not None:
            weights = rows["unfinished"].to_numpy(float) * (np.diff(unfinished.first) > 0)
            if not weights.any():
                raise InputError(f"{data.chips}: no training chip shows an unfinished building; set data.unfinished to 0")
            self._chances_unfinished = np.cumsum(weights)
        self._painted = 1 - (1 - data.drawn) * (1 - data.simulated)

    def draw(self, rng: np.random.Generator, count: int, bank_gsd_m: NDArray[np.float64]) -> Plan:
        """A plan for ``count`` samples; ``bank_gsd_m`` holds the ground size of the pixels of each sample of the bank that may be used."""
        data, chips = self._data, len(self._own_m)
        banked = rng.random(count) < self._painted if len(bank_gsd_m) else np.zeros(count, bool)
        seeks = ~banked & (rng.random(count) < (data.unfinished if self._chances_unfinished is not None else 0))
        row = _drawn(rng, self._chances, count)
        if self._chances_unfinished is not None:
            row = np.where(seeks, _drawn(rng, self._chances_unfinished, count), row)
        own_m = self._own_m[row]
        imitated_m = np.maximum(own_m, rng.uniform(data.gsd_m, data.max_gsd_m, count))
        seen_m = np.where(rng.random(count) < COARSENED, imitated_m, own_m)
        gsd_m = np.array([data.read_gsd_m(metres) for metres in seen_m])
        coarser = np.where(seen_m > np.maximum(own_m, gsd_m), seen_m / gsd_m, 1.0)
        side_px = self._sides(rng, row, gsd_m / own_m)
        corners_rc = self._corners(rng, row, side_px, seeks)
        built = rng.random(count) < data.built
        outlined = ~banked & ~self._coarse[row]
        tinted = outlined & (rng.random(count) < data.tinted)
        recoloured = outlined & (rng.random(count) < data.recoloured)
        turn = _turns(rng, count, np.where(banked, 0, data.turned))
        if banked.any():
            used = rng.integers(len(bank_gsd_m), size=int(banked.sum()))
            row[banked], gsd_m[banked], coarser[banked] = chips + used, bank_gsd_m[used], 1.0
            side_px[banked], corners_rc[banked] = data.chip_px, 0
        return Plan(row, banked, gsd_m, coarser, side_px, corners_rc, built, turn, tinted, recoloured)

    def _sides(self, rng: np.random.Generator, row: NDArray[np.int64], reduced: NDArray[np.float64]) -> NDArray[np.int64]:
        """Sides of the squares, 30 % longer or shorter than a chip's pixels ask for, and within the chip."""
        wanted = self._data.chip_px * reduced * np.exp(rng.uniform(-0.3, 0.3, len(row)))
        return np.maximum(8, np.minimum(wanted, self._sizes_hw[row].min(axis=1)).astype(np.int64))

    def _corners(
        self, rng: np.random.Generator, row: NDArray[np.int64], side_px: NDArray[np.int64], seeks: NDArray[np.bool_]
    ) -> NDArray[np.int64]:
        """Corners of the squares to try: anywhere in the chip, or around a pixel of an unfinished building."""
        high = np.maximum(0, self._sizes_hw[row] - side_px[:, None])
        low = np.zeros_like(high)
        if self._unfinished is not None and seeks.any():
            around = self._unfinished.draw(rng, row[seeks])
            low[seeks] = np.minimum(np.maximum(0, around - side_px[seeks, None] + 1), high[seeks])
            high[seeks] = np.minimum(high[seeks], around)
        return rng.integers(low[:, None], high[:, None] + 1, size=(len(row), TRIES, 2))


def _drawn(rng: np.random.Generator, chances: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """Rows in proportion to their weights, whose running sum ``chances`` is."""
    found = np.searchsorted(chances, rng.random(count) * chances[-1], side="right")
    return np.minimum(found, len(chances) - 1).astype(np.int64)


def _turns(rng: np.random.Generator, count: int, turned: NDArray[np.float64]) -> NDArray[np.float32]:
    """Right angles and mirrors, exact; the share ``turned`` by any angle too, stretched by up to 8 %."""
    whole = _RIGHT_ANGLES[rng.integers(4, size=count)] * np.where(rng.random((count, 1, 1)) < 0.5, [[[1, -1]]], 1)
    angle, stretch = rng.uniform(-np.pi / 4, np.pi / 4, count), np.exp(rng.uniform(-0.08, 0.08, count))
    cos, sin = np.cos(angle), np.sin(angle)
    free = np.array([[cos * stretch, -sin / stretch], [sin * stretch, cos / stretch]]).transpose(2, 0, 1)
    tilted = rng.random(count) < turned
    return np.where(tilted[:, None, None], free @ whole, whole).astype(np.float32)
