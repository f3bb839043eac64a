"""Cleared ground, pads on it, and room for more."""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from shapely import box

from detect.base.geometry import measure
from detect.census.dormitories import add_dormitories
from detect.census.ground import capacities, survey
from detect.census.profiles import load_profile
from detect.census.sites import assign
from detect.scene.scene import open_scene
from tests.conftest import ORIGIN_XY, WriteScene

PROFILE = load_profile()
CRS = "EPSG:32631"
SIZE_M = (160, 240)  # height, width of the drawn ground
GREEN, EARTH, PAD, ROOF = (90, 110, 70), (160, 142, 118), (196, 176, 150), (120, 120, 130)
BLOCKS = [(20 + 56 * column, 20 + 24 * row) for row in range(3) for column in range(2)]
"""(x, y) of the upper left corners of blocks of 44 × 12 m in metres from the scene's; two columns, steps of 56 and 24 m."""


def at(x: float, y: float, width: float, height: float) -> shapely.Polygon:
    """A rectangle of the drawn ground on the map."""
    return box(ORIGIN_XY[0] + x, ORIGIN_XY[1] - y - height, ORIGIN_XY[0] + x + width, ORIGIN_XY[1] - y)


def painted(write_scene: WriteScene, pads: list[tuple[float, float]], bands: int = 3) -> Path:
    """A cleared yard of 200 × 120 m on green ground, with the blocks and pads on it; pixels of half a metre."""
    rng = np.random.default_rng(5)
    picture = np.empty((3, SIZE_M[0] * 2, SIZE_M[1] * 2))
    picture[:] = np.array(GREEN)[:, None, None]

    def paint(x: float, y: float, width: float, height: float, colour: tuple[int, int, int]) -> None:
        rows, columns = slice(round(2 * y), round(2 * (y + height))), slice(round(2 * x), round(2 * (x + width)))
        picture[:, rows, columns] = np.array(colour)[:, None, None]

    paint(10, 10, 200, 120, EARTH)
    for x, y in pads:
        paint(x, y, 44, 12, PAD)
    for x, y in BLOCKS:
        paint(x, y, 44, 12, ROOF)
    picture = np.clip(picture + rng.normal(0, 3, picture.shape), 1, 255).astype(np.uint8)
    return write_scene(picture[:bands], gsd_m=0.5)


def standing(stage: str = "complete") -> gpd.GeoDataFrame:
    outlines = [at(x, y, 44, 12) for x, y in BLOCKS]
    table = gpd.GeoDataFrame(measure(outlines, rasterio.crs.CRS.from_string(CRS)), geometry=outlines, crs=CRS)
    return add_dormitories(table.assign(stage=stage), PROFILE)


def plots(**shapes: shapely.Geometry) -> gpd.GeoDataFrame:
    return gpd.GeoDataFrame({"name": list(shapes)}, geometry=list(shapes.values()), crs=CRS)


