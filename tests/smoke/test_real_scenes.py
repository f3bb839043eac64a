"""The shipped weights on real imagery that no training saw."""

from __future__ import annotations

import json
from pathlib import Path

import geopandas as gpd
import pytest
import rasterio
import shapely

import detect
from detect.base.errors import InputError
from detect.base.matching import match, overlaps
from detect.evaluation.footprints import evaluate
from tests.real_data import data_path

FORMATS = (
    "atlanta_pan_uint16", "rio_8band_uint16", "rio_black_nodata_untagged", "rotterdam_ms_float64", "rotterdam_pan_uint16",
    "vegas_single_band_R",
)  # fmt: skip


def test_long_blocks_of_a_camp_come_out_single(tmp_path: Path) -> None:
    """What made counting fail first: blocks a few metres apart."""
    scene = data_path("oam_chips/nairobi_0.tif")
    rows = json.loads(data_path("rows/rows.json").read_text(encoding="utf-8"))
    core = [shapely.Polygon(r["corners"]) for r in rows if "nairobi_0" in r["image"] and r["core"]]
    assert len(core) == 79
    found = detect.predict(scene, tmp_path).buildings.to_crs(3857)
    single = match(overlaps(list(found.geometry), core))[0]
    assert len(single) >= 0.8 * len(core)
    like = found[found["dormitory_like"]]
    assert len(like) >= 10, "rows of them look like dormitories"


@pytest.mark.parametrize(("image", "least_iou", "least_f1"), [("vegas/vegas_225", 0.6, 0.55), ("oam_chips/virac_1", 0.5, 0.45)])
def test_footprints_on_a_place_that_no_training_saw(image: str, least_iou: float, least_f1: float, tmp_path: Path) -> None:
    result = detect.predict(data_path(f"{image}.tif"), tmp_path)
    metrics = evaluate(result.buildings, data_path(f"{image}.geojson"))
    assert metrics["footprint_iou"] > least_iou
    assert metrics["f1"] > least_f1


@pytest.mark.parametrize("name", FORMATS)
def test_awkward_formats_are_predicted(name: str, tmp_path: Path) -> None:
    path = data_path(f"formats/{name}.tif")
    result = detect.predict(path, tmp_path)
    with rasterio.open(path) as scene, rasterio.open(result.folder / "mask.tif") as mask:
        assert mask.bounds == pytest.approx(scene.bounds, rel=1e-6)
        assert set(mask.read(1).ravel()) <= {0, 1, 255}
    table = gpd.read_parquet(result.folder / "buildings.parquet")
    assert table.crs.to_epsg() == 4326
    assert len(table) == len(result.buildings)


@pytest.mark.parametrize(("name", "metres"), [("albers_int16_nodata", "30.00 m"), ("float32_nan", "4.50 m")])
def test_scenes_too_coarse_for_buildings_are_refused(name: str, metres: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=metres):
        detect.predict(data_path(f"formats/{name}.tif"), tmp_path)
