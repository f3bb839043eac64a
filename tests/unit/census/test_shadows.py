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
from numpy.typing import NDArray

from detect.base.geometry import measure
from detect.base.notices import Code
from detect.base.stages import STAGES
from detect.census import shadows
from detect.census.dormitories import add_dormitories
from detect.census.profiles import load_profile
from detect.census.shadows import FEWEST, as_slabs, open_shadows, slab_notices, storeys
from detect.scene.scene import Scene, WorkGrid, open_scene
from detect.simulate import simulate_compounds
from tests.conftest import WriteScene

PX_M = 0.5
SURE = [0.001, 0.001, 0.998]
"""Probabilities of the stages of a roof that no missing shadow puts in doubt."""


def drawn(
    write_scene: WriteScene, shadow_px: int, gap_px: int = 60, count: int = 6, slabs: tuple[int, ...] = ()
) -> tuple[Path, gpd.GeoDataFrame]:
    """Light blocks of 80 × 24 px on grey ground, one below the other; the sun stands in the south, so shadows fall up the picture.

    Slabs cast none.
    """
    size_hw = (count * (24 + gap_px) + 60, 180)
    picture = np.full(size_hw, 130.0) + np.random.default_rng(3).normal(0, 4, size_hw)
    outlines = []
    for k in range(count):
        row = 50 + k * (24 + gap_px)
        if k not in slabs:
            picture[max(0, row - shadow_px) : row, 50:130] = 45
        picture[row : row + 24, 50:130] = 200
        outlines.append(shapely.box(50, row, 130, row + 24))
    scene = write_scene(np.stack([picture.clip(1, 255).astype(np.uint8)] * 3), gsd_m=PX_M)
    transform: Affine = open_scene(scene).transform
    moved = shapely.transform(np.array(outlines), lambda x, y: transform * (x, y), interleaved=False)
    table = gpd.GeoDataFrame(
        {"dormitory_like": True, "stage": "complete", "touches_edge": False, "dormitory_score": 0.9}
        | {"p_foundation": 0.1, "p_incomplete": 0.1, "p_complete": 0.8},
        index=range(count),
    ).set_geometry(gpd.GeoSeries(list(moved), crs=32631))
    return scene, table


def heights(scene: Scene, grid: WorkGrid, table: gpd.GeoDataFrame) -> NDArray[np.float64]:
    with open_shadows(scene, grid, table) as shadows:
        return shadows.heights()


def casts_none(scene: Scene, grid: WorkGrid, table: gpd.GeoDataFrame, height_m: NDArray[np.float64]) -> NDArray[np.bool_]:
    with open_shadows(scene, grid, table) as shadows:
        return shadows.none_cast(height_m)


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


def flat(path: Path, table: gpd.GeoDataFrame, sun_deg: tuple[float, float] | None = (45.0, 180.0)) -> list[bool]:
    """What casts no shadow in a scene."""
    scene = open_scene(path) if sun_deg is None else open_scene(path, sun_deg=sun_deg)
    grid = scene.work_grid(0.3)
    found: list[bool] = casts_none(scene, grid, table, heights(scene, grid, table)).tolist()
    return found


def test_slabs_among_blocks_cast_no_shadow(write_scene: WriteScene) -> None:
    path, table = drawn(write_scene, shadow_px=14, count=8, slabs=(2, 5))
    assert flat(path, table) == [k in (2, 5) for k in range(8)]
    assert not any(flat(path, table, sun_deg=None)), "nobody knows where the sun stood"


def test_a_roof_that_is_sure_stays(write_scene: WriteScene) -> None:
    path, table = drawn(write_scene, shadow_px=14, count=13, slabs=(2, 5))
    table.loc[2, ["p_foundation", "p_incomplete", "p_complete"]] = SURE
    assert flat(path, table) == [k == 5 for k in range(13)]


def test_where_sure_roofs_cast_no_shadow_the_sun_is_not_what_it_seems(write_scene: WriteScene) -> None:
    path, table = drawn(write_scene, shadow_px=14, count=10, slabs=(2, 5))
    assert flat(path, table)[5]
    table.loc[2, ["p_foundation", "p_incomplete", "p_complete"]] = SURE
    assert not any(flat(path, table))


def test_a_block_with_a_neighbour_in_its_shadow_says_nothing_of_the_light(write_scene: WriteScene) -> None:
    """It is low enough for its height to be known, yet no ray runs as far as the shadows of the others."""
    path, table = drawn(write_scene, shadow_px=14, count=8, slabs=(2, 5))
    near = shapely.transform(table.geometry.iloc[7], lambda x, y: (x, y + 14.0), interleaved=False)  # 2 m up the picture
    table.loc[8] = table.loc[7]
    table.loc[8, ["geometry", "dormitory_like"]] = [near, False]
    scene = open_scene(path, sun_deg=(45.0, 180.0))
    grid = scene.work_grid(0.3)
    height_m = heights(scene, grid, table)
    height_m[7] = 3.0
    assert casts_none(scene, grid, table, height_m).tolist() == [k in (2, 5) for k in range(9)]


