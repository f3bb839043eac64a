"""Arithmetic on colours of a batch: images (N, 3, H, W), float 0–255."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

_GREY = (0.299, 0.587, 0.114)
_LUMA = np.array([
    [16, 11, 10, 16, 24, 40, 51, 61], [12, 12, 14, 19, 26, 58, 60, 55], [14, 13, 16, 24, 40, 57, 69, 56],
    [14, 17, 22, 29, 51, 87, 80, 62], [18, 22, 37, 56, 68, 109, 103, 77], [24, 35, 55, 64, 81, 104, 113, 92],
    [49, 64, 78, 87, 103, 121, 120, 101], [72, 92, 95, 98, 112, 100, 103, 99],
])  # fmt: skip
"""Table K.1 of the JPEG standard (ITU-T T.81)."""
_CHROMA = np.full((8, 8), 99)
_CHROMA[:4, :4] = [[17, 18, 24, 47], [18, 21, 26, 66], [24, 26, 56, 99], [47, 66, 99, 99]]
"""Table K.2."""


def grey(image: Tensor) -> Tensor:
    """(N, 1, H, W): lightness."""
    return sum(image[:, band : band + 1] * share for band, share in enumerate(_GREY))  # type: ignore[return-value]


def shift_hsv(image: Tensor, by: Tensor) -> Tensor:
    """Hue, saturation and value moved by ``by`` (N, 3, 1, 1): half degrees, and levels of 255. Greys stay grey."""
    high, low = image.amax(dim=1), image.amin(dim=1)
    span = high - low
    red, green, blue = image.unbind(dim=1)
    safe = span.clamp(min=1e-6)
    sector = torch.where(
        high == red, (green - blue) / safe, torch.where(high == green, 2 + (blue - red) / safe, 4 + (red - green) / safe)
    )
    hue = (sector * 30 + by[:, 0]) / 30
    saturation = torch.where(span > 0, 255 * span / high.clamp(min=1e-6) + by[:, 1], 0.0).clamp(0, 255) / 255
    value = (high + by[:, 2]).clamp(0, 255)
    bands = []
    for band in (5, 3, 1):
        at = torch.remainder(hue + band, 6)
        bands.append(value * (1 - saturation * torch.minimum(at, 4 - at).clamp(0, 1)))
    return torch.stack(bands, dim=1)


def curve(image: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """A tone curve: the Bézier curve from 0 over ``low`` and ``high`` (N, 1, 1, 1) to 1."""
    at = image / 255
    rest = 1 - at
    return (255 * (3 * rest**2 * at * low + 3 * rest * at**2 * high + at**3)).clamp(0, 255)


def filtered(image: Tensor, kernels: Tensor) -> Tensor:
    """Each image by its own kernel of ``kernels`` (N, K, K), K odd; mirrored at its edges."""
    count, bands, height, width = image.shape
    if not count:
        return image
    reach = kernels.shape[-1] // 2
    padded = F.pad(image, (reach, reach, reach, reach), mode="reflect").reshape(
        1, count * bands, *(n + 2 * reach for n in (height, width))
    )
    weights = kernels.repeat_interleave(bands, dim=0)[:, None]
    # cuDNN would search for its fastest kernel again and again, since each batch has another number of images.
    with torch.backends.cudnn.flags(enabled=False):
        return F.conv2d(padded, weights, groups=count * bands).reshape(image.shape)


def jpeg(image: Tensor, quality: Tensor) -> Tensor:
    """What JPEG at a quality (N,) of 1–100 makes of images whose sides are multiples of 16, colours at half size."""
    if not len(image):
        return image
    luma = grey(image)
    red, blue = ((image[:, band : band + 1] - luma) * factor for band, factor in ((0, 0.713), (2, 0.564)))
    factor = torch.where(quality < 50, 5000 / quality, 200 - 2 * quality)[:, None, None]
    tables = [
        ((torch.from_numpy(table).to(image) * factor + 50) / 100).floor().clamp(1, 255)[:, None, :, None]
        for table in (_LUMA, _CHROMA)
    ]
    luma = _quantised(luma.round() - 128, tables[0]) + 128
    chroma = _quantised(F.avg_pool2d(torch.cat([red, blue], dim=1).round(), 2), tables[1])
    red, blue = F.interpolate(chroma, scale_factor=2, mode="bilinear").split(1, dim=1)
    bands = [luma + 1.402 * red, luma - 0.714 * red - 0.344 * blue, luma + 1.772 * blue]
    return torch.cat(bands, dim=1).clamp_(0, 255)


def _quantised(planes: Tensor, table: Tensor) -> Tensor:
    """Planes (N, C, H, W) whose 8 × 8 blocks have cosine coefficients in steps of ``table`` (N, 1, 8, 1, 8)."""
    count, bands, height, width = planes.shape
    at = torch.arange(8, device=planes.device, dtype=torch.float32)
    cosines = torch.cos((at + 0.5) * at[:, None] * (torch.pi / 8)) / 2
    cosines[0] /= 2**0.5
    blocks = planes.reshape(count, bands * height // 8, 8, width // 8, 8)
    steps = torch.einsum("ui,nbicj,vj->nbucv", cosines, blocks, cosines).div_(table).round_().mul_(table)
    return torch.einsum("ui,nbucv,vj->nbicj", cosines, steps, cosines).reshape(planes.shape)
