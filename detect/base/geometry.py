"""Measures in true ground metres on the WGS 84 ellipsoid, whatever the CRS."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TypeVar

import numpy as np
import pandas as pd
import pyproj
import shapely
from affine import Affine
from numpy.typing import NDArray
from shapely import Polygon
from shapely.geometry.base import BaseGeometry

from detect.base.grid import Span

Geometry = TypeVar("Geometry", BaseGeometry, NDArray[np.object_])
GEOD = pyproj.Geod(ellps="WGS84")
_AT_A_TIME = 20_000
_CYLINDRICAL = ("Popular Visualisation Pseudo Mercator", "Mercator", "Equidistant Cylindrical", "Lambert Cylindrical Equal Area")
"""Beginnings of the names of projections, as PROJ gives them, in which a turn of the Earth is a move along x."""
_POLAR_DEG = 89.9
"""From this latitude the longitudes of one building differ so much that they make no plane."""
MEASURES = ("area_m2", "length_m", "width_m", "orientation_deg", "rectangularity")


def ground_size_m(transform: Affine, size_hw: tuple[int, int], crs: pyproj.CRS | None) -> tuple[float, float]:
    """Geodesic size of the centre pixel along rows (downwards) and columns (rightwards), metres.

    Args:
        transform: pixels (x = column, y = row) → CRS.
        size_hw: height and width of the raster, pixels.
        crs: None when ``transform`` already gives metres.
    """
    row, col = size_hw[0] / 2, size_hw[1] / 2
    points = [transform * (col + dx, row + dy) for dx, dy in ((0, -0.5), (0, 0.5), (-0.5, 0), (0.5, 0))]
    if crs is None:
        (ax, ay), (bx, by), (cx, cy), (dx, dy) = points
        return float(((bx - ax) ** 2 + (by - ay) ** 2) ** 0.5), float(((dx - cx) ** 2 + (dy - cy) ** 2) ** 0.5)
    x, y = zip(*points, strict=True)
    lon, lat = pyproj.Transformer.from_crs(crs, 4326, always_xy=True).transform(x, y)
    _, _, metres = GEOD.inv([lon[0], lon[2]], [lat[0], lat[2]], [lon[1], lon[3]], [lat[1], lat[3]])
    return float(metres[0]), float(metres[1])


@lru_cache(maxsize=64)  # a collection asks for each of its results
def why_no_place(crs: pyproj.CRS) -> str:
    """Why coordinates in a CRS give no place on Earth, as the end of a sentence about the CRS; empty if they give one."""
    if crs.is_engineering:
        return f"('{crs.name}') is local, without a place on Earth"
    if crs.is_geocentric:
        return f"('{crs.name}') counts from the centre of the Earth"
    if crs.is_vertical and not crs.is_compound:
        return f"('{crs.name}') gives heights alone"
    try:
        pyproj.Transformer.from_crs(crs, 4326, always_xy=True)
    except pyproj.exceptions.ProjError as cause:
        other_body = "celestial body" in str(cause)
        return f"('{crs.name}') {'is of another celestial body' if other_body else 'cannot be brought to longitude and latitude'}"
    return ""


def moved(geometries: Geometry, transform: Affine) -> Geometry:
    """A geometry, or an array of them, with an affine transform applied to each corner; ``~transform`` does the reverse."""
    return shapely.transform(geometries, lambda x, y: transform * (x, y), interleaved=False)


def span_outline(transform: Affine, span: Span) -> Polygon:
    """The rectangle of some pixels in the CRS, from its first corner along the first row.

    Args:
        transform: pixels (x = column, y = row) → CRS.
        span: the pixels.
    """
    corners = ((span.col0, span.row0), (span.col1, span.row0), (span.col1, span.row1), (span.col0, span.row1))
    return Polygon([transform * corner for corner in corners])


def rectangle_corners(
    middle: NDArray[np.float64], half_long: NDArray[np.float64], half_wide: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Corners (4, 2) around a middle (2,), given half of two sides that meet as vectors (2,); the first side is the long one."""
    return middle + np.array([-half_long - half_wide, half_long - half_wide, half_long + half_wide, -half_long + half_wide])


def smallest_rectangle_sides(geometries: NDArray[np.object_]) -> NDArray[np.float64]:
    """Two sides that meet (n, 2, 2), as vectors, of the smallest rotated rectangle around each polygon."""
    boxes = shapely.minimum_rotated_rectangle(geometries)
    return np.diff(np.stack([shapely.get_coordinates(box)[:3] for box in boxes]), axis=1)