def test_a_notice_names_the_slabs() -> None:
    table = gpd.GeoDataFrame({"id": range(1, 13)})
    assert slab_notices(table[:0]) == []
    one, many = (slab_notices(table[:n])[0] for n in (1, 12))
    assert one.code == many.code == Code.NO_SHADOW
    assert "1 building looks" in one.text and one.text.endswith(": id 1")
    assert "12 buildings look" in many.text and "8, 9, 10 …" in many.text


def test_in_a_large_scene_the_slabs_beyond_the_sample_are_found_too(
    write_scene: WriteScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shadows, "MOST", 7)
    path, table = drawn(write_scene, shadow_px=14, count=18, slabs=(2, *range(7, 18, 2)))
    assert flat(path, table) == [k in (2, *range(7, 18, 2)) for k in range(18)]


@pytest.mark.parametrize("off_px", [-2, 2])
def test_a_block_whose_outline_is_off_is_no_slab(write_scene: WriteScene, off_px: int) -> None:
    path, table = drawn(write_scene, shadow_px=14, count=7)
    assert not any(flat(path, table.set_geometry(table.buffer(off_px * PX_M, join_style="mitre"))))


def test_where_many_cast_no_shadow_the_light_is_not_what_it_seems(write_scene: WriteScene) -> None:
    path, table = drawn(write_scene, shadow_px=14, count=12, slabs=(0, 1, 2, 3, 4))
    assert not any(flat(path, table))
    path, table = drawn(write_scene, shadow_px=14, count=6, slabs=(0, 1))
    assert not any(flat(path, table)), f"fewer than {FEWEST} heights are known"


def test_where_the_next_block_stands_too_near_nothing_is_said(write_scene: WriteScene) -> None:
    path, table = drawn(write_scene, shadow_px=14, count=8, slabs=(2,))
    near = shapely.transform(table.geometry.iloc[2], lambda x, y: (x, y + 13.0), interleaved=False)  # 1 m up the picture
    table.loc[8] = table.loc[2]
    table.loc[8, "geometry"] = near
    assert not flat(path, table)[2]


@given(st.lists(st.tuples(*[st.floats(0.001, 1)] * 3), min_size=1, max_size=6), st.data())
def test_a_slab_is_a_foundation_unless_its_roof_is_sure(rows: list[tuple[float, ...]], data: st.DataObject) -> None:
    p = np.array(rows) / np.sum(rows, axis=1, keepdims=True)
    table = gpd.GeoDataFrame({f"p_{stage}": p[:, i] for i, stage in enumerate(STAGES)})
    table = table.assign(stage=np.array(STAGES, object)[p.argmax(axis=1)], stage_score=p.max(axis=1))
    marked = np.array(data.draw(st.lists(st.booleans(), min_size=len(p), max_size=len(p))), bool)
    after = as_slabs(table, marked)
    q = after[[f"p_{stage}" for stage in STAGES]].to_numpy()
    assert q.sum(axis=1) == pytest.approx(1)
    assert (q[marked, 0] >= p[marked, 0]).all() and q[~marked] == pytest.approx(p[~marked])
    assert (after["stage"] == np.array(STAGES, object)[q.argmax(axis=1)]).all()
    assert after["stage_score"].to_numpy() == pytest.approx(q.max(axis=1))


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


def test_a_shadow_that_ends_a_metre_before_the_ray_does() -> None:
    metre = round(1 / shadows.STEP_M)
    wall, length = round(shadows.BEFORE_M / shadows.STEP_M), round((shadows.BEFORE_M + shadows.FARTHEST_M) / shadows.STEP_M)
    ray = np.full(length, 0.1)
    ray[:wall], ray[-metre:-1] = 0.9, 0.8  # lit ground up to a dark last sample
    found = shadows._length_m(ray, np.ones(length, bool), usual=0.8)
    assert found == pytest.approx(shadows.FARTHEST_M - 1, abs=0.5)


@given(st.lists(st.floats(1, 60), min_size=FEWEST, max_size=40))
def test_storeys_lie_in_their_interval(height_m: list[float]) -> None:
    told = storeys(np.array([*height_m, np.nan]))
    assert told is not None and told.buildings == len(height_m)
    assert 1 <= told.low <= told.estimate <= told.high
    assert told == storeys(np.array(height_m[::-1])), "in any order"


def test_few_heights_tell_nothing() -> None:
    assert storeys(np.full(FEWEST - 1, 6.6)) is None
    assert storeys(np.full(50, np.nan)) is None
