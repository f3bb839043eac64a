"""Find the position of the sun in options, tags and STAC items; ``detect.scene.sources`` chooses among them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from detect.base.errors import InputError

SAME_SUN_DEG = 2.0
"""Metadata give the sun at the start, middle or end of an image, and it moves about a degree in four minutes."""
_ITEM_KEYS = ("view:sun_elevation", "view:sun_azimuth")  # STAC view extension
_TAGS = (
    ("IMD", "IMAGE_1.MEANSUNEL", "IMAGE_1.MEANSUNAZ"),  # DigitalGlobe and Maxar
    ("IMD", "IMAGE_1.SUNEL", "IMAGE_1.SUNAZ"),  # what GDAL makes of the former where the file says version = "AA"
    ("IMD", "MEANSUNEL", "MEANSUNAZ"),
    (None, "SUN_ELEVATION", "SUN_AZIMUTH"),
    (None, "VIEW:SUN_ELEVATION", "VIEW:SUN_AZIMUTH"),
)


@dataclass(frozen=True)
class Sun:
    """The position of the sun."""

    elevation_deg: float
    """Above the horizon."""
    azimuth_deg: float
    """Clockwise from north."""

    def __str__(self) -> str:
        """As in a notice: ``41.5° above the horizon at 150° from north``."""
        return f"{self.elevation_deg:g}° above the horizon at {self.azimuth_deg:g}° from north"

    def is_near(self, other: Sun) -> bool:
        """Whether both differ by less than ``SAME_SUN_DEG`` in each angle."""
        turn = abs(self.azimuth_deg - other.azimuth_deg) % 360
        return abs(self.elevation_deg - other.elevation_deg) < SAME_SUN_DEG and min(turn, 360 - turn) < SAME_SUN_DEG

    def shadow_m(self, height_m: float) -> float:
        """Length of the shadow of an object of that height on level ground."""
        return height_m / math.tan(math.radians(self.elevation_deg))

    def height_m(self, shadow_m: float) -> float:
        """Height of an object with a shadow of that length on level ground."""
        return shadow_m * math.tan(math.radians(self.elevation_deg))


def given_sun(elevation_deg: float | None, azimuth_deg: float | None) -> Sun | None:
    """The sun of the options ``--sun-elevation`` and ``--sun-azimuth``; None without them.

    Raises:
        InputError: one option without the other, or not a position in the sky.
    """
    if (elevation_deg is None) != (azimuth_deg is None):
        raise InputError("--sun-elevation and --sun-azimuth: give both, or neither")
    if elevation_deg is None or azimuth_deg is None:
        return None
    given = _in_the_sky(elevation_deg, azimuth_deg)
    if given is None:
        raise InputError(
            f"--sun-elevation {elevation_deg:g} --sun-azimuth {azimuth_deg:g}: "
            "expects 0 to 90 degrees above the horizon and 0 to 360 from north"
        )
    return given


def item_sun(item: Mapping[str, Any]) -> Sun | None:
    """The sun of a STAC item with the view extension."""
    properties = item.get("properties")
    return _in_the_sky(*(properties.get(key) for key in _ITEM_KEYS)) if isinstance(properties, Mapping) else None


def tagged_sun(dataset: Any) -> Sun | None:
    """The sun in the tags of an open rasterio dataset."""
    for space, elevation, azimuth in _TAGS:
        tags = {k.upper(): v for k, v in dataset.tags(ns=space).items()}
        sun = _in_the_sky(tags.get(elevation), tags.get(azimuth))
        if sun is not None:
            return sun
    return None


def _in_the_sky(elevation: Any, azimuth: Any) -> Sun | None:
    if isinstance(elevation, bool) or isinstance(azimuth, bool):
        return None
    try:
        sun = Sun(float(elevation), float(azimuth))
    except (TypeError, ValueError):
        return None
    return sun if 0 < sun.elevation_deg <= 90 and 0 <= sun.azimuth_deg <= 360 else None
