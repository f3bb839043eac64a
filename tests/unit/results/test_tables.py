"""Files as other programs see them."""

from __future__ import annotations

import json
import sqlite3
import xml.etree.ElementTree as ElementTree
from contextlib import closing
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyogrio
import pyproj
import pytest
import rasterio
from affine import Affine
from PIL import Image
from rio_cogeo.cogeo import cog_validate
from shapely import box

from detect.base.geometry import north_px
from detect.base.texts import in_km2
from detect.census.dormitories import rows_layer
from detect.network.probabilities import calibrated
from detect.results.contents import content_hash
from detect.results.overview import _NAME_PX, _apart, _below_top, _counted, _named, write_overview
from detect.results.picture import read_whole
from detect.results.rasters import write_rasters
from detect.results.styles import STAGE_COLOURS_RGB
from detect.results.summary import write_summary
from detect.results.tables import BUILDING_COLUMNS, with_schema, write_gpkg, write_parquet
from detect.results.terminal import format_table
from detect.scene.scene import WorkGrid, open_scene
from tests.conftest import ORIGIN_XY, WriteScene

CRS = pyproj.CRS(32631)
CONTRACT = (
    "id site row stage stage_score p_foundation p_incomplete p_complete score area_m2 length_m width_m orientation_deg rectangularity "
    "dormitory_like dormitory_score beds touches_edge"
).split()


def some(count: int = 3) -> gpd.GeoDataFrame:
    stages = ["foundation", "incomplete", "complete"]
    columns = {
        "id": range(1, count + 1), "site": ["plot", None, "plot"][:count], "row": [1, 0, 1][:count], "stage": stages[:count],
        "dormitory_like": [True, False, True][:count], "dormitory_reasons": "", "beds": 256, "touches_edge": False,
    }  # fmt: skip
    numbers = {name: 0.123456789 for name, kind in BUILDING_COLUMNS.items() if kind == "float64"}
    shapes = [box(ORIGIN_XY[0] + 20 * i, ORIGIN_XY[1] - 30, ORIGIN_XY[0] + 20 * i + 12, ORIGIN_XY[1] - 10) for i in range(count)]
    table = gpd.GeoDataFrame(columns, geometry=gpd.GeoSeries(shapes, crs=CRS), crs=CRS, index=range(count))
    return with_schema(table.assign(**numbers))


def plots() -> gpd.GeoDataFrame:
    shape = box(ORIGIN_XY[0], ORIGIN_XY[1] - 40, ORIGIN_XY[0] + 60, ORIGIN_XY[1])
    return gpd.GeoDataFrame({"name": ["plot"], "planned_buildings": [np.nan], "area_km2": [0.0024]}, geometry=[shape], crs=CRS)


@pytest.mark.parametrize("count", [3, 0])
def test_vector_files_hold_the_contract(tmp_path: Path, count: int) -> None:
    table = some(count)
    assert set(CONTRACT) <= set(table.columns)
    write_gpkg(tmp_path / "b.gpkg", {"buildings": table, "rows": rows_layer(table), "sites": plots()})
    assert {"buildings", "rows", "sites"} <= {str(name) for name, _ in pyogrio.list_layers(tmp_path / "b.gpkg")}
    back = gpd.read_file(tmp_path / "b.gpkg", layer="buildings")
    assert back.crs == CRS
    assert len(back) == count
    assert set(CONTRACT) <= set(back.columns)
    assert back["dormitory_like"].dtype == bool
    assert len(gpd.read_file(tmp_path / "b.gpkg", layer="rows")) == (1 if count else 0)
    write_parquet(tmp_path / "b.parquet", table)
    degrees = gpd.read_parquet(tmp_path / "b.parquet")
    assert degrees.crs.to_epsg() == 4326
    assert {name: str(t) for name, t in degrees.dtypes.items()}["beds"] == "int64"
    import pyarrow.parquet

    meta = json.loads(pyarrow.parquet.read_metadata(tmp_path / "b.parquet").metadata[b"geo"])
    assert meta["version"] == "1.1.0"


def test_the_stored_styles_are_the_defaults_and_well_formed(tmp_path: Path) -> None:
    write_gpkg(tmp_path / "b.gpkg", {"buildings": some(), "rows": rows_layer(some()), "sites": plots()})
    with closing(sqlite3.connect(tmp_path / "b.gpkg")) as connection:
        rows = connection.execute("SELECT f_table_name, useAsDefault, styleQML FROM layer_styles").fetchall()
        geometry = connection.execute("SELECT column_name FROM gpkg_geometry_columns WHERE table_name = 'buildings'").fetchone()
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert [(r[0], r[1]) for r in rows] == [("buildings", 1), ("rows", 1), ("sites", 1)]
    assert rows
    for _, _, style in rows:
        symbols = ElementTree.fromstring(style).findall(".//symbol")
        assert symbols and all(s.find(".//Option[@name='color']") is not None for s in symbols)
    assert geometry == ("geom",)
    root = ElementTree.fromstring(rows[0][2])
    assert len(root.findall(".//rule")) == len(root.findall(".//symbol")) == 6
    assert {"'foundation'", "'incomplete'", "'complete'"} <= {
        word for r in root.iter("rule") for word in r.get("filter", "").split('"stage"=')[1].split(" ")[:1]
    }


