"""Every set of shipped weights goes through every command that takes weights or their results."""

from __future__ import annotations

import json
from pathlib import Path

import geopandas as gpd
import pytest

from detect.cli import main as cli
from detect.network.tensors import is_quantised
from detect.network.weights import load_weights
from tests.smoke.placeholders import ROOT, SERIES, outlines_on, provide
from tests.smoke.test_docs_commands import open_file

CARDS = sorted(path.stem for path in (ROOT / "weights").glob("*.json"))


@pytest.mark.slow
@pytest.mark.parametrize("weights", CARDS)
def test_shipped_weights_go_through_every_command(
    weights: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names = (*SERIES, "august")
    for name in (*(f"{name}.tif" for name in names), "plots.geojson", "reference.geojson", "reference.gpkg"):
        provide(name, tmp_path)
    scenes = [f"{name}.tif" for name in names]

    def detect(*words: str) -> dict:
        code = cli.main([*words])
        said = capsys.readouterr()
        assert code == 0, said.err
        return json.loads(said.out) if "--json" in words else {}

    detect("predict", *scenes, "--weights", weights, "--out", "out", "-q")
    counted = detect("census", "out/august", "--sites", "plots.geojson", "--json")
    assert [site["name"] for site in counted["sites"]] == ["north", "south"]
    assert counted["model"]["name"] == weights
    metrics = detect("evaluate", "out/august", "reference.geojson", "--json")
    assert metrics["f1"] > 0.8
    series = detect("track", "out", "--out", "tracked", "--json", "-q")
    assert series["series"]["dates"] == [f"2026-{month:02d}-05" for month in (1, 4, 6, 8)]
    assert "forecast" in json.dumps(series)
    followed = gpd.read_file("tracked/tracks.gpkg", layer="buildings")
    assert len(followed) == pytest.approx(len(outlines_on("2026-08-05")), abs=2)
    assert detect("evaluate", "tracked", "reference.gpkg", "--track", "--json")["scot"] > 0.5
    if is_quantised(load_weights(weights)):
        assert cli.main(["export", weights, "--out", "model.onnx"]) == 2
        said = capsys.readouterr().err
        assert "such as deep" in said and len(said.splitlines()) == 1
    else:
        detect("export", weights, "--out", "model.onnx")
        detect("predict", scenes[-1], "--weights", "model.onnx", "--out", "again", "-q")
    for path in tmp_path.rglob("*"):
        if path.is_file():
            open_file(path)
