"""``detect collect`` on small results that are written here, without the network."""

from __future__ import annotations

import json
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from affine import Affine
from shapely import Polygon, box

from detect.base.errors import InputError
from detect.census.review import apply_review, read_corrections
from detect.results.tables import write_parquet
from detect.runs.collect import OUTPUTS, collect
from tests.unit.results.test_tables import some

COUNT = {"estimate": 2, "low": 1, "high": 4}
WEST, NORTH = 593_270.0, 5_747_557.0


def write_result(
    folder: Path,
    shapes: list[Polygon],
    *,
    x: float = 0,
    date: str = "2026-06-05",
    score: float = 0.5,
    crs: str | None = "EPSG:32631",
    **more: object,
) -> Path:
    """A result of 100 × 60 m, ``x`` metres to the east, with buildings given in metres from its lower left corner."""
    folder.mkdir(parents=True)
    place = Affine(1, 0, WEST + x, 0, -1, NORTH + 60)
    profile = {"driver": "GTiff", "height": 60, "width": 100, "count": 1, "dtype": "uint8", "crs": crs, "transform": place}
    with rasterio.open(folder / "mask.tif", "w", **profile) as mask:
        mask.write(np.zeros((1, 60, 100), np.uint8))
    table = some(3).iloc[[0] * len(shapes)].reset_index(drop=True)
    moved = gpd.GeoSeries([box(*np.add(s.bounds, [WEST + x, NORTH] * 2)) for s in shapes], crs=crs)
    write_parquet(folder / "buildings.parquet", table.set_geometry(moved).assign(id=range(1, len(shapes) + 1), score=score))
    total = {"area_km2": 0.006, "buildings": COUNT, "dormitory_like": COUNT, "beds": {"now": COUNT}}
    scene = {"name": folder.name, "date": date, "sha256": f"{x}"}
    summary = {"scene": scene, "total": total, "run": {"work_gsd_m": 1.0}, "warnings": [], **more}
    (folder / "summary.json").write_text(json.dumps(summary))
    return folder


A, B = box(60, 10, 80, 20), box(10, 10, 30, 20)


def test_a_building_on_an_overlap_is_there_once(tmp_path: Path) -> None:
    write_result(tmp_path / "out" / "west", [A, B], score=0.5)
    write_result(tmp_path / "out" / "east", [box(10, 10, 30, 20)], x=50, score=0.9)  # A, seen better
    found = collect([tmp_path / "out"], tmp_path / "all")
    assert sorted(zip(found.buildings["scene"], found.buildings["id"], strict=True)) == [("east", 1), ("west", 2)]
    assert found.scenes.set_index("scene")["shown_elsewhere"].to_dict() == {"east": 0, "west": 1}
    assert sorted(p.name for p in (tmp_path / "all").iterdir()) == sorted(OUTPUTS)


CORRECTED = {"changed": [1], "added": [], "deleted": [], "dormitory_like": {}}


def test_a_corrected_building_counts_before_one_that_nobody_checked(tmp_path: Path) -> None:
    write_result(tmp_path / "out" / "first", [box(10, 10, 30, 20)], x=50, score=0.9)
    write_result(tmp_path / "out" / "second", [A, B], score=0.2, review=CORRECTED)
    found = collect([tmp_path / "out"], tmp_path / "all")
    assert sorted(zip(found.buildings["scene"], found.buildings["id"], strict=True)) == [("second", 1), ("second", 2)]


@pytest.mark.parametrize(("checked", "left"), [(False, ["second"]), (True, ["first", "second"])])
def test_a_building_that_was_deleted_does_not_come_back_from_another_scene(
    tmp_path: Path, checked: bool, left: list[str]
) -> None:
    more = {"review": CORRECTED} if checked else {}
    write_result(tmp_path / "out" / "first", [box(10, 10, 30, 20)], x=50, **more)
    before = some(2).set_geometry(gpd.GeoSeries([box(*np.add(s.bounds, [WEST, NORTH] * 2)) for s in (A, B)], crs="EPSG:32631"))
    _, review = apply_review(before, read_corrections(_saved(tmp_path, before.assign(id=[1, 2]).iloc[1:]), before.crs))
    write_result(tmp_path / "out" / "second", [B], review=review.to_json())
    found = collect([tmp_path / "out"], tmp_path / "all")
    assert sorted(found.buildings["scene"]) == left
    assert found.scenes["deleted_elsewhere"].tolist() == [int(not checked), 0]


def _saved(folder: Path, table: gpd.GeoDataFrame) -> Path:
    table.to_file(folder / "corrected.gpkg")
    return folder / "corrected.gpkg"


