"""Corrections of one or several reviewers as one complete table of buildings.

A reviewer hands in the whole table, corrected in QGIS, or the file of the page ``report.html``, which holds only what was corrected and
says so in a column ``correction``. Several reviews are merged building by building and property by property, as a three-way merge
does: what one of them changed and the other left alone is taken; where they contradict each other, the first one counts.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pyproj
import shapely
from shapely import Polygon

from detect.base.errors import InputError
from detect.base.matching import iou_of
from detect.base.vectors import geometries_of
from detect.census.review import (
    ADDED,
    CHECKED,
    CONFIRMED,
    CORRECTION,
    DELETED,
    MOVED_SHARE,
    REDRAWN,
    SAYS_LIKENESS,
    SURVEYED,
    Review,
    apply_review,
    read_corrections,
)

_SAME_IOU = 0.5
"""Two new outlines that overlap so far are one building."""
_UNCHANGED = 0.9
"""A new outline that overlaps one of the result so far is that building; the page rounds outlines."""
_COVERED = 0.5
"""A new outline of which more than this share is covered by another reviewer's buildings is none of its own."""


@dataclass(frozen=True)
class Reviews:
    """All corrections together."""

    table: gpd.GeoDataFrame
    """Every building that stands, with the columns of ``detect.census.review.read_corrections``."""
    conflicts: tuple[str, ...] = ()
    """A line for each contradiction between reviewers."""


def read_reviews(
    paths: Sequence[str | Path], before: gpd.GeoDataFrame, crs: pyproj.CRS | None, outline: Polygon | None = None
) -> Reviews:
    """The corrections of one or more files.

    Args:
        paths: the files, the one that counts in a contradiction first.
        before: buildings of the result.
        crs: CRS of the scene.
        outline: outline of the scene in its CRS.

    Raises:
        InputError: as ``read_corrections``, or a page's file that is of another result.
    """
    tables = [complete(read_corrections(path, crs, outline, before), before, path) for path in paths]
    for path, table in zip(paths, tables, strict=True):
        _refuse_other_ids(table, before, path)
    merged, names = tables[0], Path(paths[0]).name
    conflicts: list[str] = []
    for path, table in zip(paths[1:], tables[1:], strict=True):
        merge = _Merge(merged, table, before, (names, Path(path).name))
        merged = merge.table()
        conflicts += merge.conflicts
        names = f"{names}, {Path(path).name}"
    _warn_of_doubles(merged, before, names)
    return Reviews(merged, tuple(conflicts))


def _refuse_other_ids(table: gpd.GeoDataFrame, before: gpd.GeoDataFrame, path: str | Path) -> None:
    """Refuse a table with ids of which the result has none; warn of single ones that it lacks.

    Raises:
        InputError: the file is of another result.
    """
    ids = table.loc[table["id"] != 0, "id"]
    unknown = ids[~ids.isin(before["id"])]
    if len(unknown) and len(unknown) == len(ids) and len(before):
        raise InputError(
            f"{path}: none of its {len(ids)} ids is in this result, all of whose buildings would count as deleted; give the corrections of "
            "this result, or leave id empty for buildings that you drew"
        )
    if len(unknown):
        have = "1 building has an id" if len(unknown) == 1 else f"{len(unknown)} buildings have ids"
        warnings.warn(f"{path}: {have} that the result lacks (such as {unknown.iloc[0]}): added, not corrected", stacklevel=3)


def _warn_of_doubles(table: gpd.GeoDataFrame, before: gpd.GeoDataFrame, names: str) -> None:
    """Warn of new buildings that lie on another one of the table, since both count."""
    shapes, new = geometries_of(table), ~table["id"].isin(before["id"]).to_numpy()
    one, other = shapely.STRtree(shapes).query(shapes[new], predicate="intersects")
    one = np.flatnonzero(new)[one]
    apart = (one != other) & ~(new[other] & (other > one))  # of two new ones, the later
    one, other = one[apart], other[apart]
    shared = shapely.area(shapely.intersection(shapes[one], shapes[other]))
    doubles = len(np.unique(one[shared > _COVERED * shapely.area(shapes[one])]))
    if doubles:
        what = "new building lies" if doubles == 1 else "new buildings lie"
        warnings.warn(f"{names}: {doubles} {what} on another one, and both count; delete the one that is wrong", stacklevel=3)


