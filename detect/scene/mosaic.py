"""A mosaic of sheets: whether their pixels fit together, and the VRT that shows them as one raster; no pixel is copied."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from affine import Affine
from rasterio.enums import MaskFlags

from detect.base.errors import InputError
from detect.scene.marks import alpha_bands
from detect.scene.opening import opened
from detect.scene.overlays import SUFFIXES
from detect.scene.scene import Scene

_OFF_GRID_PX = 0.1
"""How far a sheet may lie off the grid of another one and still fit."""
_MARK = "mosaic of sheets by detect predict --join"
_TYPE_NAMES = {
    "uint8": "Byte", "int8": "Int8", "uint16": "UInt16", "int16": "Int16", "uint32": "UInt32", "int32": "Int32",
    "float32": "Float32", "float64": "Float64",
}  # fmt: skip


@dataclass(frozen=True)
class Layout:
    """What two sheets must have in common, and how each marks what was not observed."""

    dtypes: tuple[str, ...]
    colours: tuple[str, ...]
    """GDAL's name of each band's colour."""
    descriptions: tuple[str | None, ...]
    tags: dict[str, str]
    block_hw: tuple[int, int]
    void: str | None
    """Value of unobserved pixels, as text (NaN is not equal to itself); None if there is none."""
    masked: bool
    """Whether a mask or an alpha band marks them."""
    hindrance: str | None
    """Why no mosaic can show how they are marked, in words; None if one can."""

    @property
    def bands(self) -> tuple[Any, ...]:
        """What must be the same in all sheets."""
        return self.dtypes, self.colours


def layout_of(scene: Scene) -> Layout:
    """The layout of a scene's file."""
    with opened(scene.path) as dataset:
        flags = {flag for band in dataset.mask_flag_enums for flag in band}
        void: float | None = scene.marks.fill
        if MaskFlags.nodata in flags:
            void = dataset.nodatavals[scene.bands[0] - 1]
        elif void is None and MaskFlags.all_valid in flags and dataset.dtypes[0].startswith("float"):
            void = np.nan
        return Layout(
            dtypes=tuple(dataset.dtypes),
            colours=tuple(colour.name.capitalize() for colour in dataset.colorinterp),
            descriptions=tuple(dataset.descriptions),
            tags=dataset.tags(),
            block_hw=dataset.block_shapes[0],
            void=None if void is None else repr(float(void)),
            masked=MaskFlags.nodata not in flags and bool({MaskFlags.per_dataset, MaskFlags.alpha} & flags),
            hindrance=_hindrance(scene, dataset, void),
        )


def _hindrance(scene: Scene, dataset: Any, void: float | None) -> str | None:
    """Why a mosaic, in which GDAL follows the tags alone, would show other pixels than the sheet."""
    marks, alpha = scene.marks, alpha_bands(dataset)
    if alpha and marks.mask_band is None:
        return (
            f"band {alpha[0]} is tagged as alpha but shows a picture; gdal_edit.py -colorinterp_{alpha[0]} undefined corrects it"
        )
    if marks.mask_band is not None and marks.mask_band not in alpha:
        return f"band {marks.mask_band} is a mask without a tag; gdal_edit.py -colorinterp_{marks.mask_band} alpha sets it"
    if alpha and void is not None:
        return "no data is marked by an alpha band and by a value; gdal_edit.py -unsetnodata leaves alpha alone"
    if marks.collars and (marks.fill is None or marks.tagged):
        return "no data is marked by several values or colours; nearblack -setmask (GDAL) makes one mask of them"
    return None


def misfit(first: Scene, second: Scene, layouts: tuple[Layout, Layout]) -> str | None:
    """Why two scenes cannot be sheets of one picture, in words; None if they fit."""
    ours, theirs = layouts
    if not all(Path(scene.path).is_file() for scene in (first, second)):
        return "only files on this machine can be joined"
    if any(scene.path.lower().endswith(SUFFIXES) for scene in (first, second)):
        return "ground overlays of Google Earth cannot be joined"
    if first.date != second.date:
        return "one of them has no date; --date gives it"
    if first.crs != second.crs:
        return "coordinate systems differ"
    if hindrance := ours.hindrance or theirs.hindrance:
        return hindrance
    if ours.bands != theirs.bands or not set(ours.dtypes) <= _TYPE_NAMES.keys():
        return "bands differ"
    if not _same_pixels(first, second):
        return "pixel sizes differ"
    column, row = _offset_px(first, second)
    if max(abs(column - round(column)), abs(row - round(row))) > _OFF_GRID_PX:
        return "pixel grids are shifted against each other"
    return None


def contradiction(layouts: Sequence[Layout]) -> str | None:
    """Why sheets that fit in pairs cannot share one mark of unobserved pixels; None if they can."""
    voids = {layout.void for layout in layouts} - {None}
    if len(voids) > 1 or (voids and any(layout.masked for layout in layouts)):
        return "no data is marked in different ways"
    return None


