"""Buildings of one style in rows: dormitories, camps, terraces.

A style gives the ranges, ``draw_rows`` the sizes and the heading of one set of rows, ``draw_blocks`` the buildings at their stages.
``draw_plot`` adds what lies between rows that training paints on its samples: yard, strips of pavement or sand, walls.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from detect.simulate.parts import ROOF_COLOURS_RGB, STAGES, STOREY_M, Kind, Layout, Points, Site, Structure, axes, rectangle

Range = tuple[float, float]
"""Low, high."""
Shares = tuple[float, float, float]
"""Of foundation, incomplete, complete."""


@dataclass(frozen=True)
class Style:
    """What rows are drawn from; all ranges are uniform."""

    length_m: Range
    """Along the heading."""
    width_m: Range
    gap_m: Range
    """Between neighbouring long sides."""
    street_m: Range
    """Between the ends of two rows."""
    flat_share: float
    """Of rows with flat roofs; the roofs of the others are pitched."""
    pitch_deg: Range
    roofs: tuple[str, ...] = tuple(ROOF_COLOURS_RGB)
    """Keys of ``ROOF_COLOURS_RGB``."""
    kind: Kind = "dormitory"
    uneven_m: float = 0.0
    """Standard deviation of a building's place."""
    uneven_rad: float = 0.0
    """Standard deviation of a building's heading."""
    many_roofs: bool = False
    """Whether neighbours have roofs of different colours."""
    count: tuple[int, int] = (3, 18)
    """Buildings of a plot, both ends included."""
    storeys: tuple[int, int] = (1, 3)
    """Both ends included."""
    stage_shares: Shares = (0.12, 0.16, 0.72)
    yard_share: float = 0.0
    """Of plots that stand on a graded yard of their own."""
    strip_share: float = 0.0
    """Of plots with strips of pavement or sand between the rows and around them."""
    wall_share: float = 0.0
    """Of plots with a wall around them."""


DORMITORIES = Style((42, 78), (10.5, 16.5), (4, 16), (8, 18), 0.4, (8, 25), uneven_m=0.25, uneven_rad=0.006)
"""32 rooms a storey on both sides of a corridor: rooms 3–4.5 m wide, 4.5–6.5 m deep."""
CAMP = Style((35, 75), (8, 17), (2, 8), (4, 14), 0.4, (5, 25), yard_share=0.6, strip_share=0.4, wall_share=0.35)
"""Long blocks a few metres apart."""
_DARK_ROOFS = ("dark grey", "slate", "red", "brown")
TERRACES = Style(
    (9, 65), (7, 12), (6, 28), (4, 14), 0.0, (20, 45), _DARK_ROOFS,
    kind="house", count=(1, 15), stage_shares=(0.02, 0.03, 0.95), yard_share=0.1, strip_share=0.3, wall_share=0.2,
)  # fmt: skip
"""Houses and terraces along streets, with gardens between; steep dark roofs, whose far side is hardly brighter than a shadow."""
TOUCHING = replace(TERRACES, length_m=(6.5, 11), width_m=(7, 10), gap_m=(8, 28), street_m=(0, 0), many_roofs=True, count=(6, 30))
"""Terraces whose houses are buildings of their own, wall to wall."""


