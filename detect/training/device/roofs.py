"""Roofs in other tones and colours, as ``detect.training.augment`` changes them. Ground keeps its colours."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from detect.training.augment import vivid
from detect.training.device.colours import filtered
from detect.training.device.cut import Cut
from detect.training.device.moves import put

BINS = 1024
"""Buildings of a sample whose numbers differ by a multiple of this share their tone, which does no harm."""
_SOFT_PX = 0.8
"""Standard deviation of the soft edge between changed roofs and ground."""


def tint(rng: np.random.Generator, sample: Cut, where: Tensor) -> None:
    """Samples ``where`` in place: roofs in another tone, most of them darker, half of them with a side in shade."""
    count, device = len(where), where.device
    tone = np.exp(rng.uniform(np.log(0.3), np.log(1.2), (count, 1))) * rng.uniform(0.88, 1.12, (count, 3))
    factors = np.exp(rng.normal(0, 0.08, (count, BINS)))
    shaded = rng.random(count) < 0.5
    azimuth, contrast = rng.uniform(0, 2 * np.pi, count), rng.uniform(0.1, 0.45, count) * shaded
    slots = sample.instances[where].long() % BINS
    light = _on(device, factors).gather(1, slots.flatten(1)).view_as(slots)
    contrast_at = _on(device, contrast)[:, None, None]
    light = light * torch.where(_leans_away(sample.instances[where], slots, azimuth), 1 - contrast_at, 1 + contrast_at / 3)
    image = sample.image[where]
    sample.image[where] = _on_roofs(image, image * _on(device, tone)[:, :, None, None] * light[:, None], sample.footprint[where])


def recolour(rng: np.random.Generator, sample: Cut, where: Tensor) -> None:
    """Samples ``where`` in place: roofs in colours of any hue; half of the samples in one, the others one per building.

    A fifth of the roofs stay as they are.
    """
    count, device = len(where), where.device
    colours = vivid(rng, count * BINS).reshape(count, BINS, 3)
    colours = np.where(rng.random((count, 1, 1)) < 0.5, colours[:, :1], colours)
    coloured = rng.random((count, BINS)) < 0.8
    slots = (sample.instances[where].long() % BINS).flatten(1)
    shape = sample.instances[where].shape
    image = sample.image[where]
    light = image.mean(dim=1, keepdim=True)
    channels = [_on(device, colours[..., channel]).gather(1, slots).view(shape) for channel in range(3)]
    chosen = put(coloured, device).gather(1, slots).view(shape)
    painted = torch.where(chosen[:, None], light * torch.stack(channels, dim=1), image)
    sample.image[where] = _on_roofs(image, painted, sample.footprint[where])


def _on_roofs(image: Tensor, changed: Tensor, footprint: Tensor) -> Tensor:
    """``changed`` on buildings, ``image`` elsewhere, whole numbers 0–255."""
    at = torch.arange(-3, 4, device=image.device)
    kernel = torch.exp(-0.5 * (at**2 + at[:, None] ** 2) / _SOFT_PX**2)
    roofs = filtered((footprint == 1).float()[:, None], (kernel / kernel.sum()).expand(len(image), -1, -1))
    return (image * (1 - roofs) + changed * roofs).round_().clamp_(0, 255)


def _leans_away(instances: Tensor, slots: Tensor, azimuth: np.ndarray) -> Tensor:
    """Pixels on the side of each building's long axis that looks away from the sun; sums of whole numbers, so in any order the same."""
    count, height, width = instances.shape
    rows, cols = torch.arange(height, device=slots.device)[:, None], torch.arange(width, device=slots.device)
    built = (instances > 0).long()

    def total(values: Tensor) -> Tensor:
        sums = torch.zeros((count, BINS), dtype=torch.int64, device=slots.device)
        return sums.scatter_add_(1, slots.flatten(1), (values * built).flatten(1)).double()

    one = torch.ones((), dtype=torch.int64, device=slots.device)
    area = total(one).clamp(min=1)
    row, col = total(rows) / area, total(cols) / area
    across = total(rows * cols) / area - row * col
    axis = torch.atan2(2 * across, total(cols * cols) / area - col**2 - (total(rows * rows) / area - row**2)) / 2
    x, y = -axis.sin(), axis.cos()
    sun = _on(slots.device, np.stack([np.cos(azimuth), np.sin(azimuth)]))[..., None]
    sign = torch.where(x * sun[0] + y * sun[1] < 0, -1.0, 1.0)

    def at(values: Tensor) -> Tensor:
        return values.float().gather(1, slots.flatten(1)).view(count, height, width)

    return (cols - at(col)) * at(x * sign) + (rows - at(row)) * at(y * sign) > 0


def _on(device: torch.device, values: np.ndarray) -> Tensor:
    return put(values.astype(np.float32), device)
