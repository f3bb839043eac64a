"""The cards of the weights that ship hold every key that the code reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from detect.base.stages import STAGES
from detect.census.rates import SIZES_M2
from detect.cli.main import main
from detect.network.weights import load_weights

FOLDER = Path(__file__).resolve().parents[2] / "weights"
CARDS = sorted(path.stem for path in FOLDER.glob("*.json"))
KEYS = {
    "": [
        "name",
        "files",
        "heads",
        "gsd_m",
        "gsd_range_m",
        "tile",
        "normalisation",
        "architecture",
        "thresholds",
        "version",
        "bands",
        "brightness",
        "calibration",
        "data",
        "licence",
        "metrics",
        "rates",
        "recipe",
        "stage_head",
    ],
    "tile": ["core_px", "halo_px", "stride_px"],
    "normalisation": ["mean", "std"],
    "architecture": ["decoder", "encoder", "decoder_channels"],
    "thresholds": ["footprint", "boundary", "seed_margin", "merge_below", "min_area_m2"],
    "brightness": ["mean", "mean_sd", "std", "std_sd"],
    "calibration": ["footprint", "stage", "stage_class_weights"],
    "calibration.footprint": ["temperature"],
    "calibration.stage": ["temperature"],
    "metrics": ["mean_iou", "mean_f1", "places", "sets"],
    "stage_head": ["gsds_m", "crop_px", "sure_from"],
    "recipe": ["steps", "config"],
}
"""Per part of a card what the commands and scripts read of it. ``finest_gsd_m`` and ``mean_margin`` may be absent."""
OF_A_SIZE = {"predicted", "real", "reference", "found"}


@pytest.mark.parametrize("name", CARDS)
def test_the_card_is_complete(name: str) -> None:
    card = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    lacks = []
    for part, keys in KEYS.items():
        content: Any = card
        for step in filter(None, part.split(".")):
            content = content[step]
        lacks += [f"{part}.{key}" for key in keys if key not in content]
    assert lacks == []
    assert card["name"] == name
    assert all({"data_set", "licence", "trained_on"} <= d.keys() for d in card["data"])


@pytest.mark.parametrize("name", CARDS)
def test_rates_of_the_card_are_complete(name: str) -> None:
    rates = load_weights(name).card["rates"]
    assert any(rate.get("simulated") for rate in rates) and any(not rate.get("simulated") for rate in rates)
    for rate in rates:
        assert {"by_size", "stages"} & rate.keys(), f"{rate['place']} tells nothing"
        by_size = rate.get("by_size", {})
        assert set(SIZES_M2) <= set(by_size) or "dormitory" in by_size or not by_size, rate["place"]
        assert all(size.keys() >= OF_A_SIZE for size in by_size.values()), rate["place"]
        if "stages" in rate:
            assert all(set(given) == set(STAGES) for given in (rate["stages"], *rate["stages"].values())), rate["place"]
            assert set(rate["by_stage"]) == set(STAGES), rate["place"]
            assert all(stage.keys() >= {"reference", "found"} for stage in rate["by_stage"].values()), rate["place"]


def test_each_file_belongs_to_a_card_and_the_folder_is_small() -> None:
    described = {file.name for name in CARDS for file in load_weights(name).card.files.values()}
    files = {path.name: path.stat().st_size for path in FOLDER.iterdir()}
    assert set(files) == described | {f"{name}.json" for name in CARDS} | {"README.md", "default.txt"}
    assert max(files.values()) < 20e6
    assert sum(files.values()) < 27e6


def test_weights_that_do_not_ship_are_answered_with_those_that_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "scene.tif").write_bytes(b"")
    assert main(["predict", str(tmp_path / "scene.tif"), "--out", str(tmp_path / "out"), "--weights", "base"]) == 2
    said = capsys.readouterr().err
    assert f"shipped are: {', '.join(CARDS)}" in said and len(said.splitlines()) == 1


def test_the_default_ships() -> None:
    assert (FOLDER / "default.txt").read_text(encoding="utf-8").strip() in CARDS
