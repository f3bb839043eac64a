"""Results → snapshots of one place."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely

from detect.base.errors import InputError
from detect.base.vectors import geometries_of
from detect.tracks.evidence import probability_within
from detect.tracks.series import Snapshot, load_series
from tests.unit.tracks.drawn_series import PLANE, DrawnSeries, draw_series, write_result


@pytest.fixture(scope="module")
def drawn() -> DrawnSeries:
    return draw_series(3, dates=3, buildings=20, clouded=1, demolished=0, shift_m=0)


def test_any_order_any_coordinate_system_any_pixel(drawn: DrawnSeries, tmp_path: Path) -> None:
    first = write_result(tmp_path / "c", drawn.snapshots[0])
    clouded = write_result(tmp_path / "b", drawn.snapshots[1], crs="EPSG:4326", gsd_m=1.0)
    last = write_result(tmp_path / "a", drawn.snapshots[2], crs="EPSG:3857", gsd_m=0.8)
    series = load_series([last, clouded, first])
    assert series.dates == [s.date for s in drawn.snapshots]
    assert series.crs == PLANE
    assert series.whole
    assert series.snapshots[1].observed.is_empty
    for before, after in ((drawn.snapshots[0], series.snapshots[0]), (drawn.snapshots[2], series.snapshots[2])):
        true = gpd.GeoSeries(geometries_of(before.buildings), crs=PLANE).to_crs(series.plane)
        off = shapely.hausdorff_distance(
            geometries_of(true.to_frame("geometry").set_geometry("geometry")), geometries_of(after.buildings)
        )
        assert off.max() < 0.01
    areas = geometries_of(series.snapshots[2].buildings)  # true metres, though Web Mercator draws 3.2 times as much at 56° N
    np.testing.assert_allclose(
        shapely.area(areas).sum(), shapely.area(geometries_of(drawn.snapshots[2].buildings)).sum(), rtol=2e-3
    )


def test_a_folder_of_results_is_all_of_them(drawn: DrawnSeries, tmp_path: Path) -> None:
    for t, snapshot in enumerate(drawn.snapshots):
        write_result(tmp_path / "out" / f"scene{t}", snapshot)
    series = load_series([tmp_path / "out", tmp_path / "out" / "scene1"])  # one of them named twice
    assert len(series.snapshots) == 3
    assert not series.warnings


def test_another_place_is_refused(drawn: DrawnSeries, tmp_path: Path) -> None:
    here = write_result(tmp_path / "here", drawn.snapshots[0])
    there = write_result(tmp_path / "there", drawn.snapshots[2].moved((5000.0, 0.0)))
    with pytest.raises(InputError, match=r"there: shows another place than .*here \(5\.0 km apart\)"):
        load_series([here, there])


def test_a_date_is_needed(drawn: DrawnSeries, tmp_path: Path) -> None:
    folders = [write_result(tmp_path / str(t), s) for t, s in enumerate(drawn.snapshots)]
    summary = json.loads((folders[1] / "summary.json").read_text())
    summary["scene"]["date"] = None
    (folders[1] / "summary.json").write_text(json.dumps(summary))
    with pytest.raises(InputError, match="1: its scene has no date; run detect predict again with --date YYYY-MM-DD"):
        load_series(folders)
    with pytest.raises(InputError, match="two or more dates are needed, and there is 2025-01-05"):
        load_series(folders[:1])


def test_what_is_no_result_is_said(drawn: DrawnSeries, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere: no such folder"):
        load_series([tmp_path / "nowhere"])
    with pytest.raises(InputError, match="holds no result of detect predict"):
        load_series([tmp_path])
    folder = write_result(tmp_path / "broken", drawn.snapshots[0])
    (folder / "summary.json").write_text("{")
    with pytest.raises(InputError, match=r"summary\.json: is not of detect predict"):
        load_series([folder])


def test_one_with_and_one_without_georeference_are_refused(drawn: DrawnSeries, tmp_path: Path) -> None:
    placed = write_result(tmp_path / "placed", drawn.snapshots[0])
    bare = write_result(tmp_path / "bare", drawn.snapshots[2], crs=None)
    with pytest.raises(InputError, match="bare: has no georeference"):
        load_series([placed, bare])


def test_pictures_without_georeference_are_taken_at_their_word(drawn: DrawnSeries, tmp_path: Path) -> None:
    folders = [write_result(tmp_path / str(t), drawn.snapshots[t], crs=None) for t in (0, 2)]
    series = load_series(folders)
    assert series.plane is None
    assert any("no georeference" in w for w in series.warnings)


def test_two_results_of_one_date_are_one(drawn: DrawnSeries, tmp_path: Path) -> None:
    # A western and an eastern part that overlap: what both show counts once, what either saw was seen.
    whole = drawn.snapshots[2]
    west, south, east, north = whole.observed.bounds
    parts = [
        shapely.box(west, south, west + 0.6 * (east - west), north),
        shapely.box(west + 0.4 * (east - west), south, east, north),
    ]
    folders = [write_result(tmp_path / "first", drawn.snapshots[0])]
    for name, part in zip(("east", "west"), parts[::-1], strict=True):
        inside = shapely.contains(part, shapely.centroid(geometries_of(whole.buildings)))
        shown = replace(
            whole, buildings=whole.buildings[inside].reset_index(drop=True), observed=part.intersection(whole.observed)
        )
        folders.append(write_result(tmp_path / name, shown))
    series = load_series(folders)
    assert len(series.snapshots) == 2
    assert len(series.snapshots[1].buildings) == len(whole.buildings)
    assert series.snapshots[1].observed.area == pytest.approx(whole.observed.area, rel=0.02)
    assert any("several results" in w for w in series.warnings)


@pytest.mark.parametrize(("said", "standing"), [({"changed": [1]}, "late"), ({"deleted": [99]}, "nowhere")])
def test_corrections_count_before_what_nobody_checked(
    drawn: DrawnSeries, tmp_path: Path, said: dict[str, list[int]], standing: str
) -> None:
    whole = drawn.snapshots[2]
    moved = whole.buildings.set_geometry(whole.buildings.translate(0.5, 0))
    folders = [write_result(tmp_path / "0", drawn.snapshots[0]), write_result(tmp_path / "early", whole)]
    folders.append(
        write_result(tmp_path / "late", replace(whole, buildings=moved.iloc[:1] if standing == "late" else moved.iloc[1:]))
    )
    inner = whole.buildings.geometry.iloc[0].representative_point()
    summary = json.loads((folders[-1] / "summary.json").read_text())
    review = {"changed": [], "added": [], "deleted": [], "dormitory_like": {}, **said, "deleted_at": {"99": [inner.x, inner.y]}}
    if "deleted" not in said:
        del review["deleted_at"]
    (folders[-1] / "summary.json").write_text(json.dumps({**summary, "review": review}))
    series = load_series(folders)
    table = series.snapshots[1].buildings
    here = table[table.intersects(gpd.GeoSeries([inner], crs=PLANE).to_crs(series.plane).iloc[0])].to_crs(PLANE)
    assert here.bounds.minx.round(1).tolist() == ([moved.bounds.minx.round(1).iloc[0]] if standing == "late" else [])
    assert len(table) == len(whole.buildings) - (standing == "nowhere")
    assert any("deleted in one of them" in w for w in series.warnings) == (standing == "nowhere")


def test_a_result_that_was_adapted_since_is_left_out(drawn: DrawnSeries, tmp_path: Path) -> None:
    write_result(tmp_path / "first", drawn.snapshots[0])
    for name in ("last", "last+1"):
        write_result(tmp_path / name, drawn.snapshots[2])
    series = load_series([tmp_path])
    assert [p.name for p in series.snapshots[1].folders] == ["last+1"]
    assert "last was adapted since: last+1 is taken" in series.warnings


def in_sheets(snapshot: Snapshot, folder: Path) -> list[Path]:
    """Results of a western and an eastern sheet that meet in the middle of a building and cut it."""
    west, south, east, north = snapshot.observed.bounds
    seam = geometries_of(snapshot.buildings)[0].centroid.x
    folders = []
    for name, part in (("west", shapely.box(west, south, seam, north)), ("east", shapely.box(seam, south, east, north))):
        shapes = shapely.intersection(geometries_of(snapshot.buildings), part)
        shown = snapshot.buildings.set_geometry(shapes)[shapely.area(shapes) > 1].reset_index(drop=True)
        folders.append(write_result(folder / name, replace(snapshot, buildings=shown, observed=part)))
    return folders


def test_sheets_that_meet_are_one_place_at_each_date(drawn: DrawnSeries, tmp_path: Path) -> None:
    folders = [f for t in (0, 2) for f in in_sheets(drawn.snapshots[t], tmp_path / str(t))]
    series = load_series(folders)
    assert len(series.snapshots) == 2
    for t, snapshot in zip((0, 2), series.snapshots, strict=True):
        cut = len(snapshot.buildings) - len(drawn.snapshots[t].buildings)
        assert cut >= 1
        assert any(w.startswith(snapshot.date) and f"{cut} may be cut where sheets meet" in w for w in series.warnings)


def test_a_place_apart_is_refused_though_it_is_of_one_date(drawn: DrawnSeries, tmp_path: Path) -> None:
    here = [write_result(tmp_path / str(t), drawn.snapshots[t]) for t in (0, 2)]
    west, _, east, _ = drawn.snapshots[0].observed.bounds
    apart = write_result(tmp_path / "apart", drawn.snapshots[0].moved((east - west + 50, 0.0)))
    with pytest.raises(InputError, match="another place"):
        load_series([*here, apart])


def test_sites_of_the_latest_result(drawn: DrawnSeries, tmp_path: Path) -> None:
    west, south, east, north = drawn.snapshots[0].observed.bounds
    plots = gpd.GeoDataFrame(
        {"name": ["plot"], "planned_buildings": [30.0]}, geometry=[shapely.box(west, south, east, north)], crs=PLANE
    )
    folders = [write_result(tmp_path / "a", drawn.snapshots[0]), write_result(tmp_path / "b", drawn.snapshots[2], sites=plots)]
    series = load_series(folders)
    assert not series.whole
    assert series.sites["name"].tolist() == ["plot"]
    assert any("different sites; those of b (2025-03-06)" in w for w in series.warnings)


def test_the_probability_map_is_asked_inside_a_footprint(drawn: DrawnSeries, tmp_path: Path) -> None:
    import rasterio

    folders = [write_result(tmp_path / str(t), drawn.snapshots[t]) for t in (0, 2)]
    with rasterio.open(folders[0] / "mask.tif") as mask:
        profile, shape = mask.profile, mask.shape
    values = np.zeros(shape, np.uint8)
    values[:, shape[1] // 2 :] = 127  # the eastern half at p = 1/2
    with rasterio.open(folders[0] / "probability.tif", "w", **profile) as target:
        target.write(values, 1)
    series = load_series(folders)
    bounds = series.snapshots[0].observed.bounds
    x, y = (bounds[0] + bounds[2]) / 2, (bounds[1] + bounds[3]) / 2
    asked = np.array(
        [shapely.box(x - 30, y, x - 20, y + 9), shapely.box(x + 20, y, x + 30, y + 9), shapely.box(x + 9e3, y, x + 9.1e3, y + 9)]
    )
    np.testing.assert_allclose(probability_within(series.snapshots[0], asked, series.plane), [0, 0.5, np.nan], atol=1e-3)
    assert np.isnan(probability_within(series.snapshots[1], asked, series.plane)).all()  # without a map nothing is known
    # A date that was moved is asked where it was.
    moved = series.snapshots[0].moved((0.0, 40.0))
    assert probability_within(moved, asked[1:2], series.plane)[0] == pytest.approx(0.5, abs=1e-3)
