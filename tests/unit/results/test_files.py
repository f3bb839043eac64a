"""The table of a result's files: who is written, who is kept."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from detect.results import files
from detect.results.files import FILES, OUTPUTS, Content, File, keep_files, write_files
from detect.results.folder import SUMMARY


def _writes(name: str) -> files.Write:
    return lambda content, folder: (folder / name).write_text("new") and None  # type: ignore[return-value]


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = (File("heights.csv", _writes("heights.csv"), "scene"), File("note.txt", _writes("note.txt"), "buildings"))
    monkeypatch.setattr(files, "FILES", (*rows, File(SUMMARY, None, "summary")))


@pytest.mark.parametrize(("scene", "written"), [(None, {"note.txt"}), ("there", {"heights.csv", "note.txt"})])
def test_what_cannot_be_written_is_kept(table: None, scene: Any, written: set[str], tmp_path: Path) -> None:
    earlier, folder = tmp_path / "earlier", tmp_path / "new"
    for path in (earlier, folder):
        path.mkdir()
    for name in ("heights.csv", "note.txt", SUMMARY):
        (earlier / name).write_text("old")
    content: Any = SimpleNamespace(scene=scene, buildings="some", summary={}, outputs=frozenset())
    write_files(content, folder)
    keep_files(earlier, folder, ["heights.csv", "note.txt", SUMMARY])
    assert {p.name: p.read_text() for p in folder.iterdir()} == {
        name: "new" if name in written else "old" for name in ("heights.csv", "note.txt")
    }, "summary.json is written by who sealed it"


def test_a_file_that_is_neither_written_nor_there_is_left_out(table: None, tmp_path: Path) -> None:
    content: Any = SimpleNamespace(scene=None, buildings="some", summary={}, outputs=frozenset())
    write_files(content, tmp_path)
    keep_files(tmp_path / "nowhere", tmp_path, ["heights.csv"])
    assert [p.name for p in tmp_path.iterdir()] == ["note.txt"]


def test_a_failing_writer_fails_the_result(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    content: Any = SimpleNamespace(
        stage=None, heads=None, buildings="some", scene=None, weights=None, summary={}, outputs=frozenset()
    )
    with pytest.raises(AttributeError):
        write_files(content, tmp_path)


def test_rows_name_fields_of_the_content_and_no_file_twice() -> None:
    assert {f.needs for f in FILES} <= {f.name for f in fields(Content)}
    assert len(set(OUTPUTS)) == len(OUTPUTS) == len(FILES)
    assert [f.name for f in FILES if f.write is None] == [SUMMARY]
    assets = [f.asset for f in FILES if f.asset]
    assert len(set(assets)) == len(assets) and all(f.title and f.media_type for f in FILES if f.asset)
