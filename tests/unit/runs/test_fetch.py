"""A part of a raster, and a picture that was given its place, tell date and sun as the raster itself does."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import cv2
import numpy as np
import pyproj
import pytest

from detect.runs.fetch import fetched
from detect.runs.job import Job
from detect.runs.options import PredictOptions
from detect.runs.predict import _open_one
from detect.scene.scene import Scene, open_scene
from detect.scene.sources import Source, sources
from detect.scene.sun import Sun
from tests.conftest import WriteScene


def opened(source: Source, out: Path, **options: Any) -> Scene:
    """A scene as ``predict`` opens it."""
    job = cast(Job, SimpleNamespace(options=PredictOptions(**options), out=out))
    return _open_one(fetched(source, job), job.options)


def describe(path: Path, day: str, **assets: Any) -> None:
    """Write a STAC item."""
    seen = {"datetime": f"{day}T10:00:00Z", "view:sun_elevation": 40, "view:sun_azimuth": 150}
    path.write_text(json.dumps({"type": "Feature", "stac_version": "1.0.0", "id": "x", "properties": seen, "assets": assets}))


def middle_of(scene: Scene) -> tuple[float, float, float]:
    """``--around`` for ten metres around the middle of a scene."""
    to_degrees = pyproj.Transformer.from_crs(scene.crs, 4326, always_xy=True)
    longitude, latitude = to_degrees.transform(*scene.outline.centroid.coords[0])
    return latitude, longitude, 10


def test_a_part_is_of_the_day_of_the_raster(write_scene: WriteScene, tmp_path: Path) -> None:
    path = write_scene(name="town_2019_01.tif")
    around = middle_of(open_scene(path))
    assert opened(Source(str(path)), tmp_path / "name", around=around).date == "2019-01-01"
    describe(tmp_path / "town_2019_01.json", "2019-01-06")
    part = opened(Source(str(path)), tmp_path / "item", around=around)
    assert part.path == str(tmp_path / "item" / "town_2019_01.tif") and part.size_hw != open_scene(path).size_hw
    assert (part.date, part.sun) == ("2019-01-06", Sun(40, 150))
    assert opened(Source(str(path)), tmp_path / "option", around=around, date="2019-01-07").date == "2019-01-07"


def test_a_placed_picture_is_of_the_day_of_the_item_beside_it(tmp_path: Path) -> None:
    picture = tmp_path / "shot.png"
    cv2.imwrite(str(picture), np.full((96, 160, 3), 90, np.uint8))
    describe(tmp_path / "shot.json", "2019-01-06")
    scene = opened(Source(str(picture)), tmp_path / "out", corners=(51.0003, 4.0, 51.0, 4.0008))
    assert (scene.date, scene.sun) == ("2019-01-06", Sun(40, 150))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "2021-05-06 (STAC item) was taken; 2020-01-01 (file name) contradicts it"),
        (
            {"date": "2021-05-07"},
            "2021-05-07 (--date) was taken; 2021-05-06 (STAC item) and 2020-01-01 (file name) contradict it",
        ),
    ],
)
def test_the_date_of_an_item_is_said_to_be_its_own(
    write_scene: WriteScene, tmp_path: Path, options: dict[str, Any], words: str
) -> None:
    write_scene(name="c_20200101.tif")
    describe(tmp_path / "it.json", "2021-05-06", visual={"href": "c_20200101.tif", "type": "image/tiff"})
    (source,) = sources([tmp_path / "it.json"])
    scene = opened(source, tmp_path / "out", **options)
    assert scene.warnings == (f"date: {words}",) and scene.sun == Sun(40, 150) and scene.name == "x"
