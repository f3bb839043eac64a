"""Whether polygons lie on some ground at all: files of another place, or with latitude and longitude swapped, lie beside it."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pyproj
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from detect.base.geometry import beside, to_degrees

Ground = Iterable[tuple[BaseGeometry, pyproj.CRS | None]]
"""Pieces of ground, each with its CRS."""


def elsewhere(polygons: NDArray[np.object_], crs: pyproj.CRS | None, ground: Ground) -> str:
    """How polygons lie that touch no ground, as the beginning of a sentence; empty if one does, or if there are none.

    Args:
        polygons: of one file.
        crs: theirs; None: that of the ground.
        ground: what they should touch.
    """
    pieces = list(ground)
    if not len(polygons) or any(_touch(polygons, crs, *piece) for piece in pieces):
        return ""
    swapped = np.asarray(shapely.transform(polygons, lambda xy: xy[:, ::-1]))
    hint = ""
    if any(_touch(swapped, crs, *piece) for piece in pieces):
        hint = " (with x and y swapped they would: write longitude before latitude, easting before northing)"
    return f"none of its {len(polygons)} polygons lies there{hint}"


def _touch(polygons: NDArray[np.object_], crs: pyproj.CRS | None, ground: BaseGeometry, ground_crs: pyproj.CRS | None) -> bool:
    if crs is not None and ground_crs is not None and not crs.equals(ground_crs):
        with np.errstate(invalid="ignore"):  # coordinates beyond a CRS become infinite
            [ground] = to_degrees(np.array([ground], dtype=object), ground_crs)
            polygons = to_degrees(polygons, crs)
        polygons = polygons[np.isfinite(shapely.bounds(polygons)).all(axis=1)]
        polygons = beside(polygons, ground.centroid.x) if len(polygons) else polygons
    elif ground_crs is not None and ground_crs.is_geographic:  # the same system, perhaps with longitudes from 0 to 360
        polygons = beside(polygons, ground.centroid.x)
    return bool(shapely.intersects(ground, polygons).any())
