"""Compute the construction stage of each footprint from the network's stage heads and from a second model."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

STAGES = ("foundation", "incomplete", "complete")
COMPLETE = STAGES[-1]
CODES = {stage: code for code, stage in enumerate(STAGES, start=1)}
"""Values of stage.tif; 0 means no building, ``NO_DATA`` no observation."""
STAGE_WEIGHTS = (3.0, 3.0, 1.0)
"""Weights of the stages in the training loss: unfinished buildings are rare."""
SECOND_WEIGHT = 0.6
"""Of the second model, beside the network's own heads. On real buildings 0.5 to 0.6 are equal; on drawn ones, 0.6 errs less."""


def pool(
    heads: NDArray[np.uint8],
    labels: NDArray[np.int32],
    count: int,
    temperature: float = 1.0,
    class_weights: tuple[float, ...] = (1.0, 1.0, 1.0),
) -> NDArray[np.float64]:
    """Stage probabilities (count, 3) of the buildings labelled 1…count, rows summing to one.

    The mean over a building's pixels, sharpened or softened by a temperature on the log scale (Guo et al. 2017); 1 changes
    nothing.

    Args:
        heads: (3, H, W) stored stage heads, p × ``TOP``.
        labels: (H, W).
        count: number of buildings; each has at least one pixel.
        temperature: temperature of the calibration, from the weights' card.
        class_weights: weights of the stages in the training loss; they multiplied the odds, which is undone here (Saerens et al.
            2002).
    """
    sums = np.stack([np.bincount(labels.ravel(), weights=h.ravel(), minlength=count + 1)[1:] for h in heads], axis=1)
    logs = np.log(np.maximum(sums, 1e-9) / np.maximum(sums.sum(axis=1, keepdims=True), 1e-9) + 1e-6) / temperature
    logs -= np.log(class_weights)
    powers = np.exp(logs - logs.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def combine(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Stage probabilities (n, 3) from those of two models (n, 3): their weighted geometric mean, rows summing to one.

    The logarithmic opinion pool (Genest and Zidek 1986): each model may rule a stage out. The second has seen more unfinished buildings.
    """
    product = np.maximum(first, 1e-6) ** (1 - SECOND_WEIGHT) * np.maximum(second, 1e-6) ** SECOND_WEIGHT
    return np.asarray(product / product.sum(axis=1, keepdims=True))
