"""Where the sun stood when a scene was taken: from options, a STAC item beside the file, or the file's tags, in that order."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detect.base.errors import InputError
from detect.scene.stac import items_beside

_ITEM_KEYS = ("view:sun_elevation", "view:sun_azimuth")  # STAC view extension
_TAGS = (
    ("IMD", "IMAGE_1.MEANSUNEL", "IMAGE_1.MEANSUNAZ"),  # DigitalGlobe and Maxar
    ("IMD", "MEANSUNEL", "MEANSUNAZ"),
    (None, "SUN_ELEVATION", "SUN_AZIMUTH"),
    (None, "VIEW:SUN_ELEVATION", "VIEW:SUN_AZIMUTH"),
)


@dataclass(frozen=True)
class Sun:
    """Where the sun stands."""

    elevation_deg: float
    """Above the horizon."""
    azimuth_deg: float
    """Clockwise from north."""

    def shadow_m(self, height_m: float) -> float:
        """Length of the shadow of something that high on level ground."""
        return height_m / math.tan(math.radians(self.elevation_deg))

    def height_m(self, shadow_m: float) -> float:
        """Height of what casts a shadow that long on level ground."""
        return shadow_m * math.tan(math.radians(self.elevation_deg))


def scene_sun(dataset: Any, path: str, elevation_deg: float | None = None, azimuth_deg: float | None = None) -> Sun | None:
    """The sun of a scene; None where nothing tells it.

    Args:
        dataset: open rasterio dataset.
        path: of the scene, or its URL.
        elevation_deg: the option ``--sun-elevation``.
        azimuth_deg: the option ``--sun-azimuth``.

    Raises:
        InputError: one option without the other, or no place in the sky.
    """
    if (elevation_deg is None) != (azimuth_deg is None):
        raise InputError("--sun-elevation and --sun-azimuth: give both, or neither")
    if elevation_deg is not None and azimuth_deg is not None:
        given = _in_the_sky(elevation_deg, azimuth_deg)
        if given is None:
            raise InputError(
                f"--sun-elevation {elevation_deg:g} --sun-azimuth {azimuth_deg:g}: "
                "expects 0 to 90 degrees above the horizon and 0 to 360 from north"
            )
        return given
    return next((sun for pair in _told(dataset, path) if (sun := _in_the_sky(*pair)) is not None), None)


def item_sun(item: Mapping[str, Any]) -> Sun | None:
    """The sun of a STAC item with the view extension."""
    properties = item.get("properties")
    return _in_the_sky(*(properties.get(key) for key in _ITEM_KEYS)) if isinstance(properties, Mapping) else None


def _told(dataset: Any, path: str) -> Iterable[tuple[Any, Any]]:
    for item in items_beside(Path(path)):
        sun = item_sun(item)
        if sun is not None:
            yield sun.elevation_deg, sun.azimuth_deg
    for space, elevation, azimuth in _TAGS:
        tags = {k.upper(): v for k, v in dataset.tags(ns=space).items()}
        yield tags.get(elevation), tags.get(azimuth)


def _in_the_sky(elevation: Any, azimuth: Any) -> Sun | None:
    try:
        sun = Sun(float(elevation), float(azimuth))
    except (TypeError, ValueError):
        return None
    return sun if 0 < sun.elevation_deg <= 90 and 0 <= sun.azimuth_deg <= 360 else None
