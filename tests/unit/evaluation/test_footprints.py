"""Scores whose values one knows beforehand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely import Polygon, affinity, box

from detect.base.errors import InputError
from detect.base.stages import STAGES
from detect.evaluation.footprints import THRESHOLDS, evaluate, format_table
from tests.real_data import data_path

X, Y = 593_000.0, 5_747_000.0  # EPSG:32631
RATIOS = ("footprint_iou", "precision", "recall", "f1", "mean_iou_of_matched")


def house(i: int, share: float = 1.0) -> Polygon:
    """The i-th house of a street, 20 × 10 m; with a share, that much of its length."""
    return box(X + 40 * i, Y, X + 40 * i + 20 * share, Y + 10)


def table(*shapes: Polygon, crs: str | None = "EPSG:32631", **columns: Any) -> gpd.GeoDataFrame:
    return gpd.GeoDataFrame(columns, geometry=list(shapes), crs=crs)


STREET = table(*(house(i) for i in range(4)))


def test_known_precision_recall_and_f1(tmp_path: Path) -> None:
    """Of five predictions three are right: one exact, two of 0.9 and 0.6; one is too small, one stands on grass."""
    ours = table(house(0), house(1, 0.9), house(2, 0.6), house(3, 0.4), house(9))
    found = evaluate(ours, STREET, out=tmp_path / "scores.json")
    assert (found["predicted"], found["reference"], found["matched"], found["count_error"]) == (5, 4, 3, 1)
    assert found["count_error_relative"] == 0.25
    assert (found["precision"], found["recall"], found["f1"]) == pytest.approx((3 / 5, 3 / 4, 6 / 9))
    assert found["mean_iou_of_matched"] == pytest.approx((1 + 0.9 + 0.6) / 3, rel=1e-5)
    assert found["footprint_iou"] == pytest.approx(2.9 / 5, rel=1e-5)
    assert found["area_predicted_m2"] == pytest.approx(3.9 * 200, rel=2e-3)
    assert found["stages"] is None
    assert json.loads((tmp_path / "scores.json").read_text(encoding="utf-8")) == found
    assert "precision 0.600, recall 0.750, F1 0.667" in format_table(found)
    assert [p.name for p in tmp_path.iterdir()] == ["scores.json"]


@given(seed=st.integers(0, 10_000), crs=st.sampled_from(["EPSG:32631", "EPSG:4326", None]))
@settings(max_examples=15, deadline=None)
def test_a_table_is_perfect_against_itself_and_swapping_sides_swaps_the_ratios(seed: int, crs: str | None) -> None:
    rng = np.random.default_rng(seed)

    def town(count: int) -> gpd.GeoDataFrame:
        shapes = [affinity.rotate(house(int(i), rng.uniform(0.3, 1)), rng.uniform(0, 20)) for i in rng.permutation(9)[:count]]
        return table(*shapes) if crs is None else table(*shapes).to_crs(crs)

    ours, theirs = town(int(rng.integers(1, 9))), town(int(rng.integers(1, 9)))
    itself = evaluate(ours, ours)
    assert all(itself[name] == pytest.approx(1) for name in RATIOS)
    assert itself["average_precision"]["0.50:0.95"] == 1 and itself["count_error"] == 0
    forth, back = evaluate(ours, theirs), evaluate(theirs, ours)
    assert (forth["precision"], forth["recall"]) == (back["recall"], back["precision"])
    assert forth["f1"] == back["f1"] and forth["matched"] == back["matched"]
    assert forth["footprint_iou"] == pytest.approx(back["footprint_iou"], rel=1e-4)
    assert forth["count_error"] == -back["count_error"]


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:3857", "EPSG:32632"])
def test_sides_may_differ_in_crs(tmp_path: Path, crs: str) -> None:
    ours = table(house(0), house(1, 0.8), house(9))
    known = evaluate(ours, STREET)
    STREET.to_crs(crs).to_file(tmp_path / "reference.gpkg")
    found = evaluate(ours, tmp_path / "reference.gpkg", area=table(box(X - 9, Y - 9, X + 900, Y + 90)).to_crs(4326))
    for name in (*RATIOS, "area_predicted_m2", "area_reference_m2"):
        assert found[name] == pytest.approx(known[name], rel=1e-4)


def test_within_an_area_buildings_count_by_their_inner_point_and_pixels_are_clipped() -> None:
    area = table(box(X - 5, Y - 5, X + 55, Y + 50))  # the first house and three quarters of the second
    found = evaluate(table(house(0), house(1), house(3), house(9)), STREET, area=area)
    assert (found["predicted"], found["reference"], found["matched"]) == (2, 2, 2)
    assert found["area_reference_m2"] == pytest.approx(350, rel=2e-3)
    elsewhere = evaluate(STREET, STREET, area=table(box(X + 5000, Y, X + 5100, Y + 100)))
    assert elsewhere["predicted"] == elsewhere["reference"] == 0 and elsewhere["f1"] is None


@pytest.mark.parametrize(
    ("ours", "theirs", "absent"),
    [
        (table(), STREET, {"precision", "mean_iou_of_matched"}),
        (STREET, table(), {"recall", "count_error_relative", "mean_iou_of_matched"}),
        (table(), table(), {*RATIOS, "count_error_relative"}),
    ],
)
def test_a_ratio_without_denominator_is_none(
    tmp_path: Path, ours: gpd.GeoDataFrame, theirs: gpd.GeoDataFrame, absent: set[str]
) -> None:
    found = evaluate(ours, theirs, out=tmp_path / "scores.json", area=table(box(X - 5, Y - 5, X + 900, Y + 50)))
    assert {name for name in (*RATIOS, "count_error_relative") if found[name] is None} == absent
    assert found["average_precision"]["0.50"] == (0 if len(theirs) else None)
    text = (tmp_path / "scores.json").read_text(encoding="utf-8")
    assert json.loads(text) == found and "NaN" not in text and "Infinity" not in text
    assert "–" in format_table(found)


def test_average_precision_ranks_by_score() -> None:
    def ap(*scores: float) -> dict[str, float]:
        shapes = [house(0), house(1), house(2), house(9)][: len(scores)]
        return evaluate(table(*shapes, score=list(scores)), STREET)["average_precision"]

    assert ap(0.9, 0.8, 0.7)["0.50"] == pytest.approx(0.75)  # three of four found, none wrong
    assert ap(0.9, 0.8, 0.7, 0.1)["0.50"] == pytest.approx(0.75)  # a wrong one at the end costs nothing
    assert ap(0.9, 0.8, 0.7, 0.85)["0.50"] == pytest.approx(0.25 + 0.5 * 3 / 4)
    assert ap(0.9, 0.8, 0.7, 0.99)["0.50"] == pytest.approx(0.75 * 3 / 4)
    assert ap(0.5, 0.5, 0.5, 0.5)["0.50"] == pytest.approx(0.75 * 3 / 4)  # alike: they enter together
    assert [ap(0.9)[f"{t:.2f}"] for t in THRESHOLDS] == [0.25] * 10
    tight = evaluate(table(house(0, 0.72)), table(house(0)))["average_precision"]
    assert tight["0.50:0.95"] == pytest.approx(0.5)  # right at 0.50, 0.55, … 0.70


def test_two_fused_houses_are_one_mistake_and_two_misses() -> None:
    fused = box(X, Y, X + 60, Y + 10)  # the first two and the 20 m between them
    found = evaluate(table(fused, house(2), house(3)), STREET)
    assert (found["matched"], found["precision"], found["recall"]) == (2, pytest.approx(2 / 3), 0.5)
    assert found["footprint_iou"] == pytest.approx(4 / 5, rel=1e-5)


def test_stages_are_compared_where_both_sides_know_them() -> None:
    ours = table(*(house(i) for i in range(4)), stage=["foundation", "complete", "complete", None])
    theirs = STREET.assign(stage=["foundation", "incomplete", "complete", "complete"])
    stages = evaluate(ours, theirs)["stages"]
    assert (stages["compared"], stages["correct"]) == (3, 2)
    assert stages["confusion"]["incomplete"] == {"foundation": 0, "incomplete": 0, "complete": 1}
    assert "2 of 3 matched buildings right" in format_table(evaluate(ours, theirs))
    assert evaluate(ours, STREET)["stages"] is None
    assert evaluate(STREET, theirs)["stages"] is None


def test_condition_of_the_tanzanian_survey_is_a_stage() -> None:
    reference = gpd.read_file(data_path("tanzania/conditions.geojson"), rows=300)
    reference = reference[~reference.geometry.normalize().duplicated()]  # one outline stands there twice
    stages = reference["condition"].str.lower()
    assert len(reference) == 299 and set(stages.dropna()) == set(STAGES)
    right = evaluate(reference[["geometry"]].assign(stage=stages), reference)
    assert right["stages"]["correct"] == right["stages"]["compared"] == stages.notna().sum()
    assert all(sum(right["stages"]["confusion"][s].values()) <= (stages == s).sum() for s in STAGES)
    every = evaluate(reference[["geometry"]].assign(stage="complete"), reference)["stages"]
    assert every["correct"] == right["stages"]["confusion"]["complete"]["complete"]
    assert every["compared"] == right["stages"]["compared"]


def test_what_the_scene_does_not_show_is_not_scored(tmp_path: Path) -> None:
    """The scene ends in the middle of house 2, house 3 lies beyond it; a hole hides house 0."""
    seen = np.zeros((10, 110), np.uint8)
    seen[:, 30:][:, :65] = 1
    mask = np.where(seen == 1, 0, 255).astype(np.uint8)  # observed: x from 30 to 95 m, of houses at 40–60 and 80–100
    transform = Affine(1, 0, X, 0, -1, Y + 10)
    with rasterio.open(
        tmp_path / "mask.tif", "w", driver="GTiff", height=10, width=110, count=1, dtype="uint8", crs=32631, transform=transform
    ) as target:
        target.write(mask, 1)
    table(house(1), house(2, 0.75)).to_file(tmp_path / "buildings.gpkg", layer="buildings")
    found = evaluate(tmp_path, STREET)
    assert (found["reference"], found["matched"], found["f1"]) == (2, 2, 1)
    assert found["footprint_iou"] == pytest.approx(1, abs=1e-4)
    assert evaluate(tmp_path / "buildings.gpkg", STREET)["reference"] == 4, "a file says nothing of the scene"


def test_a_folder_of_one_prediction_is_a_side(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        STREET.to_file(tmp_path / name / "buildings.gpkg", layer="buildings")
        if name == "a":
            assert evaluate(tmp_path, STREET)["f1"] == evaluate(tmp_path / "a", STREET)["f1"] == 1
            assert evaluate(tmp_path / "a" / "buildings.gpkg", STREET)["f1"] == 1
    with pytest.raises(InputError, match="holds 2 predicted scenes; give the folder of one"):
        evaluate(tmp_path, STREET)


def test_a_reference_of_several_dates_is_read_at_the_date_of_the_scene(tmp_path: Path) -> None:
    STREET.to_file(tmp_path / "buildings.gpkg", layer="buildings")
    truth = tmp_path / "truth.gpkg"
    STREET.iloc[:1].to_file(truth, layer="buildings_2024-01-05")
    STREET.to_file(truth, layer="buildings_2024-06-02")
    with rasterio.open(
        tmp_path / "mask.tif", "w", driver="GTiff", width=40, height=20, count=1, dtype="uint8", crs=STREET.crs,
        transform=Affine(10, 0, X - 50, 0, -10, Y + 100),
    ) as mask:  # fmt: skip
        mask.write(np.zeros((1, 20, 40), np.uint8))
    (tmp_path / "summary.json").write_text(json.dumps({"files": {"mask.tif": ""}, "scene": {"date": "2024-06-02"}}))
    assert evaluate(tmp_path, truth)["reference"] == 4
    (tmp_path / "summary.json").write_text(json.dumps({"files": {"mask.tif": ""}, "scene": {"date": "2024-02-02"}}))
    with pytest.warns(UserWarning, match="read from its layer 'buildings_2024-01-05'; left out: buildings_2024-06-02"):
        assert evaluate(tmp_path, truth)["reference"] == 1


def test_errors_are_one_line_and_leave_no_file(tmp_path: Path) -> None:
    (tmp_path / "empty.geojson").write_text('{"type": "FeatureCollection", "features": []}', encoding="utf-8")
    (tmp_path / "folder").mkdir()
    bare = table(house(0), crs=None)
    cases: list[tuple[Any, Any, dict[str, Any], str]] = [
        (tmp_path / "absent.gpkg", STREET, {}, "no such file"),
        (tmp_path / "folder", STREET, {}, "holds 0 predicted scenes"),
        (bare, STREET, {}, "some have a coordinate system and some have none"),
        (STREET, STREET, {"area": bare}, "some have a coordinate system and some have none"),
        (STREET, STREET, {"area": tmp_path / "empty.geojson"}, "holds no polygon to score within"),
        (STREET, STREET, {"out": tmp_path / "none" / "x.json"}, "does not exist; create it first"),
    ]
    for ours, theirs, options, message in cases:
        with pytest.raises(InputError, match=message) as caught:
            evaluate(ours, theirs, **options)
        assert "\n" not in str(caught.value)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["empty.geojson", "folder"]


def test_areas_are_those_of_unions_without_a_union_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    import shapely

    overlapping = table(*(box(X + 15 * i, Y, X + 15 * i + 20, Y + 10) for i in range(30)))
    ours, area = table(*(house(i) for i in range(15))), table(box(X - 5, Y - 5, X + 303, Y + 6))
    a, b, within = (shapely.union_all(t.geometry.to_numpy()) for t in (ours, overlapping, area))
    joined, union = list[int](), shapely.union_all

    def counting(shapes: np.ndarray) -> Any:
        joined.append(len(shapes))
        return union(shapes)

    monkeypatch.setattr(shapely, "union_all", counting)
    found = evaluate(ours, overlapping, area=area)
    expected = (a & b & within).area / ((a | b) & within).area
    assert found["footprint_iou"] == pytest.approx(expected, rel=1e-3)
    assert found["area_reference_m2"] == pytest.approx((b & within).area, rel=1e-3)
    assert joined == [1], "of the area alone"