@dataclass(frozen=True)
class Rows:
    """Buildings of one compound: one look, one heading."""

    style: Style
    middle_m: Points
    """(2,)."""
    heading: float
    """Radians from the x axis: the direction of the blocks' long sides."""
    length_m: float
    width_m: float
    gap_m: float
    """Between neighbouring long sides."""
    street_m: float
    """Between the ends of two rows."""
    per_row: int
    storeys: int
    roof: str
    pitch_deg: float

    def place(self, number: int, count: int) -> Points:
        """Middle of a block, one of ``count``; blocks fill row after row."""
        rows = -(-count // self.per_row)
        row, column = divmod(number, self.per_row)
        along, across = axes(self.heading)
        return (
            self.middle_m
            + along * (row - (rows - 1) / 2) * (self.length_m + self.street_m)
            + across * (column - (min(count, self.per_row) - 1) / 2) * (self.width_m + self.gap_m)
        )

    def extent_m(self, count: int) -> tuple[float, float]:
        """Size of that many blocks along and across their heading."""
        rows, columns = -(-count // self.per_row), min(count, self.per_row)
        return (
            rows * self.length_m + (rows - 1) * self.street_m,
            columns * self.width_m + (columns - 1) * self.gap_m,
        )

    def streets(self, count: int) -> list[Points]:
        """(2, 2) middle lines of the streets between the rows of that many blocks."""
        rows = -(-count // self.per_row)
        along, across = axes(self.heading)
        ends = np.array([-across, across]) * self.extent_m(count)[1] / 2
        return [
            self.middle_m + along * ((street - rows / 2) * (self.length_m + self.street_m)) + ends for street in range(1, rows)
        ]


def draw_rows(rng: np.random.Generator, count: int, gap_m: float | None = None, style: Style = DORMITORIES) -> Rows:
    """The look of ``count`` buildings in rows around the origin, of two storeys."""
    length, width = rng.uniform(*style.length_m), rng.uniform(*style.width_m)
    gap = rng.uniform(*style.gap_m) if gap_m is None else gap_m
    street = rng.uniform(*style.street_m)
    square = np.sqrt(count * (length + street) / (width + gap))  # blocks side by side that make a compound as long as wide
    per_row = int(np.clip(round(square * rng.uniform(0.6, 1.3)), 2, 16))
    flat = rng.random() < style.flat_share
    return Rows(
        style=style,
        middle_m=np.zeros(2),
        heading=rng.uniform(0, np.pi),
        length_m=length,
        width_m=width,
        gap_m=gap,
        street_m=street,
        per_row=per_row,
        storeys=2,
        roof=str(rng.choice(list(style.roofs))),
        pitch_deg=0.0 if flat else rng.uniform(*style.pitch_deg),
    )


STAGE_SHARES = (0.15, 0.2, 0.65)
"""Of foundation, incomplete, complete among dormitories seen at one date."""
BUSY_SHARES = (0.3, 0.35, 0.35)
"""Of those that are watched over several dates."""


def draw_blocks(rng: np.random.Generator, rows: Rows, stages: list[str | None], site: str | None) -> list[Structure]:
    """A block per stage given; those that are None are begun later, one after the other.

    Building takes one to three months up to the slab and three to six more up to the roof (phases of the dated sites of IARPA SMART last
    from weeks to a year).
    """
    built = []
    waiting = 0
    for number, stage in enumerate(stages):
        slab, walls = rng.uniform(1, 3), rng.uniform(3, 6)
        if stage is None:
            waiting += 1
            begun = waiting * rng.uniform(0.4, 1.0)
        else:
            begun = -draw_age(rng, stage, slab, walls)
        at = rows.place(number, len(stages)) + rng.normal(0, rows.style.uneven_m, 2)
        corners = rectangle(at, rows.length_m, rows.width_m, rows.heading + rng.normal(0, rows.style.uneven_rad))
        height = rows.storeys * STOREY_M + rng.uniform(0.3, 1.2)
        seed = int(rng.integers(2**31))
        built.append(Structure(corners, rows.style.kind, height, rows.roof, rows.pitch_deg, site, begun, slab, walls, seed))
    return built


def draw_age(rng: np.random.Generator, stage: str, slab_months: float, walls_months: float) -> float:
    """Months since the first trench, for a building that is now at a stage."""
    if stage == "foundation":
        return rng.uniform(0.05, 0.95) * slab_months
    if stage == "incomplete":
        return slab_months + rng.uniform(0.05, 0.95) * walls_months
    return slab_months + walls_months + rng.uniform(1, 24)


def draw_stages(rng: np.random.Generator, count: int, per_row: int, waiting: int, shares: Shares) -> list[str | None]:
    """Stages of blocks that are built row by row, the last ``waiting`` not begun."""
    stages: list[str | None] = []
    for number in range(count - waiting):
        if number % per_row == 0:
            row = rng.choice(3, p=shares)
        stages.append(STAGES[row if rng.random() < 0.8 else rng.choice(3, p=shares)])
    return stages + [None] * waiting


def draw_plot(
    rng: np.random.Generator,
    style: Style,
    name: str,
    *,
    count: int | None = None,
    gap_m: float | None = None,
    storeys: int | None = None,
) -> Layout:
    """Rows of a style around the origin, with the yard, the strips and the wall that a plot of this style may have.

    Args:
        rng: of all that is drawn.
        style: of the rows.
        name: of the site, whose outline is that of the yard.
        count: buildings; drawn without, as are the next two.
        gap_m: between neighbouring long sides.
        storeys: of each building.
    """
    many = int(rng.integers(style.count[0], style.count[1] + 1)) if count is None else count
    high = int(rng.integers(style.storeys[0], style.storeys[1] + 1)) if storeys is None else storeys
    rows = replace(draw_rows(rng, many, gap_m, style), storeys=high)
    blocks = draw_blocks(rng, rows, draw_stages(rng, many, rows.per_row, 0, style.stage_shares), name)
    if style.many_roofs:
        roofs = rng.permutation(style.roofs)
        blocks = [replace(b, roof=str(roofs[number // rows.per_row % len(roofs)])) for number, b in enumerate(blocks)]
    # First the unfinished ones: what is painted around a building site must not cover a neighbour's roof.
    blocks.sort(key=lambda block: block.stage(0.0) == "complete")
    long_m, wide_m = rows.extent_m(many)
    margin = rng.uniform(4, 15)
    yard = rectangle(rows.middle_m, long_m + 2 * margin, wide_m + 2 * margin, rows.heading)
    layout = Layout((0.0, 0.0), structures=blocks, sites=[Site(name, yard, many)])
    if rng.random() < style.yard_share:
        layout.yards.append(yard)
    if rng.random() < style.strip_share:
        layout.roads += _strips(rng, rows, many)
    if rng.random() < style.wall_share:
        layout.walls.append(np.concatenate([yard, yard[:1]]))
    return layout


def _strips(rng: np.random.Generator, rows: Rows, count: int) -> list[tuple[Points, float, bool]]:
    """Strips of one kind in the streets between the rows and along the sides of the outer blocks."""
    paved, width = bool(rng.random() < 0.5), rng.uniform(2, 5)
    along, across = axes(rows.heading)
    long_m, wide_m = rows.extent_m(count)
    strips = [(street, min(width, rows.street_m), paved) for street in rows.streets(count) if rows.street_m]
    for side in (-across, across):
        middle = rows.middle_m + side * (wide_m / 2 + width / 2 + 0.5)
        strips.append((middle + np.array([-along, along]) * long_m / 2, width, paved))
    return strips
