"""A layout as a sensor sees it on a date: on drawn ground in red, green, blue and near infrared, or on a given picture."""

from __future__ import annotations

import itertools

import cv2
import numpy as np
from numpy.typing import NDArray

from detect.simulate.brushes import Canvas, blend, cover, fill, grain, light, mineral, scalar, shade, stroke
from detect.simulate.parts import Layout, Pad, Points, rectangle
from detect.simulate.structures import CONCRETE_RGB, Sun, View, paint_structures

SOILS_RGB = np.array([[158, 142, 118], [172, 162, 142], [142, 132, 116], [150, 120, 94]], float)
GREEN_RGBN = np.array([92, 102, 74, 180], float)
_VEHICLES_RGB = np.array([[230, 230, 230], [60, 60, 60], [140, 60, 50], [70, 90, 140]], float)
ASPHALT_RGB = np.array([112, 112, 114], float)
_WALL_M = (2.2, 0.3)
"""Height and width of a wall without a building."""


def render(layout: Layout, gsd_m: float, sun: Sun, month: float, ground_seed: int, sensor_seed: list[int]) -> NDArray[np.uint8]:
    """The scene (H, W, 4) on a date: red, green, blue, near infrared.

    Args:
        layout: in metres.
        gsd_m: side of a pixel.
        sun: casts the shadows.
        month: from the first date.
        ground_seed: of what stays on all dates.
        sensor_seed: of this image's noise, blur and haze.
    """
    canvas = _ground(layout, gsd_m, ground_seed)
    rng = np.random.default_rng([ground_seed, 1])
    earth = SOILS_RGB[rng.integers(len(SOILS_RGB))] * rng.uniform(0.85, 1.1)
    _paint(canvas, layout, View(gsd_m, sun, month, earth), rng)
    _crowns(canvas, layout.trees / gsd_m, np.random.default_rng([ground_seed, 2]), sun)
    return _seen(canvas, np.random.default_rng(sensor_seed))


def render_on(picture: NDArray[np.uint8], layout: Layout, gsd_m: float, sun: Sun, rng: np.random.Generator) -> NDArray[np.uint8]:
    """A picture (H, W, 3) with a layout painted on it, both as the same sensor would see them on the layout's first date.

    Args:
        picture: its upper left corner is the layout's origin; stays as it is.
        layout: in metres; fields and trees are not painted.
        gsd_m: side of a pixel.
        sun: casts the shadows.
        rng: of the ground's tone, how dark shadows are, and blur.
    """
    canvas = picture.astype(np.float32)
    earth = SOILS_RGB[rng.integers(len(SOILS_RGB))] * rng.uniform(0.7, 1.25)
    _paint(canvas, layout, View(gsd_m, sun, 0.0, earth, shadow=rng.uniform(0.3, 0.6)), rng)
    if rng.random() < 0.6:
        canvas = cv2.GaussianBlur(canvas, (0, 0), rng.uniform(0.3, 0.8))
    return np.clip(canvas + 0.5, 0, 255).astype(np.uint8)


def _paint(canvas: Canvas, layout: Layout, view: View, rng: np.random.Generator) -> None:
    """Paint what lies on the ground, walls, then the buildings."""
    gsd_m, earth = view.gsd_m, view.earth
    for yard in layout.yards:
        _yard(canvas, yard / gsd_m, gsd_m, earth, rng)
    for pad in layout.pads:
        _pad(canvas, pad, gsd_m, view.month, earth, rng)
    for line, width, paved in layout.roads:
        tone = ASPHALT_RGB * rng.uniform(0.8, 1.2) if paved else earth * rng.uniform(1.0, 1.15)
        stroke(canvas, [line / gsd_m], mineral(tone), width / gsd_m, rng, roughness=3)
    for wall in layout.walls:
        _wall(canvas, wall, view, rng)
    paint_structures(canvas, layout.structures, view)


def _ground(layout: Layout, gsd_m: float, seed: int) -> Canvas:
    """Soil and grass that run into each other, fields, grain at all scales: (H, W, 4)."""
    rng = np.random.default_rng([seed, 0])
    size_hw = tuple(round(n / gsd_m) for n in layout.size_m)
    soil = mineral(SOILS_RGB[rng.integers(len(SOILS_RGB))] * rng.uniform(0.85, 1.1))
    green = _plants(rng)
    overgrown = rng.uniform(-0.8, 1.2) + sum(grain(rng, size_hw, gsd_m, s) * a for s, a in ((120, 0.9), (35, 0.7), (9, 0.4)))
    share = (1 / (1 + np.exp(-2.2 * overgrown))).astype(np.float32)
    light = 1 + sum(grain(rng, size_hw, gsd_m, s) * a for s, a in ((60, 0.05), (12, 0.035), (3, 0.03), (1, 0.025)))
    tones = zip(np.asarray(soil, np.float32), np.asarray(green, np.float32), strict=True)
    canvas = cv2.merge([(bare * (1 - share) + grass * share) * np.asarray(light, np.float32) for bare, grass in tones])
    for number in range(len(layout.fields)):
        tone = mineral(SOILS_RGB[rng.integers(len(SOILS_RGB))]) if rng.random() < 0.4 else _plants(rng)
        fill(
            canvas,
            [layout.fields[number] / gsd_m],
            tone * rng.uniform(0.85, 1.1),
            rng,
            roughness=4,
            opacity=rng.uniform(0.4, 0.9),
        )
    return canvas


