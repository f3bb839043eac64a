"""Stretch the brightness of a scene to 0–1, the same for the whole scene."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

FILL = 0.5
"""Value that the network reads where nothing was observed: mid grey, as in training."""
_PERCENTILES = (1.0, 99.0)
_ORDINARY = (0.36, 0.64)  # range of mean brightness after the stretch, 0–1; darker and brighter scenes are moved to it

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class Brightness:
    """The stretch of a scene, and how bright it is afterwards."""

    lo: Triple
    """Per band, the value that becomes 0."""
    hi: Triple
    """Per band, the value that becomes 1."""
    gamma: float
    mean: Triple
    """Mean of the stretched values per band, 0–1."""
    sd: Triple


def measure_brightness(seen: NDArray[np.number], dtype: str, *, inverted: bool = False) -> Brightness:
    """The stretch of a scene by its 1st and 99th percentile per band.

    Args:
        seen: a sample (3, n) of the observed values.
        dtype: type of the stored values; the stretch must not turn a flat image into noise, and uint8 has its own limit for flat.
        inverted: whether small values are bright; ``lo`` is then larger than ``hi``.
    """
    values = seen.astype(np.float32).astype(np.float64)
    if inverted:
        turned = measure_brightness(-values, dtype)
        return replace(turned, lo=_triple(-np.array(turned.lo)), hi=_triple(-np.array(turned.hi)))
    if values.shape[1] == 0:
        return Brightness((0.0,) * 3, (1.0,) * 3, 1.0, (FILL,) * 3, (0.0,) * 3)
    lo, hi = np.percentile(values, _PERCENTILES, axis=1)
    floor = 40.0 if dtype == "uint8" else np.maximum(np.abs(hi) * 0.05, 1e-6)
    spare = np.maximum(floor - (hi - lo), 0) / 2
    lo, hi = lo - spare, hi + spare
    shown = np.clip((values - lo[:, None]) / (hi - lo)[:, None], 0, 1)
    gamma = _gamma(float(shown.mean()))
    shown **= gamma
    return Brightness(_triple(lo), _triple(hi), gamma, _triple(shown.mean(axis=1)), _triple(shown.std(axis=1)))


def stretched(
    values: NDArray[np.floating], lo: NDArray[np.float32], spread: NDArray[np.float32], gamma: float
) -> NDArray[np.floating]:
    """Values from ``lo`` to ``lo + spread`` → 0–1, cut off beyond, then raised to ``gamma``."""
    shown = values - lo
    shown /= spread
    np.clip(shown, 0, 1, out=shown)
    return shown if gamma == 1 else shown ** np.float32(gamma)


def _gamma(mean: float) -> float:
    """1 for a scene of ordinary brightness, else the exponent that moves its mean roughly to the nearest ordinary one.

    A scene of 0.23 (a city under trees with some white roofs): ln 0.36 / ln 0.23 = 0.70.
    """
    ordinary = min(max(mean, _ORDINARY[0]), _ORDINARY[1])
    if ordinary == mean or not 0 < mean < 1:
        return 1.0
    return round(min(max(math.log(ordinary) / math.log(mean), 0.5), 2.0), 3)


def _triple(values: NDArray[np.float64]) -> Triple:
    first, second, third = values.tolist()
    return first, second, third
