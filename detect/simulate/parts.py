"""What stands and lies in a drawn scene, in metres and months. Nothing is drawn at random or painted here.

Plane: x to the right, y down, metres from the upper left corner of the picture. Months count from the first date.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import shapely
from numpy.typing import NDArray

from detect.base.geometry import rectangle_corners

Kind = Literal["dormitory", "hall", "house", "hut"]
Points = NDArray[np.float64]
STAGES = ("foundation", "incomplete", "complete")
STOREY_M = 3.0
BEDS_PER_STOREY = 128
"""Of a dormitory."""
CRS, ORIGIN_XY = "EPSG:32637", (400_000.0, 6_200_000.0)  # anywhere in true metres; a drawn scene shows no real place
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


@dataclass(frozen=True)
class Structure:
    """One building from its first trench to its roof."""

    corners_m: Points
    """(4, 2) x, y around the base; the first side is a long one."""
    kind: Kind
    height_m: float
    """Up to the eaves."""
    roof: str
    """Key of ``ROOF_COLOURS_RGB``."""
    pitch_deg: float
    """Of the roof; 0 is flat."""
    site: str | None
    begun: float
    """Month of the first trench; negative when before the first date."""
    slab_months: float
    """From the first trench until walls rise."""
    walls_months: float
    """From there until the roof is on."""
    seed: int
    """Of its looks, so that it looks alike on all dates."""

    def stage(self, month: float) -> str | None:
        """``foundation``, ``incomplete``, ``complete``; None before it is begun."""
        age = month - self.begun
        if age < 0:
            return None
        return STAGES[int(age >= self.slab_months) + int(age >= self.slab_months + self.walls_months)]

    def progress(self, month: float) -> float:
        """How far its present stage has got, 0–1."""
        age = month - self.begun
        if age < self.slab_months:
            return max(0.0, age / self.slab_months)
        return min(1.0, (age - self.slab_months) / self.walls_months)


@dataclass(frozen=True)
class Pad:
    """Ground that was cleared for a building."""

    corners_m: Points
    """(4, 2)."""
    cleared: float
    """Month."""


@dataclass(frozen=True)
class Site:
    """A plot as a user would draw it."""

    name: str
    corners_m: Points
    """(N, 2)."""
    planned_buildings: int


@dataclass
class Layout:
    """All that stands and lies in a scene."""

    size_m: tuple[float, float]
    """Height, width."""
    structures: list[Structure] = field(default_factory=list)
    pads: list[Pad] = field(default_factory=list)
    yards: list[Points] = field(default_factory=list)
    """(4, 2) each."""
    fields: list[Points] = field(default_factory=list)
    """(4, 2) each."""
    roads: list[tuple[Points, float, bool]] = field(default_factory=list)
    """(N, 2) middle line, width in metres, whether it is paved."""
    walls: list[Points] = field(default_factory=list)
    """(N, 2) middle lines of walls without a building."""
    trees: Points = field(default_factory=lambda: np.empty((0, 3)))
    """(N, 3) x, y, radius of the crown."""
    sites: list[Site] = field(default_factory=list)

    def add(self, part: Layout, shift_m: Points) -> None:
        """Put all of a part into the layout, moved by (2,) metres."""
        self.structures += [replace(s, corners_m=s.corners_m + shift_m) for s in part.structures]
        self.pads += [replace(p, corners_m=p.corners_m + shift_m) for p in part.pads]
        self.yards += [yard + shift_m for yard in part.yards]
        self.fields += [corners + shift_m for corners in part.fields]
        self.roads += [(line + shift_m, width, paved) for line, width, paved in part.roads]
        self.walls += [wall + shift_m for wall in part.walls]
        self.trees = np.concatenate([self.trees, part.trees + np.append(shift_m, 0.0)])
        self.sites += [replace(s, corners_m=s.corners_m + shift_m) for s in part.sites]


def on_map(corners_m: Points) -> shapely.Polygon:
    """A polygon (N, 2) of the scene in ``CRS``."""
    return shapely.Polygon(np.asarray(ORIGIN_XY) + corners_m * [1, -1])


def rectangle(middle_m: Points, length_m: float, width_m: float, heading: float) -> Points:
    """(4, 2) corners; the first side is a long one."""
    along, across = axes(heading)
    return rectangle_corners(np.asarray(middle_m), along * length_m / 2, across * width_m / 2)


def axes(heading: float) -> tuple[Points, Points]:
    """Unit vectors (2,) along a heading (radians from the x axis) and across it."""
    along = np.array([np.cos(heading), np.sin(heading)])
    return along, np.array([-along[1], along[0]])
