"""Values of options that name places and sizes."""

from __future__ import annotations

import pytest

from detect.base import checks
from detect.base.errors import InputError


@pytest.mark.parametrize(
    ("text", "metres"), [("50m=339px", 50 / 339), ("0.5km=500", 1.0), ("100 ft = 61 px", 30.48 / 61), (0.4, 0.4)]
)
def test_scale_bars(text: str | float, metres: float) -> None:
    assert checks.metres_per_pixel(text) == pytest.approx(metres)


@pytest.mark.parametrize("text", ["50m", "50=339px", "50m=0px", "m=9px", "-5m=9px", "1.2.3m=9px"])
def test_wrong_scale_bars(text: str) -> None:
    with pytest.raises(InputError):
        checks.metres_per_pixel(text)


def test_boxes_circles_and_corners() -> None:
    assert checks.box_degrees("179,-1,-179,1") == (179, -1, -179, 1)
    assert checks.circle("48.15, 11.05, 300") == (48.15, 11.05, 300)
    assert checks.corners("52,4,51,5") == (52, 4, 51, 5)
    assert checks.corners("boxes/a.kml") == "boxes/a.kml"


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (checks.box_degrees, "4,52,5,51"),  # south above north
        (checks.box_degrees, "4,51,5"),
        (checks.box_degrees, "a,b,c,d"),
        (checks.circle, "148,11,300"),
        (checks.circle, "48,11,0"),
        (checks.corners, "152,4,51,5"),
        (checks.corners, "52,4"),
    ],
)
def test_wrong_places(read: object, text: str) -> None:
    with pytest.raises(InputError, match="is not"):
        read(text)  # type: ignore[operator]


def test_days_are_written_in_one_way() -> None:
    assert checks.image_days("2024-6-1") == "2024-06-01" and checks.image_days("2024-6-1/2024-6-30") == "2024-06-01/2024-06-30"
    assert checks.image_days("2024-06") == "2024-06"
    with pytest.raises(InputError):
        checks.image_days("2199-6-1")
