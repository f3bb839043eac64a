"""A layout as a sensor sees it on a date: red, green, blue and near infrared, with shadows where the sun puts them.

Every surface is a polygon that covers pixels in part, so edges fall where they lie at any pixel size. Roofs shine by the angle between
them and the sun (Lambert), shadows are as long as height / tan(sun elevation).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

import detect.scene.sun
from detect.simulate.blocks import CONCRETE_RGB, ROOF_COLOURS_RGB
from detect.simulate.layout import Layout, Pad, Points, Structure, rectangle

Canvas = NDArray[np.float32]
_FINE = 4
"""Samples along a pixel's side when its cover is counted."""
_AMBIENT = 0.35
"""Share of the light that comes from the sky."""
SOILS_RGB = np.array([[158, 142, 118], [172, 162, 142], [142, 132, 116], [150, 120, 94]], float)
GREEN_RGBN = np.array([92, 102, 74, 180], float)
_VEHICLES_RGB = np.array([[230, 230, 230], [60, 60, 60], [140, 60, 50], [70, 90, 140]], float)
ASPHALT_RGB = np.array([112, 112, 114], float)


class Sun(detect.scene.sun.Sun):
    """Where the sun stands in a picture whose top is north."""

    @property
    def away_xy(self) -> Points:
        """Unit vector along which shadows fall; y grows downwards."""
        azimuth = np.deg2rad(self.azimuth_deg)
        return np.array([-np.sin(azimuth), np.cos(azimuth)])

    def shine(self, tilt_deg: float, faces_xy: Points) -> float:
        """Light on a plane tilted towards a direction, relative to level ground."""
        tilt, elevation = np.deg2rad(tilt_deg), np.deg2rad(self.elevation_deg)
        cosine = np.cos(tilt) * np.sin(elevation) - np.sin(tilt) * np.cos(elevation) * float(faces_xy @ self.away_xy)
        return float((_AMBIENT + (1 - _AMBIENT) * max(0.0, cosine)) / (_AMBIENT + (1 - _AMBIENT) * np.sin(elevation)))


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
    for yard in layout.yards:
        _yard(canvas, yard / gsd_m, gsd_m, earth, rng)
    for pad in layout.pads:
        _pad(canvas, pad, gsd_m, month, earth, rng)
    for line, width, paved in layout.roads:
        tone = ASPHALT_RGB * rng.uniform(0.8, 1.2) if paved else earth * rng.uniform(1.0, 1.15)
        _stroke(canvas, [line / gsd_m], _near(tone), width / gsd_m, rng, grain=3)
    standing = [(s, stage) for s in layout.structures if (stage := s.stage(month)) is not None]
    _shadows(canvas, layout, standing, gsd_m, sun, month)
    for structure, stage in standing:
        own = np.random.default_rng(structure.seed)
        paint = {"foundation": _foundation, "incomplete": _shell, "complete": _roof}[stage]
        paint(canvas, structure, gsd_m, sun, month, earth, own)
    _crowns(canvas, layout.trees / gsd_m, np.random.default_rng([ground_seed, 2]), sun)
    return _seen(canvas, np.random.default_rng(sensor_seed))


# Ground.


def _ground(layout: Layout, gsd_m: float, seed: int) -> Canvas:
    """Soil and grass that run into each other, fields, grain at all scales: (H, W, 4)."""
    rng = np.random.default_rng([seed, 0])
    size_hw = tuple(round(n / gsd_m) for n in layout.size_m)
    soil = _near(SOILS_RGB[rng.integers(len(SOILS_RGB))] * rng.uniform(0.85, 1.1))
    green = _plants(rng)
    cover = rng.uniform(-0.8, 1.2) + sum(_grain(rng, size_hw, gsd_m, s) * a for s, a in ((120, 0.9), (35, 0.7), (9, 0.4)))
    share = (1 / (1 + np.exp(-2.2 * cover)))[..., None].astype(np.float32)
    canvas = np.asarray(soil, np.float32) * (1 - share) + np.asarray(green, np.float32) * share
    light = sum(_grain(rng, size_hw, gsd_m, s) * a for s, a in ((60, 0.05), (12, 0.035), (3, 0.03), (1, 0.025)))
    canvas *= (1 + np.asarray(light, np.float32))[..., None]
    for number in range(len(layout.fields)):
        tone = _near(SOILS_RGB[rng.integers(len(SOILS_RGB))]) if rng.random() < 0.4 else _plants(rng)
        _fill(canvas, [layout.fields[number] / gsd_m], tone * rng.uniform(0.85, 1.1), rng, grain=4, opacity=rng.uniform(0.4, 0.9))
    return canvas


