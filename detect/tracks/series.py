"""Predict results of one place → dated snapshots in one plane of true metres, in order of time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pyproj
import shapely
from numpy.typing import NDArray
from shapely.affinity import translate
from shapely.geometry.base import BaseGeometry

from detect.base.errors import InputError
from detect.base.geometry import span_outline
from detect.base.grid import Span
from detect.base.matching import connected, covered_by
from detect.base.texts import number_of
from detect.base.vectors import equal_area_crs, geometries_of, polygons_only
from detect.census.overlaps import counted_once, deleted_elsewhere
from detect.census.review import CHECKED, SURVEYED, Review
from detect.results.adapted import adapted_since, line_of
from detect.results.again import opened_raster, read_buildings, read_sites
from detect.results.folder import SUMMARY, ResultFolder
from detect.results.observed import observed_ground
from detect.results.result import Result
from detect.results.summary import Summary

SAME_PLACE = 0.1
"""Least share of the smaller scene that two dates of one place have in common."""
NEIGHBOURS_M = 6.0
"""Sheets of one date this near, two of the coarsest pixels, show one place."""
CUT_M = 2.0
"""Two outlines this near each other and the edges of their sheets may be one building, cut where the sheets meet."""
USED_COLUMNS = (
    "p_foundation", "p_incomplete", "p_complete", "score", "dormitory_like", "dormitory_score", "beds",
)  # fmt: skip


@dataclass(frozen=True)
class Snapshot:
    """What one date shows."""

    date: str
    """ISO day."""
    buildings: gpd.GeoDataFrame
    """Columns of ``USED_COLUMNS`` and geometry, in the plane of the series; ``checked`` and ``surveyed`` (bool) if it was reviewed."""
    observed: BaseGeometry
    """Ground that was seen, in the plane: without clouds that the mask marks, and without what lies beyond the scene."""
    folders: tuple[Path, ...] = ()
    """Folders of the date's results: ``probability.tif`` gives evidence where nothing was found, ``report.html`` holds a
    picture."""
    shift_xy_m: tuple[float, float] = (0.0, 0.0)
    """Shift by which buildings and observed ground were moved onto the other dates."""
    deleted: NDArray[np.object_] = field(default_factory=lambda: np.empty(0, object))
    """A point in each building that a reviewer has deleted, in the plane: the maps in ``folders`` still show a building there."""

    def moved(self, shift_xy_m: tuple[float, float]) -> Snapshot:
        """The snapshot moved by some metres to the east and the north."""
        dx, dy = shift_xy_m
        return replace(
            self,
            buildings=self.buildings.set_geometry(shapely.transform(geometries_of(self.buildings), np.array([dx, dy]).__add__)),
            observed=translate(self.observed, dx, dy),
            shift_xy_m=(self.shift_xy_m[0] + dx, self.shift_xy_m[1] + dy),
            deleted=shapely.transform(self.deleted, np.array([dx, dy]).__add__),
        )

    def saw(self, geometries: NDArray[np.object_]) -> NDArray[np.bool_]:
        """Whether at least half of the corners and centre of each footprint lies on ground that was seen."""
        if not len(geometries):
            return np.zeros(0, bool)
        corners, owner = shapely.get_coordinates(geometries, return_index=True)
        centres = shapely.get_coordinates(shapely.centroid(geometries))
        points, owner = np.concatenate([corners, centres]), np.concatenate([owner, np.arange(len(geometries))])
        shapely.prepare(self.observed)
        seen = shapely.contains_xy(self.observed, points)
        count = np.bincount(owner, minlength=len(geometries))
        return np.asarray(np.bincount(owner, weights=seen, minlength=len(geometries)) >= 0.5 * count)


@dataclass(frozen=True)
class Series:
    """Snapshots of one place, with sites and summaries of their results."""

    snapshots: tuple[Snapshot, ...]
    """By date; each date once."""
    plane: pyproj.CRS | None
    """Equal-area, metres; None where the scenes have no georeference."""
    crs: pyproj.CRS | None
    """CRS of the earliest result and of the outputs."""
    sites: gpd.GeoDataFrame
    """Sites of the latest result: ``name``, ``planned_buildings``, geometry in ``crs``."""
    summaries: tuple[Summary, ...]
    """The summary of each result, by date."""
    whole: bool = False
    """Whether the only site is all that the scenes show, because no result has sites of its own."""
    warnings: tuple[str, ...] = ()

    @property
    def dates(self) -> list[str]:
        """ISO days, ascending."""
        return [s.date for s in self.snapshots]


@dataclass(frozen=True)
class _Loaded:
    date: str
    folder: Path
    buildings: gpd.GeoDataFrame
    sites: gpd.GeoDataFrame
    observed: gpd.GeoDataFrame
    outline: gpd.GeoDataFrame
    """Outline of the scene, including clouds."""
    deleted: gpd.GeoDataFrame
    """A point in each building that a reviewer has deleted."""
    summary: Summary


def load_series(results: Sequence[Result | str | Path]) -> Series:
    """Dated results of one place, in any order, coordinate system and pixel size.

    Two results of one date are one snapshot: a building that both show counts once, as drawn in the one in which a reviewer has
    checked it, else in the first; one that was deleted in either does not count unless it was checked in the other. Ground is seen if
    either saw it. A result that ``detect adapt`` has replaced by another one of the call is left out.

    Args:
        results: results of predict, folders that it wrote, or folders that hold several of these.

    Raises:
        InputError: no result, a result without a date, fewer than two dates, or different places.
    """
    once = {_folder(r).resolve(): r for given in results for r in _expand(given)}
    replaced = adapted_since([path for path, given in once.items() if not isinstance(given, Result)])
    notes = [line_of(folder, newer) for folder, newer in replaced.items()]
    loaded = sorted((_load(r) for path, r in once.items() if path not in replaced), key=lambda r: (r.date, str(r.folder)))
    if len({r.date for r in loaded}) < 2:
        dates = ", ".join(sorted({r.date for r in loaded})) or "no result"
        raise InputError(f"two or more dates are needed, and there is {dates}; give the results of each")
    _refuse_mixed(loaded)
    plane = equal_area_crs(loaded[0].outline)
    _refuse_places(loaded, plane)
    observed = [shapely.union_all(geometries_of(_into(r.observed, plane))) for r in loaded]
    snapshots = [
        Snapshot(
            r.date,
            _into(r.buildings, plane)[[*USED_COLUMNS, CHECKED, SURVEYED, "geometry"]],
            seen,
            (r.folder,),
            deleted=geometries_of(_into(r.deleted, plane)),
        )
        for r, seen in zip(loaded, observed, strict=True)
    ]
    merged, joined = _one_per_date(snapshots)
    sites, more = _sites(loaded, plane)
    notes += joined + more
    if plane is None:
        notes.append("the scenes have no georeference: that they show one place, from one corner, was taken for granted")
    summaries = tuple(r.summary for r in loaded)
    whole = all(s.scene.sites_are == "whole" for s in summaries)
    return Series(tuple(merged), plane, loaded[0].buildings.crs, sites, summaries, whole, tuple(notes))


def _expand(given: Result | str | Path) -> list[Result | Path]:
    """Replace a folder of results by these results."""
    if isinstance(given, Result):
        return [given]
    return [found.path for found in ResultFolder.find(given, ("buildings.gpkg", SUMMARY))]


def _folder(result: Result | Path) -> Path:
    return result.folder if isinstance(result, Result) else result


def _load(result: Result | Path) -> _Loaded:
    folder = _folder(result)
    if isinstance(result, Result):
        summary = Summary.from_json(result.summary, str(folder))
    else:
        summary = Summary.read(ResultFolder(folder))
    date = summary.scene.date
    if date is None:
        raise InputError(f"{folder}: its scene has no date; run detect predict again with --date YYYY-MM-DD --overwrite")
    if isinstance(result, Result):
        buildings, sites = result.buildings, result.sites
    else:
        table = folder / "buildings.gpkg"
        buildings, sites = read_buildings(table), read_sites(table, len(summary.sites))
    missing = [c for c in USED_COLUMNS if c not in buildings]
    if missing:
        raise InputError(f"{folder}/buildings.gpkg: lacks {', '.join(missing)}; run detect predict again")
    ResultFolder(folder).require(["mask.tif"])
    observed = observed_ground(folder)
    assert observed is not None, "its mask is there"
    review = Review.from_json(summary.review, folder)
    said = {CHECKED: review.checked, SURVEYED: review.surveyed}
    buildings = buildings.assign(**{name: buildings["id"].isin(ids) for name, ids in said.items()})
    deleted = gpd.GeoDataFrame(geometry=list(review.deleted_points), crs=buildings.crs)
    return _Loaded(date, folder, polygons_only(buildings), sites, observed, _outline(folder), deleted, summary)


def _outline(folder: Path) -> gpd.GeoDataFrame:
    with opened_raster(folder / "mask.tif") as mask:
        return gpd.GeoDataFrame(geometry=[span_outline(mask.transform, Span(0, 0, *mask.shape))], crs=mask.crs)


def _refuse_mixed(loaded: Sequence[_Loaded]) -> None:
    with_crs = [r.folder for r in loaded if r.buildings.crs is not None]
    without = [r.folder for r in loaded if r.buildings.crs is None]
    if with_crs and without:
        raise InputError(f"{without[0]}: has no georeference while {with_crs[0]} has one; they cannot be laid over each other")


def _into(table: gpd.GeoDataFrame, plane: pyproj.CRS | None) -> gpd.GeoDataFrame:
    """A table in the plane of the series."""
    if plane is None or table.crs is None:
        return table.reset_index(drop=True)
    moved = table.to_crs(plane)
    return moved.set_geometry(shapely.make_valid(geometries_of(moved))).reset_index(drop=True)


def _refuse_places(loaded: Sequence[_Loaded], plane: pyproj.CRS | None) -> None:
    """Refuse results that fall into groups that share no ground; sheets of one date that meet belong together."""
    outlines = np.array([_into(r.outline, plane).geometry.iloc[0] for r in loaded], dtype=object)
    area = shapely.area(outlines)
    shared = shapely.area(shapely.intersection(outlines[:, None], outlines[None, :]))
    dates = np.array([r.date for r in loaded])
    near = shapely.distance(outlines[:, None], outlines[None, :]) <= NEIGHBOURS_M
    same = (shared >= SAME_PLACE * np.minimum(area[:, None], area[None, :])) | (near & (dates[:, None] == dates[None, :]))
    group = connected(np.stack(np.nonzero(same)), len(loaded))
    if group.any():
        other = int(np.nonzero(group != group[0])[0][0])
        apart_km = outlines[0].centroid.distance(outlines[other].centroid) / 1000
        raise InputError(
            f"{loaded[other].folder}: shows another place than {loaded[0].folder} ({apart_km:,.1f} km apart); "
            "give dates of one place"
        )


def _one_per_date(snapshots: Sequence[Snapshot]) -> tuple[list[Snapshot], list[str]]:
    """The snapshots, given by date, those of one date as one; and a note for each that was joined."""
    merged: list[Snapshot] = []
    notes = []
    for snapshot in snapshots:
        if not merged or merged[-1].date != snapshot.date:
            merged.append(snapshot)
            continue
        first = merged[-1]
        together, twice, left_out = _together((first.buildings, snapshot.buildings), (first.deleted, snapshot.deleted))
        cut = _cut_between(first, snapshot)
        seen = shapely.union(first.observed, snapshot.observed)
        folders, deleted = first.folders + snapshot.folders, np.concatenate([first.deleted, snapshot.deleted])
        merged[-1] = replace(first, buildings=together, observed=seen, folders=folders, deleted=deleted)
        note = f"{first.date} has several results, which were taken as one; {number_of(twice, 'building')} in both, counted once"
        if left_out:
            note += f"; {left_out} do not count, since they were deleted in one of them"
        if cut:
            note += f"; {cut} may be cut where sheets meet and count twice: detect predict --join takes sheets as one scene"
        notes.append(note)
    return merged, notes


def _together(
    tables: tuple[gpd.GeoDataFrame, gpd.GeoDataFrame], deleted: tuple[NDArray[np.object_], NDArray[np.object_]]
) -> tuple[gpd.GeoDataFrame, int, int]:
    """The buildings of two results of one date, each once; how many stand in both, and how many were deleted in the other."""
    out = deleted_elsewhere(tables, [(0, 1)], deleted)
    left = [table[~gone] for table, gone in zip(tables, out, strict=True)]
    # One score for all: what nobody has checked counts as the first result draws it.
    instead = counted_once([table.assign(score=1.0, touches_edge=False) for table in left], [(0, 1)])
    kept = [table[others < 0] for table, others in zip(left, instead, strict=True)]
    twice = sum(int((others >= 0).sum()) for others in instead)
    return gpd.GeoDataFrame(pd.concat(kept, ignore_index=True), crs=tables[0].crs), twice, sum(int(gone.sum()) for gone in out)


def _cut_between(first: Snapshot, second: Snapshot) -> int:
    """How many buildings of the second result may be parts of buildings that the first one shows on the other side of a seam."""
    on_edge = []
    for snapshot in (first, second):
        shapes = geometries_of(snapshot.buildings)
        on_edge.append(shapes[shapely.dwithin(shapes, shapely.boundary(snapshot.observed), CUT_M)])
    there, _ = shapely.STRtree(on_edge[0]).query(on_edge[1], predicate="dwithin", distance=CUT_M)
    shared = covered_by(on_edge[1], on_edge[0])
    return len({i for i in there.tolist() if not shared[i]})


def _sites(loaded: list[_Loaded], plane: pyproj.CRS | None) -> tuple[gpd.GeoDataFrame, list[str]]:
    """Sites of the latest result in the CRS of the first; all that the scenes show if no result has sites of its own."""
    crs = loaded[0].buildings.crs
    given = [r for r in loaded if r.summary.scene.sites_are != "whole"]
    if not given:
        table = loaded[-1].sites.iloc[:1][["name", "planned_buildings", "geometry"]].copy()
        outlines = [_into(r.outline, plane).geometry.iloc[0] for r in loaded]
        ground = gpd.GeoSeries([shapely.union_all(outlines)], crs=plane)
        table = table.set_geometry(ground if crs is None else ground.to_crs(crs))
        return table, []
    latest = given[-1].sites[["name", "planned_buildings", "geometry"]]
    names = [sorted(r.sites["name"]) for r in given]
    notes = []
    if len(given) < len(loaded) or any(n != names[-1] for n in names):
        notes.append(f"the results have different sites; those of {given[-1].folder.name} ({given[-1].date}) were counted in")
    return (latest if crs is None else latest.to_crs(crs)).reset_index(drop=True), notes
