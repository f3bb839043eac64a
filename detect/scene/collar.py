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
SMALLEST_PX = 32
"""Shorter sides tell too little of a value other than 0."""
_BRIGHTEST = {2.0**bits - 1 for bits in (8, 10, 11, 12, 14, 15, 16, 32)}
_LOWEST = -999.0
_HUGE = 1e30


def collar_value(values: NDArray[np.number]) -> float | None:
    """The value of the collar of a picture (bands, h, w), as stored; None if it has no collar.

    Candidates are 0, and the lowest and highest value of the picture if programs use such a value as filling: -999 and below, the
    brightest value of 8 to 32 bits, a float beyond 1e30. All bands must have it, and something else must be left.
    """
    border, finite = _border(values), values[np.isfinite(values)]
    for value in (0.0, float(finite.min()), float(finite.max())) if finite.size else ():
        along = (border == np.asarray(value, values.dtype)).all(axis=0)
        if along.mean() > SHARE_OF_BORDER and (value == 0 or _is_collar(values, along, value)):
            return value
    return None


def _is_collar(values: NDArray[np.number], along: NDArray[np.bool_], value: float) -> bool:
    """Whether a value other than 0 fills the edge of a picture as a collar does; ``along`` says where on the border it is."""
    usual = value <= _LOWEST or value in _BRIGHTEST or abs(value) > _HUGE
    if not usual or min(values.shape[1:]) < SMALLEST_PX or _longest_run(along) < LONGEST_RUN:
        return False
    seen = observed(values, value)
    return bool(seen.any()) and _touches_edge(~seen)


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
