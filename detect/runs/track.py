"""The order of ``detect track``: series → alignment → links → histories → counts → files."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from detect.base.errors import InputError
from detect.base.options import takes
from detect.base.vectors import write_layer
from detect.results import styles
from detect.results.folder import SUMMARY, ResultFolder
from detect.results.result import Result
from detect.results.summary import write_summary
from detect.runs.options import TrackOptions, silent
from detect.tracks.align import align
from detect.tracks.counts import Found, Tracks, count, recall
from detect.tracks.events import base_date
from detect.tracks.evidence import gather
from detect.tracks.histories import smooth
from detect.tracks.link import link
from detect.tracks.page import write_page
from detect.tracks.series import Series, Snapshot, load_series

OUTPUTS = ("tracks.gpkg", "timeline.csv", "report.html", "summary.json")


@takes(TrackOptions)
def track(results: Result | str | Path | Sequence[Result | str | Path], out: str | Path | None = None, **options: Any) -> Tracks:
    """Follow the buildings of one place through two or more dated predict results.

    Args:
        results: results of predict, or folders that it wrote (for one scene or with a folder per scene); in any order,
            coordinate system and pixel size.
        out: folder for ``tracks.gpkg``, ``timeline.csv``, ``report.html`` and ``summary.json``; nothing is written without.
        options: see below.

    Raises:
        TypeError: an unknown option.
        InputError: a result without a date, fewer than two dates, different places, a wrong ``since``, or an ``out`` that holds something.
    """
    wanted = TrackOptions.from_keywords(**options)
    report, overwrite = wanted.progress or silent, wanted.overwrite
    folder = None if out is None else free_folder(Path(out), OUTPUTS, SUMMARY, ("series",), overwrite)
    series = load_series([results] if isinstance(results, str | PathLike | Result) else results)
    base = base_date(series.dates, wanted.since)
    with nullcontext() if folder is None else ResultFolder(folder).lock("detect track"):
        if folder is not None:
            free_folder(folder, OUTPUTS, SUMMARY, ("series",), overwrite)  # another command may have written it since
        report("buildings over time", 0, 1)
        found = _find(series)
        report("buildings over time", 1, 1)
        tracks = count(found, base)
        if folder is not None:
            report("files", 0, 1)
            write_tracks(folder, tracks, found.snapshots, series)
            report("files", 1, 1)
    return replace(tracks, folder=folder)


def free_folder(folder: Path, outputs: Sequence[str], mark: str, keys: Sequence[str], overwrite: bool) -> Path:
    """A folder that may be written: new, empty, or one whose results of the same command are to be replaced; else an error."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--out {folder}: is a file; give a folder")
    if folder.is_dir() and any(folder.iterdir()) and not overwrite:
        raise InputError(f"{folder}: holds something already; give --overwrite to replace its results, or another --out")
    ResultFolder(folder).refuse_others(outputs, mark=mark, keys=keys)
    return folder


def _find(series: Series) -> Found:
    snapshots, agreed = align(series.snapshots)
    links = link(snapshots)
    evidence = gather(snapshots, links, series.plane)
    histories = smooth(evidence, series.dates, recall(series))
    real = np.asarray(histories.standing.any(axis=1))  # for the others it is most likely that there was no building at any date
    return Found(series, snapshots, agreed, links.only(real), evidence.only(real), histories.only(real))


def write_tracks(folder: Path, tracks: Tracks, snapshots: Sequence[Snapshot], series: Series) -> None:
    """The four files of ``detect track``, all or none."""
    with ResultFolder(folder).swap(OUTPUTS) as target:
        for name, table in (("buildings", tracks.buildings), ("sites", tracks.sites)):
            write_layer(target / "tracks.gpkg", name, table, "Unknown")
        styles.store_styles(target / "tracks.gpkg", {"buildings": styles.CHANGES, "sites": styles.SITES})
        tracks.timeline.to_csv(target / "timeline.csv", index=False)
        write_summary(target / "summary.json", tracks.summary)
        write_page(target / "report.html", tracks.buildings, tracks.sites, tracks.timeline, tracks.summary, snapshots, series)
