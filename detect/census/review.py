"""Read a user's corrections of detected buildings, made in QGIS: what was changed, added, deleted, and found right as it stands."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pyproj
import shapely
from numpy.typing import NDArray
from shapely import Polygon

from detect.base.errors import InputError
from detect.base.placement import elsewhere
from detect.base.stages import COMPLETE, STAGES
from detect.base.texts import NO, YES
from detect.base.vectors import geometries_of, layers_of, polygon_layers, polygons_only, read_vector, without_lists
from detect.census.unread import SHAPEFILE_LETTERS, warn_of_unread

COLUMNS = ("id", "stage", "dormitory_like", "checked", "correction", "redrawn")
"""Columns that are read, in upper or lower case."""
CORRECTION, REDRAWN = COLUMNS[-2:]
"""Of the page's file: what was done to a building, and whether its outline was drawn (false: it is the one found)."""
ADDED, CHANGED, CONFIRMED, DELETED = "added", "changed", "confirmed", "deleted"
"""Values of ``correction``."""
SAYS_LIKENESS = "says_likeness"
"""Column: ``dormitory_like`` is meant for the new outline. In a table from QGIS it may be what was found for the old one."""
MOVED_SHARE = 0.005
"""An outline was changed if more than this share of it lies elsewhere; less is the rounding of a file format."""
_LISTED = 10
"""Rows that a line names."""
CHECKED, SURVEYED = "checked", "surveyed"
"""``checked`` is the column of buildings that are right as they stand, and the layer of ground on which all are right and none is
missing: those on it are ``surveyed``."""