def write_mosaic(path: Path, scenes: Sequence[Scene], layouts: Sequence[Layout], *, overwrite: bool) -> None:
    """Write the VRT of sheets that fit; where they overlap, the first one that has data is shown.

    Args:
        path: the file; it may hold the same mosaic already.
        scenes: the sheets.
        layouts: of each.
        overwrite: replace another mosaic that is there.

    Raises:
        InputError: the file holds something else.
    """
    text = _mosaic(path, scenes, layouts)
    if path.exists():
        there = path.read_text(encoding="utf-8", errors="replace")
        if there == text:
            return
        if not overwrite or _MARK not in there:
            hint = "give --overwrite to replace it, or another --out" if _MARK in there else "give another --out"
            raise InputError(f"{path}: holds something else already; {hint}")
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    aside.write_text(text, encoding="utf-8")
    aside.replace(path)


def _same_pixels(first: Scene, second: Scene) -> bool:
    """Whether pixels have one size and direction, so that the grids agree over both scenes."""
    turn = ~first.transform * second.transform
    longest = max(*first.size_hw, *second.size_hw)
    return max(abs(turn.a - 1), abs(turn.b), abs(turn.d), abs(turn.e - 1)) * longest <= _OFF_GRID_PX


def _offset_px(first: Scene, second: Scene) -> tuple[float, float]:
    """Column and row of the second scene's corner in the grid of the first."""
    column, row = ~first.transform * (second.transform.c, second.transform.f)
    return column, row


def _mosaic(path: Path, scenes: Sequence[Scene], layouts: Sequence[Layout]) -> str:
    corners = [tuple(map(round, _offset_px(scenes[0], scene))) for scene in scenes]
    left, top = (min(corner[axis] for corner in corners) for axis in (0, 1))
    width = max(column + scene.size_hw[1] for (column, _), scene in zip(corners, scenes, strict=True)) - left
    height = max(row + scene.size_hw[0] for (_, row), scene in zip(corners, scenes, strict=True)) - top
    place = scenes[0].transform * Affine.translation(left, top)
    void = next((layout.void for layout in layouts if layout.void is not None), None)
    root = ElementTree.Element("VRTDataset", rasterXSize=str(width), rasterYSize=str(height))
    assert scenes[0].crs is not None
    _add(root, "SRS", scenes[0].crs.to_wkt())
    _add(root, "GeoTransform", ", ".join(map(repr, place.to_gdal())))
    _add(_add(root, "Metadata", domain="detect"), "MDI", _MARK, key="MADE_AS")
    shared = set.intersection(*(set(layout.tags.items()) for layout in layouts))
    metadata = _add(root, "Metadata")
    for key, value in sorted(shared):
        if value.isprintable():  # XML has no other control characters than line breaks and tabs
            _add(metadata, "MDI", value, key=key)
    pieces = [
        _Piece(_from(path.parent, scene.path), column - left, row - top, scene.size_hw, layout)
        for (column, row), scene, layout in zip(corners, scenes, layouts, strict=True)
    ][::-1]  # GDAL shows the last one
    first = layouts[0]
    for index, (dtype, colour, description) in enumerate(zip(first.dtypes, first.colours, first.descriptions, strict=True)):
        band = _add(root, "VRTRasterBand", dataType=_TYPE_NAMES[dtype], band=str(index + 1))
        if description:
            _add(band, "Description", description)
        if void is not None:
            _add(band, "NoDataValue", void)
        _add(band, "ColorInterp", colour)
        for piece in pieces:
            _add(piece.source(band, str(index + 1)), *(("UseMaskBand", "true") if void is None else ("NODATA", void)))
    if void is None:
        mask = _add(_add(root, "MaskBand"), "VRTRasterBand", dataType="Byte")
        for piece in pieces:
            _add(piece.source(mask, "mask,1"), "NODATA", "0")
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode") + "\n"


@dataclass(frozen=True)
class _Piece:
    """A sheet in the mosaic."""

    file: str
    """Relative to the folder of the mosaic."""
    column: int
    row: int
    size_hw: tuple[int, int]
    layout: Layout

    def source(self, band: ElementTree.Element, number: str) -> ElementTree.Element:
        """A new source of a band of the mosaic; ``number`` is the band of the sheet."""
        height, width = map(str, self.size_hw)
        source = _add(band, "ComplexSource")
        _add(source, "SourceFilename", self.file, relativeToVRT="1")
        _add(source, "SourceBand", number)
        tall, wide = map(str, self.layout.block_hw)
        _add(
            source,
            "SourceProperties",
            RasterXSize=width,
            RasterYSize=height,
            DataType=_TYPE_NAMES[self.layout.dtypes[0]],
            BlockXSize=wide,
            BlockYSize=tall,
        )  # spares GDAL opening every sheet to show one
        _add(source, "SrcRect", xOff="0", yOff="0", xSize=width, ySize=height)
        _add(source, "DstRect", xOff=str(self.column), yOff=str(self.row), xSize=width, ySize=height)
        return source


def _add(parent: ElementTree.Element, name: str, text: str | None = None, **attributes: str) -> ElementTree.Element:
    child = ElementTree.SubElement(parent, name, attributes)
    child.text = text
    return child


def _from(folder: Path, file: str) -> str:
    """A file relative to a folder; symbolic links of both are followed, as the system does when it opens the file."""
    target = Path(file)
    return os.path.relpath(target.parent.resolve() / target.name, folder.resolve())
