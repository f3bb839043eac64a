"""Compounds of ``blocks`` painted on a picture, and open ground to paint them on."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from detect.simulate.blocks import CAMP, CONCRETE_RGB, ROOF_COLOURS_RGB, Compound, Look

Image = NDArray[np.uint8]
_FINE = 2  # supersampling of the drawing, so that edges fall between pixels as in a real image


def paint_compound(
    rng: np.random.Generator,
    image: Image,
    compound: Compound,
    gsd_m: float,
    *,
    sun_azimuth_deg: float | None = None,
    look: Look = CAMP,
) -> tuple[Image, bool]:
    """The image (H, W, 3) with the compound painted on it, and whether a graded yard was painted below."""
    canvas = cv2.resize(image, None, fx=_FINE, fy=_FINE, interpolation=cv2.INTER_LINEAR).astype(np.float32)
    azimuth = np.deg2rad(rng.uniform(0, 360) if sun_azimuth_deg is None else sun_azimuth_deg)
    shade_xy = -np.array([np.sin(azimuth), -np.cos(azimuth)])  # shadows fall away from the sun; y grows to the south
    has_yard = bool(rng.random() < look.yard_share)
    if has_yard:
        _fill(canvas, compound.yard_px, _ground_tone(rng), rng, noise=rng.uniform(3, 9))
    roof = np.asarray(ROOF_COLOURS_RGB[look.roofs[rng.integers(len(look.roofs))]]) * rng.uniform(0.8, 1.12)
    shadow_px = rng.uniform(1.5, 6.0) / gsd_m
    darkness = rng.uniform(0.3, 0.6)
    for block in compound.blocks:
        height = {"foundation": 0.0, "incomplete": rng.uniform(0.3, 1.0), "complete": 1.0}[block.stage]
        if height:
            _cast_shadow(canvas, block.corners_px, shade_xy * shadow_px * height, darkness)
    style = _roof_style(rng, look)
    for block in compound.blocks:
        tone = roof * rng.uniform(0.95, 1.05)
        if block.stage == "complete":
            _paint_roof(canvas, block.corners_px, tone, shade_xy, style, rng)
        elif block.stage == "incomplete":
            _paint_shell(canvas, block.corners_px, tone, gsd_m, rng)
        else:
            _paint_foundation(canvas, block.corners_px, gsd_m, rng)
    small = cv2.resize(canvas, (image.shape[1], image.shape[0]), interpolation=cv2.INTER_AREA)
    if rng.random() < 0.6:
        small = cv2.GaussianBlur(small, (0, 0), rng.uniform(0.3, 0.8))
    return np.clip(small + 0.5, 0, 255).astype(np.uint8), has_yard


def _points(corners_px: NDArray[np.float64]) -> NDArray[np.int32]:
    # Pixel corners at integers → OpenCV's pixel centres, with 4 fractional bits.
    return np.round((corners_px * _FINE - 0.5) * 16).astype(np.int32)


def _mask(canvas: NDArray[np.float32], corners_px: NDArray[np.float64]) -> NDArray[np.bool_]:
    mask = np.zeros(canvas.shape[:2], np.uint8)
    cv2.fillPoly(mask, [_points(corners_px)], 1, shift=4)
    return mask.astype(bool)


def _window(canvas: NDArray[np.float32], corners_px: NDArray[np.float64]) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """The part of the canvas around the corners, as a view, and the corners relative to it (both may be empty)."""
    low = np.maximum(np.floor(corners_px.min(axis=0)).astype(int) - 1, 0)
    high = np.maximum(np.ceil(corners_px.max(axis=0)).astype(int) + 1, 0)
    view = canvas[low[1] * _FINE : high[1] * _FINE, low[0] * _FINE : high[0] * _FINE]
    return view, corners_px - low


def _fill(
    canvas: NDArray[np.float32], corners_px: NDArray[np.float64], tone: NDArray, rng: np.random.Generator, *, noise: float
) -> None:
    view, corners = _window(canvas, corners_px)
    if not view.size:
        return
    mask = _mask(view, corners)
    grain = rng.standard_normal(view.shape[:2], dtype=np.float32) * np.float32(noise)
    # Blotches: smoothing by 6 px needs no more than every fourth pixel (whose noise is a quarter as strong once averaged).
    quarter_wh = [max(1, n // 4) for n in grain.shape[::-1]]
    coarse = cv2.GaussianBlur(cv2.resize(grain, quarter_wh, interpolation=cv2.INTER_AREA), (0, 0), 1.5)
    grain += cv2.resize(coarse, grain.shape[::-1], interpolation=cv2.INTER_LINEAR) * 4
    cv2.copyTo(np.asarray(tone, np.float32) + grain[..., None], mask.astype(np.uint8), view)


def _ground_tone(rng: np.random.Generator) -> NDArray[np.float64]:
    bases = np.array([[172, 152, 124], [190, 178, 156], [150, 138, 120], [128, 124, 118], [160, 122, 92]])
    return bases[rng.integers(len(bases))] * rng.uniform(0.75, 1.15)


def _cast_shadow(
    canvas: NDArray[np.float32], corners_px: NDArray[np.float64], shift_px: NDArray[np.float64], darkness: float
) -> None:
    hull = cv2.convexHull(np.concatenate([corners_px, corners_px + shift_px]).astype(np.float32))[:, 0].astype(np.float64)
    view, hull = _window(canvas, hull)
    if view.size:
        view[_mask(view, hull)] *= darkness


@dataclass(frozen=True)
class _RoofStyle:
    ridge: bool
    contrast: float
    stripes: float
    units: int


def _roof_style(rng: np.random.Generator, look: Look) -> _RoofStyle:
    return _RoofStyle(
        bool(rng.random() < look.ridge_share), rng.uniform(*look.contrast), rng.uniform(0, 7), int(rng.integers(0, 14))
    )


def _paint_roof(
    canvas: NDArray[np.float32], corners: NDArray, tone: NDArray, shade_xy: NDArray, style: _RoofStyle, rng: np.random.Generator
) -> None:
    _fill(canvas, corners, tone, rng, noise=3.0)
    a, b, c, d = corners  # a–b and d–c are the long sides
    if style.ridge:
        towards = (d - a) / np.linalg.norm(d - a) @ shade_xy  # the side that leans away from the sun is darker
        half = np.array([(a + d) / 2, (b + c) / 2, c, d])
        _shade(canvas, half, 1 - style.contrast * np.sign(towards))
    else:
        _edge(canvas, corners, 1 + style.contrast, thickness=1)  # a parapet
    if style.stripes > 1:
        for t in np.linspace(0, 1, int(np.linalg.norm(b - a) // 4) + 2)[1:-1]:
            _line(canvas, a + (b - a) * t, d + (c - d) * t, 1 - style.stripes / 100)
    for _ in range(style.units):
        at = a + (b - a) * rng.uniform(0.05, 0.95) + (d - a) * rng.uniform(0.2, 0.8)
        size = rng.uniform(0.5, 1.2) * 2
        _shade(canvas, at + size * np.array([[0, 0], [1, 0], [1, 1], [0, 1]]), rng.choice([0.6, 1.25]))


def _paint_shell(canvas: NDArray[np.float32], corners: NDArray, tone: NDArray, gsd_m: float, rng: np.random.Generator) -> None:
    """Walls without a roof: dark rooms between light walls; or a bare slab with part of the roof laid."""
    wall = np.asarray(CONCRETE_RGB) * rng.uniform(0.8, 1.1)
    inside = wall * rng.uniform(0.35, 0.75)
    _fill(canvas, corners, inside, rng, noise=8.0)
    a, b, c, d = corners
    rooms = max(3, int(np.linalg.norm(b - a) * gsd_m / rng.uniform(3.0, 6.0)))
    thick = max(1, round(0.4 / gsd_m * _FINE))
    for t in np.linspace(0, 1, rooms + 1):
        _stroke(canvas, a + (b - a) * t, d + (c - d) * t, wall, thick)
    for t in (0.0, rng.choice([0.5, 0.42]), 1.0):
        _stroke(canvas, a + (d - a) * t, b + (c - b) * t, wall, thick)
    if rng.random() < 0.35:  # part of the roof lies already
        share = rng.uniform(0.15, 0.6)
        _fill(canvas, np.array([a, a + (b - a) * share, d + (c - d) * share, d]), tone, rng, noise=3.0)


def _paint_foundation(canvas: NDArray[np.float32], corners: NDArray, gsd_m: float, rng: np.random.Generator) -> None:
    """A bare slab, or trenches and footings on open ground."""
    a, b, c, d = corners
    if rng.random() < 0.6:
        _fill(canvas, corners, np.asarray(CONCRETE_RGB) * rng.uniform(0.85, 1.2), rng, noise=4.0)
        _edge(canvas, corners, rng.uniform(0.8, 1.1), thickness=1)
        return
    _fill(canvas, corners, _ground_tone(rng), rng, noise=8.0)
    line = np.asarray(CONCRETE_RGB) * rng.choice([0.45, 1.1])
    thick = max(1, round(0.6 / gsd_m * _FINE))
    for t in np.linspace(0, 1, max(3, int(np.linalg.norm(b - a) * gsd_m / 6)) + 1):
        _stroke(canvas, a + (b - a) * t, d + (c - d) * t, line, thick)
    for t in (0.0, 0.5, 1.0):
        _stroke(canvas, a + (d - a) * t, b + (c - b) * t, line, thick)


def _shade(canvas: NDArray[np.float32], corners_px: NDArray, factor: float) -> None:
    view, corners = _window(canvas, corners_px)
    if view.size:
        view[_mask(view, corners)] *= factor


def _edge(canvas: NDArray[np.float32], corners: NDArray, factor: float, *, thickness: int) -> None:
    view, corners = _window(canvas, corners)
    if view.size:
        mask = np.zeros(view.shape[:2], np.uint8)
        cv2.polylines(mask, [_points(corners)], True, 1, thickness, shift=4)
        view[mask.astype(bool)] *= factor


def _line(canvas: NDArray[np.float32], start: NDArray, end: NDArray, factor: float) -> None:
    _edge(canvas, np.array([start, end]), factor, thickness=1)


def _stroke(canvas: NDArray[np.float32], start: NDArray, end: NDArray, tone: NDArray, thickness: int) -> None:
    cv2.line(
        canvas, *(tuple(int(v) for v in p) for p in _points(np.array([start, end]))), tuple(map(float, tone)), thickness, shift=4
    )


def draw_ground(rng: np.random.Generator, size_hw: tuple[int, int], gsd_m: float) -> Image:
    """Open ground (H, W, 3): soil with patches of vegetation, a few tracks and trees."""
    height, width = size_hw
    tone = _ground_tone(rng)
    ground = np.tile(tone.astype(np.float32), (height, width, 1))
    for scale_m, amount in ((60, 22), (15, 12), (3, 6), (0.6, 4)):
        shape = (max(2, int(height * gsd_m / scale_m) + 2), max(2, int(width * gsd_m / scale_m) + 2))
        grain = cv2.resize(rng.normal(0, 1, shape).astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
        ground += grain[..., None] * amount
        if scale_m == 60:
            green = np.clip(grain - 0.6, 0, 1)[..., None]
            ground = ground * (1 - green) + np.array([92, 104, 70], np.float32) * green
    for _ in range(int(rng.integers(1, 4))):
        ends = rng.uniform(0, 1, (2, 2)) * [width, height]
        direction = (ends[1] - ends[0]) / (np.linalg.norm(ends[1] - ends[0]) + 1e-9) * max(size_hw) * 2
        p, q = (tuple(int(v) for v in e) for e in (ends[0] - direction, ends[0] + direction))
        cv2.line(ground, p, q, tuple(map(float, tone * 1.12)), max(1, int(rng.uniform(4, 8) / gsd_m)))
    for _ in range(int(height * width * gsd_m**2 / 900)):
        at = (int(rng.uniform(0, width)), int(rng.uniform(0, height)))
        radius = max(1, int(rng.uniform(1, 3) / gsd_m))
        cv2.circle(ground, (at[0] + radius // 2, at[1] - radius // 2), radius, (60, 58, 50), -1)
        cv2.circle(ground, at, radius, tuple(map(float, np.array([72, 92, 56]) * rng.uniform(0.8, 1.2))), -1)
    return np.clip(ground, 0, 255).astype(np.uint8)
