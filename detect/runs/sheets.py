"""Sheets of one picture → one scene, shown by a mosaic beside the results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from detect.census.overlaps import groups
from detect.runs.options import PredictOptions
from detect.scene.mosaic import contradiction, layout_of, misfit, write_mosaic
from detect.scene.scene import Scene, open_scene
from detect.scene.sheets import listed, meetings, warned

ALONE = "sheets: no other scene of this call meets this one, so --join changes nothing here"


def plan_mosaics(scenes: Sequence[Scene]) -> list[list[Scene]]:
    """The scenes in groups to be joined, in the order of their first ones; most often of one scene.

    Scenes that meet and cannot be joined warn of it, and scenes that meet none say so.
    """
    met = meetings(scenes)
    layouts = {i: layout_of(scenes[i]) for i in sorted({i for m in met for i in (m.first, m.second)})}
    reasons: dict[tuple[int, int], str] = {}

    def fit(a: int, b: int) -> bool:
        reason = misfit(scenes[a], scenes[b], (layouts[a], layouts[b]))
        if reason is not None:
            reasons[a, b] = reason
        return reason is None

    linked = groups(len(scenes), [(m.first, m.second) for m in met if fit(m.first, m.second)])
    plan: list[list[int]] = []
    for members in linked:
        reason = contradiction([layouts[i] for i in members]) if len(members) > 1 else None
        if reason is None and all(fit(members[0], i) for i in members[1:]):
            plan.append(members)
            continue
        plan += [[i] for i in members]
        for m in met:
            if m.first in members and m.second in members:
                reasons.setdefault((m.first, m.second), reason or "their grids drift apart")
    marked = [
        scene if i in layouts else replace(scene, warnings=(*scene.warnings, ALONE))
        for i, scene in enumerate(warned(scenes, met, reasons))
    ]
    return [[marked[i] for i in members] for members in sorted(plan)]


def joined(sheets: Sequence[Scene], out: Path, options: PredictOptions) -> Scene:
    """One scene of sheets that fit. It is named after the first sheet; its mosaic lies in the folder of the results.

    Raises:
        InputError: something else has the mosaic's name.
        OSError: it cannot be written.
    """
    first = sheets[0]
    path = out / f"{first.name}-sheets.vrt"
    write_mosaic(path, sheets, [layout_of(sheet) for sheet in sheets], overwrite=options.overwrite)
    sun = next((sheet.sun for sheet in sheets if sheet.sun is not None), None)
    whole = open_scene(path, bands=options.bands)
    note = f"sheets: {listed([sheet.name for sheet in sheets])} are joined to one scene, which {path.name} shows"
    known = dict.fromkeys(warning for sheet in sheets for warning in sheet.warnings)
    return replace(whole, date=first.date, sun=sun, warnings=(note, *known))
