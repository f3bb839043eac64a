"""Files that are made of a scene's source and stay beside the results: made once for one order, and never put over something else."""

from __future__ import annotations

from pathlib import Path

import rasterio
import rasterio.shutil
from rasterio.errors import RasterioError

from detect.base.errors import InputError
from detect.base.files import whole_file


def is_cached(path: Path, tag: str, order: str, *, overwrite: bool) -> bool:
    """Whether a raster is there already that was made to the same order; if not, it may be written.

    Args:
        path: the raster.
        tag: its tag that holds the order.
        order: what decides its content.
        overwrite: it may replace one that was made to another order, but nothing else.

    Raises:
        InputError: ``path`` is something else.
    """
    if not path.exists():
        return False
    there = _order_in(path, tag)
    if there is None or (there != order and not overwrite):
        hint = "give --overwrite to replace it, or another --out" if there else "give another --out"
        raise InputError(f"{path}: holds something else already; {hint}")
    return there == order


def write_cog(plain: Path, path: Path, **options: str) -> None:
    """Write a raster again as a cloud-optimised GeoTIFF with overviews, which appears whole or not at all.

    Args:
        plain: a GeoTIFF.
        path: the file.
        options: further creation options of GDAL's COG driver.

    Raises:
        RasterioError: GDAL cannot.
    """
    with whole_file(path) as aside, rasterio.Env(GDAL_NUM_THREADS="2"):
        rasterio.shutil.copy(
            plain, aside, driver="COG", COMPRESS="DEFLATE", PREDICTOR="YES", OVERVIEW_RESAMPLING="AVERAGE", **options
        )


def _order_in(path: Path, tag: str) -> str | None:
    """The order that a raster was made to; None for any other file."""
    try:
        with rasterio.open(path) as raster:
            found: str | None = raster.tags().get(tag)
            return found
    except (RasterioError, OSError):
        return None
