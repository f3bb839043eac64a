"""Counts of a series with the rates that the cards of the shipped weights hold."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely

from detect.base.resources import resource_path
from detect.base.stages import STAGES
from detect.census.rates import of_kind
from detect.evaluation.smart import _tracked_sites
from detect.network.weights import load_weights
from detect.runs.track import OUTPUTS, track
from detect.tracks.counts import ALL_SITES, recall
from detect.tracks.series import load_series
from tests.unit.tracks.drawn_series import PLANE, DrawnSeries, draw_series, write_result

SHIPPED = sorted(path.stem for path in resource_path("weights").glob("*.json") if "." not in path.stem)


@pytest.fixture(scope="module")
def drawn() -> DrawnSeries:
    return draw_series(5, dates=9, buildings=40, clouded=None, demolished=0)


@pytest.mark.parametrize("simulated", [False, True], ids=["real", "simulated"])
@pytest.mark.parametrize("name", SHIPPED)
def test_a_series_of_each_shipped_weights_is_counted(name: str, simulated: bool, drawn: DrawnSeries, tmp_path: Path) -> None:
    rates = of_kind(load_weights(name).card["rates"], simulated=simulated)
    folders = [write_result(tmp_path / str(t), s, rates=rates) for t, s in enumerate(drawn.snapshots[::2][:4])]
    tracks = track(folders, tmp_path / "out")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == sorted(OUTPUTS)
    assert pd.read_csv(tmp_path / "out/timeline.csv")["date"].tolist() == tracks.summary["series"]["dates"]
    assert tracks.summary["total"]["forecast"]["completion"]["date"] > tracks.summary["series"]["dates"][-1]
    assert all(0.4 < result["found_rate"] < 1 for result in tracks.summary["series"]["results"])


def test_a_plot_may_be_called_all_sites(drawn: DrawnSeries, tmp_path: Path) -> None:
    west, south, east, north = drawn.snapshots[0].observed.bounds
    middle = (west + east) / 2
    halves = [shapely.box(west, south, middle, north), shapely.box(middle, south, east, north)]

    def timeline(*names: str) -> pd.DataFrame:
        plots = gpd.GeoDataFrame({"name": names, "planned_buildings": [50.0, np.nan]}, geometry=halves, crs=PLANE)
        folder = tmp_path / names[0]
        results = [write_result(folder / str(t), drawn.snapshots[t], sites=plots) for t in (0, 4, 8)]
        track(results, folder / "out")
        assert (folder / "out/report.html").read_text(encoding="utf-8").count('class="timeline"') == 3
        return pd.read_csv(folder / "out/timeline.csv")

    plain, odd = timeline("west", "east"), timeline(ALL_SITES, "east")
    pd.testing.assert_frame_equal(odd.drop(columns="site"), plain.drop(columns="site"))
    assert odd["is_total"].sum() == 3
    assert (odd.loc[odd["is_total"], "buildings"].to_numpy() > odd.loc[~odd["is_total"], "buildings"].to_numpy()[:3]).all()
    assert len(_tracked_sites(tmp_path / ALL_SITES / "out")[0].observations) == 3, "the sum is no site"


def test_what_remains_in_all_sites_is_the_sum(drawn: DrawnSeries, tmp_path: Path) -> None:
    """One plot has a plan, the other none; of a third with fewer planned than begun, those begun count."""
    west, south, east, north = drawn.snapshots[0].observed.bounds
    thirds = np.linspace(west, east, 4)
    plots = gpd.GeoDataFrame(
        {"name": ["a", "b", "c"], "planned_buildings": [50.0, np.nan, 1.0]},
        geometry=[shapely.box(left, south, right, north) for left, right in itertools.pairwise(thirds)],
        crs=PLANE,
    )
    results = [write_result(tmp_path / str(t), drawn.snapshots[t], sites=plots) for t in (0, 4, 8)]
    summary = track(results).summary
    assert summary["total"]["forecast"]["remaining"] == sum(site["forecast"]["remaining"] for site in summary["sites"])


def test_results_are_counted_without_their_weights(drawn: DrawnSeries, tmp_path: Path) -> None:
    """Rates come from the result; of results from before these were stored, nothing is known without the weights."""
    rates = of_kind(load_weights(SHIPPED[0]).card["rates"], simulated=False)
    series = {
        name: load_series([write_result(tmp_path / name / str(t), drawn.snapshots[t], rates=given) for t in (0, 8)])
        for name, given in (("stored", rates), ("absent", None))
    }
    assert 0.4 < (recall(series["stored"]) or 0) < 1
    assert recall(series["absent"]) is None


@pytest.mark.parametrize("name", ["all", "west"])
def test_a_plan_is_about_buildings_of_the_type(name: str, drawn: DrawnSeries, tmp_path: Path) -> None:
    """Houses bring a plan no nearer to its end; where a part of the place has no plan, all that was begun there counts."""
    west, south, east, north = drawn.snapshots[0].observed.bounds
    seam = east if name == "all" else (west + east) / 2
    areas = [shapely.box(west, south, seam, north), shapely.box(seam, south, east, north)][: 1 if name == "all" else 2]
    plots = gpd.GeoDataFrame({"name": [name, "east"][: len(areas)], "planned_buildings": [50.0, np.nan][: len(areas)]})
    plots = plots.set_geometry(areas, crs=PLANE)
    tracks = track([write_result(tmp_path / str(t), drawn.snapshots[t], sites=plots) for t in (0, 2, 4, 6, 8)])
    table = tracks.buildings
    there, like, done = table["site"] == name, table["dormitory_like"], table["stage"] == "complete"
    assert (there & done & ~like).any(), "houses that are finished"
    site, total = tracks.summary["sites"][0]["forecast"], tracks.summary["total"]["forecast"]
    assert site["remaining"] == 50 - (there & done & like).sum()
    finished = (there & done & like & (table["stage_2025_01_05"] != "complete")).sum()
    assert site["finished_per_month"] == pytest.approx(finished / 240 * 365.25 / 12, abs=0.01)
    others = (table["site"] == "east") & table["stage"].isin(STAGES)
    assert total["remaining"] == site["remaining"] + (others & ~done).sum()
    begun_there = others & done & (table["stage_2025_01_05"] != "complete")
    assert total["finished_per_month"] == pytest.approx((finished + begun_there.sum()) / 240 * 365.25 / 12, abs=0.01)
    if name == "all":
        assert total == site


def test_a_plan_without_a_building_of_the_type_says_so(drawn: DrawnSeries, tmp_path: Path) -> None:
    plots = gpd.GeoDataFrame({"name": ["a"], "planned_buildings": [5.0]}, geometry=[drawn.snapshots[0].observed], crs=PLANE)
    houses = [replace(s, buildings=s.buildings.assign(dormitory_like=False)) for s in drawn.snapshots]
    results = [write_result(tmp_path / str(t), houses[t], sites=plots) for t in (0, 2, 4, 6, 8)]
    told = track(results).summary["total"]["forecast"]
    assert told["remaining"] == 5 and told["why"].startswith("no dormitory-like building was finished")
