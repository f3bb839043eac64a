"""One scene's buildings → its result: plots, likeness, heights, ground, census, files."""

from __future__ import annotations

import time
from collections.abc import Sequence

import geopandas as gpd
import numpy as np

from detect.base.memory import trim
from detect.base.notices import Code, Notice
from detect.census.count import take_census, with_beds
from detect.census.gaps import GAPS_PX, with_gaps
from detect.census.ground import survey
from detect.census.rates import of_kind
from detect.census.review import Review
from detect.census.shadows import heights
from detect.census.sites import Sites, load_sites, proposed_sites, with_cut
from detect.network.probabilities import calibrated
from detect.results.files import Content
from detect.results.result import Result
from detect.results.summary import run_facts, summary_of
from detect.results.tables import with_schema
from detect.runs.find import Found
from detect.runs.finish import finish, placed
from detect.runs.job import Job
from detect.scene.scene import Scene

NO_CLUSTER = Notice(Code.NOTHING_PROPOSED, "no cluster of new construction was found; the whole scene is the site")


def count(found: Found, buildings: gpd.GeoDataFrame, notes: Sequence[Notice], key: str, job: Job) -> Result:
    """Count buildings and write the result.

    Args:
        found: in the scene.
        buildings: those of ``found`` that count here.
        notes: further warnings for the summary.
        key: key of the result.
        job: the call of predict.
    """
    began_s = time.monotonic() - sum(found.timings_s.values())
    scene, grid, weights, profile = found.scene, found.grid, job.weights, job.profile
    sites = _sites(scene, buildings, job)
    if job.options.propose_sites and sites.is_whole_scene:
        notes = [*notes, NO_CLUSTER]
    table = placed(buildings.assign(id=np.arange(1, len(buildings) + 1)), sites, profile, Review())
    table = with_schema(with_beds(table.assign(height_m=heights(scene, grid, table)), profile))
    ground = survey(scene, grid, sites.table, table, profile) if sites.are_plots else None
    with found.heads.reader() as reader:
        sites = with_gaps(with_cut(sites, table), grid, reader.seen(GAPS_PX))
    rates = of_kind(weights.card.get("rates") or [], simulated=scene.simulated)
    counted = take_census(table, sites.table, profile, rates, sites.warnings, ground)
    run = run_facts(key, {**job.options.deciding, "device": job.options.device}, grid, profile)
    content = Content(
        grid=grid,
        crs=scene.crs,
        buildings=table,
        sites=sites,
        ground=ground,
        summary=summary_of(scene, weights, sites, counted, run, rates, found.heads.ledger, notes).to_json(),
        scene=scene,
        overall=found.overall,
        stage=found.stage,
        heads=found.heads.path,
        calibration=calibrated(weights.temperature("footprint")),
        weights=weights,
    )
    trim()
    report = job.report(scene)
    report("files", 0, 1)
    result = finish(job.folder(scene), content, timings_s=found.timings_s, began_s=began_s)
    report("files", 1, 1)
    return result


def _sites(scene: Scene, buildings: gpd.GeoDataFrame, job: Job) -> Sites:
    """The given plots; or clusters of new construction if they are wanted and exist; or the whole scene."""
    if job.options.propose_sites:
        proposed = proposed_sites(buildings)
        if len(proposed.table):
            return proposed
    return load_sites(job.options.sites, scene.crs, scene.outline)
