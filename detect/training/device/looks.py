"""Colour, contrast, grain and sharpness on the device: ``augment.photometry`` and ``augment.strong_photometry`` for whole batches.

The same steps in the same order, with the same chances and limits. Three are approximations: JPEG is its loss (the tables of the standard
at a quality, colours at half size) without the coding; grain of high sensitivity lacks its hue noise, which is below one level; and values
are rounded once at the end, not after each step.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from detect.training.device import colours
from detect.training.device.moves import put

Range = tuple[float, float, float]
"""Chance of a change, and the limits of its size."""


@dataclass(frozen=True)
class Looks:
    """How far pictures differ; each pair of limits is that of albumentations."""

    brightness: tuple[float, float]
    contrast: tuple[float, float]
    lit: float
    """Chance of brightness and contrast."""
    gamma: Range
    hue: tuple[float, float]
    saturation: tuple[float, float]
    value: tuple[float, float]
    toned: float
    """Chance of hue, saturation and value."""
    shift: Range
    """Levels per band."""
    curve: tuple[float, float]
    """Chance, and standard deviation of its two points."""
    shuffled: float
    grey: float
    blur: tuple[float, float, int]
    """Chance; largest sigma of a round blur; longest line of a moving one, pixels. Half of them are round."""
    noise: Range
    iso: float
    """Share of the grain that is that of high sensitivity."""
    jpeg: Range


ORDINARY = Looks(
    brightness=(-0.15, 0.15), contrast=(-0.3, 0.3), lit=0.6, gamma=(0.35, 0.75, 1.35),
    hue=(-12, 12), saturation=(-35, 35), value=(-10, 10), toned=0.5,
    shift=(0.4, -14, 14), curve=(0.25, 0.12), shuffled=0.0, grey=0.15, blur=(0.25, 1.3, 5),
    noise=(0.3, 0.01, 0.05), iso=0.0, jpeg=(0.3, 45, 95),
)  # fmt: skip
STRONG = Looks(
    brightness=(-0.35, 0.35), contrast=(-0.5, 0.5), lit=0.7, gamma=(0.5, 0.45, 2.2),
    hue=(-30, 30), saturation=(-70, 70), value=(-20, 20), toned=0.6,
    shift=(0.5, -45, 45), curve=(0.3, 0.25), shuffled=0.06, grey=0.2, blur=(0.35, 2.2, 7),
    noise=(0.4, 0.01, 0.1), iso=0.5, jpeg=(0.4, 30, 95),
)  # fmt: skip
_ISO = (0.1, 0.6)
"""Limits of the grain of high sensitivity."""


def change(rng: np.random.Generator, noise: torch.Generator, image: Tensor, where: NDArray[np.int64], looks: Looks) -> None:
    """Samples ``where`` of images (N, 3, H, W), 0–255, in place; whole numbers after it.

    Args:
        rng: of the choices.
        noise: of the noise, on the device of the images.
        image: the batch.
        where: numbers of the samples, on the host.
        looks: how far they change.
    """
    if not len(where):
        return
    chosen = put(where, image.device)
    seen = _light(rng, image[chosen], looks)
    seen = _tones(rng, seen, looks)
    seen = _sharpness(rng, seen, looks)
    seen = _grain(rng, noise, seen, looks)
    chance, low, high = looks.jpeg
    packed = _some(rng, seen, chance)
    seen[packed] = colours.jpeg(seen[packed], _on(seen, rng.integers(int(low), int(high) + 1, len(packed))))
    image[chosen] = seen.round_()


def _light(rng: np.random.Generator, image: Tensor, looks: Looks) -> Tensor:
    count = len(image)
    lit = rng.random((count, 1)) < looks.lit
    factor = np.where(lit, 1 + rng.uniform(*looks.contrast, (count, 1)), 1)
    added = np.where(lit, 255 * rng.uniform(*looks.brightness, (count, 1)), 0)
    image = (image * _bands(image, factor) + _bands(image, added)).clamp_(0, 255)
    chance, low, high = looks.gamma
    gamma = np.where(rng.random((count, 1)) < chance, rng.uniform(low, high, (count, 1)), 1)
    return 255 * (image / 255) ** _bands(image, gamma)


def _tones(rng: np.random.Generator, image: Tensor, looks: Looks) -> Tensor:
    toned = _some(rng, image, looks.toned)
    by = np.stack([rng.uniform(*limits, len(toned)) for limits in (looks.hue, looks.saturation, looks.value)], axis=1)
    image[toned] = colours.shift_hsv(image[toned], _bands(image, by))
    count = len(image)
    chance, low, high = looks.shift
    shift = np.where(rng.random((count, 1)) < chance, rng.uniform(low, high, (count, 3)), 0)
    image = (image + _bands(image, shift)).clamp_(0, 255)
    curved = _some(rng, image, looks.curve[0])
    low_high = np.clip(rng.normal([0.25, 0.75], looks.curve[1], (len(curved), 2)), 0, 1)
    image[curved] = colours.curve(image[curved], _bands(image, low_high[:, :1]), _bands(image, low_high[:, 1:]))
    shuffled = _some(rng, image, looks.shuffled)
    orders = put(rng.permuted(np.tile(np.arange(3), (len(shuffled), 1)), axis=1), image.device)
    image[shuffled] = image[shuffled[:, None], orders]
    grey = _some(rng, image, looks.grey)
    image[grey] = colours.grey(image[grey]).expand(-1, 3, -1, -1)
    return image


def _sharpness(rng: np.random.Generator, image: Tensor, looks: Looks) -> Tensor:
    chance, widest, longest = looks.blur
    blurred = _some(rng, image, chance)
    kernels = np.stack([
        _round_kernel(rng.uniform(0.4, widest)) if rng.random() < 0.5 else _line_kernel(rng, longest) for _ in range(len(blurred))
    ]) if len(blurred) else np.empty((0, KERNEL_PX, KERNEL_PX))  # fmt: skip
    image[blurred] = colours.filtered(image[blurred], _on(image, kernels))
    return image


def _grain(rng: np.random.Generator, noise: torch.Generator, image: Tensor, looks: Looks) -> Tensor:
    chance, low, high = looks.noise
    grainy = rng.random(len(image)) < chance
    sensitive = grainy & (rng.random(len(image)) < looks.iso)
    plain = put(np.flatnonzero(grainy & ~sensitive), image.device)
    part = image[plain]
    drawn = torch.randn(part.shape, generator=noise, device=image.device)
    drawn = (
        drawn * _bands(image, 255 * rng.uniform(low, high, (len(plain), 1)))
    ).trunc_()  # whole levels, as albumentations has it
    image[plain] = (part + drawn).clamp_(0, 255)
    fine = put(np.flatnonzero(sensitive), image.device)
    part = image[fine]
    if len(part):
        strength = _bands(image, rng.uniform(*_ISO, (len(part), 1)))
        light = (part.amax(dim=1, keepdim=True) + part.amin(dim=1, keepdim=True)) / 510
        sparks = torch.poisson((light.std(dim=(2, 3), keepdim=True) * strength).expand_as(light), generator=noise)
        image[fine] = (part + sparks * strength * (255 - part)).clamp_(0, 255)
    return image


KERNEL_PX = 15
"""Side of all blur kernels; holds the widest."""


def _round_kernel(sigma: float) -> NDArray[np.float64]:
    reach = int(sigma * 3.5)  # albumentations cuts it there
    at = np.arange(KERNEL_PX) - KERNEL_PX // 2
    line = np.exp(-0.5 * (at / sigma) ** 2) * (np.abs(at) <= reach)
    kernel = np.outer(line, line)
    return kernel / kernel.sum()


def _line_kernel(rng: np.random.Generator, longest_px: int) -> NDArray[np.float64]:
    """A line of 3, 5 … pixels in any direction, beside the middle, more forward or backward, as albumentations draws it."""
    length = 3 + 2 * int(rng.integers((longest_px - 3) // 2 + 1))
    half, angle, lean = length // 2, rng.uniform(0, 2 * np.pi), rng.uniform(-1, 1)
    along = np.linspace(-half * (1 - max(0.0, lean)), half * (1 + min(0.0, lean)), length)
    aside = rng.uniform(-1, 1, 2) * half / 2
    at = np.clip(np.round(np.outer([np.sin(angle), np.cos(angle)], along) + aside[:, None]), -half, half).astype(int)
    kernel = np.zeros((KERNEL_PX, KERNEL_PX))
    kernel[tuple(at + KERNEL_PX // 2)] = 1
    return kernel / kernel.sum()


def _some(rng: np.random.Generator, image: Tensor, chance: float) -> Tensor:
    """Numbers of some samples of a batch, on its device; each is chosen with the same chance."""
    return put(np.flatnonzero(rng.random(len(image)) < chance), image.device)


def _on(image: Tensor, values: NDArray) -> Tensor:
    return put(np.asarray(values, np.float32), image.device)


def _bands(image: Tensor, values: NDArray) -> Tensor:
    """(N, bands) on the host → (N, bands, 1, 1) on the device."""
    return _on(image, values)[:, :, None, None]


def coarsen(image: Tensor, where: NDArray[np.int64], coarser: NDArray[np.float64]) -> None:
    """Samples ``where`` of images (N, 3, H, W) in place, as a sensor saw them whose pixel is ``coarser`` times as wide; enlarged again.

    Mean over areas and linear enlargement, as ``augment.coarsen``; for rows and columns alike it is one matrix of a sample.
    """
    if not len(where):
        return
    size, device = image.shape[-1], image.device
    small = np.maximum(8, (size / coarser).astype(np.int64))
    few = _on(image, small)[:, None, None]
    at = torch.arange(size, device=device, dtype=torch.float32)
    width = size / few
    ends = (at[:, None] + 1) * width
    # (n, coarse, fine): the share of each fine pixel in a coarse one, and (n, fine, coarse): of coarse ones in the enlarged.
    shares = (torch.minimum(ends, at + 1) - torch.maximum(ends - width, at)).clamp_(min=0) / width
    middle = torch.minimum(((at[:, None] + 0.5) / width - 0.5).clamp_(min=0), few - 1)
    matrix = (1 - (middle - at).abs()).clamp_(min=0) @ shares
    chosen = put(where, device)
    image[chosen] = (matrix[:, None] @ image[chosen] @ matrix[:, None].mT).round_().clamp_(0, 255)
