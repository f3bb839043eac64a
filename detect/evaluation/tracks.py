"""Tracked buildings against a reference of the same dates."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from detect.base.errors import InputError
from detect.base.stages import STAGES
from detect.base.vectors import equal_area_crs, geometries_of, is_vector_folder, layers_of, polygons_only, read_vector
from detect.evaluation.footprints import apart, check_out, write_metrics
from detect.evaluation.scot import DateMatches, match_date, scot
from detect.evaluation.smart import evaluate_sites, format_sites, is_site_models
from detect.scene.dates import day_in

_ENDS_IN_DATE = re.compile(r"(?<!\d)(?:19|20)\d\d[-_]?\d\d[-_]?\d\d$")
Dated = dict[str, gpd.GeoDataFrame]
"""Per ISO day: ``id``, ``stage`` (None where it is not known) and outline of what stands."""


def evaluate_tracks(
    predicted: str | Path,
    reference: str | Path,
    *,
    area: str | Path | None = None,
    out: str | Path | None = None,
) -> dict[str, Any]:
    """SCOT and other scores of a series, on the dates that both sides have.

    Args:
        predicted: a folder that ``detect track`` wrote, or a file in one of the layouts of a reference.
        reference: a vector file with one layer per date, whose name ends in the date (``buildings_2024-06-02``, as ``detect simulate
            --dates`` writes), each with a stable ``id``; or one layer with ``id`` and one column per date (``stage_2024_06_02``, as in
            tracks.gpkg), which holds a stage while the building stands. IARPA SMART site models are scored by site and phase instead: see
            ``detect.evaluation.smart``.
        area: polygons outside which nothing is scored.
        out: JSON file to write.

    Returns:
        ``scot`` with its parts (see ``detect.evaluation.scot``); ``dates``; ``first_seen``: of buildings that appear after the first date
        and are followed, how many are dated to the very date and within one date; ``stages``: matched footprints whose stage is right.

    Raises:
        InputError: a file without dates, fewer than two dates in common, outlines of another place, an ``area`` without a polygon or for
            site models, or coordinate systems in some of the files alone.
    """
    check_out(out, predicted, reference, area)
    scored = None if area is None else polygons_only(read_vector(area))
    if scored is not None and not len(scored):
        raise InputError(f"{area}: holds no polygon to score within")
    if is_site_models(Path(reference)):
        if scored is not None:
            raise InputError(f"--area {area}: site models are scored as wholes; leave --area out")
        metrics = evaluate_sites(Path(predicted), Path(reference))
        if out is not None:
            write_metrics(Path(out), metrics)
        return metrics
    ours, theirs = (_read(Path(p)) for p in (_tracks_file(predicted), reference))
    dates = sorted(set(ours) & set(theirs))
    if len(dates) < 2:
        raise InputError(
            f"{predicted} has {_listed(ours)} and {reference} has {_listed(theirs)}: two or more dates in common are needed"
        )
    if all(away := [apart(theirs[d], ours[d]) for d in dates]):
        raise InputError(f"{reference}: no outline lies where the tracks do: {away[0]}; give the outlines of this place")
    ours, theirs = _in_one_plane(ours, theirs, dates, scored)
    matches = [match_date(ours[d], theirs[d]) for d in dates]
    metrics = scot(matches) | {
        "dates": dates,
        "left_out": {"predicted": sorted(set(ours) - set(dates)), "reference": sorted(set(theirs) - set(dates))},
        "first_seen": _first_seen(matches),
        "stages": _stages(matches, [ours[d] for d in dates], [theirs[d] for d in dates]),
    }
    if out is not None:
        write_metrics(Path(out), metrics)
    return metrics


def format_table(metrics: dict[str, Any]) -> str:
    """The metrics as lines for a terminal."""
    if "phases" in metrics:
        return format_sites(metrics)

    def show(value: float | None) -> str:
        return "–" if value is None else f"{value:.3f}"

    tracking, change, first, stages = (metrics[k] for k in ("tracking", "change", "first_seen", "stages"))
    lines = [
        f"dates        {len(metrics['dates'])}, {metrics['dates'][0]} to {metrics['dates'][-1]}",
        f"SCOT         {show(metrics['scot'])}",
        f"tracking     {show(tracking['score'])}  ({tracking['tp']} right, {tracking['fp']} too many, {tracking['fn']} missed, "
        f"{tracking['mismatches']} of another building)",
        f"change       {show(change['score'])}  ({change['tp']} right, {change['fp']} too many, {change['fn']} missed)",
        f"first seen   {first['exact']} of {first['compared']} on the date, {first['within_one']} within one date",
    ]
    if stages:
        lines.append(f"stages       {stages['correct']} of {stages['compared']} right")
    for side, dates in metrics["left_out"].items():
        if dates:
            lines.append(f"left out     {', '.join(dates)}: only {side}")
    return "\n".join(lines)


def _tracks_file(predicted: str | Path) -> Path:
    path = Path(predicted)
    file = path / "tracks.gpkg"
    if path.is_dir() and not file.is_file() and not is_vector_folder(path):
        raise InputError(f"{predicted}: holds no tracks.gpkg; give a folder that detect track wrote")
    return file if file.is_file() else path


def _listed(dated: Dated) -> str:
    return ", ".join(sorted(dated)) or "no date"


def _read(path: Path) -> Dated:
    """A file in either layout."""
    layers = layers_of(path)
    named = {day: layer for layer in layers if (day := _date_at_end(layer))}
    if named:
        return {day: _standing(read_vector(path, layer), path, layer) for day, layer in named.items()}
    table = read_vector(path, "buildings" if "buildings" in layers else None)
    columns = {day: c for c in table if (day := _date_at_end(str(c)))}
    if not columns:
        raise InputError(f"{path}: neither a layer's nor a column's name ends in a date, such as buildings_2024-06-02")
    # In such a table a column without any value says that nothing stands yet.
    return {day: _standing(table.assign(stage=table[c].fillna("absent")), path, c) for day, c in columns.items()}


def _date_at_end(name: str) -> str | None:
    found = _ENDS_IN_DATE.search(name)
    return day_in(found.group().replace("_", "-")) if found else None


def _standing(table: gpd.GeoDataFrame, path: Path, where: str) -> gpd.GeoDataFrame:
    if "id" not in table:
        raise InputError(f"{path}, {where}: has no column 'id', by which a building is known again")
    table = polygons_only(table)
    if "stage" not in table:
        return table.assign(stage=None)[["id", "stage", "geometry"]]
    stands = table["stage"].isin(STAGES) if table["stage"].notna().any() else np.ones(len(table), bool)
    return table[stands].reset_index(drop=True)[["id", "stage", "geometry"]]


def _in_one_plane(ours: Dated, theirs: Dated, dates: list[str], area: gpd.GeoDataFrame | None) -> tuple[Dated, Dated]:
    """Both sides in an equal-area plane about the reference, less what lies outside the area."""
    whole = gpd.GeoDataFrame(pd.concat([theirs[d] for d in dates], ignore_index=True))
    plane = equal_area_crs(whole)
    inside = None

    def moved(table: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
        if (table.crs is None) != (plane is None):
            raise InputError(
                "predicted, reference and area: some have a coordinate system and some have none; write it into those files"
            )
        table = table if plane is None else table.to_crs(plane)
        table = table.set_geometry(shapely.make_valid(geometries_of(table)))
        if inside is not None:
            table = table[shapely.contains_properly(inside, geometries_of(table.representative_point()))]
        return table.reset_index(drop=True)

    if area is not None:
        inside = shapely.union_all(geometries_of(moved(area)))
        shapely.prepare(inside)
    return {d: moved(t) for d, t in ours.items()}, {d: moved(t) for d, t in theirs.items()}


def _first_seen(matches: list[DateMatches]) -> dict[str, int]:
    """How many buildings that appear later get the right first date, by the identity that follows each most often."""
    partners: dict[Any, Counter[Any]] = {}
    for date in matches:
        for ours, theirs in date.matched:
            partners.setdefault(theirs, Counter())[ours] += 1
    first_ours, first_theirs = (
        {i: t for t, m in reversed(list(enumerate(matches))) for i in getattr(m, side)} for side in ("ours", "theirs")
    )
    late = [(first_theirs[b], first_ours[c.most_common(1)[0][0]]) for b, c in partners.items() if first_theirs[b] > 0]
    apart = [abs(true - ours) for true, ours in late]
    return {"compared": len(late), "exact": sum(d == 0 for d in apart), "within_one": sum(d <= 1 for d in apart)}


def _stages(matches: list[DateMatches], ours: list[gpd.GeoDataFrame], theirs: list[gpd.GeoDataFrame]) -> dict[str, Any] | None:
    """Stages of matched footprints over all dates; None where the reference has none."""
    counted: Counter[tuple[str, str]] = Counter()
    for date, a, b in zip(matches, ours, theirs, strict=True):
        given, true = a["stage"].tolist(), b["stage"].tolist()
        counted.update((true[j], given[i]) for i, j in date.pairs if true[j] in STAGES and given[i] in STAGES)
    if not counted:
        return None
    confusion = {t: {g: counted[t, g] for g in STAGES} for t in STAGES}
    return {"compared": sum(counted.values()), "correct": sum(counted[s, s] for s in STAGES), "confusion": confusion}
