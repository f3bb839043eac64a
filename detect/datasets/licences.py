"""Choices of licences for training.

Weights are not a copy of their training data, but those who publish weights want to state it; the card lists it.
"""

from __future__ import annotations

import re

PERMISSIVE = frozenset(
    {
        "none",
        "cc0-1.0",
        "cc-by-4.0",
        "cc-by-3.0",
        "cc-by-2.0",
        "mit",
        "apache-2.0",
        "bsd-3-clause",
        "odc-by-1.0",
        "pddl-1.0",
        "public domain",
    }
)
"""Licences that require credit at most."""
SHARE_ALIKE = frozenset({"cc-by-sa-4.0", "cc-by-sa-3.0", "odbl-1.0"})
"""Licences that also require that derived data be shared alike."""

CHOICES = {
    "any": None,
    "open": PERMISSIVE | SHARE_ALIKE,
    "permissive": PERMISSIVE,
}
"""Name in a recipe → licences that may train; None: all, those that forbid commercial use among them."""


def allowed(licence: str, choice: str) -> bool:
    """Whether data under ``licence`` (identifiers joined by ``;``, all of which apply) may train under a key of ``CHOICES``."""
    accepted = CHOICES[choice]
    if accepted is None:
        return True
    parts = [re.sub(r"\s+", " ", part).strip().lower() for part in licence.split(";")]
    return all(part in accepted for part in parts if part)
