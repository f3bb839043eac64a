"""The table that predict and census print."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from detect.base.stages import STAGES
from detect.base.texts import in_km2, number_of, shortened
from detect.results.summary import every_warning, found_of, left_outside, likeness


def format_table(summary: Mapping[str, Any]) -> str:
    """Counts per site as a table for the terminal, estimates with their 90 % interval."""
    head = [
        "site",
        "km²",
        "found",
        "buildings",
        *STAGES,
        likeness(summary),
        "beds now",
        "beds when complete",
        "beds planned",
    ]
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
        + _beds_in_words(assumed, likeness(summary))
    )
    filled = [site["name"] for site in summary["sites"] if site["planned_from"] == "ground"]
    if filled:
        text.append(
            f"beds planned of {', '.join(map(shortened, filled))}: as many buildings as fit on the cleared ground, at the low end on pads "
            "alone; the field planned_buildings says better"
        )
    if summary["outside_sites"]:
        text.append(left_outside(summary["outside_sites"]))
    text += [f"warning: {warning}" for warning in every_warning(summary)]
    return "\n".join(text)


def _beds_in_words(assumed: Mapping[str, Any], like: str) -> str:
    """How many beds a building of the type has, by the profile."""
    if not assumed["rooms_per_building"] * assumed["beds_per_room"] and not assumed.get("rooms_per_metre"):
        return "none, as the structure profile says"
    rooms, beds, storeys = (assumed[key] for key in ("rooms_per_building", "beds_per_room", "storeys"))
    each = (
        f"{rooms:g} room{'' if rooms == 1 else 's'}"
        if not assumed.get("rooms_per_metre")
        else f"{assumed['rooms_per_metre']:g} rooms per metre of length and storey"
    )
    return f"{each} × {beds:g} bed{'' if beds == 1 else 's'} in {number_of(storeys, 'storey')} for each {like} building, assumed"


def _line(name: str, counts: Mapping[str, Any]) -> list[str]:
    cells = [counts["buildings"], *(counts["by_stage"][s] for s in STAGES), counts["dormitory_like"]]
    cells += [counts["beds"][k] for k in ("now", "when_complete", "planned")]
    return [
        shortened(name),
        in_km2(counts["area_km2"]),
        f"{found_of(counts['buildings']):,}",
        *("–" if c is None else f"{c['estimate']:,} ({c['low']:,}–{c['high']:,})" for c in cells),
    ]
