"""True ground metres on the WGS 84 ellipsoid, whatever the CRS."""

from __future__ import annotations

import pyproj
from affine import Affine

GEOD = pyproj.Geod(ellps="WGS84")


def ground_size_m(transform: Affine, size_hw: tuple[int, int], crs: pyproj.CRS | None) -> tuple[float, float]:
    """Geodesic size of the centre pixel along rows (downwards) and columns (rightwards), metres.

    Args:
        transform: pixels (x = column, y = row) → CRS.
        size_hw: of the raster, pixels.
        crs: None when ``transform`` already gives metres.
    """
    row, col = size_hw[0] / 2, size_hw[1] / 2
    points = [transform * (col + dx, row + dy) for dx, dy in ((0, -0.5), (0, 0.5), (-0.5, 0), (0.5, 0))]
    if crs is None:
        (ax, ay), (bx, by), (cx, cy), (dx, dy) = points
        return float(((bx - ax) ** 2 + (by - ay) ** 2) ** 0.5), float(((dx - cx) ** 2 + (dy - cy) ** 2) ** 0.5)
    to_degrees = pyproj.Transformer.from_crs(crs, 4326, always_xy=True)
    lon, lat = to_degrees.transform(*zip(*points, strict=True))
    _, _, metres = GEOD.inv([lon[0], lon[2]], [lat[0], lat[2]], [lon[1], lon[3]], [lat[1], lat[3]])
    return float(metres[0]), float(metres[1])
