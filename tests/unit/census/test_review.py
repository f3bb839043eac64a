"""A user's corrections: what is taken for changed, added or deleted, and what is refused."""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pyproj
import pytest
from shapely import MultiPolygon, affinity, box

from detect.base.errors import InputError
from detect.census.review import Review, apply_review, read_corrections

CRS = pyproj.CRS(32637)
STAGES = ("foundation", "incomplete", "complete")


def found(count: int = 4) -> gpd.GeoDataFrame:
    table = gpd.GeoDataFrame(
        {"id": np.arange(1, count + 1), "stage": "complete", "score": 0.8, "touches_edge": False, "dormitory_like": False},
        geometry=[box(400_000 + 50 * i, 6_000_000, 400_030 + 50 * i, 6_000_010) for i in range(count)],
        crs=CRS,
    )
    return table.assign(p_foundation=0.1, p_incomplete=0.2, p_complete=0.7, height_m=6.5)


def write(path: Path, table: gpd.GeoDataFrame, **options: object) -> Path:
    table.to_file(path, **options)
    return path


def reviewed(tmp_path: Path, table: gpd.GeoDataFrame) -> tuple[gpd.GeoDataFrame, Review]:
    return apply_review(found(), read_corrections(write(tmp_path / "c.gpkg", table), CRS))


def test_what_was_left_alone_stays_as_it_was(tmp_path: Path) -> None:
    for crs in (32637, 4326, 3857):
        table, review = apply_review(found(), read_corrections(write(tmp_path / f"{crs}.gpkg", found().to_crs(crs)), CRS))
        assert review == Review(), "another coordinate system changes nothing"
        assert table["id"].tolist() == [1, 2, 3, 4] and (table["p_complete"] == 0.7).all() and (table["height_m"] == 6.5).all()


def test_a_building_drawn_without_a_stage_is_complete_and_a_line_says_so(tmp_path: Path) -> None:
    new = gpd.GeoDataFrame(
        {"stage": [None, " "]}, geometry=[box(400_500, 6_000_000 + y, 400_560, 6_000_012 + y) for y in (0, 50)], crs=CRS
    )
    with pytest.warns(UserWarning, match=r"c.gpkg: 2 buildings that were drawn without a stage count as complete \(rows 5, 6\)$"):
        result, review = reviewed(tmp_path, pd.concat([found(), new]))
    assert review.added == (5, 6) and (result.set_index("id").loc[[5, 6], "p_complete"] == 1).all()


def test_changed_added_deleted(tmp_path: Path) -> None:
    table = found()
    table.loc[1, "stage"] = "Foundation"
    table.loc[2, "geometry"] = affinity.scale(table.geometry[2], 1.2, 1)
    new = table.iloc[[3]].assign(id=np.nan, geometry=[box(400_500, 6_000_000, 400_560, 6_000_012)], stage="incomplete")
    merged = gpd.GeoDataFrame(pd.concat([table.iloc[:3], new]), crs=CRS)
    result, review = reviewed(tmp_path, merged)
    assert (review.changed, review.added, review.deleted) == ((2, 3), (5,), (4,))
    assert review.checked == {2, 3, 5}
    assert result["id"].tolist() == [1, 2, 3, 5]
    sure = result.set_index("id")
    assert sure.loc[2, [f"p_{s}" for s in STAGES]].tolist() == [1, 0, 0] and sure.loc[5, "p_incomplete"] == 1
    assert sure.loc[1, "stage_score"] == 0.7 and sure.loc[5, "score"] == 1.0
    assert sure["height_m"].isna().tolist() == [False, False, True, True], "of another outline it was not measured"


def test_a_new_building_gets_no_id_of_one_that_was_deleted_before(tmp_path: Path) -> None:
    new = found().iloc[[3]].assign(id=0)
    table = gpd.GeoDataFrame(pd.concat([found(3), new]), crs=CRS)
    corrections = read_corrections(write(tmp_path / "c.gpkg", table), CRS)
    _, review = apply_review(found(3), corrections, Review(deleted=(4, 2)))
    assert review.added == (5,)


