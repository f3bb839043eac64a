"""Give a picture without georeference its place: two corners that are known make it a scene, shown by a VRT; no pixel is copied."""

from __future__ import annotations

import cmath
import math
import warnings
from collections.abc import Sequence
from pathlib import Path

import pyproj
import rasterio
import rasterio.shutil
import shapely
from affine import Affine
from rasterio.errors import NotGeoreferencedWarning

from detect.base.errors import InputError
from detect.base.files import whole_file
from detect.base.geometry import to_degrees
from detect.base.vectors import geometries_of, read_vector
from detect.scene.cached import is_cached
from detect.scene.opening import opened
from detect.scene.sources import tags_of
from detect.scene.versions import version_of_raster

MOST_TURNED_DEG = 20.0
"""A picture that two corners turn further than this does not lie between them."""
_TAG = "DETECT_CORNERS"


def corners_of(given: str | Sequence[float]) -> tuple[float, float, float, float]:
    """Latitude and longitude of the upper left and of the lower right corner of a picture.

    Args:
        given: these four numbers, or a vector file, such as a KML, of whose box they are the corners.

    Raises:
        InputError: the file cannot be read or has no place.
    """
    if not isinstance(given, str):
        first_lat, first_lon, last_lat, last_lon = given
        return first_lat, first_lon, last_lat, last_lon
    table = read_vector(given)
    if table.crs is None or not len(table):
        raise InputError(f"--corners {given}: holds no box with a place")
    west, south, east, north = shapely.total_bounds(to_degrees(geometries_of(table), table.crs))
    return north, west, south, east


def write_placed(path: Path, picture: str, corners: Sequence[float], *, overwrite: bool) -> None:
    """Write a VRT that shows a picture in its place, in the UTM zone of its middle.

    Args:
        path: the VRT; it may hold the same already.
        picture: the file of the picture.
        corners: result of ``corners_of``.
        overwrite: replace a VRT of other corners, or of an earlier picture, that is there.

    Raises:
        InputError: the picture has a place already, the corners do not fit it, or ``path`` holds something else.
    """
    with opened(picture) as dataset:
        if dataset.crs is not None or dataset.transform != Affine.identity() or dataset.gcps[0]:
            raise InputError(f"{picture}: is georeferenced, so --corners contradicts it; leave --corners out")
        crs, transform = place(corners, (dataset.height, dataset.width), picture)
        tags = tags_of(dataset)
        known = " ".join([f"{Path(picture).resolve()} {list(corners)}", *version_of_raster(dataset, picture)])
    if is_cached(path, _TAG, known, overwrite=overwrite):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as aside, warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # that is what is mended here
        rasterio.shutil.copy(picture, aside, driver="VRT")
        with rasterio.open(aside, "r+") as shown:
            shown.crs, shown.transform = crs.to_wkt(), transform
            shown.update_tags(**tags, **{_TAG: known})


def place(corners: Sequence[float], size_hw: tuple[int, int], picture: str) -> tuple[pyproj.CRS, Affine]:
    """CRS and transform of a picture whose upper left and lower right corner are known: moved, turned and scaled, with square pixels.

    Raises:
        InputError: the picture does not lie between the corners.
    """
    first_lat, first_lon, last_lat, last_lon = corners
    last_lon -= 360 * round((last_lon - first_lon) / 360)  # across 180° the longitudes jump
    middle_lat, middle_lon = (first_lat + last_lat) / 2, (first_lon + last_lon) / 2
    crs = pyproj.CRS.from_epsg((32600 if middle_lat >= 0 else 32700) + int((middle_lon + 180) % 360 // 6) + 1)
    to_crs = pyproj.Transformer.from_crs(4326, crs, always_xy=True)
    first, last = (complex(*to_crs.transform(lon, lat)) for lon, lat in ((first_lon, first_lat), (last_lon, last_lat)))
    height, width = size_hw
    # As complex numbers, a turn and a scale are one factor. Rows count downwards.
    factor = (last - first) / complex(width, -height)
    turned_deg = math.degrees(cmath.phase(factor))
    if factor == 0 or abs(turned_deg) > MOST_TURNED_DEG:
        raise InputError(
            f"{picture}: --corners would turn the picture by {turned_deg:.0f}°; give latitude,longitude of its upper left corner, "
            "then of its lower right one, and crop the picture to them"
        )
    return crs, Affine(factor.real, factor.imag, first.real, factor.imag, -factor.real, first.imag)
