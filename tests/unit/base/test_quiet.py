"""Nothing is sent anywhere, and nothing is written beside the results."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import types
from pathlib import Path

import pytest

from detect.base.quiet import SWITCHES, switch_off
from tests.conftest import WriteScene

REPOSITORY = Path(__file__).resolve().parents[3]
SCRIPTS = sorted([*(REPOSITORY / "scripts").glob("*.py"), *(REPOSITORY / "benchmarks").glob("*.py")])
SILENCED = {"onnxruntime", "albumentations"}


def in_a_fresh_process(home: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Python in an empty home, without the variables that this process has set."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("XDG_", "MPL")) and k not in SWITCHES}
    own = {"HOME": str(home), "TMPDIR": str(home / "tmp"), "PYTHONPATH": str(REPOSITORY)}
    (home / "tmp").mkdir(parents=True)
    return subprocess.run([sys.executable, *arguments], env=kept | own | environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("module", ["detect", "detect.network.cluster"])
def test_the_switches_are_set_before_anything_else(module: str, tmp_path: Path) -> None:
    script = f"import {module}, os; print(*(os.environ[name] for name in {list(SWITCHES)}))"
    assert in_a_fresh_process(tmp_path / "a", "-c", script).stdout.split() == list(SWITCHES.values())
    own = in_a_fresh_process(tmp_path / "b", "-c", script, ORT_DISABLE_TELEMETRY="0")
    assert own.stdout.split()[0] == "0", "what the user has set stands"


def test_an_import_that_came_too_early_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", types.ModuleType("onnxruntime"))
    switch_off()  # it was set when the other was imported
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY")
    with pytest.warns(UserWarning, match="import detect first"):
        switch_off()
    assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda p: p.name)
def test_scripts_import_detect_before_what_it_silences(path: Path) -> None:
    names: list[str] = []
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            names += [alias.name.partition(".")[0] for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names.append((node.module or "").partition(".")[0])
    if early := SILENCED.intersection(names):
        assert "detect" in names and names.index("detect") < min(names.index(name) for name in early)


def test_a_prediction_and_a_census_leave_nothing_in_the_home(write_scene: WriteScene, tmp_path: Path) -> None:
    out = tmp_path / "out"
    calls = (
        ("predict", str(write_scene()), "--out", str(out), "--weights", "deep-int8", "-q"),
        ("census", str(out)),
    )
    for verb, *arguments in calls:
        home = tmp_path / verb
        ended = in_a_fresh_process(home, "-m", "detect", verb, *arguments)
        assert ended.returncode == 0, ended.stderr
        assert (out / "tiny/overview.png").is_file()
        assert list(home.rglob("*")) == [home / "tmp"]
