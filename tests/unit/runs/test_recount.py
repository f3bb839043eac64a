"""Counting again from what predict left: other plots, another profile, corrected buildings; without the network."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import pytest
import rasterio
import yaml
from shapely import Point, affinity, box

from detect.base.errors import InputError
from detect.census.learn import learn
from detect.census.profiles import load_profile
from detect.census.sites import PROPOSED
from detect.cli import main as cli
from detect.results.files import OUTPUTS
from detect.results.seal import verify
from detect.runs.predict import predict
from detect.runs.recount import recount
from detect.simulate import simulate_compounds


@pytest.fixture(scope="module")
def predicted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One small drawn compound, predicted."""
    folder = tmp_path_factory.mktemp("compound")
    (scene,), _ = simulate_compounds(folder, seed=1005, dormitories=6, gsd_m=0.6, margin_m=12.0)
    predict([scene], folder / "out")
    return folder


@pytest.fixture
def result(predicted: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may change."""
    return Path(shutil.copytree(predicted / "out" / "scene", tmp_path / "scene"))


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the network was asked for")

    monkeypatch.setattr("detect.network.backends.open_backend", refuse)


def buildings_of(folder: Path) -> gpd.GeoDataFrame:
    return gpd.read_file(folder / "buildings.gpkg", layer="buildings")


def summary_of(folder: Path) -> dict:
    return json.loads((folder / "summary.json").read_text())


def counts(summary: dict) -> dict:
    return {key: summary[key] for key in ("total", "sites", "outside_sites")}


def test_nothing_changed_counts_the_same(result: Path) -> None:
    before = summary_of(result)
    (again,) = recount(result)
    assert counts(again.summary) == counts(before) == counts(summary_of(result))
    assert again.summary["recounted"] == {"sites": None, "structure": None, "review": None}
    assert again.summary["run"]["key"] != before["run"]["key"], "predict does not take it for its own"
    assert {p.name for p in result.iterdir()} == set(OUTPUTS)
    assert not list(result.parent.glob(".scene.*")), "nothing is left aside"


def test_other_plots(result: Path, tmp_path: Path) -> None:
    found = buildings_of(result)
    west, south, east, north = found.total_bounds
    middle = (west + east) / 2
    plots = gpd.GeoDataFrame(
        {"name": ["west", "east"], "planned_buildings": [10, None]},
        geometry=[box(west - 1, south - 1, middle, north + 1), box(middle, south - 1, east + 1, north + 1)],
        crs=found.crs,
    )
    plots.to_file(tmp_path / "plots.gpkg")
    (again,) = recount(result, sites=tmp_path / "plots.gpkg")
    assert [s["name"] for s in again.summary["sites"]] == ["west", "east"]
    assert sum(s["buildings"]["estimate"] for s in again.summary["sites"]) == len(found)
    assert again.summary["sites"][0]["beds"]["planned"]["estimate"] == 2560
    assert again.summary["recounted"]["sites"]["file"] == "plots.gpkg"
    assert not again.summary["scene"]["whole_scene_is_the_site"]
    (kept,) = recount(result)
    assert counts(kept.summary) == counts(again.summary), "plots stay until others are given"


def test_another_profile(result: Path, tmp_path: Path) -> None:
    raw = yaml.safe_load(Path("configs/structures/house.yaml").read_text())
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(raw | {"name": "mine"}))
    before = summary_of(result)
    (again,) = recount(result, structure=tmp_path / "mine.yaml")
    assert again.summary["assumptions"]["structure"] == "mine"
    assert again.summary["total"]["dormitory_like"] != before["total"]["dormitory_like"]
    # An end of the interval may move by one: dormitories and buildings of the next stage share one stream of random draws.
    assert again.summary["total"]["buildings"]["estimate"] == before["total"]["buildings"]["estimate"]
    (kept,) = recount(result)
    assert kept.summary["assumptions"]["structure"] == "mine"


def test_a_shipped_profile_goes_by_its_name(result: Path) -> None:
    assert cli.main(["census", str(result), "--structure", "house"]) == 0
    summary = summary_of(result)
    assert summary["assumptions"]["structure"] == "house"
    assert summary["recounted"]["structure"]["file"] == "house.yaml"


def test_corrected_buildings_count_as_they_are(result: Path, tmp_path: Path) -> None:
    before, old = summary_of(result), buildings_of(result)
    assert len(old) >= 4
    large = old.sort_values("area_m2", ascending=False)
    gone, fixed = int(large["id"].iloc[0]), int(large["id"].iloc[1])
    corrected = old[old["id"] != gone].copy()
    corrected.loc[corrected["id"] == fixed, "stage"] = "foundation"
    x, y = old.total_bounds[:2]
    new = gpd.GeoDataFrame({"stage": ["incomplete"]}, geometry=[box(x + 2, y + 2, x + 12, y + 9)], crs=old.crs)
    gpd.GeoDataFrame(pd.concat([corrected, new]), crs=old.crs).to_file(tmp_path / "c.gpkg", layer="buildings")
    with pytest.warns(UserWarning, match="1 new building lies on another one, and both count"):
        (again,) = recount(result, review=tmp_path / "c.gpkg")
    table = again.buildings.set_index("id")
    added = int(old["id"].max()) + 1
    (place,) = again.summary["review"]["deleted_at"].values()
    assert large.geometry.iloc[0].contains(Point(place))
    assert again.summary["review"] == {
        "changed": [fixed],
        "added": [added],
        "deleted": [gone],
        "deleted_at": again.summary["review"]["deleted_at"],
        "confirmed": [],
        "surveyed": [],
        "dormitory_like": {},
    }
    assert len(table) == len(old) and gone not in table.index
    assert table.loc[fixed, ["stage", "p_foundation"]].tolist() == ["foundation", 1.0]
    assert table.loc[added, "area_m2"] == pytest.approx(70, rel=2e-3), "measured"
    assert again.summary["total"]["by_stage"]["foundation"]["low"] >= 1, "what was checked is certain"
    assert any("corrected by a reviewer" in w for w in again.summary["warnings"])
    with rasterio.open(result / "stage.tif") as stage, rasterio.open(result / "mask.tif") as mask:
        inside = old.set_index("id").geometry
        at = [(g.representative_point().x, g.representative_point().y) for g in (inside[gone], inside[fixed], new.geometry[0])]
        assert [int(v[0]) for v in stage.sample(at)] == [0, 1, 2]
        assert [int(v[0]) for v in mask.sample(at)] == [0, 1, 1]
    assert len(gpd.read_parquet(result / "buildings.parquet")) == len(old)
    assert before["total"]["buildings"]["estimate"] == again.summary["total"]["buildings"]["estimate"]
    (kept,) = recount(result)
    assert kept.summary["review"] == again.summary["review"] and counts(kept.summary) == counts(again.summary)


def test_everything_checked_leaves_no_doubt(result: Path, tmp_path: Path) -> None:
    table = buildings_of(result)
    flipped = table.assign(dormitory_like=~table["dormitory_like"].astype(bool))
    flipped.to_file(tmp_path / "c.gpkg", layer="buildings")
    (again,) = recount(result, review=tmp_path / "c.gpkg")
    like = again.summary["total"]["dormitory_like"]
    assert like["low"] == like["estimate"] == like["high"] == int(flipped["dormitory_like"].sum())
    assert again.buildings["dormitory_reasons"].eq("said by a reviewer").all()


def test_a_scene_that_is_gone_keeps_its_picture(result: Path) -> None:
    summary = summary_of(result)
    summary["scene"]["path"] = "gone.tif"
    (result / "summary.json").write_text(json.dumps(summary))
    picture = (result / "overview.png").read_bytes()
    (again,) = recount(result)
    assert (result / "overview.png").read_bytes() == picture
    assert sum("overview.png and the picture of the page are the earlier ones" in w for w in again.summary["warnings"]) == 1


def test_a_failure_leaves_the_result_as_it_was(result: Path, tmp_path: Path) -> None:
    before = {p.name: p.read_bytes() for p in result.iterdir()}
    buildings_of(result).assign(stage="roof").to_file(tmp_path / "c.gpkg", layer="buildings")
    with pytest.raises(InputError, match="stage is 'roof'"):
        recount(result, review=tmp_path / "c.gpkg")
    with pytest.raises(InputError, match="no such file"):
        recount(result, sites=tmp_path / "nowhere.gpkg")
    assert {p.name: p.read_bytes() for p in result.iterdir()} == before


def test_pages_and_pictures_that_were_deleted_are_written_anew(result: Path) -> None:
    for name in ("report.html", "overview.png", "buildings.kmz"):
        (result / name).unlink()
    recount(result)
    assert verify(result) == [] and (result / "overview.png").is_file()


def test_folders_that_hold_no_result(result: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    assert cli.main(["census", str(tmp_path / "empty")]) == 2
    assert "holds no result of detect predict" in capsys.readouterr().err
    (result / "stage.tif").unlink()
    assert cli.main(["census", str(result)]) == 2
    assert "stage.tif is missing" in capsys.readouterr().err


def test_the_command_prints_the_table(result: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["census", str(result.parent)]) == 0, "a folder with a folder per scene will do"
    assert "dormitory-like" in capsys.readouterr().out
    assert cli.main(["census", str(result), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["recounted"]


# Profiles from examples.


def blocks(tmp_path: Path, *sizes: tuple[float, float]) -> Path:
    shapes = [affinity.translate(box(0, 0, *s), 400_000, 6_000_000 + 20 * i) for i, s in enumerate(sizes)]
    path = tmp_path / "b.gpkg"
    gpd.GeoDataFrame({"id": range(1, len(sizes) + 1)}, geometry=shapes, crs=32637).to_file(path)
    return path


def test_a_profile_holds_its_examples_and_leaves_out_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = blocks(tmp_path, (30, 9), (31, 9.5), (29, 9), (70, 30))
    out = tmp_path / "barrack.yaml"
    assert cli.main(["profile", str(path), "--ids", "1,2,3", "--out", str(out)]) == 0
    assert capsys.readouterr().out.strip() == str(out)
    profile = load_profile(out)
    assert profile.name == "barrack" and "3 examples" in profile.description
    assert profile.length_m[1] <= 29 and 31 <= profile.length_m[2] and profile.length_m[3] < 70
    assert profile.beds_per_building == load_profile().beds_per_building, "what cannot be seen is the dormitory's"
    assert profile.group.min_buildings == 3


def test_examples_that_stand_alone_ask_for_no_group(tmp_path: Path) -> None:
    path = blocks(tmp_path, (30, 9), (70, 30))
    assert learn(path, [1], tmp_path / "o.yaml").group.min_buildings == 1


@pytest.mark.parametrize(
    ("ids", "out", "message"),
    [
        ("1,99", "o.yaml", "has no building with id 99"),
        ("1,x", "o.yaml", "'1,x' is not a list of building numbers"),
        ("1", "nowhere/o.yaml", "does not exist; create it first"),
        ("1", "b.gpkg", "exists already"),
    ],
)
def test_wrong_examples_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], ids: str, out: str, message: str
) -> None:
    path = blocks(tmp_path, (30, 9))
    assert cli.main(["profile", str(path), "--ids", ids, "--out", str(tmp_path / out)]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not np.any([p.suffix == ".part" for p in tmp_path.iterdir()])


def test_other_plots_are_looked_at_for_cleared_ground(result: Path, tmp_path: Path) -> None:
    found = buildings_of(result)
    assert "ground" not in layers_of(result) and summary_of(result)["sites"][0]["ground"] is None, "the whole scene is no plot"
    west, south, east, north = found.total_bounds
    plot = gpd.GeoDataFrame({"name": ["yard"]}, geometry=[box(west - 5, south - 5, east + 5, north + 5)], crs=found.crs)
    plot.to_file(tmp_path / "plot.gpkg")
    (again,) = recount(result, sites=tmp_path / "plot.gpkg")
    ground = gpd.read_file(result / "buildings.gpkg", layer="ground")
    assert set(ground["kind"]) <= {"cleared", "pad"} and set(ground["site"]) == {"yard"}
    site = again.summary["sites"][0]
    assert site["ground"]["cleared_km2"] == pytest.approx(
        ground.loc[ground["kind"] == "cleared", "area_m2"].sum() / 1e6, abs=1e-6
    )
    assert site["planned_from"] == "ground"
    # A count of the same plots takes what is known, without the scene.
    (once_more,) = recount(result)
    assert counts(once_more.summary) == counts(again.summary)


def test_new_plots_of_a_scene_that_is_gone_have_no_ground(result: Path, tmp_path: Path) -> None:
    summary = summary_of(result)
    summary["scene"]["path"] = str(tmp_path / "gone.tif")
    (result / "summary.json").write_text(json.dumps(summary))
    found = buildings_of(result)
    gpd.GeoDataFrame({"name": ["yard"]}, geometry=[box(*found.total_bounds)], crs=found.crs).to_file(tmp_path / "plot.gpkg")
    (again,) = recount(result, sites=tmp_path / "plot.gpkg")
    assert again.summary["sites"][0]["ground"] is None and again.summary["sites"][0]["beds"]["planned"] is None
    said = [w for w in again.summary["warnings"] if w.startswith("cleared ground is unknown, and with it planned beds")]
    assert len(said) == 1 and "gone.tif: no such file" in said[0]
    (later,) = recount(result)
    assert said[0] in later.summary["warnings"], "as long as it is so"


def lost_scene(result: Path, path: str) -> None:
    summary = summary_of(result)
    (result / "summary.json").write_text(json.dumps(summary | {"scene": summary["scene"] | {"path": path}}))


def yard(result: Path, folder: Path) -> Path:
    """A file with one plot around the buildings."""
    found = buildings_of(result)
    plot = gpd.GeoDataFrame({"name": ["yard"]}, geometry=[box(*found.total_bounds).buffer(5)], crs=found.crs)
    plot.to_file(folder / "plot.gpkg")
    return folder / "plot.gpkg"


def test_the_ground_of_plots_is_surveyed_when_the_scene_is_back(result: Path, tmp_path: Path) -> None:
    path, plot = summary_of(result)["scene"]["path"], yard(result, tmp_path)
    lost_scene(result, str(tmp_path / "gone.tif"))
    assert recount(result, sites=plot)[0].summary["sites"][0]["ground"] is None
    lost_scene(result, path)
    (again,) = recount(result)
    assert again.summary["sites"][0]["ground"] is not None
    assert not any("cleared ground" in w for w in again.summary["warnings"])
    lost_scene(result, str(tmp_path / "gone.tif"))
    line = "cleared ground, and what fits there, is as surveyed for the earlier profile: the scene cannot be read"
    assert not any(line in w for w in recount(result)[0].summary["warnings"])
    assert any(line in w for w in recount(result, structure="house")[0].summary["warnings"])


def test_a_relative_path_of_the_scene_holds_from_other_folders(
    predicted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is stored as typed, ``s/scene.tif``, and the result lies in ``out/scene``; another file may be of that name."""
    (tmp_path / "s").mkdir()
    shutil.copy(summary_of(predicted / "out" / "scene")["scene"]["path"], tmp_path / "s" / "scene.tif")
    result = Path(shutil.copytree(predicted / "out" / "scene", tmp_path / "out" / "scene"))
    lost_scene(result, "s/scene.tif")
    plot, elsewhere = yard(result, tmp_path), tmp_path / "elsewhere"
    (elsewhere / "s").mkdir(parents=True)
    (elsewhere / "s" / "scene.tif").write_bytes(b"another one")
    for working, folder in ((tmp_path, "out/scene"), (result, "."), (elsewhere, str(result))):
        monkeypatch.chdir(working)
        (again,) = recount(folder, sites=plot)
        assert again.summary["sites"][0]["ground"] is not None, working
        assert again.summary["scene"]["path"] == "s/scene.tif"
        assert not any("cannot be read" in w for w in again.summary["warnings"])
    (tmp_path / "s" / "scene.tif").write_bytes(b"changed since")
    (again,) = recount(result, sites=plot)
    assert any("cleared ground is unknown" in w for w in again.summary["warnings"])


def test_a_table_that_undoes_an_earlier_review_says_so(result: Path, tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    old = buildings_of(result)
    fixed, other, sure, gone = (int(i) for i in old["id"].iloc[:4])
    x, y = old.total_bounds[:2]
    drawn = gpd.GeoDataFrame({"stage": ["complete"]}, geometry=[box(x - 9, y - 9, x - 3, y - 3)], crs=old.crs)
    anna = gpd.GeoDataFrame(pd.concat([old[old["id"] != gone], drawn]), crs=old.crs).assign(checked=lambda t: t["id"] == sure)
    anna.loc[anna["id"] == fixed, "stage"] = "foundation"
    anna.to_file(tmp_path / "anna.gpkg", layer="buildings")
    recount(result, review=tmp_path / "anna.gpkg")
    (added,) = summary_of(result)["review"]["added"]
    recwarn.clear()
    recount(result, review=buildings_after(result, tmp_path / "same.gpkg"))
    more = buildings_after(result, tmp_path / "more.gpkg", **{str(other): "foundation"})
    recount(result, review=more)
    assert not [w for w in recwarn if ": undoes " in str(w.message)], "a table that goes on from the result undoes nothing"

    ben = old.copy()
    ben.loc[ben["id"] == sure, "stage"] = "foundation"
    ben.to_file(tmp_path / "ben.gpkg", layer="buildings")
    with pytest.warns(UserWarning) as said:
        (again,) = recount(result, review=tmp_path / "ben.gpkg")
    (line,) = [str(w.message) for w in said if ": undoes " in str(w.message)]
    assert line == (
        f"ben.gpkg: undoes 2 changes (ids {fixed}, {other}), 1 confirmation (id {sure}), 1 added building (id {added}) and 1 deleted "
        f"building (id {gone}) of an earlier review; if that is not meant, predict the scene again and give the files of both reviews in "
        "one call"
    )
    assert again.buildings.set_index("id").loc[fixed, "stage"] == old.set_index("id").loc[fixed, "stage"], "the table counts"


def buildings_after(result: Path, path: Path, **stages: str) -> Path:
    """A table of a result as it is now, with other stages by id."""
    table = buildings_of(result)
    for number, stage in stages.items():
        table.loc[table["id"] == int(number), "stage"] = stage
    table.to_file(path, layer="buildings")
    return path


def layers_of(folder: Path) -> set[str]:
    return set(pyogrio.list_layers(folder / "buildings.gpkg")[:, 0])


def test_a_plot_may_be_called_scene(result: Path, tmp_path: Path) -> None:
    found = buildings_of(result)
    plot = gpd.GeoDataFrame({"name": ["scene"]}, geometry=[box(*found.total_bounds).buffer(5)], crs=found.crs)
    plot.to_file(tmp_path / "plot.gpkg")
    whole = (result / "overview.png").read_bytes()
    (again,) = recount(result, sites=tmp_path / "plot.gpkg")
    assert again.summary["sites"][0]["ground"] is not None, "it is looked at for cleared ground"
    assert not again.summary["scene"]["whole_scene_is_the_site"]
    assert (result / "overview.png").read_bytes() != whole, "its outline is drawn"
    (once_more,) = recount(result)
    assert once_more.summary["scene"]["sites_are"] == "plots"
    assert counts(once_more.summary) == counts(again.summary)


@pytest.mark.parametrize(
    ("whole", "warnings", "kind"), [(True, [], "whole"), (False, [PROPOSED], "proposed"), (False, [], "plots")]
)
def test_results_from_before_tell_what_their_sites_are(whole: bool, warnings: list[str], kind: str, result: Path) -> None:
    summary = summary_of(result)
    del summary["scene"]["sites_are"]
    summary["scene"]["whole_scene_is_the_site"] = whole
    summary["sites"][0]["warnings"] = warnings
    (result / "summary.json").write_text(json.dumps(summary))
    assert recount(result)[0].summary["scene"]["sites_are"] == kind


def test_what_was_said_of_a_scene_stays_said(tmp_path: Path) -> None:
    (scene,), truth = simulate_compounds(tmp_path, seed=900, dormitories=6, storeys=3, gsd_m=0.6, margin_m=12.0)
    gpd.read_file(truth, layer="sites").drop(columns="planned_buildings").to_file(tmp_path / "plots.gpkg")
    item = {
        "type": "Feature", "id": "camp_east", "properties": {"datetime": "2024-03-05T10:00:00Z"},
        "assets": {"visual": {"href": scene.name, "type": "image/tiff"}},
    }  # fmt: skip
    (tmp_path / "item.json").write_text(json.dumps(item))
    (one,) = predict(
        [tmp_path / "item.json"], tmp_path / "out", sites=tmp_path / "plots.gpkg", date="2024-06-01", sun_deg=(48.0, 150.0)
    )
    assert (one.summary["scene"]["name"], one.summary["scene"]["date"]) == ("camp_east", "2024-06-01")
    picture, ground = (one.folder / "overview.png").read_bytes(), gpd.read_file(one.folder / "buildings.gpkg", layer="ground")
    (again,) = recount(one.folder)
    assert (one.folder / "overview.png").read_bytes() == picture
    for key in ("scene", "total", "sites", "assumptions", "warnings"):
        assert again.summary[key] == one.summary[key], key
    (surveyed,) = recount(one.folder, sites=tmp_path / "plots.gpkg")
    assert surveyed.summary["total"] == one.summary["total"]
    assert gpd.read_file(one.folder / "buildings.gpkg", layer="ground").equals(ground)
    assert again.buildings["height_m"].equals(one.buildings["height_m"]) and surveyed.buildings["height_m"].notna().any()
    measured = surveyed.buildings["height_m"].notna()
    few = surveyed.buildings[measured & (measured.cumsum() == 1)]
    few.to_file(tmp_path / "few.gpkg", layer="buildings")
    (reviewed,) = recount(one.folder, review=tmp_path / "few.gpkg")
    assert reviewed.buildings["height_m"].equals(few["height_m"].reset_index(drop=True)), (
        "two are no row, but nobody corrected them"
    )
    (houses,) = recount(one.folder, structure="house")
    assert houses.buildings.loc[~houses.buildings["dormitory_like"], "height_m"].isna().all()
    assert houses.summary["assumptions"]["storeys_measured"] is None, "no height is that of a house"


def test_explain_prints_the_shares_of_a_site_and_changes_nothing(result: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {p.name: p.read_bytes() for p in result.iterdir() if p.is_file()}
    site = summary_of(result)["sites"][0]["name"]
    assert cli.main(["census", str(result), "--explain", site]) == 0
    first, heads, *rows = capsys.readouterr().out.rstrip().split("\n")
    assert site in first
    assert heads.split()[-5:] == ["missed", "false", "stage", "profile", "chance"]
    assert [row.split("  ")[0] for row in rows] == ["buildings", "complete", "dormitory-like", "beds now", "beds when complete"]
    assert {p.name: p.read_bytes() for p in result.iterdir() if p.is_file()} == before
    assert cli.main(["census", str(result), "--explain", site, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["buildings"].keys() == {
        "missed",
        "false",
        "stage",
        "profile",
        "chance",
        "low",
        "high",
    }
    assert cli.main(["census", str(result), "--explain", "elsewhere"]) == 2
    assert f"sites with buildings: {site}" in capsys.readouterr().err
    assert cli.main(["census", str(result), "--structure", "barracks", "--explain", site]) == 0
    assert "barracks" in json.dumps(summary_of(result)["assumptions"]), "with another profile it counts again first"
    told = capsys.readouterr().out.split("make the intervals wide")[-1]
    assert "barracks-like" in told and "dormitory-like" not in told


def test_edits_in_the_table_of_the_result_are_said_and_are_no_corrections(result: Path, tmp_path: Path) -> None:
    table = buildings_of(result)
    copy = Path(shutil.copytree(result, tmp_path / "untouched"))
    assert not any(n["code"] == "edited" for n in recount(copy)[0].summary["notices"])
    table.iloc[1:].to_file(result / "buildings.gpkg", layer="buildings")
    with pytest.raises(InputError, match=r"buildings.gpkg: is the table of the result itself, .*; edit a copy and give that"):
        recount(result, review=result / "buildings.gpkg")
    (again,) = recount(result)
    [line] = [n["text"] for n in again.summary["notices"] if n["code"] == "edited"]
    assert f"it holds {len(table) - 1} buildings" in line
    assert again.summary["review"]["deleted"] == []
    (later,) = recount(result)
    assert [n["text"] for n in later.summary["notices"] if n["code"] == "edited"] == [line]
