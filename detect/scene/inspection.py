"""Look at a decimated copy of a raster before anything else: which bands show the picture, and how no data is marked."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import ColorInterp

from detect.base.errors import InputError
from detect.scene.collar import find_collars
from detect.scene.marks import Marks, alpha_bands, has_mask_values, hides_nothing, is_picture, is_tagged, untagged_candidate
from detect.scene.opening import reading
from detect.scene.reader import read_native

_SAMPLE_PX = 1024  # longer side of the copy
_ABOVE_ZERO = float(np.finfo(np.float32).tiny)
_TAKEN = " and is taken as a mask"
_NOT_TAKEN = (
    ", as a mask has, but the picture goes on where it is 0, so it is not used; to use it, run gdal_edit.py -colorinterp_{} alpha"
)
_WORD, _LONE_LETTER = r"[a-z]+", r"(?<![a-z0-9])[a-z](?![a-z0-9])"
_OTHER_WORDS = {"edge", "rededge", "infrared", "near", "nir", "swir", "coastal", "deep", "ratio", "index", "mask"}
"""A band described with one of these is not the colour that stands beside it: red edge, near infrared, coastal blue."""
Triple = tuple[int, int, int]


@dataclass(frozen=True)
class Inspection:
    """What a look at a raster tells."""

    bands: Triple
    """1-based bands shown to the network as red, green, blue."""
    marks: Marks
    sample: NDArray[np.number]
    """Observed values (3, n)."""
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _MaskBand:
    """A band that may be a mask."""

    number: int | None
    values: NDArray[np.number] | None = None
    """The band (h, w), decimated."""
    tagged: bool = False


def inspect_raster(dataset: Any, path: str, bands: Sequence[int] | None) -> Inspection:
    """Choose bands, and find the marks of no data.

    Args:
        dataset: an open rasterio dataset.
        path: of the dataset, for errors.
        bands: the option ``--bands``; None: by number and meaning of the bands.

    Raises:
        InputError: the option does not fit, or the file is damaged.
    """
    notes: list[str] = []
    factor = max(1.0, max(dataset.height, dataset.width) / _SAMPLE_PX)
    size_hw = (max(1, round(dataset.height / factor)), max(1, round(dataset.width / factor)))
    with reading(dataset):
        mask = _mask_band(dataset, bands or (), size_hw, notes)
    chosen = choose_bands(dataset, path, bands, mask.number, notes)
    marks = Marks(tagged=is_tagged(dataset, chosen, mask.number if mask.tagged else None))
    values, seen = read_native(dataset, chosen, None, marks, size_hw)
    finite = np.isfinite(values).all(axis=0)
    notes += _broken(dataset, finite)
    if mask.values is not None and not mask.tagged:
        used = hides_nothing(mask.values, values)
        notes.append(f"no data: band {mask.number} has two values{_TAKEN if used else _NOT_TAKEN.format(mask.number)}")
        mask = mask if used else _MaskBand(None)
    if mask.values is not None:
        marks = replace(marks, mask_band=mask.number, opaque_from=max(float(mask.values.max()) / 2, _ABOVE_ZERO))
        seen &= mask.values >= marks.opaque_from
    collars = find_collars(values, seen, marked=bool((seen < finite).any()), px=factor) if seen.any() else ()
    place = tuple((np.arange(size) + 0.5) / size for size in size_hw)
    for collar in collars:
        seen &= ~collar.covers(values, (place[0], place[1]))
        if collar.is_noise:
            kind = "black" if not any(collar.colour) else "white"
            notes.append(
                f"no data: nearly {kind} values, up to {collar.tolerance:.0f} from it, fill the edge of the scene and are taken as no data"
            )
        elif any(collar.colour):
            notes.append(_said(collar.value, collar.colour))
    if not seen.any():
        notes.append("no data: no pixel holds an observation, so nothing can be found; check what marks no data (gdalinfo)")
    return Inspection(chosen, replace(marks, collars=collars), values[:, seen], tuple(notes))


def _mask_band(dataset: Any, chosen: Sequence[int], size_hw: tuple[int, int], notes: list[str]) -> _MaskBand:
    """The band that is tagged as alpha, unless it shows a picture; else the one that looks like a mask."""
    for number in alpha_bands(dataset):
        values = dataset.read(number, out_shape=size_hw)
        if number in chosen or dataset.count == 1 or is_picture(values):
            notes.append(f"bands: band {number} is tagged as alpha but shows a picture, so it is taken as a band")
        else:
            return _MaskBand(number, values, True)
    last = untagged_candidate(dataset)
    if last is not None and last not in chosen:
        values = dataset.read(last, out_shape=size_hw)
        if has_mask_values(values):
            return _MaskBand(last, values)
    return _MaskBand(None)


def choose_bands(dataset: Any, path: str, bands: Sequence[int] | None, mask: int | None, notes: list[str]) -> Triple:
    """The bands shown as red, green and blue: as the option says, else by colour tags, else by their number without the mask."""
    if bands is not None:
        if len(bands) not in (1, 3) or any(b < 1 or b > dataset.count for b in bands):
            raise InputError(
                f"{path}: --bands {','.join(map(str, bands))} does not fit; give one or three of 1 to {dataset.count}"
            )
        return (bands[0], bands[0], bands[0]) if len(bands) == 1 else (bands[0], bands[1], bands[2])
    meaning = list(dataset.colorinterp)
    rgb = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
    tagged = tuple(meaning.index(c) + 1 for c in rgb) if all(meaning.count(c) == 1 for c in rgb) else None
    described = _described(dataset.descriptions)
    if described is not None:
        if tagged is not None and tagged != described:
            notes.append(
                f"bands: {_numbers(described)} are described as red, green, blue and are taken; "
                f"the colour tags name {_numbers(tagged)} (--bands overrides)"
            )
        return described
    if tagged is not None:
        return tagged[0], tagged[1], tagged[2]
    pictures = [number for number in range(1, dataset.count + 1) if number != mask]
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


def _described(descriptions: Sequence[str | None]) -> Triple | None:
    """The bands that are described as red, green and blue; None unless each is exactly one.

    Letters count only where no colour is spelt out, and those before a number only where none stands alone: the B of "B04 (red)"
    and of "B04 R" says band.
    """
    texts = [(text or "").lower() for text in descriptions]
    texts = ["" if _OTHER_WORDS.intersection(re.findall(_WORD, text)) else text for text in texts]
    for names, pattern in ((("red", "green", "blue"), _WORD), ("rgb", _LONE_LETTER), ("rgb", _WORD)):
        named = [[i for i, text in enumerate(texts, start=1) if name in re.findall(pattern, text)] for name in names]
        if any(named):
            red, green, blue = named
            return (red[0], green[0], blue[0]) if len(red) == len(green) == len(blue) == 1 else None
    return None


def _numbers(bands: Sequence[int]) -> str:
    return ", ".join(map(str, bands))


def _broken(dataset: Any, finite: NDArray[np.bool_]) -> list[str]:
    """A line on numbers that are not finite, unless a tag says that they mark no data."""
    if finite.all() or any(value is not None and np.isnan(value) for value in dataset.nodatavals):
        return []
    share = f"{1 - finite.mean():.1%}"
    return [f"no data: {share} of the pixels hold no finite number (NaN or infinite) and are taken as no data"]


def _said(value: float | None, colour: tuple[float, ...]) -> str:
    """A line on a collar."""
    if value is None:
        return f"no data: the colour {', '.join(f'{v:g}' for v in colour)} fills the edge of the scene and is taken as no data"
    return (
        f"no data: the value {value:g} fills the edge of the scene and is taken as no data; "
        f"to record this in the file, run gdal_edit.py -a_nodata {value:g}"
    )
