"""Warnings of a result: a text for people, and a code by which programs find it again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Code(StrEnum):
    """What a notice is about."""

    SCENE = "scene"
    """How the scene was read, and what is odd about its file."""
    UNLIKE_TRAINING = "unlike-training"
    STOREYS_DIFFER = "storeys-differ"
    COUNTED_ELSEWHERE = "counted-elsewhere"
    NOTHING_PROPOSED = "nothing-proposed"
    FAILED_BLOCKS = "failed-blocks"
    REVIEWED = "reviewed"
    NOT_REDRAWN = "not-redrawn"
    SERIES = "series"
    """What is odd about the results of a series, or about how they fit each other."""
    SIMULATED = "simulated"
    HARDLY_SEEN = "hardly-seen"
    """A date of a series that shows little or nothing of what stands."""
    OTHER = "other"
    """Of a result from before notices had codes."""


@dataclass(frozen=True)
class Notice:
    """A warning."""

    code: str
    """Of ``Code``, or one that a later version knows."""
    text: str


_BEGINNINGS = {
    "shadows of": Code.STOREYS_DIFFER,
    "corrected by a reviewer:": Code.REVIEWED,
    "overview.png and the picture of the page are the earlier ones:": Code.NOT_REDRAWN,
}
"""How the texts begin that a census replaces, in results from before notices had codes."""


def notices_of(summary: Mapping[str, Any]) -> list[Notice]:
    """The notices of a summary.json; those of results from before notices had codes are known by how their texts begin."""
    if "notices" in summary:
        return [Notice(n["code"], n["text"]) for n in summary["notices"]]
    known = _BEGINNINGS.items()
    return [
        Notice(next((code for start, code in known if text.startswith(start)), Code.OTHER), text) for text in summary["warnings"]
    ]


def as_json(notices: Iterable[Notice]) -> dict[str, Any]:
    """What summary.json holds of notices: ``warnings``, their texts, and ``notices``, texts with codes."""
    known = list(notices)
    return {"warnings": [n.text for n in known], "notices": [asdict(n) for n in known]}
