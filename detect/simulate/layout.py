"""Whole compounds in metres and months: dormitories in rows, halls, huts, houses, roads, trees, cleared plots.

Plane: x to the right, y down, metres from the scene's upper left corner. Nothing is painted here.
Sizes: dormitories of 32 rooms a storey on both sides of a corridor (rooms 3–4.5 m wide, 4.5–6.5 m deep): 42–78 × 10.5–16.5 m, 4–16 m apart;
storeys of 3 m; single-storey halls 24–70 × 14–32 m; houses 8–14 × 7–11 m. Building takes a dormitory one to three months up to its slab and
three to six more up to its roof (phases of the dated sites of IARPA SMART last from weeks to a year).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import shapely
from numpy.typing import NDArray

from detect.base.geometry import rectangle_corners
from detect.simulate.blocks import ROOF_COLOURS_RGB, STAGES

Kind = Literal["dormitory", "hall", "house", "hut"]
Points = NDArray[np.float64]
STOREY_M = 3.0
WALKWAY_M = 14.0
"""From the yard's edge to the first block."""


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
    fields: list[Points] = field(default_factory=list)
    roads: list[tuple[Points, float, bool]] = field(default_factory=list)
    """(N, 2) middle line, width in metres, whether it is paved."""
    trees: Points = field(default_factory=lambda: np.empty((0, 3)))
    """(N, 3) x, y, radius of the crown."""
    sites: list[Site] = field(default_factory=list)


