"""Scenes that show the same ground: which they are, and where a building counts."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine
from geopandas import GeoSeries
from hypothesis import given
from hypothesis import strategies as st
from pyproj import CRS
from shapely import Point, box

from detect.census.overlaps import counted_once, deleted_elsewhere, groups, overlapping
from detect.scene.scene import open_scene


def table(*rows: tuple[float, float, bool], crs: str = "EPSG:32631") -> gpd.GeoDataFrame:
    """Buildings of 10 m at an x, with a score, cut by the edge or not."""
    return gpd.GeoDataFrame(
        {"score": [s for _, s, _ in rows], "touches_edge": np.array([e for *_, e in rows], bool)},
        geometry=[box(x, 0, x + 10, 10) for x, _, _ in rows],
        crs=crs,
    )


def test_the_best_score_counts_and_a_whole_building_before_a_cut_one() -> None:
    first = table((0, 0.6, False), (100, 0.9, False), (200, 0.9, True), (300, 0.7, False))
    second = table((1, 0.8, False), (101, 0.8, False), (201, 0.5, False), (400, 0.7, False))
    kept, other = counted_once([first, second], [(0, 1)])
    assert kept.tolist() == [1, -1, 1, -1]
    assert other.tolist() == [-1, 0, -1, -1]


def test_equals_count_in_the_first_scene() -> None:
    kept, other = counted_once([table((0, 0.5, False)), table((0, 0.5, False))], [(0, 1)])
    assert (kept.tolist(), other.tolist()) == ([-1], [0])


def test_a_checked_building_counts_before_a_whole_one() -> None:
    first, second = table((0, 0.5, True)).assign(checked=True), table((0, 0.9, False))
    assert [k.tolist() for k in counted_once([first, second], [(0, 1)])] == [[-1], [0]]


def test_of_two_that_count_instead_the_first_scene_is_named() -> None:
    halves, whole = [table((0, 0.8, False)), table((10, 0.9, False))], table((5, 0.1, False))
    assert counted_once([*halves, whole], [(0, 2), (1, 2)])[2].tolist() == [0]


def test_what_was_deleted_in_another_scene_goes_unless_it_was_checked() -> None:
    here = table((0, 0.5, False), (100, 0.5, False), (200, 0.5, False)).assign(checked=[False, True, False])
    points = np.array([Point(5, 5), Point(105, 5), None], object)[:-1]
    nothing = np.array([], object)
    assert [g.tolist() for g in deleted_elsewhere([here, table()], [(0, 1)], [nothing, points])] == [[True, False, False], []]
    assert [g.tolist() for g in deleted_elsewhere([here, table()], [], [nothing, points])] == [[False] * 3, []]


def test_one_that_does_not_count_takes_nothing_away() -> None:
    """Of three in a chain the two ends count where the middle one is the second best."""
    chain = [table((0, 0.9, False)), table((5, 0.8, False)), table((10.5, 0.7, False))]
    assert [k.tolist() for k in counted_once(chain, [(0, 1), (1, 2)])] == [[-1], [0], [-1]]


def test_scenes_that_are_no_pair_take_nothing_from_each_other() -> None:
    assert [k.tolist() for k in counted_once([table((0, 0.5, False)), table((0, 0.9, False))], [])] == [[-1], [-1]]


def test_no_scene_at_all() -> None:
    assert counted_once([], []) == []


def test_tables_in_other_coordinate_systems_and_empty_ones() -> None:
    first, second = table((0, 0.5, False)), table((0, 0.9, False)).to_crs("EPSG:4326")
    empty = table()
    assert [k.tolist() for k in counted_once([first, second, empty], [(0, 1), (0, 2), (1, 2)])] == [[1], [-1], []]


@given(st.randoms(use_true_random=False), st.integers(0, 10_000))
def test_the_order_of_the_scenes_changes_nothing_where_scores_differ(random: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    tables = []
    for _ in range(3):
        drawn = zip(rng.uniform(0, 80, 6), rng.random(6), rng.random(6) < 0.2, strict=True)
        tables.append(table(*((float(x), float(score), bool(cut)) for x, score, cut in drawn)))
    order = random.sample(range(3), 3)
    pairs = [(0, 1), (0, 2), (1, 2)]
    kept = [k < 0 for k in counted_once(tables, pairs)]
    again = [k < 0 for k in counted_once([tables[i] for i in order], pairs)]
    assert all((again[place] == kept[i]).all() for place, i in enumerate(order))


@pytest.fixture
def scenes(write_scene: Any, tmp_path: Any) -> Any:
    """A function that gives scenes of 100 px of 0.5 m whose left edges lie at some columns."""

    def written(*columns: float, dates: tuple[str | None, ...] | None = None) -> list[Any]:
        result = []
        for column, date in zip(columns, dates or (None,) * len(columns), strict=True):
            values = np.full((3, 100, 100), 100, np.uint8)
            path = write_scene(values, transform=Affine(0.5, 0, 500_000 + column * 0.5, 0, -0.5, 5_000_000))
            moved = path.rename(tmp_path / f"scene{len(list(tmp_path.glob('scene*')))}.tif")
            result.append(open_scene(moved, date=date))
        return result

    return written


def test_scenes_overlap_where_they_share_ground_on_one_day(scenes: Any) -> None:
    assert overlapping(scenes(0, 50, 100, 400)) == [(0, 1), (1, 2)], "0 and 100 only touch"
    assert overlapping(scenes(0, 10, 20, dates=("2024-01-01", "2024-02-01", None))) == [(0, 2), (1, 2)]
    assert overlapping([]) == []


def test_a_small_scene_within_a_large_one_overlaps_it(scenes: Any) -> None:
    large, small = scenes(0, 0)
    assert overlapping([replace(large, size_hw=(20_000, 20_000)), small]) == [(0, 1)], "it covers less than 10⁻⁴ of the large one"


def test_scenes_on_both_sides_of_180_degrees_overlap() -> None:
    def scene(west: float, east: float, crs: int) -> Any:
        outline = shapely.segmentize(shapely.box(west, -17.02, east, -17.0), 0.001)
        return SimpleNamespace(crs=CRS.from_epsg(crs), date=None, outline=GeoSeries([outline], crs=4326).to_crs(crs)[0])

    across, east, far = scene(179.99, 180.01, 32760), scene(-179.998, -179.99, 32701), scene(-179.98, -179.97, 32701)
    assert overlapping([across, east, far]) == overlapping([across, east]) == [(0, 1)]
    assert overlapping([east, across]) == [(0, 1)]


def test_groups_are_what_pairs_link() -> None:
    assert groups(5, [(0, 3), (3, 4)]) == [[0, 3, 4], [1], [2]]
    assert groups(2, []) == [[0], [1]]
    assert groups(0, []) == []
