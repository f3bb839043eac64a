"""Whole compounds side by side: dormitories in rows, halls, huts, cleared plots, and the yardstick.

Dormitories of 42–78 × 10.5–16.5 m stand 4–16 m apart, beside them single-storey halls of 24–48 × 14–26 m and huts of 6–14 × 3–6 m.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyproj

from detect.base.geometry import area_km2
from detect.simulate.parts import CRS, STAGES, Kind, Layout, Pad, Points, Site, axes, on_map, rectangle
from detect.simulate.rows import (
    BUSY_SHARES,
    CAMP,
    STAGE_SHARES,
    Rows,
    draw_blocks,
    draw_plot,
    draw_rows,
    draw_stages,
)
from detect.simulate.surroundings import draw_finished, surround

WALKWAY_M = 14.0
"""From the yard's edge to the first block."""
_PLOTS = (("plot A", 0.52, (20, 40), (7, 6, 7)), ("plot B", 0.46, (17, 35), (5, 6, 6)), ("plot C", 0.41, (13, 25), (3, 4, 6)))
"""Of the yardstick: name, km², (dormitories seen, planned), of which foundation, incomplete, complete."""


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
    stages = draw_stages(rng, count, rows.per_row, waiting, BUSY_SHARES if waiting else STAGE_SHARES)
    dormitories = draw_blocks(rng, rows, stages, name)
    spare = int(rng.integers(0, 3))  # pads on which nothing is built yet
    _, across = axes(rows.heading)
    long_m, wide_m = rows.extent_m(count)
    strip_m = 48.0 if rng.random() < 0.7 else 16.0  # beside the rows: halls, huts, spare pads
    yard = rectangle(
        rows.middle_m + across * (strip_m - WALKWAY_M) / 2, long_m + 2 * WALKWAY_M, wide_m + strip_m + WALKWAY_M, rows.heading
    )
    layout = Layout((0.0, 0.0), structures=dormitories, yards=[yard], sites=[Site(name, yard, count)])
    layout.pads += [Pad(d.corners_m, d.begun - 3) for d in dormitories]
    if strip_m > 20:
        _fill_strip(rng, layout, rows, long_m, rows.middle_m + across * (wide_m / 2 + strip_m / 2), spare)
    layout.roads += [(street, rng.uniform(3, 6), False) for street in rows.streets(count)]
    return layout


def _fill_strip(rng: np.random.Generator, layout: Layout, rows: Rows, long_m: float, middle_m: Points, spare: int) -> None:
    """Put halls, huts and at most ``spare`` pads in a line along the rows."""
    along, _ = axes(rows.heading)
    most, name = len(layout.structures) + 6, layout.sites[0].name
    at = -long_m / 2
    while True:
        kind: Kind | None = rng.choice(np.array(["hall", "hut", "hut", "pad"], object))
        size = (rng.uniform(24, 48), rng.uniform(14, 26)) if kind == "hall" else (rng.uniform(6, 14), rng.uniform(3, 6))
        if kind == "pad":
            size = (rows.length_m, rows.width_m)
        if at + size[0] > long_m / 2 or len(layout.structures) > most:
            return
        corners = rectangle(middle_m + along * (at + size[0] / 2), size[0], size[1], rows.heading)
        if kind == "pad" and spare:
            layout.pads.append(Pad(corners, -1.0))
            spare -= 1
        elif kind != "pad":
            layout.structures.append(draw_finished(rng, corners, "hall" if kind == "hall" else "hut", name))
        at += size[0] + rng.uniform(8, 20)


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
    layout = _side_by_side(drawn, margin_m)
    surround(rng, layout)
    return layout


def country_of_rows(
    rng: np.random.Generator, count: int, dormitories: int | None, gap_m: float | None, margin_m: float, *, storeys: int = 2
) -> Layout:
    """Plots with rows of blocks alone, no halls, huts or pads, side by side with their surroundings; arguments as of ``countryside``.

    Without ``dormitories``, a plot has the number of blocks of the style ``CAMP``.
    """
    plots = [
        draw_plot(rng, CAMP, f"compound {number + 1}", count=dormitories, gap_m=gap_m, storeys=storeys) for number in range(count)
    ]
    layout = _side_by_side(plots, margin_m)
    surround(rng, layout)
    return layout


def yardstick(rng: np.random.Generator) -> Layout:
    """Three plots side by side, each built up from one end."""
    layout = Layout((960.0, 2480.0))
    for number, (name, km2, (seen, planned), shares) in enumerate(_PLOTS):
        middle = np.array([430.0 + 810 * number, 480.0])
        heading, wide_m = rng.uniform(-0.08, 0.08), rng.uniform(660, 700)
        plot = _of_area(rectangle(middle, wide_m, km2 * 1e6 / wide_m, heading), km2)
        rows = replace(draw_rows(rng, planned, rng.uniform(8, 14)), per_row=7, heading=heading, middle_m=middle)
        stages: list[str | None] = [s for s, n in zip(reversed(STAGES), reversed(shares), strict=True) for _ in range(n)]
        stages += [None] * (planned - seen)
        built = draw_blocks(rng, rows, stages, name)
        layout.structures += built
        layout.pads += [Pad(d.corners_m, d.begun - 3) for d in built]  # the next ones' ground is cleared already
        long_m, wide_m = rows.extent_m(planned)
        layout.yards.append(rectangle(middle, long_m + 30, wide_m + 30, heading))
        layout.sites.append(Site(name, plot, planned))
    for x in (835.0, 1645.0):
        layout.roads.append((np.array([[x, -10.0], [x, 970.0]]), 8.0, True))
    surround(rng, layout)
    return layout


def _of_area(corners_m: Points, km2: float) -> Points:
    """A plot shrunk or grown about its middle until it has that area on the ellipsoid."""
    middle = corners_m.mean(axis=0)
    return middle + (corners_m - middle) * np.sqrt(km2 / area_km2(on_map(corners_m), pyproj.CRS(CRS)))


def _side_by_side(parts: list[Layout], margin_m: float) -> Layout:
    """Compounds in a grid of square cells, as large as the largest site and a margin need."""
    side = max(np.ptp(part.sites[0].corners_m, axis=0).max() for part in parts) + 2 * margin_m
    columns = int(np.ceil(np.sqrt(len(parts))))
    layout = Layout((side * -(-len(parts) // columns), side * columns))
    for number, part in enumerate(parts):
        corners = part.sites[0].corners_m
        cell = np.array([number % columns + 0.5, number // columns + 0.5]) * side
        layout.add(part, cell - (corners.min(axis=0) + corners.max(axis=0)) / 2)
    return layout
