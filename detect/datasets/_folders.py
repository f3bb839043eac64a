"""Find folders of a release at any depth, however the release was unpacked."""

from __future__ import annotations

from pathlib import Path

from detect.base.files import listed

_DEEPEST = 3


def folders_named(source: Path, *names: str) -> list[Path]:
    """Folders with one of the names, in the source or up to three levels below it, sorted."""
    found = (f for name in names for depth in range(_DEEPEST + 1) for f in listed(source, "*/" * depth + name))
    return sorted(f for f in found if f.is_dir())
