"""The stage raster after buildings were corrected by hand."""

from __future__ import annotations

import geopandas as gpd
import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.features import rasterize

from detect.base.stages import CODES
from detect.base.values import NO_DATA
from detect.base.vectors import geometries_of
from detect.census.review import Review


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
    gone = geometries_of(before[before["id"].isin((*review.deleted, *review.changed))])
    touched = np.array(after["id"].isin(review.redrawn))
    touched[shapely.STRtree(geometries_of(after)).query(gone, predicate="intersects")[1]] = True
    painted = stage
    new = after[touched]
    codes = [CODES[s] for s in new["stage"]]
    for shapes in ([(g, 0) for g in gone], list(zip(geometries_of(new), codes, strict=True))):
        if shapes:
            canvas = rasterize(shapes, out=painted.copy(), transform=transform)
            painted = np.where(stage == NO_DATA, NO_DATA, canvas)
    return painted
