"""The linear layer of the stage head: varied crops, the fit, its temperature, and its scores.

All choices are made by leaving out one training place at a time; held-out places are only scored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from detect.training.calibration import calibration_error, reliability
from detect.training.metrics import class_f1

ECE_BINS = 15
_OUTLINE_M = 0.6
"""Standard deviation of the position and of the width of detected footprints, metres."""


def varied(crops: NDArray[np.uint8], gsds_m: Sequence[float], rng: np.random.Generator) -> NDArray[np.uint8]:
    """One building's crops (scales, S, S, 4) as another sensor, sun and outline might show them.

    Mirrored or turned by right angles; brighter, darker, tinted; in half of the cases as blurred as pixels of up to 1 m; the
    footprint (last band, 0 or 255) moved, grown or shrunk, like detected ones.
    """
    turn, move = int(rng.integers(1, 8)), rng.normal(0, _OUTLINE_M, 2)
    grow_m, coarse_m = rng.normal(0, _OUTLINE_M), float(rng.uniform(0.4, 1.0)) if rng.random() < 0.5 else 0.0
    gain, bias, tint = np.exp(rng.normal(0, 0.12)), rng.normal(0, 0.05), np.exp(rng.normal(0, 0.04, 3))
    side = crops.shape[1]
    result = np.empty_like(crops)
    for i, gsd_m in enumerate(gsds_m):
        picture = crops[i, ..., :3].astype(np.float32) / 255
        if coarse_m > gsd_m:
            pixels = max(8, round(side * gsd_m / coarse_m))
            small = cv2.resize(picture, (pixels, pixels), interpolation=cv2.INTER_AREA)
            picture = cv2.resize(small, (side, side), interpolation=cv2.INTER_CUBIC)
        picture = ((picture - 0.5) * gain + 0.5 + bias) * tint
        mask = _another_outline(crops[i, ..., 3], move / gsd_m, round(grow_m / gsd_m))
        crop = np.dstack([np.clip(picture * 255 + 0.5, 0, 255).astype(np.uint8), mask])
        for bit, flip in ((1, lambda c: c[:, ::-1]), (2, lambda c: c[::-1]), (4, lambda c: c.transpose(1, 0, 2))):
            crop = flip(crop) if turn & bit else crop
        result[i] = crop
    return result


def _another_outline(mask: NDArray[np.uint8], move_px: NDArray[np.float64], grow_px: int) -> NDArray[np.uint8]:
    shift = np.array([[1, 0, move_px[0]], [0, 1, move_px[1]]], np.float32)
    moved = cv2.warpAffine(mask, shift, mask.shape[::-1], flags=cv2.INTER_NEAREST)
    moved = moved if moved.any() else mask
    if not grow_px:
        return moved
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * abs(grow_px) + 1,) * 2)
    changed = cv2.dilate(moved, disc) if grow_px > 0 else cv2.erode(moved, disc)
    return changed if np.count_nonzero(changed) > 30 else moved


@dataclass(frozen=True)
class Components:
    """The principal components of standardised features, found without labels by scikit-learn."""

    mean: NDArray[np.floating]
    """(F,) mean of the features."""
    sd: NDArray[np.floating]
    """(F,) standard deviation of the features."""
    axes: NDArray[np.floating]
    """(components, F), scaled so that all components together have a deviation of one."""

    @staticmethod
    def from_features(features: NDArray[np.float32], count: int) -> Components:
        """The first components of features (n, F)."""
        from sklearn.decomposition import PCA

        mean, sd = features.mean(axis=0), np.maximum(features.std(axis=0), np.float32(1e-4))
        z = (features - mean) / sd
        pca = PCA(min(count, *z.shape), svd_solver="randomized", random_state=0).fit(z)
        return Components(mean, sd, pca.components_ / np.sqrt(pca.explained_variance_.mean()))

    def scores(self, features: NDArray[np.float32]) -> NDArray[np.floating]:
        """(n, components) of features (n, F)."""
        return ((features - self.mean) / self.sd) @ self.axes.T


class Linear:
    """Multinomial logistic regression on components; scikit-learn does the work."""

    def __init__(self, components: Components, strength: float, balance: float) -> None:
        """Set the method.

        Args:
            components: components of the features.
            strength: inverse of the penalty (scikit-learn's C).
            balance: exponent of the weight of rare classes; with 0 all buildings have the same weight, with 1 all classes.
        """
        self.components, self.strength, self.balance = components, strength, balance

    def fit(self, features: NDArray[np.float32], truth: NDArray[np.int64], weight: NDArray[np.float64]) -> Linear:
        """Learn from features (n, F), classes (n,) and weights (n,); returns itself."""
        from sklearn.linear_model import LogisticRegression

        totals = np.bincount(truth, weight, 3)
        weight = weight * (totals.sum() / np.maximum(totals, 1e-9))[truth] ** self.balance
        model = LogisticRegression(C=self.strength, max_iter=300)
        model.fit(self.components.scores(features), truth, sample_weight=weight / weight.mean())
        # Components and regression are both linear, so they combine to one matrix on standardised features.
        self.matrix = model.coef_ @ self.components.axes  # (3, F)
        self.bias = model.intercept_
        return self

    def probabilities(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Stage probabilities (n, 3) of features (n, F)."""
        logits = ((features - self.components.mean) / self.components.sd) @ self.matrix.T + self.bias
        return np.asarray(softmax(logits, axis=1))


def measured(p: NDArray[np.float64], truth: NDArray[np.int64], *, draws: int = 1000) -> dict[str, Any]:
    """Confusion, F1 per stage and their mean with a 90 % bootstrap interval over buildings, calibration error; for a card.

    Args:
        p: (n, 3) stage probabilities.
        truth: (n,) stages 0–2.
        draws: number of bootstrap samples.

    Returns:
        ``macro_f1`` over the stages that occur; ``ece`` of the most likely stage in 15 bins of equal width, over all buildings;
        ``ece_balanced`` with the same weight for every stage.
    """
    from sklearn.metrics import confusion_matrix

    given = p.argmax(axis=1)
    confusion = confusion_matrix(truth, given, labels=range(3)).astype(np.int64)
    rng = np.random.default_rng(0)
    tables = rng.multinomial(len(truth), confusion.ravel() / max(len(truth), 1), draws).reshape(-1, 3, 3)
    counts = confusion.sum(axis=1)
    low, high = np.quantile(class_f1(tables)[:, counts > 0].mean(axis=1), [0.05, 0.95])
    f1 = class_f1(confusion)

    def ece(weight: NDArray[np.float64]) -> float:
        return calibration_error(reliability(p.max(axis=1), given == truth, weight, ECE_BINS))

    return {
        "buildings": counts.tolist(),
        "macro_f1": float(f1[counts > 0].mean()),
        "macro_f1_90": [float(low), float(high)],
        "f1": f1.tolist(),
        "confusion": confusion.tolist(),
        "ece": ece(np.ones(len(p))),
        "ece_balanced": ece(1 / np.maximum(counts, 1)[truth]),
    }
