from __future__ import annotations

import math

import numpy as np
import pytest
import shapely

from detect.base.errors import InputError
from detect.scene.tiles.pyramid import (
    HALF_WORLD_M,
    Pyramid,
    choose_level,
    column_read,
    plain_text,
    plan,
    true_gsd_m,
    web_mercator_levels,
)

WORLD = Pyramid("drawn", web_mercator_levels(0, 22), lambda level, column, row: None)


def square(lon: float, lat: float, side_deg: float = 0.001) -> shapely.Polygon:
    return shapely.box(lon, lat, lon + side_deg, lat + side_deg)


def test_the_pixel_of_a_zoom_is_true_on_the_ground() -> None:
    level = WORLD.levels[18]
    assert level.transform.a == pytest.approx(2 * HALF_WORLD_M / 256 / 2**18)
    assert true_gsd_m(WORLD, level, square(0, 0)) == pytest.approx(0.597, abs=0.003)
    assert true_gsd_m(WORLD, level, square(10, 56)) == pytest.approx(0.597 * math.cos(math.radians(56)), rel=0.004)


@pytest.mark.parametrize(("latitude", "zoom"), [(0, "19"), (45, "19"), (56, "18"), (70, "18"), (75, "17")])
def test_the_zoom_follows_the_true_pixel(latitude: float, zoom: str) -> None:
    assert choose_level(WORLD, square(11, latitude), 0.274).name == zoom


def test_only_tiles_that_touch_the_area_are_read() -> None:
    level = WORLD.levels[4]  # a tile is 22.5 degrees wide
    two = shapely.MultiPolygon([square(1, 1), square(-60, 1)])
    wanted = plan(WORLD, level, two)
    assert wanted.tiles == ((5, 7), (8, 7))
    # the raster begins and ends with the area, not with the tiles
    assert wanted.span.col0 == math.floor((120 / 360) * 16 * 256)
    assert wanted.span.col1 == math.ceil((181.001 / 360) * 16 * 256)


def test_an_area_across_180_degrees_goes_on_in_the_first_column() -> None:
    wanted = plan(WORLD, WORLD.levels[3], shapely.box(179, 1, 181, 2))
    assert wanted.tiles == ((7, 3), (8, 3))
    assert [column_read(WORLD, wanted.level, column) for column, _ in wanted.tiles] == [7, 0]


def test_plots_far_apart_do_not_become_one_raster() -> None:
    with pytest.raises(InputError, match="km wide"):
        plan(WORLD, WORLD.levels[18], shapely.MultiPolygon([square(0, 0), square(2, 0)]))


def test_a_credit_is_text() -> None:
    assert plain_text('&copy; <a href="https://x.org">X &amp; Y</a>\n 2024') == "© X & Y 2024"


def test_another_size_of_tile_covers_the_same_ground() -> None:
    small, large = web_mercator_levels(5, 5, 256)[0], web_mercator_levels(5, 5, 512)[0]
    assert np.allclose(small.transform * (256, 256), large.transform * (512, 512))
