"""The stage raster after buildings were corrected by hand, or their stage was found to be another."""

from __future__ import annotations

import math
from collections.abc import Iterator

import geopandas as gpd
import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.features import rasterize

from detect.base.geometry import moved
from detect.base.grid import Span
from detect.base.stages import CODES
from detect.base.values import NO_DATA
from detect.base.vectors import geometries_of
from detect.census.review import Review

RAGGED_PX = 3.0
"""How far pixels of a building lie outside its squared outline."""


def repainted(
    stage: NDArray[np.uint8], transform: Affine, before: gpd.GeoDataFrame, after: gpd.GeoDataFrame, review: Review
) -> NDArray[np.uint8]:
    """Stage codes without deleted buildings, and with changed and added ones and their neighbours painted again.

    Args:
        stage: (H, W) stage codes, 0 none, 255 no data.
        transform: pixels (x = column, y = row) → CRS.
        before: buildings with ``id``, before they were corrected.
        after: corrected buildings with ``id`` and ``stage``.
        review: what was corrected.
    """
    old, new = before.set_index("id").geometry, after.set_index("id").geometry
    kept = [i for i in review.changed if i in old.index and i in new.index and old[i].equals(new[i])]
    gone = before["id"].isin({*review.deleted, *review.changed} - {*kept}).to_numpy()
    painted = stage.copy()
    for _, here, mine in _pixels(painted, transform, before, gone):
        here[mine & (here > 0) & (here != NO_DATA)] = 0
    recode(painted, transform, after, after["id"].isin(kept).to_numpy())
    touched = after["id"].isin(review.redrawn - {*kept}).to_numpy(copy=True)
    touched[shapely.STRtree(geometries_of(after)).query(geometries_of(before[gone]), predicate="intersects")[1]] = True
    shapes = [(g, CODES[s]) for g, s in zip(geometries_of(after[touched]), after.loc[touched, "stage"], strict=True)]
    if shapes:
        rasterize(shapes, out=painted, transform=transform)
        painted[stage == NO_DATA] = NO_DATA
    return painted


def recode(stage: NDArray[np.uint8], transform: Affine, buildings: gpd.GeoDataFrame, changed: NDArray[np.bool_]) -> None:
    """Give the pixels of buildings whose stage has changed the code of the new one, in place; no pixel is added or taken away.

    Args:
        stage: (H, W) stage codes; may be mapped from disk, of which only what lies under these buildings is touched.
        transform: pixels (x = column, y = row) → CRS.
        buildings: with ``stage``.
        changed: (n,) which have another stage than they were painted with.
    """
    for i, here, mine in _pixels(stage, transform, buildings, changed):
        here[mine & (here > 0) & (here != NO_DATA)] = CODES[buildings["stage"].iloc[i]]


def _pixels(
    stage: NDArray[np.uint8], transform: Affine, buildings: gpd.GeoDataFrame, chosen: NDArray[np.bool_]
) -> Iterator[tuple[int, NDArray[np.uint8], NDArray[np.bool_]]]:
    """Of each of the chosen buildings its number, the raster around it, as a view, and which of these pixels may be its own."""
    outlines = moved(geometries_of(buildings), ~transform)
    tree = shapely.STRtree(outlines)
    whole = Span(0, 0, *stage.shape)
    for i in np.flatnonzero(chosen):
        # A squared outline leaves out pixels of its building, and takes in few of the next one.
        near = shapely.buffer(outlines[i], RAGGED_PX)
        low_x, low_y, high_x, high_y = near.bounds
        span = Span(math.floor(low_y), math.floor(low_x), math.ceil(high_y), math.ceil(high_x)).intersect(whole)
        if span.is_empty:
            continue
        others = [outlines[k] for k in tree.query(near, predicate="intersects") if k != i]
        place = Affine.translation(span.col0, span.row0)
        mine = rasterize(
            [(near, 1), *((other, 0) for other in others), (outlines[i], 1)], span.size_hw, transform=place, dtype="uint8"
        )
        yield int(i), stage[span.slices()], mine > 0
