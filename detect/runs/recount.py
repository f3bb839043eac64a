"""A census again, from what predict has left: other plots, another structure profile, buildings that a user has corrected. No network.

The folder is rewritten whole: aside first, then renamed.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pyogrio
import pyproj
import rasterio
import shapely
from numpy.typing import NDArray
from rasterio.features import rasterize
from shapely import Polygon

from detect.base.errors import DetectError, InputError
from detect.base.geometry import measure
from detect.base.notices import Code, Notice, as_json, notices_of
from detect.base.stages import CODES
from detect.base.values import NO_DATA
from detect.base.vectors import geometries_of, read_vector
from detect.census.count import storeys_notices, take_census, with_beds
from detect.census.dormitories import add_dormitories, rows_layer
from detect.census.ground import survey
from detect.census.profiles import StructureProfile, load_profile, plain, profile_from, profile_path
from detect.census.review import Review, apply_review, read_corrections
from detect.census.sites import Sites, assign, load_sites, with_cut
from detect.network.weights import sha256_of
from detect.results.folder import ResultFolder
from detect.results.overview import write_overview
from detect.results.picture import read_picture, read_whole, take_picture
from detect.results.rasters import write_stage_rasters
from detect.results.report import by_interest, write_report
from detect.results.result import Result
from detect.results.seal import sealed
from detect.results.summary import Summary, write_summary
from detect.results.tables import GROUND, with_schema, write_tables
from detect.runs.predict import with_gaps
from detect.scene.scene import Scene, WorkGrid, open_scene
from detect.scene.sun import Sun

REPLACED = (Code.REVIEWED, Code.NOT_REDRAWN, Code.STOREYS_DIFFER)
"""What is said of this census, and not of an earlier one."""
NEEDED = ("buildings.gpkg", "stage.tif", "mask.tif", "probability.tif", "report.html")
KEPT = ("probability.tif", "mask.tif", "stage.tif", "item.json", "overview.png")
"""What a recount leaves as it is, unless it has written it anew."""


def recount(
    folder: str | Path,
    *,
    sites: str | Path | None = None,
    structure: str | Path | None = None,
    review: str | Path | None = None,
) -> list[Result]:
    """Count again in each scene of a predict folder; what is not given stays as it was.

    Args:
        folder: that predict wrote: of one scene, or with a folder per scene.
        sites: vector file with polygons to count in.
        structure: profile of the structure that is looked for, a YAML file or a name that ships.
        review: buildings of one scene as a user has corrected them: stages or outlines changed, rows deleted, rows without ``id`` added.

    Raises:
        InputError: no predict folder, several scenes with one review, or a file that cannot be used.
    """
    folders = ResultFolder.find(folder, wait_for="detect census")
    if review is not None and len(folders) > 1:
        names = ", ".join(f.path.name for f in folders)
        raise InputError(f"{folder}: --review corrects one scene, and here are {len(folders)} ({names}); give the folder of one")
    results = []
    for one in folders:
        with one.lock("detect census"):
            results.append(_recount_one(one.path, sites, structure, review))
    return results


def _recount_one(folder: Path, sites: str | Path | None, structure: str | Path | None, review: str | Path | None) -> Result:
    before = _read_summary(folder)
    used = None if structure is None else profile_path(structure)
    profile = profile_from(before["run"]["structure"], str(folder)) if used is None else load_profile(used)
    buildings = read_vector(folder / "buildings.gpkg", "buildings")
    with rasterio.open(folder / "stage.tif") as source:
        grid = WorkGrid(source.shape, source.transform, before["run"]["work_gsd_m"], (1.0, 1.0))
        crs = None if source.crs is None else pyproj.CRS(source.crs)
        stage = source.read(1)
    plots = _old_sites(folder, before) if sites is None else load_sites(sites, crs, _outline(grid))
    now = Review()
    if review is not None:
        corrected, now = apply_review(buildings, read_corrections(review, crs))
        stage = _repainted(stage, grid, buildings, corrected, now)
        buildings = corrected
    checked = Review.from_json(before.get("review")).then(now)
    if sites is not None:
        plots = with_gaps(with_cut(plots, buildings), grid, stage != NO_DATA)
    buildings = _classified(buildings, crs, plots, profile, checked)
    scene, reason = _scene_again(before["scene"])
    ground = _old_ground(folder) if sites is None else None
    if scene and plots.are_plots and (sites is not None or structure is not None):
        ground = survey(scene, scene.work_grid(before["model"]["gsd_m"]), plots.table, buildings, profile)
    counted = take_census(
        buildings.assign(certain=buildings["id"].isin(checked.checked)),
        plots.table,
        profile,
        before["rates"],
        plots.warnings,
        ground,
    )
    notices = [*_notices(before, checked), *storeys_notices(counted)]
    if scene is None:
        text = f"overview.png and the picture of the page are the earlier ones: the scene cannot be read ({reason})"
        notices.append(Notice(Code.NOT_REDRAWN, text))
    summary = {**before, **counted, **as_json(notices)}
    summary["scene"] = {**before["scene"], "whole_scene_is_the_site": plots.is_whole_scene, "sites_are": plots.kind}
    summary["review"] = checked.to_json()
    summary["recounted"] = {
        name: None if path is None else {"file": Path(path).name, "sha256": sha256_of(Path(path))}
        for name, path in (("sites", sites), ("structure", used), ("review", review))
    }
    summary["run"] = {**before["run"], "structure": plain(profile), "key": _key(before["run"]["key"], summary["recounted"])}
    rows = rows_layer(buildings)
    with ResultFolder(folder).swap() as target:
        if now.checked or now.deleted:
            write_stage_rasters(target, grid, crs, stage)
        write_tables(target, buildings, rows, plots.table, ground)
        if scene:
            overall, drawn = read_whole(scene), not plots.is_whole_scene
            write_overview(target / "overview.png", scene, overall, buildings, plots.table, draw_sites=drawn)
            picture = take_picture(scene, overall, by_interest(buildings))
        else:
            picture = read_picture(folder / "report.html")
        write_report(target / "report.html", picture, buildings, rows, plots.table, summary, ground)
        for name in KEPT:
            if not (target / name).exists() and (folder / name).exists():
                shutil.copy2(folder / name, target / name)
        summary = sealed(summary, target)
        write_summary(target / "summary.json", summary)
    return Result(folder, buildings, plots.table, summary)


def _read_summary(folder: Path) -> dict[str, Any]:
    summary = Summary.read(ResultFolder(folder), "rates", "scene.sun").to_json()  # earlier versions left these out
    for name in NEEDED:
        if not (folder / name).is_file():
            raise InputError(f"{folder}: {name} is missing; run detect predict again")
    return summary


def _outline(grid: WorkGrid) -> Polygon:
    height, width = grid.size_hw
    return Polygon([grid.transform * corner for corner in ((0, 0), (width, 0), (width, height), (0, height))])


def _old_sites(folder: Path, before: dict[str, Any]) -> Sites:
    table = read_vector(folder / "buildings.gpkg", "sites")
    warnings = tuple(tuple(site["warnings"]) for site in before["sites"])
    return Sites(table, warnings, before["scene"]["sites_are"])


def _old_ground(folder: Path) -> gpd.GeoDataFrame | None:
    """The layer ``ground`` that is there; None where no site was looked at."""
    path = folder / "buildings.gpkg"
    return read_vector(path, GROUND) if GROUND in pyogrio.list_layers(path)[:, 0] else None


def _classified(
    buildings: gpd.GeoDataFrame, crs: pyproj.CRS | None, plots: Sites, profile: StructureProfile, review: Review
) -> gpd.GeoDataFrame:
    """Buildings measured, in their sites and rows; what a user said of their kind stands."""
    measured = buildings.assign(**measure(list(geometries_of(buildings)), crs))
    table = add_dormitories(measured.assign(site=assign(measured, plots.table)), profile)
    for number, like in review.likeness.items():
        here = table["id"] == number
        table.loc[here, ["dormitory_like", "dormitory_score", "dormitory_reasons"]] = [like, float(like), "said by a reviewer"]
    return with_schema(with_beds(table, profile))


def _repainted(
    stage: NDArray[np.uint8], grid: WorkGrid, before: gpd.GeoDataFrame, after: gpd.GeoDataFrame, review: Review
) -> NDArray[np.uint8]:
    """The stage of each pixel with deleted buildings gone, and changed, added and their neighbours painted anew."""
    gone = geometries_of(before[before["id"].isin((*review.deleted, *review.changed))])
    touched = np.array(after["id"].isin(review.checked))
    touched[shapely.STRtree(geometries_of(after)).query(gone, predicate="intersects")[1]] = True
    painted = stage
    new = after[touched]
    codes = [CODES[s] for s in new["stage"]]
    for shapes in ([(g, 0) for g in gone], list(zip(geometries_of(new), codes, strict=True))):
        if shapes:
            canvas = rasterize(shapes, out=painted.copy(), transform=grid.transform)
            painted = np.where(stage == NO_DATA, NO_DATA, canvas)
    return painted


def _notices(before: dict[str, Any], review: Review) -> list[Notice]:
    kept = [notice for notice in notices_of(before) if notice.code not in REPLACED]
    if review.checked or review.deleted:
        text = (
            f"corrected by a reviewer: {len(review.changed)} buildings changed, {len(review.added)} added, {len(review.deleted)} deleted; "
            "those that stand count as certain"
        )
        kept.append(Notice(Code.REVIEWED, text))
    return kept


def _scene_again(known: dict[str, Any]) -> tuple[Scene | None, str]:
    """The scene that was predicted where it is still there, or None and why not."""
    try:
        scene = open_scene(known["path"], bands=known["bands"], gsd_m=None if known["crs"] else known["gsd_m"])
    except (DetectError, OSError) as cause:
        return None, str(cause)
    if scene.sha256 != known["sha256"]:
        return None, f"{known['path']} has changed since"
    # What was said of it on the command line or in a STAC item, the file itself does not know.
    sun = None if known["sun"] is None else Sun(**known["sun"])
    return replace(scene, name=known["name"], date=known["date"], sun=sun), ""


def _key(before: str, recounted: dict[str, Any]) -> str:
    """Of another result than the one that predict left, so that predict does not take it for its own."""
    return hashlib.sha256(json.dumps([before, recounted], sort_keys=True).encode()).hexdigest()
