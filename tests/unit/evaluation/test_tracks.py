"""Series against a reference of the same dates, on squares of 10 m; the scores themselves are in ``test_scot``."""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import pyproj
import pytest
from shapely import box

from detect.base.errors import InputError
from detect.evaluation.tracks import evaluate_tracks

UTM = pyproj.CRS(32637)
DATES = ("2024-06-01", "2024-07-31")


def write(path: Path, *east: float, crs: pyproj.CRS | None = UTM, side: float = 10.0) -> Path:
    """A layer per date with the same squares at these places."""
    shapes = [box(400_000 + x, 6_000_000, 400_000 + x + side, 6_000_000 + side) for x in east]
    table = gpd.GeoDataFrame({"id": range(len(shapes)), "stage": "complete"}, geometry=gpd.GeoSeries(shapes, crs=crs), crs=crs)
    for date in DATES:
        table.to_file(path, layer=f"buildings_{date}")
    return path


def area(path: Path, east: float, crs: pyproj.CRS | None = UTM) -> Path:
    shapes = gpd.GeoSeries([box(400_000 + east - 5, 5_999_990, 400_000 + east + 100, 6_000_100)], crs=crs)
    gpd.GeoDataFrame(geometry=shapes, crs=crs).to_file(path)
    return path


def test_what_lies_outside_the_area_is_not_scored(tmp_path: Path) -> None:
    told, truth = write(tmp_path / "told.gpkg", 0, 200), write(tmp_path / "truth.gpkg", 0, 30)
    whole, inside = (evaluate_tracks(told, truth, area=a)["tracking"] for a in (None, area(tmp_path / "a.gpkg", 0)))
    assert (whole["tp"], whole["fp"], whole["fn"]) == (2, 2, 2)
    assert (inside["tp"], inside["fp"], inside["fn"]) == (2, 0, 2)


@pytest.mark.filterwarnings("ignore:'crs' was not provided")
def test_an_area_that_cannot_be_used_is_said(tmp_path: Path) -> None:
    told = write(tmp_path / "told.gpkg", 0)
    with pytest.raises(InputError, match=r"predicted, reference and area: some have a coordinate system and some have none"):
        evaluate_tracks(told, told, area=area(tmp_path / "plain.gpkg", 0, crs=None))
    points = gpd.GeoDataFrame(geometry=gpd.points_from_xy([400_000], [6_000_000]), crs=UTM)
    points.to_file(tmp_path / "points.gpkg")
    with pytest.raises(InputError, match=r"points.gpkg: holds no polygon to score within"):
        evaluate_tracks(told, told, area=tmp_path / "points.gpkg")


def test_a_date_on_which_nothing_stands_yet_may_be_an_empty_column(tmp_path: Path) -> None:
    def series(path: Path, first: str | None) -> Path:
        stages = {"id": [1, 2], "stage_2024_01_01": [first] * 2, "stage_2024_06_01": ["complete"] * 2}
        gpd.GeoDataFrame(stages, geometry=[box(500_000, 0, 500_010, 10), box(500_020, 0, 500_030, 10)], crs=UTM).to_file(path)
        return path

    metrics = evaluate_tracks(series(tmp_path / "ours.gpkg", "absent"), series(tmp_path / "theirs.gpkg", None))
    assert metrics["scot"] == 1
