"""A card is read once: what is missing has a default or an error that names file, key and what is wanted."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from detect.base.errors import InputError
from detect.network.card import Calibration, Temperature, card_from, read_card
from detect.network.heads import HEAD_NAMES
from detect.network.lattice import Lattice


def least_card() -> dict[str, Any]:
    """The JSON of a card with the keys that every card has."""
    return {
        "name": "tiny",
        "files": {"onnx": {"name": "tiny.onnx", "sha256": "0" * 64}},
        "heads": list(HEAD_NAMES),
        "gsd_m": 0.5,
        "gsd_range_m": [0.1, 1],
        "tile": {"core_px": 512, "halo_px": 128, "stride_px": 32},
        "normalisation": {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.2, 0.1]},
        "architecture": {"encoder": "any"},
        "thresholds": {"footprint": 0.45, "boundary": 0.3, "min_area_m2": 12},
    }


def changed(keys: str, value: Any) -> dict[str, Any]:
    """The least card with a value under dotted keys; None removes the key."""
    card = part = least_card()
    *path, last = keys.split(".")
    for key in path:
        part = part.setdefault(key, {})
    if value is None:
        del part[last]
    else:
        part[last] = value
    return card


def test_a_card_with_the_least_keys_has_defaults_for_the_others() -> None:
    card = card_from(least_card(), "tiny.json")
    assert (card.name, card.gsd_m, card.finest_gsd_m, card.gsd_range_m) == ("tiny", 0.5, None, (0.1, 1.0))
    assert card.tile == Lattice(512, 128, 32)
    assert (card.thresholds.boundary, card.thresholds.seed_margin) == (0.3, None)
    assert card.calibration == Calibration(None, None, (1.0, 1.0, 1.0))
    assert card.brightness is None and card.stage_head is None
    assert card.bands == ("red", "green", "blue")


def test_optional_keys_are_read() -> None:
    files = least_card()["files"] | {"stage": {"name": "s.onnx", "sha256": "1" * 64}}
    brightness = {"mean": [0.5] * 3, "mean_sd": [0.1] * 3, "std": [0.2] * 3, "std_sd": [0.05] * 3}
    calibration = {"footprint": {"temperature": 1.3}, "stage": None, "stage_class_weights": [3, 3, 1]}
    more = {"files": files, "brightness": brightness, "calibration": calibration, "stage_head": {"gsds_m": [0.3], "crop_px": 64}}
    card = card_from(least_card() | more | {"finest_gsd_m": 0.2, "bands": ["nir", "red", "green"]}, "tiny.json")
    assert card.calibration == Calibration(Temperature(1.3), None, (3.0, 3.0, 1.0))
    assert card.brightness is not None and card.brightness.std_sd == (0.05, 0.05, 0.05)
    assert card.stage_head is not None
    assert (card.stage_head.gsds_m, card.stage_head.crop_px, card.stage_head.sure_from) == ((0.3,), 64, math.inf)
    assert (card.finest_gsd_m, card.bands) == (0.2, ("nir", "red", "green"))


def test_as_a_mapping_a_card_is_its_json() -> None:
    content = least_card() | {"recipe": {"steps": 3}}
    card = card_from(content, "tiny.json")
    assert dict(card) == content and card["recipe"] == {"steps": 3} and card.get("rates") is None
    assert card | {"name": "other"} == content | {"name": "other"}
    assert card.name == "tiny", "unchanged"


@pytest.mark.parametrize(
    ("keys", "wanted"),
    [
        ("name", "non-empty text"),
        ("files", "an object with keys"),
        ("heads", f"the heads that this version runs, {', '.join(HEAD_NAMES)}"),
        ("gsd_m", "a number above 0"),
        ("gsd_range_m", "a list of 2 numbers"),
        ("tile", "an object with keys"),
        ("tile.halo_px", "a whole number"),
        ("normalisation.std", "a list of 3 numbers"),
        ("architecture", "an object with keys"),
        ("thresholds.footprint", "a number from 0 to 1"),
        ("thresholds.min_area_m2", "a number"),
        ("files.onnx.sha256", "non-empty text"),
    ],
)
def test_a_missing_key_is_named_with_the_file_and_what_is_wanted(tmp_path: Path, keys: str, wanted: str) -> None:
    path = tmp_path / "tiny.json"
    path.write_text(json.dumps(changed(keys, None)))
    with pytest.raises(InputError) as error:
        read_card(path)
    assert str(error.value) == f"{path}: is a broken card, '{keys}' is missing; it must be {wanted}"


@pytest.mark.parametrize(
    ("keys", "value", "wanted"),
    [
        ("gsd_m", 0, "a number above 0"),
        ("gsd_m", "0.5", "a number above 0"),
        ("gsd_m", True, "a number above 0"),
        ("gsd_m", math.inf, "a number above 0"),
        ("heads", ["footprint"], f"the heads that this version runs, {', '.join(HEAD_NAMES)}"),
        ("tile.core_px", 512.5, "a whole number"),
        ("thresholds.footprint", 45, "a number from 0 to 1"),
        ("thresholds.mean_margin", "wide", "a number"),
        ("normalisation.mean", [0.5, 0.5], "a list of 3 numbers"),
        ("normalisation.mean", [0.5, 0.5, "red"], "a number"),
        ("calibration.stage", {"temperature": -1}, "a number above 0"),
        ("calibration.stage_class_weights", [1], "a list of 3 numbers"),
        ("brightness", [1], "an object with keys"),
        ("files", {"onnx": "tiny.onnx"}, "an object with keys"),
        ("bands", "rgb", "a list of strings"),
    ],
)
def test_an_impossible_value_is_named_with_its_key(keys: str, value: Any, wanted: str) -> None:
    with pytest.raises(InputError, match=r"^tiny\.json: is a broken card, '") as error:
        card_from(changed(keys, value), "tiny.json")
    assert keys in str(error.value) and str(error.value).endswith(f"it must be {wanted}")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("tile", [{"core_px": 500}, {"halo_px": 100}, {"stride_px": 0}])
def test_a_tile_on_which_parts_and_whole_disagree_is_refused(tile: dict[str, int]) -> None:
    with pytest.raises(InputError, match=r"'tile' is not valid: (core|halo|stride)_px must be"):
        card_from(least_card() | {"tile": least_card()["tile"] | tile}, "tiny.json")


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe\x00", b""])
def test_a_file_that_is_not_json_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "tiny.json").write_bytes(content)
    with pytest.raises(InputError, match="is not a readable card"):
        read_card(tmp_path / "tiny.json")


@pytest.mark.parametrize("content", ["[]", "3", "null", '"name"'])
def test_json_that_is_no_object_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "tiny.json").write_text(content)
    with pytest.raises(InputError, match=r"is not a card of detect's weights"):
        read_card(tmp_path / "tiny.json")
