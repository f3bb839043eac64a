"""Corrections from the page, which hold only what was corrected, and those of two people together."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import geopandas as gpd
import pandas as pd
import pytest
import shapely
from shapely import Polygon, affinity, box

from detect.base.errors import InputError
from detect.census.review import Review, apply_review
from detect.census.reviews import read_reviews
from tests.unit.census.test_review import CRS, found

NEW = box(400_300, 6_000_000, 400_330, 6_000_010)


def said(number: int | None, correction: str, shape: Polygon, **more: Any) -> dict[str, Any]:
    """A feature as the page writes it."""
    lonlat = gpd.GeoSeries([shape], crs=CRS).to_crs(4326)[0]
    properties = {"id": number, "correction": correction, "stage": "complete", "dormitory_like": False, "redrawn": False}
    return {"type": "Feature", "properties": properties | more, "geometry": json.loads(shapely.to_geojson(lonlat))}


def page(path: Path, *features: dict[str, Any]) -> Path:
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


def at(number: int) -> Polygon:
    return found().set_index("id").geometry[number]


def test_a_page_names_what_was_corrected_and_leaves_the_rest(tmp_path: Path) -> None:
    path = page(
        tmp_path / "c.geojson",
        said(1, "confirmed", affinity.translate(at(1), 0.1, 0.1)),  # rounded
        said(2, "changed", at(2), stage="foundation", dormitory_like=True),
        said(3, "deleted", at(3)),
        said(None, "added", NEW, redrawn=True, stage="incomplete"),
    )
    table, review = apply_review(found(), read_reviews([path], found(), CRS).table)
    assert review == Review(changed=(2,), added=(5,), deleted=(3,), confirmed=(1,), likeness={2: True, 5: False})
    assert table["id"].tolist() == [1, 2, 4, 5]
    assert table.geometry[0].equals(at(1)), "an outline that nobody drew stays as it was found"
    assert table["p_complete"].tolist() == [1.0, 0.0, 0.7, 0.0]


def test_a_split_keeps_what_the_page_said_of_both_parts(tmp_path: Path) -> None:
    west, south, east, north = at(1).bounds
    halves = [box(west, south, west + 14, north), box(west + 14, south, east, north)]
    path = page(tmp_path / "c.geojson", said(1, "changed", halves[0], redrawn=True), said(None, "added", halves[1], redrawn=True))
    table, review = apply_review(found(), read_reviews([path], found(), CRS).table)
    assert (review.changed, review.added) == ((1,), (5,)) and len(table) == 5
    assert review.likeness == {1: False, 5: False}, "it is meant for the new outlines"


def test_a_file_of_another_result_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"c\.geojson: building 9 is not in this result"):
        read_reviews([page(tmp_path / "c.geojson", said(9, "deleted", at(1)))], found(), CRS)
    with pytest.raises(InputError, match=r"c\.geojson: building 2 has another outline in this result"):
        read_reviews([page(tmp_path / "c.geojson", said(2, "confirmed", at(3)))], found(), CRS)


def test_a_scene_without_a_place_takes_its_own_coordinates(tmp_path: Path) -> None:
    nowhere = found().set_crs(None, allow_override=True)
    feature = said(2, "deleted", at(2)) | {"geometry": json.loads(shapely.to_geojson(at(2)))}
    review = apply_review(nowhere, read_reviews([page(tmp_path / "c.geojson", feature)], nowhere, None).table)[1]
    assert review.deleted == (2,)


def test_two_people_correct_different_things(tmp_path: Path) -> None:
    a = page(tmp_path / "a.geojson", said(1, "deleted", at(1)), said(2, "changed", at(2), stage="foundation"))
    found().assign(stage=["complete", "complete", "incomplete", "complete"], dormitory_like=[False, True, False, False]).to_file(
        tmp_path / "b.gpkg"
    )  # from QGIS, the whole table
    both = read_reviews([a, tmp_path / "b.gpkg"], found(), CRS)
    assert both.conflicts == ()
    table, review = apply_review(found(), both.table)
    assert (review.deleted, review.changed) == ((1,), (2, 3))
    row = table.set_index("id").loc[2]
    assert row["stage"] == "foundation" and review.likeness == {2: True}, "one's stage, the other's likeness"


@pytest.mark.parametrize(
    ("other", "line"),
    [
        (said(1, "deleted", at(1)), r"building 1: stands, foundation \(a\.geojson\); deleted \(b\.geojson\)"),
        (said(1, "confirmed", at(1)), r"building 1: stage foundation \(a\.geojson\); stage complete \(b\.geojson\)"),
        (said(1, "changed", at(1), stage="incomplete"), r"stage foundation \(a\.geojson\); stage incomplete \(b\.geojson\)"),
    ],
)
def test_of_what_contradicts_the_first_counts_and_a_line_says_so(tmp_path: Path, other: dict[str, Any], line: str) -> None:
    a = page(tmp_path / "a.geojson", said(1, "changed", at(1), stage="foundation"))
    both = read_reviews([a, page(tmp_path / "b.geojson", other)], found(), CRS)
    assert len(both.conflicts) == 1
    assert re.search(line, both.conflicts[0])
    assert both.table.set_index("id").loc[1, "stage"] == "foundation"


def test_what_the_first_called_right_stands_against_a_correction(tmp_path: Path) -> None:
    larger = affinity.scale(at(2), 1.5, 1)
    a = page(tmp_path / "a.geojson", said(1, "confirmed", at(1)), said(2, "confirmed", at(2)))
    b = page(tmp_path / "b.geojson", said(1, "changed", at(1), stage="foundation"), said(2, "changed", larger, redrawn=True))
    both = read_reviews([a, b], found(), CRS)
    assert [line.split("; ")[:2] for line in both.conflicts] == [
        ["building 1: stage complete (a.geojson)", "stage foundation (b.geojson)"],
        ["building 2: outline right (a.geojson)", "drawn anew (b.geojson)"],
    ]
    table = both.table.set_index("id")
    assert table.loc[1, "stage"] == "complete" and table.geometry[2].equals(at(2))


def test_a_building_that_both_drew_is_one(tmp_path: Path) -> None:
    a = page(tmp_path / "a.geojson", said(None, "added", NEW, redrawn=True))
    b = page(
        tmp_path / "b.geojson",
        said(None, "added", affinity.translate(NEW, 2, 1), redrawn=True, stage="incomplete"),
        said(None, "added", affinity.translate(at(2), 5, 2), redrawn=True),  # where building 2 stands
        said(None, "added", affinity.translate(NEW, 200, 0), redrawn=True),
    )
    both = read_reviews([a, b], found(), CRS)
    assert apply_review(found(), both.table)[1].added == (5, 6)
    assert [line.split(":")[0] for line in both.conflicts] == ["a building that both drew", "a building that one drew"]


def test_a_building_of_the_result_drawn_once_more_in_the_same_file_is_one(tmp_path: Path) -> None:
    confirmed = page(tmp_path / "c.geojson", said(1, "confirmed", at(1)), said(None, "added", at(1), redrawn=True))
    table, review = apply_review(found(), read_reviews([confirmed], found(), CRS).table)
    assert table["id"].tolist() == found()["id"].tolist() and review.confirmed == (1,)
    twice = page(tmp_path / "t.geojson", *(said(None, "added", affinity.translate(at(1), d, 0), redrawn=True) for d in (0, 0.1)))
    table, review = apply_review(found(), read_reviews([twice], found(), CRS).table)
    assert table["id"].tolist() == found()["id"].tolist() and review.confirmed == (1,)


def test_a_building_that_was_deleted_and_drawn_again_is_a_new_one(tmp_path: Path) -> None:
    path = page(tmp_path / "c.geojson", said(1, "deleted", at(1)), said(None, "added", at(1), redrawn=True, stage="foundation"))
    table, review = apply_review(found(), read_reviews([path], found(), CRS).table)
    assert (review.deleted, review.added) == ((1,), (5,))
    assert table.set_index("id").loc[5, "stage"] == "foundation"


def test_the_same_corrections_once_more_change_nothing(tmp_path: Path) -> None:
    path = page(
        tmp_path / "c.geojson",
        said(2, "changed", at(2), stage="foundation"),
        said(3, "deleted", at(3)),
        said(None, "added", NEW, redrawn=True, stage="incomplete"),
    )
    once, _ = apply_review(found(), read_reviews([path], found(), CRS).table)
    columns = found().columns
    now = gpd.GeoDataFrame(once.assign(**{c: found()[c].iloc[0] for c in columns if c not in once}), geometry="geometry", crs=CRS)
    twice, review = apply_review(now, read_reviews([path], now, CRS).table)
    assert twice["id"].tolist() == once["id"].tolist() and twice["stage"].tolist() == once["stage"].tolist()
    assert (review.added, review.deleted) == ((), ())


def test_a_word_that_is_no_correction_is_named(tmp_path: Path) -> None:
    path = page(tmp_path / "c.geojson", said(1, "confirmed", at(1)), said(2, "moved", at(2)))
    with pytest.raises(InputError, match=r"correction is 'moved' in a row, not one of added, changed, confirmed, deleted; "):
        read_reviews([path], found(), CRS)


@pytest.mark.parametrize("columns", [[], ["name"]])
def test_an_empty_file_corrects_nothing(tmp_path: Path, columns: list[str]) -> None:
    table = gpd.GeoDataFrame(pd.DataFrame(columns=columns), geometry=[], crs=4326)
    path = tmp_path / ("c.gpkg" if columns else "c.geojson")
    if columns:
        table.to_file(path, layer="buildings", geometry_type="Polygon")
    else:
        path.write_text('{"type": "FeatureCollection", "features": []}')
    with pytest.raises(InputError, match=r"is empty, so it corrects nothing; give the corrections of this result"):
        read_reviews([path], found(), CRS)


def test_a_whole_table_without_rows_deletes_all(tmp_path: Path) -> None:
    found().iloc[:0].to_file(tmp_path / "c.gpkg", layer="buildings", geometry_type="Polygon")
    _, review = apply_review(found(), read_reviews([tmp_path / "c.gpkg"], found(), CRS).table)
    assert review.deleted == (1, 2, 3, 4)
