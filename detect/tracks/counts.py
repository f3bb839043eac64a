"""Count a series: buildings, sites, timeline, summary. Each date is counted as ``predict`` counts one scene."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from detect.base.errors import InputError
from detect.base.geometry import area_km2, measure
from detect.base.notices import Code, Notice, as_json
from detect.base.stages import STAGES
from detect.base.vectors import geometries_of
from detect.census.count import take_census
from detect.census.profiles import profile_from
from detect.census.rates import Rates, of_kind, overall_recall
from detect.census.review import CHECKED, SURVEYED
from detect.census.sites import assign
from detect.network.weights import load_weights
from detect.results.summary import Summary
from detect.tracks.events import CHANGES, changes, forecast, monthly
from detect.tracks.evidence import marked
from detect.tracks.histories import ASSUMED_FOUND, COMPLETE, STATES, Evidence, Histories, found_rates
from detect.tracks.link import Links
from detect.tracks.series import Series, Snapshot

ALL_SITES = "all sites"
"""Name of the sum of several sites; a plot may have this name too, so ``is_total`` in the timeline marks the sum."""
HAZY = 0.4
"""A date that finds a smaller share of the existing buildings gets a warning."""


@dataclass(frozen=True)
class Found:
    """A series before counting."""

    series: Series
    snapshots: list[Snapshot]
    agreed: list[int]
    links: Links
    evidence: Evidence
    histories: Histories


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
    """The folder of the files."""


def count(found: Found, base: int) -> Tracks:
    """Count a series, with changes since the date of index ``base``."""
    series, histories = found.series, found.histories
    buildings = _buildings(found, base)
    site_rows = series.sites.reset_index(drop=True)
    sites = site_rows.assign(area_km2=[area_km2(g, series.crs) for g in geometries_of(site_rows)])
    buildings["site"] = assign(buildings, sites)
    censuses = [_census(found, buildings, sites, t) for t in range(len(series.dates))]
    timeline = pd.DataFrame(_timeline(found, sites, censuses))
    records, awaited, kinds = [], np.zeros(len(buildings), bool), set()
    for i, site in enumerate(sites.to_dict("records")):
        own = (buildings["site"] == site["name"]).to_numpy(bool)
        some, kind = _awaited(found, buildings, own, site["planned_buildings"])
        ahead = forecast(histories.state[some], series.dates, site["planned_buildings"], kind)
        changed = _changes(buildings[own], histories.state[own], series.dates, base)
        records.append(censuses[-1]["sites"][i] | changed | {"forecast": ahead})
        awaited |= some
        kinds.add(kind)
    inside = buildings["site"].notna().to_numpy(bool)
    # What remains in each site and what is complete: plans of some sites alone are no plan of all.
    planned = float(sum(r["forecast"]["remaining"] for r in records) + (histories.state[awaited, -1] == COMPLETE).sum())
    ahead = forecast(histories.state[awaited], series.dates, planned, kinds.pop() if len(kinds) == 1 else "building")
    changed = _changes(buildings[inside], histories.state[inside], series.dates, base)
    total = censuses[-1]["total"] | changed | {"forecast": ahead}
    summary = {
        "series": {"dates": series.dates, "results": _results(found)},
        "since": series.dates[base],
        "assumptions": censuses[-1]["assumptions"],
        "total": total,
        "sites": records,
        "outside_sites": int((~inside & histories.standing[:, -1]).sum()),
        **as_json([*(Notice(Code.SERIES, text) for text in series.warnings), *_notices(found)]),
    }
    return Tracks(buildings, _sites_layer(sites, records), timeline, summary)


def stage_column(date: str) -> str:
    """The column of ``tracks.gpkg`` with the stage at a date."""
    return f"stage_{date.replace('-', '_')}"


def _buildings(found: Found, base: int) -> gpd.GeoDataFrame:
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
    columns |= {stage_column(d): np.array(STATES, object)[state[:, t]] for t, d in enumerate(dates)}
    columns |= {"dormitory_like": like, "dormitory_score": score, "beds": beds}
    table = gpd.GeoDataFrame(columns, geometry=outline, crs=found.series.crs)
    sizes = measure(list(geometries_of(table)), found.series.crs)
    table[list(sizes)] = sizes.round({"area_m2": 2, "length_m": 2, "width_m": 2, "orientation_deg": 1, "rectangularity": 3})
    return table[[*(c for c in table if c != "geometry"), "geometry"]]


def _dormitories(found: Found, shown: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.float64], NDArray[np.int64]]:
    """Whether most dates that show a building call it dormitory-like; its mean score; its beds.

    If a reviewer has checked it, the latest date at which this was done decides alone.
    """
    votes, score, beds, count = (np.zeros(len(shown)) for _ in range(4))
    decided = np.zeros(len(shown), bool)
    for t, snapshot in enumerate(found.snapshots):
        here = shown[:, t] & (found.links.detection[:, t] >= 0) & ~found.links.shared[:, t]
        checked = here & marked(snapshot, found.links, t, CHECKED)
        for values in (votes, score, beds, count):
            values[checked] = 0
        decided |= checked
        here &= checked | ~decided
        rows = snapshot.buildings.iloc[found.links.detection[here, t]]
        votes[here] += rows["dormitory_like"].to_numpy(float)
        score[here] += rows["dormitory_score"].to_numpy(float)
        beds[here] = np.maximum(beds[here], rows["beds"].to_numpy(float))
        count[here] += 1
    like = votes > count / 2
    return like, (score / np.maximum(count, 1)).round(3), np.where(like, beds, 0).astype(np.int64)


def _census(found: Found, buildings: gpd.GeoDataFrame, sites: gpd.GeoDataFrame, t: int) -> dict[str, Any]:
    """The counts of the existing buildings at a date, as predict counts a scene, with smoothed stage probabilities.

    Those that a reviewer of the date has checked are certain, as in a census of that date.
    """
    stands = found.histories.standing[:, t]
    p = found.histories.state_p[stands, t, 1:4]
    standing = p.sum(axis=1)
    p = p / np.maximum(p.sum(axis=1, keepdims=True), 1e-9)
    table = buildings[stands].assign(
        stage=np.array(STATES, object)[found.histories.state[stands, t]],
        score=standing,
        certain=marked(found.snapshots[t], found.links, t, CHECKED)[stands],
        surveyed=marked(found.snapshots[t], found.links, t, SURVEYED)[stands],
        **{f"p_{name}": p[:, k] for k, name in enumerate(STAGES)},
    )
    last = found.series.summaries[-1]
    return take_census(table, sites, profile_from(last.run.structure, last.scene.name), _rates(last))


def _timeline(found: Found, sites: gpd.GeoDataFrame, censuses: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Rows of timeline.csv: each site at each date, then all sites together if there are several."""
    plane = sites if found.series.plane is None else sites.to_crs(found.series.plane)
    areas = list(geometries_of(plane))
    parts: list[tuple[str, int | None, BaseGeometry]] = [*zip(sites["name"], range(len(areas)), areas, strict=True)]
    if len(areas) > 1:
        parts.append((ALL_SITES, None, shapely.union_all(areas)))
    for name, number, area in parts:
        for date, snapshot, census in zip(found.series.dates, found.snapshots, censuses, strict=True):
            counted = census["total"] if number is None else census["sites"][number]
            row: dict[str, Any] = {"site": name, "is_total": number is None, "date": date}
            row["observed_share"] = round(area.intersection(snapshot.observed).area / area.area, 3)
            counts = {"buildings": counted["buildings"], **counted["by_stage"], "dormitory_like": counted["dormitory_like"]}
            counts |= {"beds_now": counted["beds"]["now"], "beds_when_complete": counted["beds"]["when_complete"]}
            for what, c in counts.items():
                row |= {what: c["estimate"], f"{what}_low": c["low"], f"{what}_high": c["high"]}
            row["buildings_found"] = counted["buildings"]["found"]
            yield row


