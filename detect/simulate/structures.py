"""Buildings as seen from above at their stages, each by a generator of its own, so that it looks alike on all dates.

Roofs shine by the angle between them and the sun (Lambert); shadows are as long as height / tan(sun elevation).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

import detect.scene.sun
from detect.simulate.brushes import Canvas, fill, mineral, shade, stroke
from detect.simulate.parts import ROOF_COLOURS_RGB, Points, Structure

_AMBIENT = 0.35
"""Share of the light that comes from the sky."""
CONCRETE_RGB = (186, 182, 172)
_LITTER_M = 10.0
"""How far from a building its heaps and worked earth reach at most."""


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

    def shadow(self, corners_m: Points, height_m: float) -> Points:
        """(N, 2) outline of a convex base (M, 2) and its shadow, metres."""
        both = np.concatenate([corners_m, corners_m + self.away_xy * self.shadow_m(height_m)]).astype(np.float32)
        return cv2.convexHull(both)[:, 0]


@dataclass(frozen=True)
class View:
    """What the picture of a building depends on beside the building."""

    gsd_m: float
    """Side of a pixel."""
    sun: Sun
    month: float
    """From the first date."""
    earth: Points
    """(3,) red, green, blue of bare ground."""
    shadow: float = 0.42
    """Light that is left in a shadow."""


def paint_structures(canvas: Canvas, structures: Sequence[Structure], view: View) -> None:
    """Paint all that has been begun: the shadows of all, then one building after the other; what lies off the canvas is left out."""
    seen = [s for s in structures if _is_near(canvas, s, view)]
    standing = [(s, stage) for s in seen if (stage := s.stage(view.month)) is not None]
    for structure, stage in standing:
        share = {"foundation": 0.0, "incomplete": 0.25 + 0.75 * structure.progress(view.month), "complete": 1.0}[stage]
        if share:
            shade(canvas, [view.sun.shadow(structure.corners_m, structure.height_m * share) / view.gsd_m], view.shadow)
    for structure, stage in standing:
        paint = {"foundation": _foundation, "incomplete": _shell, "complete": _roof}[stage]
        paint(canvas, structure, view, np.random.default_rng(structure.seed))


def _is_near(canvas: Canvas, structure: Structure, view: View) -> bool:
    """Whether a building, its shadow or what lies around it may reach the canvas."""
    around_px = (view.sun.shadow_m(structure.height_m) + _LITTER_M) / view.gsd_m
    corners = structure.corners_m / view.gsd_m
    return bool(
        (corners.max(axis=0) > -around_px).all() and (corners.min(axis=0) < canvas.shape[1::-1] + np.array(around_px)).all()
    )


def _roof(canvas: Canvas, structure: Structure, view: View, rng: np.random.Generator) -> None:
    a, b, c, d = corners = structure.corners_m / view.gsd_m
    tone = mineral(np.array(ROOF_COLOURS_RGB[structure.roof], float) * rng.uniform(0.9, 1.06))
    if structure.pitch_deg:
        ridge = (a + d) / 2, (b + c) / 2
        across = (d - a) / np.linalg.norm(d - a)
        for half, faces in ((np.array([a, b, ridge[1], ridge[0]]), -across), (np.array([*ridge, c, d]), across)):
            fill(canvas, [half], tone * view.sun.shine(structure.pitch_deg, faces), rng, roughness=3)
        stroke(canvas, [np.array(ridge)], tone * 1.1, 0.3 / view.gsd_m, rng, roughness=0, opacity=0.6)
    else:
        fill(canvas, [corners], tone, rng, roughness=3)
        middle = corners.mean(axis=0)
        inner = middle + (corners - middle) * (1 - 1.2 / view.gsd_m / np.linalg.norm(corners - middle, axis=1, keepdims=True))
        fill(canvas, [inner], tone * rng.uniform(0.86, 0.97), rng, roughness=3)
    for _ in range(int(rng.integers(0, 9))):  # vents, tanks, air conditioners
        at = a + (b - a) * rng.uniform(0.05, 0.95) + (d - a) * rng.uniform(0.15, 0.85)
        box = at + np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * rng.uniform(0.6, 1.6) / view.gsd_m
        fill(canvas, [box], tone * rng.choice([0.6, 1.25]), rng, roughness=0)


def _shell(canvas: Canvas, structure: Structure, view: View, rng: np.random.Generator) -> None:
    """Walls around dark rooms, then a bare deck with columns, then the roof from one end; sometimes a steel frame."""
    corners = structure.corners_m / view.gsd_m
    a, b, c, d = corners
    wall = mineral(np.array(CONCRETE_RGB) * rng.uniform(0.85, 1.08))
    _litter(canvas, structure, view, rng)
    progress, frame = structure.progress(view.month), rng.random() < 0.2
    bays = max(3, int(np.linalg.norm(structure.corners_m[1] - structure.corners_m[0]) / rng.uniform(3.2, 6)))
    across = [np.array([a + (b - a) * t, d + (c - d) * t]) for t in np.linspace(0, 1, bays + 1)]
    along = [np.array([a + (d - a) * t, b + (c - b) * t]) for t in (0.0, 0.44, 0.56, 1.0)]
    if progress < 0.6 and not frame:
        fill(canvas, [corners], wall * rng.uniform(0.4, 0.65), rng, roughness=9)
        stroke(canvas, across + along, wall, 0.35 / view.gsd_m, rng, roughness=4)
    else:
        fill(canvas, [corners], wall * (0.95 if not frame else 0.7), rng, roughness=7)
        stroke(canvas, across + along, wall * (0.82 if not frame else 1.15), 0.3 / view.gsd_m, rng, roughness=3)
    if progress > 0.75:  # the roof is laid from one end
        share = (progress - 0.75) / 0.25 * 0.8
        laid = np.array([a, a + (b - a) * share, d + (c - d) * share, d])
        fill(canvas, [laid], mineral(np.array(ROOF_COLOURS_RGB[structure.roof], float)), rng, roughness=4)


def _foundation(canvas: Canvas, structure: Structure, view: View, rng: np.random.Generator) -> None:
    """Trenches and footings on scraped ground, later a slab."""
    corners = structure.corners_m / view.gsd_m
    a, b, c, d = corners
    _litter(canvas, structure, view, rng)
    concrete = mineral(np.array(CONCRETE_RGB) * rng.uniform(0.9, 1.15))
    if structure.progress(view.month) > rng.uniform(0.35, 0.65):
        fill(canvas, [corners], concrete, rng, roughness=4)
        stroke(canvas, [np.array([a, b, c, d, a])], concrete * 0.85, 0.5 / view.gsd_m, rng, roughness=0)
        return
    trench = concrete * 1.05 if rng.random() < 0.5 else mineral(view.earth * 0.55)
    bays = max(3, int(np.linalg.norm(structure.corners_m[1] - structure.corners_m[0]) / 6))
    lines = [np.array([a + (b - a) * t, d + (c - d) * t]) for t in np.linspace(0, 1, bays + 1)]
    lines += [np.array([a + (d - a) * t, b + (c - b) * t]) for t in (0.0, 0.5, 1.0)]
    fill(canvas, [corners], mineral(view.earth * rng.uniform(0.85, 1.1)), rng, roughness=8)
    stroke(canvas, lines, trench, 0.7 / view.gsd_m, rng, roughness=4)


def _litter(canvas: Canvas, structure: Structure, view: View, rng: np.random.Generator) -> None:
    """Worked earth around a building site, and heaps of material beside it."""
    corners = structure.corners_m
    middle = corners.mean(axis=0)
    worked = middle + (corners - middle) * (
        1 + rng.uniform(1.5, 4) / np.linalg.norm(corners - middle, axis=1, keepdims=True) * 1.6
    )
    fill(canvas, [worked / view.gsd_m], mineral(view.earth * rng.uniform(0.82, 1.08)), rng, roughness=8, opacity=0.7)
    for _ in range(int(rng.integers(0, 5))):
        t = rng.uniform(0.1, 0.9)
        out = corners[0] + (corners[1] - corners[0]) * t + (corners[0] - corners[3]) * rng.uniform(0.12, 0.3)
        heap = out + rng.normal(0, 1, (6, 2)) * rng.uniform(0.7, 1.8)
        tone = mineral(view.earth * rng.uniform(0.6, 1.25))
        fill(canvas, [cv2.convexHull(heap.astype(np.float32))[:, 0] / view.gsd_m], tone, rng, roughness=8)
