"""The whole of ``detect track``: series → alignment → links → histories → counts and files."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from detect.base.errors import InputError
from detect.base.options import takes
from detect.base.stages import STAGES
from detect.results import styles
from detect.results.folder import ResultFolder
from detect.results.result import Result
from detect.results.summary import write_summary
from detect.runs.options import TrackOptions, silent
from detect.tracks.align import align
from detect.tracks.counts import ALL_SITES, Found, Tracks, count, recall
from detect.tracks.events import CHANGES, base_date
from detect.tracks.histories import Evidence, smooth
from detect.tracks.link import Links, link
from detect.tracks.page import write_page
from detect.tracks.series import Series, Snapshot, load_series, probability_within

OUTPUTS = ("tracks.gpkg", "timeline.csv", "report.html", "summary.json")


@takes(TrackOptions)
def track(results: Sequence[Result | str | Path], out: str | Path | None = None, **options: Any) -> Tracks:
    """Follow the buildings of one place through two or more dated predict results.

    Args:
        results: results of predict, or folders that it wrote; in any order, coordinate system and pixel size.
        out: folder for ``tracks.gpkg``, ``timeline.csv``, ``report.html`` and ``summary.json``; nothing is written without.
        options: see below.

    Raises:
        TypeError: an unknown option.
        InputError: a result without a date, fewer than two dates, different places, a wrong ``since``, or an ``out`` that holds something.
    """
    wanted = TrackOptions.from_keywords(**options)
    report, overwrite = wanted.progress or silent, wanted.overwrite
    folder = None if out is None else _free(Path(out), overwrite)
    series = load_series(results)
    base = base_date(series.dates, wanted.since)
    with nullcontext() if folder is None else ResultFolder(folder).lock("detect track"):
        if folder is not None:
            _free(folder, overwrite)  # another command may have written it since
        report("buildings over time", 0, 1)
        found = _find(series)
        report("buildings over time", 1, 1)
        tracks = count(found, base)
        if folder is not None:
            report("files", 0, 1)
            write_tracks(folder, tracks, found.snapshots, series)
            report("files", 1, 1)
    return replace(tracks, folder=folder)


def _free(folder: Path, overwrite: bool) -> Path:
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--out {folder}: is a file; give a folder")
    if folder.is_dir() and any(folder.iterdir()) and not overwrite:
        raise InputError(f"{folder}: holds something already; give --overwrite to replace its results, or another --out")
    return folder


def _find(series: Series) -> Found:
    snapshots, agreed = align(series.snapshots)
    links = link(snapshots)
    evidence = gather(snapshots, links, series.plane)
    histories = smooth(evidence, series.dates, recall(series))
    real = np.asarray(histories.standing.any(axis=1))  # else the likeliest story is that no date's find was a building
    return Found(series, snapshots, agreed, links.only(real), evidence.only(real), histories.only(real))


def gather(snapshots: Sequence[Snapshot], links: Links, plane: Any) -> Evidence:
    """What each date says of each building; where it found none, its probability map is asked."""
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


def write_tracks(folder: Path, tracks: Tracks, snapshots: Sequence[Snapshot], series: Series) -> None:
    """The four files of ``detect track``, all or none."""
    with ResultFolder(folder).swap(OUTPUTS) as target:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pyogrio warns of a missing CRS, which scenes without georeference do not have
            for name, table in (("buildings", tracks.buildings), ("sites", tracks.sites)):
                table.to_file(target / "tracks.gpkg", layer=name, driver="GPKG", engine="pyogrio", geometry_type="Unknown")
        styles.store_styles(target / "tracks.gpkg", {"buildings": styles.CHANGES, "sites": styles.SITES})
        tracks.timeline.to_csv(target / "timeline.csv", index=False)
        write_summary(target / "summary.json", tracks.summary)
        write_page(target / "report.html", tracks.buildings, tracks.sites, tracks.timeline, tracks.summary, snapshots, series)


def format_table(summary: dict[str, Any]) -> str:
    """What changed per site, as a table for the terminal."""
    dates = summary["series"]["dates"]
    head = ["site", "buildings", *STAGES, *CHANGES, "beds now", "all finished by"]
    lines = [head] + [_line(site["name"], site) for site in summary["sites"]]
    if len(summary["sites"]) > 1:
        lines.append(_line(ALL_SITES, summary["total"]))
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    text = [f"{len(dates)} dates from {dates[0]} to {dates[-1]}; changes since {summary['since']}"]
    for line in lines:
        cells = (cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(line, widths, strict=True)))
        text.append("  ".join(cells).rstrip())
    if summary["outside_sites"]:
        text.append(f"{summary['outside_sites']} more buildings stand outside the sites")
    return "\n".join([*text, *(f"warning: {warning}" for warning in summary["warnings"])])


def _line(name: str, told: dict[str, Any]) -> list[str]:
    counts = [told["buildings"], *(told["by_stage"][s] for s in STAGES)]
    shown = [f"{c['estimate']:,} ({c['low']:,}–{c['high']:,})" for c in (*counts, told["beds"]["now"])]
    kinds = [f"{told['changes'][kind]:,}" for kind in CHANGES]
    completion = told["forecast"]["completion"]
    by = "–" if completion is None else f"{completion['date']} ({completion['low']} to {completion['high']})"
    return [name, *shown[:4], *kinds, shown[4], by]
