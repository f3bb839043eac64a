"""What is no file that GDAL opens in its place → such a file beside the results: map tiles, parts of rasters, placed screenshots."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import geopandas as gpd
import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from detect.base.errors import InputError
from detect.base.geometry import GEOD, to_degrees
from detect.base.vectors import equal_area_crs, geometries_of
from detect.census.plots import read_plots
from detect.results.folder import ResultFolder
from detect.runs.job import Job
from detect.runs.options import PredictOptions, silent
from detect.scene.crop import crop
from detect.scene.placed import corners_of, write_placed
from detect.scene.search import search
from detect.scene.sources import Source, stem_of
from detect.scene.tiles.addresses import kind_of, open_pyramid
from detect.scene.tiles.cut import Order, cut

MARGIN_M = 60.0
"""Ground around plots that is read too: the network needs to see what surrounds a building, and buildings lie across edges."""
_WHERE = "give plots with --sites, or --bbox W,S,E,N or --around LAT,LON,METRES"
_TILES_ONLY = (("--zoom", "zoom"), ("--layer", "layer"), ("--max-tiles", "max_tiles"))


def searched(options: PredictOptions) -> list[Source]:
    """The scenes that the options search for; none without ``--stac``.

    Raises:
        InputError: nothing says where to search, or see ``detect.scene.search.search``.
        DetectError: the search failed.
    """
    if options.stac is None:
        return []
    area = _area(options)
    if area is None:
        raise InputError(f"--stac: where to search? {_WHERE}")
    return search(
        options.stac, area, collections=options.collection, during=options.date, most=options.max_items, asset=options.asset
    )


def fetched(source: Source, job: Job) -> Source:
    """The scene as a file that GDAL opens in its place, with no more ground than is wanted.

    Map tiles are read into ``OUT/<name>.tif``, and so is the part of a raster that a box, or a search around plots, wants. A picture
    with known corners is shown by ``OUT/<name>-placed.vrt``. Other scenes are such files already.

    Raises:
        InputError: nothing says where to read, options do not fit, or see ``cut``, ``crop`` and ``write_placed``.
        DetectError: a server cannot be reached.
    """
    options, name = job.options, source.name or stem_of(source.path)
    path, tiled = job.out / f"{name}.tif", kind_of(source.path) is not None
    given = [flag for flag, field in _TILES_ONLY if getattr(options, field) != getattr(PredictOptions, field)]
    if given and not tiled:
        belong, them = ("belongs", "it") if len(given) == 1 else ("belong", "them")
        raise InputError(f"{source.path}: {' and '.join(given)} {belong} to map tiles, and this is a file; leave {them} out")
    if options.corners is not None:
        return _placed(source, name, options.corners, job, tiled=tiled)
    part_only = options.bbox is not None or options.around is not None or options.stac is not None
    if not tiled and not part_only:
        return source
    area = _area(options)
    with _beside_results(job, name):
        if tiled:
            _read_tiles(source.path, area, path, name, job)
        else:
            assert area is not None
            crop(source, area, path, overwrite=options.overwrite)
    return replace(source, path=str(path), name=name, original=None if tiled else source.path)


@contextmanager
def _beside_results(job: Job, name: str) -> Iterator[None]:
    """Keep other commands away while a file is written beside the results; a folder that stays empty is removed."""
    is_new = not job.out.exists()
    job.out.mkdir(parents=True, exist_ok=True)
    try:
        with ResultFolder(job.out / name).lock("detect predict"):
            yield
    except BaseException:
        with suppress(OSError):
            if is_new:
                job.out.rmdir()
        raise


def _read_tiles(place: str, area: BaseGeometry | None, path: Path, name: str, job: Job) -> None:
    options, show = job.options, job.options.progress or silent
    pyramid = open_pyramid(place, options.layer)
    if area is None and pyramid.is_local:
        area = pyramid.outline
    if area is None:
        raise InputError(f"{pyramid.address}: where to look? {_WHERE}")
    order = Order(area, job.weights.suiting_gsd_m, options.zoom, options.max_tiles)
    cut(pyramid, order, path, overwrite=options.overwrite, report=lambda done, total: show(f"{name}: tiles", done, total))


def _placed(source: Source, name: str, corners: str | Sequence[float], job: Job, *, tiled: bool) -> Source:
    """A picture without georeference as a file with a place, ``OUT/<name>-placed.vrt``."""
    if tiled or job.options.bbox is not None or job.options.around is not None:
        raise InputError(f"{name}: --corners gives a screenshot its place; leave it out for map tiles, --bbox and --around")
    path = job.out / f"{name}-placed.vrt"
    write_placed(path, source.path, corners_of(corners), overwrite=job.options.overwrite)
    return replace(source, path=str(path), name=name, original=source.path, allow_remote=True)  # it names what the user named


def _area(options: PredictOptions) -> BaseGeometry | None:
    """What to read, in longitude and latitude: the box or square that is given, else the plots and their margin; None without any."""
    if options.bbox is not None:
        west, south, east, north = options.bbox
        return shapely.box(west, south, east if west < east else east + 360, north)
    if options.around is not None:
        latitude, longitude, metres = options.around
        longitudes, latitudes, _ = GEOD.fwd([longitude] * 4, [latitude] * 4, [0, 90, 180, 270], [metres] * 4)
        half_lon = (longitudes[1] - longitude) % 360
        return shapely.box(longitude - half_lon, latitudes[2], longitude + half_lon, latitudes[0])
    return None if options.sites is None else _around_plots(options.sites)


def _around_plots(path: str | Path) -> BaseGeometry:
    plots, _ = read_plots(path)
    plane = equal_area_crs(plots)
    if plane is None:
        raise InputError(f"{path}: names no coordinate system, so the plots have no place; give one (ogr2ogr -a_srs)")
    wider = shapely.union_all(shapely.buffer(geometries_of(gpd.GeoDataFrame(plots).to_crs(plane)), MARGIN_M))
    return to_degrees(np.array([wider], dtype=object), plane)[0]
