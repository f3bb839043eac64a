"""IARPA SMART scores, on sites counted by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import geopandas as gpd
import pandas as pd
import pytest
import shapely

from detect.base.errors import InputError
from detect.evaluation.tracks import evaluate_tracks, format_table

SIDE_DEG = 0.002  # some 200 m
NONE, PREPARED, WORK, DONE = "No Activity", "Site Preparation", "Active Construction", "Post Construction"
STORY = {"2020-01-01": NONE, "2020-03-01": PREPARED, "2020-05-01": WORK, "2020-07-01": WORK, "2020-11-01": DONE}


def square(east: float, side: float = SIDE_DEG) -> shapely.Polygon:
    return shapely.box(10 + east, 50, 10 + east + side, 50 + side)


def write_site(
    folder: Path, name: str, ground: shapely.Polygon, story: dict[str, str], status: str = "positive_annotated"
) -> None:
    folder.mkdir(exist_ok=True)
    days = list(story)
    shape = json.loads(shapely.to_geojson(shapely.MultiPolygon([ground])))
    site: dict[str, Any] = {"type": "site", "site_id": name, "status": status, "start_date": days[0], "end_date": days[-1]}
    features = [{"type": "Feature", "properties": site, "geometry": shape}]
    for day, phase in story.items():
        told = {"type": "observation", "observation_date": day, "current_phase": phase, "is_site_boundary": "True"}
        features.append({"type": "Feature", "properties": told, "geometry": shape})
    (folder / f"{name}.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}))


def test_the_truth_itself(tmp_path: Path) -> None:
    for i in range(3):
        write_site(tmp_path / "t", f"AA_R001_000{i}", square(0.01 * i), STORY)
    metrics = evaluate_tracks(tmp_path / "t", tmp_path / "t", out=tmp_path / "m.json")
    assert metrics["sites"]["f1"] == metrics["macro_f1"] == 1
    assert all(p["onset_days"]["absolute"] == 0 for p in metrics["phases"].values())
    assert json.loads((tmp_path / "m.json").read_text())["sites"]["tp"] == 3
    assert "macro F1 1.000" in format_table(metrics)


def test_sites_found_missed_and_made_up(tmp_path: Path) -> None:
    truth, told = tmp_path / "t", tmp_path / "p"
    write_site(truth, "found", square(0.00), STORY)
    write_site(truth, "missed", square(0.01), STORY)
    write_site(truth, "ignored", square(0.02), STORY, "ignore")
    write_site(truth, "small", square(0.03, 0.0008), STORY)  # 57 × 89 m
    write_site(truth, "negative", square(0.04), {"2020-01-01": NONE, "2020-11-01": NONE}, "negative")
    for i, name in enumerate(("found", "", "ignored", "small", "negative", "nowhere")):
        if name:
            write_site(told, name, square(0.01 * i, 0.0008 if name == "small" else SIDE_DEG), STORY, "system_confirmed")
    write_site(told, "rejected", square(0.07), STORY, "system_rejected")
    sites = evaluate_tracks(told, truth)["sites"]
    assert {k: sites[k] for k in ("tp", "fp", "fn")} == {"tp": 1, "fp": 2, "fn": 1}  # negative and nowhere are too many
    assert sites["f1"] == pytest.approx(1 / 2.5)


def test_thresholds_of_space_and_time(tmp_path: Path) -> None:
    write_site(tmp_path / "t", "site", square(0.0), STORY)

    def f1(ground: shapely.Polygon, story: dict[str, str]) -> float:
        write_site(tmp_path / "p", "told", ground, story)
        return evaluate_tracks(tmp_path / "p", tmp_path / "t")["sites"]["f1"]

    assert f1(square(0.0012), STORY) == 1  # shifted by 60 %: IoU 1/4
    assert f1(square(0.0016), STORY) == 0  # by 80 %: IoU 1/9
    assert f1(square(0.0), {"2020-09-01": WORK, "2020-12-01": DONE}) == 1  # 2 of 8 months of work in common
    assert f1(square(0.0), {"2021-01-01": WORK, "2021-12-01": DONE}) == 0


def test_phases_that_are_told_late(tmp_path: Path) -> None:
    write_site(tmp_path / "t", "site", square(0.0), STORY)
    late = {"2020-01-01": NONE, "2020-05-01": PREPARED, "2020-07-01": WORK, "2020-11-01": DONE}
    write_site(tmp_path / "p", "told", square(0.0), late)
    metrics = evaluate_tracks(tmp_path / "p", tmp_path / "t")
    # Dates: none–none, prepared–none, work–prepared, work–work, done–done.
    assert metrics["confusion"][WORK] == {NONE: 0, PREPARED: 1, WORK: 1, DONE: 0}
    assert metrics["phases"][WORK]["f1"] == pytest.approx(2 * 1 / (2 + 1))
    assert metrics["phases"][PREPARED]["onset_days"] == {"absolute": 61.0, "signed": 61.0, "sites": 1}
    assert metrics["phases"][DONE]["onset_days"]["absolute"] == 0
    assert metrics["phases"][WORK]["temporal_iou"] == pytest.approx(123 / 184)  # July to October of May to October


def test_dates_before_a_proposal_begins_say_nothing_of_its_phases(tmp_path: Path) -> None:
    write_site(tmp_path / "t", "site", square(0.0), STORY)
    write_site(tmp_path / "p", "told", square(0.0), {"2020-06-01": WORK, "2020-11-01": DONE})
    confusion = evaluate_tracks(tmp_path / "p", tmp_path / "t")["confusion"]
    assert {true: sum(told.values()) for true, told in confusion.items()} == {NONE: 0, PREPARED: 0, WORK: 1, DONE: 1}


@pytest.mark.parametrize("name", ["plot", "007", "NA"])
def test_tracked_sites_are_proposals(tmp_path: Path, name: str) -> None:
    write_site(tmp_path / "t", "site", square(0.0), STORY)
    (tmp_path / "tracks").mkdir()
    sites = gpd.GeoDataFrame({"name": [name, "unseen"]}, geometry=[square(0.0), square(0.5)], crs=4326)
    sites.to_crs(32632).to_file(tmp_path / "tracks" / "tracks.gpkg", layer="sites", driver="GPKG")
    counts = {"2020-01-01": (0, 0, 0), "2020-05-01": (3, 0, 0), "2020-07-01": (0, 2, 1), "2020-11-01": (0, 0, 3)}
    rows = [
        {"site": name, "date": d, "observed_share": 1.0, "foundation": f, "incomplete": i, "complete": c}
        for d, (f, i, c) in counts.items()
    ]
    rows.append(rows[0] | {"site": "unseen", "observed_share": 0.0})
    pd.DataFrame(rows).to_csv(tmp_path / "tracks" / "timeline.csv", index=False)
    metrics = evaluate_tracks(tmp_path / "tracks", tmp_path / "t")
    assert metrics["sites"]["f1"] == 1
    assert metrics["phases"][WORK]["f1"] == 1
    assert metrics["phases"][PREPARED]["f1"] == 0  # cleared ground holds no building


def test_what_is_no_site_model_is_said(tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "a.geojson").write_text('{"features": [{"properties": null}]}')
    with pytest.raises(InputError, match="no SMART site models that can be read"):
        evaluate_tracks(tmp_path / "t", tmp_path / "t")
