"""Read windows of a raster: values, and which of them are observations."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, MaskFlags, Resampling
from rasterio.errors import RasterBlockError
from rasterio.windows import Window

from detect.base.grid import Span
from detect.scene.marks import Marks
from detect.scene.opening import reading
from detect.scene.resample import AREA_ONLY, Taps, axis_weights, reflect, resample, resampled_ones, smooth_taps
from detect.scene.stretch import FILL, stretched

if TYPE_CHECKING:
    from detect.scene.scene import Scene, WorkGrid

BLANK = 64
"""Grey value, of 255, that a person sees where nothing was observed."""
_HOLE_PX = 9  # odd, so that opening moves nothing
_CHUNK_PX = 500_000  # native pixels resampled at a time; they stay in the cache, and memory is used again rather than asked for


class SceneReader:
    """Reads spans of a work grid; several threads may call it, but one at a time decodes."""

    def __init__(self, scene: Scene, grid: WorkGrid, dataset: Any) -> None:
        """Take an open rasterio dataset of the scene."""
        self._scene, self._grid, self._dataset, self._lock = scene, grid, dataset, threading.Lock()
        lo, hi = np.array(scene.stretch_lo), np.array(scene.stretch_hi)
        self._lo = lo.astype(np.float32)[:, None, None]
        self._range = (hi - lo).astype(np.float32)[:, None, None]

    def on(self, grid: WorkGrid) -> SceneReader:
        """A reader of another work grid through the same open file."""
        other = SceneReader(self._scene, grid, self._dataset)
        other._lock = self._lock
        return other

    def read(self, span: Span) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Stretched values (3, H, W) in 0–1 and validity (H, W) of a span of the work grid.

        Means of the scene over each work pixel (see ``axis_weights``), over valid pixels only. Beyond the scene's edge the
        values are reflected and not valid; unobserved pixels hold mid grey.
        """
        inside = span.clip(self._grid.size_hw)
        if inside.is_empty:
            return np.full((3, *span.size_hw), FILL, np.float32), np.zeros(span.size_hw, bool)
        native_width = inside.width * self._grid.scale_rc[1]
        rows = max(1, int(_CHUNK_PX / (native_width * self._grid.scale_rc[0])))
        parts = [
            self._read_inside(Span(row, inside.col0, min(row + rows, inside.row1), inside.col1))
            for row in range(inside.row0, inside.row1, rows)
        ]
        values = np.concatenate([p[0] for p in parts], axis=1) if len(parts) > 1 else parts[0][0]
        valid = np.concatenate([p[1] for p in parts], axis=0) if len(parts) > 1 else parts[0][1]
        margins = ((inside.row0 - span.row0, span.row1 - inside.row1), (inside.col0 - span.col0, span.col1 - inside.col1))
        if any(m for pair in margins for m in pair):
            values = reflect(values, margins)
            valid = np.pad(valid, margins)
        return values, valid

    def shown(self, span: Span, valid: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
        """Where the network is to see a span, (H, W); None: everywhere.

        Hidden are holes, at least ``_HOLE_PX`` wide and high. A network that sees nothing in finer ones, such as speckle, loses the
        buildings around them; mid grey serves there. Beyond the scene, where ``read`` reflects it, its holes are reflected too.

        Args:
            span: of the work grid.
            valid: (H, W), as ``read`` gives it.
        """
        inside = span.clip(self._grid.size_hw)
        observed = valid[inside.shift(-span.row0, -span.col0).slices()]
        if observed.all():
            return None
        top, left, bottom, right = inside.margins_in(span)
        missing = cv2.copyMakeBorder((~observed).astype(np.uint8), top, bottom, left, right, cv2.BORDER_REFLECT_101)
        holes = cv2.morphologyEx(missing, cv2.MORPH_OPEN, np.ones((_HOLE_PX, _HOLE_PX), np.uint8))
        return holes == 0 if holes.any() else None

    def unresampled(self, span: Span) -> tuple[NDArray[np.uint8], Taps, Taps] | None:
        """The stored pixels (3, h, w) under a span of the work grid, and the taps of its rows and columns, for a device that resamples.

        Resampled and stretched they are what ``read`` gives, but for rounding. None where ``read`` has to be used: some pixel was not
        observed, or the scene is not of 8 bits, or it is reduced so much that its pixels are better averaged here.
        """
        if self._scene.dtype != "uint8" or max(self._grid.scale_rc) >= AREA_ONLY:
            return None
        rows, cols = (
            smooth_taps(start, stop, self._grid.scale_rc[axis], self._scene.size_hw[axis], self._grid.size_hw[axis])
            for axis, (start, stop) in enumerate(((span.row0, span.row1), (span.col0, span.col1)))
        )
        window = Window(cols.first, rows.first, cols.count, rows.count)
        values, valid = self._native(window)
        return (values.astype(np.uint8, copy=False), rows, cols) if valid.all() else None

    @property
    def stretch_of_native(self) -> NDArray[np.float32]:
        """(7,) for each band the value that becomes 0, for each the range from there to 1, and gamma."""
        return np.concatenate([self._lo.ravel(), self._range.ravel(), [self._scene.gamma]]).astype(np.float32)

    def is_unstored(self, span: Span) -> bool:
        """Whether a sparse GeoTIFF stores no block under a span of the work grid, so that all of it has no data; nothing is read.

        Also False if this cannot be known: for other formats, and for files in which a missing block is not no data.
        """
        dataset, bands, (row_scale, col_scale) = self._dataset, sorted(set(self._scene.bands)), self._grid.scale_rc
        marks = self._scene.marks
        missing_is_nodata = any(c.value == 0 for c in marks.collars) or (marks.tagged and _is_marked_by_value(dataset, bands))
        inside = span.clip(self._grid.size_hw)
        if dataset.driver != "GTiff" or not missing_is_nodata or inside.is_empty:
            return False
        tall, wide = dataset.block_shapes[0]
        rows = range(int(inside.row0 * row_scale) // tall, (math.ceil(inside.row1 * row_scale) - 1) // tall + 1)
        cols = range(int(inside.col0 * col_scale) // wide, (math.ceil(inside.col1 * col_scale) - 1) // wide + 1)
        last = (-(-dataset.height // tall) - 1, -(-dataset.width // wide) - 1)
        blocks = ((b, min(row, last[0]), min(col, last[1])) for b in bands for row in rows for col in cols)
        with self._lock:
            return not any(_is_stored(dataset, *block) for block in blocks)

    def look(self, span: Span, size_hw: tuple[int, int]) -> NDArray[np.uint8]:
        """A span of the work grid for display: stretched colours (H, W, 3), dark grey where nothing was observed.

        GDAL averages, using overviews of the file if it has any, so that a large file need not be read completely. The value of a
        pixel may depend on the span, so the network never uses this.

        Args:
            span: inside the scene.
            size_hw: height and width of the result.
        """
        native, valid = self._averaged(span, size_hw)
        if native.dtype == np.uint8:  # 256 values, each stretched once
            every = np.tile(np.arange(256, dtype=np.float32), (3, 1, 1))
            picture = cv2.merge([cv2.LUT(*pair) for pair in zip(native, self._bytes(every), strict=True)])
        else:
            picture = cv2.merge([*self._bytes(np.where(valid, native, 0).astype(np.float32))])
        if not valid.all():
            picture[~valid] = BLANK
        return picture

    def colours(self, span: Span, size_hw: tuple[int, int]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """A span of the work grid in colours (H, W, 3), 0–1, with meaningful proportions, and where it was observed (H, W).

        A picture for display (uint8) keeps its balance of colours; measured values are stretched band by band. Averaged as in
        ``look``.
        """
        read, valid = self._averaged(span, size_hw)
        native = read.astype(np.float32)
        shown = native / np.float32(255) if self._scene.dtype == "uint8" else self.stretch(native)
        return np.where(valid, shown, np.float32(0)).transpose(1, 2, 0), valid

    def _averaged(self, span: Span, size_hw: tuple[int, int]) -> tuple[NDArray[np.number], NDArray[np.bool_]]:
        scale = self._grid.scale_rc
        window = Window(span.col0 * scale[1], span.row0 * scale[0], span.width * scale[1], span.height * scale[0])
        return self._native(window, size_hw, Resampling.average)

    def _bytes(self, native: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Native values (3, H, W) → stretched colours for display."""
        shown = self.stretch(native)
        shown *= 255
        return np.rint(shown, out=shown).astype(np.uint8)

    def _native(
        self, window: Window, out_hw: tuple[int, int] | None = None, resampling: Resampling = Resampling.nearest
    ) -> tuple[NDArray[np.number], NDArray[np.bool_]]:
        """See ``read_native``."""
        with self._lock:
            return read_native(self._dataset, self._scene.bands, window, self._scene.marks, out_hw, resampling)

    def _read_inside(self, span: Span) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        height, width = self._scene.size_hw
        (row_scale, col_scale), rows, cols = self._grid.scale_rc, (span.row0, span.row1), (span.col0, span.col1)
        row_weights, row0 = axis_weights(*rows, row_scale, height, smooth=row_scale < AREA_ONLY)
        col_weights, col0 = axis_weights(*cols, col_scale, width, smooth=col_scale < AREA_ONLY)
        window = Window(col0, row0, col_weights.shape[1], row_weights.shape[1])
        native, valid = self._native(window)
        if not valid.any():
            return np.full((3, *span.size_hw), FILL, np.float32), np.zeros(span.size_hw, bool)
        native = native.astype(np.float32)
        if valid.all():
            share, seen = resampled_ones(row_weights, col_weights), np.ones(span.size_hw, bool)
        else:
            native = np.where(valid, native, np.float32(0))
            share = resample(valid.astype(np.float32), row_weights, col_weights)
            # Validity depends on areas, however smoothly the values are read.
            row_areas, row1 = axis_weights(*rows, row_scale, height, smooth=False)
            col_areas, col1 = axis_weights(*cols, col_scale, width, smooth=False)
            under = valid[row1 - row0 :, col1 - col0 :][: row_areas.shape[1], : col_areas.shape[1]]
            seen = resample(under.astype(np.float32), row_areas, col_areas) >= 0.5
        share = np.maximum(share, np.float32(1e-6))
        values = np.empty((3, *span.size_hw), np.float32)
        done: dict[int, int] = {}
        for index, band in enumerate(self._scene.bands):
            if band in done:  # a panchromatic band is used three times
                values[index] = values[done[band]]
                continue
            done[band] = index
            resampled = resample(native[index], row_weights, col_weights)
            values[index] = self._stretched(np.divide(resampled, share, out=resampled), index)
        if not seen.all():
            values[:, ~seen] = FILL
        return values, seen

    def stretch(self, native: NDArray[np.float32]) -> NDArray[np.float32]:
        """Native values (3, H, W) → 0–1, by the one stretch of the scene."""
        return np.stack([self._stretched(band, index) for index, band in enumerate(native)])

    def _stretched(self, band: NDArray[np.floating], index: int) -> NDArray[np.floating]:
        return stretched(band, self._lo[index], self._range[index], self._scene.gamma)


def read_native(
    dataset: Any,
    bands: Sequence[int],
    window: Window | None,
    marks: Marks,
    out_hw: tuple[int, int] | None = None,
    resampling: Resampling = Resampling.nearest,
) -> tuple[NDArray[np.number], NDArray[np.bool_]]:
    """Values (bands, h, w) as they are stored and validity (h, w); with ``out_hw`` the read is decimated.

    Raises:
        InputError: a file on disk is damaged or cut off, or lacks a part that it names.
        DetectError: a remote file could not be read, which may be better the next time.
    """
    with reading(dataset):
        return _read_native(dataset, bands, window, marks, out_hw, resampling)


def _read_native(
    dataset: Any,
    bands: Sequence[int],
    window: Window | None,
    marks: Marks,
    out_hw: tuple[int, int] | None,
    resampling: Resampling,
) -> tuple[NDArray[np.number], NDArray[np.bool_]]:
    wanted = sorted(set(bands))
    shape: dict[str, Any] = {} if out_hw is None else {"out_shape": (len(wanted), *out_hw), "resampling": resampling}
    read = _bands(dataset, wanted, window, shape)
    if not marks.tagged:
        valid = np.ones(read.shape[1:], bool)
    elif _is_marked_by_value(dataset, wanted):  # what GDAL would do, without reading twice
        same = read if resampling is Resampling.nearest else _bands(dataset, wanted, window, {"out_shape": read.shape})
        valid = np.logical_or.reduce([values != dataset.nodatavals[b - 1] for b, values in zip(wanted, same, strict=True)])
    else:
        valid = np.logical_or.reduce([dataset.read_masks(b, window=window, out_shape=out_hw) > 0 for b in wanted])
    if marks.mask_band is not None:
        mask = dataset.read(marks.mask_band, window=window, out_shape=out_hw, resampling=resampling)
        valid &= mask >= marks.opaque_from
    if np.issubdtype(read.dtype, np.floating):
        valid &= np.isfinite(read).all(axis=0)
    shown = read if list(bands) == wanted else read[[wanted.index(b) for b in bands]]
    if marks.collars:
        place = _place(dataset, window, valid.shape)
        for collar in marks.collars:
            valid &= ~collar.covers(shown, place)
    return shown, valid


def dtype_of(dataset: Any, bands: Sequence[int]) -> str:
    """The type of the values of some bands as ``read_native`` gives them: one that holds all, where a VRT joins bands of several types."""
    return str(np.result_type(*(dataset.dtypes[band - 1] for band in bands)))


def _bands(dataset: Any, bands: list[int], window: Window | None, shape: dict[str, Any]) -> Any:
    """``dataset.read``, (bands, h, w), also of bands of several types."""
    if len({dataset.dtypes[band - 1] for band in bands}) == 1:
        return dataset.read(bands, window=window, **shape)
    if "out_shape" in shape:
        shape = shape | {"out_shape": shape["out_shape"][1:]}
    return np.stack([dataset.read(band, window=window, **shape) for band in bands]).astype(dtype_of(dataset, bands))


def _place(dataset: Any, window: Window | None, size_hw: tuple[int, int]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where the middles of the rows and of the columns of a window lie in a raster, each from 0 to 1."""
    inside = Window(0, 0, dataset.width, dataset.height) if window is None else window
    rows = (inside.row_off + (np.arange(size_hw[0]) + 0.5) * inside.height / size_hw[0]) / dataset.height
    cols = (inside.col_off + (np.arange(size_hw[1]) + 0.5) * inside.width / size_hw[1]) / dataset.width
    return rows, cols


def _is_marked_by_value(dataset: Any, bands: Sequence[int]) -> bool:
    """Whether only a no-data value, of bands of whole numbers or beside a band that is tagged as alpha, marks what was not observed."""
    only_value = all(dataset.mask_flag_enums[b - 1] == [MaskFlags.nodata] for b in bands)
    whole = all(dataset.dtypes[b - 1].startswith(("int", "uint")) for b in bands)
    return only_value and (whole or ColorInterp.alpha in dataset.colorinterp)


def _is_stored(dataset: Any, band: int, row: int, col: int) -> bool:
    try:
        dataset.block_size(band, row, col)
    except RasterBlockError:  # no offset: the block was never written
        return False
    return True
