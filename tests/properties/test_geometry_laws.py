"""A building measures the same on the ground in whatever coordinate system it is given."""

from __future__ import annotations

from math import atan2, cos, degrees, hypot, radians

import numpy as np
import pyproj
import pytest
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely import Polygon, affinity, box

from detect.base.geometry import GEOD, area_km2, ground_size_m, measure, to_degrees, to_local_metres

law = settings(max_examples=40, deadline=None)
DEGREES = pyproj.CRS(4326)
MERCATOR = pyproj.CRS(3857)
NEW_YORK = pyproj.CRS(2263)  # US survey feet

places = st.tuples(st.floats(-179.9, 179.9), st.floats(-65, 65))
in_new_york = st.tuples(st.floats(-74.2, -73.8), st.floats(40.55, 40.9))
widths = st.floats(5, 60)
ratios = st.floats(1.2, 8)
headings = st.floats(0, 179.99)


def utm_at(lon: float, lat: float) -> pyproj.CRS:
    return pyproj.CRS((32600 if lat >= 0 else 32700) + min(int((lon + 180) // 6) + 1, 60))


def rectangle(lon: float, lat: float, length: float, width: float, heading: float) -> Polygon:
    """In degrees; its sides are ground metres, its long side points ``heading`` degrees clockwise from north."""
    turn, reach = degrees(atan2(width, length)), hypot(length, width) / 2
    azimuths = [heading + turn, heading + 180 - turn, heading + 180 + turn, heading - turn]
    x, y, _ = GEOD.fwd([lon] * 4, [lat] * 4, azimuths, [reach] * 4)
    return Polygon(zip(x, y, strict=True))


def moved(polygon: Polygon, crs: pyproj.CRS, source: pyproj.CRS = DEGREES) -> Polygon:
    forth = pyproj.Transformer.from_crs(source, crs, always_xy=True)
    return shapely.transform(polygon, lambda xy: np.column_stack(forth.transform(*xy.T)))


def assert_measures(polygon: Polygon, crs: pyproj.CRS, length: float, width: float, heading: float) -> None:
    row = measure([polygon], crs).iloc[0]
    assert row["length_m"] == pytest.approx(length, rel=1e-3)
    assert row["width_m"] == pytest.approx(width, rel=1e-3)
    assert row["area_m2"] == pytest.approx(length * width, rel=1e-3)
    assert row["rectangularity"] == pytest.approx(1, rel=1e-3)
    assert 0 <= row["orientation_deg"] < 180
    assert abs((row["orientation_deg"] - heading + 90) % 180 - 90) < 0.1


@law
@given(place=places, width=widths, ratio=ratios, heading=headings)
def test_a_rectangle_measures_the_same_in_every_crs(
    place: tuple[float, float], width: float, ratio: float, heading: float
) -> None:
    length = width * ratio
    shape = rectangle(*place, length, width, heading)
    for crs in (DEGREES, MERCATOR, utm_at(*place)):
        assert_measures(moved(shape, crs), crs, length, width, heading)


@law
@given(place=in_new_york, width=widths, ratio=ratios, heading=headings)
def test_survey_feet_are_measured_in_metres(place: tuple[float, float], width: float, ratio: float, heading: float) -> None:
    length = width * ratio
    shape = rectangle(*place, length, width, heading)
    for crs in (NEW_YORK, utm_at(*place)):
        assert_measures(moved(shape, crs), crs, length, width, heading)


@law
@given(place=places, width=widths, ratio=ratios, heading=headings, shift=st.floats(-50, 50), turn=st.floats(0, 180))
def test_a_plane_without_crs_is_measured_as_it_is(
    place: tuple[float, float], width: float, ratio: float, heading: float, shift: float, turn: float
) -> None:
    shape = affinity.rotate(box(0, 0, width, width * ratio), -heading, origin="centroid")
    there = affinity.rotate(affinity.translate(shape, 1000 * shift, shift), -turn, origin="centroid")
    a, b = measure([shape], None).iloc[0], measure([there], None).iloc[0]
    for name in ("area_m2", "length_m", "width_m", "rectangularity"):
        assert a[name] == pytest.approx(b[name], rel=1e-6)
    assert abs((b["orientation_deg"] - a["orientation_deg"] - turn + 90) % 180 - 90) < 1e-4
    assert a["length_m"] >= a["width_m"]


@law
@given(place=places, width=widths, ratio=ratios, heading=headings)
def test_local_metres_keep_the_distances_between_corners(
    place: tuple[float, float], width: float, ratio: float, heading: float
) -> None:
    shape = rectangle(*place, width * ratio, width, heading)
    before = shape.wkb
    local = shapely.get_coordinates(to_local_metres([shape], DEGREES))
    lon, lat = shapely.get_coordinates(shape).T
    for i in range(1, 4):
        assert hypot(*(local[i] - local[0])) == pytest.approx(GEOD.inv(lon[0], lat[0], lon[i], lat[i])[2], rel=1e-4)
    assert np.abs(local.max(axis=0) + local.min(axis=0)).max() < 1e-6  # centred
    assert shape.wkb == before


@law
@given(place=places, width=st.floats(50, 3000), ratio=ratios, heading=headings)
def test_area_is_the_planar_one_over_the_scale(place: tuple[float, float], width: float, ratio: float, heading: float) -> None:
    utm = utm_at(*place)
    x, y = pyproj.Transformer.from_crs(DEGREES, utm, always_xy=True).transform(*place)
    shape = affinity.rotate(box(x - width / 2, y - width / 2, x + width / 2, y + width / 2), heading)
    scale = pyproj.Proj(utm).get_factors(*place).areal_scale
    assert area_km2(shape, utm) == pytest.approx(shape.area / scale / 1e6, rel=1e-4)
    assert area_km2(shape.reverse(), utm) == pytest.approx(area_km2(shape, utm), rel=1e-6)


@law
@given(place=st.tuples(st.floats(-170, 160), st.floats(-65, 60)), size=st.floats(0.1, 5), ratio=ratios)
def test_area_of_a_lon_lat_box_is_that_of_an_equal_area_cylinder(place: tuple[float, float], size: float, ratio: float) -> None:
    shape = box(*place, place[0] + size, place[1] + size / ratio)
    assert area_km2(shape, DEGREES) == pytest.approx(moved(shape, pyproj.CRS(6933)).area / 1e6, rel=1e-4)


@law
@given(place=places, gsd=st.floats(0.1, 5), stretch=st.floats(0.5, 2), angle=st.floats(0, 90))
def test_pixel_sizes_are_those_on_the_ground(place: tuple[float, float], gsd: float, stretch: float, angle: float) -> None:
    size_hw = (96, 160)
    utm = utm_at(*place)
    x, y = pyproj.Transformer.from_crs(DEGREES, utm, always_xy=True).transform(*place)
    middle = Affine.translation(-size_hw[1] / 2, -size_hw[0] / 2)
    transform = Affine.translation(x, y) * Affine.rotation(angle) * Affine.scale(gsd, -gsd * stretch) * middle
    scale = pyproj.Proj(utm).get_factors(*place).areal_scale ** 0.5
    assert ground_size_m(transform, size_hw, utm) == pytest.approx((gsd * stretch / scale, gsd / scale), rel=1e-4)
    assert ground_size_m(transform, size_hw, None) == pytest.approx((gsd * stretch, gsd), rel=1e-6)


@law
@given(place=places)
def test_degrees_come_back(place: tuple[float, float]) -> None:
    shape = rectangle(*place, 40, 20, 30)
    for crs in (MERCATOR, utm_at(*place)):
        back = to_degrees(np.array([moved(shape, crs)], dtype=object), crs)[0]
        assert back.equals_exact(shape, 1e-9 / cos(radians(place[1])))