def complete(corrected: gpd.GeoDataFrame, before: gpd.GeoDataFrame, path: str | Path) -> gpd.GeoDataFrame:
    """A page's corrections with all buildings that it left alone; a table that is complete as it is.

    Args:
        corrected: from ``read_corrections``.
        before: buildings of the result.
        path: names the file in errors.
    """
    if corrected[CORRECTION].isna().all():
        return corrected
    known = before.set_index("id")
    # Deleted by an earlier review, so that nothing stands there.
    gone = (corrected[CORRECTION] == DELETED) & ~corrected["id"].isin(known.index) & ~_stands(geometries_of(corrected), before)
    corrected = _recognised(corrected[~gone].reset_index(drop=True), before)
    said, ids = corrected[CORRECTION].to_numpy(object), corrected["id"].to_numpy()
    old = np.isin(ids, known.index)
    lost = ids[~old & (said != ADDED)]
    if len(lost):
        raise InputError(
            f"{path}: building {lost[0]} is not in this result, where an earlier review may have deleted it; give the corrections of this "
            "result"
        )
    past = known.reindex(ids)
    kept = old & ~corrected[REDRAWN].to_numpy(bool)
    _refuse_elsewhere(geometries_of(corrected)[kept], geometries_of(past)[kept], ids[kept], path)
    shapes = geometries_of(corrected).copy()
    shapes[kept] = geometries_of(past)[kept]  # the page rounds outlines
    rows = corrected.assign(geometry=gpd.GeoSeries(list(shapes), index=corrected.index, crs=before.crs))
    rows[CHECKED] |= said == CONFIRMED
    rows[SAYS_LIKENESS] = ~kept
    rows = rows[said != DELETED]
    rest = before.loc[~before["id"].isin(ids), ["id", "stage", "dormitory_like", "geometry"]]
    rest = rest.assign(**dict.fromkeys((CHECKED, SURVEYED, REDRAWN, SAYS_LIKENESS), False), **{CORRECTION: None})
    parts = [part.astype({"dormitory_like": object, CORRECTION: object}) for part in (rest, rows) if len(part)]
    return gpd.GeoDataFrame(pd.concat(parts, ignore_index=True) if parts else rows, geometry="geometry", crs=before.crs)


def _stands(shapes: Any, before: gpd.GeoDataFrame) -> Any:
    """Whether a building of the result covers half of each outline (n,)."""
    there = geometries_of(before)
    near, other = shapely.STRtree(there).query(shapes, predicate="intersects")
    covers = shapely.area(shapely.intersection(shapes[near], there[other])) > _SAME_IOU * shapely.area(shapes[near])
    return np.isin(np.arange(len(shapes)), near[covers])


