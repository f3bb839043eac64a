"""The training chips on the device, pixel after pixel, and the sums by which squares that show a building are found."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from detect.base.errors import InputError
from detect.datasets.chips import UNKNOWN, Chip
from detect.training.augment import LEAST_KNOWN
from detect.training.device.moves import put
from detect.training.device.plan import Plan

EXACT, SEPARATED = 1 << 4, 1 << 5
"""Bits of ``truth``: outlines lie on walls; each building has an outline of its own."""
MOST_OF_MEMORY = 0.6
"""Share of the free memory that the chips may take; the network, its gradients and the batches need the rest."""
_BYTES_PER_PX = 3 * 4 / 3 + 2 + 1 + 2 * 4
"""Image with its smaller copies, instances, truth, and two sums."""


class ResidentPixels:
    """Pixels of all chips, one after the other, on the device. Rows of the bank follow those of the chips.

    Each chip comes in halves, quarters … too, as far as squares of it may need it (a MIP map): they are what a reduction starts from.
    """

    def __init__(self, chips: Sequence[Chip], kinds: Sequence[str], size_px: int, banked: int, device: torch.device) -> None:
        """Copy the chips to the device.

        Args:
            chips: the chips of the training rows, in their order.
            kinds: their label kinds.
            size_px: side of a sample.
            banked: samples in the bank.
            device: where they go.

        Raises:
            InputError: they need more than 60 % of the device's free memory.
        """
        self.device, self.size_px, self.chips = device, size_px, len(chips)
        sizes = [chip.footprint.shape for chip in chips] + [(size_px, size_px)] * banked
        self.sizes_hw = np.array(sizes, np.int64)
        areas = self.sizes_hw.prod(axis=1)
        _refuse_too_many(int(areas.sum()), device)
        self.levels = 1 + np.log2(np.maximum(1, self.sizes_hw.min(axis=1) / size_px)).astype(np.int64)
        self.starts = np.zeros((len(sizes), int(self.levels.max())), np.int64)
        """(rows, levels) number of the first pixel of a chip, or of a smaller copy."""
        self.starts[:, 0] = np.cumsum(areas) - areas
        end = total = int(areas.sum())
        for row, count in enumerate(self.levels):
            for level in range(1, int(count)):
                self.starts[row, level] = end
                end += int((self.sizes_hw[row] >> level).prod())
        self.image = torch.zeros((end, 3), dtype=torch.uint8, device=device)
        self.instances = torch.zeros(total, dtype=torch.int16, device=device)
        """The bits of uint16."""
        self.truth = torch.zeros(total, dtype=torch.uint8, device=device)
        """Footprint | stage << 2 | ``EXACT`` | ``SEPARATED``."""
        corners = (self.sizes_hw[: len(chips)] + 1).prod(axis=1)
        self._sum_starts = put(np.cumsum(corners) - corners, device)
        self._widths = put(self.sizes_hw[:, 1].copy(), device)
        self._sums = torch.zeros((int(corners.sum()), 2), dtype=torch.int32, device=device)
        """Pixels with a label and of buildings above and left of each corner of a pixel."""
        sum_start = 0
        for row, (chip, kind) in enumerate(zip(chips, kinds, strict=True)):
            exact, separated = (np.full(chip.footprint.shape, kind in k) for k in (("outlines",), ("outlines", "loose")))
            self.write(row, *packed(chip, exact, separated))
            sums = self._summed(row)
            self._sums[sum_start : sum_start + len(sums)] = sums
            sum_start += len(sums)
            self._write_smaller(row)

    def write(self, row: int, image: Tensor, instances: Tensor, truth: Tensor) -> None:
        """Copy the pixels of one chip or sample to its row; they are as ``packed`` makes them."""
        first, last = self.starts[row, 0], self.starts[row, 0] + self.sizes_hw[row].prod()
        self.image[first:last] = image.reshape(-1, 3).to(self.device)
        self.instances[first:last] = instances.reshape(-1).to(self.device)
        self.truth[first:last] = truth.reshape(-1).to(self.device)

    def corners(self, plan: Plan) -> Tensor:
        """(N, 2) first row and column of the first square of each sample that shows what it must; the last one if none does."""
        corners, rows = (put(a, self.device) for a in (plan.corners_rc, np.where(plan.banked, 0, plan.row)))
        side, built = (put(a, self.device)[:, None] for a in (plan.side_px, plan.built))
        width = self._widths[rows][:, None] + 1
        # Squares of the bank are whole samples: all tries are alike, whatever is found for them here.
        first = self._sum_starts[rows][:, None] + corners[..., 0] * width + corners[..., 1]
        ends = (first + side * width + side, first + side * width, first + side, first)
        parts = [self._sums[end.clamp(max=len(self._sums) - 1)] for end in ends]
        known, houses = (parts[0] - parts[1] - parts[2] + parts[3]).unbind(-1)
        good = (known > LEAST_KNOWN * side * side) & (~built | (houses > 0))
        good[:, -1] = True
        rank = torch.arange(good.shape[1], 0, -1, device=self.device)
        return corners[torch.arange(len(corners), device=self.device), (good * rank).argmax(dim=1)]

    def _summed(self, row: int) -> Tensor:
        height, width = self.sizes_hw[row]
        start = self.starts[row, 0]
        footprint = (self.truth[start : start + height * width] & 3).reshape(height, width)
        counted = torch.stack([footprint != UNKNOWN, footprint == 1], dim=-1).int()
        counted = counted.cumsum(0, dtype=torch.int32).cumsum(1, dtype=torch.int32)
        return F.pad(counted, (0, 0, 1, 0, 1, 0)).reshape(-1, 2)

    def _write_smaller(self, row: int) -> None:
        height, width = self.sizes_hw[row]
        start = self.starts[row, 0]
        whole = self.image[start : start + height * width].reshape(1, height, width, 3).permute(0, 3, 1, 2).float()
        for level in range(1, int(self.levels[row])):
            smaller = F.avg_pool2d(whole, 1 << level)[0].permute(1, 2, 0).round().byte().reshape(-1, 3)
            self.image[self.starts[row, level] : self.starts[row, level] + len(smaller)] = smaller


def packed(chip: Chip, exact: NDArray[np.bool_], separated: NDArray[np.bool_]) -> tuple[Tensor, Tensor, Tensor]:
    """Image, instances and truth of a chip as ``ResidentPixels`` keeps them; ``exact`` and ``separated`` (H, W) as in ``heads.Truth``."""
    truth = chip.footprint | (chip.stage << 2) | exact * np.uint8(EXACT) | separated * np.uint8(SEPARATED)
    instances = np.array(chip.instances, np.uint16).view(np.int16)
    return torch.from_numpy(np.array(chip.image)), torch.from_numpy(instances), torch.from_numpy(np.asarray(truth, np.uint8))


def free_bytes(device: torch.device) -> int:
    """Free memory of a CUDA device; of a CPU all the memory there is."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _refuse_too_many(pixels: int, device: torch.device) -> None:
    needed, free = pixels * _BYTES_PER_PX, free_bytes(device)
    if needed > MOST_OF_MEMORY * free:
        raise InputError(
            f"data.device: the chips need {needed / 1e9:.1f} GB on {device}, of which {free / 1e9:.1f} GB are free and "
            f"{MOST_OF_MEMORY:.0%} may be used; set data.device to cpu, or prepare fewer chips"
        )
