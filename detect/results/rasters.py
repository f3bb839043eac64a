"""mask.tif, probability.tif and stage.tif: cloud-optimised GeoTIFFs on the work grid, written strip by strip.

Each function writes into the given folder; the caller makes outputs appear whole (``ResultFolder.swap``).
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import numpy as np
import pyproj
import rasterio
from numpy.typing import NDArray
from rasterio import shutil as raster_shutil

from detect.base.grid import Span
from detect.base.stages import STAGES
from detect.base.values import NO_DATA
from detect.results import styles
from detect.scene.scene import WorkGrid

_STRIP_PX = 512


def write_rasters(
    folder: Path,
    grid: WorkGrid,
    crs: pyproj.CRS | None,
    stage: NDArray[np.uint8],
    read_footprint: Callable[[Span], NDArray[np.uint8]],
    calibration: NDArray[np.uint8],
) -> None:
    """``mask.tif``, ``stage.tif`` and ``probability.tif`` as cloud-optimised GeoTIFFs on the work grid.

    Args:
        folder: to write into.
        grid: work grid of the arrays.
        crs: CRS of the scene.
        stage: (H, W) stage codes, 0 where there is no building; may be mapped from disk.
        read_footprint: span of the grid → footprint probability (H, W), p × 254, 255 no data.
        calibration: (256,) table of ``detect.network.probabilities.calibrated``, for ``probability.tif``.
    """

    def strips() -> Iterator[Strip]:
        for window in _strip_windows(grid):
            (row0, row1), (col0, col1) = window
            p = read_footprint(Span(row0, col0, row1, col1))
            missing = p == NO_DATA
            if not missing.all():  # pixels that are not written read as no data
                codes = np.where(missing, NO_DATA, stage[row0:row1])
                yield window, (np.where(missing, NO_DATA, codes > 0), codes, calibration[p])
            forget(stage)

    _write_cogs(folder, ("mask", "stage", "probability"), grid, crs, strips())


def write_stage_rasters(folder: Path, grid: WorkGrid, crs: pyproj.CRS | None, stage: NDArray[np.uint8]) -> None:
    """``mask.tif`` and ``stage.tif`` of stage codes (H, W), 0 none, 255 no data."""

    def strips() -> Iterator[Strip]:
        for window in _strip_windows(grid):
            codes = stage[slice(*window[0])]
            if not (codes == NO_DATA).all():
                yield window, (np.where(codes == NO_DATA, NO_DATA, codes > 0), codes)

    _write_cogs(folder, ("mask", "stage"), grid, crs, strips())


Strip = tuple[tuple[tuple[int, int], tuple[int, int]], tuple[NDArray, ...]]
"""((row0, row1), (col0, col1)) and the pixels of each raster there."""


def _strip_windows(grid: WorkGrid) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    height, width = grid.size_hw
    for row in range(0, height, _STRIP_PX):
        yield (row, min(row + _STRIP_PX, height)), (0, width)


def _write_cogs(folder: Path, names: Sequence[str], grid: WorkGrid, crs: pyproj.CRS | None, strips: Iterator[Strip]) -> None:
    """``<name>.tif`` for each name, the one named stage with its colours; strips that are left out are no data."""
    height, width = grid.size_hw
    profile = {
        "driver": "GTiff", "dtype": "uint8", "count": 1, "height": height, "width": width, "crs": crs, "transform": grid.transform,
        "nodata": NO_DATA, "tiled": True, "blockxsize": 512, "blockysize": 512, "bigtiff": "if_safer", "compress": "zstd",
        "zstd_level": 1, "sparse_ok": True,
    }  # fmt: skip
    plain = [folder / f"{name}.plain.tif" for name in names]
    with ExitStack() as files:
        targets = [files.enter_context(rasterio.open(path, "w", **profile)) for path in plain]
        targets[names.index("stage")].write_colormap(1, _stage_colours())
        for window, layers in strips:
            for target, values in zip(targets, layers, strict=True):
                target.write(values.astype(np.uint8), 1, window=window)
    cores = max(1, (os.cpu_count() or 1) // len(names))  # each thread of GDAL's holds blocks in memory
    with ThreadPoolExecutor(len(names)) as threads:  # GDAL compresses on several cores, but makes overviews on one
        list(threads.map(partial(_to_cog, cores=cores), plain, [folder / f"{name}.tif" for name in names]))


def _to_cog(plain: Path, target: Path, *, cores: int) -> None:
    # Class codes have no mean, so overviews take the nearest pixel.
    raster_shutil.copy(
        plain, target, driver="COG", compress="DEFLATE", blocksize=512, resampling="nearest",
        overview_resampling="nearest" if target.stem == "stage" else "average", num_threads=str(cores), sparse_ok=True,
    )  # fmt: skip
    plain.unlink()


def _stage_colours() -> dict[int, tuple[int, ...]]:
    colours: dict[int, tuple[int, ...]] = {0: (0, 0, 0, 0), NO_DATA: (0, 0, 0, 0)}
    return colours | {code: (*styles.STAGE_COLOURS_RGB[name], 255) for code, name in enumerate(STAGES, start=1)}


def forget(mapped: NDArray[np.uint8]) -> None:
    """Release the memory of an array that is mapped from disk; its content stays on disk and is read again when needed."""
    pages = getattr(mapped, "_mmap", None)
    if pages is not None and hasattr(mmap, "MADV_DONTNEED"):
        pages.madvise(mmap.MADV_DONTNEED)