def test_a_result_that_was_adapted_since_is_left_out(tmp_path: Path) -> None:
    for name in ("scene", "scene+1", "scene+2"):
        write_result(tmp_path / "out" / name, [A])
    write_result(tmp_path / "out" / "other+1", [A], x=500)
    found = collect([tmp_path / "out"], tmp_path / "all")
    assert found.scenes["scene"].tolist() == ["other+1", "scene+2"]
    assert found.left_out == ("scene was adapted since: scene+2 is taken", "scene+1 was adapted since: scene+2 is taken")


def test_dates_stay_side_by_side(tmp_path: Path) -> None:
    for date in ("2026-01-05", "2026-06-05"):
        write_result(tmp_path / "out" / date, [A], date=date)
    assert len(collect([tmp_path / "out"], tmp_path / "all").buildings) == 2


def test_results_of_one_name_and_results_named_twice(tmp_path: Path) -> None:
    one, two = (write_result(tmp_path / call / "scene", [A], x=x) for call, x in (("first", 0), ("second", 500)))
    found = collect([one, two, tmp_path / "first"], tmp_path / "all")
    assert found.scenes["scene"].tolist() == ["scene", "second-scene"]


def test_results_of_different_profiles_are_named(tmp_path: Path) -> None:
    for i, name in enumerate(("dormitory", "house", "house")):
        write_result(tmp_path / "out" / f"scene{i}", [A], x=1000 * i, run={"work_gsd_m": 1.0, "structure": {"name": name}})
    (note,) = collect([tmp_path / "out"], tmp_path / "all").notes
    assert "2 different structure profiles (dormitory in 1 scene, house in 2 scenes)" in note
    assert collect([tmp_path / "out" / "scene1", tmp_path / "out" / "scene2"], tmp_path / "alike").notes == ()


def test_the_map_calls_buildings_by_the_profile_that_counted_them(tmp_path: Path) -> None:
    write_result(tmp_path / "out" / "one", [A], assumptions={"structure": "warehouse"})
    collect([tmp_path / "out"], tmp_path / "all")
    page = (tmp_path / "all" / "map.html").read_text()
    assert "1 warehouse-like" in page or "0 warehouse-like" in page
    assert '"like_name":"warehouse-like"' in page and "dormitory-like" not in page
    write_result(tmp_path / "out" / "two", [A], x=1000, assumptions={"structure": "house"})
    collect([tmp_path / "out"], tmp_path / "both")
    assert '"like_name":"like the profile"' in (tmp_path / "both" / "map.html").read_text()


def test_links_lead_to_results_whatever_their_names(tmp_path: Path) -> None:
    folder = write_result(tmp_path / "a b#c" / "camp #2 100%", [A])
    (folder / "report.html").write_text("")
    collect(tmp_path / "a b#c", tmp_path / "all")
    page = (tmp_path / "all" / "map.html").read_text()
    assert "../a%20b%23c/camp%20%232%20100%25/report.html" in page and "camp #2 100%/report.html" not in page


def test_one_folder_needs_no_list(tmp_path: Path) -> None:
    write_result(tmp_path / "out" / "one", [A])
    assert len(collect(str(tmp_path / "out"), tmp_path / "all").buildings) == 1


def test_results_without_a_place_are_named(tmp_path: Path) -> None:
    write_result(tmp_path / "out" / "shot", [A], crs=None)
    with pytest.raises(InputError, match="shot has no place on Earth: nothing is left"):
        collect([tmp_path / "out"], tmp_path / "all")
    assert not (tmp_path / "all").exists()
    write_result(tmp_path / "out" / "scene", [A])
    assert collect([tmp_path / "out"], tmp_path / "all").left_out == ("shot has no place on Earth",)


def test_nothing_is_replaced_unasked(tmp_path: Path) -> None:
    write_result(tmp_path / "out" / "scene", [A])
    (tmp_path / "all").mkdir()
    (tmp_path / "all" / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="holds something already"):
        collect([tmp_path / "out"], tmp_path / "all")
    collect([tmp_path / "out"], tmp_path / "all", overwrite=True)
    assert (tmp_path / "all" / "mine.txt").read_text() == "mine"


def test_a_broken_result_is_named(tmp_path: Path) -> None:
    (write_result(tmp_path / "out" / "scene", [A]) / "buildings.parquet").unlink()
    with pytest.raises(InputError, match=r"scene: buildings\.parquet is missing"):
        collect([tmp_path / "out"], tmp_path / "all")
