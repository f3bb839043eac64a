"""Heights and storeys from shadows."""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st

from detect.base.geometry import measure
from detect.census.dormitories import add_dormitories
from detect.census.profiles import load_profile
from detect.census.shadows import FEWEST, heights, storeys
from detect.scene.scene import open_scene
from detect.simulate import simulate_compounds
from tests.conftest import WriteScene

PX_M = 0.5


def drawn(write_scene: WriteScene, shadow_px: int, gap_px: int = 60, count: int = 6) -> tuple[Path, gpd.GeoDataFrame]:
    """Light blocks of 80 × 24 px on grey ground, one below the other; the sun stands in the south, so shadows fall up the picture."""
    size_hw = (count * (24 + gap_px) + 60, 180)
    picture = np.full(size_hw, 130.0) + np.random.default_rng(3).normal(0, 4, size_hw)
    outlines = []
    for k in range(count):
        row = 50 + k * (24 + gap_px)
        picture[max(0, row - shadow_px) : row, 50:130] = 45
        picture[row : row + 24, 50:130] = 200
        outlines.append(shapely.box(50, row, 130, row + 24))
    scene = write_scene(np.stack([picture.clip(1, 255).astype(np.uint8)] * 3), gsd_m=PX_M)
    transform: Affine = open_scene(scene).transform
    moved = shapely.transform(np.array(outlines), lambda x, y: transform * (x, y), interleaved=False)
    table = gpd.GeoDataFrame(
        {"dormitory_like": True, "stage": "complete", "touches_edge": False, "dormitory_score": 0.9}, index=range(count)
    ).set_geometry(gpd.GeoSeries(list(moved), crs=32631))
    return scene, table


@pytest.mark.parametrize(("shadow_px", "height_m"), [(14, 7.0), (26, 13.0)])
def test_a_shadow_as_long_as_the_block_is_high(write_scene: WriteScene, shadow_px: int, height_m: float) -> None:
    path, table = drawn(write_scene, shadow_px)
    scene = open_scene(path, sun_deg=(45.0, 180.0))
    found = heights(scene, scene.work_grid(0.3), table)
    assert np.isfinite(found).all()
    assert found == pytest.approx(height_m, abs=0.35)


def test_blocks_closer_than_their_shadows_are_not_measured(write_scene: WriteScene) -> None:
    path, table = drawn(write_scene, shadow_px=26, gap_px=20)
    scene = open_scene(path, sun_deg=(45.0, 180.0))
    found = heights(scene, scene.work_grid(0.3), table)
    assert np.isfinite(found).sum() == 1, "the first one's shadow falls on open ground"
    assert storeys(found) is None


def test_only_complete_blocks_of_the_type_in_known_light(write_scene: WriteScene) -> None:
    path, table = drawn(write_scene, shadow_px=14)
    table.loc[0, "stage"], table.loc[1, "dormitory_like"], table.loc[2, "touches_edge"] = "incomplete", False, True
    dark = open_scene(path)
    assert np.isnan(heights(dark, dark.work_grid(0.3), table)).all(), "nobody knows where the sun stood"
    scene = open_scene(path, sun_deg=(45.0, 180.0))
    assert np.isfinite(heights(scene, scene.work_grid(0.3), table)).tolist() == [False] * 3 + [True] * 3
    night = open_scene(path, sun_deg=(3.0, 180.0))
    assert np.isnan(heights(night, night.work_grid(0.3), table)).all(), "shadows at dusk are endless"


def test_no_shadow_no_height(write_scene: WriteScene) -> None:
    path, table = drawn(write_scene, shadow_px=0)
    scene = open_scene(path, sun_deg=(45.0, 180.0))
    assert np.isnan(heights(scene, scene.work_grid(0.3), table)).all()


@pytest.mark.parametrize(("floors", "seed"), [(2, 900), (3, 901)])
def test_storeys_of_a_drawn_compound(tmp_path: Path, floors: int, seed: int) -> None:
    """The sun tag of the picture and the true outlines: the storeys that were drawn."""
    (path,), truth = simulate_compounds(
        tmp_path, seed=seed, dormitories=24, gap_m=16.0, storeys=floors, sun_elevation_deg=50, gsd_m=0.4
    )
    table = gpd.read_file(truth, layer="buildings")
    assert set(table.loc[table["dormitory"], "storeys"]) == {floors}
    assert set(table.loc[table["dormitory"], "beds"]) == {128 * floors}
    table = table.assign(**measure(list(table.geometry), table.crs), touches_edge=False)
    table = add_dormitories(table, load_profile())
    scene = open_scene(path)
    told = storeys(heights(scene, scene.work_grid(0.3), table))
    assert told is not None and told.buildings >= FEWEST
    assert told.low <= floors <= told.high and told.estimate == floors


@given(st.lists(st.floats(1, 60), min_size=FEWEST, max_size=40))
def test_storeys_lie_in_their_interval(height_m: list[float]) -> None:
    told = storeys(np.array([*height_m, np.nan]))
    assert told is not None and told.buildings == len(height_m)
    assert 1 <= told.low <= told.estimate <= told.high
    assert told == storeys(np.array(height_m[::-1])), "in any order"


def test_few_heights_tell_nothing() -> None:
    assert storeys(np.full(FEWEST - 1, 6.6)) is None
    assert storeys(np.full(50, np.nan)) is None
