"""The ground that a predicted scene shows."""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import numpy as np
import shapely
from affine import Affine
from rasterio.features import shapes

from detect.base.values import NO_DATA
from detect.results.again import opened_raster
from detect.results.folder import SUMMARY, ResultFolder, buildings_file

OBSERVED_PX = 4096
"""Longest side of the picture in which the edge of a scene and its holes are traced."""


def observed_ground(source: str | Path | gpd.GeoDataFrame) -> gpd.GeoDataFrame | None:
    """The ground that the scene of a predict folder shows; None for anything else.

    Raises:
        InputError: the result has no ``mask.tif``, or a damaged one.
    """
    if isinstance(source, gpd.GeoDataFrame) or (buildings := buildings_file(source)) == Path(source):
        return None
    path = buildings.with_name("mask.tif")
    if (path.parent / SUMMARY).is_file():
        ResultFolder(path.parent).require([path.name])
    elif not path.is_file():
        return None
    with opened_raster(path) as mask:
        shrink = max(1.0, max(mask.shape) / OBSERVED_PX)
        size_hw = tuple(max(1, round(n / shrink)) for n in mask.shape)
        seen = (mask.read(1, out_shape=size_hw) != NO_DATA).astype(np.uint8)
        transform = mask.transform * Affine.scale(mask.width / size_hw[1], mask.height / size_hw[0])
        crs = mask.crs
    parts = [shapely.geometry.shape(g) for g, _ in shapes(seen, mask=seen == 1, transform=transform)]
    return gpd.GeoDataFrame(geometry=parts, crs=crs)
