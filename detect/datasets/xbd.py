"""xBD (xView2): buildings before 19 disasters, as PNG tiles of 1024 pixels without georeference or as GeoTIFF.

``train/``, ``tier3/``, ``test/`` and ``hold/`` (or one folder per disaster) each hold
``images/hurricane-harvey_00000001_pre_disaster.png`` and ``labels/hurricane-harvey_00000001_pre_disaster.json``: polygons
as WKT in pixels under ``features.xy`` and in degrees under ``features.lng_lat``, the sensor and its resolution under
``metadata``. Only the images before the disaster are used: after it, the outlines are the same and no longer fit. The
publisher's folders share the disasters, so the split is by disaster.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import shapely

from detect.base.errors import InputError
from detect.base.files import listed
from detect.base.geometry import GEOD
from detect.datasets._folders import folders_named
from detect.datasets._masks import assumed_gsd_m
from detect.datasets.images import DataSet, LabelledImage, Outlines, require

NAME = "xbd"
LAYOUT = "{train,tier3,test,hold}/images/*_pre_disaster.png (or .tif) and labels/*_pre_disaster.json"
_MULTISPECTRAL_PER_PAN = 4  # ratio of the satellites' pixels; the metadata give the coarser one, the images are pan-sharpened


def images(source: Path) -> Iterator[LabelledImage]:
    """Every image taken before a disaster."""
    found = False
    for folder in folders_named(source, "images"):
        for path in (p for p in listed(folder, "*_pre_disaster.*") if p.suffix in (".png", ".tif")):
            found = True
            label_path = require(folder.parent / "labels" / f"{path.stem}.json", NAME, LAYOUT)
            label = _read(label_path)
            yield LabelledImage(
                path,
                place=path.stem.rsplit("_", 3)[0],
                label=Outlines(partial(_outlines, label_path)),
                gsd_m=assumed_gsd_m(path, _pixel_m(label)),
                sensor=label["metadata"].get("sensor"),
            )
    if not found:
        raise InputError(f"{source}: no images/*_pre_disaster.png; {NAME} is read as {LAYOUT}; was it unpacked in full?")


def _read(path: Path) -> dict[str, Any]:
    try:
        label: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as cause:
        raise InputError(f"{path}: is not valid JSON; download it again") from cause
    if not {"xy", "lng_lat"} <= set(label.get("features", {})) or "metadata" not in label:
        raise InputError(f"{path}: holds no features.xy, features.lng_lat and metadata; download it again")
    return label


def _outlines(path: Path) -> gpd.GeoDataFrame:
    """Buildings in pixels."""
    return gpd.GeoDataFrame(geometry=list(_buildings(_read(path), "xy").values()))


def _buildings(label: dict[str, Any], coordinates: str) -> dict[str, shapely.Geometry]:
    """Polygons of the buildings by their identifier, in pixels (xy) or degrees (lng_lat)."""
    features = [f for f in label["features"][coordinates] if f["properties"]["feature_type"] == "building"]
    return {f["properties"]["uid"]: shapely.from_wkt(f["wkt"]) for f in features}


def _pixel_m(label: dict[str, Any]) -> float:
    """Ground size of a pixel, from buildings given in pixels and in degrees; without any, from the sensor's resolution."""
    pixels, degrees = _buildings(label, "xy"), _buildings(label, "lng_lat")
    sizes = [
        np.sqrt(abs(GEOD.geometry_area_perimeter(degrees[uid])[0]) / polygon.area)
        for uid, polygon in pixels.items()
        if uid in degrees and polygon.area > 0
    ]
    if sizes:
        return float(np.median(sizes))
    metadata = label["metadata"]
    return float(metadata["pan_resolution"] or metadata["gsd"] / _MULTISPECTRAL_PER_PAN)


DATA_SET = DataSet(
    name=NAME,
    title="xBD (xView2), the images before the disasters",
    licence="CC-BY-NC-SA-4.0",
    gsd_m="0.3–0.8",
    places="19 disasters around the world",
    sensor="",
    labels="outlines",
    source="https://xview2.org/dataset (needs an account)",
    cite="Gupta et al.: xBD: A Dataset for Assessing Building Damage from Satellite Imagery (2019), arXiv:1911.09296",
    images=images,
    layout=LAYOUT,
)
