"""crowdAI Mapping Challenge (2018): tiles of 300 pixels cut and turned from SpaceNet 2, with outlines in COCO's format.

``{train,val}/images/000000000000.jpg`` with ``{train,val}/annotation.json``, or ``annotation-small.json`` if that is missing:
polygons in pixels; a ``crowd`` outline holds an unknown number of buildings. ``test_images`` has no outlines. One of the two
parts is enough.

The files do not give the place of a tile, most tiles occur several times, rotated, and most validation tiles are training tiles
too (Adimoolam et al. 2023, arXiv:2304.02296): all tiles train. The ground is that of ``spacenet2`` and ``deepglobe``, so a model
that is trained on one of them cannot be tested on another.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import geopandas as gpd
import numpy as np
import shapely
from numpy.typing import NDArray

from detect.base.errors import InputError
from detect.datasets._folders import folders_named
from detect.datasets.images import DataSet, LabelledImage, Outlines, require

TITLE = "crowdAI Mapping Challenge"
GSD_M = 0.3
LAYOUT = "{train,val}/images/*.jpg and {train,val}/annotation.json or annotation-small.json"


class _Outline(NamedTuple):
    image: int
    crowd: bool
    rings: list[NDArray[np.float32]] | None
    """(N, 2) pixels; None: run-length coded."""


def images(source: Path) -> Iterator[LabelledImage]:
    """Every image that the annotation files list."""
    for folder in folders_named(source, "train", "val") or [require(source / "train", TITLE, LAYOUT)]:
        pictures = require(folder / "images", TITLE, LAYOUT)
        names, outlines = _annotations(folder)
        for number, name in sorted(names.items(), key=lambda item: item[1]):
            yield LabelledImage(
                require(pictures / name, TITLE, LAYOUT),
                place="crowdai",
                label=Outlines(partial(_table, outlines.get(number, []))),
                split="train",
                gsd_m=GSD_M,
            )


def _annotations(folder: Path) -> tuple[dict[int, str], dict[int, list[_Outline]]]:
    """File names and outlines, both by image number."""
    whole, small = folder / "annotation.json", folder / "annotation-small.json"
    path = small if small.is_file() and not whole.is_file() else require(whole, TITLE, LAYOUT)
    try:
        content = json.loads(path.read_bytes(), object_hook=_slim)
        names = {image["id"]: image["file_name"] for image in content["images"]}
        annotations: list[_Outline] = content["annotations"]
    except (ValueError, RecursionError, KeyError, TypeError) as cause:
        raise InputError(f"{path}: is not a COCO file with images and annotations; download it again") from cause
    outlines: dict[int, list[_Outline]] = {}
    for outline in annotations:
        if outline.rings is None:
            raise InputError(f"{path}: an outline of image {outline.image} is run-length coded; only polygons are read")
        outlines.setdefault(outline.image, []).append(outline)
    return names, outlines


def _slim(item: dict[str, Any]) -> dict[str, Any] | _Outline:
    """An annotation with only the needed keys; reduced while the file is read, which would take several gigabytes as objects."""
    if "segmentation" not in item:
        return item
    coded = item["segmentation"]
    rings = None if isinstance(coded, dict) else [np.array(ring, np.float32).reshape(-1, 2) for ring in coded]
    return _Outline(item["image_id"], bool(item.get("iscrowd", 0)), rings)


def _table(outlines: list[_Outline]) -> gpd.GeoDataFrame:
    shapes = [shapely.MultiPolygon([shapely.Polygon(r) for r in o.rings or [] if len(r) >= 3]) for o in outlines]
    return gpd.GeoDataFrame({"unknown": [o.crowd for o in outlines]}, geometry=shapes)


DATA_SET = DataSet(
    name="crowdai",
    title="crowdAI Mapping Challenge (tiles of SpaceNet 2)",
    licence="not stated; CC-BY-SA-4.0",
    gsd_m="0.3",
    places="not stated; cities of SpaceNet 2",
    sensor="WorldView-3",
    labels="outlines",
    source="https://www.aicrowd.com/challenges/mapping-challenge-old",
    cite="Mohanty et al.: Deep Learning for Understanding Satellite Imagery (2020), https://doi.org/10.3389/frai.2020.534696",
    images=images,
    layout=LAYOUT,
)
