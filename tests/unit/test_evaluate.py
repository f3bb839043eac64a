"""Footprint, count and stage metrics on cases one can check in the head."""

from __future__ import annotations

import json
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from shapely import affinity, box

from detect.errors import InputError
from detect.evaluate import evaluate, format_table
from detect.matching import covered_by, match, overlaps
from tests.real_data import data_path

CRS = "EPSG:32637"


def table(*shapes: shapely.Polygon, **columns: list) -> gpd.GeoDataFrame:
    moved = [affinity.translate(s, 400_000, 6_200_000) for s in shapes]
    return gpd.GeoDataFrame(columns, geometry=gpd.GeoSeries(moved, crs=CRS), crs=CRS)


HOUSES = [box(20 * i, 0, 20 * i + 12, 9) for i in range(5)]


def test_the_same_on_both_sides_is_perfect() -> None:
    metrics = evaluate(table(*HOUSES), table(*HOUSES))
    assert metrics["predicted"] == metrics["reference"] == metrics["matched"] == 5
    for key in ("footprint_iou", "precision", "recall", "f1"):
        assert metrics[key] == pytest.approx(1)
    assert metrics["average_precision"]["0.50:0.95"] == pytest.approx(1)
    assert metrics["count_error"] == 0
    assert metrics["stages"] is None


def test_two_fused_houses_are_one_mistake_and_two_misses() -> None:
    fused = box(0, 0, 32, 9)
    metrics = evaluate(table(fused, *HOUSES[2:], box(300, 0, 310, 9)), table(*HOUSES))
    assert (metrics["matched"], metrics["predicted"], metrics["reference"]) == (3, 5, 5)
    assert metrics["f1"] == pytest.approx(0.6)
    shared, ours, theirs = 5 * 108, 288 + 3 * 108 + 90, 5 * 108
    assert metrics["footprint_iou"] == pytest.approx(shared / (ours + theirs - shared), rel=1e-3)


def test_sides_swap_precision_and_recall() -> None:
    ours, theirs = table(*HOUSES[:3]), table(*HOUSES[1:])
    one, two = evaluate(ours, theirs), evaluate(theirs, ours)
    assert one["precision"] == two["recall"] == pytest.approx(2 / 3)
    assert one["recall"] == two["precision"] == pytest.approx(0.5)
    assert one["footprint_iou"] == pytest.approx(two["footprint_iou"])


def test_a_confident_mistake_costs_more_than_a_doubtful_one() -> None:
    houses = [*HOUSES, box(300, 0, 310, 9)]
    sure = evaluate(table(*houses, score=[0.6] * 5 + [0.99]), table(*HOUSES))["average_precision"]["0.50"]
    doubtful = evaluate(table(*houses, score=[0.6] * 5 + [0.1]), table(*HOUSES))["average_precision"]["0.50"]
    assert sure < doubtful == pytest.approx(1)


def test_only_the_area_counts() -> None:
    area = table(box(-5, -5, 55, 20))
    metrics = evaluate(table(*HOUSES[:4]), table(*HOUSES), area=area)
    assert (metrics["predicted"], metrics["reference"], metrics["f1"]) == (3, 3, 1)
    empty = table(box(0, 0, 1, 1)).iloc[:0]
    with pytest.raises(InputError, match="no polygon"):
        evaluate(table(*HOUSES), table(*HOUSES), area=empty)


@pytest.mark.parametrize(("ours", "theirs"), [(0, 5), (5, 0), (0, 0)])
def test_nothing_on_a_side_gives_valid_json(ours: int, theirs: int, tmp_path: Path) -> None:
    metrics = evaluate(table(*HOUSES).iloc[:ours], table(*HOUSES).iloc[:theirs], out=tmp_path / "m.json")
    assert json.loads((tmp_path / "m.json").read_text()) == metrics
    assert (metrics["precision"] is None) == (ours == 0)
    assert (metrics["recall"] is None) == (theirs == 0)
    assert "predicted" in format_table(metrics)


def test_other_coordinate_systems_and_folders(tmp_path: Path) -> None:
    folder = tmp_path / "out" / "scene"
    folder.mkdir(parents=True)
    table(*HOUSES).to_file(folder / "buildings.gpkg", layer="buildings")
    table(*HOUSES).to_crs(4326).to_file(tmp_path / "reference.geojson")
    for given_path in (folder, folder.parent, folder / "buildings.gpkg"):
        assert evaluate(given_path, tmp_path / "reference.geojson")["f1"] == 1
    (tmp_path / "empty").mkdir()
    for wrong in (tmp_path / "nowhere.gpkg", tmp_path / "empty"):
        with pytest.raises(InputError, match=wrong.name):
            evaluate(wrong, tmp_path / "reference.geojson")
    with pytest.raises(InputError, match="coordinate system"):
        evaluate(table(*HOUSES), table(*HOUSES).set_crs(None, allow_override=True))


def test_stages_are_compared_where_both_sides_know_them() -> None:
    ours = table(*HOUSES, stage=["complete", "complete", "foundation", "incomplete", "complete"])
    theirs = table(*HOUSES, condition=["Complete", "Incomplete", "Foundation", None, "Complete"])
    stages = evaluate(ours, theirs)["stages"]
    assert (stages["compared"], stages["correct"]) == (4, 3)
    assert stages["confusion"]["incomplete"]["complete"] == 1
    assert "3 of 4" in format_table(evaluate(ours, theirs))


def test_real_conditions() -> None:
    real = gpd.read_file(data_path("tanzania/conditions.geojson"), rows=300)
    guess = real.assign(stage="complete")
    metrics = evaluate(guess, real)
    assert metrics["f1"] > 0.98
    assert metrics["stages"]["correct"] == metrics["stages"]["confusion"]["complete"]["complete"] > 100


@given(seed=st.integers(0, 5000))
def test_pairs_are_one_to_one_and_do_not_depend_on_the_order(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = ([box(x, y, x + w, y + h) for x, y, w, h in rng.uniform(1, 12, (rng.integers(0, 14), 4))] for _ in range(2))
    left, right, iou = match(overlaps(a, b), 0.3)
    assert len(set(left)) == len(left) and len(set(right)) == len(right)
    assert (iou >= 0.3).all()
    turned = match(overlaps(a[::-1], b[::-1]), 0.3)
    assert len(turned[0]) == len(left)
    assert sorted(turned[2]) == pytest.approx(sorted(iou))
    assert len(match(overlaps(b, a), 0.3)[0]) == len(left)


def test_a_cut_building_stands_for_the_whole_one() -> None:
    assert covered_by([box(0, 0, 10, 10), box(50, 0, 60, 10)], [box(6, 0, 12, 10)]).tolist() == [True, False]
