"""Phases of construction sites against IARPA SMART site models: which sites were found, in which phase they were at each date.

Definitions follow the programme's published test harness (pubgeo/IARPA-SMART, ``src``; Goldberg et al. 2023,
doi:10.1117/12.2663071) with its default thresholds. A true site and a proposal are associated when at least ``RHO`` of the site's
observations have an IoU of at least ``TAU`` with the proposal, and their times of activity share at least ``TEMPORAL_IOT`` of the true
and ``TEMPORAL_IOP`` of the proposed time. F1 = tp / (tp + ½ fp + ½ fn) over sites. Of associated sites: F1 of each phase over the dates
that are labelled, days between the true and the predicted onset of each phase, temporal IoU of each phase.

Simpler than the harness in one thing: a site is associated with one proposal and a proposal with one site; it also tries to put several
together. A proposal's phase at a day is that of its last observation until then.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date as Date
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from shapely.geometry.base import BaseGeometry

from detect.base.errors import InputError
from detect.base.files import listed
from detect.base.matching import best_match, iou_of
from detect.base.vectors import equal_area_crs, geometries_of, read_vector
from detect.evaluation.footprints import ratio

PHASES = ("No Activity", "Site Preparation", "Active Construction", "Post Construction")
TAU, RHO, TEMPORAL_IOT, TEMPORAL_IOP = 0.2, 0.5, 0.2, 0.1
SMALLEST_M2 = 9000.0
"""Smaller true sites are not scored: finding one is neither right nor wrong."""
POSITIVE = ("positive_annotated", "positive_annotated_static", "positive_partial", "positive_partial_static", "positive_pending")
IGNORED = ("ignore", "positive_unbounded")
REJECTED = "system_rejected"
_WORK = PHASES[1:3]


@dataclass(frozen=True)
class Observation:
    """A site at one day."""

    day: int
    """Ordinal."""
    boundary: BaseGeometry
    phases: frozenset[str]
    """Phases of its parts; empty if the model names none."""


@dataclass(frozen=True)
class Site:
    """A site over time."""

    name: str
    status: str
    observations: tuple[Observation, ...]
    """Sorted by day."""
    span: tuple[int, int]
    """First and last day that the model is about."""

    @property
    def activity(self) -> tuple[int, int]:
        """First and last day of work: from the first observation in work to the first that is finished; ``span`` where none is in work."""
        begun = [o.day for o in self.observations if o.phases & set(_WORK)]
        if not begun:
            return self.span
        finished = [o.day for o in self.observations if o.day >= begun[0] and o.phases == {PHASES[3]}]
        return begun[0], finished[0] if finished else self.span[1]

    @property
    def ground(self) -> BaseGeometry:
        """The union of all observations of it."""
        return shapely.union_all([o.boundary for o in self.observations])

    def at(self, day: int) -> Observation:
        """The last observation until a day, or the first of all."""
        return max((o for o in self.observations if o.day <= day), key=lambda o: o.day, default=self.observations[0])

    def onset(self, phase: str) -> int | None:
        """First day of a phase; of Post Construction, the first on which all parts are finished."""
        whole = phase == PHASES[3]
        return next((o.day for o in self.observations if (o.phases == {phase} if whole else phase in o.phases)), None)


def is_site_models(path: Path) -> bool:
    """Whether a path holds SMART site models: a folder of GeoJSON files, or one such file."""
    if path.is_dir():
        return bool(listed(path, "*.geojson"))
    if path.suffix.lower() not in (".geojson", ".json") or not path.is_file():
        return False
    try:
        features = json.loads(path.read_text(encoding="utf-8"))["features"]
        return any(f["properties"].get("type") == "site" for f in features)
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        return False


def evaluate_sites(predicted: Path, reference: Path) -> dict[str, Any]:
    """Scores of sites and their phases.

    Args:
        predicted: a folder that ``detect track`` wrote, whose sites are the proposals; or site models.
        reference: site models: ``<region>_<number>.geojson`` in a folder, or one file.

    Returns:
        ``sites``: ``tp``, ``fp``, ``fn``, ``precision``, ``recall``, ``f1``; ``phases`` per phase: ``f1``, ``temporal_iou`` (mean) and
        ``onset_days`` (mean absolute error; ``signed`` is above 0 where the prediction is late) and their ``sites``; ``macro_f1``;
        ``confusion`` true → predicted over labelled dates; ``pairs`` (true, proposed).

    Raises:
        InputError: no site model that can be read.
    """
    truth = _site_models(reference)
    given = _site_models(predicted) if is_site_models(predicted) else _tracked_sites(predicted)
    proposals = [s for s in given if s.status != REJECTED]
    truth, proposals = _in_one_plane(truth, proposals)
    pairs = _associated(truth, proposals)
    positive = {i for i, s in enumerate(truth) if s.status in POSITIVE and s.ground.area >= SMALLEST_M2}
    ignored = {i for i, s in enumerate(truth) if s.status in IGNORED or (s.status in POSITIVE and i not in positive)}
    hits = [(i, j) for i, j in pairs if i in positive]
    spared = {j for i, j in pairs if i in positive | ignored}
    counted = {"tp": len(hits), "fp": len(proposals) - len(spared), "fn": len(positive) - len(hits)}
    found = [(truth[i], proposals[j]) for i, j in hits]
    labelled = [(t, p) for t, p in found if any(o.phases for o in t.observations)]
    confusion = _confusion(labelled)
    phases = {phase: _of_phase(phase, confusion, labelled) for phase in PHASES}
    scores = [p["f1"] for p in phases.values() if p["f1"] is not None]
    return {
        "sites": counted
        | {
            "precision": ratio(counted["tp"], counted["tp"] + counted["fp"]),
            "recall": ratio(counted["tp"], counted["tp"] + counted["fn"]),
            "f1": ratio(counted["tp"], counted["tp"] + (counted["fp"] + counted["fn"]) / 2),
        },
        "phases": phases,
        "macro_f1": float(np.mean(scores)) if scores else None,
        "confusion": {t: {p: confusion[t, p] for p in PHASES} for t in PHASES},
        "pairs": [[t.name, p.name] for t, p in found],
    }


def format_sites(metrics: Mapping[str, Any]) -> str:
    """The scores as lines for a terminal."""

    def show(value: float | None, pattern: str = ".3f") -> str:
        return "–" if value is None else format(value, pattern)

    sites = metrics["sites"]
    lines = [
        f"sites        F1 {show(sites['f1'])}, precision {show(sites['precision'])}, recall {show(sites['recall'])} "
        f"({sites['tp']} found, {sites['fp']} too many, {sites['fn']} missed)",
        f"phases       macro F1 {show(metrics['macro_f1'])}",
        f"{'':<22}{'F1':>8}{'temporal IoU':>14}{'onset error, days':>20}",
    ]
    for phase, p in metrics["phases"].items():
        lines.append(
            f"  {phase:<20}{show(p['f1']):>8}{show(p['temporal_iou']):>14}{show(p['onset_days']['absolute'], '.0f'):>20}"
        )
    return "\n".join(lines)


def _site_models(path: Path) -> list[Site]:
    files = listed(path, "*.geojson") if path.is_dir() else [path]
    try:
        found = [_site_model(json.loads(file.read_text(encoding="utf-8"))["features"]) for file in files]
    except (OSError, ValueError, RecursionError, KeyError, TypeError, AttributeError) as cause:
        raise InputError(f"{path}: holds no SMART site models that can be read ({cause})") from cause
    sites = [site for site in found if site is not None]
    if not sites:
        raise InputError(f"{path}: holds no SMART site model with dated observations")
    return sites


def _site_model(features: Sequence[Mapping[str, Any]]) -> Site | None:
    """One file; None where it has no dated observation."""
    site = next((f["properties"] for f in features if f["properties"].get("type") == "site"), None)
    dated = [f for f in features if f["properties"].get("observation_date") and f["geometry"]]
    if site is None or not dated:
        return None
    observations = tuple(sorted(map(_observation, dated), key=lambda o: o.day))
    start, end = (_ordinal(site[k]) if site.get(k) else None for k in ("start_date", "end_date"))
    span = (observations[0].day if start is None else start, observations[-1].day if end is None else end)
    return Site(site["site_id"], site["status"], observations, span)


def _observation(feature: Mapping[str, Any]) -> Observation:
    """Parts within a site come with ``is_site_boundary`` False; the boundary is the others."""
    properties = feature["properties"]
    parts = shapely.get_parts(shapely.from_geojson(json.dumps(feature["geometry"])))
    flags = [f.strip() != "False" for f in str(properties.get("is_site_boundary") or "True").split(",")]
    if len(flags) == len(parts):
        parts = parts[np.array(flags)]
    phases = frozenset(p.strip() for p in (properties.get("current_phase") or "").split(",")) & set(PHASES)
    return Observation(_ordinal(properties["observation_date"]), shapely.union_all(shapely.make_valid(parts)), phases)


def _ordinal(day: str) -> int:
    return Date.fromisoformat(day[:10]).toordinal()


def _tracked_sites(folder: Path) -> list[Site]:
    """The sites of ``detect track`` as site models.

    A site is in Active Construction while a foundation or an unfinished building stands there, in Post Construction when all are
    finished after that, and without activity before the first. Cleared ground has no building, so Site Preparation is never predicted.
    """
    sites = read_vector(folder / "tracks.gpkg", "sites")
    if sites.crs is None:
        raise InputError(f"{folder}: its sites have no coordinate system; only georeferenced ones can be laid on site models")
    sites = sites.to_crs(4326)
    # A name is text as it stands: NA is no missing value, and 007 not 7.
    timeline = pd.read_csv(folder / "timeline.csv", dtype={"site": str}, keep_default_na=False, na_values=[""])
    if "is_total" in timeline:  # timelines of earlier versions lack it
        timeline = timeline[~timeline["is_total"]]
    timeline = timeline[timeline["observed_share"] > 0]
    return [
        _tracked_site(name, ground, timeline[timeline["site"] == name])
        for name, ground in zip(sites["name"], geometries_of(sites), strict=True)
        if (timeline["site"] == name).any()
    ]


def _tracked_site(name: str, ground: BaseGeometry, rows: pd.DataFrame) -> Site:
    observations, worked = [], False
    for row in rows.to_dict("records"):
        works = row["foundation"] + row["incomplete"] > 0
        worked |= works
        phase = PHASES[2] if works else PHASES[3] if worked else PHASES[0]
        observations.append(Observation(_ordinal(row["date"]), ground, frozenset({phase})))
    return Site(name, "system_confirmed", tuple(observations), (observations[0].day, observations[-1].day))


def _in_one_plane(truth: list[Site], proposals: list[Site]) -> tuple[list[Site], list[Site]]:
    """Both sides in an equal-area plane about the true sites, metres."""
    outlines = gpd.GeoDataFrame(geometry=[s.ground for s in truth], crs=4326)
    plane = equal_area_crs(outlines)

    def moved(site: Site) -> Site:
        there = gpd.GeoSeries([o.boundary for o in site.observations], crs=4326).to_crs(plane)
        kept = [
            Observation(o.day, g, o.phases) for o, g in zip(site.observations, shapely.make_valid(there.to_numpy()), strict=True)
        ]
        return Site(site.name, site.status, tuple(kept), site.span)

    return [moved(s) for s in truth], [moved(s) for s in proposals]


def _associated(truth: Sequence[Site], proposals: Sequence[Site]) -> list[tuple[int, int]]:
    """(true, proposed) pairs, one to one, as many as can be."""
    ours, theirs = (np.array([s.ground for s in side] + [None], dtype=object)[:-1] for side in (truth, proposals))
    left, right = shapely.STRtree(theirs).query(ours, predicate="intersects")
    reward = np.array([_likeness(truth[i], proposals[j]) for i, j in zip(left, right, strict=True)])
    good = reward > 0
    a, b = best_match(left[good], right[good], 10 + reward[good])
    return list(zip(a.tolist(), b.tolist(), strict=True))


def _likeness(true: Site, proposed: Site) -> float:
    """Share of the true observations that the proposal overlaps by ``TAU``; 0 if a threshold is missed."""
    (a, b), (c, d) = true.activity, proposed.activity
    common = min(b, d) - max(a, c) + 1
    if common < TEMPORAL_IOT * (b - a + 1) or common < TEMPORAL_IOP * (d - c + 1) or common <= 0:
        return 0.0
    share = float(np.mean([iou_of(o.boundary, proposed.at(o.day).boundary) >= TAU for o in true.observations]))
    return share if share >= RHO else 0.0


def _confusion(pairs: Sequence[tuple[Site, Site]]) -> Counter[tuple[str, str]]:
    """True and predicted phase on each labelled date of the true sites; dates with several phases are left out, as in the harness."""
    counted: Counter[tuple[str, str]] = Counter()
    for true, proposed in pairs:
        for observation in true.observations:
            given = proposed.at(observation.day)
            if len(observation.phases) == 1 and len(given.phases) == 1 and given.day <= observation.day:
                counted[next(iter(observation.phases)), next(iter(given.phases))] += 1
    return counted


def _of_phase(phase: str, confusion: Counter[tuple[str, str]], pairs: Sequence[tuple[Site, Site]]) -> dict[str, Any]:
    right = confusion[phase, phase]
    true, proposed = (sum(n for key, n in confusion.items() if key[side] == phase) for side in (0, 1))
    errors = [later - first for t, p in pairs if (first := t.onset(phase)) is not None and (later := p.onset(phase)) is not None]
    overlaps = [o for t, p in pairs if (o := _temporal_iou(phase, t, p)) is not None]
    return {
        "f1": ratio(2 * right, true + proposed) if true else None,
        "temporal_iou": float(np.mean(overlaps)) if overlaps else None,
        "onset_days": {
            "absolute": float(np.mean(np.abs(errors))) if errors else None,
            "signed": float(np.mean(errors)) if errors else None,
            "sites": len(errors),
        },
    }


def _temporal_iou(phase: str, true: Site, proposed: Site) -> float | None:
    """Intersection over union of the days in a phase, which lasts until the next observation; None if no true day is in it."""
    days = range(true.observations[0].day, true.observations[-1].day + 1)
    ours, theirs = (np.array([phase in s.at(d).phases for d in days]) for s in (true, proposed))
    return float((ours & theirs).sum() / (ours | theirs).sum()) if ours.any() else None