def test_a_scene_without_a_place_is_written_too(tmp_path: Path) -> None:
    table = some().set_crs(None, allow_override=True)
    layers = {"buildings": table, "rows": rows_layer(table), "sites": plots().set_crs(None, allow_override=True)}
    write_gpkg(tmp_path / "b.gpkg", layers)
    write_parquet(tmp_path / "b.parquet", table)
    assert gpd.read_parquet(tmp_path / "b.parquet").crs is None


def test_rasters_are_cloud_optimised_and_repeatable(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    size_hw = (700, 1100)
    transform = Affine(0.35, 0, ORIGIN_XY[0], 0, -0.35, ORIGIN_XY[1])
    stage = rng.choice(np.array([0, 0, 0, 1, 2, 3], np.uint8), size_hw)
    missing = rng.random(size_hw) < 0.1
    p = np.where(missing, 255, rng.integers(0, 255, size_hw)).astype(np.uint8)
    grid = WorkGrid(size_hw, transform, 0.35, (1.0, 1.0))
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write_rasters(tmp_path / name, grid, CRS, stage, lambda span: p[span.slices()], calibrated(1.0))
    for name in ("mask.tif", "stage.tif", "probability.tif"):
        first = tmp_path / "one" / name
        valid, errors, warnings = cog_validate(first, strict=True, quiet=True)
        assert valid, (errors, warnings)
        assert first.read_bytes() == (tmp_path / "two" / name).read_bytes()
        with rasterio.open(first) as back:
            assert back.nodata == 255
            assert back.crs == CRS
    with rasterio.open(tmp_path / "one" / "mask.tif") as mask, rasterio.open(tmp_path / "one" / "stage.tif") as back:
        assert (back.read(1) == np.where(missing, 255, stage)).all()
        assert (mask.read(1) == np.select([missing, stage > 0], [255, 1], 0)).all()
        assert back.colormap(1)[3][:3] == STAGE_COLOURS_RGB["complete"]


def test_summary_refuses_what_is_no_json(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_summary(tmp_path / "s.json", {"a": float("nan")})


def test_table_names_sites_intervals_and_assumptions() -> None:
    c = {"estimate": 1234, "low": 1000, "high": 1500}
    three = {"foundation": c, "incomplete": c, "complete": c}
    counts = {"area_km2": 1.39, "buildings": c, "by_stage": three, "dormitory_like": c, "dormitory_by_stage": three}
    counts["beds"] = {"now": c, "when_complete": c, "planned": None}
    sites = [
        {"name": n, "warnings": [f"{n} is odd"], "planned_from": source, **counts}
        for n, source in (("a plot", None), ("b", "ground"))
    ]
    summary = {
        "scene": {"name": "s", "gsd_m": 0.5, "date": None}, "model": {"name": "deep"}, "sites": sites, "total": counts, "outside_sites": 4,
        "assumptions": {"storeys": 2, "rooms_per_building": 64, "beds_per_room": 4}, "warnings": ["beware"],
    }  # fmt: skip
    text = format_table(summary)
    for words in (
        "a plot",
        "all sites",
        "1,234 (1,000–1,500)",
        "64 rooms × 4 beds",
        "4 more buildings",
        "a plot is odd",
        "beds planned of b: as many buildings as fit on the cleared ground",
        "warning: beware",
    ):
        assert words in text
    assert len({len(line) for line in text.splitlines()[2:5]}) == 1, "columns line up"
    assumed = {"structure": "hall", "storeys": 1, "rooms_per_building": 1, "beds_per_room": 1, "rooms_per_metre": None}
    text = format_table({**summary, "outside_sites": 1, "assumptions": assumed})
    assert "1 room × 1 bed in 1 storey for each hall-like building" in text
    assert "1 more building stands outside" in text
    assert "0.5 rooms per metre of length and storey × 1 bed in" in format_table(
        {**summary, "assumptions": {**assumed, "rooms_per_metre": 0.5}}
    )
    assert "beds: none" in format_table({**summary, "assumptions": {**assumed, "rooms_per_building": 0}})


def test_small_areas_are_not_nothing() -> None:
    assert [in_km2(area) for area in (1234.5678, 1.39, 0.031, 0.0023, 0.0004, 0.000001, 0)] == [
        "1234.568", "1.390", "0.031", "0.0023", "0.00040", "0.0000010", "0",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("crs", "transform"),
    [
        ("EPSG:32631", None),
        ("EPSG:4326", Affine(4.5e-6, 0, 36.0, 0, -4.5e-6, 10.0)),
        ("EPSG:32631", Affine.translation(*ORIGIN_XY) * Affine.rotation(30) * Affine.scale(0.5, -0.5)),
    ],
    ids=["projected", "geographic", "rotated"],
)
def test_overview_shows_the_scene_and_its_legend(
    write_scene: WriteScene, tmp_path: Path, crs: str, transform: Affine | None
) -> None:
    scene = open_scene(write_scene(crs=crs, transform=transform))
    table = some(0).set_crs(crs, allow_override=True)
    write_overview(tmp_path / "o.png", scene, read_whole(scene), table, plots().to_crs(crs), draw_sites=True)
    picture = np.asarray(Image.open(tmp_path / "o.png"))
    assert picture.shape[1] >= 760 and picture.shape[0] > 96
    assert picture[-60:].min() < 50, "text below the picture"
    x, y = north_px(scene.transform, scene.size_hw, scene.crs)
    if transform is not None and transform.b:
        assert np.degrees(np.arctan2(x, -y)) == pytest.approx(30, abs=3)
    else:
        assert (x, y) == pytest.approx((0, -1), abs=0.05)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_north_is_shown_only_where_it_is_known(write_scene: WriteScene, tmp_path: Path) -> None:
    feet = []
    for name, scene in (
        ("placed", open_scene(write_scene(name="placed.tif"))),
        ("shot", open_scene(write_scene(name="shot.png", crs=None, driver="PNG"), gsd_m=0.5)),
    ):
        empty = some(0).set_crs(scene.crs, allow_override=True)
        write_overview(tmp_path / f"{name}.png", scene, read_whole(scene), empty, plots(), draw_sites=False)
        feet.append(np.asarray(Image.open(tmp_path / f"{name}.png"))[-100:, -55:])
    assert feet[0].min() == 0 and feet[1].min() == 255


def test_an_overview_of_very_many_buildings_is_tinted(
    write_scene: WriteScene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = open_scene(write_scene())
    pictures = []
    for name, most in (("outlines", 100), ("tints", 0)):
        monkeypatch.setattr("detect.results.overview.MOST_OUTLINES", most)
        write_overview(tmp_path / f"{name}.png", scene, read_whole(scene), some(3), plots(), draw_sites=False)
        pictures.append(np.asarray(Image.open(tmp_path / f"{name}.png")))
    assert pictures[0].shape == pictures[1].shape
    assert 0 < (pictures[0] != pictures[1]).any(axis=-1).mean() < 0.5


def test_equal_tables_have_equal_contents(tmp_path: Path) -> None:
    layers = {"buildings": some(), "rows": rows_layer(some()), "sites": plots()}
    for name in ("a.gpkg", "b.gpkg"):
        write_gpkg(tmp_path / name, layers)
    assert content_hash(tmp_path / "a.gpkg") == content_hash(tmp_path / "b.gpkg")


def test_the_foot_counts_what_is_in_the_sites() -> None:
    table = some(3).assign(site=["plot", None, "plot"])
    assert _counted(table, 0) == "3 buildings found" and _counted(table, 2) == "2 buildings found in 2 sites, 1 outside"
    assert _counted(table.iloc[:1], 1) == "1 building found in 1 site"


def test_names_of_sites_stand_below_their_upper_edge() -> None:
    slanted = np.array([(0, 100), (200, 0), (300, 200), (100, 300)], float)  # at x = 150 the edge is at y = 25
    assert _below_top(slanted) == pytest.approx((150, 25 + _NAME_PX))


def test_names_of_sites_beside_each_other_do_not_cover_each_other() -> None:
    name = "Plot 1 of the northern extension zone"
    assert _apart([name, "b"], [(200, 20), (900, 20)], [40, 40]) == [name, "b"], "there is room beside a small site"
    first, second, far = _apart([name] * 3, [(100, 20), (160, 25), (160, 90)], [60, 60, 60])
    assert first == second == "Plot 1…" and far == name
    assert _apart([], [], []) == []


def test_only_sites_in_the_picture_are_named_and_within_it() -> None:
    def square(x: float, side: float = 50) -> np.ndarray:
        return np.array([[x, 10], [x + side, 10], [x + side, 60], [x, 60]], float)

    around = np.array([[-500, -500], [900, -500], [900, 900], [-500, 900]], float)
    named = list(_named(["at the edge", "beyond", "around"], [square(-40), square(700), around], (200, 400)))
    assert [name for name, _, _ in named] == ["at the edge", "around"]
    assert all(20 < x < 380 and 0 < y < 200 for _, x, y in named)
