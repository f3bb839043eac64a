"""Where the width of a site's intervals comes from, of a result as it stands; nothing is written."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from detect.census.draws import SOURCES
from detect.census.explain import CHANCE, explain
from detect.results.folder import SUMMARY, ResultFolder
from detect.runs.earlier import read_earlier


def explain_result(folder: str | Path, site: str) -> pd.DataFrame:
    """``detect.census.explain.explain`` for a site of a predict folder.

    Raises:
        InputError: no folder of one scene, or no such site in it.
    """
    earlier = read_earlier(ResultFolder.find_one(folder, SUMMARY).path)
    return explain(earlier.checked.marked(earlier.buildings), earlier.profile, earlier.summary["rates"], site)


def in_words(explained: pd.DataFrame, site: str) -> str:
    """The table for people."""
    shares = (*SOURCES, CHANCE)
    lines = [f"{site}: what makes the intervals wide", f"{'':<20}{'90 % interval':>18}" + "".join(f"{s:>9}" for s in shares)]
    for count, row in explained.rename(index=explained.attrs).iterrows():
        interval = f"{row['low']:,.0f}–{row['high']:,.0f}"
        lines.append(f"{count:<20}{interval:>18}" + "".join(f"{100 * row[s]:>7.0f} %" for s in shares))
    return "\n".join(lines)
