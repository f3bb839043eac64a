"""What verify finds, and that it finds nothing in a good result."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import rasterio

import detect
from detect.base.errors import InputError
from detect.cli.main import main
from detect.results.seal import verify
from tests.conftest import GSD_M, ORIGIN_XY, SCENE_SIZE_HW, draw_houses


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder ``out`` of a call with one scene."""
    folder = tmp_path_factory.mktemp("verify")
    height, width = SCENE_SIZE_HW
    profile = {"driver": "GTiff", "dtype": "uint8", "count": 3, "height": height, "width": width, "crs": "EPSG:32631"}
    with rasterio.open(
        folder / "tiny.tif", "w", transform=rasterio.Affine(GSD_M, 0, ORIGIN_XY[0], 0, -GSD_M, ORIGIN_XY[1]), **profile
    ) as out:
        out.write(draw_houses())
    detect.predict(folder / "tiny.tif", folder / "out")
    return folder / "out"


@pytest.fixture
def result(good: Path, tmp_path: Path) -> Path:
    shutil.copytree(good / "tiny", tmp_path / "tiny")
    return tmp_path / "tiny"


def test_a_good_result_and_a_folder_of_results_have_no_finding(good: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify(good / "tiny") == verify(good) == []
    assert main(["verify", str(good)]) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("name", ["mask.tif", "buildings.gpkg", "overview.png", "summary.json"])
def test_a_missing_file_is_found(result: Path, name: str) -> None:
    (result / name).unlink()
    if name == "summary.json":
        with pytest.raises(InputError, match="summary"):
            verify(result)
    else:
        assert any(name in f and "is missing" in f for f in verify(result))


def test_a_changed_file_and_a_changed_summary_are_found(result: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (result / "probability.tif").open("r+b") as handle:
        handle.seek(-3, 2)
        handle.write(b"abc")
    summary = json.loads((result / "summary.json").read_text())
    summary["total"]["buildings"]["estimate"] += 1
    (result / "summary.json").write_text(json.dumps(summary))
    assert main(["verify", str(result)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert any("summary.json: was changed" in line for line in lines)
    assert any("probability.tif: was changed" in line for line in lines)


def test_a_raster_that_does_not_cover_the_scene_is_found(result: Path) -> None:
    with rasterio.open(result / "mask.tif") as mask:
        values, profile = mask.read(1)[:-1], mask.profile
    profile |= {"driver": "GTiff", "height": values.shape[0]}
    with rasterio.open(result / "mask.tif", "w", **profile) as mask:
        mask.write(values, 1)
    assert any("the scene needs" in f for f in verify(result))


def test_a_run_that_was_cut_off_is_found(result: Path) -> None:
    (result.parent / ".other.work").mkdir()
    assert [f for f in verify(result.parent) if "cut off" in f]


def test_a_folder_without_results_is_no_input(tmp_path: Path) -> None:
    assert main(["verify", str(tmp_path)]) == main(["verify", str(tmp_path / "nowhere")]) == 2