def _awaited(found: Found, buildings: gpd.GeoDataFrame, own: NDArray[np.bool_], planned: float) -> tuple[NDArray[np.bool_], str]:
    """(N,) those of a site's own buildings that its forecast is about, and what one of them is called.

    A plan is about buildings of the type, as in the census: a finished house brings it no nearer to its end.
    """
    if np.isnan(planned):
        return own, "building"
    last = found.series.summaries[-1]
    profile = profile_from(last.run.structure, last.scene.name)
    return own & buildings["dormitory_like"].to_numpy(bool), f"{profile.name}-like building"


def _changes(own: gpd.GeoDataFrame, state: NDArray[np.int64], dates: list[str], base: int) -> dict[str, Any]:
    """Changes of a site's buildings, and their pace."""
    kinds = {kind: own["id"][own["change"] == kind] for kind in CHANGES}
    return {
        "changes": {kind: len(ids) for kind, ids in kinds.items()},
        "new_since": {"date": dates[base], "ids": kinds["new"].tolist()},
        "gone_since": {"date": dates[base], "ids": kinds["gone"].tolist()},
        "per_month": monthly(state, dates),
    }


def _results(found: Found) -> list[dict[str, Any]]:
    """Scenes and buildings of each date, and how well it fits the others."""
    rates = found_rates(found.evidence, recall(found.series) or ASSUMED_FOUND)
    by_date: dict[str, list[str]] = {}
    for summary in found.series.summaries:
        by_date.setdefault(str(summary.scene.date), []).append(summary.scene.name)
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


