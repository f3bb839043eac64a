"""Masks on a coarser grid: where buildings lie, and which gaps stay open."""

from __future__ import annotations

import numpy as np
import pytest
from affine import Affine

from detect.datasets.chips import UNKNOWN
from detect.datasets.images import Labels, from_mask, mostly
from detect.scene.scene import WorkGrid


def labels(mask: np.ndarray, scale: float, coarse: bool = False) -> tuple[Labels, tuple[float, float]]:
    """Labels of a mask reduced so many times, and the exact scales of its rows and columns."""
    size_hw = (round(mask.shape[0] / scale), round(mask.shape[1] / scale))
    scale_rc = (mask.shape[0] / size_hw[0], mask.shape[1] / size_hw[1])
    return from_mask(mask, WorkGrid(size_hw, Affine.identity(), 0.2, scale_rc), coarse=coarse), scale_rc


@pytest.mark.parametrize(
    ("scale", "coarse"), [(1.0, False), (1.5, False), (2.0, False), (8 / 3, False), (8 / 3, True), (5.0, False), (10.0, False)]
)
def test_buildings_stay_where_they_are_and_as_large(scale: float, coarse: bool) -> None:
    rng, shifts, areas, side = np.random.default_rng(7), [], [], round(60 * scale)
    for _ in range(60):
        height, width = (rng.uniform(15, 40, 2) * scale).astype(int)
        top, left = rng.integers(3 * scale, side - max(height, width) - 3 * scale, 2)
        mask = np.zeros((side, side), np.uint8)
        mask[top : top + height, left : left + width] = 1
        found, (down, across) = labels(mask, scale, coarse)
        row, col = (middle.mean() + 0.5 for middle in np.nonzero(found.footprint == 1))
        shifts.append((row - (top + height / 2) / down, col - (left + width / 2) / across))
        areas.append((found.instances > 0).sum() * down * across / (height * width) - 1)
    assert np.abs(np.mean(shifts, axis=0)).max() < 0.06
    assert abs(np.mean(areas)) < 0.06


@pytest.mark.parametrize("scale", [2, 3, 4, 5, 10])
def test_a_gap_of_one_work_pixel_stays_open_wherever_it_lies(scale: int) -> None:
    for first in range(40, 40 + scale):
        mask = np.ones((20 * scale, 40 * scale), np.uint8)
        mask[:, first : first + scale] = 0
        found, _ = labels(mask, scale)
        assert found.instances.max() == 2, first


def test_unknown_ground_is_what_is_neither_mostly_built_nor_mostly_open() -> None:
    mask = np.zeros((4, 16), np.uint8)
    mask[:, :6] = 1
    mask[:, 6:10] = 255  # the second pixel is half built and half unknown, the third half unknown and half open
    mask[:, 12:15], mask[:2, 12:15] = 255, 1  # 3/8 built, 3/8 unknown, 2/8 open
    found, _ = labels(mask, 4)
    np.testing.assert_array_equal(found.footprint, [[1, UNKNOWN, 0, UNKNOWN]])


def test_half_a_pixel_is_not_most_of_it() -> None:
    held = np.array([[True, False, True, True], [True, False, True, False]])
    np.testing.assert_array_equal(mostly(held, (1, 2)), [[False, True]])
    np.testing.assert_array_equal(mostly(held, held.shape), held)
