"""A part of a raster → one GeoTIFF with the same pixels, so that only this part of a large or remote file is read."""

from __future__ import annotations

import datetime
import json
import math
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyproj
import rasterio
import rasterio.shutil
import shapely
from affine import Affine
from rasterio.enums import MaskFlags
from rasterio.errors import RasterioError
from rasterio.vrt import WarpedVRT
from shapely.geometry.base import BaseGeometry

from detect.base.errors import DetectError, InputError, said
from detect.base.geometry import moved
from detect.base.grid import Span
from detect.base.secrets import without_keys
from detect.scene.cached import is_cached, write_cog
from detect.scene.opening import opened
from detect.scene.provenance import TAG, Provenance
from detect.scene.sources import Source

_KEY_TAG = "DETECT_CROP"


def crop(scene: Source, area: BaseGeometry, path: Path, *, overwrite: bool) -> None:
    """Copy the pixels in the box of an area; if the file holds them already, nothing is read.

    Args:
        scene: a file or URL that GDAL opens.
        area: in longitude and latitude.
        path: the GeoTIFF.
        overwrite: replace a file that another part was read into.

    Raises:
        InputError: no georeference, nothing of the area in the raster, or ``path`` holds something else.
        DetectError: the raster cannot be read.
    """
    source = scene.path
    key = json.dumps([without_keys(source), [round(value, 8) for value in area.bounds]])
    if is_cached(path, _KEY_TAG, key, overwrite=overwrite):
        return
    with opened(source, allow_remote=scene.allow_remote) as dataset:
        span = _span(dataset, area, source)
        flags = {flag for band in dataset.mask_flag_enums for flag in band}
        masked = MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags
        place = dataset.transform * Affine.translation(span.col0, span.row0)
        told = Provenance(
            source=without_keys(source),
            retrieved=datetime.date.today().isoformat(),
            attribution=scene.attribution,
            terms=scene.terms,
            level="",
        )
        tags = dataset.tags() | {TAG: json.dumps(told.to_json()), _KEY_TAG: key}
        try:
            with (
                WarpedVRT(
                    dataset, crs=dataset.crs, transform=place, width=span.width, height=span.height, add_alpha=masked
                ) as part,
                TemporaryDirectory(dir=path.parent, prefix=f".{path.stem}.") as folder,
            ):
                plain = Path(folder) / "plain.tif"
                rasterio.shutil.copy(part, plain, driver="GTiff", TILED="YES", BIGTIFF="IF_SAFER")
                with rasterio.open(plain, "r+") as copied:
                    copied.update_tags(**tags)
                write_cog(plain, path)
        except RasterioError as cause:
            raise DetectError(
                f"{without_keys(source)}: could not be read ({said(cause)}); the same command tries again"
            ) from cause


def _span(dataset: rasterio.DatasetReader, area: BaseGeometry, source: str) -> Span:
    """The pixels of a raster that the box around an area covers."""
    if dataset.crs is None or dataset.transform == Affine.identity():
        raise InputError(
            f"{without_keys(source)}: has no georeference, so no part of it can be found on the earth; leave --bbox and --around out"
        )
    to_crs = pyproj.Transformer.from_crs(4326, pyproj.CRS(dataset.crs), always_xy=True)
    west, south, east, north = area.bounds
    dense = shapely.segmentize(shapely.box(west, south, east, north), max(east - west, north - south) / 50)
    placed = moved(shapely.transform(dense, to_crs.transform, interleaved=False), ~dataset.transform)
    left, top, right, bottom = np.nan_to_num(placed.bounds, nan=-1, posinf=-1, neginf=-1)
    span = Span(math.floor(top), math.floor(left), math.ceil(bottom), math.ceil(right)).clip(dataset.shape)
    if span.is_empty:
        raise InputError(f"{without_keys(source)}: shows nothing of the area; are longitude and latitude swapped?")
    return span
