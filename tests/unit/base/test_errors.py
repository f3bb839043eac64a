"""Errors as one line each: what is wrong, where, and what to do."""

from __future__ import annotations

import errno
import os

import pytest

from detect.base.errors import missing_library, of_system
from detect.cli import main as cli
from detect.cli.main import main


@pytest.mark.parametrize(
    ("words", "package"),
    [
        ("libexpat.so.1: cannot open shared object file: No such file or directory", "libexpat1"),
        ("libGL.so.1: cannot open shared object file: No such file or directory", "libgl1"),
    ],
)
def test_a_library_of_the_system_that_is_missing_is_named_with_its_package(words: str, package: str) -> None:
    said = missing_library(ImportError(words))
    assert said.startswith(f"{words.partition(':')[0]}, a library of the system, is missing") and said.endswith(
        f"install {package})"
    )


@pytest.mark.parametrize(
    "error", [ImportError("cannot import name 'x' from 'y'"), ValueError("libexpat.so.1: cannot open shared object file")]
)
def test_other_errors_lack_no_library(error: Exception) -> None:
    assert missing_library(error) == ""


def test_a_command_that_lacks_a_library_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def broken(_: object) -> int:
        raise ImportError("libexpat.so.1: cannot open shared object file: No such file or directory")

    monkeypatch.setitem(cli.VERBS, "doctor", (broken, "help", lambda parser: None))
    assert main(["doctor"]) == 1
    assert "apt-get install libexpat1" in (said := capsys.readouterr().err) and "fault of detect" not in said


def test_a_lack_of_rights_names_the_user_and_a_way_out() -> None:
    error = of_system("a file", PermissionError(errno.EACCES, os.strerror(errno.EACCES), "/data/out"))
    assert error.exit_code == 1
    assert str(error).startswith("/data/out: Permission denied for user ") and "run as its owner" in str(error)
