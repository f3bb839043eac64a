"""Which scenes meet, and what they warn of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pyproj
import pytest
from affine import Affine
from rasterio.warp import calculate_default_transform

from detect.scene.scene import Scene, open_scene
from detect.scene.sheets import listed, meetings, warned
from tests.conftest import WriteScene

Draw = Callable[..., Scene]


@pytest.fixture
def sheet(write_scene: WriteScene) -> Draw:
    """A function that gives a scene of 80 × 100 px whose upper left pixel lies at a (row, column) of a grid of 0.5 m."""

    def draw(row: float = 0, column: float = 0, *, date: str | None = None, gsd_m: float = 0.5, crs: str = "EPSG:32631") -> Scene:
        values = np.random.default_rng(1).integers(1, 255, (3, 80, 100), np.uint8)
        transform = Affine(gsd_m, 0, 590_000 + column * 0.5, 0, -gsd_m, 5_700_000 - row * 0.5)
        return open_scene(write_scene(values, name=f"s_{row}_{column}.tif", transform=transform, crs=crs), date=date)

    return draw


def pairs(*scenes: Scene) -> list[tuple[int, int]]:
    return [(m.first, m.second) for m in meetings(scenes)]


def test_scenes_meet_along_an_edge_or_where_they_overlap_but_not_at_a_corner(sheet: Draw) -> None:
    assert pairs(sheet(0, 0), sheet(0, 100), sheet(80, 0), sheet(80, 100), sheet(0, 300)) == [(0, 1), (0, 2), (1, 3), (2, 3)]
    assert pairs(sheet(0, 0), sheet(70, 90)) == [], "they share a corner of 10 px"
    assert pairs(sheet(0, 0), sheet(60, 60)) == [(0, 1)]
    assert pairs() == pairs(sheet()) == []


@pytest.mark.parametrize(("column", "meet"), [(99, True), (101, True), (102.5, False), (110, False)])
def test_a_gap_of_a_pixel_or_two_is_bridged(sheet: Draw, column: float, meet: bool) -> None:
    assert bool(pairs(sheet(0, 0), sheet(0, column))) is meet


def test_the_width_of_what_both_show(sheet: Draw) -> None:
    (touching,) = meetings([sheet(0, 0), sheet(0, 100)])
    (overlapping,) = meetings([sheet(0, 0), sheet(0, 60)])
    assert touching.width_m == pytest.approx(0, abs=1e-3)
    assert overlapping.width_m == pytest.approx(40 * 0.5, rel=1e-3)
    assert touching.cuts
    assert overlapping.cuts


def test_a_wide_overlap_shows_every_building_whole_in_one_scene(sheet: Draw) -> None:
    scenes = [sheet(0, 0, gsd_m=2), sheet(0, 30, gsd_m=2)]
    (wide,) = meetings(scenes)  # 160 m by 185 m are shared
    assert wide.width_m > 100
    assert not wide.cuts
    assert [s.warnings for s in warned(scenes, [wide])] == [s.warnings for s in scenes]
    first, _ = warned(scenes, [wide], {(0, 1): "bands differ"})
    assert first.warnings[-1] == "sheets: s_0_30 meets this scene and cannot be joined with it (bands differ)"


def test_scenes_of_two_dates_do_not_meet(sheet: Draw) -> None:
    june, july, unknown = sheet(0, 0, date="2024-06-01"), sheet(0, 100, date="2024-07-01"), sheet(80, 0)
    assert pairs(june, july, unknown) == [(0, 2)]


def test_scenes_meet_across_coordinate_systems(sheet: Draw) -> None:
    first = sheet(0, 0)
    web = sheet(0, 90)
    place, width, height = calculate_default_transform("EPSG:32631", "EPSG:3857", 100, 80, *web.outline.bounds)
    web = replace(web, crs=pyproj.CRS("EPSG:3857"), transform=place, size_hw=(height, width))
    assert pairs(first, web) == pairs(web, first) == [(0, 1)]
    assert pairs(first, replace(web, transform=Affine.translation(0, 1000) * place)) == []


def test_both_scenes_name_each_other(sheet: Draw) -> None:
    scenes = [sheet(0, 0), sheet(0, 100), sheet(0, 400)]
    first, second, alone = warned(scenes, meetings(scenes))
    assert first.warnings[-1] == (
        "sheets: s_0_100 meets this scene; buildings on the seam are cut and may count twice; --join takes such sheets as one scene"
    )
    assert second.warnings[-1].startswith("sheets: s_0_0 meets this scene")
    assert alone.warnings == scenes[2].warnings


def test_reasons_are_named_and_joined_pairs_keep_silent(sheet: Draw) -> None:
    scenes = [sheet(0, 0), sheet(0, 100), sheet(80, 0)]
    marked = warned(scenes, meetings(scenes), {(0, 2): "bands differ"})
    assert marked[0].warnings[-1] == (
        "sheets: s_80_0 meets this scene and cannot be joined with it (bands differ); "
        "buildings on the seam are cut and may count twice"
    )
    assert marked[1].warnings == scenes[1].warnings


def test_of_many_names_the_first_ones_are_shown() -> None:
    assert [listed("abcdefg"[:n]) for n in (1, 2, 4, 6)] == ["a", "a and b", "a, b, c and d", "a, b, c and 3 more"]


def test_pictures_without_georeference_meet_none(sheet: Draw) -> None:
    assert pairs(replace(sheet(0, 0), crs=None), replace(sheet(0, 50), crs=None)) == []
