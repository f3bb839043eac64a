"""CSDS, construction sites in satellite images (ISSAI, Nazarbayev University 2025): footings as building foundations.

Published layout: ``raw/images/*.jpg`` of 1200 × 1200 px and ``raw/annotations/AOD/`` (all objects), where CVAT's XML
files lie in folders, one picture per file in a folder named like the picture, below a folder per city. Files of many pictures are
read too. ``FVOD`` holds only objects that are fully visible, ``preprocessed`` the same pictures in pieces; neither is read.

What can be learnt: every ``footing`` is a building at the stage ``foundation``; excavations, site roads, heaps and parking are
ground without a building. Everything else is unknown: buildings beside the site have no outlines, those under construction on it
have no separate ones, and cranes, containers and scaffolds may stand on both. A footing may be a slab or one pad of many, so
nothing is taught about single buildings (merged).

The publisher does not state: the ground size of a pixel (0.13 m is assumed, which the same institute gives for its
EarthworkSat-7K screen captures), the meaning of the five site phases ``site.1`` to ``site.5`` (they are not used), and a licence
for the data. Pictures without annotation are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

import geopandas as gpd
import numpy as np
import shapely

from detect.base.errors import InputError
from detect.datasets.images import DataSet, LabelledImage, Outlines, files, require

TITLE = "CSDS"
LAYOUT = "raw/images/*.jpg and raw/annotations/AOD/**/*.xml"
GSD_M = 0.13
FOOTING = "footing"
BARE = frozenset({"excavation", "road", "mat.piles", "cdw.piles", "parking", "entry"})

Marks = list[tuple[str, str]]
"""(label, points as ``x,y;x,y``) of the polygons of one picture."""


def images(source: Path) -> Iterator[LabelledImage]:
    """Every annotated picture."""
    raw = source / "raw" if (source / "raw").is_dir() else source
    folder = require(raw / "images", TITLE, LAYOUT)
    annotations = require(raw / "annotations" / "AOD", TITLE, LAYOUT)
    pictures = {p.stem: p for p in files(folder, "**/*", TITLE, LAYOUT) if p.suffix.lower() in (".jpg", ".jpeg", ".png")}
    annotated: dict[str, tuple[str, Marks]] = {}
    for path in files(annotations, "**/*.xml", TITLE, LAYOUT):
        for name, marks in _read(path):
            picture = next((n for n in (name, path.parent.name, path.stem) if n in pictures), None)
            if picture is None:
                raise InputError(
                    f"{folder / name}.jpg: missing, but {path.relative_to(source)} annotates it; unpack raw/images in full"
                )
            annotated[picture] = (_place(path.relative_to(annotations), picture), marks)
    for name, (place, marks) in sorted(annotated.items()):
        yield LabelledImage(
            path=pictures[name],
            place=place,
            label=Outlines(partial(_footings, marks)),
            label_kind="merged",
            gsd_m=GSD_M,
            area=partial(_polygons, marks, BARE | {FOOTING}),
        )


def _place(annotation: Path, picture: str) -> str:
    """The outermost folder that is not the picture's own (a city), else the letters at the beginning of the picture's name."""
    cities = [folder for folder in annotation.parts[:-1] if folder != picture]
    letters = re.match(r"[^\W\d_]+", picture)
    return cities[0] if cities else letters.group() if letters else picture


def _read(path: Path) -> Iterator[tuple[str, Marks]]:
    """The pictures of a CVAT file: the stem and the polygons of each."""
    try:
        root = ElementTree.parse(path).getroot()
    except ElementTree.ParseError as cause:
        raise InputError(f"{path}: is not valid XML; download it again") from cause
    for image in root.iter("image"):
        yield Path(image.get("name", "")).stem, [(p.get("label", ""), p.get("points", "")) for p in image.iter("polygon")]


def _footings(marks: Marks) -> gpd.GeoDataFrame:
    return _polygons(marks, frozenset({FOOTING})).assign(stage="foundation")


def _polygons(marks: Marks, labels: frozenset[str]) -> gpd.GeoDataFrame:
    """The polygons with one of the labels, in the picture's pixels."""
    rings = [np.array([xy.split(",") for xy in points.split(";")], float) for label, points in marks if label.lower() in labels]
    shapes = [shapely.make_valid(shapely.Polygon(ring)) for ring in rings if len(ring) > 2]
    return gpd.GeoDataFrame(geometry=gpd.GeoSeries(shapes))


DATA_SET = DataSet(
    name="csds",
    title="CSDS: construction sites in satellite images",
    licence="not stated, on request",
    gsd_m="~0.13",
    places="cities, not named",
    sensor="satellite",
    labels="footings as foundations, bare ground of construction sites; all else unknown",
    source="https://huggingface.co/datasets/issai/CSDS_dataset (access on request)",
    cite="Bissarinova et al. (2025), https://doi.org/10.48333/0PJD-BP65",
    images=images,
    layout=LAYOUT,
)
