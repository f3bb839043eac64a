"""The last steps that predict and census share: site, row and likeness of each building, then the files of the result."""

from __future__ import annotations

import time
from collections.abc import Mapping

import geopandas as gpd

from detect.census.dormitories import add_dormitories
from detect.census.profiles import StructureProfile
from detect.census.review import Review
from detect.census.sites import Sites, assign
from detect.results.files import OUTPUTS, Content, keep_files, write_files
from detect.results.folder import SUMMARY, ResultFolder
from detect.results.result import Result
from detect.results.seal import sealed
from detect.results.summary import write_summary


def placed(buildings: gpd.GeoDataFrame, sites: Sites, profile: StructureProfile, review: Review) -> gpd.GeoDataFrame:
    """Buildings with their site, their row and their likeness to the profile; a likeness that a reviewer gave is kept."""
    table = add_dormitories(buildings.assign(site=assign(buildings, sites.table)), profile)
    for number, like in review.likeness.items():
        here = table["id"] == number
        table.loc[here, ["dormitory_like", "dormitory_score", "dormitory_reasons"]] = [like, float(like), "said by a reviewer"]
    return table


def finish(
    folder: ResultFolder, content: Content, *, timings_s: Mapping[str, float] | None = None, began_s: float = 0.0
) -> Result:
    """Write the files of a result and swap them in, all or none. The caller holds the folder's lock.

    Args:
        folder: folder of the result.
        content: what the files are written from.
        timings_s: seconds of each step so far, which the summary shows with the total; None: the summary keeps those it has.
        began_s: when the work began, by ``time.monotonic``.
    """
    with folder.swap() as target:
        write_files(content, target)
        keep_files(folder.path, target, content.outputs or OUTPUTS)
        summary = content.summary
        if timings_s is not None:
            spent_s = {**timings_s, "total": time.monotonic() - began_s}
            summary = summary | {"timings_s": {step: round(seconds, 2) for step, seconds in spent_s.items()}}
        summary = sealed(summary, target)
        write_summary(target / SUMMARY, summary)
    return Result(folder.path, content.buildings, content.sites.table, summary)