def surveyed(path: Path, sites: gpd.GeoDataFrame, buildings: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    scene = open_scene(path)
    ground = survey(scene, scene.work_grid(0.3), sites, buildings, PROFILE)
    assert ground is not None
    return ground


def test_cleared_ground_is_what_is_bare_and_not_built(write_scene: WriteScene) -> None:
    ground = surveyed(painted(write_scene, []), plots(all=at(0, 0, 240, 160)), standing())
    cleared = ground[ground["kind"] == "cleared"]
    # The yard without the blocks; strips narrower than a block between them count for less.
    free = 200 * 120 - 6 * 44 * 12
    assert 0.75 * free < cleared["area_m2"].sum() < 1.02 * free
    assert cleared.union_all().within(at(9, 9, 202, 122))
    assert not cleared.union_all().intersection(standing().buffer(-1).union_all()).area > 0
    assert set(ground["site"]) == {"all"} and (ground["kind"] == "cleared").all(), "no pad was drawn"


@pytest.mark.parametrize("width_m", [10.0, 12.0])
def test_cleared_ground_keeps_its_place_whatever_the_usual_width(
    write_scene: WriteScene, monkeypatch: pytest.MonkeyPatch, width_m: float
) -> None:
    monkeypatch.setattr("detect.census.ground._usual_width_m", lambda profile: width_m)
    picture = np.full((3, 320, 480), np.array(GREEN)[:, None, None])
    picture[:, 60:260, 80:400] = np.array(EARTH)[:, None, None]
    ground = surveyed(write_scene(picture.astype(np.uint8), gsd_m=0.5), plots(all=at(0, 0, 240, 160)), standing().iloc[:0])
    gaps_m = np.array(at(40, 30, 160, 100).bounds) - ground.union_all().bounds
    assert np.abs(gaps_m[:2] + gaps_m[2:]).max() <= 1.0, "as far from its edge on one side as on the other"


@pytest.mark.parametrize("pads", [[(132, 20)], [(132, 20), (132, 44), (20, 92)]])
def test_pads_that_continue_rows_are_counted(write_scene: WriteScene, pads: list[tuple[float, float]]) -> None:
    ground = surveyed(painted(write_scene, pads), plots(all=at(0, 0, 240, 160)), standing())
    found = ground[ground["kind"] == "pad"].geometry
    assert len(found) == len(pads)
    for x, y in pads:
        assert max(found.intersection(at(x, y, 44, 12)).area) > 0.85 * 44 * 12


def test_a_patch_out_of_line_is_no_pad(write_scene: WriteScene) -> None:
    ground = surveyed(painted(write_scene, [(150, 101)]), plots(all=at(0, 0, 240, 160)), standing())
    assert (ground["kind"] == "cleared").all()


def test_beyond_the_edge_of_a_plot_a_row_has_no_pads(write_scene: WriteScene) -> None:
    """The plot begins 4 m above the first row, so that the next places above it lie outside; the patch below is out of step."""
    ground = surveyed(painted(write_scene, [(76, 104)]), plots(all=at(0, 16, 240, 144)), standing())
    assert (ground["kind"] == "cleared").all()


def test_one_band_tells_nothing_of_plants(write_scene: WriteScene) -> None:
    scene = open_scene(painted(write_scene, [], bands=1))
    told = survey(scene, scene.work_grid(0.3), plots(all=at(0, 0, 240, 160)), standing(), PROFILE)
    assert told is None, "not known, which is not the same as none"


def test_sites_outside_and_green_ones_hold_nothing(write_scene: WriteScene) -> None:
    sites = plots(away=at(2000, 2000, 50, 50), green=at(0, 132, 240, 25))
    assert not len(surveyed(painted(write_scene, []), sites, standing()))


def test_more_fit_as_densely_as_the_finished_rows_stand(write_scene: WriteScene) -> None:
    sites, buildings = plots(all=at(0, 0, 240, 160)), standing()
    buildings["site"] = assign(buildings, sites)
    (capacity,) = capacities(surveyed(painted(write_scene, []), sites, buildings), sites, buildings, PROFILE)
    assert capacity.packing_from == "site" and capacity.pads == 0
    # Six blocks on about 112 × 72 m, gaps of 12 m halved around them.
    assert capacity.packing_per_km2 == pytest.approx(6 / (112 * 72) * 1e6, rel=0.1)
    # A lattice of steps of 56 × 24 m would have nine more places in the yard.
    assert capacity.fits is not None and 6 <= capacity.fits <= 15


def test_a_plot_without_rows_is_packed_as_the_others(write_scene: WriteScene) -> None:
    sites, buildings = plots(built=at(0, 0, 125, 160), empty=at(135, 0, 105, 160)), standing()
    buildings["site"] = assign(buildings, sites)
    ground = surveyed(painted(write_scene, []), sites, buildings)
    built, empty = capacities(ground, sites, buildings, PROFILE)
    assert (built.packing_from, empty.packing_from) == ("site", "all sites")
    assert empty.packing_per_km2 == built.packing_per_km2
    assert empty.fits is not None and 4 <= empty.fits <= 8, "75 × 120 m of the yard"


def test_nothing_of_the_type_tells_no_packing(write_scene: WriteScene) -> None:
    sites, none = plots(all=at(0, 0, 240, 160)), standing().iloc[:0]
    none = none.assign(site=np.array([], object))
    (capacity,) = capacities(surveyed(painted(write_scene, []), sites, none), sites, none, PROFILE)
    assert capacity.fits is None and capacity.packing_from is None and capacity.cleared_km2 > 0.02


def test_pads_fit_at_least(write_scene: WriteScene) -> None:
    sites, buildings = plots(all=at(0, 0, 240, 160)), standing()
    buildings["site"] = "all"
    ground = gpd.GeoDataFrame(
        {"kind": ["pad"] * 3, "site": ["all"] * 3, "area_m2": [528.0] * 3},
        geometry=[at(132, 20 + 24 * k, 44, 12) for k in range(3)],
        crs=CRS,
    )
    (capacity,) = capacities(ground, sites, buildings, PROFILE)
    assert (capacity.pads, capacity.fits, capacity.cleared_km2) == (3, 3.0, 0.0)


def test_buildings_are_asked_for_their_plots_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """To ask each building for each plot took time with plots × buildings."""
    asked, intersects = [], shapely.intersects
    monkeypatch.setattr(shapely, "intersects", lambda *shapes: asked.append(shapes) or intersects(*shapes))
    buildings = standing()
    sites = plots(west=at(0, 0, 70, 100), both=at(0, 0, 240, 160), none=at(500, 0, 10, 10))
    buildings["site"] = assign(buildings, sites.iloc[1:])
    cleared = {"kind": ["cleared"] * 3, "site": sites["name"], "area_m2": [7000.0, 38400.0, 100.0]}
    found = capacities(gpd.GeoDataFrame(cleared, geometry=sites.geometry.to_numpy(), crs=CRS), sites, buildings, PROFILE)
    assert not asked
    assert [c.packing_from for c in found] == ["all sites", "site", "all sites"]
    assert found[0].fits is not None and found[1].fits is not None and found[2].fits == 0 < found[0].fits < found[1].fits