def _plants(rng: np.random.Generator) -> Points:
    """A tone of grass or crops."""
    return GREEN_RGBN * rng.uniform(0.75, 1.25) * rng.uniform(0.93, 1.07, 4)


def _grain(rng: np.random.Generator, size_hw: Sequence[int], gsd_m: float, scale_m: float) -> NDArray[np.float32]:
    """Smooth noise of unit size whose blotches are about ``scale_m`` wide."""
    coarse = [max(2, int(n * gsd_m / scale_m) + 3) for n in size_hw]
    if max(coarse) >= max(size_hw):  # finer than a pixel
        return rng.standard_normal(tuple(size_hw), dtype=np.float32)
    noise = rng.standard_normal(tuple(coarse), dtype=np.float32)
    return np.asarray(cv2.resize(noise, tuple(size_hw[::-1]), interpolation=cv2.INTER_CUBIC), np.float32)


def _yard(canvas: Canvas, corners_px: Points, gsd_m: float, earth: Points, rng: np.random.Generator) -> None:
    """Levelled ground, trodden here and overgrown there, with a few vehicles."""
    _fill(canvas, [corners_px], _near(earth * rng.uniform(0.95, 1.1)), rng, grain=5, opacity=rng.uniform(0.8, 1.0))
    view, cover = _cover(canvas, [corners_px])
    size_hw, roughness = view.shape[:2], rng.uniform(0.6, 1.6)
    mottle = sum(_grain(rng, size_hw, gsd_m, s) * a for s, a in ((25, 0.05), (8, 0.05), (2, 0.03)))
    view *= 1 + cover * (np.asarray(mottle, np.float32) * np.float32(roughness))[..., None]
    green = np.clip(_grain(rng, size_hw, gsd_m, 18) - rng.uniform(0.3, 1.6), 0, 0.7)[..., None] * cover
    view += (np.asarray(_plants(rng), np.float32) - view) * green
    low, high = corners_px.min(axis=0), corners_px.max(axis=0)
    for at in rng.uniform(low, high, (int(rng.integers(0, 16)), 2)):
        turn = rng.uniform(0, np.pi)
        body = rectangle(at, rng.uniform(4, 9) / gsd_m, rng.uniform(1.8, 2.6) / gsd_m, turn)
        _shade(canvas, [body + 1.0 / gsd_m], 0.6)
        _fill(canvas, [body], _near(_VEHICLES_RGB[rng.integers(len(_VEHICLES_RGB))]), rng, grain=2)


def _pad(canvas: Canvas, pad: Pad, gsd_m: float, month: float, earth: Points, rng: np.random.Generator) -> None:
    """Scraped ground, a little larger than what will stand there."""
    tone, spread = earth * rng.uniform(1.02, 1.2), rng.uniform(1.05, 1.3)
    if pad.cleared <= month:
        middle = pad.corners_m.mean(axis=0)
        _fill(canvas, [(middle + (pad.corners_m - middle) * spread) / gsd_m], _near(tone), rng, grain=6, opacity=0.8)


def _crowns(canvas: Canvas, trees_px: Points, rng: np.random.Generator, sun: Sun) -> None:
    """Round crowns, brighter towards the sun, with their shadow."""
    turns = np.linspace(0, 2 * np.pi, 9)[:-1]
    circle = np.stack([np.cos(turns), np.sin(turns)], axis=1)
    for x, y, radius in trees_px:
        crown = [x, y] + circle * radius * rng.uniform(0.75, 1.15, (8, 1))
        _shade(canvas, [crown + sun.away_xy * sun.shadow_m(radius * 1.6)], 0.55)
        tone = GREEN_RGBN * rng.uniform(0.6, 1.0)
        _fill(canvas, [crown], tone * 0.75, rng, grain=8)
        _fill(canvas, [crown * 0.5 + np.array([x, y]) * 0.5 - sun.away_xy * radius * 0.3], tone * 1.1, rng, grain=8)


# Buildings.


def _shadows(canvas: Canvas, layout: Layout, standing: list[tuple[Structure, str]], gsd_m: float, sun: Sun, month: float) -> None:
    for structure, stage in standing:
        share = {"foundation": 0.0, "incomplete": 0.25 + 0.75 * structure.progress(month), "complete": 1.0}[stage]
        shift = sun.away_xy * sun.shadow_m(structure.height_m * share)
        if share:
            both = np.concatenate([structure.corners_m, structure.corners_m + shift]).astype(np.float32)
            _shade(canvas, [cv2.convexHull(both)[:, 0] / gsd_m], 0.42)


