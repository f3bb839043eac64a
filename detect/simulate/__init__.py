"""Compounds with known truth, drawn. Everything here is simulated and says so in the picture, its metadata and the truth.

    parts         what stands and lies in a scene, in metres and months
    rows          buildings of one style in rows: dormitories, camps, terraces
    layout        compounds side by side, the yardstick
    surroundings  roads, fields, hamlets, trees around them
    brushes       polygons and lines that cover pixels in part
    structures    buildings at their stages, sun and shadows
    rendering     a layout as a sensor sees it, on drawn ground or on a given picture
    scenes        pictures and truth as files

What is painted on training samples teaches the network to keep blocks apart that stand a few metres from each other; drawn scenes are
never part of a test that is called real.
"""

from __future__ import annotations

from detect.simulate.parts import STAGES, Layout
from detect.simulate.rendering import render, render_on
from detect.simulate.rows import CAMP, TERRACES, TOUCHING, draw_plot
from detect.simulate.scenes import simulate_compounds
from detect.simulate.structures import Sun
from detect.simulate.surroundings import surround

__all__ = [
    "CAMP",
    "STAGES",
    "TERRACES",
    "TOUCHING",
    "Layout",
    "Sun",
    "draw_plot",
    "render",
    "render_on",
    "simulate_compounds",
    "surround",
]
