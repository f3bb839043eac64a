"""Find collars: a border without observation around a scene that has one constant colour and that no tag marks as no data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

SHARE_OF_BORDER = 0.01
"""A collar takes more than this share of the outermost pixels."""
LONGEST_RUN = 0.02
"""A collar of another value than 0 has an unbroken stretch of this share of the border, unlike overexposed roofs and clouds."""
CONNECTED = 0.9
"""At least this share of the pixels of a colour other than 0 is connected with the border."""
SMALLEST_PX = 32
"""Shorter sides tell too little of a colour other than 0."""
CORNERS = 3
"""A colour that programs do not use as filling is a collar if it fills this many corners, as around a scene that was turned."""
SMEAR = 15
"""Lossy compression moves 8-bit values near the edge of a collar by up to this much; GDAL's nearblack uses the same default."""
SMEARED_FROM = 0.05
"""The edge of a collar is smeared if this share of the ground next to it is nearly of the collar's colour."""
NOISE = 8
"""Nearly black or white values of 8 bits that may be a collar of their own, as compression or a sensor leaves them …"""
NOISE_SHARE = 0.01
"""… and of other whole numbers, as a share of the median of the picture."""
NOISE_OF_BORDER = 0.6
"""They are a collar if they also take this share of the outermost pixels and at least three corners."""
_SMEAR_PX = 16
"""How far compression carries a collar into the picture: two blocks of JPEG."""
_BRIGHTEST = {2.0**bits - 1 for bits in (8, 10, 11, 12, 14, 15, 16, 32)} | {9_999.0, 10_000.0}
_HUGE = 1e19
_NEVER_GROUND = 1e30
_MOST = 3  # collars in one scene: a white one around a sheet, a black one around the sheet when it was turned

Bands = NDArray[np.number]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Collar:
    """A colour that stands for no data."""

    colour: tuple[float, ...]
    """Value of each band, as stored."""
    zone: bytes = b""
    """Packed bits (rows, columns) of the coarse pixels in which ``tolerance`` is allowed for; empty if the collar is not smeared."""
    zone_hw: tuple[int, int] = (0, 0)
    tolerance: float = SMEAR
    is_noise: bool = False
    """Whether it has no one colour, but values near ``colour``."""

    @property
    def value(self) -> float | None:
        """The value of all bands; None if they differ."""
        return self.colour[0] if len(set(self.colour)) == 1 else None

    def covers(self, values: Bands, place: tuple[NDArray[np.float64], NDArray[np.float64]]) -> Mask:
        """Mask (h, w) of the pixels that belong to it.

        Args:
            values: (bands, h, w), with the bands of ``colour``.
            place: where the middles of the rows and of the columns lie in the raster, each from 0 to 1.
        """
        covered = _is_colour(values, self.colour)
        if self.zone:
            height, width = self.zone_hw
            zone = np.unpackbits(np.frombuffer(self.zone, np.uint8), count=height * width).reshape(height, width).astype(bool)
            rows, cols = ((at * size).astype(np.int64).clip(0, size - 1) for at, size in zip(place, self.zone_hw, strict=True))
            covered |= zone[np.ix_(rows, cols)] & _is_colour(values, self.colour, self.tolerance)
        return covered


def find_collars(values: Bands, valid: Mask, *, marked: bool, px: float = 1.0) -> tuple[Collar, ...]:
    """The collars of a picture.

    Candidates are 0; the lowest and highest value of the picture if programs use such a value as filling: below 0, the brightest value
    of 8 to 32 bits, a number beyond 1e19; and any colour that fills three corners. All bands must have it, and something else must
    be left. Last, nearly black or white values that noise has spread, if they fill most of the border and three corners.

    Args:
        values: a picture (bands, h, w), as stored; perhaps decimated.
        valid: mask (h, w) of what no tag marks as no data.
        marked: whether a tag marks any of it; then black needs the same evidence as other colours.
        px: native pixels per pixel of the picture.
    """
    found: list[Collar] = []
    everything = valid
    while len(found) < _MOST and (colour := _collar_colour(values, valid, strict=marked or bool(found))):
        filled = valid & _is_colour(values, colour)
        found.append(_with_smear(Collar(colour), values, filled, valid, px))
        valid = valid & ~filled
    smeared = {collar.value for collar in found} if values.dtype == np.uint8 else set()
    noise = None if marked or smeared & {0.0, 255.0} else _noise(values, everything)
    return tuple(found) if noise is None else (*found, noise)


def _noise(values: Bands, valid: Mask) -> Collar | None:
    """A collar of nearly black or white values; None if there is none, or if nearly all of it has one value."""
    if not np.issubdtype(values.dtype, np.integer) or min(values.shape[1:]) < SMALLEST_PX or not valid.any():
        return None
    is_byte, border = values.dtype == np.uint8, _outermost(valid)
    tolerance = float(NOISE if is_byte else NOISE_SHARE * np.median(values[:, valid]))
    for value in (0.0, 255.0) if is_byte else (0.0,):
        colour = (value,) * len(values)
        near = valid & _is_colour(values, colour, tolerance)
        if tolerance < 1 or near.ravel()[border].mean() < NOISE_OF_BORDER or _filled_corners(near) < CORNERS:
            continue
        zone = _edge_parts(near, valid)
        exact = zone & _is_colour(values, colour)
        if exact.sum() < 0.99 * zone.sum() and (valid & ~zone).any():
            return Collar(colour, np.packbits(zone).tobytes(), (zone.shape[0], zone.shape[1]), tolerance, is_noise=True)
    return None


