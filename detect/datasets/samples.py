"""The indexed sample folder: real imagery of several public data sets, with outlines, masks and construction stages."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from affine import Affine
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from detect.base.errors import InputError
from detect.base.geometry import moved
from detect.base.stages import CODES
from detect.base.texts import read_text
from detect.datasets._masks import assumed_gsd_m
from detect.datasets.chips import UNKNOWN
from detect.datasets.images import DataSet, LabelledImage, Labels, Mask, Outlines, burn, mostly, raster, vector
from detect.datasets.outlines import Drawing, labelled, own_places, read_drawings

MERGED = frozenset({"open_cities_accra"})  # masks in which attached houses are one
LOOSE = frozenset({"spacenet1_rio", "fair_oam/banepa"})  # data sets, or places of one, whose outlines lie a metre or two off
COARSE = frozenset({"hitl_dubai"})
"""Data sets whose polygons hold villa rows, yards and sites: inside a polygon single buildings are unknown, well outside it there
are none."""
COARSE_CLEAR_PX = 6
"""Distance from a coarse polygon that counts as well outside, in the image's own pixels."""
SWAPPED = ("dubai/tile2_", "dubai/tile4_", "dubai/tile7_", "dubai/tile8_")
"""Images published with red and blue swapped: pools are orange, sand is bluish."""
DRAWN = {
    "dubai/": ("hitl_dubai", "CC0-1.0"),
    "rio/": ("spacenet1_rio", "CC-BY-SA-4.0"),
    "south_tyrol/": ("south_tyrol", "CC-BY-4.0"),
    "naip_california/": ("naip_california", "CC-BY-4.0"),
    "pool/naip_": ("naip_california", "CC-BY-4.0"),
    "earthview/": ("earthview", "CC-BY-4.0"),
    "rareplanes/": ("rareplanes", "CC-BY-SA-4.0"),
    "wellington/": ("linz_wellington", "CC-BY-4.0"),
    "zurich/": ("swisstopo_zurich", "open with credit (swisstopo)"),
    "bern/": ("swisstopo_bern", "open with credit (swisstopo)"),
    "pool/bern_": ("swisstopo_bern", "open with credit (swisstopo)"),
    "boruszyn/": ("boruszyn", "CC-BY-3.0"),
    "pool/boruszyn_": ("boruszyn", "CC-BY-3.0"),
    "bellingham/": ("usgs_bellingham", "public domain"),
    "pool/mildenberg_": ("mildenberg", "CC0-1.0"),
}
"""First letters of the names of images that may have drawings: data set and licence of the images."""
DRAWINGS = ("redrawn", "labels")
"""Folders of drawings."""
UNLISTED: tuple[dict[str, Any], ...] = (
    {"image": "formats/atlanta_pan_uint16.tif", "label": "formats/atlanta_pan_uint16.geojson", "label_kind": "outlines",
     "data_set": "spacenet4_atlanta", "place": "atlanta", "suggested_split": "train", "gsd_m": 0.5, "licence": "CC-BY-SA-4.0"},
)  # fmt: skip
"""Usable images that the index does not list."""
MOSTLY_COMPLETE = frozenset({"open_cities_accra", "oam_banepa", "spacenet1_rio", "spacenet2_vegas"})
"""Towns in which at least 98 % of the inspected buildings are complete: an outline without a stage counts as complete."""
SHIFTED = "outlines shifted"  # outlines that lie metres off their roofs are not used
VAL_BANEPA_SHARE = 1 / 3  # northern part of the labelled area that is kept for validation
LAYOUT = (
    "index.csv (image, label, label_kind, data_set, place, suggested_split, gsd_m, licence) and the files it names; "
    "perhaps redrawn/*.json and labels/*.json, as detect prepare outlines reads them"
)


def images(source: Path) -> Iterator[LabelledImage]:
    """The usable images of the index."""
    index_path = source / "index.csv"
    if not index_path.is_file():
        raise InputError(f"{index_path}: no such file; give the folder that holds index.csv")
    index = pd.read_csv(index_path)
    index = index[index["label_kind"] != SHIFTED]
    index["place"] = _own_places(index)
    stages = _Stages(source)
    drawings = {(d.image, d.split): d for d in drawings_of(source)}
    unlisted = [item for item in UNLISTED if (source / item["image"]).is_file()]
    for item in [*index.to_dict("records"), *unlisted]:
        for needed in (item["image"], item["label"]):
            if not (source / needed).is_file():
                raise InputError(f"{source / needed}: named in index.csv but missing; download the data set again")
        drawing = drawings.pop((item["image"], item["suggested_split"]), None)
        trains = item["suggested_split"] == "train"
        if item["data_set"] in COARSE and trains:
            yield _coarse_image(source, item, drawing, stages)
        elif drawing is not None and not trains:
            yield drawn_image(drawing, item["place"])
        elif item["data_set"] not in COARSE:  # a coarse mask cannot validate
            yield _image(source, item, stages, drawing)
    for drawing in drawings.values():
        yield drawn_image(drawing, drawing.place)


