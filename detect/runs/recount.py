"""Count again from a result of predict, without running the network: other plots, another profile, corrected buildings."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pyogrio
import pyproj
from numpy.typing import NDArray
from shapely import Polygon

from detect.base.errors import InputError
from detect.base.files import sha256_of_parts
from detect.base.geometry import measure, span_outline
from detect.base.grid import Span
from detect.base.notices import Code, Notice, as_json, notices_of
from detect.base.options import takes
from detect.base.texts import number_of
from detect.base.values import NO_DATA
from detect.base.vectors import geometries_of, read_vector
from detect.census.count import storeys_notices, take_census, with_beds
from detect.census.gaps import with_gaps
from detect.census.ground import survey
from detect.census.profiles import StructureProfile, load_profile, plain, profile_path
from detect.census.review import CORRECTION, Review, apply_review
from detect.census.reviews import read_reviews
from detect.census.sites import Sites, load_sites, refuse_elsewhere, with_cut
from detect.results.again import opened_raster
from detect.results.files import Content
from detect.results.folder import ResultFolder
from detect.results.own_parts import refuse_to_lose
from detect.results.picture import read_picture, read_whole
from detect.results.repaint import repainted
from detect.results.result import Result
from detect.results.tables import GROUND, with_schema
from detect.runs.earlier import TABLE, Earlier, read_earlier
from detect.runs.finish import finish, placed
from detect.runs.options import CensusOptions

REPLACED = (Code.REVIEWED, Code.REVIEWS_DIFFER, Code.NOT_REDRAWN, Code.STOREYS_DIFFER)
"""Notices that each census writes anew."""
LISTED = 5
"""Contradictions between reviewers that a notice names, and buildings of each kind whose correction is undone; summary.json has all
contradictions."""


@dataclass(frozen=True)
class _Corrected:
    """A result with corrections."""

    buildings: gpd.GeoDataFrame
    stage: NDArray[np.uint8]
    """(H, W) stage codes."""
    review: Review
    conflicts: tuple[str, ...] = ()
    """Contradictions between reviewers."""


@takes(CensusOptions)
def recount(folder: str | Path, **options: Any) -> list[Result]:
    """Count again in each scene of a predict folder; what is not given stays as it was.

    Args:
        folder: a folder that predict wrote, for one scene or with a folder per scene.
        options: see below.

    Raises:
        TypeError: an unknown option.
        InputError: no predict folder, several scenes with one review, or a file that cannot be used.
    """
    wanted = CensusOptions.from_keywords(**options)
    folders = ResultFolder.find(folder, wait_for="detect census")
    if wanted.review and len(folders) > 1:
        names = ", ".join(f.path.name for f in folders)
        raise InputError(f"{folder}: --review corrects one scene, and here are {len(folders)} ({names}); give the folder of one")
    refuse_elsewhere(wanted.sites, [shown for one in folders if (shown := _shown(one.path)) is not None])
    results = []
    for one in folders:
        with one.lock("detect census"):
            results.append(_recount_one(one, wanted))
    return results


def _recount_one(folder: ResultFolder, options: CensusOptions) -> Result:
    refuse_to_lose(folder.path)
    earlier = read_earlier(folder.path)
    profile_file = None if options.structure is None else profile_path(options.structure)
    profile = earlier.profile if profile_file is None else load_profile(profile_file)
    corrected = _reviewed(earlier, options)
    sites = _sites(earlier, corrected.buildings, corrected.stage, options)
    checked = earlier.checked.then(corrected.review)
    table = corrected.buildings
    measured = table.assign(**measure(list(geometries_of(table)), earlier.crs).set_axis(table.index))
    buildings = placed(measured, sites, profile, checked)
    if profile_file is None and earlier.edited is None:
        buildings = _as_found(buildings, earlier.buildings, corrected.review)
    # Heights are of the type that is counted: those of what is not of it any more would speak of another design.
    buildings = buildings.assign(height_m=buildings["height_m"].where(buildings["dormitory_like"]))
    buildings = with_schema(with_beds(buildings, profile))
    ground = _ground(earlier, sites, buildings, profile, options)
    counted = take_census(checked.marked(buildings), sites.table, profile, earlier.summary["rates"], sites.warnings, ground)
    scene, reason = earlier.scene
    lacks = [] if scene is not None else _not_surveyed(sites, ground, options, reason)
    draws = not earlier.outputs or "report.html" in earlier.outputs
    content = Content(
        grid=earlier.grid,
        crs=earlier.crs,
        buildings=buildings,
        sites=sites,
        ground=ground,
        summary=_summary(
            earlier, counted, sites, profile, checked, _recounted(options, profile_file, corrected.conflicts), lacks
        ),
        scene=scene,
        overall=None if scene is None else read_whole(scene),
        earlier=read_picture(earlier.folder / "report.html") if scene is None and draws else None,
        stage=corrected.stage if corrected.review.redrawn or corrected.review.deleted else None,
        outputs=earlier.outputs,
    )
    return finish(folder, content)


def _shown(folder: Path) -> tuple[Polygon, pyproj.CRS | None] | None:
    """Outline of a result's rasters and its CRS; None where they are missing."""
    if not (folder / "stage.tif").is_file():
        return None
    with opened_raster(folder / "stage.tif") as source:
        crs = None if source.crs is None else pyproj.CRS(source.crs)
        return span_outline(source.transform, Span(0, 0, *source.shape)), crs


