"""The whole of ``detect track``: series → alignment → links → histories → counts and files."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from detect.census import take_census
from detect.dormitories import Assumed, StructureProfile, load_profile
from detect.errors import InputError
from detect.geometry import area_km2, measure
from detect.outputs import write_summary
from detect.pipeline import Result, whole_folder
from detect.sites import assign
from detect.stages import STAGES
from detect.tracks.align import align
from detect.tracks.events import CHANGES, base_date, changes, forecast, monthly
from detect.tracks.histories import ASSUMED_FOUND, STATES, Evidence, Histories, found_rates, smooth
from detect.tracks.link import Links, link
from detect.tracks.page import write_page
from detect.tracks.series import Series, Snapshot, load_series, probability_within
from detect.vectors import geometries_of
from detect.weights import load_weights

OUTPUTS = ("tracks.gpkg", "timeline.csv", "report.html", "summary.json")
ALL_SITES = "all sites"
HAZY = 0.4
"""A date that finds a smaller share of what stands gets a warning."""
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Tracks:
    """Buildings of one place over time."""

    buildings: gpd.GeoDataFrame
    """One row each: ``id``, ``first_seen``, ``last_seen``, ``change``, ``stage_<date>``, sizes; in the CRS of the earliest result."""
    sites: gpd.GeoDataFrame
    timeline: pd.DataFrame
    """Counts per site and date."""
    summary: dict[str, Any]
    folder: Path | None = None
    """Where it was written."""


@dataclass(frozen=True)
class _Found:
    """What is known of the series before it is counted."""

    series: Series
    snapshots: list[Snapshot]
    agreed: list[int]
    links: Links
    evidence: Evidence
    histories: Histories


def track(
    results: Sequence[Result | str | Path],
    out: str | Path | None = None,
    *,
    since: str | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Tracks:
    """Follow the buildings of one place through two or more dated predict results.

    Args:
        results: results of predict, or folders that it wrote; in any order, coordinate system and pixel size.
        out: folder for ``tracks.gpkg``, ``timeline.csv``, ``report.html`` and ``summary.json``; nothing is written without.
        since: ISO day against which ``change`` is told; the first date without.
        overwrite: replace what ``out`` holds.
        progress: called as (stage, done, total).

    Raises:
        InputError: a result without a date, fewer than two dates, different places, a wrong ``since``, or an ``out`` that holds something.
    """
    report = progress or (lambda stage, done, total: None)
    folder = None if out is None else _free(Path(out), overwrite)
    series = load_series(results)
    base = base_date(series.dates, since)
    report("buildings over time", 0, 1)
    found = _find(series)
    report("buildings over time", 1, 1)
    tracks = _count(found, base)
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


def _find(series: Series) -> _Found:
    snapshots, agreed = align(series.snapshots)
    links = link(snapshots)
    evidence = gather(snapshots, links, series.plane)
    histories = smooth(evidence, series.dates, _recall(series))
    real = np.asarray(histories.standing.any(axis=1))  # else the likeliest story is that no date's find was a building
    return _Found(series, snapshots, agreed, links.only(real), evidence.only(real), histories.only(real))


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


def _recall(series: Series) -> float | None:
    """Share of buildings that the weights found on places that no training saw."""
    rates = [r for s in series.summaries for r in _rates(s) or ()]
    reference = sum(r["reference"] for r in rates)
    return sum(r["matched"] for r in rates) / reference if reference else None


def _rates(summary: dict[str, Any]) -> list[dict[str, Any]] | None:
    """The rates of the weights that made a result, as told in it or in their card; None where neither is at hand."""
    if summary.get("rates"):
        return list(summary["rates"])
    try:
        weights = load_weights(summary["model"]["name"])
    except InputError:
        return None
    return weights.card.get("rates") if weights.sha256 == summary["model"]["sha256"] else None


# Counting.


def _count(found: _Found, base: int) -> Tracks:
    series, histories = found.series, found.histories
    buildings = _buildings(found, base)
    site_rows = series.sites.reset_index(drop=True)
    sites = site_rows.assign(area_km2=[area_km2(g, series.crs) for g in geometries_of(site_rows)])
    buildings["site"] = assign(buildings, sites)
    censuses = [_census(found, buildings, sites, t) for t in range(len(series.dates))]
    timeline = pd.DataFrame(_timeline(found, sites, censuses))
    told = []
    for i, site in enumerate(sites.to_dict("records")):
        own = (buildings["site"] == site["name"]).to_numpy(bool)
        counted = censuses[-1]["sites"][i]
        told.append(counted | _changes(buildings[own], histories.state[own], series.dates, base, site["planned_buildings"]))
    planned = float(sites["planned_buildings"].sum(min_count=1))
    inside = buildings["site"].notna().to_numpy(bool)
    total = censuses[-1]["total"] | _changes(buildings[inside], histories.state[inside], series.dates, base, planned)
    summary = {
        "series": {"dates": series.dates, "results": _results(found)},
        "since": series.dates[base],
        "assumptions": censuses[-1]["assumptions"],
        "total": total,
        "sites": told,
        "outside_sites": int((~inside & (buildings["change"] != "gone")).sum()),
        "warnings": [*series.warnings, *_warnings(found)],
    }
    return Tracks(buildings, _sites_layer(sites, told), timeline, summary)


def _buildings(found: _Found, base: int) -> gpd.GeoDataFrame:
    """The ``buildings`` layer, in the CRS of the earliest result."""
    dates, state, standing = found.series.dates, found.histories.state, found.histories.standing
    shown = found.evidence.found & standing
    shown |= standing & ~shown.any(axis=1, keepdims=True)
    first, last = shown.argmax(axis=1), shown.shape[1] - 1 - shown[:, ::-1].argmax(axis=1)
    outline = gpd.GeoSeries(list(found.links.footprints), crs=found.series.plane)
    if found.series.crs is not None:
        outline = outline.to_crs(found.series.crs)
    like, score, beds = _dormitories(found, shown)
    columns: dict[str, Any] = {
        "id": np.arange(1, len(state) + 1),
        "site": None,
        "first_seen": np.array(dates, object)[first],
        "last_seen": np.array(dates, object)[last],
        "change": changes(state, base),
        "stage": np.array(STATES, object)[state[:, -1]],
        "p_standing": found.histories.state_p[:, -1, 1:4].sum(axis=1).round(3),
        "dates_seen": found.evidence.found.sum(axis=1),
    }
    columns |= {f"stage_{d.replace('-', '_')}": np.array(STATES, object)[state[:, t]] for t, d in enumerate(dates)}
    columns |= {"dormitory_like": like, "dormitory_score": score, "beds": beds}
    table = gpd.GeoDataFrame(columns, geometry=outline, crs=found.series.crs)
    sizes = measure(list(geometries_of(table)), found.series.crs)
    table[list(sizes)] = sizes.round({"area_m2": 2, "length_m": 2, "width_m": 2, "orientation_deg": 1, "rectangularity": 3})
    return table[[*(c for c in table if c != "geometry"), "geometry"]]


def _dormitories(found: _Found, shown: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.float64], NDArray[np.int64]]:
    """Dormitory-like as most dates that show the building say; mean score; beds."""
    votes, score, beds, count = (np.zeros(len(shown)) for _ in range(4))
    for t, snapshot in enumerate(found.snapshots):
        here = shown[:, t] & (found.links.detection[:, t] >= 0) & ~found.links.shared[:, t]
        rows = snapshot.buildings.iloc[found.links.detection[here, t]]
        votes[here] += rows["dormitory_like"].to_numpy(float)
        score[here] += rows["dormitory_score"].to_numpy(float)
        beds[here] = np.maximum(beds[here], rows["beds"].to_numpy(float))
        count[here] += 1
    like = votes > count / 2
    return like, (score / np.maximum(count, 1)).round(3), np.where(like, beds, 0).astype(np.int64)


def _census(found: _Found, buildings: gpd.GeoDataFrame, sites: gpd.GeoDataFrame, t: int) -> dict[str, Any]:
    """The counts of what stands at a date, as predict counts one scene, with the stages' smoothed probabilities."""
    stands = found.histories.standing[:, t]
    p = found.histories.state_p[stands, t, 1:4]
    p = p / np.maximum(p.sum(axis=1, keepdims=True), 1e-9)
    table = buildings[stands].assign(
        stage=np.array(STATES, object)[found.histories.state[stands, t]],
        **{f"p_{name}": p[:, k] for k, name in enumerate(STAGES)},
    )
    last = found.series.summaries[-1]
    return take_census(table, sites, _profile(last["assumptions"]), _rates(last))


