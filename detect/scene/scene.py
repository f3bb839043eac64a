"""Any raster GDAL opens → values and validity at the network's ground sampling distance.

A *scene* is one georeferenced raster of one date. Its *work grid* is its own pixel grid rescaled to the network's GSD: same origin,
CRS and rotation, covering the extent exactly. ``SceneReader.read`` gives any span of it; what a work pixel holds never depends on the
span that asked, so blocks agree bit for bit.
"""

from __future__ import annotations

import atexit
import hashlib
import math
import os
import shutil
import tempfile
import threading
import urllib.request
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, MaskFlags, Resampling
from rasterio.errors import NotGeoreferencedWarning, RasterBlockError, RasterioError
from rasterio.transform import from_gcps
from rasterio.windows import Window
from scipy.sparse import csr_array
from shapely import Polygon

from detect.base.errors import InputError
from detect.base.geometry import ground_size_m
from detect.base.grid import Span
from detect.scene.dates import scene_date
from detect.scene.sun import Sun, scene_sun

# GDAL keeps decoded blocks in 5 % of the machine's memory; what is read once and in order needs far less. It looks when first used.
os.environ.setdefault("GDAL_CACHEMAX", "128")

COARSEST_GSD_M = 3.0
SIMULATED = "SIMULATED"  # in the description of pictures that `detect simulate` drew
"""A house has fewer than 20 pixels at 3 m; counting coarser images would only pretend."""
_STATISTICS_PX = 1024
_PERCENTILES = (1.0, 99.0)
_CHUNK_PX = 2_000_000  # native pixels resampled at a time, which bounds memory however far a scene is shrunk
_AREA_ONLY = 2.0  # shrunk by this much, pixels are averaged as they are: their grain goes in the mean
_ORDINARY = (0.36, 0.64)  # mean brightness after the stretch, 0–1; darker and brighter scenes are brought there
BLANK = 64  # what a person sees there, of 255
_FILL = 0.5  # what the network sees where nothing was observed: mid grey, as in training


@dataclass(frozen=True)
class WorkGrid:
    """A scene's pixels at the network's GSD."""

    size_hw: tuple[int, int]
    transform: Affine
    """Work pixels (x = column, y = row) → the scene's CRS."""
    gsd_m: float
    """Ground size of a work pixel, mean of both axes, metres."""
    scale_rc: tuple[float, float]
    """Native pixels per work pixel, along rows and columns."""


@dataclass(frozen=True)
class Scene:
    """What is known of a raster after opening it; holds no file handle."""

    path: str
    name: str
    """File stem; names the output folder."""
    crs: pyproj.CRS | None
    """None: the scene has no georeference, and ``transform`` gives metres from its upper left corner."""
    transform: Affine
    size_hw: tuple[int, int]
    gsd_rc_m: tuple[float, float]
    """True ground size of a pixel at the centre, along rows (y) and columns (x), metres."""
    bands: tuple[int, int, int]
    """1-based bands shown to the network as red, green, blue."""
    dtype: str
    date: str | None
    sun: Sun | None
    """Where it stood; None: not known."""
    stretch_lo: tuple[float, float, float]
    stretch_hi: tuple[float, float, float]
    gamma: float
    """Exponent after the stretch: below 1 lifts a dark scene, 1 leaves an ordinary one as it is."""
    brightness_mean: tuple[float, float, float]
    """Of the stretched, decimated scene per band, 0–1."""
    brightness_sd: tuple[float, float, float]
    black_is_nodata: bool
    """An untagged image with a black border: pixels that are zero in every band hold no observation."""
    sha256: str
    """Of the files' content; for remote files of their name and header."""
    warnings: tuple[str, ...] = ()

    @property
    def gsd_m(self) -> float:
        """Ground size of a pixel, mean of both axes, metres."""
        return (self.gsd_rc_m[0] + self.gsd_rc_m[1]) / 2

    @property
    def outline(self) -> Polygon:
        """Its four corners, in its CRS (metres without one)."""
        height, width = self.size_hw
        return Polygon([self.transform * corner for corner in ((0, 0), (width, 0), (width, height), (0, height))])

    @property
    def simulated(self) -> bool:
        """Whether it was drawn by ``detect simulate``."""
        return any(SIMULATED in warning for warning in self.warnings)

    def work_grid(self, gsd_m: float) -> WorkGrid:
        """The grid at a ground sampling distance, rounded so that whole pixels cover the scene exactly.

        Example: 1000 px of 0.30 m at 0.35 m → round(857.14) = 857 px of 0.35006 m.
        """
        sizes = [max(1, round(n * g / gsd_m)) for n, g in zip(self.size_hw, self.gsd_rc_m, strict=True)]
        scale = (self.size_hw[0] / sizes[0], self.size_hw[1] / sizes[1])
        gsd = (scale[0] * self.gsd_rc_m[0] + scale[1] * self.gsd_rc_m[1]) / 2
        return WorkGrid((sizes[0], sizes[1]), self.transform * Affine.scale(scale[1], scale[0]), gsd, scale)

    @contextmanager
    def reader(self, grid: WorkGrid) -> Iterator[SceneReader]:
        """A reader with a file handle of its own (one per thread)."""
        with _open(self.path) as dataset:
            yield SceneReader(self, grid, dataset)


