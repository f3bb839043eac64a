"""The buildings of a scene after it was read again: those that a reviewer has checked, and what was found elsewhere."""

from __future__ import annotations

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from detect.base.geometry import measure
from detect.base.matching import covered_by, match, overlaps
from detect.base.vectors import geometries_of
from detect.census.review import Review


def merged(
    found: gpd.GeoDataFrame,
    before: gpd.GeoDataFrame,
    corrected: gpd.GeoDataFrame,
    review: Review,
    windows: gpd.GeoDataFrame | None,
) -> tuple[gpd.GeoDataFrame, NDArray[np.bool_]]:
    """Checked buildings as they are in ``corrected``, and those of ``found`` that stand elsewhere and are not one that was deleted.

    A building of ``found`` that overlaps one of ``before`` by IoU 0.5 has its ``id``; the others have new ones.

    Args:
        found: what the adapted weights find, without ``id``.
        before: what was found before, with ``id``.
        corrected: the same as corrected, with ``id``, ``stage``, ``p_*``, ``stage_score``, ``score`` and ``touches_edge``.
        review: what was corrected and confirmed, also by earlier reviews; the ids are those of ``corrected``.
        windows: polygons inside which only what is in ``corrected`` stands; None: there are none.

    Returns:
        The buildings, by ``id``, with the columns of ``found``; and which of ``found`` were left out (n,).
    """
    kept = corrected[corrected["id"].isin(review.checked)]
    gone = before[before["id"].isin(review.deleted)]
    polygons = geometries_of(found)
    left_out = covered_by(polygons, geometries_of(kept)) | covered_by(polygons, geometries_of(gone))
    # What an earlier review deleted is not in ``before`` any more: only a point tells where it stood.
    left_out[shapely.STRtree(polygons).query(review.bare_points(corrected), predicate="intersects")[1]] = True
    if windows is not None:
        checked = shapely.union_all(geometries_of(windows))
        shapely.prepare(checked)
        left_out |= shapely.contains(checked, shapely.point_on_surface(polygons))
    new = found[~left_out]
    kept = kept.assign(**measure(list(geometries_of(kept)), found.crs).set_axis(kept.index))
    new = new.assign(id=_ids(new, before, corrected, review))
    table = pd.concat([kept[[*new.columns]], new]).sort_values("id", kind="stable").reset_index(drop=True)
    return gpd.GeoDataFrame(table, geometry="geometry", crs=found.crs), left_out


def _ids(new: gpd.GeoDataFrame, before: gpd.GeoDataFrame, corrected: gpd.GeoDataFrame, review: Review) -> NDArray[np.int64]:
    """An id for each new building: that of the building before, where both are the same, or a number that was never used."""
    free = before[~before["id"].isin(review.checked | set(review.deleted))]
    ours, theirs, _ = match(overlaps(geometries_of(new), geometries_of(free)))
    ids = np.zeros(len(new), np.int64)
    ids[ours] = free["id"].to_numpy(np.int64)[theirs]
    unnamed = ids == 0
    used = [0, *before["id"], *corrected["id"], *review.deleted]
    ids[unnamed] = np.arange(int(unnamed.sum())) + int(max(used)) + 1
    return ids
