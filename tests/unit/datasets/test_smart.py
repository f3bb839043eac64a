"""IARPA SMART: ground under site preparation, from drawn and from published site models."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from affine import Affine

from detect.base.errors import InputError
from detect.datasets import prepare
from detect.datasets.chips import UNKNOWN, read_chip, read_index
from tests.real_data import data_path
from tests.unit.datasets.drawing_c import picture, write_geotiff

SIZE_HW = (128, 160)
METRES = 1.0
CRS = "EPSG:32640"
PLACE = Affine(METRES, 0, 290_000, 0, -METRES, 2_758_000)
DEGREES = 0.00001  # drawn in degrees near the equator: about 1.11 m


def place_in_degrees(lon: float) -> Affine:
    return Affine(DEGREES, 0, lon, 0, -DEGREES, 1.0)


def box(place: Affine, row0: int, col0: int, row1: int, col1: int) -> list[Any]:
    """The coordinates of one polygon of a multipolygon."""
    return [[list(place * xy) for xy in ((col0, row0), (col1, row0), (col1, row1), (col0, row1), (col0, row0))]]


def site_model(path: Path, observations: list[tuple[str, list[tuple[str, list[Any]]]]]) -> None:
    """Observations as (day, (phase, polygon) of the site and of parts of it)."""
    site = {"type": "site", "region_id": path.stem[:7], "site_id": path.stem, "status": "positive_annotated"}
    features: list[dict[str, Any]] = [{"type": "Feature", "properties": site, "geometry": None}]
    for day, parts in observations:
        properties = {
            "type": "observation", "observation_date": day, "sensor_name": "WorldView",
            "current_phase": ", ".join(phase for phase, _ in parts),
            "is_site_boundary": ", ".join(str(n == 0) for n in range(len(parts))),
        }  # fmt: skip
        geometry = {"type": "MultiPolygon", "coordinates": [polygon for _, polygon in parts]}
        features.append({"type": "Feature", "properties": properties, "geometry": geometry})
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))


def smart(folder: Path) -> Path:
    models = folder / "annotations" / "primary_dataset" / "site_models"
    for region, lon in (("AE_R001", 55.0), ("BR_R002", -43.0)):
        place = place_in_degrees(lon)
        whole = box(place, 0, 0, 120, 150)
        site_model(models / f"{region}_0000.geojson", [
            ("2019-03-01", [("No Activity", whole)]),
            ("2019-09-01", [("Site Preparation", whole)]),
            ("2019-12-01", [("Site Preparation", whole), ("Active Construction", box(place, 0, 100, 120, 150))]),
            ("2020-06-01", [("Active Construction", whole)]),
        ])  # fmt: skip
        write_geotiff(folder / "images" / region / "2019-10-15.tif", picture(SIZE_HW), place, "EPSG:4326")
    return folder


def test_only_ground_that_is_being_cleared_is_known(tmp_path: Path) -> None:
    prepare("smart", smart(tmp_path / "source"), tmp_path / "chips")
    index = read_index(tmp_path / "chips")
    assert set(index["place"]) == {"AE_R001", "BR_R002"} and set(index["split"]) == {"train", "val"}
    assert set(index["data_set"]) == {"smart"} and set(index["label_kind"]) == {"coarse"}
    assert (index["buildings"] == 0).all() and (index["known_m2"] > 0).all()
    assert index["gsd_m"].to_numpy() == pytest.approx(1.11, rel=0.01)
    footprint = read_chip(tmp_path / "chips", index["chip"].iloc[0]).footprint
    assert set(np.unique(footprint)) == {0, UNKNOWN}
    # The site of 120 × 150 px, less the part that is built on in December, less 10 m = 9 px all round.
    rows, cols = np.nonzero(footprint == 0)
    assert (rows.min(), rows.max() + 1) == pytest.approx((9, 111), abs=1)
    assert (cols.min(), cols.max() + 1) == pytest.approx((9, 91), abs=1)


@pytest.mark.parametrize("day", ["2019-06-01", "2020-02-01", "2020-08-01"])
def test_between_two_phases_and_after_the_last_nothing_is_known(tmp_path: Path, day: str) -> None:
    images = smart(tmp_path / "source") / "images"
    for region in ("AE_R001", "BR_R002"):
        (images / region / "2019-10-15.tif").rename(images / region / f"{day}.tif")
    with pytest.raises(InputError, match="gives no chips"):
        prepare("smart", tmp_path / "source", tmp_path / "chips")


def test_a_site_on_top_of_another_makes_it_doubtful(tmp_path: Path) -> None:
    models = smart(tmp_path / "source") / "annotations" / "primary_dataset" / "site_models"
    other = box(place_in_degrees(55.0), 90, 0, 120, 150)
    site_model(
        models / "AE_R001_0001.geojson",
        [("2019-01-01", [("Post Construction", other)]), ("2020-01-01", [("Post Construction", other)])],
    )
    prepare("smart", tmp_path / "source", tmp_path / "chips")
    row = read_index(tmp_path / "chips").query("place == 'AE_R001'").iloc[0]
    rows, _ = np.nonzero(read_chip(tmp_path / "chips", row["chip"]).footprint == 0)
    assert rows.max() + 1 == pytest.approx(81, abs=1)


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("AE_R001/north.tif", "has no day"),
        ("north/2019-10-15.tif", "has no region"),
        ("AE_R001/2019-02-31.tif", "is not a date"),
        ("US_R007/2019-10-15.tif", r"site_models/US_R007_\*\.geojson: no such file"),
    ],
)
def test_an_image_that_cannot_be_placed_is_named(tmp_path: Path, name: str, word: str) -> None:
    write_geotiff(smart(tmp_path / "source") / "images" / name, picture(SIZE_HW), PLACE, CRS)
    with pytest.raises(InputError, match=word):
        prepare("smart", tmp_path / "source", tmp_path / "chips")


def test_missing_annotations_and_missing_images_are_named(tmp_path: Path) -> None:
    write_geotiff(tmp_path / "source" / "AE_R001" / "2019-10-15.tif", picture(SIZE_HW), PLACE, CRS)
    with pytest.raises(InputError, match="site_models: missing"):
        prepare("smart", tmp_path / "source", tmp_path / "chips")
    (tmp_path / "other" / "site_models").mkdir(parents=True)
    with pytest.raises(InputError, match="no images"):
        prepare("smart", tmp_path / "other", tmp_path / "chips")


def test_a_published_site_model(tmp_path: Path) -> None:
    """On a day in the middle of its observations of site preparation; the image is drawn."""
    with tarfile.open(data_path("iarpa_smart/iarpa_smart_primary_site_and_region_models.tar.gz")) as archive:
        name = "annotations/primary_dataset/site_models/AE_R001_0071.geojson"
        archive.extract(name, tmp_path / "source", filter="data")
    features = json.loads((tmp_path / "source" / name).read_text())["features"][1:]
    cleared = [f for f in features if f["properties"]["current_phase"] == "Site Preparation"]
    assert len(cleared) > 1
    day = cleared[len(cleared) // 2]["properties"]["observation_date"]
    site = shapely.from_geojson(json.dumps(cleared[len(cleared) // 2]["geometry"]))
    west, _, east, north = site.bounds
    place = Affine(0.00002, 0, west - 0.0004, 0, -0.00002, north + 0.0004)
    size = (200, round((east - west) / 0.00002) + 40)
    write_geotiff(tmp_path / "source" / f"AE_R001_{day}.tif", picture(size), place, "EPSG:4326")
    prepare("smart", tmp_path / "source", tmp_path / "chips")
    (row,) = read_index(tmp_path / "chips").to_dict("records")
    known = read_chip(tmp_path / "chips", row["chip"]).footprint == 0
    rows, cols = (at * there / here for at, there, here in zip(np.nonzero(known), size, known.shape, strict=True))
    assert site.contains(shapely.points(*(place * (cols.mean(), rows.mean()))))
    area_m2 = site.area * 111_000**2 * np.cos(np.radians(24.9))
    assert 0.5 * area_m2 < row["known_m2"] < area_m2
