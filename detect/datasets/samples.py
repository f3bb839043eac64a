"""The indexed sample folder: real imagery of several public data sets, with outlines, masks and construction stages.

Layout: ``index.csv`` (image, label, label_kind, data_set, place, suggested_split, gsd_m, licence) beside one folder per data set;
optionally ``stages/buildings.csv`` and ``stages/marks.jsonl`` with construction stages of single buildings.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.features import rasterize
from shapely.geometry.base import BaseGeometry

from detect.datasets.chips import UNKNOWN, Chip, ChipRow, write_chip, write_index
from detect.errors import InputError
from detect.grid import Span
from detect.scene import Scene, open_scene

STORE_GSD_M = 0.25
"""Finer images are shrunk to this; coarser ones are kept as they are, so that training enlarges them as predict does."""
CHIP_PX = 1024
STAGE_CODES = {"foundation": 1, "incomplete": 2, "complete": 3}
MERGED = frozenset({"open_cities_accra"})  # masks in which attached houses are one
LOOSE = frozenset({"spacenet1_rio", "fair_oam/banepa"})  # data sets, or places of one, whose outlines lie a metre or two off
COARSE = frozenset({"hitl_dubai"})  # villa rows, yards and sites in one polygon
COARSE_INSIDE_M, COARSE_OUTSIDE_M = 0.8, 1.6  # how far from a coarse edge its word is taken
MOSTLY_COMPLETE = frozenset({"open_cities_accra", "oam_banepa", "spacenet1_rio", "spacenet2_vegas"})
"""Towns in which 98 % or more of the buildings looked at one by one are complete: an outline without a stage is taken for complete."""
SHIFTED = "outlines shifted"  # outlines that lie metres off their roofs teach nothing here
VAL_BANEPA_SHARE = 1 / 3  # northern part of the labelled area that is kept for validation


def prepare_samples(source: Path, store: Path) -> int:
    """Cut every usable image of ``source`` into chips; the number written.

    Raises:
        InputError: the index or a file that it names is missing.
    """
    index_path = source / "index.csv"
    if not index_path.is_file():
        raise InputError(f"{index_path}: no such file; give the folder that holds index.csv")
    index = pd.read_csv(index_path)
    index = index[index["label_kind"] != SHIFTED]
    index["place"] = _own_places(index)
    stages = _Stages(source)
    store.mkdir(parents=True, exist_ok=True)
    rows: list[ChipRow] = []
    for item in index.to_dict("records"):
        for needed in (item["image"], item["label"]):
            if not (source / needed).is_file():
                raise InputError(f"{source / needed}: named in index.csv but missing; download the data set again")
        rows += _prepare_image(source, store, item, stages)
    write_index(store, rows)
    return len(rows)


def _own_places(index: pd.DataFrame) -> pd.Series:
    """Place of each image; where both splits name one place, its images are places of their own (tiles of a city, apart or adjoining)."""
    straddles = index.groupby(["data_set", "place"])["suggested_split"].transform("nunique") > 1
    return index["place"].where(~straddles, index["image"].map(lambda image: Path(image).stem))


def _prepare_image(source: Path, store: Path, item: dict[str, Any], stages: _Stages) -> list[ChipRow]:
    path = source / item["image"]
    georeferenced = path.suffix == ".tif"
    scene = open_scene(str(path), gsd_m=None if georeferenced else float(item["gsd_m"]))
    grid = scene.work_grid(max(STORE_GSD_M, scene.gsd_m))
    to_work = ~Affine.scale(grid.scale_rc[1], grid.scale_rc[0])  # native pixels → work pixels
    instances, footprint, kind, val_area = _labels(source, item, scene, grid, to_work)
    stage = np.zeros(grid.size_hw, np.uint8)
    if item["data_set"] in MOSTLY_COMPLETE:
        stage[footprint == 1] = STAGE_CODES["complete"]
        for polygon in stages.unsure_of(item["image"]):
            stage[rasterize([(_affine(polygon, to_work), 1)], out_shape=grid.size_hw, dtype="uint8") == 1] = 0
    for polygon, code in stages.of(item["image"]):
        window = rasterize([(_affine(polygon, to_work), 1)], out_shape=grid.size_hw, dtype="uint8").astype(bool)
        if stages.is_mark(polygon):
            footprint[window & (footprint != 1)] = 1 if code < 3 else UNKNOWN
        stage[window & (footprint == 1)] = code
    rows = []
    with scene.reader(grid) as reader:
        for row0 in range(0, grid.size_hw[0], CHIP_PX):
            for col0 in range(0, grid.size_hw[1], CHIP_PX):
                span = Span(row0, col0, min(row0 + CHIP_PX, grid.size_hw[0]), min(col0 + CHIP_PX, grid.size_hw[1]))
                values, valid = reader.read(span)
                part = footprint[span.slices()].copy()
                part[~valid] = UNKNOWN
                for split, known in _by_split(item, val_area, span, part):
                    if (known != UNKNOWN).sum() < 64 * 64:
                        continue
                    image = np.round(values.transpose(1, 2, 0) * 255).astype(np.uint8)  # (H, W, 3)
                    label = instances[span.slices()] * (known == 1)
                    chip = Chip(image, label.astype(np.uint16), known, stage[span.slices()] * (known == 1))
                    name = f"{Path(item['image']).with_suffix('').as_posix().replace('/', '_')}_{row0}_{col0}_{split}"
                    write_chip(store, name, chip)
                    rows.append(
                        ChipRow(
                            chip=name, data_set=item["data_set"], place=item["place"], split=split, label_kind=kind,
                            gsd_m=grid.gsd_m, licence=item["licence"], source=item["image"],
                            known_m2=float((known != UNKNOWN).sum() * grid.gsd_m**2),
                            buildings=len(np.unique(label)) - 1 if label.any() else 0, sha256=chip.sha256(),
                        )
                    )  # fmt: skip
    return rows


def _by_split(
    item: dict[str, Any], val_area: NDArray[np.bool_] | None, span: Span, known: NDArray[np.uint8]
) -> list[tuple[str, NDArray[np.uint8]]]:
    """A chip's labels under each split; where an image holds both, the other split's pixels are unknown."""
    if val_area is None:
        return [(str(item["suggested_split"]), known)]
    inside = val_area[span.slices()]
    return [("train", np.where(inside, UNKNOWN, known)), ("val", np.where(inside, known, UNKNOWN))]


def _labels(
    source: Path, item: dict[str, Any], scene: Scene, grid: Any, to_work: Affine
) -> tuple[NDArray[np.int32], NDArray[np.uint8], str, NDArray[np.bool_] | None]:
    """Instances, footprint state, label kind and (banepa) the validation part, on the work grid."""
    if item["label_kind"] == "mask":
        mask = cv2.imread(str(source / item["label"]), cv2.IMREAD_UNCHANGED)
        if item["data_set"] in COARSE:
            return *_coarse(mask, scene, grid), "coarse", None
        mask = cv2.resize(mask, grid.size_hw[::-1], interpolation=cv2.INTER_NEAREST)
        footprint = np.where(mask == 255, UNKNOWN, mask).astype(np.uint8)
        _, instances = cv2.connectedComponents((footprint == 1).astype(np.uint8), connectivity=4)
        return instances, footprint, "merged" if item["data_set"] in MERGED else "outlines", None
    outlines = gpd.read_file(source / item["label"]).to_crs(scene.crs)
    shapes = [(g, i + 1) for i, g in enumerate(outlines.geometry) if g is not None and not g.is_empty]
    instances = (
        rasterize(shapes, grid.size_hw, transform=grid.transform, dtype="int32") if shapes else np.zeros(grid.size_hw, np.int32)
    )
    footprint = (instances > 0).astype(np.uint8)
    area_path = source / Path(item["image"]).parent / "labelled_area.geojson"
    if not area_path.is_file():
        loose = not LOOSE.isdisjoint({item["data_set"], f"{item['data_set']}/{item['place']}"})
        return instances, footprint, "loose" if loose else "outlines", None
    area = gpd.read_file(area_path).to_crs(scene.crs).union_all()
    labelled = rasterize([(area, 1)], grid.size_hw, transform=grid.transform, dtype="uint8").astype(bool)
    _, south, _, north = area.bounds
    line = shapely.box(*area.bounds[:1], north - (north - south) * VAL_BANEPA_SHARE, *area.bounds[2:])
    val_area = rasterize([(line, 1)], grid.size_hw, transform=grid.transform, dtype="uint8").astype(bool)
    return instances, np.where(labelled, footprint, UNKNOWN).astype(np.uint8), "outlines", val_area


def _coarse(mask: NDArray[np.uint8], scene: Scene, grid: Any) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    """A coarse mask with an unknown band along its edges: well inside is building, well outside is not."""
    mask = cv2.resize(mask, grid.size_hw[::-1], interpolation=cv2.INTER_NEAREST)
    built = (mask == 1).astype(np.uint8)
    inside = cv2.distanceTransform(built, cv2.DIST_L2, 5) * grid.gsd_m
    outside = cv2.distanceTransform(1 - built, cv2.DIST_L2, 5) * grid.gsd_m
    footprint = np.full(grid.size_hw, UNKNOWN, np.uint8)
    footprint[inside > COARSE_INSIDE_M] = 1
    footprint[outside > COARSE_OUTSIDE_M] = 0
    footprint[mask == 255] = UNKNOWN
    _, instances = cv2.connectedComponents(built, connectivity=4)
    return instances, footprint


def _affine(polygon: BaseGeometry, transform: Affine) -> BaseGeometry:
    return shapely.transform(polygon, lambda xy: np.column_stack(transform * xy.T))


class _Stages:
    """Construction stages of single buildings, by image; polygons in native pixels (x = column, y = row)."""

    def __init__(self, source: Path) -> None:
        self._by_image: dict[str, list[tuple[BaseGeometry, int]]] = {}
        self._unsure: dict[str, list[BaseGeometry]] = {}
        self._marks: set[int] = set()
        table, marks = source / "stages" / "buildings.csv", source / "stages" / "marks.jsonl"
        if table.is_file():
            for row in pd.read_csv(table).to_dict("records"):
                polygon = shapely.from_wkt(row["polygon_px"])
                if row["stage"] in STAGE_CODES:
                    self._add(row["image"], polygon, row["stage"])
                else:
                    self._unsure.setdefault(row["image"], []).append(polygon)
        if marks.is_file():
            for line in marks.read_text().splitlines():
                mark = json.loads(line)
                # Unsure marks, loose group outlines and cleared ground are no buildings to learn from.
                if mark["stage"] not in STAGE_CODES or mark["confidence"] < 0.7 or "group" in mark["note"]:
                    continue
                polygon = shapely.Polygon(mark["polygon"])
                self._add(mark["image"], polygon, mark["stage"])
                self._marks.add(id(polygon))

    def _add(self, image: str, polygon: BaseGeometry, stage: str) -> None:
        self._by_image.setdefault(image, []).append(
            (shapely.make_valid(polygon) if not polygon.is_valid else polygon, STAGE_CODES[stage])
        )

    def of(self, image: str) -> list[tuple[BaseGeometry, int]]:
        """Polygons and stage codes of one image."""
        return self._by_image.get(image, [])

    def unsure_of(self, image: str) -> list[BaseGeometry]:
        """Polygons that were looked at and about whose stage the annotators disagreed."""
        return self._unsure.get(image, [])

    def is_mark(self, polygon: BaseGeometry) -> bool:
        """Whether the polygon was drawn for its stage (it need not be an outline of the footprint set)."""
        return id(polygon) in self._marks
