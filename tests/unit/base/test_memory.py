"""Freed memory goes back to the system, and a command does not look for garbage all the time."""

from __future__ import annotations

import ctypes
import gc
import re
import sys
from pathlib import Path

import pytest

from detect.base.memory import collect_less, trim


def held_kb() -> int:
    found = re.search(r"RssAnon:\s+(\d+)", Path("/proc/self/status").read_text())
    assert found
    return int(found[1])


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc keeps memory in this way, and only Linux tells how much")
def test_what_was_freed_is_given_back() -> None:
    pieces = [bytes(60_000) for _ in range(4000)]  # 240 MB, each too small for a mapping of its own
    kept = pieces[::1000]  # these pin the ends of the heap
    before = held_kb()
    del pieces
    trim()
    assert before - held_kb() > 150_000 and len(kept) == 4


def test_another_c_library_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    trim()


def test_a_command_looks_for_cycles_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    at_exit: list[object] = []
    monkeypatch.setattr("atexit.register", at_exit.append)
    before = gc.get_threshold()
    collect_less.cache_clear()
    try:
        collect_less()
        collect_less()
        assert gc.get_threshold()[0] >= 10_000 and at_exit == [gc.freeze]
    finally:
        gc.set_threshold(*before)
        collect_less.cache_clear()
