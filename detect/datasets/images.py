"""How an adapter describes a data set and its images, and the label arrays that follow.

An adapter is one module with ``DATA_SET`` (a ``DataSet``) whose ``images`` walks the published folder layout and yields a
``LabelledImage`` per image. It opens no raster: labels are read when the image is cut.
"""

from __future__ import annotations

import hashlib
import re
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import geopandas as gpd
import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.features import rasterize

from detect.base.errors import InputError
from detect.base.files import listed
from detect.base.placement import elsewhere
from detect.base.stages import CODES
from detect.base.vectors import geometries_of, polygons_only, read_vector
from detect.datasets.chips import UNKNOWN
from detect.scene.scene import Scene, WorkGrid

COARSE_INSIDE_M, COARSE_OUTSIDE_M = 0.8, 1.6  # distance from a coarse edge beyond which a label is trusted
_HALF = 127
"""Half of the ground of a pixel, in a byte."""
_NO_FEATURES = re.compile(rb'"features"\s*:\s*\[\s*\]')
VAL_SHARE = 0.2
"""Share of a data set's places that validate, if the publisher gives no split or one that divides places."""


@dataclass(frozen=True)
class Outlines:
    """One polygon per building."""

    read: Callable[[], gpd.GeoDataFrame]
    """The table, in any CRS; without one the coordinates are native pixels (x = column, y = row). A column ``stage`` (foundation,
    incomplete, complete, or empty) is used where there is one; a true ``unknown`` marks ground about which nothing is known."""


@dataclass(frozen=True)
class Mask:
    """A raster label of the image's size."""

    read: Callable[[], NDArray[np.uint8]]
    """(H, W) of native pixels: 1 building, 0 not, 255 unknown. Touching pixels (4 neighbours) are one building."""


@dataclass(frozen=True)
class Labels:
    """The label arrays of one image, each (H, W) on its work grid."""

    instances: NDArray[np.int32]
    """0 none."""
    footprint: NDArray[np.uint8]
    """0, 1 or ``UNKNOWN``."""
    stage: NDArray[np.uint8]
    """0 unknown, 1 foundation, 2 incomplete, 3 complete."""
    placed: bool | None = None
    """Whether an outline touches the image; None if the label has no outlines."""
    elsewhere: str = ""
    """How the label lies if it does not touch the image."""


@dataclass(frozen=True)
class LabelledImage:
    """One image of a data set and its label."""

    path: Path
    place: str
    """Smallest unit that a split may not cut: a city, or a scene."""
    label: Outlines | Mask
    label_kind: str = "outlines"
    """A key of ``detect.datasets.chips.LABEL_KINDS``."""
    split: str | None = None
    """train or val, if the publisher's split keeps places whole; None: a fifth of the places validate."""
    gsd_m: float | None = None
    """Ground size of a pixel, only if the image has no georeference."""
    bands: tuple[int, int, int] | None = None
    """Numbers of the red, green and blue band, if the file's own tags are wrong."""
    licence: str | None = None
    """Only if it differs from the data set's."""
    sensor: str | None = None
    """Only if it differs from the data set's."""
    area: Callable[[], gpd.GeoDataFrame] | None = None
    """Polygons inside which the label is complete; outside nothing is known."""
    all_complete: bool = False
    """An outline without a stage is a finished building."""
    val_area: Callable[[], gpd.GeoDataFrame] | None = None
    """Polygons inside which one large image validates, while the rest of it trains."""
    val_east: float = 0.0
    """Share of the labelled ground, on its eastern side, that validates, if a set has only one scene."""
    refine: Callable[[Labels, Affine], None] | None = None
    """Changes the label arrays in place; the affine maps native to work pixels (x, y)."""
    data_set: str | None = None
    """Name of the data set, if a folder holds parts of several."""


@dataclass(frozen=True)
class DataSet:
    """What a user needs to know before downloading, and how the download is read."""

    name: str
    title: str
    licence: str
    """SPDX identifiers if there are any, several joined by ``; ``."""
    gsd_m: str
    places: str
    sensor: str
    labels: str
    source: str
    """Where to get it."""
    cite: str
    images: Callable[[Path], Iterable[LabelledImage]]
    """Source folder → its images, in a fixed order; raises InputError if a part of the layout is missing."""
    layout: str
    """The expected folders and files, in one line."""


