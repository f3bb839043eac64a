"""Results that ``detect adapt`` has replaced by newer ones, which lie beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from detect.census.review import Review
from detect.results.folder import ResultFolder


def adapted_since(folders: Sequence[Path]) -> dict[Path, Path]:
    """Folders of results that another of them replaces, and by which one.

    ``scene+2`` replaces ``scene`` and ``scene+1``, from which ``detect adapt`` has made it. One that was read or corrected again
    afterwards replaces those that were made from it; ``line_of`` says which of the two it was.
    """
    groups: dict[tuple[Path, str], list[tuple[int, Path]]] = {}
    for folder in folders:
        name, number = _numbered(folder)
        groups.setdefault((folder.parent, name), []).append((number, folder))
    replaced: dict[Path, Path] = {}
    for several in groups.values():
        if len(several) > 1:
            replaced |= _replaced([folder for _, folder in sorted(several)])
    return replaced


def line_of(folder: Path, newer: Path) -> str:
    """Why ``adapted_since`` leaves a result out, for the user."""
    if _numbered(folder)[1] < _numbered(newer)[1]:
        return f"{folder.name} was adapted since: {newer.name} is taken"
    return f"{folder.name} was made before {newer.name} was read or corrected again: {newer.name} is taken"


def _numbered(folder: Path) -> tuple[str, int]:
    """``scene+2`` → (``scene``, 2); a result of predict has the number 0."""
    name, _, number = folder.name.rpartition("+")
    return (name, int(number)) if name and number.isascii() and number.isdigit() else (folder.name, 0)


def _replaced(folders: Sequence[Path]) -> dict[Path, Path]:
    """Of results that bear one name, by their number: those that show the scene of the last one, but for the one that counts."""
    summaries = {folder: ResultFolder(folder).summary("scene") for folder in folders}
    shown = {folder: _at(summary, "scene", "sha256") for folder, summary in summaries.items()}
    alike = [folder for folder in folders if shown[folder] and shown[folder] == shown[folders[-1]]]
    taken = next((old for old in alike if any(_is_stale(summaries[new], old, summaries[old]) for new in alike)), folders[-1])
    return {folder: taken for folder in alike if folder != taken}


def _is_stale(new: Mapping[str, Any], folder: Path, old: Mapping[str, Any]) -> bool:
    """Whether a result was adapted from another one that was read or corrected again since.

    Each census changes the key of a result, also one that only counts again, such as with other plots; that makes no adapted result
    stale.
    """
    source = _at(new, "adapted", "from")
    if _at(source, "result") != folder.name or _at(source, "key") == _at(old, "run", "key"):
        return False
    read_alike = _at(source, "sha256") == _at(old, "model", "sha256") and _tta(old) == _tta(new)
    if not old.get("recounted") or not read_alike:
        return True
    files = _at(old, "recounted", "review")
    given = {_at(file, "sha256") for file in (files if isinstance(files, list) else [files])} - {None}
    ours, theirs = (Review.from_json(summary.get("review"), folder) for summary in (old, new))
    known = ours.checked <= theirs.checked | {*theirs.deleted} and {*ours.deleted} <= {*theirs.deleted}
    return not known or not given <= {_at(new, "adapted", "review", "sha256")}


def _tta(summary: Mapping[str, Any]) -> bool:
    return bool(_at(summary, "run", "options", "tta"))


def _at(part: Any, *names: str) -> Any:
    """A value of a summary; None where it is missing."""
    for name in names:
        part = part.get(name) if isinstance(part, dict) else None
    return part
