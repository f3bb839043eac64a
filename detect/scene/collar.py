"""Find collars: a border without observation around a scene that has one constant value and that no tag marks as no data."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

SHARE_OF_BORDER = 0.01
"""A collar takes more than this share of the pixels along the four edges."""
LONGEST_RUN = 0.02
"""A collar of a value other than 0 has an unbroken stretch of this share of the four edges, unlike overexposed roofs and clouds."""
CONNECTED = 0.9
"""At least this share of the pixels with a value other than 0 is connected with the edge."""


def collar_value(values: NDArray[np.number]) -> float | None:
    """The value of the collar of a picture (bands, h, w), as stored; None if it has no collar.

    Candidates are 0 and the lowest and highest value of the picture, such as -9999, -32768, 65535 or white. All bands must have it.
    """
    border, finite = _border(values), values[np.isfinite(values)]
    for value in (0, finite.min(), finite.max()) if finite.size else ():
        along = (border == value).all(axis=0)
        if along.mean() <= SHARE_OF_BORDER:
            continue
        if value == 0 or (_longest_run(along) >= LONGEST_RUN and _touches_edge(~observed(values, float(value)))):
            return float(value)
    return None


def observed(values: NDArray[np.number], fill: float) -> NDArray[np.bool_]:
    """Mask (h, w) of the pixels at which any band of (bands, h, w) has another value than the fill."""
    return np.asarray((values != np.asarray(fill, values.dtype)).any(axis=0))


def _border(values: NDArray[np.number]) -> NDArray[np.number]:
    """The pixels (bands, n) along the four edges, once around."""
    return np.concatenate([values[:, 0], values[:, :, -1], values[:, -1, ::-1], values[:, ::-1, 0]], axis=1)


def _longest_run(along: NDArray[np.bool_]) -> float:
    """Longest unbroken stretch of True around the picture, as a share of its length."""
    if along.all():
        return 1.0
    start = int(np.argmin(along))  # begins at a pixel of another value, so that no stretch is cut
    changes = np.flatnonzero(np.diff(np.r_[False, np.roll(along, -start), False].astype(np.int8)))
    lengths = changes[1::2] - changes[::2]
    return float(lengths.max() / along.size) if lengths.size else 0.0


def _touches_edge(filled: NDArray[np.bool_]) -> bool:
    """Whether nearly all pixels of a mask (h, w) are connected with the edge of the picture."""
    count, labels = cv2.connectedComponents(filled.astype(np.uint8), connectivity=8)
    touching = np.zeros(count, bool)
    touching[np.unique(_border(labels[None])[0])] = True
    touching[0] = False
    return bool(touching[labels].sum() >= CONNECTED * filled.sum())
