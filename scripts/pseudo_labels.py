"""What weights are sure of on a scene without labels, as chips to train on (self-training; Lee 2013, "Pseudo-Label").

    detect predict scene.tif --tta --out runs/found
    python scripts/pseudo_labels.py scene.tif runs/found/scene chips --hide labelled_area.geojson

Sure buildings are known, and sure ground; all between is unknown, and so is what lies within 18 m of the polygons of ``--hide``,
where there are labels or a place validates. The chips form the data set ``pseudo_labels``, split train.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import cv2
import geopandas as gpd
import pandas as pd
import rasterio
from affine import Affine

from detect.base.errors import DetectError, InputError
from detect.base.pixels import NO_DATA, TOP
from detect.base.vectors import equal_area_crs, read_vector
from detect.datasets.chips import UNKNOWN
from detect.datasets.cutting import prepare_images
from detect.datasets.images import DataSet, LabelledImage, Labels, Outlines

SURE_SCORE = 0.7
BUILT, OPEN = 0.6, 0.12
"""Probabilities from which a pixel of a sure building is known, and below which ground is."""
KEPT_OFF_M = 18.0


def pseudo_labels(scene: Path, found: Path, store: Path, hide: Path | None, licence: str) -> int:
    """Add the chips of one scene to a store; how many.

    Args:
        scene: the scene.
        found: folder that ``detect predict`` wrote of it.
        store: folder of a chip store, which may be new.
        hide: polygons on which nothing is to be known.
        licence: of the chips.

    Raises:
        InputError: something is missing, or the store holds such chips already.
    """
    buildings = read_vector(found / "buildings.gpkg", "buildings")
    table = gpd.GeoDataFrame(geometry=buildings.geometry[buildings["score"] > SURE_SCORE]).assign(unknown=False)
    if table.empty:
        raise InputError(f"{found}: holds no building with a score above {SURE_SCORE}; there is nothing to learn from it")
    if hide is not None:
        plane = equal_area_crs(buildings)
        around = read_vector(hide).to_crs(plane).buffer(KEPT_OFF_M).to_crs(buildings.crs).union_all()
        hidden = gpd.GeoDataFrame({"unknown": [True]}, geometry=[around], crs=buildings.crs)
        table = gpd.GeoDataFrame(pd.concat([table[~table.intersects(around)], hidden], ignore_index=True))
    try:
        with rasterio.open(found / "probability.tif") as source:
            p = source.read(1)
    except rasterio.errors.RasterioError as cause:
        raise InputError(f"{found}: no probability.tif that can be read ({cause}); give a folder that predict wrote") from cause

    def refine(labels: Labels, _to_work: Affine) -> None:
        """Keep what is sure; both grids cover the scene from its corner."""
        own = cv2.resize(p, labels.footprint.shape[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
        inside = labels.footprint == 1
        labels.footprint[inside & ((own <= BUILT * TOP) | (own == NO_DATA))] = UNKNOWN
        labels.footprint[~inside & (own >= OPEN * TOP)] = UNKNOWN

    image = LabelledImage(scene, scene.stem, Outlines(lambda: table), label_kind="loose", split="train", refine=refine)
    data_set = DataSet(
        name="pseudo_labels", title="what weights are sure of", licence=licence, gsd_m="", places=scene.stem, sensor="",
        labels="outlines", source="", cite="", images=lambda _: [image], layout="",
    )  # fmt: skip
    return prepare_images(data_set, scene.parent, store).chips


def main() -> int:
    """As the command line says; the exit code."""
    parser = argparse.ArgumentParser(description="Add what weights are sure of to a chip store.")
    parser.add_argument("scene", type=Path)
    parser.add_argument("found", type=Path, help="folder that detect predict wrote of the scene")
    parser.add_argument("store", type=Path, help="folder of the chip store")
    parser.add_argument("--hide", type=Path, help="vector file: polygons on which nothing is to be known")
    parser.add_argument("--licence", default="CC-BY-4.0; ODbL-1.0", help="of the scene and of what trained the weights")
    options = parser.parse_args()
    try:
        print(f"{pseudo_labels(options.scene, options.found, options.store, options.hide, options.licence)} chips")
    except DetectError as error:
        print(f"pseudo_labels: error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
