"""Where the sun stood."""

from __future__ import annotations

import json
import math

import pytest
import rasterio

from detect.base.errors import InputError
from detect.scene.scene import open_scene
from detect.scene.sources import Source
from detect.scene.sun import Sun, item_sun
from tests.conftest import WriteScene


def test_options_come_before_the_item_and_the_item_before_tags(write_scene: WriteScene) -> None:
    path = write_scene()
    assert open_scene(path).sun is None
    with rasterio.open(path, "r+") as scene:
        scene.update_tags(SUN_ELEVATION="41.5", SUN_AZIMUTH="150")
    assert open_scene(path).sun == Sun(41.5, 150.0)
    properties = {"datetime": None, "view:sun_elevation": 42, "view:sun_azimuth": 151}
    item = {"stac_version": "1.0.0", "type": "Feature", "assets": {"visual": {"href": path.name}}, "properties": properties}
    path.with_name("item.json").write_text(json.dumps(item))
    assert open_scene(path).sun == Sun(42.0, 151.0)
    assert open_scene(Source(str(path), sun=Sun(42.5, 151.5))).sun == Sun(42.5, 151.5)
    assert open_scene(path, sun_deg=(43.0, 152.0)).sun == Sun(43.0, 152.0)


def test_one_line_names_a_sun_that_stands_elsewhere(write_scene: WriteScene) -> None:
    path = write_scene()
    with rasterio.open(path, "r+") as scene:
        scene.update_tags(SUN_ELEVATION="41.5", SUN_AZIMUTH="359.5")
    assert open_scene(path, sun_deg=(42.0, 0.5)).warnings == (), "a degree, across north"
    assert open_scene(path, sun_deg=(42.0, 3.0)).warnings == (
        "sun: 42° above the horizon at 3° from north (--sun-elevation and --sun-azimuth) was taken; "
        "41.5° above the horizon at 359.5° from north (tag) contradicts it",
    )


def test_metadata_of_providers(write_scene: WriteScene) -> None:
    path = write_scene(name="imd.tif")
    with rasterio.open(path, "r+") as scene:
        scene.update_tags(ns="IMD", **{"IMAGE_1.meanSunEl": "61.3", "IMAGE_1.meanSunAz": "128.4"})
    assert open_scene(path).sun == Sun(61.3, 128.4)


@pytest.mark.parametrize("given", [(40.0, None), (None, 120.0), (0.0, 120.0), (91.0, 120.0), (40.0, 361.0), (math.nan, 120.0)])
def test_half_a_sun_and_one_below_the_horizon_are_refused(
    write_scene: WriteScene, given: tuple[float | None, float | None]
) -> None:
    with pytest.raises(InputError, match="--sun-elevation"):
        open_scene(write_scene(), sun_deg=given)


@pytest.mark.parametrize("properties", [None, {}, {"view:sun_elevation": 40}, {"view:sun_elevation": "x", "view:sun_azimuth": 1}])
def test_items_that_do_not_say(properties: object) -> None:
    assert item_sun({"properties": properties}) is None


def test_shadows_and_heights_are_inverse() -> None:
    sun = Sun(45.0, 180.0)
    assert sun.shadow_m(6.6) == pytest.approx(6.6)
    assert Sun(30.0, 180.0).height_m(Sun(30.0, 180.0).shadow_m(6.6)) == pytest.approx(6.6)