def _filled_corners(mask: Mask) -> int:
    """How many corners of a mask (h, w) are True throughout."""
    size = max(2, min(mask.shape) // 64)
    ends = (slice(None, size), slice(-size, None))
    return sum(bool(mask[rows, cols].all()) for rows in ends for cols in ends)


def _collar_colour(values: Bands, valid: Mask, *, strict: bool) -> tuple[float, ...] | None:
    border = _outermost(valid)
    if not border.size:
        return None
    along, count = values.reshape(len(values), -1)[:, border], len(values)
    seen = values[:, valid]
    low, high = float(seen.min()), float(seen.max())
    for value in (0.0, low, high):
        on_border = _is_colour(along, (value,) * count)
        if abs(value) > _NEVER_GROUND:
            return (value,) * count
        if on_border.mean() > SHARE_OF_BORDER and (
            (value == 0 and not strict)
            or ((value <= 0 or value in _BRIGHTEST or value > _HUGE) and _is_collar(values, valid, on_border, (value,) * count))
        ):
            return (value,) * count
    for colour in _colours_of_corners(values):
        if _is_collar(values, valid, _is_colour(along, colour), colour):
            return colour
    return None


def _is_collar(values: Bands, valid: Mask, on_border: Mask, colour: tuple[float, ...]) -> bool:
    """Whether a colour fills the edge of what is valid as a collar does; ``on_border`` says where on the border it is."""
    if min(values.shape[1:]) < SMALLEST_PX or _longest_run(on_border) < LONGEST_RUN:
        return False
    filled = valid & _is_colour(values, colour)
    return bool((valid & ~filled).any()) and _touches_edge(filled, valid)


def _colours_of_corners(values: Bands) -> Iterator[tuple[float, ...]]:
    """The colour that fills at least three corners, if there is one."""
    size = max(2, min(values.shape[1:]) // 64)
    near, far = slice(None, size), slice(-size, None)
    corners = [values[:, rows, cols].reshape(len(values), -1) for rows in (near, far) for cols in (near, far)]
    flat = [tuple(map(float, corner[:, 0])) for corner in corners if (corner == corner[:, :1]).all()]
    yield from (colour for colour in dict.fromkeys(flat) if flat.count(colour) >= CORNERS)


def _is_colour(values: Bands, colour: tuple[float, ...], tolerance: float = 0.0) -> Mask:
    """Mask of the pixels of (bands, …) that have a colour in every band, or one that differs by a tolerance at most."""
    same = np.ones(values.shape[1:], bool)
    for band, value in zip(values, colour, strict=True):
        if tolerance:
            same &= np.abs(band.astype(np.float64) - value) <= tolerance
        else:
            same &= band == np.asarray(value).astype(band.dtype)
    return same


def _with_smear(collar: Collar, values: Bands, filled: Mask, valid: Mask, px: float) -> Collar:
    """The collar, with the zone in which it is smeared if an 8-bit picture shows that it is."""
    if values.dtype != np.uint8 or not set(collar.colour) <= {0.0, 255.0} or not 0 < filled.sum() < valid.sum():
        return collar  # ground is rarely that black or white, but often nearly grey
    reach = 1 + int(np.ceil(_SMEAR_PX / px))
    zone = cv2.dilate(_edge_parts(filled, valid).astype(np.uint8), np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)) > 0
    beside = cv2.dilate(filled.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool) & valid & ~filled
    if not beside.any() or _is_colour(values, collar.colour, SMEAR)[beside].mean() < SMEARED_FROM:
        return collar
    return replace(collar, zone=np.packbits(zone).tobytes(), zone_hw=(zone.shape[0], zone.shape[1]))


def _outermost(valid: Mask) -> NDArray[np.int64]:
    """Flat indices of the first and last valid pixel of each column and row, once around."""
    height, width = valid.shape
    cols, rows = np.flatnonzero(valid.any(axis=0)), np.flatnonzero(valid.any(axis=1))
    top, bottom = valid[:, cols].argmax(axis=0), height - 1 - valid[::-1, cols].argmax(axis=0)
    left, right = valid[rows].argmax(axis=1), width - 1 - valid[rows, ::-1].argmax(axis=1)
    return np.concatenate([top * width + cols, rows * width + right, (bottom * width + cols)[::-1], (rows * width + left)[::-1]])


def _longest_run(along: Mask) -> float:
    """Longest unbroken stretch of True around the picture, as a share of its length."""
    if along.all():
        return 1.0
    start = int(np.argmin(along))  # begins at a pixel of another value, so that no stretch is cut
    changes = np.flatnonzero(np.diff(np.r_[False, np.roll(along, -start), False].astype(np.int8)))
    lengths = changes[1::2] - changes[::2]
    return float(lengths.max() / along.size) if lengths.size else 0.0


def _edge_parts(filled: Mask, valid: Mask) -> Mask:
    """The part of a mask (h, w) that is connected with the border of what is valid."""
    count, labels = cv2.connectedComponents(filled.astype(np.uint8), connectivity=8)
    touching = np.zeros(count, bool)
    touching[np.unique(labels.ravel()[_outermost(valid)])] = True
    touching[0] = False
    return np.asarray(touching[labels])


def _touches_edge(filled: Mask, valid: Mask) -> bool:
    """Whether nearly all pixels of a mask (h, w) are connected with the border of what is valid."""
    return bool(_edge_parts(filled, valid).sum() >= CONNECTED * filled.sum())
