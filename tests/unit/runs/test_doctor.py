"""What ``detect doctor`` says of a sound installation, and of what would go wrong."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
import rasterio.env

from detect.cli.main import main
from detect.network import backends
from detect.runs import doctor
from detect.runs.doctor import Finding, examine


@pytest.fixture(autouse=True)
def _sound(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An environment without traps, and a network that answers at once."""
    for name in doctor.FOREIGN:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", "1")
    monkeypatch.setenv("NO_ALBUMENTATIONS_UPDATE", "1")
    monkeypatch.setattr(doctor, "OPTIONAL", {})
    monkeypatch.setattr(doctor, "LEAST_FREE_GB", 0.0)
    monkeypatch.setattr(doctor, "_version", lambda name: None if name == "torch" else "1.0")
    monkeypatch.setattr(backends.OnnxBackend, "predict", lambda *_, **__: np.zeros((5, 8, 8), np.float32))


def problems() -> list[str]:
    return [f"{finding.what}: {finding.problem}" for finding in examine() if finding.problem]


def test_a_sound_installation_has_no_problem(capsys: pytest.CaptureFixture[str]) -> None:
    assert problems() == []
    assert main(["doctor"]) == 0
    assert capsys.readouterr().out.endswith("nothing would go wrong\n")
    assert main(["doctor", "--json"]) == 0
    named = {finding["what"] for finding in json.loads(capsys.readouterr().out)}
    assert {"detect", "Python", "GDAL for images", "weights deep", "network on one core", "temporary files"} <= named


def test_variables_of_another_installation_are_a_problem(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GDAL_DATA", str(tmp_path))
    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", "0")
    assert [line.split(":")[0] for line in problems()] == ["GDAL_DATA", "ORT_DISABLE_TELEMETRY"]


def test_wrong_coordinates_and_missing_formats_are_problems(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert doctor._place("pyproj", lambda: (51.87, 4.35), (4.35, 51.87)).problem.startswith("coordinates come out wrong")
    monkeypatch.setattr(rasterio.env.Env, "drivers", lambda _: {"GTiff": "", "VRT": ""})
    assert problems() == ["formats of images: not among them: COG, JPEG, PNG, JP2OpenJPEG, KMLSUPEROVERLAY"]
    assert main(["doctor"]) == 1
    assert "problem: formats of images: not among them: COG" in capsys.readouterr().out


def test_damaged_weights_are_a_problem(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shutil.copytree(doctor.resource_path("weights"), tmp_path / "weights")
    with (tmp_path / "weights" / "deep-int8.onnx").open("ab") as file:
        file.write(b"more")
    monkeypatch.setattr(doctor, "resource_path", lambda name: tmp_path / name)
    [line] = problems()
    assert line.startswith("weights deep-int8: ") and "deep-int8.onnx" in line


def test_a_folder_that_cannot_be_written_to_is_a_problem(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path / "absent"))
    assert problems() == ["temporary files: cannot be written to (No such file or directory); use another one"]


def test_a_check_that_breaks_hides_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> list[Finding]:
        raise RuntimeError("proj.db\nis missing")

    monkeypatch.setattr(doctor, "_coordinates", broken)
    assert problems() == ["broken: RuntimeError: proj.db is missing; install detect again in a new venv"]