def _roof(
    canvas: Canvas, structure: Structure, gsd_m: float, sun: Sun, month: float, earth: Points, rng: np.random.Generator
) -> None:
    a, b, c, d = corners = structure.corners_m / gsd_m
    tone = _near(np.array(ROOF_COLOURS_RGB[structure.roof], float) * rng.uniform(0.9, 1.06))
    if structure.pitch_deg:
        ridge = (a + d) / 2, (b + c) / 2
        across = (d - a) / np.linalg.norm(d - a)
        for half, faces in ((np.array([a, b, ridge[1], ridge[0]]), -across), (np.array([*ridge, c, d]), across)):
            _fill(canvas, [half], tone * sun.shine(structure.pitch_deg, faces), rng, grain=3)
        _stroke(canvas, [np.array(ridge)], tone * 1.1, 0.3 / gsd_m, rng, grain=0, opacity=0.6)
    else:
        _fill(canvas, [corners], tone, rng, grain=3)
        middle = corners.mean(axis=0)
        inner = middle + (corners - middle) * (1 - 1.2 / gsd_m / np.linalg.norm(corners - middle, axis=1, keepdims=True))
        _fill(canvas, [inner], tone * rng.uniform(0.86, 0.97), rng, grain=3)
    for _ in range(int(rng.integers(0, 9))):  # vents, tanks, air conditioners
        at = a + (b - a) * rng.uniform(0.05, 0.95) + (d - a) * rng.uniform(0.15, 0.85)
        box = at + np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * rng.uniform(0.6, 1.6) / gsd_m
        _fill(canvas, [box], tone * rng.choice([0.6, 1.25]), rng, grain=0)


def _shell(
    canvas: Canvas, structure: Structure, gsd_m: float, sun: Sun, month: float, earth: Points, rng: np.random.Generator
) -> None:
    """Walls around dark rooms, then a bare deck with columns, then the roof from one end; sometimes a steel frame."""
    corners = structure.corners_m / gsd_m
    a, b, c, d = corners
    wall = _near(np.array(CONCRETE_RGB) * rng.uniform(0.85, 1.08))
    _litter(canvas, structure, gsd_m, earth, rng)
    progress, frame = structure.progress(month), rng.random() < 0.2
    bays = max(3, int(np.linalg.norm(structure.corners_m[1] - structure.corners_m[0]) / rng.uniform(3.2, 6)))
    across = [np.array([a + (b - a) * t, d + (c - d) * t]) for t in np.linspace(0, 1, bays + 1)]
    along = [np.array([a + (d - a) * t, b + (c - b) * t]) for t in (0.0, 0.44, 0.56, 1.0)]
    if progress < 0.6 and not frame:
        _fill(canvas, [corners], wall * rng.uniform(0.4, 0.65), rng, grain=9)
        _stroke(canvas, across + along, wall, 0.35 / gsd_m, rng, grain=4)
    else:
        _fill(canvas, [corners], wall * (0.95 if not frame else 0.7), rng, grain=7)
        _stroke(canvas, across + along, wall * (0.82 if not frame else 1.15), 0.3 / gsd_m, rng, grain=3)
    if progress > 0.75:  # the roof is laid from one end
        share = (progress - 0.75) / 0.25 * 0.8
        laid = np.array([a, a + (b - a) * share, d + (c - d) * share, d])
        _fill(canvas, [laid], _near(np.array(ROOF_COLOURS_RGB[structure.roof], float)), rng, grain=4)


def _foundation(
    canvas: Canvas, structure: Structure, gsd_m: float, sun: Sun, month: float, earth: Points, rng: np.random.Generator
) -> None:
    """Trenches and footings on scraped ground, later a slab."""
    corners = structure.corners_m / gsd_m
    a, b, c, d = corners
    _litter(canvas, structure, gsd_m, earth, rng)
    concrete = _near(np.array(CONCRETE_RGB) * rng.uniform(0.9, 1.15))
    if structure.progress(month) > rng.uniform(0.35, 0.65):
        _fill(canvas, [corners], concrete, rng, grain=4)
        _stroke(canvas, [np.array([a, b, c, d, a])], concrete * 0.85, 0.5 / gsd_m, rng, grain=0)
        return
    trench = concrete * 1.05 if rng.random() < 0.5 else _near(earth * 0.55)
    bays = max(3, int(np.linalg.norm(structure.corners_m[1] - structure.corners_m[0]) / 6))
    lines = [np.array([a + (b - a) * t, d + (c - d) * t]) for t in np.linspace(0, 1, bays + 1)]
    lines += [np.array([a + (d - a) * t, b + (c - b) * t]) for t in (0.0, 0.5, 1.0)]
    _fill(canvas, [corners], _near(earth * rng.uniform(0.85, 1.1)), rng, grain=8)
    _stroke(canvas, lines, trench, 0.7 / gsd_m, rng, grain=4)