def _plants(rng: np.random.Generator) -> Points:
    """A tone of grass or crops."""
    return GREEN_RGBN * rng.uniform(0.75, 1.25) * rng.uniform(0.93, 1.07, 4)


def _yard(canvas: Canvas, corners_px: Points, gsd_m: float, earth: Points, rng: np.random.Generator) -> None:
    """Levelled ground, trodden here and overgrown there, with a few vehicles."""
    fill(canvas, [corners_px], mineral(earth * rng.uniform(0.95, 1.1)), rng, roughness=5, opacity=rng.uniform(0.8, 1.0))
    view, share = cover(canvas, [corners_px])
    if not view.size:
        return
    size_hw, roughness = view.shape[:2], rng.uniform(0.6, 1.6)
    mottle = sum(grain(rng, size_hw, gsd_m, s) * a for s, a in ((25, 0.05), (8, 0.05), (2, 0.03)))
    light(view, 1 + share * (np.asarray(mottle, np.float32) * np.float32(roughness)))
    green = np.clip(grain(rng, size_hw, gsd_m, 18) - rng.uniform(0.3, 1.6), 0, 0.7) * share
    blend(view, _plants(rng), green)
    low, high = corners_px.min(axis=0), corners_px.max(axis=0)
    for at in rng.uniform(low, high, (int(rng.integers(0, 16)), 2)):
        turn = rng.uniform(0, np.pi)
        body = rectangle(at, rng.uniform(4, 9) / gsd_m, rng.uniform(1.8, 2.6) / gsd_m, turn)
        shade(canvas, [body + 1.0 / gsd_m], 0.6)
        fill(canvas, [body], mineral(_VEHICLES_RGB[rng.integers(len(_VEHICLES_RGB))]), rng, roughness=2)


def _pad(canvas: Canvas, pad: Pad, gsd_m: float, month: float, earth: Points, rng: np.random.Generator) -> None:
    """Scraped ground, a little larger than what will stand there."""
    tone, spread = earth * rng.uniform(1.02, 1.2), rng.uniform(1.05, 1.3)
    if pad.cleared <= month:
        middle = pad.corners_m.mean(axis=0)
        fill(canvas, [(middle + (pad.corners_m - middle) * spread) / gsd_m], mineral(tone), rng, roughness=6, opacity=0.8)


def _wall(canvas: Canvas, line_m: Points, view: View, rng: np.random.Generator) -> None:
    """A wall along a line (N, 2), and its shadow."""
    height, width = _WALL_M
    shade(canvas, [view.sun.shadow(np.array(ends), height) / view.gsd_m for ends in itertools.pairwise(line_m)], view.shadow)
    tone = mineral(np.array(CONCRETE_RGB) * rng.uniform(0.7, 1.15))
    stroke(canvas, [line_m / view.gsd_m], tone, width / view.gsd_m, rng, roughness=3)


def _crowns(canvas: Canvas, trees_px: Points, rng: np.random.Generator, sun: Sun) -> None:
    """Round crowns, brighter towards the sun, with their shadow."""
    turns = np.linspace(0, 2 * np.pi, 9)[:-1]
    circle = np.stack([np.cos(turns), np.sin(turns)], axis=1)
    for x, y, radius in trees_px:
        crown = [x, y] + circle * radius * rng.uniform(0.75, 1.15, (8, 1))
        shade(canvas, [crown + sun.away_xy * sun.shadow_m(radius * 1.6)], 0.55)
        tone = GREEN_RGBN * rng.uniform(0.6, 1.0)
        fill(canvas, [crown], tone * 0.75, rng, roughness=8)
        fill(canvas, [crown * 0.5 + np.array([x, y]) * 0.5 - sun.away_xy * radius * 0.3], tone * 1.1, rng, roughness=8)


def _seen(canvas: Canvas, rng: np.random.Generator) -> NDArray[np.uint8]:
    """What the sensor makes of it: blur, haze, gain per band, noise; (H, W, 4)."""
    blurred = cv2.GaussianBlur(canvas, (0, 0), rng.uniform(0.35, 0.65))
    gain, haze = rng.uniform(0.88, 1.08) * rng.uniform(0.97, 1.03, 4), rng.uniform(0, 12)
    noise = rng.standard_normal(canvas.shape, dtype=np.float32) * np.float32(rng.uniform(1.0, 3.0))
    bright = cv2.multiply(blurred, scalar(gain))
    bright += np.float32(haze)
    bright += noise
    bright += 0.5
    return np.clip(bright, 1, 255, out=bright).astype(np.uint8)