def test_a_new_building_gets_no_id_of_an_added_one_that_was_deleted(tmp_path: Path) -> None:
    def after(buildings: gpd.GeoDataFrame, edited: gpd.GeoDataFrame, earlier: Review) -> tuple[gpd.GeoDataFrame, Review]:
        corrections = read_corrections(write(tmp_path / "c.gpkg", edited), CRS)
        table, review = apply_review(buildings, corrections, earlier)
        return table.assign(dormitory_like=False), Review.from_json(earlier.then(review).to_json(), tmp_path)

    def with_one(buildings: gpd.GeoDataFrame, east: float) -> gpd.GeoDataFrame:
        new = gpd.GeoDataFrame({"id": [0], "stage": ["complete"]}, geometry=[box(east, 6e6, east + 30, 6e6 + 10)], crs=CRS)
        return gpd.GeoDataFrame(pd.concat([buildings[["id", "stage", "geometry"]], new]), crs=CRS)

    first, said = after(found(2), with_one(found(2), 400_500), Review())
    assert said.added == (3,)
    second, said = after(first, first[first["id"] != 3], said)
    assert (said.added, said.deleted) == ((), (3,)) and list(said.deleted_at) == [3]
    third, said = after(second, with_one(second, 400_700), said)
    assert said.added == (4,) and third["id"].tolist() == [1, 2, 4]


def test_what_a_user_marks_as_checked_is_certain_as_it_stands(tmp_path: Path) -> None:
    table = found().assign(checked=[True, False, None, True])
    table.loc[3, "stage"] = "incomplete"
    result, review = reviewed(tmp_path, table)
    assert (review.confirmed, review.changed) == ((1,), (4,))
    assert review.checked == {1, 4} and review.redrawn == {4}
    assert result.set_index("id").loc[1, [f"p_{s}" for s in STAGES]].tolist() == [0, 0, 1]
    assert result.set_index("id").loc[1, "height_m"] == 6.5, "its outline did not move"


def test_all_buildings_on_ground_marked_as_checked_are_confirmed(tmp_path: Path) -> None:
    path = write(tmp_path / "c.gpkg", found(), layer="buildings")
    ground = gpd.GeoDataFrame(
        geometry=[box(399_990, 5_999_990, 400_070, 6_000_020)], crs=CRS
    )  # holds the first, and most of the second
    write(path, ground.to_crs(4326), layer="checked")
    review = apply_review(found(), read_corrections(path, CRS))[1]
    assert review.confirmed == review.surveyed == (1, 2)


def test_likeness_that_a_user_has_set_is_kept(tmp_path: Path) -> None:
    table = found()
    table.loc[0, "dormitory_like"] = True
    _, review = reviewed(tmp_path, table)
    assert review.likeness == {1: True} and review.changed == (1,)


def test_a_building_that_was_split_is_one_old_and_one_new(tmp_path: Path) -> None:
    table = found()
    halves = [affinity.translate(box(0, 0, 12, 10), 400_000 + x, 6_000_000) for x in (0, 18)]
    table["geometry"] = [MultiPolygon(halves), *table.geometry[1:]]
    result, review = reviewed(tmp_path, table)
    assert review.changed == (1,) and review.added == (5,) and len(result) == 5


def test_the_layer_buildings_is_taken_where_there_are_several(tmp_path: Path) -> None:
    path = write(tmp_path / "c.gpkg", found().iloc[:1].assign(stage="incomplete"), layer="rows")
    write(path, found(), layer="buildings")
    assert len(read_corrections(path, CRS)) == 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns="stage"), r"c\.gpkg: has no column 'stage'"),
        (lambda t: t.drop(columns="id"), r"c\.gpkg: has no column 'id'"),
        (lambda t: t.assign(stage=["complete", "roof", None, "complete"]), r"row 2: stage is 'roof', not one of foundation"),
        (lambda t: t.set_crs(None, allow_override=True), "has no coordinate system, unlike the scene"),
    ],
)
@pytest.mark.filterwarnings("ignore:'crs' was not provided")
def test_corrections_that_cannot_be_used_are_one_line(tmp_path: Path, change: object, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read_corrections(write(tmp_path / "c.gpkg", change(found())), CRS)  # type: ignore[operator]
    assert "\n" not in str(caught.value)


def test_a_later_review_goes_on_from_an_earlier_one() -> None:
    first = Review(changed=(1, 2), added=(9,), deleted=(3,), confirmed=(4, 5), surveyed=(2, 5), likeness={1: True, 9: False})
    later = Review(changed=(4,), deleted=(2, 9), likeness={1: False})
    both = first.then(later)
    assert both == Review(changed=(1, 4), added=(), deleted=(2, 3, 9), confirmed=(5,), surveyed=(5,), likeness={1: False})
    assert Review.from_json(both.to_json(), ".") == both and Review.from_json(None, ".") == Review()
