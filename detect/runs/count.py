"""One scene's buildings → its result: plots, likeness, heights, ground, census, files."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import geopandas as gpd
import numpy as np
from numpy.typing import NDArray

from detect.base.memory import trim
from detect.base.notices import Code, Notice
from detect.census.count import take_census, with_beds
from detect.census.gaps import GAPS_PX, with_gaps
from detect.census.ground import survey
from detect.census.rates import of_kind
from detect.census.review import Review
from detect.census.shadows import as_slabs, open_shadows, slab_notices
from detect.census.sites import Sites, load_sites, proposed_sites, with_cut
from detect.network.probabilities import calibrated
from detect.results.files import Content
from detect.results.repaint import recode
from detect.results.result import Result
from detect.results.summary import run_facts, summary_of
from detect.results.tables import with_schema
from detect.runs.find import Found
from detect.runs.finish import finish, placed
from detect.runs.job import Job
from detect.scene.scene import Scene, WorkGrid

NO_CLUSTER = Notice(Code.NOTHING_PROPOSED, "no cluster of new construction was found; the whole scene is the site")


@dataclass(frozen=True)
class Carried:
    """What an adapted result takes over from the one before it."""

    sites: Sites
    review: Review
    stage: NDArray[np.uint8]
    """(H, W) stage codes with the buildings that a reviewer has checked."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """The key ``adapted`` of summary.json."""


def count(
    found: Found, buildings: gpd.GeoDataFrame, notes: Sequence[Notice], key: str, job: Job, carried: Carried | None = None
) -> Result:
    """Count buildings and write the result.

    Args:
        found: in the scene.
        buildings: those of ``found`` that count here; with ``carried``, they have an ``id``, and checked ones are among them.
        notes: further warnings for the summary.
        key: key of the result.
        job: the call of predict.
        carried: what comes from an earlier result.
    """
    began_s = time.monotonic() - sum(found.timings_s.values())
    scene, grid, weights, profile = found.scene, found.grid, job.weights, job.profile
    is_new = carried is None
    if carried is None:
        carried = Carried(_sites(scene, buildings, job), Review(), found.stage)
        buildings = buildings.assign(id=np.arange(1, len(buildings) + 1))
    sites = carried.sites
    if job.options.propose_sites and sites.is_whole_scene:
        notes = [*notes, NO_CLUSTER]
    table = placed(buildings, sites, profile, carried.review)
    table, shadow_notes = _by_shadows(table, carried, scene, grid)
    table = with_schema(with_beds(table, profile))
    notes = [*notes, *shadow_notes]
    ground = survey(scene, grid, sites.table, table, profile) if sites.are_plots else None
    heads = found.heads.reader()
    sites = with_gaps(with_cut(sites, table), grid, heads.seen(GAPS_PX)) if is_new else sites
    rates = of_kind(weights.card.get("rates") or [], simulated=scene.simulated)
    counted = take_census(carried.review.marked(table), sites.table, profile, rates, sites.warnings, ground)
    run = run_facts(key, {**job.options.deciding, "device": job.options.device}, grid, profile)
    summary = summary_of(scene, weights, sites, counted, run, rates, found.heads.ledger, notes).to_json()
    if carried.facts:
        summary |= {"review": carried.review.to_json(), "adapted": dict(carried.facts)}
    content = Content(
        grid=grid,
        crs=scene.crs,
        buildings=table,
        sites=sites,
        ground=ground,
        summary=summary,
        scene=scene,
        overall=found.overall,
        stage=carried.stage,
        heads=heads.footprint,
        calibration=calibrated(weights.temperature("footprint")),
        weights=weights,
        outputs=frozenset(job.options.outputs),
    )
    trim()
    report = job.report(scene)
    report("files", 0, 1)
    result = finish(job.folder(scene), content, timings_s=found.timings_s, began_s=began_s)
    report("files", 1, 1)
    return result


def _by_shadows(table: gpd.GeoDataFrame, carried: Carried, scene: Scene, grid: WorkGrid) -> tuple[gpd.GeoDataFrame, list[Notice]]:
    """Buildings with their heights; roofs that cast no shadow are slabs, also in the stage codes, unless a reviewer has checked them."""
    with open_shadows(scene, grid, table) as shadows:
        height_m = shadows.heights()
        flat = shadows.none_cast(height_m) & ~table["id"].isin(carried.review.checked).to_numpy()
    if not flat.any():
        return table.assign(height_m=height_m), []
    restaged = as_slabs(table, flat).assign(height_m=np.where(flat, np.nan, height_m))
    recode(carried.stage, grid.transform, restaged, flat)
    return restaged, slab_notices(restaged[flat])


def _sites(scene: Scene, buildings: gpd.GeoDataFrame, job: Job) -> Sites:
    """The given plots; or clusters of new construction if they are wanted and exist; or the whole scene."""
    if job.options.propose_sites:
        proposed = proposed_sites(buildings)
        if len(proposed.table):
            return proposed
    return load_sites(job.options.sites, scene.crs, scene.outline)
