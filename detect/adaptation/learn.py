"""Learn the footprint head anew from checked ground, near the old head.

The head is a logistic regression of each pixel on the features around it. The new weights are the old ones plus a change that minimises
the sum of three terms: the mean cross entropy of checked pixels; ``Hold.elsewhere`` times that of pixels elsewhere, with the old answers
as targets (Li & Hoiem, "Learning without forgetting", 2016); and ``Hold.strength`` / 2 times the squared change in units of each
feature's spread. So what nobody has checked stays nearly as it was. The problem is convex, and Newton's method solves it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from detect.adaptation.windows import Window
from detect.base.values import NO_DATA, TOP
from detect.network.heads import FOOTPRINT
from detect.network.last_layer import LastLayer

SAMPLES = 10_000
"""Pixels of checked ground that a head is fitted to, and as many elsewhere; neighbouring pixels say much the same."""
_STEPS = 20
_ENOUGH = 1e-6
"""Newton's method ends when a step lowers the loss by less than this."""


@dataclass(frozen=True)
class Hold:
    """How strongly what is learnt is held to the old head."""

    strength: float
    """Of the penalty on the change of weights."""
    elsewhere: float
    """Weight of the pixels that nobody has checked; that of the checked ones is 1."""


@dataclass(frozen=True)
class Pixels:
    """Samples (n,) with the features around each (n, d)."""

    features: NDArray[np.float64]
    target: NDArray[np.float64]
    """Probability that the pixel is a building, 0–1."""
    fold: NDArray[np.int64]
    """Fold of a checked pixel."""


def sample(windows: Sequence[Window], folds: Sequence[NDArray[np.int64]], layer: LastLayer, *, checked: bool) -> Pixels:
    """Pixels of the known ground of windows, drawn with a fixed seed.

    Args:
        windows: where.
        folds: (H, W) fold of each pixel, per window.
        layer: gives the old answers, and says how many pixels around one count.
        checked: whether targets are the true buildings; else they are the old answers.
    """
    where = [np.flatnonzero(window.known) for window in windows]
    total = sum(map(len, where))
    rng = np.random.default_rng(0)
    size = layer.weight[FOOTPRINT].size
    parts: list[tuple[NDArray, ...]] = [(np.zeros((0, size)), np.zeros(0), np.zeros(0, np.int64))]
    for window, fold, here in zip(windows, folds, where, strict=True):
        share = min(len(here), -(-SAMPLES * len(here) // max(total, 1)))
        row, col = np.unravel_index(np.sort(rng.choice(here, share, replace=False)), window.known.shape)
        around = _around(window.features, row, col, layer.reach_px)
        logits = around @ layer.weight[FOOTPRINT].ravel() + layer.bias[FOOTPRINT]
        parts.append((around, window.built[row, col] if checked else _sigmoid(logits), fold[row, col]))
    features, target, fold = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Pixels(features, target.astype(np.float64), fold)


def learn(checked: Pixels, elsewhere: Pixels, layer: LastLayer, hold: Hold) -> LastLayer:
    """The layer with another footprint head, from checked pixels and from some elsewhere."""
    features = np.concatenate([checked.features, elsewhere.features])
    mean, spread = features.mean(axis=0), features.std(axis=0) + 1e-6
    offset = features @ layer.weight[FOOTPRINT].ravel() + layer.bias[FOOTPRINT]
    scaled = np.column_stack([(features - mean) / spread, np.ones(len(features))])
    target = np.concatenate([checked.target, elsewhere.target])
    weight = np.concatenate(
        [np.full(len(p.target), share / max(len(p.target), 1)) for p, share in ((checked, 1.0), (elsewhere, hold.elsewhere))]
    )
    change = _minimum(scaled, target, weight, offset, hold.strength)
    weights, bias = layer.weight.copy(), layer.bias.copy()
    weights[FOOTPRINT] += (change[:-1] / spread).reshape(weights[FOOTPRINT].shape)
    bias[FOOTPRINT] += change[-1] - (change[:-1] * mean / spread).sum()
    return replace(layer, weight=weights, bias=bias)


def only(pixels: Pixels, chosen: NDArray[np.bool_]) -> Pixels:
    """Some of the samples."""
    return Pixels(pixels.features[chosen], pixels.target[chosen], pixels.fold[chosen])


def answers(window: Window, layer: LastLayer) -> NDArray[np.uint8]:
    """Heads (5, H, W) of a window as stored, with the footprint head of a layer."""
    reach_px = layer.reach_px
    logits = np.full(window.features.shape[1:], layer.bias[FOOTPRINT], np.float32)
    for channel, kernel in zip(window.features, layer.weight[FOOTPRINT].astype(np.float32), strict=True):
        logits += cv2.filter2D(channel, cv2.CV_32F, kernel)  # like the network, it correlates and does not flip the kernel
    height, width = window.known.shape
    inner = logits[reach_px : reach_px + height, reach_px : reach_px + width]
    heads = window.heads.copy()
    heads[FOOTPRINT] = np.where(window.heads[FOOTPRINT] == NO_DATA, NO_DATA, (TOP * _sigmoid(inner) + 0.5).astype(np.uint8))
    return heads


def _around(features: NDArray[np.float32], row: NDArray, col: NDArray, reach_px: int) -> NDArray[np.float64]:
    """(n, channels × k × k) features of k × k pixels around each, in the order of a convolution's weights."""
    side = range(2 * reach_px + 1)
    near = np.stack([features[:, row + down, col + right] for down in side for right in side], axis=1)  # (channels, k², n)
    return near.reshape(near.shape[0] * near.shape[1], len(row)).T.astype(np.float64)


def _minimum(
    x: NDArray[np.float64], target: NDArray[np.float64], weight: NDArray[np.float64], offset: NDArray[np.float64], strength: float
) -> NDArray[np.float64]:
    """The d (m,) that minimises Σ weight · cross entropy(target, σ(offset + x d)) + strength / 2 · |d|²."""
    d = np.zeros(x.shape[1])

    def loss(at: NDArray[np.float64]) -> float:
        z = offset + x @ at
        return float((weight * (np.logaddexp(0, z) - target * z)).sum() + strength / 2 * at @ at)

    now = loss(d)
    for _ in range(_STEPS):
        p = _sigmoid(offset + x @ d)
        slope = x.T @ (weight * (p - target)) + strength * d
        curve = (x * (weight * p * (1 - p))[:, None]).T @ x + strength * np.eye(len(d))
        step, size = np.linalg.solve(curve, slope), 1.0
        while (then := loss(d - size * step)) > now and size > 1e-4:
            size /= 2
        if now - then < _ENOUGH:
            break
        d, now = d - size * step, then
    return d


def _sigmoid(z: NDArray) -> NDArray:
    return 1 / (1 + np.exp(-np.clip(z, -50, 50)))