@dataclass(frozen=True)
class Rows:
    """Dormitories of one compound: one look, one heading."""

    middle_m: Points
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

    def place(self, number: int, of: int) -> Points:
        """Middle of a block; blocks fill row after row."""
        rows = -(-of // self.per_row)
        row, column = divmod(number, self.per_row)
        along, across = _axes(self.heading)
        return (
            self.middle_m
            + along * (row - (rows - 1) / 2) * (self.length_m + self.street_m)
            + across * (column - (min(of, self.per_row) - 1) / 2) * (self.width_m + self.gap_m)
        )

    def extent_m(self, count: int) -> tuple[float, float]:
        """Size of that many blocks along and across their heading."""
        rows, columns = -(-count // self.per_row), min(count, self.per_row)
        return (
            rows * self.length_m + (rows - 1) * self.street_m,
            columns * self.width_m + (columns - 1) * self.gap_m,
        )


def draw_rows(rng: np.random.Generator, count: int, gap_m: float | None = None) -> Rows:
    """The look of a compound of ``count`` dormitories, around the origin."""
    length, width = rng.uniform(42, 78), rng.uniform(10.5, 16.5)
    gap = rng.uniform(4, 16) if gap_m is None else gap_m
    street = rng.uniform(8, 18)
    square = np.sqrt(count * (length + street) / (width + gap))  # blocks side by side that make a compound as long as wide
    per_row = int(np.clip(round(square * rng.uniform(0.6, 1.3)), 2, 16))
    flat = rng.random() < 0.4
    return Rows(
        middle_m=np.zeros(2),
        heading=rng.uniform(0, np.pi),
        length_m=length,
        width_m=width,
        gap_m=gap,
        street_m=street,
        per_row=per_row,
        storeys=2,
        roof=str(rng.choice(list(ROOF_COLOURS_RGB))),
        pitch_deg=0.0 if flat else rng.uniform(8, 25),
    )


STAGE_SHARES = (0.15, 0.2, 0.65)
"""Of foundation, incomplete, complete among dormitories seen at one date."""
BUSY_SHARES = (0.3, 0.35, 0.35)
"""Of those that are watched over several dates."""


def draw_dormitories(
    rng: np.random.Generator, rows: Rows, stages: list[str | None], site: str, months_between: float = 2.0
) -> list[Structure]:
    """A block per stage given; one that is None is begun later, one ``months_between`` after the other."""
    built = []
    waiting = 0
    for number, stage in enumerate(stages):
        slab, walls = rng.uniform(1, 3), rng.uniform(3, 6)
        if stage is None:
            waiting += 1
            begun = waiting * months_between * rng.uniform(0.2, 0.5)
        else:
            begun = -_age(rng, stage, slab, walls)
        at = rows.place(number, len(stages)) + rng.normal(0, 0.25, 2)
        corners = rectangle(at, rows.length_m, rows.width_m, rows.heading + rng.normal(0, 0.006))
        height = rows.storeys * STOREY_M + rng.uniform(0.3, 1.2)
        seed = int(rng.integers(2**31))
        built.append(Structure(corners, "dormitory", height, rows.roof, rows.pitch_deg, site, begun, slab, walls, seed))
    return built


def _age(rng: np.random.Generator, stage: str, slab_months: float, walls_months: float) -> float:
    """Months since the first trench, for a building that is now at a stage."""
    if stage == "foundation":
        return rng.uniform(0.05, 0.95) * slab_months
    if stage == "incomplete":
        return slab_months + rng.uniform(0.05, 0.95) * walls_months
    return slab_months + walls_months + rng.uniform(1, 24)


def draw_stages(
    rng: np.random.Generator, count: int, per_row: int, waiting: int, shares: tuple[float, float, float]
) -> list[str | None]:
    """Stages of blocks that are built row by row, the last ``waiting`` not begun."""
    stages: list[str | None] = []
    for number in range(count - waiting):
        if number % per_row == 0:
            row = rng.choice(3, p=shares)
        stages.append(STAGES[row if rng.random() < 0.8 else rng.choice(3, p=shares)])
    return stages + [None] * waiting


def compound(
    rng: np.random.Generator,
    middle_m: Points,
    count: int,
    name: str,
    *,
    gap_m: float | None = None,
    waiting: int = 0,
    storeys: int = 2,
) -> Layout:
    """A compound of ``count`` dormitories around a middle: rows, yard, streets, halls, huts, pads and its site. No surroundings.

    Args:
        rng: of all that is drawn.
        middle_m: (2,) of the site.
        count: dormitories, those that are begun later included.
        name: of the site.
        gap_m: between neighbouring long sides; drawn without.
        waiting: how many are not begun on the first date; their pads are cleared.
        storeys: of the dormitories.
    """
    rows = replace(draw_rows(rng, count, gap_m), middle_m=np.asarray(middle_m, float), storeys=storeys)
    dormitories = draw_dormitories(
        rng, rows, draw_stages(rng, count, rows.per_row, waiting, BUSY_SHARES if waiting else STAGE_SHARES), name
    )
    spare = int(rng.integers(0, 3))  # pads on which nothing is built yet
    along, across = _axes(rows.heading)
    long_m, wide_m = rows.extent_m(count)
    strip_m = 48.0 if rng.random() < 0.7 else 16.0  # beside the rows: halls, huts, spare pads
    yard = rectangle(
        rows.middle_m + across * (strip_m - WALKWAY_M) / 2, long_m + 2 * WALKWAY_M, wide_m + strip_m + WALKWAY_M, rows.heading
    )
    layout = Layout((0.0, 0.0), structures=list(dormitories), yards=[yard])
    layout.pads += [Pad(d.corners_m, d.begun - 3) for d in dormitories]
    beside = rows.middle_m + across * (wide_m / 2 + strip_m / 2)
    at = -long_m / 2
    while strip_m > 20:
        kind: Kind | None = rng.choice(np.array(["hall", "hut", "hut", "pad"], object))
        size = (rng.uniform(24, 48), rng.uniform(14, 26)) if kind == "hall" else (rng.uniform(6, 14), rng.uniform(3, 6))
        if kind == "pad":
            size = (rows.length_m, rows.width_m)
        if at + size[0] > long_m / 2 or len(layout.structures) - count > 6:
            break
        corners = rectangle(beside + along * (at + size[0] / 2), size[0], size[1], rows.heading)
        if kind == "pad" and spare:
            layout.pads.append(Pad(corners, -1.0))
            spare -= 1
        elif kind != "pad":
            layout.structures.append(_finished(rng, corners, "hall" if kind == "hall" else "hut", name))
        at += size[0] + rng.uniform(8, 20)
    for street in range(1, -(-count // rows.per_row)):
        offset = along * ((street - (-(-count // rows.per_row)) / 2) * (rows.length_m + rows.street_m))
        ends = np.array([-across, across]) * wide_m / 2
        layout.roads.append((rows.middle_m + offset + ends, rng.uniform(3, 6), False))
    layout.sites.append(Site(name, yard, count))
    return layout


def countryside(
    rng: np.random.Generator,
    count: int,
    dormitories: int | None,
    gap_m: float | None,
    margin_m: float,
    *,
    later: bool,
    storeys: int = 2,
) -> Layout:
    """Compounds in a grid of cells as large as the largest needs, with their surroundings.

    Args:
        rng: of all that is drawn.
        count: compounds.
        dormitories: of each; drawn from 5 to 40 without.
        gap_m: between the long sides of neighbouring dormitories; drawn without.
        margin_m: of ground around the largest compound.
        later: whether some of the dormitories are begun after the first date.
        storeys: of the dormitories.
    """
    drawn = []
    for number in range(count):
        many = int(rng.integers(5, 41)) if dormitories is None else dormitories
        waiting = int(rng.integers(1, many // 3 + 2)) if later and many > 1 else 0
        drawn.append(compound(rng, np.zeros(2), many, f"compound {number + 1}", gap_m=gap_m, waiting=waiting, storeys=storeys))
    side = max(np.ptp(part.sites[0].corners_m, axis=0).max() for part in drawn) + 2 * margin_m
    columns = int(np.ceil(np.sqrt(count)))
    layout = Layout((side * -(-count // columns), side * columns))
    for number, part in enumerate(drawn):
        corners = part.sites[0].corners_m
        to = np.array([number % columns + 0.5, number // columns + 0.5]) * side - (corners.min(axis=0) + corners.max(axis=0)) / 2
        _add(layout, part, to)
    surround(rng, layout)
    return layout


def _add(layout: Layout, part: Layout, shift_m: Points) -> None:
    """Put a part into a layout, moved."""
    layout.structures += [replace(s, corners_m=s.corners_m + shift_m) for s in part.structures]
    layout.pads += [replace(p, corners_m=p.corners_m + shift_m) for p in part.pads]
    layout.yards += [yard + shift_m for yard in part.yards]
    layout.roads += [(line + shift_m, width, paved) for line, width, paved in part.roads]
    layout.sites += [replace(s, corners_m=s.corners_m + shift_m) for s in part.sites]


def surround(rng: np.random.Generator, layout: Layout) -> None:
    """Add what lies around compounds: a road past them, hamlets, lone long buildings, fields, cleared ground, trees."""
    height, width = layout.size_m
    taken: list[shapely.Polygon] = [shapely.Polygon(y).buffer(8) for y in [*layout.yards, *(s.corners_m for s in layout.sites)]]
    taken += [shapely.LineString(line).buffer(road_m / 2 + 4) for line, road_m, _ in layout.roads]
    road = _country_road(rng, layout.size_m, taken)
    if road is not None:
        layout.roads.append((road, rng.uniform(5, 9), bool(rng.random() < 0.6)))
        taken.append(shapely.LineString(road).buffer(9))
    _fields(rng, layout, taken)
    for _ in range(int(rng.integers(1, 3 + int(height * width / 250_000)))):
        _hamlet(rng, layout, taken)
    for _ in range(int(rng.integers(0, 3 + int(height * width / 400_000)))):
        size = (rng.uniform(28, 70), rng.uniform(12, 32))
        _put(rng, layout, taken, size, "hall")
    for _ in range(int(rng.integers(0, 3))):
        corners = rectangle(
            rng.uniform(0.1, 0.9, 2) * [width, height], rng.uniform(20, 60), rng.uniform(15, 50), rng.uniform(0, np.pi)
        )
        if not any(shapely.Polygon(corners).intersects(t) for t in taken):
            layout.pads.append(Pad(corners, -2.0))
    layout.trees = _trees(rng, layout)


def _fields(rng: np.random.Generator, layout: Layout, taken: list[shapely.Polygon]) -> None:
    """Fields side by side under one heading, where nothing else lies."""
    height, width = layout.size_m
    heading = rng.uniform(0, np.pi)
    _, across = _axes(heading)
    fields: list[shapely.Polygon] = []
    for _ in range(int(height * width / 25_000) + 2):
        at = rng.uniform(0, 1, 2) * [width, height]
        long_m, wide_m = rng.uniform(80, 220), rng.uniform(25, 60)
        for number in range(int(rng.integers(1, 5))):
            corners = rectangle(at + across * number * (wide_m + 2), long_m * rng.uniform(0.9, 1.1), wide_m, heading)
            outline = shapely.Polygon(corners)
            if not any(outline.intersects(t) for t in [*taken, *fields]):
                fields.append(outline)
                layout.fields.append(corners)


def _country_road(rng: np.random.Generator, size_m: tuple[float, float], taken: list[shapely.Polygon]) -> Points | None:
    """A gently bent road from edge to edge that passes all compounds; None where there is no room."""
    height, width = size_m
    for _ in range(12):
        y = rng.uniform(0.02, 0.98) * height
        bend = rng.normal(0, 12, 5).cumsum()
        line = np.stack([np.linspace(-10, width + 10, 5), y + bend - bend.mean()], axis=1)
        if rng.random() < 0.5:
            line = line[:, ::-1] * [width / height, height / width]
        if not any(shapely.LineString(line).buffer(9).intersects(t) for t in taken):
            return line
    return None


def _hamlet(rng: np.random.Generator, layout: Layout, taken: list[shapely.Polygon]) -> None:
    """Houses near each other, roughly under one heading."""
    height, width = layout.size_m
    middle, heading = rng.uniform(0.05, 0.95, 2) * [width, height], rng.uniform(0, np.pi)
    for _ in range(int(rng.integers(4, 22))):
        at = middle + rng.normal(0, 38, 2)
        turned = heading + rng.choice([0, np.pi / 2]) + rng.normal(0, 0.06)
        corners = rectangle(at, rng.uniform(8, 14), rng.uniform(6.5, 10), turned)
        _put_at(rng, layout, taken, corners, "house")


def _put(rng: np.random.Generator, layout: Layout, taken: list[shapely.Polygon], size_m: tuple[float, float], kind: Kind) -> None:
    height, width = layout.size_m
    for _ in range(10):
        corners = rectangle(rng.uniform(0.05, 0.95, 2) * [width, height], *size_m, rng.uniform(0, np.pi))
        if _put_at(rng, layout, taken, corners, kind):
            return


def _put_at(rng: np.random.Generator, layout: Layout, taken: list[shapely.Polygon], corners: Points, kind: Kind) -> bool:
    """Whether there was room for it."""
    height, width = layout.size_m
    outline = shapely.Polygon(corners)
    if not shapely.box(2, 2, width - 2, height - 2).contains(outline) or any(outline.intersects(t) for t in taken):
        return False
    taken.append(outline.buffer(4))
    layout.structures.append(_finished(rng, corners, kind, None))
    return True


def _finished(rng: np.random.Generator, corners: Points, kind: Kind, site: str | None) -> Structure:
    """A building that has long stood; one house in ten is being built."""
    stage = "complete" if kind != "house" or rng.random() < 0.9 else str(rng.choice(STAGES[:2]))
    slab, walls = rng.uniform(1, 3), rng.uniform(3, 6)
    height = {"hall": rng.uniform(5, 9), "house": rng.uniform(3, 6), "hut": rng.uniform(2.4, 3)}[kind]
    pitch = {"hall": rng.choice([0, 8, 14]), "house": rng.uniform(18, 38), "hut": 0.0}[kind]
    roof = str(rng.choice(list(ROOF_COLOURS_RGB)))
    begun = -_age(rng, stage, slab, walls) - (24 if stage == "complete" else 0)
    return Structure(corners, kind, height, roof, float(pitch), site, begun, slab, walls, int(rng.integers(2**31)))


def _trees(rng: np.random.Generator, layout: Layout) -> Points:
    """Crowns in clumps, along roads and near houses, none on a yard or a building."""
    height, width = layout.size_m
    clumps = rng.uniform(0, 1, (max(3, int(height * width / 9000)), 2)) * [width, height]
    spots = np.concatenate([c + rng.normal(0, rng.uniform(3, 18), (int(rng.integers(1, 14)), 2)) for c in clumps])
    houses = np.array([s.corners_m.mean(axis=0) for s in layout.structures if s.kind == "house"]).reshape(-1, 2)
    gardens = np.repeat(houses, 2, axis=0) + rng.normal(0, 11, (2 * len(houses), 2))
    spots = np.concatenate([spots, gardens])
    clear = [shapely.Polygon(y) for y in layout.yards] + [shapely.Polygon(p.corners_m) for p in layout.pads]
    clear += [shapely.Polygon(s.corners_m).buffer(2.5) for s in layout.structures]
    clear += [shapely.LineString(line).buffer(w / 2 + 1) for line, w, _ in layout.roads]
    free = np.ones(len(spots), bool)
    free[shapely.STRtree(shapely.points(spots)).query(clear, predicate="intersects")[1]] = False
    return np.column_stack([spots, rng.uniform(1, 3.5, len(spots))])[free]


def rectangle(middle_m: Points, length_m: float, width_m: float, heading: float) -> Points:
    """(4, 2) corners; the first side is a long one."""
    along, across = _axes(heading)
    return rectangle_corners(np.asarray(middle_m), along * length_m / 2, across * width_m / 2)


def _axes(heading: float) -> tuple[Points, Points]:
    along = np.array([np.cos(heading), np.sin(heading)])
    return along, np.array([-along[1], along[0]])
