"""Squares of resident chips as samples, turned, enlarged or reduced in one go."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from detect.datasets.chips import UNKNOWN
from detect.training.device.moves import put
from detect.training.device.pixels import EXACT, SEPARATED, ResidentPixels
from detect.training.device.plan import Plan


@dataclass
class Cut:
    """N samples on the device."""

    image: Tensor
    """(N, 3, H, W) float, whole numbers 0–255."""
    instances: Tensor
    """(N, H, W) int32, 0 none."""
    footprint: Tensor
    """(N, H, W) uint8: 0, 1 or ``UNKNOWN``."""
    stage: Tensor
    """(N, H, W) uint8: 0 unknown, 1 foundation, 2 incomplete, 3 complete."""
    exact: Tensor
    """(N, H, W) whether outlines lie on walls."""
    separated: Tensor
    """(N, H, W) whether each building has an outline of its own."""


def cut(pixels: ResidentPixels, plan: Plan) -> Cut:
    """The samples of a plan.

    What lies beyond a chip is mirrored and unknown. An image that is reduced is averaged over about the area of the new pixel.
    """
    device, size = pixels.device, pixels.size_px
    side = put(plan.side_px, device)
    middle = pixels.corners(plan) + side[:, None] / 2
    matrix = put(plan.turn, device) * (side / size).float()[:, None, None]
    offset = torch.arange(size, device=device) + 0.5 - size / 2
    rows, cols = (
        middle[:, axis, None, None].float()
        + matrix[:, axis, 0, None, None] * offset[:, None]
        + matrix[:, axis, 1, None, None] * offset
        for axis in (0, 1)
    )
    image = torch.empty((len(plan.row), 3, size, size), device=device)
    scale = plan.side_px / size
    for reduced in (False, True):
        chosen = np.flatnonzero((scale > 1) == reduced)
        if len(chosen):
            where = put(chosen, device)
            image[where] = _smooth(
                pixels, plan.row[chosen], rows[where], cols[where], matrix[where], scale[chosen] if reduced else None
            )
    return _with_labels(pixels, plan, rows, cols, image)


def _with_labels(pixels: ResidentPixels, plan: Plan, rows: Tensor, cols: Tensor, image: Tensor) -> Cut:
    heights, widths, starts = _table(pixels, plan.row, np.zeros(len(plan.row), np.int64))
    row, col = rows.floor().long(), cols.floor().long()
    inside = (row >= 0) & (row < heights) & (col >= 0) & (col < widths)
    at = torch.where(inside, starts + row * widths + col, starts)
    truth = torch.where(inside, pixels.truth[at], UNKNOWN)
    instances = torch.where(inside, pixels.instances[at].int() & 0xFFFF, 0)
    kind = pixels.truth[at]  # beyond a chip that of its first pixel: a chip has one kind throughout
    return Cut(image, instances, truth & 3, (truth >> 2) & 3, (kind & EXACT) > 0, (kind & SEPARATED) > 0)


def _smooth(
    pixels: ResidentPixels,
    chips: NDArray[np.int64],
    rows: Tensor,
    cols: Tensor,
    matrix: Tensor,
    scale: NDArray[np.float64] | None,
) -> Tensor:
    """(N, 3, H, W) at positions (N, H, W) of level-0 pixels: linear; with ``scale`` (N,), the mean over that many pixels a side.

    The mean is that of 2 × 2 linear values around the position, in the smaller copy of the chip whose scale is between 1 and 2. They are
    as far apart as gives the weights the variance of a mean over an area: at 1 it is the linear value, at 2 the mean of 2 × 2 pixels.
    """
    level = np.zeros(len(chips), np.int64) if scale is None else np.log2(scale).astype(np.int64)
    shrunk = put((0.5**level).astype(np.float32), rows.device)[:, None, None]
    heights, widths, starts = _table(pixels, chips, level)
    rows, cols = rows * shrunk - 0.5, cols * shrunk - 0.5
    if scale is None:
        return _linear(pixels.image, rows, cols, heights, widths, starts).round_()
    left = scale / 2.0**level
    apart = put((np.sqrt((left**2 - 1) / 12) / left).astype(np.float32), rows.device)[:, None, None]
    # Along the sample's rows and columns, so that turned samples are averaged along their own axes.
    step = (matrix * shrunk * apart)[..., None, None]
    total = torch.zeros((len(chips), 3, *rows.shape[1:]), device=rows.device)
    for down in (-1, 1):
        for right in (-1, 1):
            row, col = (values + down * step[:, axis, 0] + right * step[:, axis, 1] for axis, values in enumerate((rows, cols)))
            total += _linear(pixels.image, row, col, heights, widths, starts)
    return (total / 4).round_()


def _table(pixels: ResidentPixels, chips: NDArray[np.int64], level: NDArray[np.int64]) -> tuple[Tensor, Tensor, Tensor]:
    """Heights, widths and first pixels (N, 1, 1) of chips at a level."""
    sizes = pixels.sizes_hw[chips] >> level[:, None]
    values = (sizes[:, 0], sizes[:, 1], pixels.starts[chips, level])
    table = put(np.stack(values), pixels.device)
    return table[0, :, None, None], table[1, :, None, None], table[2, :, None, None]


def _linear(image: Tensor, rows: Tensor, cols: Tensor, heights: Tensor, widths: Tensor, starts: Tensor) -> Tensor:
    """(N, 3, H, W): linear interpolation at rows and columns (N, H, W) counted from the middle of the first pixel."""
    row, col = rows.floor(), cols.floor()
    down, right = (rows - row)[..., None], (cols - col)[..., None]
    rows_at = [starts + _mirrored(row.long() + more, heights) * widths for more in (0, 1)]
    cols_at = [_mirrored(col.long() + more, widths) for more in (0, 1)]
    upper, lower = (image[at + cols_at[0]] * (1 - right) + image[at + cols_at[1]] * right for at in rows_at)
    return (upper * (1 - down) + lower * down).permute(0, 3, 1, 2)


def _mirrored(at: Tensor, length: Tensor) -> Tensor:
    """Positions beyond 0 … length − 1 mirrored at the first and last pixel."""
    return torch.minimum((length - 1 - (length - 1 - at.abs()).abs()).clamp(min=0), length - 1)
