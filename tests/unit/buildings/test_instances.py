"""Groups over strips, and groups into buildings."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from detect.buildings.instances import InstanceParams, find_groups, groups_mask, split_group

PARAMS = InstanceParams()


def heads(mask: np.ndarray, wall: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    footprint = np.where(mask, 230, 10).astype(np.uint8)
    boundary = np.where(np.zeros_like(mask) if wall is None else wall, 240, 5).astype(np.uint8)
    return footprint, boundary


@given(
    values=arrays(np.uint8, st.tuples(st.integers(1, 30), st.integers(1, 40)), elements=st.sampled_from([0, 100, 200, 255])),
    strip=st.integers(1, 31),
)
def test_groups_are_those_of_the_whole_scene(values: np.ndarray, strip: int) -> None:
    def read(span):  # type: ignore[no-untyped-def]
        return values[span.slices()]

    groups = find_groups(read, values.shape, 150, strip_px=strip)
    mask = (values >= 150) & (values < 255)
    labels, count = ndimage.label(mask)
    assert len(groups) == count
    assert [g.seed_rc for g in groups] == sorted(g.seed_rc for g in groups)
    for group in groups:
        of_group = labels == labels[group.seed_rc]
        assert group.area_px == of_group.sum()
        rows, cols = np.nonzero(of_group)
        assert group.span.slices() == (slice(rows.min(), rows.max() + 1), slice(cols.min(), cols.max() + 1))
        assert (
            groups_mask(values[group.span.slices()], [group], (group.span.row0, group.span.col0), 150)[0]
            == of_group[group.span.slices()]
        ).all()


def test_a_wall_separates_two_houses() -> None:
    mask = np.zeros((30, 60), bool)
    mask[5:25, 5:55] = True
    wall = np.zeros_like(mask)
    wall[:, 29:31] = True
    assert split_group(*heads(mask), mask, PARAMS).max() == 1
    labels = split_group(*heads(mask, wall), mask, PARAMS)
    assert labels.max() == 2
    assert labels[15, 10] == 1 and labels[15, 50] == 2
    assert ((labels > 0) == mask).all(), "no pixel is lost"


def test_a_dip_in_the_footprint_separates_too() -> None:
    mask = np.zeros((30, 60), bool)
    mask[5:25, 5:55] = True
    footprint, boundary = heads(mask)
    footprint[:, 28:32] = np.where(mask[:, 28:32], 135, 10)
    assert split_group(footprint, boundary, mask, PARAMS).max() == 2


def test_an_l_shaped_house_stays_whole() -> None:
    mask = np.zeros((50, 60), bool)
    mask[5:15, 5:50] = True
    mask[5:45, 5:17] = True
    assert split_group(*heads(mask), mask, PARAMS).max() == 1


def test_a_weak_line_does_not_separate() -> None:
    mask = np.zeros((30, 60), bool)
    mask[5:25, 5:55] = True
    footprint, boundary = heads(mask)
    boundary[:, 29:31] = 60
    assert split_group(footprint, boundary, mask, PARAMS).max() == 1


def test_small_things_are_dropped_and_labels_run_from_one() -> None:
    mask = np.zeros((20, 40), bool)
    mask[2:4, 2:5] = True
    mask[8:18, 20:34] = True
    labels = split_group(*heads(mask), mask, PARAMS)
    assert set(np.unique(labels)) == {0, 1}
    assert labels[3, 3] == 0 and labels[10, 25] == 1


def test_an_unsure_group_is_one_building() -> None:
    mask = np.zeros((20, 40), bool)
    mask[4:16, 5:30] = True
    footprint = np.where(mask, 131, 0).astype(np.uint8)  # above the threshold, below every seed
    assert split_group(footprint, np.zeros_like(footprint), mask, replace(PARAMS, mean_margin=0.0)).max() == 1


def test_threshold_is_never_zero() -> None:
    assert InstanceParams(footprint_threshold=0.0).threshold_u8 == 1
    assert InstanceParams(footprint_threshold=0.5).threshold_u8 == 127


def test_a_building_in_doubt_throughout_is_none_and_one_in_doubt_at_its_edges_stays() -> None:
    footprint = np.zeros((40, 60), np.uint8)
    footprint[5:15, 5:25] = round(0.5 * 254)  # above the threshold everywhere, sure nowhere
    footprint[20:36, 30:56] = round(0.47 * 254)
    footprint[22:34, 32:54] = round(0.8 * 254)
    mask = footprint >= round(0.45 * 254)
    labels = split_group(footprint, np.zeros_like(footprint), mask, replace(PARAMS, mean_margin=0.18))
    assert labels.max() == 1 and (labels > 0).sum() == 16 * 26
    assert split_group(footprint, np.zeros_like(footprint), mask, replace(PARAMS, mean_margin=0.0)).max() == 2
    strict = replace(PARAMS, footprint_threshold=0.97, mean_margin=0.18)
    assert split_group(np.full((20, 20), 254, np.uint8), np.zeros((20, 20), np.uint8), np.ones((20, 20), bool), strict).max() == 1
