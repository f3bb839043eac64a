"""Files that appear whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from detect.base.files import whole_file, write_whole


def test_a_file_is_whole_or_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_whole(path, "before")
    with pytest.raises(RuntimeError), whole_file(path) as aside:
        aside.write_text("half")
        raise RuntimeError
    assert path.read_text() == "before"
    with whole_file(path) as aside:
        aside.write_text("after")
        assert path.read_text() == "before" and aside.suffix == path.suffix
    assert path.read_text() == "after"
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"], "nothing is left beside it"
