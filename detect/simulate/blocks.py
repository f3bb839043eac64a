"""Rows of long blocks, laid out in pixels on any picture: what training paints on its samples.

Ranges follow what such compounds look like from above: blocks of 35–75 × 8–17 m, 2–10 m apart, in rows, under one of a few roof colours.
Recipes draw these samples again bit for bit, so the order of the random numbers is part of the code.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import shapely
from numpy.typing import NDArray

ROOF_COLOURS_RGB = {
    "white": (225, 225, 220),
    "light grey": (176, 178, 178),
    "dark grey": (98, 100, 104),
    "slate": (58, 60, 66),
    "blue": (82, 112, 168),
    "red": (150, 72, 60),
    "brown": (128, 98, 78),
    "green": (92, 122, 100),
    "sand": (198, 176, 142),
}
CONCRETE_RGB = (186, 182, 172)


@dataclass(frozen=True)
class Block:
    """One drawn building."""

    corners_px: NDArray[np.float64]
    """(4, 2) x, y in pixels, around the base; the first side is a long one."""
    stage: str
    """foundation, incomplete or complete."""
    row: int
    """Number of its row within the compound, from 0."""


@dataclass(frozen=True)
class Compound:
    """Blocks of one look, in rows, with the yard they stand on."""

    blocks: tuple[Block, ...]
    yard_px: NDArray[np.float64]
    """(4, 2) corners of the graded yard, x, y in pixels."""


@dataclass(frozen=True)
class CompoundRanges:
    """What compounds are drawn from; each pair is (low, high), uniform."""

    length_m: tuple[float, float] = (35.0, 75.0)
    width_m: tuple[float, float] = (8.0, 17.0)
    gap_m: tuple[float, float] = (2.0, 9.0)
    """Between neighbouring long sides."""
    per_row: tuple[int, int] = (2, 7)
    rows: tuple[int, int] = (1, 3)
    stage_shares: tuple[float, float, float] = (0.12, 0.16, 0.72)
    """Of foundation, incomplete, complete; one stage per row mostly, as compounds are built row by row."""


@dataclass(frozen=True)
class Look:
    """How the buildings of a compound look from above."""

    roofs: tuple[str, ...]
    """Keys of ``ROOF_COLOURS_RGB``."""
    ridge_share: float
    """Of compounds whose roofs are pitched; the rest are flat."""
    contrast: tuple[float, float]
    """How much the two sides of a ridge, or a parapet, differ from the roof."""
    yard_share: float
    """Of compounds that stand on a graded yard of their own."""


CAMP = Look(tuple(ROOF_COLOURS_RGB), ridge_share=0.6, contrast=(0.04, 0.22), yard_share=0.7)
TERRACE = Look(("dark grey", "slate", "red", "brown"), ridge_share=1.0, contrast=(0.12, 0.5), yard_share=0.15)
"""Steep dark roofs, whose far side is hardly brighter than a shadow."""
TERRACE_RANGES = CompoundRanges((9.0, 65.0), (7.0, 12.0), (6.0, 28.0), (1, 5), (1, 3), (0.02, 0.03, 0.95))
"""Houses and terraces along streets, with gardens between."""

STAGES = ("foundation", "incomplete", "complete")


def draw_compound(
    rng: np.random.Generator, centre_xy_px: tuple[float, float], gsd_m: float, ranges: CompoundRanges | None = None
) -> Compound:
    """A compound laid out around a centre; nothing is painted yet."""
    ranges = ranges or CompoundRanges()
    length, width = rng.uniform(*ranges.length_m) / gsd_m, rng.uniform(*ranges.width_m) / gsd_m
    gap = rng.uniform(*ranges.gap_m) / gsd_m
    end_gap = max(gap, rng.uniform(4.0, 14.0) / gsd_m)
    per_row = int(rng.integers(ranges.per_row[0], ranges.per_row[1] + 1))
    rows = int(rng.integers(ranges.rows[0], ranges.rows[1] + 1))
    heading = rng.uniform(0, np.pi)
    along = np.array([np.cos(heading), np.sin(heading)])
    across = np.array([-along[1], along[0]])
    blocks = []
    for row in range(rows):
        row_stage = rng.choice(3, p=ranges.stage_shares)
        for place in range(per_row):
            stage = row_stage if rng.random() < 0.8 else rng.choice(3, p=ranges.stage_shares)
            middle = (
                np.asarray(centre_xy_px)
                + along * (row - (rows - 1) / 2) * (length + end_gap)
                + across * (place - (per_row - 1) / 2) * (width + gap)
            )
            half_l, half_w = along * length / 2, across * width / 2
            corners = middle + np.array([-half_l - half_w, half_l - half_w, half_l + half_w, -half_l + half_w])
            blocks.append(Block(corners, STAGES[stage], row))
    margin = rng.uniform(4, 15) / gsd_m
    half_along = along * (rows * length + (rows - 1) * end_gap + 2 * margin) / 2
    half_across = across * (per_row * width + (per_row - 1) * gap + 2 * margin) / 2
    yard = np.asarray(centre_xy_px) + np.array(
        [-half_along - half_across, half_along - half_across, half_along + half_across, -half_along + half_across]
    )
    return Compound(tuple(blocks), yard)


HOUSES_PER_CELL = 8


def draw_houses(
    rng: np.random.Generator, centre_xy_px: tuple[float, float], side_px: int, compound: Compound, gsd_m: float
) -> Compound:
    """Single houses around a compound, clear of it and of each other."""
    taken = [shapely.Polygon(compound.yard_px).buffer(12 / gsd_m)]
    houses = []
    for _ in range(HOUSES_PER_CELL * 4):
        at = np.asarray(centre_xy_px) + rng.uniform(-0.45, 0.45, 2) * side_px
        angle = rng.uniform(0, np.pi)
        along = np.array([np.cos(angle), np.sin(angle)]) * rng.uniform(8, 14) / gsd_m / 2
        across = np.array([-np.sin(angle), np.cos(angle)]) * rng.uniform(7, 11) / gsd_m / 2
        corners = at + np.array([-along - across, along - across, along + across, -along + across])
        outline = shapely.Polygon(corners)
        if any(outline.intersects(t) for t in taken):
            continue
        taken.append(outline.buffer(6 / gsd_m))
        houses.append(Block(corners, "complete", 0))
        if len(houses) == HOUSES_PER_CELL:
            break
    return replace(compound, blocks=tuple(houses))
