"""Read the files of a result again, which somebody may have damaged or edited since: a raster, the tables of buildings and sites."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import geopandas as gpd
import rasterio
import shapely
from rasterio.errors import RasterioError

from detect.base.errors import InputError, said
from detect.base.stages import STAGES
from detect.base.vectors import geometries_of, read_vector

_INSTEAD = "edit a copy of it and give that as detect census --review"


@contextmanager
def opened_raster(path: Path) -> Iterator[Any]:
    """An open raster of a result.

    Raises:
        InputError: it is missing or damaged.
    """
    try:
        with rasterio.open(path) as raster:
            yield raster
    except RasterioError as cause:
        raise InputError(f"{path}: is damaged or incomplete ({said(cause)}); run detect predict again") from cause


def read_buildings(path: Path) -> gpd.GeoDataFrame:
    """The layer ``buildings`` of a result.

    Raises:
        InputError: it cannot be read, or was edited so that it cannot be counted.
    """
    table = read_vector(path, "buildings")
    shapes = geometries_of(table)
    kinds = shapely.get_type_id(shapes)
    for row, (kind, shape) in enumerate(zip(kinds, shapes, strict=True), start=1):
        if kind not in (shapely.GeometryType.POLYGON, shapely.GeometryType.MULTIPOLYGON) or shape.is_empty:
            raise InputError(f"{path}: row {row} of its layer buildings has no polygon any more; {_INSTEAD}")
    if "stage" in table:
        for row, stage in enumerate(table["stage"], start=1):
            if stage not in STAGES:
                found = f"the stage {stage[:40]!r}" if isinstance(stage, str) else "no stage"
                raise InputError(f"{path}: row {row} of its layer buildings has {found}; {_INSTEAD}")
    return table


def read_sites(path: Path, expected: int) -> gpd.GeoDataFrame:
    """The layer ``sites`` of a result.

    Args:
        path: the GeoPackage.
        expected: how many sites were counted.

    Raises:
        InputError: it cannot be read, or sites were added, removed or lost their name.
    """
    table = read_vector(path, "sites")
    named = 0 if "name" not in table else int(table["name"].notna().sum())
    if not len(table) == named == expected:
        raise InputError(
            f"{path}: its layer sites was edited: it holds {named} with names, {expected} were counted; "
            "count again with detect census --sites"
        )
    return table
