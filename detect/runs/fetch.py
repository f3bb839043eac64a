"""What is no file that GDAL opens in its place → such a file beside the results: map tiles, and screenshots with known corners."""

from __future__ import annotations

from collections.abc import Sequence
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
from detect.scene.placed import corners_of, write_placed
from detect.scene.sources import Source, stem_of
from detect.scene.tiles.addresses import kind_of, open_pyramid
from detect.scene.tiles.cut import Order, cut
from detect.scene.tiles.pyramid import Pyramid

MARGIN_M = 60.0
"""Ground around plots that is read too: the network needs to see what surrounds a building, and buildings lie across edges."""
_AREA_ONLY = (("--bbox", "bbox"), ("--around", "around"), ("--zoom", "zoom"), ("--layer", "layer"))


def fetched(source: Source, job: Job) -> Source:
    """The scene as a file that GDAL opens in its place.

    Map tiles are read into ``OUT/<name>.tif``, a picture with known corners is shown by ``OUT/<name>-placed.vrt``, and other scenes are
    such files already.

    Raises:
        InputError: nothing says where to read, options do not fit, or see ``detect.scene.tiles.cut.cut``.
        DetectError: a server cannot be reached.
    """
    options, name = job.options, source.name or stem_of(source.path)
    if kind_of(source.path) is None:
        given = [flag for flag, field in _AREA_ONLY if getattr(options, field) is not None]
        if given:
            raise InputError(f"{source.path}: {' and '.join(given)} belong to map tiles, and this is a file; leave them out")
        return source if options.corners is None else _placed(source, name, options.corners, job)
    if options.corners is not None:
        raise InputError(f"{source.name}: map tiles have a place; leave --corners out")
    pyramid = open_pyramid(source.path, options.layer)
    order = Order(_area(pyramid, options), job.weights.suiting_gsd_m, options.zoom, options.max_tiles)
    path, show = job.out / f"{name}.tif", options.progress or silent
    job.out.mkdir(parents=True, exist_ok=True)
    with ResultFolder(job.out / name).lock("detect predict"):
        cut(pyramid, order, path, overwrite=options.overwrite, report=lambda done, total: show(f"{name}: tiles", done, total))
    return replace(source, path=str(path), name=name)


def _placed(source: Source, name: str, corners: str | Sequence[float], job: Job) -> Source:
    """A picture without georeference as a file with a place, ``OUT/<name>-placed.vrt``."""
    path = job.out / f"{name}-placed.vrt"
    write_placed(path, source.path, corners_of(corners), overwrite=job.options.overwrite)
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
