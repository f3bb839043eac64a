"""What reviewers said of a date counts in its series as it does in its census."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import pytest
import rasterio
import shapely

from detect.base.stages import STAGES
from detect.base.vectors import geometries_of
from detect.runs.track import track
from detect.tracks.counts import stage_column
from detect.tracks.evidence import gather, marked
from detect.tracks.histories import ABSENT, COMPLETE, FOUNDATION, INCOMPLETE, found_rates, smooth
from detect.tracks.link import Links, link
from detect.tracks.series import Snapshot, load_series
from tests.unit.tracks.drawn_series import PLANE, DrawnSeries, draw_series, write_result
from tests.unit.tracks.test_histories import days, seen_as, told


@pytest.fixture(scope="module")
def drawn() -> DrawnSeries:
    """Five dates, each up to 3 m off; what stands at the first of them stands at all."""
    return draw_series(11, dates=5, buildings=30, missed=0, clouded=None, demolished=0, false_alarms=0)


def write_reviewed(folder: Path, snapshot: Snapshot, said: dict[str, Any], crs: str = PLANE) -> Path:
    """A result with corrections, and with a map of probabilities that shows buildings everywhere: no census repaints it."""
    write_result(folder, snapshot, crs=crs)
    with rasterio.open(folder / "mask.tif") as mask:
        profile, values = mask.profile, mask.read(1)
    with rasterio.open(folder / "probability.tif", "w", **profile) as target:
        target.write(np.where(values == mask.nodata, values, 240).astype(np.uint8), 1)
    summary = json.loads((folder / "summary.json").read_text())
    review = {"changed": [], "added": [], "deleted": [], "dormitory_like": {}} | said
    (folder / "summary.json").write_text(json.dumps(summary | {"review": review}))
    return folder


def without_first(snapshot: Snapshot, crs: str) -> tuple[Snapshot, dict[str, Any]]:
    """A date without its first building, and the review that deleted it."""
    inner = geometries_of(snapshot.buildings)[0].representative_point()
    x, y = pyproj.Transformer.from_crs(PLANE, crs, always_xy=True).transform(inner.x, inner.y)
    left = replace(snapshot, buildings=snapshot.buildings.iloc[1:].reset_index(drop=True))
    return left, {"deleted": [99], "deleted_at": {"99": [x, y]}}


@pytest.mark.parametrize("since", [1, 4], ids=["four of five dates", "the last date"])
@pytest.mark.parametrize("crs", [PLANE, "EPSG:4326"])
def test_a_deleted_building_stands_no_more_though_the_map_shows_one(
    since: int, crs: str, drawn: DrawnSeries, tmp_path: Path
) -> None:
    first = int(drawn.truth[0][0])
    assert all(truth[0] == first for truth in drawn.truth)
    results = []
    for t, snapshot in enumerate(drawn.snapshots):
        shown, said = without_first(snapshot, crs) if t >= since else (snapshot, {})
        results.append(write_reviewed(tmp_path / str(t), shown, said, crs))
    tracks = track(results)
    inner = drawn.footprints[first].representative_point()
    table = tracks.buildings.to_crs(PLANE)
    here = table[table.contains(inner)].iloc[0]
    stages = [here[stage_column(day)] for day in tracks.summary["series"]["dates"]]
    assert not set(stages[since:]) & set(STAGES) and set(stages[:since]) <= set(STAGES)
    assert here["p_standing"] == 0 and here["dates_seen"] == since
    assert tracks.timeline["buildings_found"].tolist()[-1] == len(drawn.snapshots[-1].buildings) - 1


def test_points_of_deleted_buildings_move_with_their_date_and_add_up_over_its_results(drawn: DrawnSeries, tmp_path: Path) -> None:
    other, said = without_first(drawn.snapshots[1], PLANE)
    results = [write_reviewed(tmp_path / name, other, said) for name in ("a", "b")]
    series = load_series([write_reviewed(tmp_path / "0", drawn.snapshots[0], {}), *results])
    assert [len(s.deleted) for s in series.snapshots] == [0, 2]
    before = shapely.get_coordinates(series.snapshots[1].deleted)
    np.testing.assert_allclose(shapely.get_coordinates(series.snapshots[1].moved((3, -2)).deleted), before + np.array([3, -2]))


def test_a_building_that_was_deleted_below_the_outline_of_another_is_gone(drawn: DrawnSeries) -> None:
    """A date shows two buildings as one; its reviewer deleted the second, or says nothing."""
    before = drawn.snapshots[0]
    pair = geometries_of(before.buildings)[:2]
    merged = before.buildings.iloc[:1].set_geometry([shapely.union_all(pair).convex_hull])
    own = np.array([[0, 0], [1, 0]])
    links = Links(pair, own, np.array([[False, False], [False, True]]))
    for deleted in (np.empty(0, object), shapely.centroid(pair)[1:]):
        evidence = gather([before, Snapshot("2025-06-01", merged, before.observed, deleted=deleted)], links, None)
        assert evidence.found.tolist() == [[True, True], [True, not len(deleted)]]
        assert evidence.certain.tolist() == [[False, False], [False, bool(len(deleted))]]


def test_what_was_drawn_in_the_place_of_a_deleted_building_stands(drawn: DrawnSeries) -> None:
    redrawn = replace(drawn.snapshots[0], deleted=shapely.centroid(geometries_of(drawn.snapshots[0].buildings))[:1])
    links = link([redrawn])
    evidence = gather([redrawn], links, None)
    assert evidence.found.all() and not evidence.certain.any()


def test_a_mark_counts_for_the_own_outline_of_a_building(drawn: DrawnSeries) -> None:
    snapshot = drawn.snapshots[0]
    links = Links(drawn.footprints[:3], np.array([[0], [0], [-1]]), np.array([[False], [True], [False]]))
    checked = replace(snapshot, buildings=snapshot.buildings.assign(checked=True))
    assert marked(checked, links, 0, "checked").tolist() == [True, False, False]
    assert not marked(snapshot, links, 0, "checked").any()


@pytest.mark.parametrize(
    ("story", "certain", "history"),
    [
        ("cc.cc", 2, "ccx"),  # without a reviewer a miss
        ("..f..", 2, "..f"),  # without a reviewer a false alarm
        ("cccfc", 3, "cccf"),  # without a reviewer a wrong stage
    ],
)
def test_a_reviewer_is_not_outvoted_by_other_dates(story: str, certain: int, history: str) -> None:
    evidence = seen_as(story, score=0.6)
    dates = days(5)
    assert told(smooth(evidence, dates).state[0])[certain] != history[-1]
    evidence.certain[0, certain] = True
    after = smooth(evidence, dates)
    said = {"c": COMPLETE, "f": FOUNDATION, "i": INCOMPLETE}.get(story[certain], ABSENT)
    shown = after.state_p[0, certain]
    assert after.standing[0, certain] == (story[certain] != ".")
    assert shown[said] + (shown[4] if said == ABSENT else 0) == pytest.approx(1)
    np.testing.assert_allclose(after.state_p.sum(axis=2), 1)


def test_a_deleted_building_was_not_missed() -> None:
    evidence = seen_as(*["ccc"] * 10, *["c.c"] * 5)
    before = found_rates(evidence, 0.75)[1]
    evidence.certain[10:, 1] = True
    assert found_rates(evidence, 0.75)[1] > before + 0.1


def test_checked_buildings_are_certain_at_their_date(drawn: DrawnSeries, tmp_path: Path) -> None:
    """Of the last date all are checked, a stage that no history would give among them; the dates before are as uncertain as ever."""
    *early, last = drawn.snapshots
    p = np.eye(3)[last.buildings["p_complete"].to_numpy(float).round().astype(int) * 2]
    table = last.buildings.assign(stage=np.array(STAGES)[p.argmax(axis=1)], **{f"p_{s}": p[:, k] for k, s in enumerate(STAGES)})
    confirmed = list(range(1, len(table) + 1))
    said = {"confirmed": confirmed, "surveyed": confirmed}
    results = [write_reviewed(tmp_path / str(t), s, {}) for t, s in enumerate(early)]
    results.append(write_reviewed(tmp_path / "last", replace(last, buildings=table), said))
    tracks = track(results)
    counts = tracks.summary["total"]
    by_stage = table["stage"].value_counts()
    shown = {"buildings": len(table), "dormitory_like": int(table["dormitory_like"].sum())}
    for what, number in shown.items():
        assert counts[what] == {"found": number, "estimate": number, "low": number, "high": number}
    for stage in STAGES:
        assert {*counts["by_stage"][stage].values()} == {int(by_stage.get(stage, 0))}
    assert counts["checks_to_narrow"] == 0
    before = tracks.timeline.iloc[-2]
    assert before["buildings_low"] < before["buildings"] < before["buildings_high"]


@pytest.mark.parametrize(("checked", "like"), [({1: False}, False), ({1: False, 3: True}, True), ({1: True, 3: False}, False)])
def test_the_latest_date_that_was_checked_decides_the_likeness(
    checked: dict[int, bool], like: bool, drawn: DrawnSeries, tmp_path: Path
) -> None:
    results = []
    for t, snapshot in enumerate(drawn.snapshots):
        table, said = snapshot.buildings.copy(), {}
        calls = checked.get(t, not like)  # dates that nobody checked say the contrary
        table.loc[0, ["dormitory_like", "dormitory_score", "beds"]] = [calls, float(calls), (100 + t) * calls]
        if t in checked:
            said = {"changed": [1], "dormitory_like": {"1": calls}}
        results.append(write_reviewed(tmp_path / str(t), replace(snapshot, buildings=table), said))
    table = track(results).buildings.to_crs(PLANE)
    here = table[table.contains(drawn.footprints[int(drawn.truth[0][0])].representative_point())].iloc[0]
    assert here[["dormitory_like", "dormitory_score", "beds"]].tolist() == [like, float(like), (100 + max(checked)) * like]


def test_outlines_that_a_reviewer_checked_go_before_those_of_more_dates(drawn: DrawnSeries) -> None:
    """One reviewer separated two buildings that the other dates merge."""
    before = drawn.snapshots[0]
    pair = before.buildings.iloc[:2]
    merged = pair.iloc[:1].set_geometry([shapely.union_all(geometries_of(pair)).convex_hull])
    dates = [replace(before, date=day, buildings=merged) for day in days(3)]
    assert len(link([*dates, replace(before, buildings=pair)]).footprints) == 1
    links = link([*dates, replace(before, buildings=pair.assign(checked=True))])
    assert len(links.footprints) == 2 and (links.detection >= 0).all()


def test_beside_buildings_on_checked_ground_none_was_missed(drawn: DrawnSeries, tmp_path: Path) -> None:
    confirmed = list(range(1, 16))
    high = []
    for surveyed in ([], confirmed):
        folder = tmp_path / str(len(surveyed))
        said = {"confirmed": confirmed, "surveyed": surveyed}
        results = [write_reviewed(folder / str(t), drawn.snapshots[t], said if t == 4 else {}) for t in (0, 4)]
        high.append(track(results).summary["total"]["buildings"]["high"])
    assert high[1] < high[0]
