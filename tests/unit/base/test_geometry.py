"""Known sizes: what ``measure``, ``area_km2`` and ``ground_size_m`` say of shapes one can check by hand."""

from __future__ import annotations

import re
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pyproj
import pytest
import shapely
from affine import Affine
from shapely import MultiPolygon, Polygon, affinity, box

import detect
from detect.base.geometry import (
    GEOD,
    MEASURES,
    area_km2,
    beside,
    beside_on_map,
    ground_size_m,
    heading_px,
    measure,
    moved,
    rectangle_corners,
    smallest_rectangle_sides,
    span_outline,
    to_degrees,
    to_local_metres,
    unwrapped,
)
from detect.base.grid import Span

DEGREES = pyproj.CRS(4326)
UTM = pyproj.CRS(32631)


@pytest.mark.parametrize(
    ("shape", "heading"),
    [
        (box(0, 0, 20, 5), 90.0),
        (box(0, 0, 5, 20), 0.0),
        (affinity.rotate(box(0, 0, 20, 5), 30), 60.0),  # anticlockwise by 30 from east
        (affinity.rotate(box(0, 0, 20, 5), -30), 120.0),
    ],
)
def test_orientation_is_clockwise_from_north(shape: Polygon, heading: float) -> None:
    row = measure([shape], None).iloc[0]
    assert row["orientation_deg"] == pytest.approx(heading, abs=1e-6)
    assert (row["length_m"], row["width_m"], row["area_m2"]) == pytest.approx((20, 5, 100))


def test_rectangularity_is_the_share_of_the_box() -> None:
    l_shape = Polygon([(0, 0), (20, 0), (20, 5), (10, 5), (10, 10), (0, 10)])
    holed = box(0, 0, 20, 10).difference(box(5, 2, 15, 7))
    pair = MultiPolygon([box(0, 0, 5, 10), box(15, 0, 20, 10)])
    rows = measure([l_shape, holed, pair], None)
    assert rows["area_m2"].tolist() == pytest.approx([150, 150, 100])
    assert rows["rectangularity"].tolist() == pytest.approx([0.75, 0.75, 0.5])
    assert rows["length_m"].tolist() == pytest.approx([20] * 3)


def test_rows_follow_their_polygons() -> None:
    shapes = [box(593_000, 5_747_000, 593_000 + 10 * n, 5_747_004) for n in (1, 4, 2)]
    together = measure(shapes, UTM)
    assert list(together.columns) == list(MEASURES)
    alone = pd.concat([measure([s], UTM) for s in shapes], ignore_index=True)
    pd.testing.assert_frame_equal(together, alone)


def test_nothing_measures_to_an_empty_table() -> None:
    rows = measure([], DEGREES)
    assert list(rows.columns) == list(MEASURES) and not len(rows)
    assert (rows.dtypes == "float64").all()
    assert len(to_local_metres([], None)) == 0


def test_a_degree_is_as_long_as_the_ellipsoid_says() -> None:
    """0.001° at the equator: 111.3195 m east, 110.5743 m north."""
    row = measure([box(10, -0.0005, 10.001, 0.0005)], DEGREES).iloc[0]
    assert (row["length_m"], row["width_m"]) == pytest.approx((111.3195, 110.5743), abs=1e-3)
    assert row["orientation_deg"] == pytest.approx(90)


def test_area_of_large_shapes() -> None:
    assert area_km2(box(0, 0, 1, 1), DEGREES) == pytest.approx(12_308.464, rel=1e-6)  # between parallels, on the ellipsoid
    assert area_km2(box(0, 0, 2000, 1000), None) == 2.0
    assert area_km2(Polygon(), UTM) == 0.0


def test_area_subtracts_holes_and_adds_parts_whatever_their_direction() -> None:
    hole, apart = box(0.2, 0.2, 0.8, 0.8), box(3, 3, 4, 4)
    holed = box(0, 0, 1, 1).difference(hole)
    parts = [area_km2(shape, DEGREES) for shape in (box(0, 0, 1, 1), hole, apart)]
    for polygon in (holed, holed.reverse()):
        both = MultiPolygon([polygon, apart.reverse()])
        assert area_km2(both, DEGREES) == pytest.approx(parts[0] - parts[1] + parts[2], rel=1e-6)


