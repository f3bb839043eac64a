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
from rasterio.crs import CRS
from rasterio.enums import MaskFlags
from rasterio.errors import RasterioError
from rasterio.vrt import WarpedVRT
from shapely.geometry.base import BaseGeometry

from detect.base.errors import DetectError, InputError, said
from detect.base.geometry import beside_on_map, moved
from detect.base.grid import Span
from detect.base.secrets import without_keys
from detect.scene.cached import is_cached, write_cog
from detect.scene.georeference import stated_place
from detect.scene.opening import opened
from detect.scene.provenance import TAG, Provenance
from detect.scene.sources import Source, tags_of
from detect.scene.versions import version_of, version_of_raster

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
    key = json.dumps([without_keys(source), [round(value, 8) for value in area.bounds], *_version(scene)])
    if is_cached(path, _KEY_TAG, key, overwrite=overwrite):
        return
    with opened(source, allow_remote=scene.allow_remote) as dataset:
        crs, transform = stated_place(dataset, source)
        if crs is None or transform == Affine.identity():
            raise InputError(
                f"{without_keys(source)}: has no georeference, so no part of it can be found on the earth; leave --bbox and --around out"
            )
        span = _span(dataset.shape, crs, transform, area, source)
        flags = {flag for band in dataset.mask_flag_enums for flag in band}
        masked = MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags
        place = transform * Affine.translation(span.col0, span.row0)
        target = {"crs": crs, "transform": place, "width": span.width, "height": span.height}
        told = Provenance(
            source=without_keys(source),
            retrieved=datetime.date.today().isoformat(),
            attribution=scene.attribution,
            terms=scene.terms,
            level="",
        )
        tags = tags_of(dataset) | {TAG: json.dumps(told.to_json()), _KEY_TAG: key}
        try:
            with (
                WarpedVRT(dataset, src_crs=crs, src_transform=transform, add_alpha=masked, **target) as part,
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


def _version(scene: Source) -> list[str]:
    """What changes when a raster on this machine is replaced; of one on a server nothing is known without asking."""
    if "://" in scene.path or scene.path.startswith("/vsi"):
        return version_of([scene.path])
    with opened(scene.path, allow_remote=scene.allow_remote) as dataset:
        return version_of_raster(dataset, scene.path)


def _span(shape_hw: tuple[int, int], crs: CRS, transform: Affine, area: BaseGeometry, source: str) -> Span:
    """The pixels of a raster that the box around an area covers."""
    system = pyproj.CRS(crs)
    to_crs = pyproj.Transformer.from_crs(4326, system, always_xy=True)
    west, south, east, north = area.bounds
    dense = shapely.segmentize(shapely.box(west, south, east, north), max(east - west, north - south) / 50)
    there = shapely.transform(dense, to_crs.transform, interleaved=False)
    if np.isfinite(there.bounds).all():  # longitudes may count to 360, and an area may lie across 180°
        middle_x, _ = transform * (shape_hw[1] / 2, shape_hw[0] / 2)
        there = beside_on_map(np.array([there], dtype=object), system, middle_x)[0]
    placed = moved(there, ~transform)
    left, top, right, bottom = np.nan_to_num(placed.bounds, nan=-1, posinf=-1, neginf=-1)
    span = Span(math.floor(top), math.floor(left), math.ceil(bottom), math.ceil(right)).clip(shape_hw)
    if span.is_empty:
        raise InputError(f"{without_keys(source)}: shows nothing of the area; are longitude and latitude swapped?")
    return span