def _reviewed(earlier: Earlier, options: CensusOptions) -> _Corrected:
    """Buildings and stage codes after the corrections, and the corrections."""
    if not options.reviews:
        return _Corrected(earlier.buildings, earlier.stage, Review())
    for path in options.reviews:
        if path.exists() and path.resolve() == (earlier.folder / TABLE).resolve():
            raise InputError(
                f"{path}: is the table of the result itself, so nothing tells what was corrected in it; edit a copy and give that "
                "(detect census without --review counts the table as it is)"
            )
    reviews = read_reviews(options.reviews, earlier.buildings, earlier.crs, earlier.outline)
    corrected, review = apply_review(earlier.buildings, reviews.table, earlier.checked)
    _warn_of_undone(earlier.checked, review, reviews.table, options.reviews)
    stage = repainted(earlier.stage, earlier.grid.transform, earlier.buildings, corrected, review)
    return _Corrected(corrected, stage, review, reviews.conflicts)


def _warn_of_undone(earlier: Review, later: Review, table: gpd.GeoDataFrame, files: Sequence[Path]) -> None:
    """Warn of corrections of an earlier review that a later one takes back.

    A table made from the result before that review says of each building how it was then, as if its reviewer had corrected it so. What a
    page says of a building is meant.
    """
    if table[CORRECTION].notna().any():
        return
    again, gone = {*later.changed, *later.deleted}, {*later.deleted}
    named = set(table["id"])
    undone = {
        "change": again & {*earlier.changed},
        "confirmation": again & {*earlier.confirmed},
        "added building": gone & {*earlier.added},
        "deleted building": named & {*earlier.deleted},
    }
    lines = [f"{number_of(len(ids), what)} ({_ids(ids)})" for what, ids in undone.items() if ids]
    if lines:
        names = ", ".join(path.name for path in files)
        what = " and ".join([", ".join(lines[:-1]), lines[-1]] if lines[1:] else lines)
        meant = "if that is not meant, predict the scene again and give the files of both reviews in one call"
        warnings.warn(f"{names}: undoes {what} of an earlier review; {meant}", stacklevel=3)


def _ids(ids: Iterable[int]) -> str:
    first = sorted(ids)
    return f"id{'s' if first[1:] else ''} {', '.join(map(str, first[:LISTED]))}{' …' if first[LISTED:] else ''}"


def _sites(earlier: Earlier, buildings: gpd.GeoDataFrame, stage: NDArray[np.uint8], options: CensusOptions) -> Sites:
    """The plots that are given, with their warnings, or the sites of the result, whose buildings may be others now."""
    if options.sites is None:
        return with_cut(earlier.sites, buildings)
    given = load_sites(options.sites, earlier.crs, earlier.outline)
    return with_gaps(with_cut(given, buildings), earlier.grid, stage != NO_DATA)


def _ground(
    earlier: Earlier, sites: Sites, buildings: gpd.GeoDataFrame, profile: StructureProfile, options: CensusOptions
) -> gpd.GeoDataFrame | None:
    """Cleared ground and pads: surveyed again for other plots or another profile where the scene can be read, else those of the result."""
    scene, _ = earlier.scene
    old = _old_ground(earlier.folder) if options.sites is None else None
    if scene is not None and sites.are_plots and (old is None or options.structure is not None):
        return survey(scene, scene.work_grid(earlier.summary["model"]["gsd_m"]), sites.table, buildings, profile)
    return old


