"""SCOT, the SpaceNet Change and Object Tracking score: how well buildings are followed, and new ones found when they appear.

Van Etten, Hogan, Martinez Manso, Shermeyer, Weir & Lewis (2021), The Multi-Temporal Urban Development SpaceNet Dataset, CVPR; the same as
the authors' published code. At each date footprints are matched one to one at an IoU above 0.25, as many as can be and then with the
largest sum of IoU.

- Tracking: a match is a mismatch when the last match of its reference building, or of its predicted one, was to another partner. F1 with
  every mismatch counted as a false positive and a false negative, over all dates.
- Change detection: the same F1 over those footprints alone whose identity appears for the first time, from the second date on.
- SCOT: the weighted harmonic mean (1 + β²) · change · tracking / (β² · change + tracking), β = 2.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import geopandas as gpd
import numpy as np

from detect.base.matching import best_match, overlaps
from detect.base.vectors import geometries_of

IOU = 0.25
BETA = 2.0
_PER_MATCH = 100.0  # more than any sum of IoUs could outweigh within a group of buildings that touch


@dataclass(frozen=True)
class DateMatches:
    """What one date shows on both sides."""

    ours: tuple[Any, ...]
    """Identities that were predicted."""
    theirs: tuple[Any, ...]
    """Identities in the reference."""
    pairs: tuple[tuple[int, int], ...]
    """(row in ours, row in theirs)."""

    @property
    def matched(self) -> list[tuple[Any, Any]]:
        """(identity in ours, identity in theirs)."""
        return [(self.ours[a], self.theirs[b]) for a, b in self.pairs]


def match_date(ours: gpd.GeoDataFrame, theirs: gpd.GeoDataFrame) -> DateMatches:
    """Footprints of one date matched; both tables have ``id`` and are in one plane of equal area."""
    left, right, iou = overlaps(geometries_of(ours), geometries_of(theirs))
    good = iou > IOU
    a, b = best_match(left[good], right[good], _PER_MATCH + iou[good])
    order = np.argsort(a)
    pairs = tuple(zip(a[order].tolist(), b[order].tolist(), strict=True))
    return DateMatches(tuple(ours["id"].tolist()), tuple(theirs["id"].tolist()), pairs)


def scot(dates: Sequence[DateMatches]) -> dict[str, Any]:
    """The score and its parts, from the matches of each date in order of time; each part is None where it has no case."""
    tracking, change = _tracking(dates), _change(dates)
    track_f1, change_f1 = _f1(tracking), _f1(change)
    combined = None
    if track_f1 is not None and change_f1 is not None:
        weighted = BETA**2 * change_f1 + track_f1
        combined = (1 + BETA**2) * change_f1 * track_f1 / weighted if weighted else 0.0
    return {
        "scot": combined,
        "tracking": {"score": track_f1, **tracking},
        "change": {"score": change_f1, **change},
        "iou": IOU,
        "beta": BETA,
    }


def _tracking(dates: Iterable[DateMatches]) -> dict[str, int]:
    """True and false positives and false negatives over all dates, mismatches counted as both errors."""
    last_of_ours: dict[Any, Any] = {}
    last_of_theirs: dict[Any, Any] = {}
    hits = extra = missed = mismatches = 0
    for date in dates:
        hits += len(date.pairs)
        extra += len(date.ours) - len(date.pairs)
        missed += len(date.theirs) - len(date.pairs)
        mismatches += sum(last_of_ours.get(a, b) != b or last_of_theirs.get(b, a) != a for a, b in date.matched)
        last_of_ours |= dict(date.matched)
        last_of_theirs |= {b: a for a, b in date.matched}
    return {"tp": hits - mismatches, "fp": extra + mismatches, "fn": missed + mismatches, "mismatches": mismatches}


def _change(dates: Sequence[DateMatches]) -> dict[str, int]:
    """The same over identities that appear for the first time after the first date."""
    counted = {"tp": 0, "fp": 0, "fn": 0}
    known_ours, known_theirs = set(dates[0].ours), set(dates[0].theirs)
    for date in dates[1:]:
        new_ours, new_theirs = set(date.ours) - known_ours, set(date.theirs) - known_theirs
        hits = sum(a in new_ours and b in new_theirs for a, b in date.matched)
        counted["tp"] += hits
        counted["fp"] += len(new_ours) - hits
        counted["fn"] += len(new_theirs) - hits
        known_ours |= new_ours
        known_theirs |= new_theirs
    return counted


def _f1(counted: Mapping[str, int]) -> float | None:
    all_ = counted["tp"] + (counted["fp"] + counted["fn"]) / 2
    return counted["tp"] / all_ if all_ else None
