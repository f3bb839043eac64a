"""``detect track`` and ``detect evaluate --track`` as a user types them."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import pytest
import shapely

import detect
from detect.base.stages import STAGES
from detect.cli import main as cli
from detect.tracks.histories import STATES
from tests.unit.tracks.drawn_series import PLANE, DrawnSeries, draw_series, write_result

FILES = ["report.html", "summary.json", "timeline.csv", "tracks.gpkg"]


@pytest.fixture(scope="module")
def drawn() -> DrawnSeries:
    return draw_series(9, dates=9, buildings=40, clouded=3, demolished=2)


@pytest.fixture(scope="module")
def results(drawn: DrawnSeries, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one result per date."""
    out = tmp_path_factory.mktemp("results")
    for t, snapshot in enumerate(drawn.snapshots):
        write_result(out / f"scene{t}", snapshot, crs=("EPSG:32637", "EPSG:4326")[t % 2])
    return out


@pytest.fixture(scope="module")
def tracked(results: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("tracked") / "out"
    assert cli.main(["track", str(results), "--out", str(out), "-q"]) == 0
    return out


def test_the_files(tracked: Path, drawn: DrawnSeries) -> None:
    assert sorted(p.name for p in tracked.iterdir()) == FILES
    assert sorted(n for n, _ in pyogrio.list_layers(tracked / "tracks.gpkg")) == ["buildings", "layer_styles", "sites"]
    buildings = gpd.read_file(tracked / "tracks.gpkg", layer="buildings")
    assert buildings.crs == PLANE
    assert buildings["id"].is_unique
    stages = [f"stage_{s.date.replace('-', '_')}" for s in drawn.snapshots]
    assert set(stages) <= set(buildings)
    assert set(np.unique(buildings[stages].to_numpy(str))) <= set(STATES)
    assert set(buildings["change"]) == {"new", "advanced", "unchanged", "gone"}
    assert buildings["area_m2"].between(40, 600).all()
    assert (buildings["first_seen"] <= buildings["last_seen"]).all()


def test_numbers_agree_with_each_other(tracked: Path, drawn: DrawnSeries) -> None:
    buildings = gpd.read_file(tracked / "tracks.gpkg", layer="buildings")
    timeline, summary = pd.read_csv(tracked / "timeline.csv"), json.loads((tracked / "summary.json").read_text())
    assert timeline["date"].tolist() == summary["series"]["dates"] == [s.date for s in drawn.snapshots]
    for row in timeline.to_dict("records"):
        state = buildings[f"stage_{row['date'].replace('-', '_')}"]
        assert row["buildings"] == state.isin(STAGES).sum() == sum(row[s] for s in STAGES)
        assert row["buildings_low"] <= row["buildings"] <= row["buildings_high"]
    assert summary["total"]["changes"] == buildings["change"].value_counts().to_dict()
    assert summary["total"]["new_since"]["ids"] == buildings["id"][buildings["change"] == "new"].tolist()
    assert timeline["observed_share"].tolist()[3] == 0
    assert any("nothing was observed" in w for w in summary["warnings"])
    assert summary["total"]["forecast"]["completion"]["low"] <= summary["total"]["forecast"]["completion"]["high"]


def test_the_page_asks_no_network_and_holds_its_numbers(tracked: Path) -> None:
    page = (tracked / "report.html").read_text()
    assert not re.search(r"""(?:src|href)=["']?(?:https?:)?//""", page)
    data = json.loads(re.search(r'<script type="application/json" id="buildings">(.*?)</script>', page, re.DOTALL)[1])  # type: ignore[index]
    assert len(data["rings"]) == len(data["id"]) == len(gpd.read_file(tracked / "tracks.gpkg", layer="buildings"))
    assert {len(s) for s in data["states"]} == {9}
    assert 'type="range"' in page
    assert 'role="img"' in page


def test_nothing_is_overwritten_unasked(tracked: Path, results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tracked / "mine.txt").write_text("kept")
    before = (tracked / "tracks.gpkg").read_bytes()
    assert cli.main(["track", str(results), "--out", str(tracked), "-q"]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert (tracked / "tracks.gpkg").read_bytes() == before
    assert cli.main(["track", str(results), "--out", str(tracked), "-q", "--overwrite", "--since", "2025-03-01"]) == 0
    assert "changes since 2025-02-04" in capsys.readouterr().out
    assert (tracked / "mine.txt").read_text() == "kept"
    (tracked / "mine.txt").unlink()


def test_json_and_order(results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    backwards = [str(results / f"scene{t}") for t in (5, 0, 2)]
    assert cli.main(["track", *backwards, "--out", str(tmp_path / "t"), "--json", "-q"]) == 0
    assert json.loads(capsys.readouterr().out)["series"]["dates"] == ["2025-01-05", "2025-03-06", "2025-06-04"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["{results}/scene0", "--out", "{tmp}/t"], "two or more dates"),
        (["{results}/nothing", "--out", "{tmp}/t"], "no such folder"),
        (["{results}", "--out", "{tmp}/t", "--since", "2031-01-01"], "--since 2031-01-01"),
        (["{results}", "--out", "{tmp}/file"], "is a file"),
    ],
)
def test_mistakes_end_with_one_line_and_nothing_written(
    arguments: list[str], words: str, results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    given = [a.format(results=results, tmp=tmp_path) for a in arguments]
    assert cli.main(["track", *given, "-q"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("detect: error: ")
    assert error.count("\n") == 1
    assert words in error
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file"]


def test_from_python(results: Path) -> None:
    tracks = detect.track([results], since="2025-02-04")
    assert tracks.folder is None
    assert tracks.summary["since"] == "2025-02-04"
    assert len(tracks.buildings) >= 38


def write_truth(path: Path, drawn: DrawnSeries) -> None:
    """One layer per date, as ``detect simulate --dates`` writes."""
    for t, snapshot in enumerate(drawn.snapshots):
        state = np.array(STATES, object)[drawn.state[:, t]]
        table = gpd.GeoDataFrame({"id": np.arange(len(state)), "stage": state}, geometry=list(drawn.footprints), crs=PLANE)
        table[table["stage"].isin(STAGES)].to_file(path, layer=f"buildings_{snapshot.date}", driver="GPKG")


def test_evaluate_track(tracked: Path, drawn: DrawnSeries, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_truth(tmp_path / "truth.gpkg", drawn)
    out = tmp_path / "metrics.json"
    assert cli.main(["evaluate", str(tracked), str(tmp_path / "truth.gpkg"), "--track", "--out", str(out)]) == 0
    assert "SCOT" in capsys.readouterr().out
    metrics = json.loads(out.read_text())
    assert metrics["scot"] > 0.8
    assert metrics["tracking"]["mismatches"] == 0
    assert metrics["stages"]["correct"] > 0.8 * metrics["stages"]["compared"]
    assert metrics["first_seen"]["within_one"] >= 0.8 * metrics["first_seen"]["compared"]
    itself = ["evaluate", str(tracked), str(tracked / "tracks.gpkg"), "--track", "--json"]
    assert cli.main(itself) == 0
    assert json.loads(capsys.readouterr().out)["scot"] == 1


def test_evaluate_track_needs_dates(
    tracked: Path, drawn: DrawnSeries, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = gpd.GeoDataFrame({"id": [1]}, geometry=[drawn.footprints[0]], crs=PLANE)
    plain.to_file(tmp_path / "plain.gpkg", layer="buildings", driver="GPKG")
    plain.to_file(tmp_path / "other.gpkg", layer="buildings_2019-01-01", driver="GPKG")
    for name, words in (
        ("plain.gpkg", "ends in a date"),
        ("other.gpkg", "two or more dates in common"),
        ("none.gpkg", "no such file"),
    ):
        assert cli.main(["evaluate", str(tracked), str(tmp_path / name), "--track"]) == 2
        error = capsys.readouterr().err
        assert words in error
        assert error.count("\n") == 1


def test_a_place_without_buildings(drawn: DrawnSeries, tmp_path: Path) -> None:
    for t in (0, 1):
        bare = replace(drawn.snapshots[t], buildings=drawn.snapshots[t].buildings.iloc[:0])
        write_result(tmp_path / "results" / str(t), bare)
    tracks = detect.track([tmp_path / "results"], tmp_path / "out")
    assert len(tracks.buildings) == 0
    assert tracks.timeline["buildings"].tolist() == [0, 0]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == FILES
    assert tracks.summary["total"]["forecast"]["why"].startswith("2 dates are too few")


def test_sites_are_counted_for_themselves(drawn: DrawnSeries, tmp_path: Path) -> None:
    west, south, east, north = drawn.snapshots[0].observed.bounds
    middle = (west + east) / 2
    halves = [shapely.box(west, south, middle, north), shapely.box(middle, south, east, north)]
    plots = gpd.GeoDataFrame({"name": ["west", "east"], "planned_buildings": [50.0, np.nan]}, geometry=halves, crs=PLANE)
    folders = [write_result(tmp_path / str(t), drawn.snapshots[t], sites=plots) for t in (0, 2, 4, 8)]
    tracks = detect.track(folders, tmp_path / "out")
    last = tracks.timeline[tracks.timeline["date"] == drawn.snapshots[8].date].set_index("site")
    assert list(last.index) == ["west", "east", "all sites"]
    assert last.loc["west", "buildings"] + last.loc["east", "buildings"] == last.loc["all sites", "buildings"]
    west_told, east_told = (s["forecast"] for s in tracks.summary["sites"])
    own = tracks.buildings[(tracks.buildings["site"] == "west") & tracks.buildings["dormitory_like"]]
    assert west_told["remaining"] == 50 - (own["stage"] == "complete").sum()
    assert east_told["remaining"] == last.loc["east", "buildings"] - last.loc["east", "complete"]