def north_px(transform: Affine, size_hw: tuple[int, int], crs: pyproj.CRS | None) -> tuple[float, float]:
    """Unit vector in pixels (x right, y down) towards true north at the middle of a raster.

    Args:
        transform: pixels (x = column, y = row) → CRS.
        size_hw: height and width of the raster, pixels.
        crs: None for a raster without georeference; then up is north.
    """
    if crs is None:
        return 0.0, -1.0
    middle = (size_hw[1] / 2, size_hw[0] / 2)
    to_degrees = pyproj.Transformer.from_crs(crs, 4326, always_xy=True)
    lon, lat = to_degrees.transform(*(transform * middle))
    north_lon, north_lat, _ = GEOD.fwd(lon, lat, 0, 10)
    there = ~transform * to_degrees.transform(north_lon, north_lat, direction="INVERSE")
    x, y = there[0] - middle[0], there[1] - middle[1]
    size = float(np.hypot(x, y)) or 1.0
    return x / size, y / size


def heading_px(heading_deg: float, transform: Affine, size_hw: tuple[int, int], crs: pyproj.CRS | None) -> NDArray[np.float64]:
    """Unit vector in pixels (x right, y down) along a heading, degrees clockwise from true north, at the middle of a raster."""
    x, y = north_px(transform, size_hw, crs)
    clockwise = 1 if transform.determinant < 0 else -1  # in a raster with its south up, east is to the left of north
    turn = clockwise * np.radians(heading_deg)
    return np.array([x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)])


def to_local_metres(geometries: Sequence[BaseGeometry], crs: pyproj.CRS | None) -> NDArray[np.object_]:
    """Each geometry in its own plane of true metres, x east and y north, centred on it.

    The plane touches the ellipsoid at the centre of the geometry's box: a degree of latitude is M·π/180 metres and one of longitude
    N·cos φ·π/180, with the radii of curvature M and N there (Snyder 1987, p. 25). Over a building of 500 m the error is below 0.01 %.

    Args:
        geometries: any geometries, none of them empty.
        crs: CRS of the geometries; None if they are already in metres, with y to the north.
    """
    planar = np.array(geometries, dtype=object)
    if not len(planar):
        return planar
    if crs is not None:
        planar = to_degrees(planar, crs)
    west, south, east, north = shapely.bounds(planar).T
    counts = shapely.get_num_coordinates(planar)
    xy = shapely.get_coordinates(planar) - np.repeat(np.stack([west + east, south + north], axis=1) / 2, counts, axis=0)
    if crs is not None:
        latitude = np.radians((south + north) / 2)
        squash = 1 - GEOD.es * np.sin(latitude) ** 2
        north_m = GEOD.a * (1 - GEOD.es) / squash**1.5
        east_m = GEOD.a / np.sqrt(squash) * np.cos(latitude)
        xy *= np.repeat(np.radians(np.stack([east_m, north_m], axis=1)), counts, axis=0)
    local = shapely.set_coordinates(planar.copy(), xy)
    if crs is not None:
        for i in np.flatnonzero(np.maximum(np.abs(south), np.abs(north)) > _POLAR_DEG):
            local[i] = _beside_pole(planar[i])
    return local


def _beside_pole(degrees: BaseGeometry) -> BaseGeometry:
    """A geometry near a pole, where meridians meet, in a plane as that of ``to_local_metres``: azimuthal and equidistant about the pole."""
    lonlat = shapely.get_coordinates(degrees)
    pole = 1.0 if lonlat[:, 1].mean() > 0 else -1.0
    around = np.column_stack(pyproj.Proj(proj="aeqd", lat_0=90 * pole, ellps="WGS84")(*lonlat.T))
    middle = (around.min(axis=0) + around.max(axis=0)) / 2
    here = np.arctan2(middle[0], -pole * middle[1])
    axes = np.array([[np.cos(here), pole * np.sin(here)], [-pole * np.sin(here), np.cos(here)]])  # to the east, and to the north
    return shapely.transform(degrees, lambda _: (around - middle) @ axes.T)


def to_degrees(geometries: NDArray[np.object_], crs: pyproj.CRS) -> NDArray[np.object_]:
    """Geometries in longitude and latitude, WGS 84; one that lies across 180° continues beyond it (see ``unwrapped``)."""
    transformer = pyproj.Transformer.from_crs(crs, 4326, always_xy=True)
    return unwrapped(shapely.transform(geometries, transformer.transform, interleaved=False))


def unwrapped(degrees: NDArray[np.object_]) -> NDArray[np.object_]:
    """Geometries in degrees of which those that lie across 180° get longitudes above 180 instead of a jump to -180.

    A geometry that is wider than 180° as it stands, and narrower with its western longitudes a turn further, lies across.
    """
    west, _, east, _ = shapely.bounds(degrees).T
    wide = np.flatnonzero(east - west > 180)
    if not wide.size:
        return degrees
    turned = shapely.transform(degrees[wide], lambda lonlat: np.where([True, False], lonlat % 360, lonlat))
    first, _, last, _ = shapely.bounds(turned).T
    across = (last - first > 0) & (last - first < 180)
    result = degrees.copy()
    result[wide[across]] = turned[across]
    return result