def _not_surveyed(sites: Sites, ground: gpd.GeoDataFrame | None, options: CensusOptions, reason: str) -> list[Notice]:
    """That the ground of plots is unknown, or that of another profile, since the scene cannot be read."""
    if not sites.are_plots or (ground is not None and options.structure is None):
        return []
    lacks = "cleared ground is unknown, and with it planned beds where a plot names no planned_buildings"
    old = "cleared ground, and what fits there, is as surveyed for the earlier profile"
    text = f"{lacks if ground is None else old}: the scene cannot be read ({reason}); put it back and give the same options again"
    return [Notice(Code.NOT_REDRAWN, text)]


def _summary(
    earlier: Earlier,
    counted: Mapping[str, Any],
    sites: Sites,
    profile: StructureProfile,
    checked: Review,
    recounted: Mapping[str, Any],
    lacks: Sequence[Notice],
) -> dict[str, Any]:
    """The summary of the result, with what was counted now, from which files, and what could not be known."""
    before = earlier.summary
    scene, reason = earlier.scene
    notices = [
        *_notices(before, checked),
        *_contradictions(recounted.get("conflicts", ())),
        *storeys_notices(counted),
        *([earlier.edited] if earlier.edited else []),
    ]
    if scene is None:
        text = f"overview.png and the picture of the page are the earlier ones: the scene cannot be read ({reason})"
        notices += [*lacks, Notice(Code.NOT_REDRAWN, text)]
    return {
        **before,
        **counted,
        **as_json(notices),
        "scene": {**before["scene"], "whole_scene_is_the_site": sites.is_whole_scene, "sites_are": sites.kind},
        "review": checked.to_json(),
        "recounted": dict(recounted),
        "run": {**before["run"], "structure": plain(profile), "key": _key(before["run"]["key"], recounted)},
    }


def _recounted(options: CensusOptions, profile_file: str | Path | None, conflicts: Sequence[str]) -> dict[str, Any]:
    """The files that this census was given; ``review`` is a list where there were several."""
    given = {"sites": options.sites, "structure": profile_file}
    files: dict[str, Any] = {name: None if path is None else _fingerprint(path) for name, path in given.items()}
    reviews = [_fingerprint(path) for path in options.reviews]
    files["review"] = reviews if len(reviews) > 1 else next(iter(reviews), None)
    return files | ({"conflicts": list(conflicts)} if len(reviews) > 1 else {})


def _fingerprint(path: str | Path) -> dict[str, str]:
    return {"file": Path(path).name, "sha256": sha256_of_parts(Path(path))}


def _old_ground(folder: Path) -> gpd.GeoDataFrame | None:
    """The layer ``ground`` that is there; None if no ground was surveyed."""
    path = folder / "buildings.gpkg"
    return read_vector(path, GROUND) if GROUND in pyogrio.list_layers(path)[:, 0] else None


def _as_found(buildings: gpd.GeoDataFrame, before: gpd.GeoDataFrame, review: Review) -> gpd.GeoDataFrame:
    """Buildings that nobody corrected with the likeness that they had.

    A building is more like a dormitory among others of its kind, so that each correction would change its neighbours too, and the census
    would not count what the reviewer saw.
    """
    names = ["dormitory_like", "dormitory_score", "dormitory_reasons"]
    old = before.set_index("id")[names]
    untouched = buildings["id"].isin(old.index) & ~buildings["id"].isin([*review.redrawn, *review.likeness])
    if not untouched.any():
        return buildings
    table = buildings.copy()
    table.loc[untouched, names] = old.loc[buildings.loc[untouched, "id"]].to_numpy()
    return table


def _notices(before: dict[str, Any], review: Review) -> list[Notice]:
    kept = [notice for notice in notices_of(before) if notice.code not in REPLACED]
    if review.checked or review.deleted:
        text = (
            f"corrected by a reviewer: {number_of(len(review.changed), 'building')} changed, {len(review.added)} added, "
            f"{len(review.deleted)} deleted, {len(review.confirmed)} confirmed; those that stand count as certain"
        )
        kept.append(Notice(Code.REVIEWED, text))
    return kept


def _contradictions(conflicts: Sequence[str]) -> list[Notice]:
    if not conflicts:
        return []
    count = f"{len(conflicts)} corrections contradict" if len(conflicts) > 1 else "1 correction contradicts"
    rest = f"; {len(conflicts) - LISTED} more are in summary.json" if len(conflicts) > LISTED else ""
    text = f"{count} those of a file that was given before, which counts: {'; '.join(conflicts[:LISTED])}{rest}"
    return [Notice(Code.REVIEWS_DIFFER, text)]


def _key(before: str, recounted: Mapping[str, Any]) -> str:
    """A key other than predict's, so that predict does not take the result for its own."""
    return hashlib.sha256(json.dumps([before, dict(recounted)], sort_keys=True).encode()).hexdigest()