def _recognised(corrected: gpd.GeoDataFrame, before: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Corrections in which a building that an earlier review has added already is that building, so that no review counts twice."""
    drawn = np.flatnonzero((corrected[CORRECTION] == ADDED).to_numpy())
    shapes, there = geometries_of(corrected), geometries_of(before)
    near, other = shapely.STRtree(there).query(shapes[drawn], predicate="intersects")
    shared = shapely.area(shapely.intersection(shapes[drawn][near], there[other]))
    same = shared >= _UNCHANGED * shapely.area(shapely.union(shapes[drawn][near], there[other]))
    places, ids = drawn[near[same]], before["id"].to_numpy()[other[same]]
    named, deleted = (set(corrected.loc[rows, "id"]) for rows in (corrected["id"].notna(), corrected[CORRECTION] == DELETED))
    standing = ~np.isin(ids, [*deleted])  # one that was deleted here and drawn again is a new one
    places, ids = places[standing], ids[standing]
    table = corrected.copy()
    table.loc[places, "id"] = ids
    table.loc[places, CORRECTION] = CONFIRMED
    table.loc[places, REDRAWN] = False
    again = pd.Series(ids).duplicated().to_numpy() | np.isin(ids, [*named])
    return table.drop(index=places[again]).reset_index(drop=True)


def _refuse_elsewhere(shapes: Any, past: Any, ids: Any, path: str | Path) -> None:
    """Refuse outlines that are not where the result has buildings of these numbers.

    Raises:
        InputError: the file is of another result.
    """
    shared = shapely.area(shapely.intersection(shapes, past))
    wrong = shared < 0.5 * np.maximum(shapely.area(shapes), shapely.area(past))
    if wrong.any():
        raise InputError(
            f"{path}: building {ids[wrong][0]} has another outline in this result; give the corrections of this result, which was perhaps "
            "predicted again since"
        )


class _Merge:
    """Two complete tables of corrections of the same buildings."""

    def __init__(self, first: gpd.GeoDataFrame, second: gpd.GeoDataFrame, before: gpd.GeoDataFrame, names: tuple[str, str]):
        self.tables, self.names = (first, second), names
        self.before = before.set_index("id")
        self.reviews: tuple[Review, ...] = tuple(apply_review(before, table)[1] for table in (first, second))
        self.known = tuple(
            {int(row["id"]): row for row in table.to_dict("records") if row["id"] in self.before.index}
            for table in (first, second)
        )
        self.conflicts: list[str] = []

    def table(self) -> gpd.GeoDataFrame:
        """What both say together."""
        touched = [set(r.changed) | set(r.deleted) | set(r.confirmed) for r in self.reviews]
        rows: list[dict[str, Any]] = []
        for number in self.before.index:
            a, b = (known.get(int(number)) for known in self.known)
            if number in touched[0] and number in touched[1]:
                row = self._both(int(number), a, b)
            elif a is not None and b is not None:
                row = {**(b if number in touched[1] else a), **{name: a[name] or b[name] for name in (CHECKED, SURVEYED)}}
            else:
                row = b if number in touched[1] else a
            if row is not None:
                rows.append(row)
        rows += self._added(rows)
        merged = pd.DataFrame(rows, columns=self.tables[0].columns)
        return gpd.GeoDataFrame(merged, geometry="geometry", crs=self.tables[0].crs)

    def _both(self, number: int, a: dict[str, Any] | None, b: dict[str, Any] | None) -> dict[str, Any] | None:
        """A building that both touched."""
        if a is None or b is None:
            if a is not None or b is not None:
                self._note(f"building {number}", *("deleted" if row is None else f"stands, {row['stage']}" for row in (a, b)))
            return a
        past = self.before.loc[number]
        sure = [number in review.confirmed for review in self.reviews]
        found = {"stage": past["stage"], "dormitory_like": bool(past["dormitory_like"])}
        taken = {}
        for name, was in found.items():
            values = [was if row[name] is None else row[name] for row in (a, b)]
            taken[name] = self._property(number, name, was, values, sure)
        outline = self._outline(number, past["geometry"], (a["geometry"], b["geometry"]), sure)
        says = {SAYS_LIKENESS: a[SAYS_LIKENESS] or b[SAYS_LIKENESS], REDRAWN: a[REDRAWN] or b[REDRAWN]}
        return {
            **a,
            **taken,
            **says,
            "geometry": outline,
            CHECKED: a[CHECKED] or b[CHECKED],
            SURVEYED: a[SURVEYED] or b[SURVEYED],
        }

    def _property(self, number: int, name: str, was: Any, values: Sequence[Any], sure: Sequence[bool]) -> Any:
        a, b = values
        if a == b or (b == was and not sure[1]):
            return a
        if a == was and not sure[0]:
            return b
        self._note(f"building {number}", *(f"{name.replace('_', '-')} {_word(value)}" for value in values))
        return a

    def _outline(self, number: int, was: Polygon, drawn: tuple[Polygon, Polygon], sure: Sequence[bool]) -> Polygon:
        moved = [_differ(was, one) for one in drawn]
        if not moved[1] and not (sure[1] and moved[0]):
            return drawn[0]
        if not moved[0] and not sure[0]:
            return drawn[1]
        if iou_of(*drawn) < 0.9:
            self._note(f"building {number}", *("drawn anew" if one else "outline right" for one in moved))
        return drawn[0]

    def _added(self, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Buildings that the reviewers drew; those that both drew once."""
        mine, theirs = ([row for row in table.to_dict("records") if row["id"] not in self.before.index] for table in self.tables)
        taken = list(mine)
        standing = shapely.union_all([row["geometry"] for row in [*rows, *mine]])
        for row in theirs:
            same = next((one for one in mine if iou_of(one["geometry"], row["geometry"]) >= _SAME_IOU), None)
            if same is not None:
                if same["stage"] != row["stage"]:
                    self._note("a building that both drew", f"stage {same['stage']}", f"stage {row['stage']}")
            elif row["geometry"].intersection(standing).area > _COVERED * row["geometry"].area:
                self._note("a building that one drew", "the ground is another building's", f"{row['stage']} building")
            else:
                taken.append(row)
        return taken

    def _note(self, what: str, a: str, b: str) -> None:
        self.conflicts.append(f"{what}: {a} ({self.names[0]}); {b} ({self.names[1]})")


def _word(value: Any) -> str:
    return ("no", "yes")[int(value)] if isinstance(value, bool | np.bool_) else str(value)


def _differ(a: Polygon, b: Polygon) -> bool:
    return bool(a.symmetric_difference(b).area > MOVED_SHARE * a.area)
