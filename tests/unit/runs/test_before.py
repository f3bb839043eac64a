"""What an earlier run has left, on folders that hold a summary alone."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from detect.base.errors import InputError
from detect.results.folder import ResultFolder
from detect.runs.before import done_already

JOB: Any = SimpleNamespace(options=SimpleNamespace(outputs=(), overwrite=False))


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({}, r"already \(the result of another scene, or of other options; detect census counts again"),
        ({"recounted": {"sites": None}}, "already, a result that detect census has counted again; give --overwrite"),
    ],
)
def test_what_is_in_the_way_is_named(tmp_path: Path, more: dict[str, Any], said: str) -> None:
    (tmp_path / "summary.json").write_text(json.dumps({"run": {"key": "one"}, "blocks": {"failed": []}, **more}))
    with pytest.raises(InputError, match=said):
        done_already(ResultFolder(tmp_path), "another", JOB)


def test_what_is_no_result_has_no_more_words(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds something else already; give --overwrite"):
        done_already(ResultFolder(tmp_path), "another", JOB)
