"""True metres in any coordinate system."""

from __future__ import annotations

import numpy as np
import pyproj
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from shapely import affinity, box

from detect.geometry import GEOD, MEASURES, area_km2, measure


def local_rectangle(lon: float, lat: float, length: float, width: float, heading: float, crs: str) -> shapely.Polygon:
    """A rectangle laid out on the ellipsoid around a place by geodesics, in a CRS."""
    corners = []
    for along, across in ((-1, -1), (1, -1), (1, 1), (-1, 1)):
        x, y, _ = GEOD.fwd(lon, lat, heading if along > 0 else heading + 180, length / 2)
        side = heading + (90 if across > 0 else -90)
        corners.append(GEOD.fwd(x, y, side, width / 2)[:2])
    there = pyproj.Transformer.from_crs(4326, crs, always_xy=True)
    return shapely.Polygon([there.transform(*c) for c in corners])


@given(
    lon=st.floats(-170, 170),
    lat=st.floats(-65, 65),
    length=st.floats(20, 120),
    share=st.floats(0.15, 0.8),
    heading=st.floats(0, 179.9),
)
def test_a_rectangle_has_its_size_in_every_coordinate_system(
    lon: float, lat: float, length: float, share: float, heading: float
) -> None:
    zone = int((lon + 180) // 6) + 1
    for crs in ("EPSG:4326", "EPSG:3857", f"EPSG:{(32600 if lat >= 0 else 32700) + zone}"):
        found = measure([local_rectangle(lon, lat, length, length * share, heading, crs)], pyproj.CRS(crs)).iloc[0]
        assert found["length_m"] == pytest.approx(length, rel=1e-3)
        assert found["width_m"] == pytest.approx(length * share, rel=1e-3)
        assert found["area_m2"] == pytest.approx(length**2 * share, rel=1e-3)
        assert found["rectangularity"] > 0.999
        turned = abs(found["orientation_deg"] - heading) % 180
        assert min(turned, 180 - turned) < 0.1
        assert 0 <= found["orientation_deg"] < 180


def test_us_survey_feet_are_metres_too() -> None:
    found = measure([local_rectangle(-73.97, 40.78, 64, 12, 29, "EPSG:2263")], pyproj.CRS(2263)).iloc[0]
    assert found["length_m"] == pytest.approx(64, rel=1e-3)
    assert found["orientation_deg"] == pytest.approx(29, abs=0.1)


def test_web_mercator_does_not_overstate() -> None:
    planar = box(4_000_000, 7_558_000, 4_000_100, 7_558_100)
    assert measure([planar], pyproj.CRS(3857))["area_m2"][0] == pytest.approx(10_000 / 3.19, rel=0.01)


def test_without_a_coordinate_system_units_are_metres() -> None:
    found = measure([affinity.rotate(box(0, 0, 40, 10), 90)], None).iloc[0]
    assert [round(found[m], 6) for m in ("area_m2", "length_m", "width_m")] == [400, 40, 10]
    assert found["orientation_deg"] == pytest.approx(0, abs=1e-6) or found["orientation_deg"] == pytest.approx(180, abs=1e-6)
    assert area_km2(box(0, 0, 1000, 500), None) == 0.5


def test_an_l_fills_part_of_its_rectangle() -> None:
    shape = shapely.Polygon([(0, 0), (20, 0), (20, 10), (10, 10), (10, 20), (0, 20)])
    found = measure([shape], pyproj.CRS(32637).to_epsg() and None).iloc[0]
    assert found["rectangularity"] == pytest.approx(300 / found["length_m"] / found["width_m"])
    assert found["rectangularity"] < 0.8


def test_nothing_to_measure() -> None:
    assert list(measure([], pyproj.CRS(4326)).columns) == list(MEASURES)
    assert area_km2(shapely.Polygon(), pyproj.CRS(4326)) == 0


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:3857", "EPSG:2263"])
def test_site_area_does_not_depend_on_the_coordinate_system(crs: str) -> None:
    utm = shapely.Polygon([(585_000, 4_510_000), (586_400, 4_510_200), (586_100, 4_511_300), (585_200, 4_511_000)])
    there = pyproj.Transformer.from_crs(32618, crs, always_xy=True)
    dense = shapely.segmentize(utm, 10)
    moved = shapely.transform(dense, lambda xy: np.column_stack(there.transform(*xy.T)))
    truth = area_km2(utm, pyproj.CRS(32618))
    assert area_km2(moved, pyproj.CRS(crs)) == pytest.approx(truth, rel=1e-4)
    assert truth == pytest.approx(utm.area / 1e6, rel=0.001)
    assert area_km2(shapely.reverse(utm), pyproj.CRS(32618)) == pytest.approx(truth)