def beside(degrees: NDArray[np.object_], longitude: float) -> NDArray[np.object_]:
    """Geometries in degrees, each moved by whole turns to where it is nearest to a longitude."""
    degrees = unwrapped(degrees)
    west, _, east, _ = shapely.bounds(degrees).T
    turns = np.round((longitude - (west + east) / 2) / 360)
    moves = np.repeat(np.nan_to_num(turns) * 360, shapely.get_num_coordinates(degrees))
    return shapely.set_coordinates(degrees.copy(), shapely.get_coordinates(degrees) + np.column_stack([moves, 0 * moves]))


def beside_on_map(geometries: NDArray[np.object_], crs: pyproj.CRS, x: float) -> NDArray[np.object_]:
    """Geometries in a CRS, each moved by whole turns of the Earth to where it is nearest to an x.

    A scene in Web Mercator may continue beyond 180°, where transformed coordinates begin again on the other side. Other kinds of
    projections have no such edge; their geometries stay as they are.
    """
    if crs.is_geographic:
        return beside(geometries, x)
    operation = crs.coordinate_operation
    if operation is None or not any(operation.method_name.startswith(name) for name in _CYLINDRICAL):
        return geometries
    middle = next((float(p.value) for p in operation.params if p.name == "Longitude of natural origin"), 0.0)
    quarters = [middle - 90.0, middle + 90.0]
    edge = pyproj.Transformer.from_crs(crs.geodetic_crs, crs, always_xy=True).transform(quarters, [0.0, 0.0])[0]
    turn = 2 * (edge[1] - edge[0])
    xy, counts = shapely.get_coordinates(geometries), shapely.get_num_coordinates(geometries)
    west, _, east, _ = shapely.bounds(geometries).T
    xy[:, 0] += turn * (np.repeat(east - west > turn / 2, counts) & (xy[:, 0] < sum(edge) / 2))  # the edge of the map has cut it
    joined = shapely.set_coordinates(geometries.copy(), xy)
    west, _, east, _ = shapely.bounds(joined).T
    xy[:, 0] += np.repeat(np.nan_to_num(np.round((x - (west + east) / 2) / turn)) * turn, counts)
    return shapely.set_coordinates(joined, xy)


def measure(geometries: Sequence[BaseGeometry], crs: pyproj.CRS | None) -> pd.DataFrame:
    """Size and direction of polygons on the ground, one row each.

    ``length_m`` ≥ ``width_m`` are the sides of the smallest rotated rectangle around a polygon, ``orientation_deg`` the direction of the
    long side in [0, 180) clockwise from true north, ``rectangularity`` the share of that rectangle which the polygon fills.
    """
    planar = list(geometries)
    if not planar:
        return pd.DataFrame({name: pd.Series(dtype="float64") for name in MEASURES})
    if len(planar) > _AT_A_TIME:  # each step copies the geometries
        parts = (planar[i : i + _AT_A_TIME] for i in range(0, len(planar), _AT_A_TIME))
        return pd.concat([measure(part, crs) for part in parts], ignore_index=True)
    local = to_local_metres(planar, crs)
    area = shapely.area(local)
    sides = smallest_rectangle_sides(local)
    lengths = np.hypot(sides[..., 0], sides[..., 1])
    longest = lengths.argmax(axis=1)
    every = np.arange(len(local))
    along = sides[every, longest]
    length, width = lengths[every, longest], lengths[every, 1 - longest]
    heading = np.degrees(np.arctan2(along[:, 0], along[:, 1])) % 180
    return pd.DataFrame(
        {
            "area_m2": area,
            "length_m": length,
            "width_m": width,
            "orientation_deg": np.where(heading >= 180, 0.0, heading),
            "rectangularity": np.clip(area / np.maximum(length * width, 1e-9), 0, 1),
        }
    )


def area_km2(geometry: BaseGeometry, crs: pyproj.CRS | None) -> float:
    """Area of a polygon of any size on the ellipsoid, km².

    Its edges are straight lines in ``crs``; they are cut into short pieces first, because the geodesic between distant corners is
    another line.
    """
    if geometry.is_empty:
        return 0.0
    if crs is None:
        return float(geometry.area) / 1e6
    if crs.is_geographic:
        geometry = unwrapped(np.array([geometry], dtype=object))[0]
    west, south, east, north = geometry.bounds
    piece = max(east - west, north - south) / 200
    if piece > 0:
        geometry = shapely.segmentize(geometry, piece)
    degrees = to_degrees(np.array([geometry], dtype=object), crs)[0]
    return abs(float(GEOD.geometry_area_perimeter(shapely.orient_polygons(degrees))[0])) / 1e6
