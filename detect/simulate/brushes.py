"""Brushes: polygons and lines that cover pixels in part, so that edges fall where they lie at any pixel size.

A canvas is a float array (H, W, C) of red, green, blue and perhaps near infrared, 0–255, that is painted in place; polygons are (N, 2) x, y
in its pixels and may reach beyond it. Tones are red, green, blue, near infrared.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from detect.simulate.parts import Points

Canvas = NDArray[np.float32]
Plane = NDArray[np.float32]
"""(H, W)."""
_FINE = 4
"""Samples along a pixel's side when its cover is counted."""


def mineral(rgb: Points) -> Points:
    """Red, green, blue and a near infrared like that of mineral surfaces, somewhat brighter than red."""
    return np.append(rgb, rgb[0] * 1.08)


def grain(rng: np.random.Generator, size_hw: Sequence[int], gsd_m: float, scale_m: float) -> NDArray[np.float32]:
    """Smooth noise (H, W) of unit size whose blotches are about ``scale_m`` wide."""
    coarse = [max(2, int(n * gsd_m / scale_m) + 3) for n in size_hw]
    if max(coarse) >= max(size_hw):  # finer than a pixel
        return rng.standard_normal(tuple(size_hw), dtype=np.float32)
    noise = rng.standard_normal(tuple(coarse), dtype=np.float32)
    return np.asarray(cv2.resize(noise, tuple(size_hw[::-1]), interpolation=cv2.INTER_CUBIC), np.float32)


def cover(canvas: Canvas, polygons: Sequence[Points]) -> tuple[Canvas, Plane]:
    """The part of the canvas around polygons, as a view, and the share of each of its pixels (h, w) that they cover; both may be empty."""
    points = np.concatenate(list(polygons))
    low = np.maximum(np.floor(points.min(axis=0)).astype(int) - 1, 0)
    high = np.maximum(np.minimum(np.ceil(points.max(axis=0)).astype(int) + 1, canvas.shape[1::-1]), low)
    view = canvas[low[1] : high[1], low[0] : high[0]]
    if not view.size:
        return view, np.zeros(view.shape[:2], np.float32)
    fine = np.zeros((view.shape[0] * _FINE, view.shape[1] * _FINE), np.uint8)
    for polygon in polygons:  # one by one: where two overlap, OpenCV would leave a hole
        cv2.fillPoly(fine, [np.round(((polygon - low) * _FINE - 0.5) * 16).astype(np.int32)], 255, shift=4)
    return view, cv2.resize(fine, view.shape[1::-1], interpolation=cv2.INTER_AREA) / np.float32(255)


def fill(
    canvas: Canvas, polygons: Sequence[Points], tone: Points, rng: np.random.Generator, *, roughness: float, opacity: float = 1.0
) -> None:
    """Paint polygons in a tone; ``roughness`` is the strength of its grain."""
    view, share = cover(canvas, polygons)
    if not view.size:
        return
    grains: Plane | None = None
    if roughness:
        fine = rng.standard_normal(view.shape[:2], dtype=np.float32)
        grains = (fine * 0.7 + cv2.GaussianBlur(fine, (0, 0), 2.5) * 3) * roughness
    blend(view, tone, share * opacity, grains)


def scalar(values: Points) -> tuple[float, ...]:
    """One value per band as OpenCV takes it, in single precision."""
    return tuple(float(value) for value in np.asarray(values, np.float32))


def blend(view: Canvas, tone: Points, share: Plane, grains: Plane | None = None) -> None:
    """Mix a tone into a part of a canvas that is not empty, by a share per pixel; ``grains`` are added to the tone."""
    # OpenCV is several times as fast here as NumPy, whose inner loop would run over the bands.
    bands = view.shape[2]
    colour = scalar(tone[:bands])
    if grains is None:
        change = cv2.subtract(colour, view)
    else:
        change = cv2.subtract(cv2.add(cv2.merge([grains] * bands), colour), view)
    cv2.add(view, cv2.multiply(change, cv2.merge([share] * bands)), dst=view)


def light(view: Canvas, factor: Plane) -> None:
    """Multiply all bands of a part of a canvas by a factor per pixel (h, w)."""
    if view.size:
        cv2.multiply(view, cv2.merge([factor] * view.shape[2]), dst=view)


def stroke(
    canvas: Canvas,
    lines: Sequence[Points],
    tone: Points,
    width_px: float,
    rng: np.random.Generator,
    *,
    roughness: float,
    opacity: float = 1.0,
) -> None:
    """Paint lines (N, 2) as strips of a width, thinner than a pixel if need be."""
    strips = []
    for line in lines:
        for start, end in itertools.pairwise(line):
            along = (end - start) / max(float(np.linalg.norm(end - start)), 1e-9) * width_px / 2
            side = np.array([-along[1], along[0]])
            strips.append(np.array([start - side - along, end - side + along, end + side + along, start + side - along]))
    fill(canvas, strips, tone, rng, roughness=roughness, opacity=opacity)


def shade(canvas: Canvas, polygons: Sequence[Points], factor: float) -> None:
    """Darken (below 1) or brighten what lies in polygons."""
    view, share = cover(canvas, polygons)
    light(view, 1 - share * (1 - factor))
