"""Buildings drawn by hand on any image, and the windows in which they are complete.

One JSON file per image, any number of them in one folder:

    {"image": "town.jpg", "gsd_m": 0.9, "split": "train",
     "complete_windows_xywh": [[0, 0, 200, 150]],
     "outlines": [{"stage": "complete", "polygon_px": [[10, 10], [40, 10], [40, 30], [10, 30]]}]}

``image`` is relative to the file's folder, or to the folder above. Corners are pixels of the image, x = column and y = row,
(0, 0) its upper left corner. Inside the windows [x0, y0, width, height], ground without an outline is background; outside them an
outline is a building and everything else is unknown. A window without any outline teaches open ground.

``stage`` of an outline: foundation, incomplete, complete, or left out; other keys, such as ``id`` and ``kind``, are not read.
Optional keys of a file: ``gsd_m``, metres on the ground of one pixel, for images without georeference; ``place``, the
smallest unit that a split may not cut (default: the image's name); ``split``, train or val, for all files of a place
(default: a fifth of the places validate); ``bands``, which bands are red, green and blue ([3, 2, 1] swaps the first and
the third); ``licence``.

Mosaics of separate crops can be used unchanged: leave the seams out of the windows.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import shapely
from shapely import Polygon

from detect.base.errors import InputError
from detect.base.files import listed
from detect.base.stages import CODES
from detect.base.texts import read_text
from detect.datasets._masks import assumed_gsd_m
from detect.datasets.images import DataSet, LabelledImage, Outlines

LAYOUT = "*.json (image, outlines with polygon_px, complete_windows_xywh, gsd_m), images beside them or in the folder above"
_FAR_PX = 1e7
"""A coordinate beyond the edges of any image."""
Wrong = Callable[[str], InputError]
"""Makes the error for a fault in a file, with the name of the file."""


@dataclass(frozen=True)
class Drawing:
    """The checked content of one file."""

    path: Path
    image: str
    """The image as the file names it."""
    polygons: list[Polygon]
    """Native pixels (x = column, y = row)."""
    stages: list[str | None]
    windows: list[Polygon]
    place: str
    split: str | None = None
    gsd_m: float | None = None
    bands: tuple[int, int, int] | None = None
    licence: str | None = None
    kinds: list[str] = field(default_factory=list)
    """Kind of each building, in the words of the person who drew it."""

    def table(self) -> gpd.GeoDataFrame:
        """Outlines with ``stage``, then one polygon of ``unknown`` ground: all that lies outside the windows."""
        everything = shapely.box(-_FAR_PX, -_FAR_PX, _FAR_PX, _FAR_PX)
        outside = everything.difference(shapely.union_all(self.windows))
        return gpd.GeoDataFrame(
            {"stage": [*self.stages, None], "unknown": [False] * len(self.polygons) + [True]}, geometry=[*self.polygons, outside]
        )

    def with_more(self, other: Drawing) -> Drawing:
        """This drawing and another one of the same image."""
        return replace(
            self,
            polygons=self.polygons + other.polygons,
            stages=self.stages + other.stages,
            windows=self.windows + other.windows,
            kinds=self.kinds + other.kinds,
        )

    def image_path(self) -> Path:
        """The image, beside the file or below the folder above.

        Raises:
            InputError: it is in neither folder.
        """
        for folder in (self.path.parent, self.path.parent.parent):
            if (folder / self.image).is_file():
                return folder / self.image
        raise InputError(f"{self.path}: names the image {self.image}, which is neither in its folder nor in the one above")


def images(source: Path) -> Iterator[LabelledImage]:
    """The image of every file."""
    drawings = drawings_in(source)
    if not drawings:
        raise InputError(f"{source}: holds no .json file; outlines is read as {LAYOUT}")
    for drawing in drawings:
        yield labelled(drawing)


def labelled(drawing: Drawing, **known: Any) -> LabelledImage:
    """A drawing as an image of a data set; ``known`` are fields of ``LabelledImage`` that are not in the file."""
    said = {"gsd_m": drawing.gsd_m, "split": drawing.split, "bands": drawing.bands, "licence": drawing.licence}
    stated = {key: value for key, value in said.items() if value is not None}
    path = drawing.image_path()
    if drawing.gsd_m is not None and assumed_gsd_m(path, drawing.gsd_m) is None:
        del stated["gsd_m"]  # the georeference of the image is more exact
    return LabelledImage(path, drawing.place, Outlines(drawing.table), **{**known, **stated})


def drawings_in(folder: Path) -> list[Drawing]:
    """Every ``*.json`` of a folder, by name.

    If a place has files of both splits, each of its images is a place of its own.

    Raises:
        InputError: a file that does not follow ``LAYOUT``.
    """
    return own_places(read_drawings(folder))


def read_drawings(folder: Path) -> list[Drawing]:
    """Every ``*.json`` of a folder, by name, each with the place that it names.

    Raises:
        InputError: a file that does not follow ``LAYOUT``.
    """
    return [read_drawing(path) for path in listed(folder, "*.json")]


def own_places(drawings: list[Drawing]) -> list[Drawing]:
    """The drawings; if a place occurs in both splits, the name of the image becomes the place."""
    splits: dict[str, set[str | None]] = {}
    for drawing in drawings:
        splits.setdefault(drawing.place, set()).add(drawing.split)
    return [replace(d, place=Path(d.image).stem) if len(splits[d.place]) > 1 else d for d in drawings]


def read_drawing(path: Path) -> Drawing:
    """One file.

    Raises:
        InputError: the file is not valid JSON, a key is missing, or a value is wrong.
    """
    try:
        said = json.loads(read_text(path))
    except (ValueError, RecursionError) as cause:
        raise InputError(f"{path}: is not valid JSON ({' '.join(str(cause).split())})") from cause
    wrong = partial(_wrong, path)
    if not isinstance(said, dict) or not isinstance(said.get("image"), str):
        raise wrong("names no image; outlines is read as " + LAYOUT)
    outlines, windows = said.get("outlines"), said.get("complete_windows_xywh")
    if not isinstance(outlines, list) or not isinstance(windows, list):
        raise wrong("needs the lists outlines and complete_windows_xywh (which may be empty)")
    if not outlines and not windows:
        raise wrong("holds neither an outline nor a window; delete it, or say in which window there is nothing")
    polygons, stages, kinds = _outlines(outlines, wrong)
    split, gsd_m, bands = _about_the_image(said, wrong)
    return Drawing(
        path,
        said["image"],
        polygons,
        stages,
        _windows(windows, wrong),
        place=str(said.get("place") or Path(said["image"]).stem),
        split=split,
        gsd_m=gsd_m,
        bands=bands,
        licence=said.get("licence"),
        kinds=kinds,
    )


def _outlines(outlines: list[Any], wrong: Wrong) -> tuple[list[Polygon], list[str | None], list[str]]:
    """Polygon, stage and kind of each outline."""
    polygons, stages, kinds = [], [], []
    for number, outline in enumerate(outlines, start=1):
        corners = _numbers(outline.get("polygon_px") if isinstance(outline, dict) else None)
        if corners is None or corners.ndim != 2 or corners.shape[1] != 2 or len(corners) < 3:
            raise wrong(f"outline {number}: polygon_px is a list of three or more corners [x, y]")
        stage = outline.get("stage") or None
        if stage is not None and stage not in CODES:
            raise wrong(f"outline {number}: stage is {stage!r}; it can be {', '.join(CODES)} or be left out")
        polygons.append(Polygon(corners))
        stages.append(stage)
        kinds.append(str(outline.get("kind") or ""))
    return polygons, stages, kinds


def _windows(windows: list[Any], wrong: Wrong) -> list[Polygon]:
    boxes = []
    for number, window in enumerate(windows, start=1):
        sides = _numbers(window)
        if sides is None or sides.shape != (4,) or (sides[2:] < 0).any():
            raise wrong(f"window {number}: complete_windows_xywh holds [x0, y0, width, height], not {window!r}")
        x0, y0, width, height = sides.tolist()
        boxes.append(shapely.box(x0, y0, x0 + width, y0 + height))
    return boxes


def _about_the_image(said: dict[str, Any], wrong: Wrong) -> tuple[str | None, float | None, tuple[int, int, int] | None]:
    """Split, ground size of a pixel and band numbers; None if the file leaves them out."""
    split, gsd_m, bands = said.get("split"), said.get("gsd_m"), said.get("bands")
    if split not in (None, "train", "val"):
        raise wrong(f"split is {split!r}; it can be train or val, or be left out")
    if gsd_m is not None and not (isinstance(gsd_m, int | float) and 0 < gsd_m < np.inf):
        raise wrong(f"gsd_m is {gsd_m!r}; give the metres on the ground of one pixel, such as 0.5")
    if bands is None:
        return split, gsd_m, None
    if not (isinstance(bands, list) and len(bands) == 3 and all(isinstance(b, int) and b > 0 for b in bands)):
        raise wrong(f"bands is {bands!r}; give the numbers of red, green and blue, such as [3, 2, 1]")
    return split, gsd_m, (bands[0], bands[1], bands[2])


def _wrong(path: Path, what: str) -> InputError:
    return InputError(f"{path}: {what}")


def _numbers(value: Any) -> np.ndarray | None:
    """Finite numbers as an array; None if there is anything else."""
    try:
        numbers = np.asarray(value, dtype=float)
    except (TypeError, ValueError):
        return None
    return numbers if np.isfinite(numbers).all() else None


DATA_SET = DataSet(
    name="outlines",
    title="buildings drawn by hand on any image, complete inside windows",
    licence="your own",
    gsd_m="any",
    places="as in the files; else each image",
    sensor="",
    labels="outlines and stages; complete inside windows, unknown outside",
    source="your imagery and drawings",
    cite="as your imagery asks",
    images=images,
    layout=LAYOUT,
)