@pytest.mark.parametrize("crs", [4326, 3857, 2263])
def test_the_area_of_a_site_is_the_same_in_every_crs(crs: int) -> None:
    site = Polygon([(585_000, 4_510_000), (586_400, 4_510_200), (586_100, 4_511_300), (585_200, 4_511_000)])
    there = pyproj.Transformer.from_crs(32618, crs, always_xy=True)
    moved = shapely.transform(shapely.segmentize(site, 10), lambda xy: np.column_stack(there.transform(*xy.T)))
    assert area_km2(moved, pyproj.CRS(crs)) == pytest.approx(area_km2(site, pyproj.CRS(32618)), rel=1e-4)


def test_a_shape_across_the_antimeridian_has_its_area() -> None:
    fiji = pyproj.CRS(32760)
    x, y = pyproj.Transformer.from_crs(4326, fiji, always_xy=True).transform(180, -17)
    scale = pyproj.Proj(fiji).get_factors(180, -17).areal_scale
    assert area_km2(box(x - 1000, y - 500, x + 1000, y + 500), fiji) == pytest.approx(2 / scale, rel=1e-4)


@pytest.mark.parametrize(("crs", "size"), [(3857, (0.5, 0.5)), (4326, (1e-5, 2e-5)), (2263, (1.0, 3.0)), (None, (0.3, 0.6))])
def test_ground_size_of_a_pixel(crs: int | None, size: tuple[float, float]) -> None:
    down, right = size
    lon, lat = -74.0, 40.7
    x, y = (0.0, 0.0) if crs is None else pyproj.Transformer.from_crs(4326, crs, always_xy=True).transform(lon, lat)
    got = ground_size_m(Affine(right, 0, x, 0, -down, y), (3, 5), None if crs is None else pyproj.CRS(crs))
    radius = {"north": 6_362_664.0, "east": 6_387_231.0}  # of curvature at 40.7° N
    feet = 0.3048006096
    expected = {
        3857: (
            0.5 * np.cos(np.radians(lat)) * radius["north"] / 6378137,
            0.5 * np.cos(np.radians(lat)) * radius["east"] / 6378137,
        ),
        4326: (np.radians(1e-5) * radius["north"], np.radians(2e-5) * radius["east"] * np.cos(np.radians(lat))),
        2263: (1.0 * feet, 3.0 * feet),
        None: (0.3, 0.6),
    }[crs]
    assert got == pytest.approx(expected, rel=1e-3)


