"""The benchmark of a GPU, rehearsed on a CPU."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import gpu


def test_the_gpu_benchmark_runs_on_a_cpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OUT", str(tmp_path))
    assert gpu.main(["--fake"]) == 0
    report = json.loads((tmp_path / "gpu.json").read_text())
    assert list(report) == ["machine", "draw", "processor", "network", "predict", "compiled"]
    found = report["predict"]
    assert found["Mpx/s"] > 0 and found["buildings"] > 0
    assert "s waiting for readers" in found["network stage"]
    assert report["processor"]["read and decode, ms"] > 0
    assert report["network"]["trained, float32"] > 0
    assert "opening to files, s" in capsys.readouterr().out


def test_a_step_that_fails_does_not_stop_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(**_: object) -> gpu.Report:
        raise ModuleNotFoundError("No module named 'torch'")

    def works(**_: object) -> gpu.Report:
        return {"rate": 1.0}

    monkeypatch.setenv("OUT", str(tmp_path))
    monkeypatch.setattr(gpu, "STEPS", dict.fromkeys(gpu.STEPS, works) | {"network": broken})
    assert gpu.main(["--fake"]) == 1
    report = json.loads((tmp_path / "gpu.json").read_text())
    assert report["network"]["error"] == "ModuleNotFoundError: No module named 'torch'"
    assert report["predict"]["rate"] == 1.0
