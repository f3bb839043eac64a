"""Scenes of ``blocks``: rows of long blocks and a few houses, for trying the training commands and for measuring how well blocks part."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import geopandas as gpd
import numpy as np
import rasterio
import shapely
from affine import Affine
from rasterio.enums import ColorInterp

from detect.base.errors import InputError
from detect.base.files import whole_file
from detect.scene.scene import SIMULATED
from detect.simulate.blocks import CAMP, Block, CompoundRanges, draw_compound, draw_houses
from detect.simulate.paint import Image, draw_ground, paint_compound

CELL_M = 380.0
"""Side of the square that holds one compound, its diagonal included."""
CRS, ORIGIN_XY = "EPSG:32637", (400_000.0, 6_200_000.0)  # anywhere in true metres; the scene shows no real place
BEDS = 256


def simulate(
    out: str | Path,
    *,
    seed: int = 0,
    gsd_m: float = 0.5,
    gap_m: float | None = None,
    compounds: int = 1,
    date: str = "2024-06-01",
) -> tuple[Path, Path]:
    """Draw worker compounds with known truth: ``scene.tif`` and ``truth.gpkg`` in a folder.

    Each compound is a site of rows of long blocks; a few houses that are no dormitories stand around it. The same seed and options
    give the same scene. The picture, its metadata and the truth all say SIMULATED.

    Args:
        out: folder; created.
        seed: of everything drawn.
        gsd_m: ground size of a pixel, metres.
        gap_m: between the long sides of neighbouring blocks; drawn from 2 to 10 m for each compound without.
        compounds: number of compounds.
        date: written into the scene.

    Raises:
        InputError: the folder holds a scene or a truth already.
    """
    folder = Path(out)
    paths = folder / "scene.tif", folder / "truth.gpkg"
    for path in paths:
        if path.exists():
            raise InputError(f"{path}: exists already; give another --out")
    if not 0.05 <= gsd_m <= 2:
        raise InputError(f"--gsd {gsd_m:g}: blocks are drawn with pixels of 0.05 to 2 m")
    rng = np.random.default_rng(seed)
    side = round(CELL_M / gsd_m)
    columns = int(np.ceil(np.sqrt(compounds)))
    size_hw = (side * -(-compounds // columns), side * columns)
    image = draw_ground(rng, size_hw, gsd_m)
    azimuth = rng.uniform(0, 360)
    ranges = CompoundRanges(gap_m=(2.0, 10.0)) if gap_m is None else CompoundRanges(gap_m=(gap_m, gap_m))
    buildings: list[dict[str, Any]] = []
    sites: list[dict[str, Any]] = []
    for number in range(compounds):
        centre = (side * (number % columns + 0.5), side * (number // columns + 0.5))
        compound = draw_compound(rng, centre, gsd_m, ranges)
        image, _ = paint_compound(rng, image, compound, gsd_m, sun_azimuth_deg=azimuth)
        houses = draw_houses(rng, centre, side, compound, gsd_m)
        if houses.blocks:
            image, _ = paint_compound(rng, image, houses, gsd_m, sun_azimuth_deg=azimuth, look=replace(CAMP, yard_share=0.0))
        name = f"compound {number + 1}"
        sites.append({"name": name, "planned_buildings": len(compound.blocks), "simulated": True, "polygon": compound.yard_px})
        buildings += [_record(b, name, dormitory=True) for b in compound.blocks] + [
            _record(b, None, dormitory=False) for b in houses.blocks
        ]
    cv2.putText(image, SIMULATED, (8, size_hw[0] - 10), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 255), 1, cv2.LINE_AA)
    folder.mkdir(parents=True, exist_ok=True)
    transform = Affine(gsd_m, 0, ORIGIN_XY[0], 0, -gsd_m, ORIGIN_XY[1])
    with whole_file(paths[0]) as scene, whole_file(paths[1]) as truth:
        _write_scene(scene, image, transform, seed, date)
        for layer, records in (("buildings", buildings), ("sites", sites)):
            polygons = [shapely.Polygon([transform * tuple(xy) for xy in r.pop("polygon")]) for r in records]
            table = gpd.GeoDataFrame(records, geometry=polygons, crs=CRS)
            if layer == "buildings":
                table.insert(0, "id", np.arange(1, len(table) + 1))
            table.to_file(truth, layer=layer, driver="GPKG")
    return paths


def _record(block: Block, site: str | None, *, dormitory: bool) -> dict[str, Any]:
    beds = BEDS if dormitory else 0
    return {
        "stage": block.stage,
        "dormitory": dormitory,
        "beds": beds,
        "site": site,
        "simulated": True,
        "polygon": block.corners_px,
    }


def _write_scene(path: Path, image: Image, transform: Affine, seed: int, date: str) -> None:
    profile = {
        "driver": "GTiff", "dtype": "uint8", "count": 3, "height": image.shape[0], "width": image.shape[1], "crs": CRS,
        "transform": transform, "tiled": True, "blockxsize": 256, "blockysize": 256, "compress": "deflate", "photometric": "rgb",
    }  # fmt: skip
    with rasterio.open(path, "w", **profile) as target:
        target.write(image.transpose(2, 0, 1))
        target.colorinterp = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
        target.update_tags(
            TIFFTAG_IMAGEDESCRIPTION=f"{SIMULATED} worker compound, seed {seed}; no real place",
            TIFFTAG_DATETIME=f"{date.replace('-', ':')} 10:00:00",
        )
