"""Compounds with known truth, drawn. Everything here is simulated and says so in the picture, its metadata and the truth.

    blocks, paint     rows of long blocks on any picture: what training paints on its samples
    rows              a scene of them
    layout            whole compounds in metres and months: dormitories, halls, houses, roads, trees, pads
    render            a layout as a sensor sees it on a date: sun, shadows, pixel size, bands
    scenes            pictures and truth as files

Simulated chips train the network to keep blocks apart that stand a few metres from each other; they are never part of a test that is
called real.
"""

from __future__ import annotations

from detect.simulate.blocks import CAMP, STAGES, TERRACE, TERRACE_RANGES, draw_compound, draw_houses
from detect.simulate.paint import draw_ground, paint_compound
from detect.simulate.rows import simulate
from detect.simulate.scenes import simulate_compounds

__all__ = [
    "CAMP",
    "STAGES",
    "TERRACE",
    "TERRACE_RANGES",
    "draw_compound",
    "draw_ground",
    "draw_houses",
    "paint_compound",
    "simulate",
    "simulate_compounds",
]
