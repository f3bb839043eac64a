"""Find the folders of a release where unpacking has put them: in the given folder or a few levels below it."""

from __future__ import annotations

from pathlib import Path

from detect.base.files import listed

_DEEPEST = 3
"""Levels below the given folder."""


def folders_named(source: Path, *names: str) -> list[Path]:
    """Folders with one of the names, in the source or up to ``_DEEPEST`` levels below it, sorted."""
    found = (f for name in names for depth in range(_DEEPEST + 1) for f in listed(source, "*/" * depth + name))
    return sorted(f for f in found if f.is_dir())
