"""Collars: ground without observation around a scene that holds one value and that nothing in the file marks."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

SHARE_OF_BORDER = 0.01
"""Of the pixels along the four edges that hold the value."""
LONGEST_RUN = 0.02
"""Share of the four edges that one unbroken stretch of the value takes, where it is not 0: roofs and clouds are overexposed in spots."""
CONNECTED = 0.9
"""Share of the pixels of the value that hang together with the edge, where it is not 0."""


def collar_value(values: NDArray[np.number]) -> float | None:
    """The value of a collar in a picture (bands, h, w) as it is stored, or None.

    It is 0, or the lowest or the highest value of the picture, such as -9999, -32768, 65535 or white, and all bands hold it.
    """
    border, finite = _border(values), values[np.isfinite(values)]
    for value in (0, finite.min(), finite.max()) if finite.size else ():
        along = (border == value).all(axis=0)
        if along.mean() <= SHARE_OF_BORDER:
            continue
        if value == 0 or (_longest_run(along) >= LONGEST_RUN and _hangs_together(~observed(values, float(value)))):
            return float(value)
    return None


def observed(values: NDArray[np.number], fill: float) -> NDArray[np.bool_]:
    """(h, w) whether any band of (bands, h, w) holds another value than the fill."""
    return np.asarray((values != np.asarray(fill, values.dtype)).any(axis=0))


def _border(values: NDArray[np.number]) -> NDArray[np.number]:
    """(bands, n) of the pixels along the four edges, once around."""
    return np.concatenate([values[:, 0], values[:, :, -1], values[:, -1, ::-1], values[:, ::-1, 0]], axis=1)


def _longest_run(along: NDArray[np.bool_]) -> float:
    """Longest unbroken stretch of True around the picture, as a share of its length."""
    if along.all():
        return 1.0
    start = int(np.argmin(along))  # begins at a pixel of another value, so that no stretch is cut
    changes = np.flatnonzero(np.diff(np.r_[False, np.roll(along, -start), False].astype(np.int8)))
    lengths = changes[1::2] - changes[::2]
    return float(lengths.max() / along.size) if lengths.size else 0.0


def _hangs_together(filled: NDArray[np.bool_]) -> bool:
    """Whether nearly all of (h, w) hangs together with the edge of the picture."""
    count, labels = cv2.connectedComponents(filled.astype(np.uint8), connectivity=8)
    touching = np.zeros(count, bool)
    touching[np.unique(_border(labels[None])[0])] = True
    touching[0] = False
    return bool(touching[labels].sum() >= CONNECTED * filled.sum())