class SceneReader:
    """Reads spans of a work grid."""

    def __init__(self, scene: Scene, grid: WorkGrid, dataset: Any) -> None:
        """Take an open rasterio dataset of the scene."""
        self._scene, self._grid, self._dataset = scene, grid, dataset
        lo, hi = np.array(scene.stretch_lo), np.array(scene.stretch_hi)
        self._lo = lo.astype(np.float32)[:, None, None]
        self._range = (hi - lo).astype(np.float32)[:, None, None]

    def read(self, span: Span) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Stretched values (3, H, W) in 0–1 and validity (H, W) of a span of the work grid.

        Means of the scene over each work pixel (see ``_axis_weights``), over valid pixels only. Beyond the scene's edge the
        values are reflected and not valid; unobserved pixels hold mid grey.
        """
        inside = span.clip(self._grid.size_hw)
        if inside.is_empty:
            return np.full((3, *span.size_hw), _FILL, np.float32), np.zeros(span.size_hw, bool)
        native_width = inside.width * self._grid.scale_rc[1]
        rows = max(1, int(_CHUNK_PX / (native_width * self._grid.scale_rc[0])))
        parts = [
            self._read_inside(Span(row, inside.col0, min(row + rows, inside.row1), inside.col1))
            for row in range(inside.row0, inside.row1, rows)
        ]
        values = np.concatenate([p[0] for p in parts], axis=1)
        valid = np.concatenate([p[1] for p in parts], axis=0)
        margins = ((inside.row0 - span.row0, span.row1 - inside.row1), (inside.col0 - span.col0, span.col1 - inside.col1))
        if any(m for pair in margins for m in pair):
            values = _reflect(values, margins)
            valid = np.pad(valid, margins)
        return values, valid

    def is_unstored(self, span: Span) -> bool:
        """Whether a sparse GeoTIFF stores no block under a span of the work grid, so that all of it is no data; told without reading.

        False also where this cannot be told: other formats, and files in which a missing block is not no data.
        """
        dataset, bands, (row_scale, col_scale) = self._dataset, sorted(set(self._scene.bands)), self._grid.scale_rc
        missing_is_nodata = self._scene.black_is_nodata or _is_marked_by_value(dataset, bands)
        inside = span.clip(self._grid.size_hw)
        if dataset.driver != "GTiff" or not missing_is_nodata or inside.is_empty:
            return False
        tall, wide = dataset.block_shapes[0]
        rows = range(int(inside.row0 * row_scale) // tall, (math.ceil(inside.row1 * row_scale) - 1) // tall + 1)
        cols = range(int(inside.col0 * col_scale) // wide, (math.ceil(inside.col1 * col_scale) - 1) // wide + 1)
        last = (-(-dataset.height // tall) - 1, -(-dataset.width // wide) - 1)
        blocks = ((b, min(row, last[0]), min(col, last[1])) for b in bands for row in rows for col in cols)
        return not any(_is_stored(dataset, *block) for block in blocks)

    def look(self, span: Span, size_hw: tuple[int, int]) -> NDArray[np.uint8]:
        """A span of the work grid for the eye: stretched colours (H, W, 3), dark grey where nothing was observed.

        GDAL averages, from the file's overviews where it has some, so that a large file need not be read in full. What a pixel holds may
        depend on the span that asked; so the network never sees it.

        Args:
            span: inside the scene.
            size_hw: of the result.
        """
        native, valid = self._averaged(span, size_hw)
        stretched = self.stretch(np.where(valid, native, np.float32(0)))
        return np.where(valid[..., None], np.rint(stretched.transpose(1, 2, 0) * 255), BLANK).astype(np.uint8)

    def colours(self, span: Span, size_hw: tuple[int, int]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """A span of the work grid in colours (H, W, 3), 0–1, whose proportions mean something, and where it was observed (H, W).

        A picture for the eye (uint8) keeps its own balance of colours; measured values are stretched band by band. Averaged as ``look``
        does.
        """
        native, valid = self._averaged(span, size_hw)
        shown = native / np.float32(255) if self._scene.dtype == "uint8" else self.stretch(native)
        return np.where(valid, shown, np.float32(0)).transpose(1, 2, 0), valid

    def _averaged(self, span: Span, size_hw: tuple[int, int]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        scale = self._grid.scale_rc
        window = Window(span.col0 * scale[1], span.row0 * scale[0], span.width * scale[1], span.height * scale[0])
        native, valid = _read_native(
            self._dataset, self._scene.bands, window, self._scene.black_is_nodata, size_hw, Resampling.average
        )
        return native.astype(np.float32), valid

    def _read_inside(self, span: Span) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        height, width = self._scene.size_hw
        (row_scale, col_scale), rows, cols = self._grid.scale_rc, (span.row0, span.row1), (span.col0, span.col1)
        row_weights, row0 = _axis_weights(*rows, row_scale, height, smooth=row_scale < _AREA_ONLY)
        col_weights, col0 = _axis_weights(*cols, col_scale, width, smooth=col_scale < _AREA_ONLY)
        window = Window(col0, row0, col_weights.shape[1], row_weights.shape[1])
        native, valid = _read_native(self._dataset, self._scene.bands, window, self._scene.black_is_nodata)
        if not valid.any():
            return np.full((3, *span.size_hw), _FILL, np.float32), np.zeros(span.size_hw, bool)
        native = native.astype(np.float32)
        if valid.all():
            share, seen = _resampled_ones(row_weights, col_weights), np.ones(span.size_hw, bool)
        else:
            native = np.where(valid, native, np.float32(0))
            share = _resample(valid.astype(np.float32), row_weights, col_weights)
            # What was seen is a matter of area, however smoothly the values are read.
            row_areas, row1 = _axis_weights(*rows, row_scale, height, smooth=False)
            col_areas, col1 = _axis_weights(*cols, col_scale, width, smooth=False)
            under = valid[row1 - row0 :, col1 - col0 :][: row_areas.shape[1], : col_areas.shape[1]]
            seen = _resample(under.astype(np.float32), row_areas, col_areas) >= 0.5
        values = np.empty((3, *span.size_hw), np.float32)
        done: dict[int, int] = {}
        for index, band in enumerate(self._scene.bands):
            if band in done:  # a panchromatic band is shown three times
                values[index] = values[done[band]]
                continue
            done[band] = index
            band_values = _resample(native[index], row_weights, col_weights) / np.maximum(share, np.float32(1e-6))
            values[index] = self._stretched(band_values, index)
        if not seen.all():
            values[:, ~seen] = _FILL
        return values, seen

    def stretch(self, native: NDArray[np.float32]) -> NDArray[np.float32]:
        """Native values (3, H, W) → 0–1, by the one stretch of the scene."""
        return np.stack([self._stretched(band, index) for index, band in enumerate(native)])

    def _stretched(self, band: NDArray[np.floating], index: int) -> NDArray[np.floating]:
        shown = np.clip((band - self._lo[index]) / self._range[index], 0, 1)
        return shown if self._scene.gamma == 1 else shown ** np.float32(self._scene.gamma)


def open_scene(
    path: str | Path,
    *,
    bands: Sequence[int] | None = None,
    gsd_m: float | None = None,
    date: str | None = None,
    sun_deg: tuple[float | None, float | None] = (None, None),
    coarsest_gsd_m: float = COARSEST_GSD_M,
) -> Scene:
    """Look at a raster: georeference, GSD, bands, date, brightness stretch.

    Args:
        path: a file, ``/vsi…`` path or URL that GDAL opens.
        bands: 1-based bands to show as red, green, blue, or one band; default by number and meaning of the bands.
        gsd_m: ground size of a pixel, only for an image without usable georeference.
        date: ISO day; default from a STAC item beside the file, its tags or its name (see ``detect.scene.dates``).
        sun_deg: elevation and azimuth of the sun; default from a STAC item beside the file or its tags (see ``detect.scene.sun``).
        coarsest_gsd_m: largest pixel that is taken, metres.

    Raises:
        InputError: not a raster, no or complex bands, no georeference and no ``gsd_m`` (or both), too coarse.
    """
    path = str(path)
    with _open(path) as dataset:
        _refuse_unusable(dataset, path)
        notes: list[str] = []
        chosen = _choose_bands(dataset, path, bands, notes)
        crs, transform = _georeference(dataset, path, gsd_m)
        size_hw = (dataset.height, dataset.width)
        gsd_rc_m = ground_size_m(transform, size_hw, crs)
        mean_gsd_m = sum(gsd_rc_m) / 2
        if not math.isfinite(mean_gsd_m) or mean_gsd_m <= 0:
            raise InputError(f"{path}: its georeference gives no ground size; check it with gdalinfo")
        if mean_gsd_m > coarsest_gsd_m:
            raise InputError(
                f"{path}: its pixels are {mean_gsd_m:.2f} m on the ground; buildings need {coarsest_gsd_m:g} m or finer"
            )
        if SIMULATED in dataset.tags().get("TIFFTAG_IMAGEDESCRIPTION", ""):
            notes.append(f"{SIMULATED}: the scene is drawn and shows no real place")
        black, lo, hi, gamma, mean, sd = _statistics(dataset, chosen)
        return Scene(
            path=path,
            name=Path(path.split("?")[0]).stem,
            crs=crs,
            transform=transform,
            size_hw=size_hw,
            gsd_rc_m=gsd_rc_m,
            bands=chosen,
            dtype=dataset.dtypes[chosen[0] - 1],
            date=scene_date(dataset, path, date),
            sun=scene_sun(dataset, path, *sun_deg),
            stretch_lo=lo,
            stretch_hi=hi,
            gamma=gamma,
            brightness_mean=mean,
            brightness_sd=sd,
            black_is_nodata=black,
            sha256=_fingerprint(dataset, path),
            warnings=tuple(notes),
        )


_OPENING = threading.Lock()
"""Which warnings are shown is one setting for all threads."""


@contextmanager
def _open(path: str) -> Iterator[Any]:
    """A rasterio dataset; any failure to open it is the user's to mend."""
    local = "://" not in path and not path.startswith("/vsi")
    if local and not Path(path).exists():
        raise InputError(f"{path}: no such file")
    if local and Path(path).is_dir():
        raise InputError(f"{path}: is a folder; name the raster files in it")
    with _OPENING, warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        try:
            try:
                dataset = rasterio.open(path)
            except RasterioError as cause:
                if not path.startswith(("http://", "https://")) or "Range downloading not supported" not in str(cause):
                    raise
                dataset = rasterio.open(_downloaded(path))
        except (RasterioError, OSError) as cause:
            reason = "no raster that GDAL can read" if local else f"cannot be opened ({' '.join(str(cause).split())})"
            raise InputError(f"{path}: {reason}; give a GeoTIFF, VRT, JPEG, PNG or the like") from cause
    try:  # not `with dataset`: it may be closed by another thread than the one that opened it
        yield dataset
    finally:
        dataset.close()


