"""Which constant edges of a picture are no data."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from detect.scene.collar import find_collars


def collar_value(values: NDArray[np.number]) -> float | None:
    """The value of the first collar of a picture without tags."""
    valid = np.isfinite(values).all(axis=0)
    collars = find_collars(values, valid, marked=False) if valid.any() else ()
    return collars[0].value if collars else None


def seen(values: NDArray[np.number]) -> NDArray[np.bool_]:
    """What no collar covers."""
    valid = np.isfinite(values).all(axis=0)
    place = tuple((np.arange(n) + 0.5) / n for n in valid.shape)
    for collar in find_collars(values, valid, marked=False):
        valid &= ~collar.covers(values, (place[0], place[1]))
    return valid


def picture(dtype: str = "uint16", low: int = 200, high: int = 700) -> NDArray[np.number]:
    """(3, 60, 80) of uneven ground."""
    return np.random.default_rng(1).integers(low, high, (3, 60, 80)).astype(dtype)


def corners(reach: int = 55) -> NDArray[np.bool_]:
    """(60, 80): the four corners that a turned scene leaves."""
    rows, cols = np.mgrid[:60, :80]
    return np.asarray(abs(rows - 30) + abs(cols - 40) > reach)


@pytest.mark.parametrize(
    ("fill", "dtype"),
    [(0, "uint8"), (255, "uint8"), (0, "uint16"), (65535, "uint16"), (-32768, "int16"), (-9999, "int16"), (-9999, "float32"),
     (-3.4028234663852886e38, "float32"), (3.4028234663852886e38, "float64")],
)  # fmt: skip
def test_a_collar_of_an_extreme_value_is_found(fill: float, dtype: str) -> None:
    values = picture(dtype, high=250 if dtype == "uint8" else 700, low=20)
    values[:, :, :9] = fill
    assert collar_value(values) == fill
    assert (seen(values).sum(axis=1) == 71).all()


def test_a_turned_scene_has_four_corners_of_it() -> None:
    values = picture()
    values[:, corners()] = 65535
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


@pytest.mark.parametrize("colour", [(128, 128, 128), (254, 254, 254), (1, 1, 1), (255, 0, 255)])
def test_any_colour_in_three_corners_is_a_collar(colour: tuple[int, int, int]) -> None:
    values = picture("uint8", 20, 250)
    around = corners()
    values[:, around] = np.array(colour)[:, None]
    assert (seen(values) == ~around).all()
    values = picture("uint8", 20, 250)
    values[:, 40:, :] = np.array(colour)[:, None, None]  # two corners: a lake
    assert seen(values).all()


def test_a_second_collar_inside_the_first_is_found() -> None:
    values = picture("uint8", 20, 250)
    values[:, :, :20] = 255  # of the sheet, before it was turned
    around = corners()
    values[:, around] = 0
    expected = ~around
    expected[:, :20] = False
    assert (seen(values) == expected).all()


def test_where_a_tag_marks_some_black_needs_evidence() -> None:
    values = picture("uint8", 20, 250)
    values[:, 10, :3] = 0
    values[:, 30:33, :9] = 0  # a shadow at the edge
    valid = np.ones(values.shape[1:], bool)
    assert find_collars(values, valid, marked=False)
    assert not find_collars(values, valid, marked=True)
    values[:, corners()] = 0
    assert find_collars(values, valid, marked=True)[0].value == 0


@pytest.mark.parametrize("value", [0, 255])
@pytest.mark.parametrize("quality", [60, 90])
def test_what_jpeg_smears_belongs_to_the_collar(value: int, quality: int) -> None:
    rng = np.random.default_rng(3)
    values = cv2.GaussianBlur(rng.integers(40, 210, (240, 320, 3)).astype(np.uint8), (0, 0), 1.5)
    rows, cols = np.mgrid[:240, :320]
    around = abs(rows - 120) + abs(cols - 160) > 210
    values[around] = value
    coded = cv2.imencode(".jpg", values, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    smeared = np.moveaxis(cv2.imdecode(coded, cv2.IMREAD_COLOR), 2, 0)
    exact = (smeared != value).any(axis=0)
    assert (exact & around).sum() > 0.05 * around.sum()  # what it takes more than the one value to find
    left = seen(smeared)
    assert (left & around).sum() < 0.03 * around.sum()
    assert (~left & ~around).sum() < 0.01 * (~around).sum()


def test_a_dark_lake_at_the_edge_is_ground() -> None:
    values = picture("uint8", 40, 250)
    values[:, :30, :40] = np.random.default_rng(4).integers(2, 14, (3, 30, 40))
    assert seen(values).all()


def test_dark_ground_beside_a_sharp_collar_is_ground() -> None:
    values = picture("uint8", low=20, high=250)
    values[:, :, :9] = 0
    values[:, 30, 9:12] = 5  # nearly black, but nothing else beside the collar is
    assert seen(values)[30, 9:12].all()