def require(path: Path, data_set: str, layout: str) -> Path:
    """The path, if it is there.

    Raises:
        InputError: it is missing; the message describes the layout.
    """
    if not path.exists():
        raise InputError(f"{path}: missing; {data_set} is read as {layout}; was it downloaded and unpacked in full?")
    return path


def files(folder: Path, pattern: str, data_set: str, layout: str) -> list[Path]:
    """Files of a folder by a pattern, sorted; at least one.

    Raises:
        InputError: there is none.
    """
    found = [p for p in listed(folder, pattern) if p.is_file()]
    if not found:
        raise InputError(f"{folder / pattern}: no such file; {data_set} is read as {layout}; was it downloaded in full?")
    return found


def vector(path: Path, layer: str | None = None) -> Callable[[], gpd.GeoDataFrame]:
    """A function that reads a vector file; one without any feature, which GDAL may refuse, gives an empty table."""

    def read() -> gpd.GeoDataFrame:
        if path.suffix.lower() in (".geojson", ".json") and path.is_file():
            with path.open("rb") as file:
                if _NO_FEATURES.search(file.read(2000)):
                    return gpd.GeoDataFrame(geometry=[], crs=4326)
        return read_vector(path, layer)

    return read


def raster(path: Path, code: Callable[[NDArray], NDArray[np.uint8]]) -> Callable[[], NDArray[np.uint8]]:
    """A function that reads a label raster, (H, W) or (H, W, 3) RGB, and codes it in the form of ``Mask``."""

    def read() -> NDArray[np.uint8]:
        values = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        if values is None:
            raise InputError(f"{path}: is not a readable image; download it again")
        if values.ndim == 3:
            values = values[..., 2::-1]
        return code(values).astype(np.uint8)

    return read


def with_splits(images: Iterable[LabelledImage]) -> Iterator[tuple[LabelledImage, str]]:
    """Each image with its split; if none is given, by place, the same on every machine."""
    listed = list(images)
    open_places = sorted({i.place for i in listed if i.split is None})
    chosen = sorted(open_places, key=lambda place: hashlib.sha256(place.encode()).hexdigest())
    validating = set(chosen[: max(1, round(VAL_SHARE * len(chosen)))]) if len(chosen) > 1 else set()
    for image in listed:
        yield image, image.split or ("val" if image.place in validating else "train")


def labels_of(image: LabelledImage, scene: Scene, grid: WorkGrid) -> Labels:
    """The label arrays of an image on the work grid."""
    if isinstance(image.label, Mask):
        labels = from_mask(image.label.read(), grid, coarse=image.label_kind == "coarse")
    else:
        table = image.label.read()
        _refuse_points(table, image.path)
        labels = from_outlines(table, scene, grid)
    if image.all_complete:
        labels.stage[(labels.footprint == 1) & (labels.stage == 0)] = CODES["complete"]
    if image.refine is not None:
        image.refine(labels, ~Affine.scale(grid.scale_rc[1], grid.scale_rc[0]))
    if image.area is not None:
        labels.footprint[~inside(image.area, scene, grid)] = UNKNOWN
    return labels


def _refuse_points(table: gpd.GeoDataFrame, path: Path) -> None:
    """Refuse labels that are points or lines, which would teach that there is no building; warn if only some are.

    Raises:
        InputError: none of them is a polygon.
    """
    dimensions = shapely.get_dimensions(geometries_of(table))  # -1: none or empty
    there, flat = int((dimensions >= 0).sum()), int(((dimensions >= 0) & (dimensions < 2)).sum())
    if flat and flat == there:
        raise InputError(f"{path.name}: its {there} labels are points or lines; buildings are learnt from outlines")
    if flat:
        warnings.warn(f"{path.name}: {flat} of its {there} labels are points or lines and left out", stacklevel=2)


def inside(area: Callable[[], gpd.GeoDataFrame], scene: Scene, grid: WorkGrid) -> NDArray[np.bool_]:
    """(H, W) whether the centre of a work pixel lies in the area."""
    return burn(_in_work_pixels(area(), scene, grid), np.ones(1, np.uint8), grid.size_hw).astype(bool)