@cache
def _downloaded(url: str) -> str:
    """A copy of a file whose server cannot send parts of it, which GDAL needs; kept until the process ends."""
    folder = Path(tempfile.mkdtemp(prefix="detect-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    target = folder / Path(url.split("?")[0]).name
    with urllib.request.urlopen(url, timeout=60) as response, target.open("wb") as copy:
        shutil.copyfileobj(response, copy)
    return str(target)


def _refuse_unusable(dataset: Any, path: str) -> None:
    if dataset.count == 0:
        raise InputError(f"{path}: has no bands of its own; name one of its parts (gdalinfo lists the subdatasets)")
    if any("complex" in t for t in dataset.dtypes):
        raise InputError(f"{path}: has complex values (radar?); give an optical image, or its amplitude as a real band")
    if ColorInterp.palette in dataset.colorinterp:
        raise InputError(f"{path}: has a colour palette; expand it first with gdal_translate -expand rgb")


def _choose_bands(dataset: Any, path: str, bands: Sequence[int] | None, notes: list[str]) -> tuple[int, int, int]:
    if bands is not None:
        if len(bands) not in (1, 3) or any(b < 1 or b > dataset.count for b in bands):
            raise InputError(
                f"{path}: --bands {','.join(map(str, bands))} does not fit; give one or three of 1 to {dataset.count}"
            )
        return (bands[0], bands[0], bands[0]) if len(bands) == 1 else (bands[0], bands[1], bands[2])
    meaning = list(dataset.colorinterp)
    rgb = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
    if all(meaning.count(c) == 1 for c in rgb):
        first, second, third = (meaning.index(c) + 1 for c in rgb)
        return first, second, third
    pictures = [i + 1 for i, c in enumerate(meaning) if c is not ColorInterp.alpha]
    if len(pictures) < 3:
        return pictures[0], pictures[0], pictures[0]
    if len(pictures) == 8:
        notes.append(
            "bands: 8 bands without colour tags are taken as WorldView order, red 5, green 3, blue 2 (--bands overrides)"
        )
        return 5, 3, 2
    if len(pictures) > 3:
        notes.append(
            f"bands: {dataset.count} bands without colour tags, the first three are taken as red, green, blue (--bands overrides)"
        )
    return pictures[0], pictures[1], pictures[2]


def _georeference(dataset: Any, path: str, gsd_m: float | None) -> tuple[pyproj.CRS | None, Affine]:
    crs, transform = dataset.crs, dataset.transform
    if (crs is None or transform == Affine.identity()) and dataset.gcps[0]:
        points, crs = dataset.gcps
        transform = from_gcps(points)
        worst = max(math.dist(~transform * (p.x, p.y), (p.col, p.row)) for p in points)
        if worst > 2:
            raise InputError(f"{path}: its ground control points bend by {worst:.0f} px; rectify it first with gdalwarp")
    usable = crs is not None and transform != Affine.identity()
    if gsd_m is not None:
        if usable:
            raise InputError(f"{path}: is georeferenced, so --gsd {gsd_m:g} contradicts it; leave --gsd out")
        if not 0 < gsd_m < math.inf:
            raise InputError(f"{path}: --gsd is {gsd_m:g}; give the metres on the ground of one pixel, such as 0.5")
        return None, Affine.scale(gsd_m, -gsd_m)
    if not usable:
        hint = " (its RPCs need gdalwarp -rpc first)" if dataset.rpcs else ""
        raise InputError(f"{path}: has no usable georeference{hint}; give the metres on the ground of one pixel with --gsd")
    return pyproj.CRS.from_user_input(crs), transform


def _read_native(
    dataset: Any,
    bands: tuple[int, int, int],
    window: Window | None,
    black_is_nodata: bool,
    out_hw: tuple[int, int] | None = None,
    resampling: Resampling = Resampling.nearest,
) -> tuple[NDArray[np.number], NDArray[np.bool_]]:
    """Values (3, h, w) as they are stored and validity (h, w); ``out_hw`` asks for a decimated read."""
    wanted = sorted(set(bands))
    shape: dict[str, Any] = {} if out_hw is None else {"out_shape": (len(wanted), *out_hw), "resampling": resampling}
    read = dataset.read(wanted, window=window, **shape)
    shape = {} if out_hw is None else {"out_shape": out_hw}
    if _is_marked_by_value(dataset, wanted) and not shape:  # what GDAL would do, without reading twice
        valid = np.logical_or.reduce([values != dataset.nodatavals[b - 1] for b, values in zip(wanted, read, strict=True)])
    elif _has_mask(dataset, wanted):
        valid = np.logical_or.reduce([dataset.read_masks(b, window=window, **shape) > 0 for b in wanted])
    else:
        valid = np.ones(read.shape[1:], bool)
    if np.issubdtype(read.dtype, np.floating):
        valid &= np.isfinite(read).all(axis=0)
    if black_is_nodata:
        valid &= (read != 0).any(axis=0)
    return read if list(bands) == wanted else read[[wanted.index(b) for b in bands]], valid


def _has_mask(dataset: Any, bands: Sequence[int]) -> bool:
    return any(MaskFlags.all_valid not in dataset.mask_flag_enums[b - 1] for b in bands)


def _is_marked_by_value(dataset: Any, bands: Sequence[int]) -> bool:
    """Whether a no-data value alone, of whole numbers, says what was not observed."""
    return all(
        dataset.mask_flag_enums[b - 1] == [MaskFlags.nodata] and dataset.dtypes[b - 1].startswith(("int", "uint")) for b in bands
    )


def _is_stored(dataset: Any, band: int, row: int, col: int) -> bool:
    try:
        dataset.block_size(band, row, col)
    except RasterBlockError:  # no offset: it was never written
        return False
    return True


def _decimated_hw(dataset: Any) -> tuple[int, int]:
    factor = max(1.0, max(dataset.height, dataset.width) / _STATISTICS_PX)
    return max(1, round(dataset.height / factor)), max(1, round(dataset.width / factor))


def _black_border(values: NDArray[np.number]) -> bool:
    """Whether more than 1 % of the border of an image (3, h, w) without any no-data tag is exact black."""
    black = (values == 0).all(axis=0)
    border = np.concatenate([black[0], black[-1], black[:, 0], black[:, -1]])
    return bool(border.mean() > 0.01)


def _statistics(dataset: Any, bands: tuple[int, int, int]) -> tuple[bool, Any, Any, float, Any, Any]:
    """From one decimated read: is black no data, stretch limits (1st and 99th percentile per band), gamma, brightness after both."""
    values, valid = _read_native(dataset, bands, None, False, _decimated_hw(dataset))
    black = not _has_mask(dataset, sorted(set(bands))) and _black_border(values)
    if black:
        valid &= (values != 0).any(axis=0)
    seen = values[:, valid].astype(np.float32).astype(np.float64)  # (3, n)
    if seen.shape[1] == 0:
        return black, (0.0,) * 3, (1.0,) * 3, 1.0, (_FILL,) * 3, (0.0,) * 3
    lo, hi = np.percentile(seen, _PERCENTILES, axis=1)
    # A flat image must not be blown up into noise.
    floor = 40.0 if dataset.dtypes[bands[0] - 1] == "uint8" else np.maximum(np.abs(hi) * 0.05, 1e-6)
    spare = np.maximum(floor - (hi - lo), 0) / 2
    lo, hi = lo - spare, hi + spare
    stretched = np.clip((seen - lo[:, None]) / (hi - lo)[:, None], 0, 1)
    gamma = _gamma(float(stretched.mean()))
    stretched **= gamma
    return (
        black,
        tuple(lo.tolist()),
        tuple(hi.tolist()),
        gamma,
        tuple(stretched.mean(axis=1).tolist()),
        tuple(stretched.std(axis=1).tolist()),
    )


def _gamma(mean: float) -> float:
    """1 for a scene of ordinary brightness; else what brings its mean to the nearest ordinary one, roughly.

    A scene of 0.23 (a city under trees with some white roofs): ln 0.36 / ln 0.23 = 0.70.
    """
    ordinary = min(max(mean, _ORDINARY[0]), _ORDINARY[1])
    if ordinary == mean or not 0 < mean < 1:
        return 1.0
    return round(min(max(math.log(ordinary) / math.log(mean), 0.5), 2.0), 3)


def _axis_weights(start: int, stop: int, scale: float, size: int, *, smooth: bool) -> tuple[csr_array, int]:
    """Weights (work pixels, native pixels) of one axis and the first native pixel they touch.

    A work pixel is the mean of the scene over its own extent. Plainly, the scene is its pixels as they are: shrunk by 2.5, work pixel 1
    spans native 2.5–5.0 and takes half of 2 and all of 3 and 4, each over 2.5. Smoothly, it is their cubic B-spline, which leaves out
    the grain near the pixel's own frequency: that is what differs when a scene was resampled before. Beyond the edge the scene is
    mirrored. Weights come from absolute positions alone, so that they are the same whichever span asks.
    """
    work = np.arange(start, stop)
    low, high = (work * scale)[:, None], ((work + 1) * scale)[:, None]
    reach = 1.5 if smooth else 0.0  # beyond a native pixel's own sides
    taps = np.floor(low - reach).astype(np.int64) + np.arange(math.ceil(scale + 2 * reach) + 1)  # (work pixels, taps)
    if smooth:
        weights = (_spline_below(high - taps - 0.5) - _spline_below(low - taps - 0.5)) / scale
    else:
        weights = np.clip(np.minimum(taps + 1, high) - np.maximum(taps, low), 0, None) / scale
    kept = np.where(taps < 0, -1 - taps, np.where(taps >= size, 2 * size - 1 - taps, taps)).clip(0, size - 1)
    first = int(kept.min())
    pointers = np.arange(0, kept.size + 1, kept.shape[1])
    shape = (stop - start, int(kept.max()) - first + 1)
    matrix = csr_array((weights.astype(np.float32).ravel(), (kept - first).ravel(), pointers), shape=shape)
    matrix.sum_duplicates()
    return matrix, first


def _spline_below(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Integral of the cubic B-spline of unit spacing (Unser 1999, doi:10.1109/79.799930) from its left end to ``x``."""
    far = np.clip(2 - np.abs(x), 0, None)
    near = np.clip(1 - np.abs(x), 0, None)
    tail = (far**4 - 4 * near**4) / 24  # what lies beyond |x|
    return np.where(x < 0, tail, 1 - tail)


def _resample(native: NDArray[np.float32], rows: csr_array, cols: csr_array) -> NDArray[np.float32]:
    """(h, w) → (H, W); each output is summed in the order of its native pixels, hence exactly reproducible."""
    tall = rows @ native  # (H, w)
    return np.ascontiguousarray((cols @ np.ascontiguousarray(tall.T)).T)  # (H, W)


def _resampled_ones(rows: csr_array, cols: csr_array) -> NDArray[np.float32]:
    """``_resample`` of ones, to the last bit: rows have few different sums of weights, and only those are carried on."""
    sums, of = np.unique(rows @ np.ones(rows.shape[1], np.float32), return_inverse=True)
    return np.ascontiguousarray((cols @ np.tile(sums, (cols.shape[1], 1))).T[of])


def _reflect(values: NDArray[np.float32], margins: tuple[tuple[int, int], tuple[int, int]]) -> NDArray[np.float32]:
    for axis, margin in ((1, margins[0]), (2, margins[1])):
        widths = [(0, 0)] * 3
        widths[axis] = margin
        values = np.pad(values, widths, mode="reflect" if values.shape[axis] > 1 else "edge")
    return values


def _fingerprint(dataset: Any, path: str) -> str:
    digest = hashlib.sha256()
    files = [f for f in dataset.files if Path(f).is_file()]
    for file in files:
        with open(file, "rb") as handle:
            while part := handle.read(1 << 20):
                digest.update(part)
    if not files:
        digest.update(repr((path, dataset.shape, dataset.dtypes, dataset.transform, sorted(dataset.tags().items()))).encode())
    return digest.hexdigest()
