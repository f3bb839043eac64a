"""The counts of a series as a table for the terminal."""

from __future__ import annotations

from typing import Any

from detect.base.stages import STAGES
from detect.base.texts import shortened
from detect.results.summary import every_warning, left_outside
from detect.tracks.counts import ALL_SITES
from detect.tracks.events import CHANGES


def format_table(summary: dict[str, Any]) -> str:
    """Changes per site as a table for the terminal."""
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
        text.append(left_outside(summary["outside_sites"]))
    return "\n".join([*text, *(f"warning: {warning}" for warning in every_warning(summary))])


def _line(name: str, site: dict[str, Any]) -> list[str]:
    counts = [site["buildings"], *(site["by_stage"][s] for s in STAGES)]
    shown = [f"{c['estimate']:,} ({c['low']:,}–{c['high']:,})" for c in (*counts, site["beds"]["now"])]
    kinds = [f"{site['changes'][kind]:,}" for kind in CHANGES]
    completion = site["forecast"]["completion"]
    by = "–" if completion is None else f"{completion['date']} ({completion['low']} to {completion['high']})"
    return [shortened(name), *shown[:4], *kinds, shown[4], by]
