"""Warnings of a result: text for people, and a code for programs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Code(StrEnum):
    """What a notice is about."""

    SCENE = "scene"
    """How the scene was read, and what is unusual about its file."""
    UNLIKE_TRAINING = "unlike-training"
    STOREYS_DIFFER = "storeys-differ"
    NO_SHADOW = "no-shadow"
    """Buildings whose stage was changed because they cast no shadow."""
    COUNTED_ELSEWHERE = "counted-elsewhere"
    NOTHING_PROPOSED = "nothing-proposed"
    FAILED_BLOCKS = "failed-blocks"
    REVIEWED = "reviewed"
    REVIEWS_DIFFER = "reviews-differ"
    """Corrections of several reviewers contradict each other."""
    NOT_REDRAWN = "not-redrawn"
    EDITED = "edited"
    """The table of a result was changed by another program, which is not a recorded correction."""
    SERIES = "series"
    """What is unusual about the results of a series, or does not fit together."""
    SIMULATED = "simulated"
    HARDLY_SEEN = "hardly-seen"
    """A date of a series at which few or none of the existing buildings are visible."""
    OTHER = "other"
    """A warning in a result that was written before notices had codes."""


@dataclass(frozen=True)
class Notice:
    """A warning."""

    code: str
    """A value of ``Code``, or a code of a later version."""
    text: str


_BEGINNINGS = {
    "shadows of": Code.STOREYS_DIFFER,
    "corrected by a reviewer:": Code.REVIEWED,
    "overview.png and the picture of the page are the earlier ones:": Code.NOT_REDRAWN,
}
"""Beginnings of the texts that a census replaces, in results that were written before notices had codes."""


def notices_of(summary: Mapping[str, Any]) -> list[Notice]:
    """The notices of a summary.json; if it was written before notices had codes, the beginning of the text gives the code."""
    if "notices" in summary:
        return [Notice(n["code"], n["text"]) for n in summary["notices"]]
    known = _BEGINNINGS.items()
    return [
        Notice(next((code for start, code in known if text.startswith(start)), Code.OTHER), text) for text in summary["warnings"]
    ]


def as_json(notices: Iterable[Notice]) -> dict[str, Any]:
    """Notices as summary.json holds them: ``warnings`` has the texts, ``notices`` the texts with codes."""
    known = list(notices)
    return {"warnings": [n.text for n in known], "notices": [asdict(n) for n in known]}
