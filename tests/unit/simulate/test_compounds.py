"""Drawn compounds: what stands where at which stage, the same again from the same seed, and truth that goes with the picture."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely

from detect.base.errors import InputError
from detect.base.geometry import area_km2
from detect.cli import main as cli
from detect.scene.scene import open_scene
from detect.simulate import CAMP, STAGES, TOUCHING, Layout, Sun, draw_plot, render, render_on, simulate_compounds
from detect.simulate.layout import countryside
from detect.simulate.parts import Structure, rectangle


def one(tmp_path: Path, **options: object) -> tuple[np.ndarray, gpd.GeoDataFrame, gpd.GeoDataFrame]:
    (scene,), truth = simulate_compounds(tmp_path / "sim", **{"dormitories": 6, "margin_m": 20.0, "gsd_m": 1.0, **options})
    with rasterio.open(scene) as source:
        assert "SIMULATED" in source.tags()["TIFFTAG_IMAGEDESCRIPTION"]
        return source.read(), *(gpd.read_file(truth, layer=layer) for layer in ("buildings", "sites"))


def test_a_compound_has_dormitories_in_a_site_and_says_what_is_planned(tmp_path: Path) -> None:
    picture, buildings, sites = one(tmp_path, seed=3)
    assert picture.shape[0] == 3 and picture.std() > 10
    own = buildings[buildings["dormitory"]]
    assert len(own) == 6 and set(own["beds"]) == {256} and set(own["kind"]) == {"dormitory"}
    assert set(buildings.loc[~buildings["dormitory"], "beds"]) <= {0}
    assert set(buildings["stage"]) <= set(STAGES) and buildings["simulated"].all() and sites["simulated"].all()
    assert sites["planned_buildings"].tolist() == [6]
    assert own.geometry.within(sites.geometry[0]).all()
    shapes = list(buildings.geometry)
    assert not any(a.intersects(b) for i, a in enumerate(shapes) for b in shapes[:i]), "nothing stands in another"


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    paths = [simulate_compounds(tmp_path / n, seed=5, dormitories=5, gsd_m=1.5)[0][0] for n in ("a", "b")]
    assert paths[0].read_bytes() == paths[1].read_bytes()
    other = simulate_compounds(tmp_path / "c", seed=6, dormitories=5, gsd_m=1.5)[0][0]
    assert other.read_bytes() != paths[0].read_bytes()


@pytest.mark.parametrize("bands", [1, 2, 3, 4])
def test_bands_open_as_what_they_are(tmp_path: Path, bands: int) -> None:
    (path,), _ = simulate_compounds(tmp_path, seed=2, dormitories=5, gsd_m=1.5, bands=bands)
    scene = open_scene(str(path))
    assert scene.simulated and scene.date == "2024-06-01" and scene.gsd_m == pytest.approx(1.5, rel=1e-3)
    assert scene.bands == ((1, 1, 1) if bands < 3 else (1, 2, 3))
    with rasterio.open(path) as source:
        assert source.count == bands
        if bands == 4:
            red, _, _, infrared = source.read().astype(float)
            assert infrared.mean() > red.mean(), "plants shine in the near infrared"


def test_building_goes_on_from_date_to_date(tmp_path: Path) -> None:
    scenes, truth = simulate_compounds(tmp_path, seed=4, dormitories=12, gsd_m=1.5, dates=3)
    assert [p.name for p in scenes] == ["scene_2024-06-01.tif", "scene_2024-07-31.tif", "scene_2024-09-29.tif"]
    tables = [gpd.read_file(truth, layer=f"buildings_{p.stem[6:]}").set_index("id") for p in scenes]
    for before, after in itertools.pairwise(tables):
        assert set(before.index) <= set(after.index), "nothing is torn down"
        both = after.loc[before.index]
        assert both.geometry.geom_equals(before.geometry).all()
        steps = both["stage"].map(STAGES.index) - before["stage"].map(STAGES.index)
        assert (steps >= 0).all() and (steps > 0).any(), "none falls back and some move on"
    assert len(tables[2]) > len(tables[0]), "some were begun later"


def test_the_yardstick_is_what_it_says(tmp_path: Path) -> None:
    _, buildings, sites = one(tmp_path, preset="yardstick", dormitories=None, margin_m=70.0, gsd_m=3.0)
    assert sum(area_km2(g, sites.crs) for g in sites.geometry) == pytest.approx(1.39, rel=1e-6)
    assert len(sites) == 3 and sites["planned_buildings"].sum() == 100
    inside = buildings[buildings["site"].notna()]
    assert len(inside) == 50 and inside["dormitory"].all()
    assert min(Counter(inside["stage"]).values()) >= 10, "mixed stages"
    whole = shapely.union_all(list(sites.geometry))
    assert buildings[buildings.intersects(whole)]["site"].notna().all(), "nothing else stands on the plots"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gsd_m": 9}, "--gsd 9"),
        ({"bands": 7}, "--bands 7"),
        ({"dates": 0}, "--dates 0"),
        ({"sun_elevation_deg": 1}, "--sun-elevation 1"),
        ({"preset": "castle"}, "--preset castle"),
        ({"preset": "yardstick", "compounds": 2}, "leave out --compounds"),
    ],
)
def test_wrong_options_leave_nothing(tmp_path: Path, options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        simulate_compounds(tmp_path / "sim", **options)
    assert not (tmp_path / "sim").exists()


def test_the_command_draws_dates_and_refuses_what_does_not_go_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = ["--dormitories", "5", "--gsd", "2"]
    assert cli.main(["simulate", "--out", str(tmp_path / "a"), *few, "--dates", "2", "--bands", "1"]) == 0
    assert "scene_2024-06-01.tif, scene_2024-07-31.tif and truth.gpkg (SIMULATED)" in capsys.readouterr().out
    assert cli.main(["simulate", "--out", str(tmp_path / "b"), "--preset", "yardstick", "--storeys", "3"]) == 2
    assert "--preset yardstick" in capsys.readouterr().err and not (tmp_path / "b").exists()
    assert cli.main(["simulate", "--out", str(tmp_path / "b"), "--seed", "-1"]) == 2


def test_shadows_fall_away_from_the_sun_as_long_as_the_building_is_high() -> None:
    sun = Sun(elevation_deg=45, azimuth_deg=180)
    assert sun.away_xy == pytest.approx([0, -1]), "the sun in the south, shadows to the north"
    assert sun.shadow_m(6.0) == pytest.approx(6.0)
    block = Structure(rectangle(np.array([50.0, 50.0]), 40, 10, 0), "dormitory", 8.0, "white", 0, None, -99, 1, 1, 7)
    layout = Layout((100.0, 100.0), structures=[block])
    picture = render(layout, 1.0, sun, 0, 1, [1]).astype(float)[..., :3].mean(axis=2)
    bare = render(Layout((100.0, 100.0)), 1.0, sun, 0, 1, [1]).astype(float)[..., :3].mean(axis=2)
    ratio = picture / bare
    north, south = ratio[38:44, 35:65].mean(), ratio[57:63, 35:65].mean()  # the block covers rows 45 to 55
    assert north < 0.6 and south == pytest.approx(1, abs=0.05)


def test_stages_follow_each_other() -> None:
    site = Structure(np.zeros((4, 2)), "house", 4, "red", 20, None, begun=1.0, slab_months=2.0, walls_months=3.0, seed=0)
    assert [site.stage(m) for m in (0, 1, 2.9, 3, 5.9, 6, 50)] == [None, *STAGES[:1] * 2, *STAGES[1:2] * 2, *STAGES[2:] * 2]
    assert site.progress(2) == pytest.approx(0.5) and site.progress(4.5) == pytest.approx(0.5) and site.progress(99) == 1


def test_rows_alone_take_the_options_of_whole_compounds(tmp_path: Path) -> None:
    picture, buildings, sites = one(tmp_path, seed=3, preset="rows", gap_m=3.0, bands=4, storeys=3)
    assert picture.shape[0] == 4
    own = buildings[buildings["dormitory"]]
    assert sites["planned_buildings"].tolist() == [len(own)] == [6] and set(own["beds"]) == {3 * 128}
    assert own.geometry.within(sites.geometry[0]).all()
    assert not set(buildings.loc[buildings["site"].notna(), "kind"]) - {"dormitory"}, "no halls and huts beside the rows"


def test_plots_of_training_samples_are_what_their_styles_say() -> None:
    rng = np.random.default_rng(4)
    stages, alike = Counter(), []
    for _ in range(60):
        plot = draw_plot(rng, CAMP, "camp")
        shapes = [shapely.Polygon(s.corners_m) for s in plot.structures]
        assert 3 <= len(shapes) <= 18
        nearest = [min(a.distance(b) for b in shapes if b is not a) for a in shapes]
        assert 2 <= min(nearest) and max(nearest) <= 14
        stages.update(s.stage(0.0) for s in plot.structures)
        alike.append((bool(plot.yards), bool(plot.roads), bool(plot.walls)))
    assert set(stages) == set(STAGES) and stages["complete"] > 0.6 * stages.total()
    assert all(0 < sum(column) < 60 for column in zip(*alike, strict=True)), "some have a yard, strips, a wall, some none"


def test_houses_of_a_terrace_stand_wall_to_wall_under_roofs_that_differ() -> None:
    plot = draw_plot(np.random.default_rng(5), TOUCHING, "street", count=12)
    shapes = [shapely.Polygon(s.corners_m) for s in plot.structures]
    pairs = [(a, b) for a, b in itertools.combinations(range(12), 2) if shapes[a].distance(shapes[b]) < 1e-6]
    assert len(pairs) >= 6
    assert all(plot.structures[a].roof != plot.structures[b].roof for a, b in pairs)
    assert max(shapes[a].intersection(shapes[b]).area for a, b in pairs) < 1e-6


@pytest.mark.parametrize("azimuth_deg", [0, 90, 200])
def test_rows_painted_on_a_picture_have_its_sun_and_leave_the_rest(azimuth_deg: float) -> None:
    picture = np.full((120, 160, 3), 150, np.uint8)
    block = Structure(rectangle(np.array([40.0, 30.0]), 30, 8, 0.3), "dormitory", 6.0, "white", 0, None, -99, 1, 1, 7)
    layout = Layout((60.0, 80.0), structures=[block])
    sun = Sun(45, azimuth_deg)
    painted = render_on(picture, layout, 0.5, sun, np.random.default_rng(1)).astype(float).mean(axis=2)
    assert (picture == 150).all() and painted.shape == (120, 160)
    dark = np.argwhere(painted < 110)[:, ::-1] * 0.5 - [40, 30]  # x, y in metres from the block
    assert len(dark) > 100
    assert (dark @ sun.away_xy).mean() > 3, "shadows fall away from the sun"
    assert np.abs(painted[:10] - 150).max() < 1, "far from the block, the picture stays as it is"


def test_what_lies_beside_a_picture_is_not_painted_on_it() -> None:
    picture = np.full((50, 50, 3), 150, np.uint8)
    plot = draw_plot(np.random.default_rng(2), CAMP, "camp")
    layout = Layout((25.0, 25.0))
    layout.add(plot, np.array([5000.0, 5000.0]))
    assert (render_on(picture, layout, 0.5, Sun(45, 90), np.random.default_rng(1)) == 150).all()


def test_a_country_of_several_compounds_keeps_them_apart() -> None:
    layout = countryside(np.random.default_rng(1), 3, 6, 8.0, 60.0, later=False)
    assert [s.name for s in layout.sites] == ["compound 1", "compound 2", "compound 3"]
    plots = [shapely.Polygon(s.corners_m) for s in layout.sites]
    assert all(a.distance(b) > 50 for i, a in enumerate(plots) for b in plots[:i])
    height, width = layout.size_m
    everything = shapely.union_all([shapely.Polygon(s.corners_m) for s in layout.structures])
    assert shapely.box(0, 0, width, height).contains(everything)
