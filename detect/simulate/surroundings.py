"""What lies around compounds: roads, fields, hamlets, lone halls, cleared ground, trees.

Sizes: single-storey halls 28–70 × 12–32 m; houses 8–14 × 6.5–10 m.
"""

from __future__ import annotations

import numpy as np
import shapely

from detect.simulate.parts import ROOF_COLOURS_RGB, STAGES, Kind, Layout, Pad, Points, Structure, axes, rectangle
from detect.simulate.rows import draw_age


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
    _, across = axes(heading)
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
    layout.structures.append(draw_finished(rng, corners, kind, None))
    return True


def draw_finished(rng: np.random.Generator, corners: Points, kind: Kind, site: str | None) -> Structure:
    """A building that has long stood; one house in ten is being built."""
    stage = "complete" if kind != "house" or rng.random() < 0.9 else str(rng.choice(STAGES[:2]))
    slab, walls = rng.uniform(1, 3), rng.uniform(3, 6)
    height = {"hall": rng.uniform(5, 9), "house": rng.uniform(3, 6), "hut": rng.uniform(2.4, 3)}[kind]
    pitch = {"hall": rng.choice([0, 8, 14]), "house": rng.uniform(18, 38), "hut": 0.0}[kind]
    roof = str(rng.choice(list(ROOF_COLOURS_RGB)))
    begun = -draw_age(rng, stage, slab, walls) - (24 if stage == "complete" else 0)
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
