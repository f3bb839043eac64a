"""Open AI Tanzania Challenge (WeRobotics 2018): Zanzibar from drones, each building with its construction stage.

Published layout: ``grid_001.tif`` from OpenAerialMap, also under its name there (``5afeda152b6a08001185f11b.tif``), and
``grid_001.geojson`` of the challenge, all in one folder or in ``images`` and ``labels``; likewise the other twelve
labelled grids. ``condition`` is Complete, Incomplete or Foundation, rarely empty. The grids that the challenge kept for
its test have no labels and are left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import geopandas as gpd

from detect.base.errors import InputError
from detect.datasets.images import DataSet, LabelledImage, Outlines, require, vector

TITLE = "Open AI Tanzania"
LAYOUT = "grid_001.tif and grid_001.geojson, side by side or in images/ and labels/"
GRIDS = {
    "001": "5afeda152b6a08001185f11b", "022": "5ae242fd0b093000130afd27", "023": "5ae242fd0b093000130afd47",
    "028": "5ae242fd0b093000130afd35", "029": "5ae242fd0b093000130afd39", "035": "5ae242fd0b093000130afd43",
    "036": "5ae242fd0b093000130afd41", "042": "5ae318220b093000130afd65", "043": "5ae318220b093000130afd6b",
    "049": "5ae318220b093000130afd63", "050": "5ae318220b093000130afd93", "051": "5ae318220b093000130afd71",
    "058": "5ae318220b093000130afd7d",
}  # fmt: skip
"""The labelled grids and their images' names on OpenAerialMap."""


def images(source: Path) -> Iterator[LabelledImage]:
    """The labelled grids in the folder, each a place."""
    found = False
    for grid, oam in GRIDS.items():
        name = f"grid_{grid}"
        image = _first(source, "image", (f"{name}.tif", f"{name}_corrected.tif", f"{oam}.tif"))
        outlines = _first(source, "label", (f"{name}.geojson", f"{name}_corrected.geojson"))
        if not image.exists() and not outlines.exists():
            continue
        found = True
        require(image, TITLE, LAYOUT)
        require(outlines, TITLE, LAYOUT)
        yield LabelledImage(path=image, place=name, label=Outlines(partial(_staged, outlines)))
    if not found:
        require(source / "grid_001.tif", TITLE, LAYOUT)


def _first(source: Path, kind: str, names: tuple[str, ...]) -> Path:
    """The first name that exists, or the first of all if none does."""
    paths = [folder / name for folder in (source, source / kind, source / f"{kind}s") for name in names]
    return next((p for p in paths if p.is_file()), paths[0])


def _staged(path: Path) -> gpd.GeoDataFrame:
    """Outlines with ``stage`` from ``condition``, which differs only in its capital letter."""
    table = vector(path)()
    if not len(table):
        return table  # a file without features has no columns
    if "condition" not in table:
        raise InputError(f"{path}: has no column 'condition'; take the outlines of the challenge")
    return table.assign(stage=table["condition"].str.lower())


DATA_SET = DataSet(
    name="tanzania",
    title="Open AI Tanzania Challenge: Zanzibar, buildings by construction stage",
    licence="CC-BY-4.0",
    gsd_m="0.04-0.08",
    places="Zanzibar: 13 grids",
    sensor="drone",
    labels="outlines with construction stage",
    source="https://competitions.codalab.org/competitions/20100 (images: OpenAerialMap)",
    cite="Commission for Lands (COLA), Revolutionary Government of Zanzibar, Zanzibar Mapping Initiative; WeRobotics (2018)",
    images=images,
    layout=LAYOUT,
)
