"""What the heads learn, from labels on the device; the same pixels as ``detect.training.heads`` finds on the host."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from detect.training.device.moves import put

_NONE = 1 << 16
"""Above any number of a building."""


@dataclass(frozen=True)
class Truths:
    """What is known about a batch of samples; ``detect.training.heads.Truth`` for each of them."""

    instances: Tensor
    """(N, H, W) int32, 0 none."""
    footprint: Tensor
    """(N, H, W) uint8: 0, 1 or 3 unknown."""
    stage: Tensor
    """(N, H, W) uint8: 0 unknown, 1–3."""
    exact: Tensor
    """(N, H, W) whether outlines lie on walls."""
    separated: Tensor
    """(N, H, W) whether each building has an outline of its own."""
    gsd_m: NDArray[np.float64]
    """(N,) ground size of their pixels, on the host."""


def boundaries(instances: Tensor, reach_px: NDArray[np.int64]) -> Tensor:
    """(N, H, W) uint8: 1 where two buildings, each grown by ``reach_px`` (N,), meet outside the inside of a building."""

    def meet(part: Tensor, reach: int) -> Tensor:
        # The largest and the smallest number around a pixel differ if there are two.
        largest = spread(part, reach)
        smallest = _NONE - spread(torch.where(part > 0, _NONE - part, 0), reach)
        return (largest > 0) & (largest != smallest)

    padded = F.pad(instances[:, None].float(), (1, 1, 1, 1), mode="replicate")
    around = F.max_pool2d(padded, 3, 1)[:, 0] == -F.max_pool2d(-padded, 3, 1)[:, 0]
    return (_by_reach(instances, reach_px, meet) & ~(around & (instances > 0))).byte()


def near(built: Tensor, reach_px: NDArray[np.int64]) -> Tensor:
    """(N, H, W) bool: pixels up to ``reach_px`` (N,) from one of ``built`` (N, H, W), and those themselves."""
    return _by_reach(built, reach_px, lambda part, reach: spread(part.byte(), reach) > 0)


def reaches(metres: float, gsd_m: NDArray[np.float64], least_px: int) -> NDArray[np.int64]:
    """A length in whole pixels (N,), at least ``least_px``."""
    return np.maximum(least_px, np.round(metres / gsd_m)).astype(np.int64)


def spread(values: Tensor, reach_px: int) -> Tensor:
    """(N, H, W): the largest of the values in the ellipse of 2 × ``reach_px`` + 1 pixels by which OpenCV dilates; none is negative."""
    height = values.shape[-2]
    halves: dict[int, list[int]] = {}
    for down in range(-reach_px, reach_px + 1):
        halves.setdefault(round((reach_px**2 - down**2) ** 0.5), []).append(down)
    above = F.pad(values, (reach_px, reach_px, reach_px, reach_px))
    line = result = None
    for half in range(reach_px + 1):
        left, right = (above[..., reach_px + side : reach_px + side + values.shape[-1]] for side in (-half, half))
        ends = torch.maximum(left, right)
        line = ends if line is None else torch.maximum(line, ends)
        for down in halves.get(half, ()):
            moved = line[..., reach_px + down : reach_px + down + height, :]
            result = moved if result is None else torch.maximum(result, moved)
    assert result is not None, "the middle line is part of any ellipse"
    return result


def _by_reach(values: Tensor, reach_px: NDArray[np.int64], found: Callable[[Tensor, int], Tensor]) -> Tensor:
    """``found(samples, reach)`` for the samples of each reach, together as (N, H, W) bool."""
    result = torch.empty(values.shape, dtype=torch.bool, device=values.device)
    for reach in np.unique(reach_px):
        where = put(np.flatnonzero(reach_px == reach), values.device)
        result[where] = found(values[where], int(reach))
    return result