def _profile(assumptions: dict[str, Any]) -> StructureProfile:
    """The structure profile that a result was counted with, as far as counting needs it."""

    def assumed(name: str) -> Assumed:
        low, high = assumptions[f"{name}_range"]
        return Assumed(low, assumptions[name], high)

    return replace(
        load_profile(None),
        name=assumptions["structure"],
        storeys=assumptions["storeys"],
        rooms_per_building=assumed("rooms_per_building"),
        beds_per_room=assumed("beds_per_room"),
    )


def _timeline(found: _Found, sites: gpd.GeoDataFrame, censuses: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Rows of timeline.csv."""
    plane = sites if found.series.plane is None else sites.to_crs(found.series.plane)
    areas = dict(zip(sites["name"], geometries_of(plane), strict=True))
    if len(areas) > 1:
        areas[ALL_SITES] = shapely.union_all(list(areas.values()))
    for name, area in areas.items():
        for date, snapshot, census in zip(found.series.dates, found.snapshots, censuses, strict=True):
            counted = census["total"] if name == ALL_SITES else next(s for s in census["sites"] if s["name"] == name)
            row: dict[str, Any] = {"site": name, "date": date}
            row["observed_share"] = round(area.intersection(snapshot.observed).area / area.area, 3)
            counts = {"buildings": counted["buildings"], **counted["by_stage"], "dormitory_like": counted["dormitory_like"]}
            counts |= {"beds_now": counted["beds"]["now"], "beds_when_complete": counted["beds"]["when_complete"]}
            for what, c in counts.items():
                row |= {what: c["estimate"], f"{what}_low": c["low"], f"{what}_high": c["high"]}
            yield row


def _changes(own: gpd.GeoDataFrame, state: NDArray[np.int64], dates: list[str], base: int, planned: float) -> dict[str, Any]:
    """What became of a site's buildings."""
    kinds = {kind: own["id"][own["change"] == kind] for kind in CHANGES}
    return {
        "changes": {kind: len(ids) for kind, ids in kinds.items()},
        "new_since": {"date": dates[base], "ids": kinds["new"].tolist()},
        "gone_since": {"date": dates[base], "ids": kinds["gone"].tolist()},
        "per_month": monthly(state, dates),
        "forecast": forecast(state, dates, planned),
    }


def _results(found: _Found) -> list[dict[str, Any]]:
    """What each date was made from and how it fits the others."""
    rates = found_rates(found.evidence, _recall(found.series) or ASSUMED_FOUND)
    by_date: dict[str, list[str]] = {}
    for summary in found.series.summaries:
        by_date.setdefault(summary["scene"]["date"], []).append(summary["scene"]["name"])
    return [
        {
            "date": s.date,
            "scenes": by_date[s.date],
            "detected": len(s.buildings),
            "shift_m": [round(v, 2) for v in s.shift_xy_m],
            "shift_agreed": agreed,
            "found_rate": round(float(rate), 3),
        }
        for s, agreed, rate in zip(found.snapshots, found.agreed, rates, strict=True)
    ]


def _warnings(found: _Found) -> Iterator[str]:
    models = {s["model"]["sha256"] for s in found.series.summaries}
    if len(models) > 1:
        yield "the results were made with different weights: a change may be one of the weights"
    if any("SIMULATED" in w for s in found.series.summaries for w in s["warnings"]):
        yield "SIMULATED: a scene is drawn and shows no real place"
    for t, snapshot in enumerate(found.snapshots):
        stands = found.histories.standing[:, t] & found.evidence.seen[:, t]
        share = found.evidence.found[stands, t].mean() if stands.sum() >= 10 else 1.0
        if not found.evidence.seen[:, t].any():
            yield f"{snapshot.date}: nothing was observed (no data); the states before were kept"
        elif share < HAZY:
            yield f"{snapshot.date}: only {share:.0%} of the buildings that stand were found; is the scene hazy or dark?"


def _sites_layer(sites: gpd.GeoDataFrame, told: list[dict[str, Any]]) -> gpd.GeoDataFrame:
    """The ``sites`` layer."""
    completion = [t["forecast"]["completion"] or {} for t in told]
    table = sites.assign(
        buildings=[t["buildings"]["estimate"] for t in told],
        **{s: [t["by_stage"][s]["estimate"] for t in told] for s in STAGES},
        **{kind: [t["changes"][kind] for t in told] for kind in CHANGES},
        complete_by=[c.get("date") for c in completion],
        complete_by_low=[c.get("low") for c in completion],
        complete_by_high=[c.get("high") for c in completion],
    )
    return table[[*(c for c in table if c != "geometry"), "geometry"]]


# Files and the terminal.


def write_tracks(folder: Path, tracks: Tracks, snapshots: Sequence[Snapshot], series: Series) -> None:
    """The four files of ``detect track``, all or none."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with whole_folder(folder, OUTPUTS) as target:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pyogrio warns of a missing CRS, which scenes without georeference do not have
            for name, table in (("buildings", tracks.buildings), ("sites", tracks.sites)):
                table.to_file(target / "tracks.gpkg", layer=name, driver="GPKG", engine="pyogrio", geometry_type="Unknown")
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
