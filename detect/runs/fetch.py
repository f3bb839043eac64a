"""A scene that is map tiles → a file beside the results: what to read, at which zoom, and the lock of its result meanwhile."""

from __future__ import annotations

from dataclasses import replace

import geopandas as gpd
import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from detect.base.errors import InputError
from detect.base.geometry import GEOD, to_degrees
from detect.base.vectors import equal_area_crs, geometries_of
from detect.census.sites import read_plots
from detect.results.folder import ResultFolder
from detect.runs.job import Job
from detect.runs.options import PredictOptions, silent
from detect.scene.sources import Source, stem_of
from detect.scene.tiles.addresses import kind_of, open_pyramid
from detect.scene.tiles.cut import Order, cut
from detect.scene.tiles.pyramid import Pyramid

MARGIN_M = 60.0
"""Ground around plots that is read too: the network needs to see what surrounds a building, and buildings lie across edges."""
_AREA_ONLY = (("--bbox", "bbox"), ("--around", "around"), ("--zoom", "zoom"), ("--layer", "layer"))


def fetched(source: Source, job: Job) -> Source:
    """The scene as a file that GDAL opens: map tiles are read into ``OUT/<name>.tif``, other scenes are that already.

    Raises:
        InputError: nothing says where to read, options do not fit, or see ``detect.scene.tiles.cut.cut``.
        DetectError: a server cannot be reached.
    """
    options, name = job.options, source.name or stem_of(source.path)
    if kind_of(source.path) is None:
        given = [flag for flag, field in _AREA_ONLY if getattr(options, field) is not None]
        if given:
            raise InputError(f"{source.path}: {' and '.join(given)} belong to map tiles, and this is a file; leave them out")
        return source
    pyramid = open_pyramid(source.path, options.layer)
    order = Order(_area(pyramid, options), job.weights.suiting_gsd_m, options.zoom, options.max_tiles)
    path, show = job.out / f"{name}.tif", options.progress or silent
    job.out.mkdir(parents=True, exist_ok=True)
    with ResultFolder(job.out / name).lock("detect predict"):
        cut(pyramid, order, path, overwrite=options.overwrite, report=lambda done, total: show(f"{name}: tiles", done, total))
    return replace(source, path=str(path), name=name)


def _area(pyramid: Pyramid, options: PredictOptions) -> BaseGeometry:
    """What to read, in longitude and latitude: the box or square that is given, else the plots and their margin, else all of a file."""
    if options.bbox is not None:
        west, south, east, north = options.bbox
        return shapely.box(west, south, east if west < east else east + 360, north)
    if options.around is not None:
        latitude, longitude, metres = options.around
        longitudes, latitudes, _ = GEOD.fwd([longitude] * 4, [latitude] * 4, [0, 90, 180, 270], [metres] * 4)
        half_lon = (longitudes[1] - longitude) % 360
        return shapely.box(longitude - half_lon, latitudes[2], longitude + half_lon, latitudes[0])
    if options.sites is not None:
        return _around_plots(options)
    if pyramid.is_local and pyramid.outline is not None:
        return pyramid.outline
    raise InputError(f"{pyramid.address}: where to look? give plots with --sites, or --bbox W,S,E,N or --around LAT,LON,METRES")


def _around_plots(options: PredictOptions) -> BaseGeometry:
    assert options.sites is not None
    plots, _ = read_plots(options.sites)
    plane = equal_area_crs(plots)
    if plane is None:
        raise InputError(f"{options.sites}: names no coordinate system, so the plots have no place; give one (ogr2ogr -a_srs)")
    wider = shapely.union_all(shapely.buffer(geometries_of(gpd.GeoDataFrame(plots).to_crs(plane)), MARGIN_M))
    return to_degrees(np.array([wider], dtype=object), plane)[0]
