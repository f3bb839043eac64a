"""What the heads should answer where outlines are known, and the loss that says how far they are from it.

Training and the adaptation to a place share it. The loss needs torch, which only its caller imports.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

if TYPE_CHECKING:
    from torch import Tensor

BOUNDARY_M = 1.75
"""Half the widest gap that counts as a boundary between neighbours: 3.5 m, some ten pixels."""
BOUNDARY_WEIGHT = 4.0
"""Weight of a boundary pixel in the cross entropy of its head; that of all other pixels is 1."""


def boundaries(instances: NDArray[np.uint16], gsd_m: float) -> NDArray[np.uint8]:
    """1 on gaps of up to 3.5 m between two buildings and on their shared walls, one pixel into each; else 0.

    A pixel counts when two grown buildings meet on it, unless it lies inside one of them.
    """
    reach = max(2, round(BOUNDARY_M / gsd_m))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    small = np.ones((3, 3), np.uint8)
    grown = np.zeros(instances.shape, np.uint8)
    interior = np.zeros(instances.shape, bool)
    height, width = instances.shape
    for label, found in enumerate(ndimage.find_objects(instances), start=1):
        if found is None:
            continue
        rows, cols = found
        window = (
            slice(max(0, rows.start - reach - 1), min(height, rows.stop + reach + 1)),
            slice(max(0, cols.start - reach - 1), min(width, cols.stop + reach + 1)),
        )
        mask = (instances[window] == label).astype(np.uint8)
        grown[window] += cv2.dilate(mask, kernel)
        interior[window] |= cv2.erode(mask, small).astype(bool)
    return ((grown >= 2) & ~interior).astype(np.uint8)


def gap_weights(footprint: NDArray[np.uint8], gsd_m: float, gap_m: float, weight: float) -> NDArray[np.float32]:
    """``weight`` on background within ``gap_m`` of a building, 1 elsewhere."""
    reach = max(1, round(gap_m / gsd_m))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    near = cv2.dilate((footprint == 1).astype(np.uint8), kernel).astype(bool) & (footprint == 0)
    return np.where(near, np.float32(weight), np.float32(1))


def binary_loss(logit: Tensor, target: Tensor, known: Tensor, weight: Tensor) -> Tensor:
    """Weighted binary cross entropy + soft Dice over the batch (Milletari et al. 2016), on known pixels; all (N, H, W).

    The DiceLoss of segmentation-models-pytorch cannot replace it: it ignores batches without a building, which teach open ground
    here, and the meaning of its ``smooth`` changed between versions.
    """
    from torch.nn.functional import binary_cross_entropy_with_logits

    known, target = known.to(logit.dtype), target.to(logit.dtype)
    weight = weight.to(logit.dtype) * known
    entropy = binary_cross_entropy_with_logits(logit, target, weight, reduction="sum") / weight.sum().clamp_min(1)
    probability = logit.sigmoid() * known
    dice = 1 - (2 * (probability * target).sum() + 1) / (probability.sum() + target.sum() + 1)
    # A batch without any known pixel must not change the network.
    return entropy + dice * (known.sum() > 0)
