"""RAMP, Replicable AI for Microplanning (DevGlobal 2022): 22 regions, about 100,000 chips with roofs outlined by hand.

Published layout (Source Cooperative): ``<region>/source/<id>.tif`` and ``<region>/labels/<id>.geojson``, where region is
such as ``ramp_karnataka_india``; chips are 256 × 256 RGB in EPSG:4326. The RAMP code's own layout, ``chips`` in the place
of ``source``, is read too. A chip without buildings has a GeoJSON without features.

Two regions show the ground of other data sets with new outlines, so keep both in the same split: Accra is Open Cities AI at 0.3
m, Shanghai is SpaceNet 2.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from detect.base.files import listed
from detect.datasets._pairs import pairs
from detect.datasets.images import DataSet, LabelledImage, Outlines, require, vector

TITLE = "RAMP"
LAYOUT = "<region>/source/<id>.tif (or chips/) and <region>/labels/<id>.geojson"


def images(source: Path) -> Iterator[LabelledImage]:
    """Every chip of every region; a region is one place, as its chips adjoin."""
    for region in _regions(source):
        chips = region / "chips" if (region / "chips").is_dir() else require(region / "source", TITLE, LAYOUT)
        labels = require(region / "labels", TITLE, LAYOUT)
        for chip, outlines in pairs(chips, labels, TITLE, LAYOUT):
            yield LabelledImage(path=chip, place=region.resolve().name, label=Outlines(vector(outlines)))


def _regions(source: Path) -> list[Path]:
    folders = [source, *(p for p in listed(source) if p.is_dir())]
    found = [f for f in folders if any((f / part).is_dir() for part in ("source", "chips", "labels"))]
    return found or [source]


DATA_SET = DataSet(
    name="ramp",
    title="RAMP, Replicable AI for Microplanning: building chips of 22 regions",
    licence="CC-BY-NC-4.0",
    gsd_m="0.3-0.5",
    places="22 regions in Africa, Asia, the Caribbean and Oman",
    sensor="satellite (Maxar); drone in Accra",
    labels="outlines of roofs, drawn and reviewed by hand",
    source="https://source.coop/ramp/ramp",
    cite="DevGlobal (2022), Ramp Building Footprint Datasets, Version 1.0, Radiant MLHub",
    images=images,
    layout=LAYOUT,
)