def drawings_of(source: Path, elsewhere: Path | None = None) -> list[Drawing]:
    """The drawings whose images are known, those of one image and split as one.

    Args:
        source: the sample folder; drawings lie in its folders ``DRAWINGS``.
        elsewhere: another folder of drawings of the same images.
    """
    drawings = [d for folder in DRAWINGS for d in read_drawings(source / folder)]
    if elsewhere is not None:
        drawings += [replace(d, path=source / DRAWINGS[-1] / d.path.name) for d in read_drawings(elsewhere)]
    joined: dict[tuple[str, str | None], Drawing] = {}
    for drawing in own_places(drawings):
        if drawing.image.startswith(tuple(DRAWN)):
            key = drawing.image, drawing.split
            joined[key] = joined[key].with_more(drawing) if key in joined else drawing
    return list(joined.values())


def drawn_image(drawing: Drawing, place: str, **known: Any) -> LabelledImage:
    """An image with windows that were drawn again."""
    data_set, licence = next(said for start, said in DRAWN.items() if drawing.image.startswith(start))
    bands = (3, 2, 1) if drawing.image.startswith(SWAPPED) else None
    return labelled(replace(drawing, place=place), data_set=data_set, licence=licence, bands=bands, **known)


def _coarse_image(source: Path, item: dict[str, Any], drawing: Drawing | None, stages: _Stages) -> LabelledImage:
    """Windows that were drawn again, and around them what a coarse mask can teach."""
    if drawing is None:
        drawing = Drawing(source / "redrawn" / "none.json", item["image"], [], [], [], item["place"], "train", item["gsd_m"])
    mask = raster(source / item["label"], lambda values: values)
    return drawn_image(drawing, item["place"], refine=partial(_open_ground, mask, stages, item["image"]))


def _open_ground(mask: Callable[[], NDArray[np.uint8]], stages: _Stages, image: str, labels: Labels, to_work: Affine) -> None:
    """Unknown ground well outside the coarse polygons becomes background; marked unfinished buildings are added."""
    coarse = mask()
    clear = cv2.distanceTransform((coarse == 0).astype(np.uint8), cv2.DIST_L2, 5) > COARSE_CLEAR_PX
    unknown = labels.footprint == UNKNOWN
    size_hw = labels.footprint.shape
    labels.footprint[unknown & mostly(clear, size_hw)] = 0
    for polygon, code, is_mark in stages.on_image(image):
        if is_mark and code < CODES["complete"]:
            window = _window_of(polygon, to_work, size_hw) & unknown
            labels.footprint[window], labels.stage[window] = 1, code
            labels.instances[window] = labels.instances.max() + 1


def _own_places(index: pd.DataFrame) -> pd.Series:
    """Place of each image; if a place occurs in both splits, each of its images (tiles of a city) is a place of its own."""
    straddles = index.groupby(["data_set", "place"])["suggested_split"].transform("nunique") > 1
    return index["place"].where(~straddles, index["image"].map(lambda image: Path(image).stem))


def _image(source: Path, item: dict[str, Any], stages: _Stages, drawing: Drawing | None) -> LabelledImage:
    """An image with the labels that the index names, but for windows that were drawn again."""
    path, data_set = source / item["image"], item["data_set"]
    is_mask = item["label_kind"] == "mask"
    area_path = path.parent / "labelled_area.geojson"
    has_area = not is_mask and area_path.is_file()
    if is_mask:
        kind = "merged" if data_set in MERGED else "outlines"
    else:
        loose = not LOOSE.isdisjoint({data_set, f"{data_set}/{item['place']}"})
        kind = "loose" if loose and not has_area else "outlines"
    label = source / item["label"]
    return LabelledImage(
        path=path,
        place=item["place"],
        label=Mask(raster(label, lambda values: values)) if is_mask else Outlines(vector(label)),
        label_kind=kind,
        split=str(item["suggested_split"]),
        gsd_m=assumed_gsd_m(path, float(item["gsd_m"])),
        licence=item["licence"],
        area=vector(area_path) if has_area else None,
        val_area=partial(_northern, area_path) if has_area else None,
        refine=partial(_refine, stages, item["image"], data_set in MOSTLY_COMPLETE, drawing),
        data_set=data_set,
    )


def _northern(area_path: Path) -> gpd.GeoDataFrame:
    """The northern third of a labelled area, as a box in Web Mercator like the scene."""
    area = vector(area_path)().to_crs(3857)
    west, south, east, north = area.total_bounds
    return gpd.GeoDataFrame(geometry=[shapely.box(west, north - (north - south) * VAL_BANEPA_SHARE, east, north)], crs=3857)


