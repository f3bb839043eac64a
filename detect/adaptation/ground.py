"""The ground of a scene on which a reviewer says what is right, and the buildings there; all in pixels of the work grid."""

from __future__ import annotations

from dataclasses import dataclass

import geopandas as gpd
import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from detect.base.geometry import moved
from detect.base.vectors import geometries_of
from detect.census.review import Review
from detect.scene.scene import WorkGrid

AROUND_M = 8.0
"""Without windows of a reviewer, ground this far around a corrected building counts as checked."""
PRESUMED_FROM = 0.8
"""Without windows only mistakes are known, on which any change looks like a gain. So as many buildings of at least this score that were
left alone, spread over the scene, are presumed right."""
APART_M = 2.0
"""Such ground keeps this distance from buildings that nobody has checked."""


@dataclass(frozen=True)
class Ground:
    """What is known about a scene; x = column, y = row of the work grid."""

    checked: BaseGeometry
    """Polygons inside which every building is outlined."""
    buildings: NDArray[np.object_]
    """(n,) outlines of the buildings as corrected, wherever they stand."""

    @property
    def inside(self) -> NDArray[np.bool_]:
        """(n,) which buildings stand on checked ground, by their inner point."""
        shapely.prepare(self.checked)
        return np.asarray(shapely.contains(self.checked, shapely.point_on_surface(self.buildings)), bool)


def known_ground(
    grid: WorkGrid, before: gpd.GeoDataFrame, corrected: gpd.GeoDataFrame, review: Review, windows: gpd.GeoDataFrame | None
) -> Ground:
    """The checked ground: the windows of the reviewer, or without any the surroundings of each corrected building and of some others.

    Args:
        grid: work grid of the scene.
        before: buildings with ``id`` as they were found, in the scene's CRS.
        corrected: the same as corrected.
        review: which of them were changed, added or deleted, or are confirmed.
        windows: polygons in the scene's CRS inside which all is right.
    """
    to_px = ~grid.transform
    scene = shapely.box(0, 0, grid.size_hw[1], grid.size_hw[0])
    outlines = moved(geometries_of(corrected), to_px)
    if windows is not None:
        checked = shapely.union_all(moved(geometries_of(windows), to_px))
    else:
        right = corrected["id"].isin(review.checked).to_numpy(bool, copy=True)
        earlier = review.bare_points(corrected, known=before["id"])  # of what an earlier review deleted, only a point is left
        gone = moved(np.concatenate([geometries_of(before[before["id"].isin(review.deleted)]), earlier]), to_px)
        sure = np.flatnonzero(~right & (corrected["score"].to_numpy(float) >= PRESUMED_FROM))
        right[sure[np.linspace(0, len(sure) - 1, min(len(sure), int(right.sum()) + len(gone))).astype(int)]] = True
        around = shapely.buffer(np.concatenate([outlines[right], gone]), AROUND_M / grid.gsd_m)
        unchecked = shapely.buffer(outlines[~right], APART_M / grid.gsd_m)
        checked = shapely.difference(shapely.union_all(around), shapely.union_all(unchecked))
    return Ground(shapely.intersection(checked, scene), outlines)
