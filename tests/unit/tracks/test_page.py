"""The page of a series with more buildings than it can show."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from detect.runs.track import track
from tests.unit.tracks.drawn_series import draw_series, write_result


def data(page: str, name: str) -> Any:
    found = re.search(rf'<script type="application/json" id="{name}">(.*?)</script>', page, re.DOTALL)
    assert found
    return json.loads(found[1])


def test_of_very_many_buildings_the_page_shows_those_that_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = draw_series(5, dates=3, buildings=40, clouded=None)
    results = [write_result(tmp_path / str(t), s) for t, s in enumerate(drawn.snapshots)]
    tracks = track(results)
    changed = tracks.buildings["change"].isin(["new", "gone", "advanced"])
    assert 0 < changed.sum() < len(changed) - 2
    monkeypatch.setattr("detect.tracks.page.SHOWN", int(changed.sum()) + 1)
    track(results, tmp_path / "out")
    page = (tmp_path / "out/report.html").read_text(encoding="utf-8")
    shown = data(page, "buildings")
    assert set(tracks.buildings["id"][changed]) < set(shown["id"])
    assert len(shown["id"]) == len(shown["rings"]) == changed.sum() + 1
    assert shown["id"] == sorted(shown["id"])
    assert f"Of {len(changed)} buildings the map has {changed.sum() + 1}" in page
    last = tracks.buildings["stage"].value_counts()
    assert {state: n for state, n in data(page, "series")["counted"][-1].items() if n} == last.to_dict()
