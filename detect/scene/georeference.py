"""Where a raster itself says that it lies."""

from __future__ import annotations

import math
from typing import Any

from affine import Affine
from rasterio.crs import CRS
from rasterio.transform import from_gcps

from detect.base.errors import InputError
from detect.base.secrets import without_keys
from detect.scene.overlays import BEND_PX, overlay_of


def stated_place(dataset: Any, path: str) -> tuple[CRS | None, Affine]:
    """CRS and transform of a raster: those of the overlay that shows it, its own, or of its ground control points.

    Without a CRS, or with the identity as its transform, it has no place.

    Args:
        dataset: an open rasterio dataset.
        path: its name, also of a KML or KMZ file.

    Raises:
        InputError: the control points bend.
    """
    overlay = overlay_of(path)
    if overlay is not None:
        return CRS.from_epsg(4326), overlay.transform(dataset.shape)
    crs, transform = dataset.crs, dataset.transform
    if (crs is None or transform == Affine.identity()) and dataset.gcps[0]:
        points, crs = dataset.gcps
        transform = from_gcps(points)
        worst = 0.0 if transform.is_degenerate else max(math.dist(~transform * (p.x, p.y), (p.col, p.row)) for p in points)
        if worst > BEND_PX:
            raise InputError(
                f"{without_keys(path)}: its ground control points bend by {worst:.0f} px; rectify it first with gdalwarp"
            )
    return crs, transform
