"""Results that ``detect adapt`` has replaced by newer ones, which lie beside them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from detect.results.folder import ResultFolder


def adapted_since(folders: Sequence[Path]) -> dict[Path, Path]:
    """Folders of results that ``detect adapt`` has replaced by another of them, ``scene`` by ``scene+2``, and by which one."""
    newest: dict[tuple[Path, str], list[tuple[int, Path]]] = {}
    for folder in folders:
        name, _, number = folder.name.rpartition("+")
        known = (name, int(number)) if name and number.isascii() and number.isdigit() else (folder.name, 0)
        newest.setdefault((folder.parent, known[0]), []).append((known[1], folder))
    replaced = {}
    for several in newest.values():
        *older, (_, last) = sorted(several)
        for _, folder in older:
            old, new = (ResultFolder(one).summary("scene")["scene"] for one in (folder, last))
            if isinstance(old, dict) and isinstance(new, dict) and old.get("sha256") and old["sha256"] == new.get("sha256"):
                replaced[folder] = last
    return replaced
