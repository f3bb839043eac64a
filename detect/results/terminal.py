"""The table that predict and census print."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from detect.base.stages import STAGES
from detect.base.texts import shortened
from detect.results.summary import found_of


def format_table(summary: Mapping[str, Any]) -> str:
    """Counts per site as a table for the terminal, estimates with their 90 % interval."""
    head = ["site", "km²", "found", "buildings", *STAGES, "dormitory-like", "beds now", "beds when complete", "beds planned"]
    lines = [head] + [_line(site["name"], site) for site in summary["sites"]]
    if len(summary["sites"]) > 1:
        lines.append(_line("all sites", summary["total"]))
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    text = [
        "  ".join(
            cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
    assumed = summary["assumptions"]
    scene, model = summary["scene"], summary["model"]
    text.insert(
        0, f"{scene['name']}: {scene['gsd_m']:.2f} m per pixel, {scene['date'] or 'date unknown'}; weights {model['name']}"
    )
    text.append(
        "found: buildings on the map; all other numbers: estimate (90 % interval) of the true one; beds: "
        f"{assumed['rooms_per_building']:g} rooms × {assumed['beds_per_room']:g} beds in {assumed['storeys']} storeys for each "
        "dormitory-like building, assumed"
    )
    filled = [site["name"] for site in summary["sites"] if site["planned_from"] == "ground"]
    if filled:
        text.append(
            f"beds planned of {', '.join(map(shortened, filled))}: as many buildings as fit on the cleared ground, at the low end on pads "
            "alone; the field planned_buildings says better"
        )
    if summary["outside_sites"]:
        text.append(f"{summary['outside_sites']} more buildings stand outside the sites")
    for site in summary["sites"]:
        text += [f"warning: {shortened(site['name'])}: {warning}" for warning in site["warnings"]]
    text += [f"warning: {warning}" for warning in summary["warnings"]]
    return "\n".join(text)


def _line(name: str, counts: Mapping[str, Any]) -> list[str]:
    cells = [counts["buildings"], *(counts["by_stage"][s] for s in STAGES), counts["dormitory_like"]]
    cells += [counts["beds"][k] for k in ("now", "when_complete", "planned")]
    return [
        shortened(name),
        f"{counts['area_km2']:.3f}",
        f"{found_of(counts['buildings']):,}",
        *("–" if c is None else f"{c['estimate']:,} ({c['low']:,}–{c['high']:,})" for c in cells),
    ]
