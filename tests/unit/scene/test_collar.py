"""Which constant edges of a picture are no data."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from detect.scene.collar import collar_value, observed


def picture(dtype: str = "uint16", low: int = 200, high: int = 700) -> NDArray[np.number]:
    """(3, 60, 80) of uneven ground."""
    return np.random.default_rng(1).integers(low, high, (3, 60, 80)).astype(dtype)


@pytest.mark.parametrize(
    ("fill", "dtype"),
    [(0, "uint8"), (255, "uint8"), (0, "uint16"), (65535, "uint16"), (-32768, "int16"), (-9999, "int16"), (-9999, "float32"),
     (-3.4028234663852886e38, "float32"), (3.4028234663852886e38, "float64")],
)  # fmt: skip
def test_a_collar_of_an_extreme_value_is_found(fill: float, dtype: str) -> None:
    values = picture(dtype, high=250 if dtype == "uint8" else 700, low=20)
    values[:, :, :9] = fill
    assert collar_value(values) == fill
    assert (observed(values, fill).sum(axis=1) == 71).all()


def test_a_turned_scene_has_four_corners_of_it() -> None:
    values = picture()
    rows, cols = np.mgrid[:60, :80]
    values[:, abs(rows - 30) + abs(cols - 40) > 55] = 65535
    assert collar_value(values) == 65535


def test_ordinary_edges_are_ground() -> None:
    values = picture()
    assert collar_value(values) is None
    values[:, :, :9] = 450  # a lake, or a field: neither the darkest nor the brightest
    assert collar_value(values) is None


def test_white_roofs_at_the_edge_are_ground() -> None:
    values = picture("uint8", 20, 250)
    for row in range(0, 60, 10):  # overexposed in spots, each a small part of the edge
        values[:, row : row + 3, :5] = 255
    values[:, 20:40, 30:50] = 255
    assert collar_value(values) is None


def test_a_value_that_fills_more_inside_than_at_the_edge_is_ground() -> None:
    values = picture("uint8", 20, 250)
    values[:, :, :4] = 255
    values[:, 10:50, 20:60] = 255
    assert collar_value(values) is None


def test_bands_must_agree() -> None:
    values = picture()
    values[0, :, :9] = 65535
    assert collar_value(values) is None


def test_not_a_number_hides_no_collar() -> None:
    values = picture("float32")
    values[:, :, :9] = -9999
    values[:, 50:] = np.nan
    assert collar_value(values) == -9999
    assert collar_value(np.full((3, 4, 4), np.nan, np.float32)) is None


@pytest.mark.parametrize("value", [7, 240, 255])
def test_a_picture_of_one_value_is_ground_and_so_is_a_flat_quarter_of_no_usual_filling(value: int) -> None:
    assert collar_value(np.full((3, 40, 40), value, np.uint8)) is None
    values = picture("uint8", 20, 200)
    values[:, 30:, 40:] = value
    assert collar_value(values) == (255 if value == 255 else None)


def test_a_tiny_picture_tells_too_little() -> None:
    values = picture("uint8", 20, 200)[:, :20]
    values[:, :, :9] = 255
    assert collar_value(values) is None
