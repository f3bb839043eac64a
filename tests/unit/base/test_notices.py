"""Warnings with codes, and those of results from before they had any."""

from __future__ import annotations

from detect.base.notices import Code, Notice, as_json, notices_of

OLD = {
    "shadows of 3 buildings say 3 storeys": Code.STOREYS_DIFFER,
    "corrected by a reviewer: 1 buildings changed": Code.REVIEWED,
    "overview.png and the picture of the page are the earlier ones: gone": Code.NOT_REDRAWN,
    "the scene's brightness is 0.9": Code.OTHER,
}


def test_notices_survive_the_file() -> None:
    given = [Notice(Code.REVIEWED, "a"), Notice("of a later version", "b")]
    written = as_json(given)
    assert written["warnings"] == ["a", "b"]
    assert notices_of(written) == given


def test_a_code_counts_and_not_the_text() -> None:
    (read,) = notices_of(as_json([Notice(Code.SCENE, "corrected by a reviewer: the name of a scene")]))
    assert read.code == Code.SCENE


def test_results_from_before_codes_are_read_by_their_texts() -> None:
    assert {n.text: n.code for n in notices_of({"warnings": list(OLD)})} == OLD
