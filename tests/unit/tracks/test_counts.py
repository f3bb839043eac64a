"""Counts of a series with the rates that the cards of the shipped weights hold."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from detect.base.resources import resource_path
from detect.census.rates import of_kind
from detect.network.weights import load_weights
from detect.runs.track import OUTPUTS, track
from tests.unit.tracks.drawn_series import DrawnSeries, draw_series, write_result

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
