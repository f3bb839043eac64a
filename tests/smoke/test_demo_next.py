"""What ``make demo`` says in the end."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from tests.smoke.placeholders import ROOT

spec = importlib.util.spec_from_file_location("demo_next", ROOT / "scripts" / "demo_next.py")
assert spec is not None and spec.loader is not None
demo_next = importlib.util.module_from_spec(spec)
spec.loader.exec_module(demo_next)


def test_a_window_opens_only_where_someone_looks() -> None:
    assert demo_next.may_open({"DISPLAY": ":0"}, "linux", terminal=True) and demo_next.may_open({}, "darwin", terminal=True)
    for environment, terminal in (({"DISPLAY": ":0", "CI": "true"}, True), ({"DISPLAY": ":0"}, False), ({}, True)):
        assert not demo_next.may_open(environment, "linux", terminal=terminal)
    assert not demo_next.may_open({"SSH_CONNECTION": "1"}, "darwin", terminal=True)


def test_three_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert demo_next.main(Path("demo/out/rotterdam")) == 0
    said = capsys.readouterr().out
    commands = [line.strip() for line in said.splitlines() if ".venv/bin/detect" in line]
    assert len(commands) == 3 and "demo/out/rotterdam --review corrections.geojson" in commands[0] and "{z}" in commands[2]
