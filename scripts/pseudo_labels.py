"""What weights are sure of on a scene without labels, as chips to train on (self-training; Lee 2013, "Pseudo-Label").

    detect predict scene.tif --tta --out runs/found
    python scripts/pseudo_labels.py scene.tif runs/found/scene chips --hide labelled_area.geojson

Sure buildings are known, and sure ground; all between is unknown, and so is what lies within 18 m of the polygons of ``--hide``,
where there are labels or a place validates. The chips form the data set ``pseudo_labels``, split train.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import geopandas as gpd
import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.features import rasterize
from rasterio.warp import Resampling, reproject

from detect.datasets.chips import INDEX, UNKNOWN, ChipRow, read_index, write_chip, write_index
from detect.datasets.cutting import STORE_GSD_M, chip_from, described, spans_of
from detect.errors import DetectError, InputError
from detect.scene import Scene, WorkGrid, open_scene

DATA_SET = "pseudo_labels"
SURE_SCORE = 0.7
BUILT, OPEN, UNSURE = 0.6, 0.12, 0.3
"""Probabilities from which a pixel of a sure building is known, below which ground is, and from which a building's rim is not."""
KEPT_OFF_M = 18.0
LEAST_KNOWN = 0.2
NO_DATA = 255


def pseudo_labels(scene_path: Path, found: Path, store: Path, hide: Path | None, licence: str) -> int:
    """Add the chips of one scene to a store; how many.

    Args:
        scene_path: the scene.
        found: folder that ``detect predict`` wrote of it.
        store: folder of a chip store, which may be new.
        hide: polygons on which nothing is to be known.
        licence: of the chips.

    Raises:
        InputError: the store holds such chips already.
    """
    known = read_index(store) if (store / INDEX).is_file() else None
    if known is not None and DATA_SET in set(known["data_set"]):
        raise InputError(f"{store}: holds {DATA_SET} already; give another folder for the chips")
    scene = open_scene(scene_path)
    grid = scene.work_grid(max(STORE_GSD_M, scene.gsd_m))
    footprint, instances = _labels(scene, grid, found, hide)
    blank = ChipRow(
        chip="", data_set=DATA_SET, place=scene_path.stem, split="train", label_kind="loose", gsd_m=grid.gsd_m, licence=licence,
        source=scene_path.name,
    )  # fmt: skip
    store.mkdir(parents=True, exist_ok=True)
    rows = []
    for span, values, valid in spans_of(scene, grid):
        seen = np.where(valid, footprint[span.slices()], np.uint8(UNKNOWN))
        if (seen != UNKNOWN).mean() < LEAST_KNOWN:
            continue
        chip = chip_from(values, instances[span.slices()], seen, np.zeros(seen.shape, np.uint8))
        name = f"{DATA_SET}_{scene_path.stem}_{span.row0}_{span.col0}"
        write_chip(store, name, chip)
        rows.append(described(replace(blank, chip=name), chip, scene, grid, span))
    if not rows:
        raise InputError(f"{found}: is sure of too little to make chips of")
    write_index(store, rows, known)
    return len(rows)


def _labels(scene: Scene, grid: WorkGrid, found: Path, hide: Path | None) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Footprint states and instance numbers on a grid."""
    p = np.full(grid.size_hw, NO_DATA, np.uint8)
    with rasterio.open(found / "probability.tif") as source:
        reproject(
            source.read(1), p, src_transform=source.transform, src_crs=source.crs, src_nodata=NO_DATA, dst_transform=grid.transform,
            dst_crs=scene.crs, dst_nodata=NO_DATA, resampling=Resampling.nearest,
        )  # fmt: skip
    buildings = gpd.read_file(found / "buildings.gpkg", layer="buildings").to_crs(scene.crs)
    sure = [(g, i) for i, g in enumerate(buildings.geometry[buildings["score"] > SURE_SCORE], start=1)]
    instances = (
        rasterize(sure, grid.size_hw, transform=grid.transform, dtype="int32") if sure else np.zeros(grid.size_hw, np.int32)
    )
    inside = instances > 0
    footprint = np.full(grid.size_hw, UNKNOWN, np.uint8)
    footprint[p < OPEN * 254] = 0
    rim = cv2.dilate(inside.astype(np.uint8), np.ones((5, 5), np.uint8)).astype(bool) & ~inside
    footprint[rim & (p >= UNSURE * 254)] = UNKNOWN
    built = (p > BUILT * 254) & (p < NO_DATA)
    footprint[inside] = np.where(built[inside], 1, UNKNOWN)
    if hide is not None:
        polygon = gpd.read_file(hide).to_crs(scene.crs).union_all().buffer(KEPT_OFF_M)
        footprint[rasterize([polygon], grid.size_hw, transform=grid.transform, dtype="uint8") == 1] = UNKNOWN
    return footprint, instances


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
