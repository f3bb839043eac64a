"""Buildings as a table: outlines in the scene's CRS, measured on the ground."""

from __future__ import annotations

from collections.abc import Sequence

import geopandas as gpd
import numpy as np
import pyproj
from affine import Affine

from detect.base.geometry import measure, moved
from detect.base.stages import STAGES
from detect.buildings.footprints import RawBuilding


def building_table(found: Sequence[RawBuilding], transform: Affine, crs: pyproj.CRS | None) -> gpd.GeoDataFrame:
    """A row per building.

    Args:
        found: buildings with outlines in pixels.
        transform: pixels (x = column, y = row) → the scene's CRS.
        crs: CRS of the scene.

    Returns:
        The measures of ``detect.base.geometry.measure``, ``stage``, ``stage_score``, ``p_<stage>``, ``score``, ``touches_edge``, geometry.
    """
    polygons = moved(np.array([b.polygon_px for b in found] + [None], dtype=object)[:-1], transform)
    p = np.array([b.stage_p for b in found], float).reshape(-1, 3)
    table = gpd.GeoDataFrame(measure(list(polygons), crs), geometry=gpd.GeoSeries(list(polygons), crs=crs), crs=crs)
    return table.assign(
        stage=[STAGES[i] for i in p.argmax(axis=1)] if len(p) else [],
        stage_score=p.max(axis=1, initial=0.0),
        **{f"p_{name}": p[:, i] for i, name in enumerate(STAGES)},
        score=[b.score for b in found],
        touches_edge=np.array([b.touches_edge for b in found], bool),
    )