def _notices(found: Found) -> Iterator[Notice]:
    if len({s.model.sha256 for s in found.series.summaries}) > 1:
        yield Notice(Code.SERIES, "the results were made with different weights: a change may come from the weights")
    runs = [s.run for s in found.series.summaries]
    if any(run.structure != runs[0].structure for run in runs):
        yield Notice(
            Code.SERIES, "the results were counted with different structure profiles: beds of two dates mean different things"
        )
    for option in ("threshold", "min_area_m2", "tta"):
        if len({str(run.options.get(option)) for run in runs}) > 1:
            flag = f"--{option.removesuffix('_m2').replace('_', '-')}"
            yield Notice(Code.SERIES, f"the results were made with different {flag}: a change may come from the option")
    if any(s.scene.simulated for s in found.series.summaries):
        yield Notice(Code.SIMULATED, "SIMULATED: a scene is drawn and shows no real place")
    for t, snapshot in enumerate(found.snapshots):
        stands = found.histories.standing[:, t] & found.evidence.seen[:, t]
        share = found.evidence.found[stands, t].mean() if stands.sum() >= 10 else 1.0
        if not found.evidence.seen[:, t].any():
            yield Notice(Code.HARDLY_SEEN, f"{snapshot.date}: nothing was observed (no data); the states before were kept")
        elif share < HAZY:
            text = f"{snapshot.date}: only {share:.0%} of the buildings that stand were found; is the scene hazy or dark?"
            yield Notice(Code.HARDLY_SEEN, text)


def _sites_layer(sites: gpd.GeoDataFrame, records: list[dict[str, Any]]) -> gpd.GeoDataFrame:
    """The ``sites`` layer."""
    completion = [r["forecast"]["completion"] or {} for r in records]
    table = sites.assign(
        buildings=[r["buildings"]["estimate"] for r in records],
        **{s: [r["by_stage"][s]["estimate"] for r in records] for s in STAGES},
        **{kind: [r["changes"][kind] for r in records] for kind in CHANGES},
        complete_by=[c.get("date") for c in completion],
        complete_by_low=[c.get("low") for c in completion],
        complete_by_high=[c.get("high") for c in completion],
    )
    return table[[*(c for c in table if c != "geometry"), "geometry"]]


def recall(series: Series) -> float | None:
    """Share of buildings that the weights found on places outside the training data."""
    return overall_recall([r for s in series.summaries for r in _rates(s) or ()])


def _rates(summary: Summary) -> Rates | None:
    """Rates in a result; if an earlier version wrote it without rates, those of the same weights on this machine."""
    if summary.rates is not None:
        return summary.rates or None
    try:
        weights = load_weights(summary.model.name)
    except InputError:
        return None
    if weights.sha256 != summary.model.sha256:
        return None
    return of_kind(weights.card.get("rates") or [], simulated=summary.scene.simulated) or None