@dataclass(frozen=True)
class Review:
    """Buildings that a user has corrected, by ``id``."""

    changed: tuple[int, ...] = ()
    added: tuple[int, ...] = ()
    deleted: tuple[int, ...] = ()
    confirmed: tuple[int, ...] = ()
    """Right as they were found."""
    surveyed: tuple[int, ...] = ()
    """Those on ground on which no building is missing."""
    likeness: Mapping[int, bool] = field(default_factory=dict)
    """By building: whether the user called it dormitory-like."""
    deleted_at: Mapping[int, tuple[float, float]] = field(default_factory=dict, compare=False)
    """By deleted building: a point in it, in the scene's CRS. Results of earlier versions lack them."""

    @property
    def redrawn(self) -> frozenset[int]:
        """Buildings that stand otherwise than they were found."""
        return frozenset(self.changed) | frozenset(self.added)

    @property
    def checked(self) -> frozenset[int]:
        """Buildings that are certain."""
        return self.redrawn | frozenset(self.confirmed)

    def marked(self, buildings: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
        """Buildings with the columns ``certain`` and ``surveyed`` of ``detect.census.count.take_census``."""
        return buildings.assign(certain=buildings["id"].isin(self.checked), surveyed=buildings["id"].isin(self.surveyed))

    @property
    def deleted_points(self) -> NDArray[np.object_]:
        """(n,) a point in each building that was deleted, in the scene's CRS; empty in results of earlier versions."""
        return np.array([*map(shapely.Point, self.deleted_at.values()), None], dtype=object)[:-1]

    def bare_points(self, standing: gpd.GeoDataFrame, known: Iterable[int] = ()) -> NDArray[np.object_]:
        """(n,) a point in each deleted building but ``known`` ones, where none of the ``standing`` buildings is.

        Where one stands, the deleted outline was a double of it, or somebody has drawn it since.
        """
        left_out = frozenset(known)
        points = replace(self, deleted_at={i: p for i, p in self.deleted_at.items() if i not in left_out}).deleted_points
        built = np.zeros(len(points), bool)
        built[shapely.STRtree(geometries_of(standing)).query(points, predicate="intersects")[0]] = True
        return points[~built]

    def then(self, later: Review) -> Review:
        """This review followed by a later one.

        A building that was added and then deleted is kept among the deleted: nothing stands there, and its ``id`` is used up.
        """
        gone = set(later.deleted)
        added = (set(self.added) | set(later.added)) - gone
        changed = (set(self.changed) | set(later.changed)) - gone - added
        deleted = tuple(sorted(set(self.deleted) | gone))
        places = {**self.deleted_at, **later.deleted_at}
        return Review(
            changed=tuple(sorted(changed)),
            added=tuple(sorted(added)),
            confirmed=tuple(sorted((set(self.confirmed) | set(later.confirmed)) - gone - added - changed)),
            surveyed=tuple(sorted((set(self.surveyed) | set(later.surveyed)) - gone)),
            deleted=deleted,
            deleted_at={i: places[i] for i in deleted if i in places},
            likeness={i: v for i, v in {**self.likeness, **later.likeness}.items() if i not in gone},
        )

    def to_json(self) -> dict[str, Any]:
        """For summary.json."""
        return {
            "changed": list(self.changed),
            "added": list(self.added),
            "deleted": list(self.deleted),
            "deleted_at": {str(i): [round(v, 7) for v in self.deleted_at[i]] for i in self.deleted if i in self.deleted_at},
            "confirmed": list(self.confirmed),
            SURVEYED: list(self.surveyed),
            "dormitory_like": {str(i): v for i, v in sorted(self.likeness.items())},
        }

    @staticmethod
    def from_json(raw: Mapping[str, Any] | None, folder: str | Path) -> Review:
        """From summary.json in a folder, which names it in errors; empty where nothing was reviewed.

        Raises:
            InputError: it is something else.
        """
        if not raw:
            return Review()
        try:
            changed, added, deleted = (tuple(map(int, raw[key])) for key in ("changed", "added", "deleted"))
            confirmed, surveyed = (
                tuple(map(int, raw.get(key, ()))) for key in ("confirmed", SURVEYED)
            )  # earlier versions lack them
            likeness = {int(i): bool(v) for i, v in raw["dormitory_like"].items()}
            places = {int(i): (float(x), float(y)) for i, (x, y) in raw.get("deleted_at", {}).items()}
        except (KeyError, TypeError, ValueError, AttributeError) as cause:
            raise InputError(
                f"{Path(folder) / 'summary.json'}: its key 'review' is not of detect census; predict and correct the scene anew"
            ) from cause
        return Review(changed, added, deleted, confirmed, surveyed, likeness, places)


def read_corrections(
    path: str | Path, crs: pyproj.CRS | None, outline: Polygon | None = None, before: gpd.GeoDataFrame | None = None
) -> gpd.GeoDataFrame:
    """Corrected buildings in the scene's CRS, with ``id`` (0 if none), ``stage``, ``dormitory_like`` (None if not given).

    The layer ``buildings`` is read, or the first one but ``checked``. A building in several pieces becomes several buildings; the
    first one keeps the ``id``. More columns: ``surveyed`` (bool) are those on the polygons of the layer ``checked``; these are
    ``checked``, and so are those of which the column of that name says so; ``correction`` (None if not given), ``redrawn`` and
    ``says_likeness`` (bool) as ``detect.census.reviews.complete`` uses them.

    Args:
        path: the corrected table.
        crs: CRS of the scene.
        outline: outline of the scene in its CRS, which a building must touch.
        before: buildings of the result, to say which edits are not read.

    Raises:
        InputError: no such file, nothing in it, no ``id`` or ``stage`` column, an unknown stage or correction, a building of the
            result without a stage, a coordinate system that does not fit, rows without a polygon, buildings of another place, or
            several layers of which none is ``buildings``.
    """
    raw = without_lists(read_vector(path, preferred=_buildings_layer(path)))
    if not len(raw) and "id" not in map(str.lower, map(str, raw.columns)):
        raise InputError(
            f"{path}: is empty, so it corrects nothing; give the corrections of this result, or, to delete all of its buildings, its layer "
            "buildings without rows"
        )
    raw = _with_known_names(raw)
    for column in ("id", "stage"):
        if column not in raw.columns:
            raise InputError(f"{path}: has no column '{column}'; correct a copy of the layer buildings of buildings.gpkg")
    if before is not None and CORRECTION not in raw:  # in the page's own file, nothing else is meant to be read
        warn_of_unread(raw, before, COLUMNS, path)
    table = _with_polygons(raw, path).explode(ignore_index=True)
    if crs is None and CORRECTION in table:  # GeoJSON of the page, in the picture's own coordinates
        table = table.set_crs(None, allow_override=True)
    if (table.crs is None) != (crs is None):
        raise InputError(f"{path}: {'has no' if table.crs is None else 'has a'} coordinate system, unlike the scene")
    if outline is not None and (how := elsewhere(geometries_of(table), table.crs, [(outline, crs)])):
        raise InputError(f"{path}: no building lies on the scene: {how}; give the corrections of this result")
    if crs is not None:
        table = table.to_crs(crs)
    checked = [_yes_or_no(v, CHECKED, path) is True for v in table[CHECKED]] if CHECKED in table else np.zeros(len(table), bool)
    surveyed = _on_checked_ground(path, table)
    numbers = _ids(table["id"], path)
    likeness = table["dormitory_like"].to_numpy(object) if "dormitory_like" in table else np.full(len(table), None, object)
    return gpd.GeoDataFrame(
        {
            "id": numbers.where(~numbers.duplicated(), 0).to_numpy(),
            "stage": _stages(table["stage"], (numbers == 0).to_numpy(), path),
            "dormitory_like": np.array([_yes_or_no(v, "dormitory_like", path) for v in likeness], object),
            CHECKED: np.array(checked, bool) | surveyed,
            SURVEYED: surveyed,
            CORRECTION: _words(table[CORRECTION], path) if CORRECTION in table else np.full(len(table), None, object),
            REDRAWN: [_yes_or_no(v, REDRAWN, path) is not False for v in table[REDRAWN]]
            if REDRAWN in table
            else np.ones(len(table), bool),
            SAYS_LIKENESS: False,
        },
        geometry=list(table.geometry),
        crs=crs,
    )


def _with_polygons(raw: gpd.GeoDataFrame, path: str | Path) -> gpd.GeoDataFrame:
    """Polygons of the rows; an InputError if one has none, since it would count as deleted."""
    table = polygons_only(raw)
    if len(raw) and not len(table):
        raise InputError(f"{path}: none of its {len(raw)} rows has a polygon; correct the outlines, not centroids or lines")
    if len(table) < len(raw):
        raise InputError(
            f"{path}: {len(raw) - len(table)} of its {len(raw)} rows have no polygon, and would count as deleted; "
            "delete these rows, or draw their outlines"
        )
    return table


def _buildings_layer(path: str | Path) -> str:
    layers = [name for name in polygon_layers(path) if name != CHECKED]
    if len(layers) > 1 and "buildings" not in layers:  # buildings of the layers that are not read would count as deleted
        raise InputError(
            f"{path}: has several layers of polygons ({', '.join(layers)}), none of which is named buildings; name it so, or give one "
            "file for each reviewer"
        )
    return layers[0] if len(layers) == 1 else "buildings"


def _with_known_names(raw: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """A table with the columns that are read under their names; they may be in upper case, or cut to ten letters by a Shapefile."""
    known = {name: name for name in COLUMNS} | {name[:SHAPEFILE_LETTERS]: name for name in COLUMNS}
    new = {c: known[low] for c in raw.columns if (low := str(c).lower()) in known and known[low] not in raw.columns}
    return raw.rename(columns=new)


def _on_checked_ground(path: str | Path, table: gpd.GeoDataFrame) -> NDArray[np.bool_]:
    """(n,) whether a building lies on the polygons of the layer ``checked``, which need not be there."""
    if CHECKED not in layers_of(path):
        return np.zeros(len(table), bool)
    ground = checked_ground(path, table.crs, layer=CHECKED)
    found = on_ground(table, ground)
    if not found.any():
        why = "no building stands on its polygons" if len(ground) else "it holds no polygon"
        warnings.warn(f"{path}: its layer checked marks nothing: {why}; draw around what you have checked", stacklevel=4)
    return found


def checked_ground(path: str | Path, crs: pyproj.CRS | None, *, layer: str | None = None) -> gpd.GeoDataFrame:
    """Polygons on which a reviewer says that all buildings are right and none is missing, in the scene's CRS.

    Args:
        path: a vector file.
        crs: CRS of the scene.
        layer: its layer; None: ``checked``, or the first one with polygons.

    Raises:
        InputError: no such file or layer, or a coordinate system that does not fit.
    """
    ground = polygons_only(read_vector(path, layer, preferred=CHECKED))
    if (ground.crs is None) != (crs is None):
        named = "" if layer is None else f"its layer '{layer}' "
        raise InputError(f"{path}: {named}{'has no' if ground.crs is None else 'has a'} coordinate system, unlike the scene")
    return ground if crs is None else ground.to_crs(crs)


def on_ground(buildings: gpd.GeoDataFrame, ground: gpd.GeoDataFrame) -> NDArray[np.bool_]:
    """(n,) whether buildings stand on polygons, by their inner point; both in one CRS."""
    inner, whole = shapely.point_on_surface(geometries_of(buildings)), shapely.union_all(geometries_of(ground))
    return np.asarray(shapely.within(inner, whole), bool)


def _ids(column: pd.Series, path: str | Path) -> pd.Series:
    """Numbers of buildings; 0 where there is none."""
    texts = column.astype("string").str.strip()
    numbers = pd.to_numeric(texts.mask(texts == ""), errors="coerce")
    if (lost := column[numbers.isna() & texts.notna() & (texts != "")]).size:
        raise InputError(
            f"{path}: {str(lost.iloc[0])[:60]!r} is not the id of a building; leave id as it is, or empty for a new building"
        )
    numbers = numbers.fillna(0).astype(float)
    if (broken := numbers[(numbers % 1 != 0) | (numbers.abs() > 2**53)]).size:
        raise InputError(
            f"{path}: {broken.iloc[0]:g} is not the id of a building; leave id as it is, or empty for a new building"
        )
    return numbers.astype("int64")


def _stages(column: pd.Series, drawn: NDArray[np.bool_], path: str | Path) -> list[str]:
    """The stage of each row; a building that was drawn without one is complete, as in the page, and a warning says so."""
    stages, assumed = [], []
    for row, (value, is_new) in enumerate(zip(column, drawn, strict=True), start=1):
        text = "" if pd.isna(value) else str(value).strip().lower()
        if not text and is_new:
            text = COMPLETE
            assumed.append(row)
        elif not text:
            raise InputError(f"{path}: row {row} has no stage; give it one of {', '.join(STAGES)}")
        elif text not in STAGES:
            raise InputError(f"{path}: row {row}: stage is '{text}', not one of {', '.join(STAGES)}")
        stages.append(text)
    if assumed:
        rows = f"row{'s' if len(assumed) > 1 else ''} {', '.join(map(str, assumed[:_LISTED]))}{' …' if len(assumed) > _LISTED else ''}"
        count = f"{len(assumed)} buildings that were" if len(assumed) > 1 else "1 building that was"
        verb = "count" if len(assumed) > 1 else "counts"
        warnings.warn(f"{path}: {count} drawn without a stage {verb} as {COMPLETE} ({rows})", stacklevel=3)
    return stages


def _words(column: pd.Series, path: str | Path) -> list[str | None]:
    known = (ADDED, CHANGED, CONFIRMED, DELETED)
    words = [None if pd.isna(value) or not str(value).strip() else str(value).strip().lower() for value in column]
    for word in words:
        if word not in (None, *known):
            raise InputError(
                f"{path}: {CORRECTION} is {str(word)[:60]!r} in a row, not one of {', '.join(known)}; write one of these, or rename the "
                "column if it holds something else"
            )
    return words


def _yes_or_no(value: Any, column: str, path: str | Path) -> bool | None:
    """A truth value, also as the words and numbers in which file formats store it; None where there is none."""
    text = "" if pd.isna(value) else str(value).strip().lower()
    if text and text not in (*YES, *NO):
        raise InputError(
            f"{path}: {column} is {str(value)[:60]!r} in a row, which is neither yes nor no; write true or false, or leave it empty"
        )
    return text in YES if text else None


def apply_review(
    before: gpd.GeoDataFrame, corrected: gpd.GeoDataFrame, earlier: Review | None = None
) -> tuple[gpd.GeoDataFrame, Review]:
    """The buildings as corrected, and what was corrected.

    Columns: ``id``, ``stage``, ``stage_score``, ``p_*``, ``score``, ``height_m`` (NaN where the outline has moved), ``touches_edge``.
    An ``id`` that is absent was deleted; a row without an ``id``, or with an unknown one, was added. The stage of a checked
    building is certain.

    Args:
        before: buildings as predict found them.
        corrected: from ``read_corrections`` or ``detect.census.reviews.read_reviews``.
        earlier: what was corrected in ``before``; no new building gets the ``id`` of one that was deleted then.
    """
    known = before.set_index("id")
    ids = corrected["id"].to_numpy()
    old = np.isin(ids, known.index)
    added = np.arange(int((~old).sum())) + int(max([0, *known.index, *(earlier.deleted if earlier else ())])) + 1
    new_ids = ids.copy()
    new_ids[~old] = added
    past = known.reindex(ids)
    moved = np.zeros(len(corrected), bool)
    moved[old] = _moved(geometries_of(past[old]), geometries_of(corrected[old]))
    said = np.array([v is not None for v in corrected["dormitory_like"]], bool)
    same = past["dormitory_like"].to_numpy(object) == corrected["dormitory_like"].to_numpy(object)
    differs = said & ~(old & same & ~(moved & corrected[SAYS_LIKENESS].to_numpy(bool)))
    changed = old & (moved | differs | (past["stage"].to_numpy(object) != corrected["stage"].to_numpy(object)))
    confirmed = old & ~changed & corrected[CHECKED].to_numpy(bool)
    checked = changed | confirmed | ~old
    table = corrected[["geometry"]].assign(
        id=new_ids,
        stage=corrected["stage"],
        score=np.where(old, past["score"].to_numpy(float), 1.0),
        height_m=np.where(old & ~moved, past["height_m"].to_numpy(float), np.nan),
        touches_edge=np.where(old, past["touches_edge"].to_numpy(object), False).astype(bool),
        **{f"p_{s}": np.where(checked, corrected["stage"] == s, past[f"p_{s}"].to_numpy(float)).astype(float) for s in STAGES},
    )
    table["stage_score"] = table[[f"p_{s}" for s in STAGES]].max(axis=1)
    order = np.argsort(new_ids, kind="stable")
    deleted = known[~known.index.isin(ids)]
    inner = shapely.get_coordinates(shapely.point_on_surface(geometries_of(deleted)))
    review = Review(
        changed=tuple(int(i) for i in np.sort(new_ids[changed])),
        added=tuple(int(i) for i in added),
        deleted=tuple(map(int, deleted.index)),
        deleted_at={int(i): (float(x), float(y)) for i, (x, y) in zip(deleted.index, inner, strict=True)},
        confirmed=tuple(int(i) for i in np.sort(new_ids[confirmed])),
        surveyed=tuple(int(i) for i in np.sort(new_ids[corrected[SURVEYED].to_numpy(bool)])),
        likeness={int(i): bool(v) for i, v in zip(new_ids[differs], corrected["dormitory_like"][differs], strict=True)},
    )
    return table.iloc[order].reset_index(drop=True), review


def _moved(before: Any, after: Any) -> Any:
    return shapely.area(shapely.symmetric_difference(before, after)) > MOVED_SHARE * shapely.area(before)
