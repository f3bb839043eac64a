"""The evidence that each date gives for each tracked building."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from detect.base.stages import STAGES
from detect.tracks.histories import Evidence
from detect.tracks.link import Links
from detect.tracks.series import Snapshot, probability_within


def gather(snapshots: Sequence[Snapshot], links: Links, plane: Any) -> Evidence:
    """The evidence of each date for each building; if the date did not detect it, its probability map is read."""
    found = links.detection >= 0
    seen = np.zeros_like(found)
    score = np.full(found.shape, np.nan)
    stage_p = np.full((*found.shape, len(STAGES)), 1 / len(STAGES))
    for t, snapshot in enumerate(snapshots):
        seen[:, t] = snapshot.saw(links.footprints)
        rows = snapshot.buildings.iloc[links.detection[found[:, t], t]]
        score[found[:, t], t] = rows["score"]
        stage_p[found[:, t], t] = rows[[f"p_{s}" for s in STAGES]]
        ask = seen[:, t] & ~found[:, t]
        score[ask, t] = probability_within(snapshot, links.footprints[ask], plane)
    return Evidence(seen, found, score, stage_p)