def from_outlines(table: gpd.GeoDataFrame, scene: Scene, grid: WorkGrid) -> Labels:
    """A table in the form of ``Outlines`` → labels on the work grid."""
    table = polygons_only(table)
    unknown = table["unknown"].fillna(False).astype(bool).to_numpy() if "unknown" in table else np.zeros(len(table), bool)
    shapes = _in_work_pixels(table, scene, grid)
    numbers = np.arange(1, len(table) + 1, dtype=np.int32)
    instances = burn(shapes[~unknown], numbers[~unknown], grid.size_hw)
    away = elsewhere(shapes[~unknown], None, [(shapely.box(0, 0, *grid.size_hw[::-1]), None)])
    if away and table.crs is not None:  # again where swapped coordinates can be told from others
        away = elsewhere(geometries_of(table[~unknown]), table.crs, [(scene.outline, scene.crs)])
    footprint = (instances > 0).astype(np.uint8)
    footprint[(burn(shapes[unknown], numbers[unknown], grid.size_hw) > 0) & (instances == 0)] = UNKNOWN
    codes = np.zeros(len(table) + 1, np.uint8)
    if "stage" in table:
        codes[1:] = [CODES.get(s, 0) if isinstance(s, str) else 0 for s in table["stage"]]
    return Labels(instances, footprint, codes[instances], None if unknown.all() else not away, away)


def from_mask(mask: NDArray[np.uint8], grid: WorkGrid, *, coarse: bool) -> Labels:
    """A mask in the form of ``Mask`` → labels on the work grid.

    A coarse mask gets an unknown band along its edges: well inside is building, well outside is not.
    """
    is_built = mostly(mask == 1, grid.size_hw)
    unknown = mostly((mask == 1) | (mask == 255), grid.size_hw) & ~is_built
    built = is_built.astype(np.uint8)
    _, instances = cv2.connectedComponents(built, connectivity=4)
    footprint = built.copy()
    if coarse:
        inside = cv2.distanceTransform(built, cv2.DIST_L2, 5) * grid.gsd_m
        outside = cv2.distanceTransform(1 - built, cv2.DIST_L2, 5) * grid.gsd_m
        footprint = np.full(grid.size_hw, UNKNOWN, np.uint8)
        footprint[inside > COARSE_INSIDE_M] = 1
        footprint[outside > COARSE_OUTSIDE_M] = 0
    footprint[unknown] = UNKNOWN
    return Labels(instances, footprint, np.zeros(grid.size_hw, np.uint8))


def mostly(held: NDArray[np.bool_], size_hw: tuple[int, int]) -> NDArray[np.bool_]:
    """(H, W) whether more than half of a work pixel holds something; a half does not, so that thin gaps stay open.

    OpenCV's nearest pixel is the one to the upper left of the middle, which moved outlines by up to half a work pixel.
    """
    share = cv2.resize(held.astype(np.uint8) * np.uint8(2 * _HALF), size_hw[::-1], interpolation=cv2.INTER_AREA)
    return np.asarray(share > _HALF, bool)


def burn(shapes: NDArray[np.object_], values: NDArray, size_hw: tuple[int, int]) -> NDArray[np.int32]:
    """Polygons in work pixels → their values on a grid (one value for all, or one each), 0 elsewhere."""
    if not len(shapes):
        return np.zeros(size_hw, np.int32)
    pairs = zip(shapes, np.broadcast_to(values, len(shapes)).tolist(), strict=True)
    return rasterize(pairs, size_hw, transform=Affine.identity(), dtype="int32")


def _in_work_pixels(table: gpd.GeoDataFrame, scene: Scene, grid: WorkGrid) -> NDArray[np.object_]:
    if table.crs is None:
        to_work = ~Affine.scale(grid.scale_rc[1], grid.scale_rc[0])
    else:
        if scene.crs is None:
            raise InputError(f"{scene.path}: has no georeference, but its outlines have; give outlines in pixels")
        table = table.to_crs(scene.crs)
        to_work = ~grid.transform
    return np.asarray(shapely.transform(geometries_of(table), lambda xy: np.column_stack(to_work * xy.T)), dtype=object).reshape(
        -1
    )
