"""summary.json read, checked and written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from detect.base.errors import InputError
from detect.base.notices import Code
from detect.census.sites import PROPOSED
from detect.results.folder import ResultFolder
from detect.results.summary import Summary
from tests.unit.tracks.drawn_series import draw_series, write_result


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A summary as this version writes it."""
    series = draw_series(1, dates=2, buildings=8, clouded=None, demolished=0)
    folder = write_result(tmp_path_factory.mktemp("summary") / "one", series.snapshots[0], rates=[])
    return Summary.read(ResultFolder(folder)).to_json()


def test_what_is_read_is_written_byte_for_byte(content: dict[str, Any]) -> None:
    for later in ({}, {"timings_s": {"total": 1.5}, "files": {"mask.tif": "ab"}, "recounted": {"sites": None}}):
        assert json.dumps(Summary.from_json(content | later, "x").to_json()) == json.dumps(content | later)


@pytest.mark.parametrize(
    ("section", "change", "message"),
    [
        ("run", {"work_gsd_m": "0.3"}, "'run.work_gsd_m' is \"0.3\"; it must be a number"),
        ("run", {"structure": None}, "'run.structure' is null; it must be an object"),
        ("total", {"buildings": {"estimate": 1, "low": 0}}, "'total.buildings.high' is missing; it must be a whole number"),
        ("scene", {"sites_are": "fields"}, "'scene.sites_are' is \"fields\"; it must be one of"),
    ],
)
def test_errors_name_file_and_key(content: dict[str, Any], tmp_path: Path, section: str, change: Any, message: str) -> None:
    (tmp_path / "summary.json").write_text(json.dumps(content | {section: content[section] | change}))
    with pytest.raises(InputError) as error:
        Summary.read(ResultFolder(tmp_path))
    assert str(error.value).startswith(f"{tmp_path / 'summary.json'}: ") and message in str(error.value)


@pytest.mark.parametrize("section", ["scene", "sites", "warnings", "run", "blocks"])
def test_a_missing_section_is_named(content: dict[str, Any], section: str) -> None:
    with pytest.raises(InputError, match=section):
        Summary.from_json({key: value for key, value in content.items() if key != section}, "x")


@pytest.mark.parametrize(
    ("whole", "site_warnings", "kind"), [(True, [], "whole"), (False, [PROPOSED], "proposed"), (False, [], "plots")]
)
@pytest.mark.parametrize("drawn", [True, False])
def test_results_of_earlier_versions_are_completed(
    content: dict[str, Any], whole: bool, site_warnings: list[str], kind: str, drawn: bool
) -> None:
    scene = {k: v for k, v in content["scene"].items() if k not in ("sites_are", "simulated")}
    old = content | {
        "scene": scene | {"whole_scene_is_the_site": whole},
        "sites": [site | {"warnings": site_warnings} for site in content["sites"]],
        "warnings": ["SIMULATED: drawn"] * drawn + ["shadows of 2 buildings say so"],
    }
    del old["notices"]
    read = Summary.from_json(old, "x")
    assert (read.scene.sites_are, read.scene.simulated) == (kind, drawn)
    assert read.warnings == old["warnings"]
    assert read.notices[-1].code == Code.STOREYS_DIFFER
