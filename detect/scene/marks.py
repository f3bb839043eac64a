"""Find out how a raster marks what was not observed: an alpha or mask band, a mask beside the bands, a no-data value, a collar.

Alpha wins over a no-data value, as in ``rasterio.DatasetReader.dataset_mask``. Tags are not trusted blindly: Pillow, tifffile and
rasterio tag the fourth of four bands as alpha, also where it is infrared; others leave a mask without a tag.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, MaskFlags

from detect.scene.collar import Collar

FEW_VALUES = 16
"""A band with more values, none of which has half of the pixels above 0, is a picture."""
OPAQUE = (1.0, 255.0, 65_535.0)
"""Values of a mask band, beside 0, that programs write where something was observed."""
_ONE_PIECE = 0.98


@dataclass(frozen=True)
class Marks:
    """How a raster marks what was not observed."""

    mask_band: int | None = None
    """1-based number of an alpha or mask band; None without one."""
    opaque_from: float = 1.0
    """Value of that band from which a pixel was observed."""
    tagged: bool = False
    """Whether a no-data value or a mask beside the bands counts too."""
    collars: tuple[Collar, ...] = ()

    @property
    def fill(self) -> float | None:
        """The value of the only collar, the same in all bands; None if it is otherwise."""
        return self.collars[0].value if len(self.collars) == 1 else None


def is_tagged(dataset: Any, bands: Sequence[int], alpha: int | None) -> bool:
    """Whether a no-data value or a mask beside the bands marks what was not observed.

    Args:
        dataset: an open rasterio dataset.
        bands: 1-based.
        alpha: 1-based number of the alpha band, which wins over a no-data value; None without one.
    """
    flags = [dataset.mask_flag_enums[b - 1] for b in bands]
    beside = any(MaskFlags.per_dataset in f and MaskFlags.alpha not in f for f in flags)
    return beside or (alpha is None and any(MaskFlags.nodata in f for f in flags))


def alpha_bands(dataset: Any) -> list[int]:
    """1-based numbers of the bands that are tagged as alpha."""
    return [number for number, colour in enumerate(dataset.colorinterp, start=1) if colour is ColorInterp.alpha]


def untagged_candidate(dataset: Any) -> int | None:
    """The band that may be a mask without a tag: the last one, beside one, three or more others."""
    last: int = dataset.count
    tagged = dataset.colorinterp[last - 1] in (ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha)
    return None if last in (1, 3) or tagged else last


def is_picture(values: NDArray[np.number]) -> bool:
    """Whether a band (h, w) shows a picture: many values, none of which prevails among those above 0."""
    seen = values[np.isfinite(values) & (values > 0)]
    different, counts = np.unique(seen, return_counts=True)
    return bool(different.size > FEW_VALUES and counts.max() < 0.5 * seen.size)


def has_mask_values(values: NDArray[np.number]) -> bool:
    """Whether a band (h, w) has the two values of a mask, 0 and one of ``OPAQUE``."""
    different = np.unique(values[:: max(1, len(values) // 64)])
    if different.size > 2:
        return False
    different = np.unique(values)
    return bool(different.size == 2 and different[0] == 0 and different[1] in OPAQUE)


def hides_nothing(mask: NDArray[np.number], picture: NDArray[np.number]) -> bool:
    """Whether a picture (bands, h, w) holds no observation where a band (h, w) of two values is 0.

    It has one colour there; or the rest is one piece that fills half of the picture or more, and what is hidden lies around it.
    """
    hidden = mask == 0
    under = picture[:, hidden]
    colour = np.median(under, axis=1).astype(picture.dtype)
    if (under == colour[:, None]).all(axis=0).mean() > _ONE_PIECE:
        return True
    if mask.max() == 1 or hidden.mean() > 0.5:
        return False
    count, _, stats, _ = cv2.connectedComponentsWithStats((~hidden).astype(np.uint8), connectivity=8)
    if count < 2 or stats[1:, cv2.CC_STAT_AREA].max() < _ONE_PIECE * (~hidden).sum():
        return False
    framed = np.pad(hidden, 1, constant_values=True).astype(np.uint8)
    labels = cv2.connectedComponents(framed, connectivity=8)[1]
    return bool((labels[1:-1, 1:-1][hidden] == labels[0, 0]).mean() > _ONE_PIECE)
