"""Say which edits in a table of corrections are not read: columns of the user's own, and columns that a census computes."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import geopandas as gpd
import pandas as pd

COMPUTED = ("site", "row", "beds", "dormitory_score")
"""Columns that a user may want to set, and that each census computes anew."""
_OF_KML = {
    "Name",
    "description",
    "timestamp",
    "begin",
    "end",
    "altitudeMode",
    "tessellate",
    "extrude",
    "visibility",
    "drawOrder",
    "icon",
}
SHAPEFILE_LETTERS = 10
"""A Shapefile cuts the names of columns to this length."""
_OF_FORMATS = ("fid", "ogc_fid", "objectid", "shape_leng", "shape_length", "shape_area", "layer", "path")
"""Columns that databases of ArcGIS and the merging of layers in QGIS add, in lower case."""


def warn_of_unread(given: gpd.GeoDataFrame, before: gpd.GeoDataFrame, read: tuple[str, ...], path: str | Path) -> None:
    """Warn of what a reviewer wrote into columns that are not read.

    Args:
        given: the file as it is, with ``id``.
        before: buildings of the result.
        read: columns that are read.
        path: names the file.

    Warns:
        UserWarning: there is such a column.
    """
    own = [str(c) for c in given.columns if _is_own(str(c), (*before.columns, *read)) and c != given.geometry.name]
    own = [c for c in own if (given[c].notna() & (given[c].astype(str).str.strip() != "")).any()]
    if own:
        warnings.warn(
            f"{path}: what it says in {', '.join(own)} is not read; delete the rows of wrong buildings, mark right ones in a column "
            "checked, and write the stage into stage",
            stacklevel=3,
        )
    named = given.rename(columns={c: str(c).lower() for c in given.columns if str(c).lower() not in given.columns})
    edited = [c for c in COMPUTED if c in named and c in before and _differs(named, before, c)]
    if edited:
        warnings.warn(
            f"{path}: its edits of {', '.join(edited)} are not read, since a census computes them from stage, dormitory_like, the plots "
            "(--sites) and the profile (--structure)",
            stacklevel=3,
        )


def _is_own(column: str, known: tuple[str, ...]) -> bool:
    """Whether a column is neither of the result nor of a file format; a Shapefile cuts names, and numbers those that become equal."""
    if column in _OF_KML or column.lower() in _OF_FORMATS:
        return False
    begin = re.sub(r"_\d+$", "", column) if len(column) == SHAPEFILE_LETTERS else column
    lower = [str(k).lower() for k in known]
    return column.lower() not in lower and not (
        len(column) == SHAPEFILE_LETTERS and any(k.startswith(begin.lower()) for k in lower)
    )


def _differs(given: gpd.GeoDataFrame, before: gpd.GeoDataFrame, column: str) -> bool:
    """Whether a row has another value than the building of its ``id``; a value that was removed is not another one."""
    ids = pd.to_numeric(given["id"], errors="coerce")
    old = before.set_index("id")[column].reindex(ids).reset_index(drop=True)
    new = given[column].reset_index(drop=True)
    known = ids.reset_index(drop=True).isin(before["id"])
    if (known & old.isna() & new.notna() & (new.astype(str).str.strip() != "")).any():
        return True
    both = old.notna() & new.notna()
    numbers = [pd.to_numeric(values[both], errors="coerce") for values in (old, new)]
    if numbers[0].notna().all() and numbers[1].notna().all():
        return bool(((numbers[0] - numbers[1]).abs() > 1e-3 * numbers[0].abs().clip(lower=1)).any())
    return bool((old[both].astype(str).str.strip() != new[both].astype(str).str.strip()).any())