def test_many_are_measured_as_few_are(monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = [box(500_000 + 20 * i, 5_000_000, 500_010 + 20 * i, 5_000_004 + i) for i in range(7)]
    crs = pyproj.CRS.from_epsg(32631)
    together = measure(blocks, crs)
    monkeypatch.setattr("detect.base.geometry._AT_A_TIME", 3)
    pd.testing.assert_frame_equal(measure(blocks, crs), together)


def test_geometries_move_to_the_ground_and_back() -> None:
    transform = Affine(0.5, 0.1, 300, -0.1, -0.5, 700)
    pixels = np.array([box(0, 0, 4, 2), box(10, 20, 11, 25)], dtype=object)
    there = moved(pixels, transform)
    assert shapely.get_coordinates(there[0])[0] == pytest.approx([0.5 * 4 + 300, -0.1 * 4 + 700])
    assert shapely.equals_exact(moved(there, ~transform), pixels, tolerance=1e-9).all()
    assert moved(pixels[1], transform).equals(there[1])
    assert len(moved(pixels[:0], transform)) == 0


def test_the_outline_of_some_pixels_begins_at_the_first_and_follows_the_first_row() -> None:
    outline = span_outline(Affine(0.5, 0, 300, 0, -0.5, 700), Span(2, 4, 12, 24))
    assert list(outline.exterior.coords)[:4] == [(302, 699), (312, 699), (312, 694), (302, 694)]


def test_the_smallest_rectangle_around_one_of_known_corners_has_its_sides() -> None:
    turn = np.radians(30)
    along, across = np.array([np.cos(turn), np.sin(turn)]), np.array([-np.sin(turn), np.cos(turn)])
    corners = rectangle_corners(np.array([100.0, 50.0]), 8 * along, 3 * across)
    assert corners.mean(axis=0) == pytest.approx([100, 50])
    assert corners[1] - corners[0] == pytest.approx(16 * along), "the first side is the long one"
    sides = smallest_rectangle_sides(np.array([shapely.Polygon(corners)], dtype=object))
    assert sides.shape == (1, 2, 2)
    assert np.sort(np.hypot(*sides[0].T)) == pytest.approx([6, 16])


FIJI = pyproj.CRS(32760)


def across_180(length_m: float = 40, width_m: float = 20) -> Polygon:
    """A rectangle whose middle lies on 180°, 16.8° S, in UTM zone 60."""
    x, y = pyproj.Transformer.from_crs(4326, FIJI, always_xy=True).transform(180, -16.8)
    return box(x - length_m / 2, y - width_m / 2, x + length_m / 2, y + width_m / 2)


def test_a_building_across_180_degrees_is_no_larger_than_it_is() -> None:
    row = measure([across_180()], FIJI).iloc[0]
    scale = pyproj.Proj(FIJI).get_factors(180, -16.8).areal_scale
    assert row["area_m2"] == pytest.approx(800 / scale, rel=1e-3)
    assert row["length_m"] == pytest.approx(40, rel=2e-3)
    west, _, east, _ = to_degrees(np.array([across_180()], dtype=object), FIJI)[0].bounds
    assert 179.99 < west < 180 < east < 180.01


def test_a_plot_across_180_degrees_has_one_area_however_its_ring_is_written() -> None:
    east = to_degrees(np.array([across_180(2000, 1000)], dtype=object), FIJI)[0]
    jumping = shapely.transform(east, lambda c: np.where(c > 180, c - 360, c))
    halves = [east.intersection(box(170, -30, 180, 0)), affinity.translate(east.intersection(box(180, -30, 190, 0)), -360)]
    expected = area_km2(across_180(2000, 1000), FIJI)
    for plot in (east, jumping, MultiPolygon(halves)):
        assert area_km2(plot, DEGREES) == pytest.approx(expected, rel=1e-4)


def test_what_does_not_lie_across_180_degrees_stays() -> None:
    for plot in (box(-170, 10, 170, 20), box(-180, -90, 180, 90), box(10, 0, 20, 5), box(-179.9, 0, -179.8, 1)):
        kept = unwrapped(np.array([plot], dtype=object))[0]
        assert kept.equals(plot) == (plot.bounds != (-170, 10, 170, 20)), "a jump of 340° is one of 20° the other way"


@pytest.mark.parametrize(("longitude", "moved_by"), [(180.1, 360), (-179.5, 0), (179.9, 360), (0.0, 0)])
def test_plots_are_brought_to_the_side_where_the_scene_lies(longitude: float, moved_by: float) -> None:
    plot = box(-179.95, 1, -179.9, 2)
    assert beside(np.array([plot], dtype=object), longitude)[0].bounds[0] == pytest.approx(plot.bounds[0] + moved_by)


def test_no_module_uses_the_angles_of_opencv() -> None:
    """OpenCV 4 and 5 give the angle of ``minAreaRect`` in other ranges and its sides in another order; shapely has one way."""
    package = Path(detect.__file__).parent
    assert not [
        path.name
        for path in package.rglob("*.py")
        if re.search(r"\bminAreaRect\b|\bboxPoints\b|\bfitEllipse\b", path.read_text())
    ]


@pytest.mark.parametrize("heading", [0, 1, 44.9, 45, 45.1, 89.9, 90, 135, 179])
def test_length_width_and_direction_do_not_jump_with_the_angle(heading: float) -> None:
    rectangle = affinity.rotate(box(0, 0, 10, 30), -heading, origin=(0, 0))
    measured = measure([rectangle], None).iloc[0]
    assert measured[["length_m", "width_m"]].tolist() == pytest.approx([30, 10])
    assert min(abs(measured["orientation_deg"] - heading), 180 - abs(measured["orientation_deg"] - heading)) < 1e-6


@pytest.mark.parametrize("middle", [0, 100, 150, 180, -150])
def test_plots_across_180_degrees_lie_beside_a_scene_on_any_map(middle: float) -> None:
    crs = pyproj.CRS(f"+proj=merc +lon_0={middle} +datum=WGS84")
    both = [shapely.box(179.99, -17, 180, -16.99), shapely.box(-180, -17, -179.99, -16.99)]
    plots = gpd.GeoSeries([both[0], both[1], shapely.MultiPolygon(both)], crs=4326).to_crs(crs).to_numpy()
    scene_x = gpd.GeoSeries([shapely.Point(179.995, -17)], crs=4326).to_crs(crs)[0].x
    east, west, whole = beside_on_map(plots, crs, scene_x)
    width = east.bounds[2] - east.bounds[0]
    assert east.bounds[0] < scene_x < east.bounds[2]
    assert west.bounds[0] == pytest.approx(east.bounds[2], abs=1) and west.bounds[2] == pytest.approx(
        east.bounds[2] + width, abs=1
    )
    assert whole.bounds[2] - whole.bounds[0] == pytest.approx(2 * width, abs=1)


@pytest.mark.parametrize(("crs", "pole"), [("EPSG:5041", 90), ("EPSG:3031", -90)])
@pytest.mark.parametrize("away_m", [0.0, 3.0, 40.0, 5_000.0])
def test_a_building_beside_a_pole_keeps_its_size(crs: str, pole: float, away_m: float) -> None:
    system = pyproj.CRS(crs)
    x, y = pyproj.Transformer.from_crs(4326, system, always_xy=True).transform(0, pole)
    scale = pyproj.Proj(system).get_factors(0, pole - np.sign(pole) * 0.001).meridional_scale
    block = affinity.scale(affinity.rotate(box(-20, -6, 20, 6), 30), scale, scale, origin=(0, 0))
    for turn in (0, 75, 200):
        moved = affinity.translate(block, x + away_m * np.sin(np.radians(turn)), y + away_m * np.cos(np.radians(turn)))
        sizes = measure([moved], system).iloc[0]
        assert sizes["area_m2"] == pytest.approx(480, rel=2e-3)
        assert (sizes["length_m"], sizes["width_m"]) == (pytest.approx(40, rel=2e-3), pytest.approx(12, rel=2e-3))


@pytest.mark.parametrize("latitude", [89.95, -89.95])
def test_headings_beside_a_pole_are_those_from_true_north(latitude: float) -> None:
    for longitude in (0.0, 100.0, -140.0):
        ahead = np.array([GEOD.fwd(longitude, latitude, heading, 20.0)[:2] for heading in (25.0, 205.0)])
        side = np.array([GEOD.fwd(*point, heading, 3.0)[:2] for point in ahead for heading in (115.0, 295.0)])
        outline = shapely.MultiPoint(side).convex_hull
        assert measure([outline], pyproj.CRS(4326)).iloc[0]["orientation_deg"] == pytest.approx(25, abs=1.5)


@pytest.mark.parametrize("heading", [0.0, 90.0, 200.0])
def test_a_heading_points_to_the_same_ground_however_the_raster_lies(heading: float) -> None:
    crs, size_hw = pyproj.CRS(32633), (100, 100)
    ahead = np.array([np.sin(np.radians(heading)), np.cos(np.radians(heading))])
    for turned in (Affine.scale(1, -1), Affine.scale(1, 1), Affine.scale(-1, -1), Affine.rotation(30) * Affine.scale(2, 2)):
        transform = Affine.translation(500_000, 5_000_000) * turned
        x, y = heading_px(heading, transform, size_hw, crs)
        step = np.array([transform.a * x + transform.b * y, transform.d * x + transform.e * y])
        assert step / np.hypot(*step) == pytest.approx(ahead, abs=0.01)