def _litter(canvas: Canvas, structure: Structure, gsd_m: float, earth: Points, rng: np.random.Generator) -> None:
    """Worked earth around a building site, and heaps of material beside it."""
    corners = structure.corners_m
    middle = corners.mean(axis=0)
    worked = middle + (corners - middle) * (
        1 + rng.uniform(1.5, 4) / np.linalg.norm(corners - middle, axis=1, keepdims=True) * 1.6
    )
    _fill(canvas, [worked / gsd_m], _near(earth * rng.uniform(0.82, 1.08)), rng, grain=8, opacity=0.7)
    for _ in range(int(rng.integers(0, 5))):
        t = rng.uniform(0.1, 0.9)
        out = corners[0] + (corners[1] - corners[0]) * t + (corners[0] - corners[3]) * rng.uniform(0.12, 0.3)
        heap = out + rng.normal(0, 1, (6, 2)) * rng.uniform(0.7, 1.8)
        tone = _near(earth * rng.uniform(0.6, 1.25))
        _fill(canvas, [cv2.convexHull(heap.astype(np.float32))[:, 0] / gsd_m], tone, rng, grain=8)


# What a brush does.


def _near(rgb: Points) -> Points:
    """Red, green, blue and a near infrared like that of mineral surfaces, somewhat brighter than red."""
    return np.append(rgb, rgb[0] * 1.08)


def _cover(canvas: Canvas, polygons: Sequence[Points]) -> tuple[Canvas, NDArray[np.float32]]:
    """The part of the canvas around polygons (pixels), as a view, and the share of each of its pixels (h, w, 1) that they cover."""
    points = np.concatenate(list(polygons))
    low = np.maximum(np.floor(points.min(axis=0)).astype(int) - 1, 0)
    high = np.maximum(np.minimum(np.ceil(points.max(axis=0)).astype(int) + 1, canvas.shape[1::-1]), low)
    view = canvas[low[1] : high[1], low[0] : high[0]]
    fine = np.zeros((view.shape[0] * _FINE, view.shape[1] * _FINE), np.uint8)
    cover = np.zeros((*view.shape[:2], 1), np.float32)
    if fine.size:
        for polygon in polygons:  # one by one: where two overlap, OpenCV would leave a hole
            cv2.fillPoly(fine, [np.round(((polygon - low) * _FINE - 0.5) * 16).astype(np.int32)], 255, shift=4)
        cover[..., 0] = cv2.resize(fine, view.shape[1::-1], interpolation=cv2.INTER_AREA) / np.float32(255)
    return view, cover


def _fill(
    canvas: Canvas, polygons: Sequence[Points], tone: Points, rng: np.random.Generator, *, grain: float, opacity: float = 1.0
) -> None:
    view, cover = _cover(canvas, polygons)
    if not view.size:
        return
    cover *= opacity
    paint = np.broadcast_to(np.asarray(tone, np.float32), view.shape)
    if grain:
        fine = rng.standard_normal(view.shape[:2], dtype=np.float32)
        blotches = cv2.GaussianBlur(fine, (0, 0), 2.5) * 3
        paint = paint + ((fine * 0.7 + blotches) * grain)[..., None]
    view += (paint - view) * cover


def _stroke(
    canvas: Canvas,
    lines: Sequence[Points],
    tone: Points,
    width_px: float,
    rng: np.random.Generator,
    *,
    grain: float,
    opacity: float = 1.0,
) -> None:
    """Lines (N, 2) as strips of a width, thinner than a pixel if need be."""
    strips = []
    for line in lines:
        for start, end in itertools.pairwise(line):
            along = (end - start) / max(float(np.linalg.norm(end - start)), 1e-9) * width_px / 2
            side = np.array([-along[1], along[0]])
            strips.append(np.array([start - side - along, end - side + along, end + side + along, start + side - along]))
    _fill(canvas, strips, tone, rng, grain=grain, opacity=opacity)


def _shade(canvas: Canvas, polygons: Sequence[Points], factor: float) -> None:
    view, cover = _cover(canvas, polygons)
    view *= 1 - cover * (1 - factor)


def _seen(canvas: Canvas, rng: np.random.Generator) -> NDArray[np.uint8]:
    """What the sensor makes of it: blur, haze, gain per band, noise; (H, W, 4)."""
    blurred = cv2.GaussianBlur(canvas, (0, 0), rng.uniform(0.35, 0.65))
    gain, haze = rng.uniform(0.88, 1.08) * rng.uniform(0.97, 1.03, 4), rng.uniform(0, 12)
    noise = rng.standard_normal(canvas.shape, dtype=np.float32) * np.float32(rng.uniform(1.0, 3.0))
    return np.clip(blurred * np.asarray(gain, np.float32) + np.float32(haze) + noise + 0.5, 1, 255).astype(np.uint8)