def _refine(stages: _Stages, image: str, mostly_complete: bool, drawing: Drawing | None, labels: Labels, to_work: Affine) -> None:
    """Write the stages that annotators gave to single buildings, and windows that were drawn again, into the labels of an image."""
    size_hw = labels.stage.shape

    window_of = partial(_window_of, to_work=to_work, size_hw=size_hw)
    if mostly_complete:
        labels.stage[labels.footprint == 1] = CODES["complete"]
        for polygon in stages.unsure_on_image(image):
            labels.stage[window_of(polygon)] = 0
    for polygon, code, is_mark in stages.on_image(image):
        window = window_of(polygon)
        if is_mark:
            labels.footprint[window & (labels.footprint != 1)] = 1 if code < 3 else UNKNOWN
        labels.stage[window & (labels.footprint == 1)] = code
    if drawing is not None:
        _redraw(drawing, labels, to_work)


def _redraw(drawing: Drawing, labels: Labels, to_work: Affine) -> None:
    """Replace the labels inside the windows of a drawing, and where its buildings reach beyond them."""
    inside = _window_of(shapely.union_all(drawing.windows), to_work, labels.stage.shape)
    buildings = [
        (_window_of(p, to_work, labels.stage.shape), stage) for p, stage in zip(drawing.polygons, drawing.stages, strict=True)
    ]
    buildings = [(building, stage) for building, stage in buildings if (building & inside).any()]
    for array in (labels.footprint, labels.instances, labels.stage):
        array[inside] = 0
    for number, (building, stage) in enumerate(buildings, start=int(labels.instances.max()) + 1):
        labels.footprint[building] = 1
        labels.instances[building] = number
        labels.stage[building] = CODES[stage] if stage else 0


def _window_of(polygon: BaseGeometry, to_work: Affine, size_hw: tuple[int, int]) -> NDArray[np.bool_]:
    """(H, W) whether the centre of a work pixel lies in a polygon of native pixels."""
    return burn(np.array([moved(polygon, to_work)], dtype=object), np.ones(1, np.uint8), size_hw) == 1


class _Stages:
    """Construction stages of single buildings, by image; polygons in native pixels (x = column, y = row)."""

    def __init__(self, source: Path) -> None:
        self._by_image: dict[str, list[tuple[BaseGeometry, int, bool]]] = {}
        self._unsure: dict[str, list[BaseGeometry]] = {}
        table, marks = source / "stages" / "buildings.csv", source / "stages" / "marks.jsonl"
        if table.is_file():
            for row in pd.read_csv(table).to_dict("records"):
                polygon = shapely.from_wkt(row["polygon_px"])
                if row["stage"] in CODES:
                    self._add(row["image"], polygon, row["stage"], is_mark=False)
                else:
                    self._unsure.setdefault(row["image"], []).append(polygon)
        if marks.is_file():
            for line in read_text(marks).splitlines():
                mark = json.loads(line)
                # Uncertain marks, rough outlines of groups, and cleared ground are not used as buildings.
                if mark["stage"] not in CODES or mark["confidence"] < 0.7 or "group" in mark["note"]:
                    continue
                self._add(mark["image"], shapely.Polygon(mark["polygon"]), mark["stage"], is_mark=True)

    def _add(self, image: str, polygon: BaseGeometry, stage: str, *, is_mark: bool) -> None:
        valid = shapely.make_valid(polygon) if not polygon.is_valid else polygon
        self._by_image.setdefault(image, []).append((valid, CODES[stage], is_mark))

    def on_image(self, image: str) -> list[tuple[BaseGeometry, int, bool]]:
        """Polygons and stage codes of one image, and whether each was drawn for its stage: it need not be an outline of the set."""
        return self._by_image.get(image, [])

    def unsure_on_image(self, image: str) -> list[BaseGeometry]:
        """Polygons about whose stage the annotators disagreed."""
        return self._unsure.get(image, [])


DATA_SET = DataSet(
    name="samples",
    title="sample folder with index.csv: parts of SpaceNet 1 and 2, Open Cities AI Accra, fAIr/OpenAerialMap, Humans-in-the-Loop Dubai",
    licence="CC-BY-4.0; CC-BY-SA-4.0; CC0-1.0; ODbL-1.0",
    gsd_m="0.07-0.9",
    places="Rio de Janeiro, Las Vegas, Accra, Zanzibar, Banepa, Virac, Dubai",
    sensor="",
    labels="outlines, masks, construction stages; kind and licence per image",
    source="any folder with such an index",
    cite="the data sets named in the index",
    images=images,
    layout=LAYOUT,
)
