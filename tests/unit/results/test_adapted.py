"""Which of several results of one scene counts: the adapted one, or one that was read or corrected again since."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from detect.results.adapted import adapted_since, line_of

KEYS = {"scene": "k0", "scene+1": "k1", "scene+2": "k2"}
MODELS = {"scene": "m0", "scene+1": "m1", "scene+2": "m2"}
REVIEW = {"changed": [5], "added": [], "deleted": [7], "dormitory_like": {}}


@pytest.fixture
def chain(tmp_path: Path) -> list[Path]:
    """``scene``, adapted to ``scene+1``, adapted to ``scene+2``."""
    for number, name in enumerate(KEYS):
        summary: dict[str, Any] = {
            "scene": {"sha256": "picture"},
            "model": {"sha256": MODELS[name]},
            "run": {"key": KEYS[name], "options": {"tta": False}},
        }
        if number:
            source = list(KEYS)[number - 1]
            made = {"result": source, "key": KEYS[source], "sha256": MODELS[source]}
            summary |= {"review": REVIEW, "adapted": {"from": made, "review": {"file": "r.gpkg", "sha256": f"r{number}"}}}
        (tmp_path / name).mkdir()
        (tmp_path / name / "summary.json").write_text(json.dumps(summary))
    return [tmp_path / name for name in KEYS]


def now(folder: Path, key: str, **more: Any) -> None:
    """Write a result anew, as another command leaves it."""
    summary = json.loads((folder / "summary.json").read_text())
    (folder / "summary.json").write_text(json.dumps(summary | {"run": summary["run"] | {"key": key}} | more))


def lines(folders: list[Path]) -> list[str]:
    return [line_of(folder, newer) for folder, newer in adapted_since(folders).items()]


SINCE = "scene was adapted since: scene+2 is taken"


def test_the_last_one_counts(chain: list[Path]) -> None:
    assert lines(chain) == [SINCE, "scene+1 was adapted since: scene+2 is taken"]
    assert lines([chain[0], chain[2]]) == [SINCE], "though the one between is elsewhere"
    assert adapted_since(chain[:1]) == {}


def test_one_that_was_read_again_counts(chain: list[Path]) -> None:
    now(chain[0], "new")
    assert lines(chain) == [f"scene+{n} was made before scene was read or corrected again: scene is taken" for n in (1, 2)]
    now(chain[0], "counted", recounted={"review": None}, run={"key": "counted", "options": {"tta": True}})
    assert set(adapted_since(chain).values()) == {chain[0]}, "also when it was counted again then"


def test_one_in_the_middle_that_was_corrected_again_counts(chain: list[Path]) -> None:
    now(chain[1], "new", recounted={"review": {"file": "more.gpkg", "sha256": "more"}})
    assert adapted_since(chain) == {chain[0]: chain[1], chain[2]: chain[1]}


def test_one_that_was_only_counted_again_is_replaced(chain: list[Path]) -> None:
    now(chain[0], "counted", recounted={"sites": {"file": "p.gpkg", "sha256": "p"}, "review": None})
    assert lines(chain)[0] == SINCE
    now(chain[0], "same", review=REVIEW, recounted={"review": {"file": "r.gpkg", "sha256": "r1"}})
    assert lines(chain)[0] == SINCE, "by the corrections from which the adapted one has learnt"


@pytest.mark.parametrize("more", [{"changed": [5, 6]}, {"deleted": [7, 8]}])
def test_corrections_that_the_adapted_one_lacks_are_not_dropped(chain: list[Path], more: dict[str, list[int]]) -> None:
    now(chain[0], "counted", review=REVIEW | more, recounted={"review": None})
    assert set(adapted_since(chain).values()) == {chain[0]}


def test_results_that_say_nothing_go_by_the_picture(chain: list[Path]) -> None:
    for folder in chain:
        (folder / "summary.json").write_text(json.dumps({"scene": {"sha256": "picture"}, "adapted": None, "model": []}))
    assert lines(chain)[0] == SINCE
    (chain[0] / "summary.json").write_text(json.dumps({"scene": {"sha256": "another"}}))
    assert adapted_since(chain) == {chain[1]: chain[2]}, "another picture stays beside them"
