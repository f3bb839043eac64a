"""Instances → polygons, squared where the building is square."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from rasterio.features import rasterize
from scipy import ndimage
from shapely import Polygon, affinity, box

from detect.base.grid import Span
from detect.base.stages import SECOND_WEIGHT, STAGES, pool
from detect.buildings.footprints import Reading, extract_buildings, polygonise
from detect.buildings.instances import InstanceParams, find_groups
from detect.buildings.squaring import square_all

L_SHAPE = Polygon([(0, 0), (60, 0), (60, 20), (22, 20), (22, 50), (0, 50)])
SIZE_HW = (110, 140)


def drawn(shape: Polygon, angle: float = 0.0) -> Polygon:
    """The pixel outline of a shape turned about the middle of the picture."""
    x, y = shape.centroid.coords[0]
    placed = affinity.rotate(affinity.translate(shape, 70 - x, 55 - y), angle, origin=(70, 55))
    mask = rasterize([placed], SIZE_HW, dtype="uint8").astype(np.int32)
    return polygonise(mask)[1]


def square(outline: Polygon) -> Polygon:
    return square_all(np.array([outline], dtype=object))[0]


def corner_angles(polygon: Polygon) -> np.ndarray:
    ring = shapely.get_coordinates(polygon.exterior)[:-1]
    back, ahead = np.roll(ring, 1, axis=0) - ring, np.roll(ring, -1, axis=0) - ring
    cosine = (back * ahead).sum(axis=1) / np.hypot(*back.T) / np.hypot(*ahead.T)
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))


@pytest.mark.parametrize("angle", [0, 17, 45, 80])
@pytest.mark.parametrize(("shape", "corners"), [(box(0, 0, 60, 14), 4), (box(0, 0, 25, 22), 4), (L_SHAPE, 6)])
def test_square_buildings_get_right_angles(shape: Polygon, corners: int, angle: float) -> None:
    outline = drawn(shape, angle)
    result = square(outline)
    assert result.is_valid
    assert len(result.exterior.coords) - 1 == corners
    assert np.abs(corner_angles(result) - 90).max() < 0.5
    assert result.area == pytest.approx(shape.area, rel=0.05)
    assert result.intersection(outline).area / result.union(outline).area > 0.88


@given(seed=st.integers(0, 10_000))
def test_any_blob_gives_one_valid_polygon_near_it(seed: int) -> None:
    rng = np.random.default_rng(seed)
    noise = ndimage.gaussian_filter(rng.normal(size=(40, 55)), rng.uniform(0.8, 4))
    labels, _ = ndimage.label(noise > np.quantile(noise, 0.6))
    for polygon in polygonise(labels.astype(np.int32)).values():
        if polygon.area < 16:
            continue
        result = square(polygon)
        assert isinstance(result, Polygon)
        assert result.is_valid and result.area > 0
        assert result.intersection(polygon).area / result.union(polygon).area > 0.5


def test_courtyards_stay_and_specks_are_filled() -> None:
    labels = np.zeros((50, 70), np.int32)
    labels[5:45, 5:65] = 1
    labels[15:30, 20:40] = 0
    labels[38, 50] = 0
    outline = polygonise(labels)[1]
    assert len(outline.interiors) == 2
    assert len(square(outline).interiors) == 1


def scene_heads() -> np.ndarray:
    heads = np.zeros((5, 60, 90), np.uint8)
    for rows, cols, stage in (
        (slice(5, 25), slice(10, 40), 4),
        (slice(35, 55), slice(70, 90), 2),
        (slice(40, 50), slice(10, 30), 3),
    ):
        heads[0, rows, cols] = 240
        heads[stage, rows, cols] = 254
    heads[:, 30:60, 0:9] = 255
    return heads


def test_extracted_buildings_know_score_stage_and_edge() -> None:
    heads = scene_heads()
    params = InstanceParams()
    painted = np.zeros(heads.shape[1:], np.uint8)

    def paint(span: Span, codes: np.ndarray) -> None:
        np.copyto(painted[span.slices()], codes, where=codes > 0)

    groups = find_groups(lambda span: heads[0][span.slices()], painted.shape, params.threshold_u8)
    found = list(
        extract_buildings(lambda span: heads[(slice(None), *span.slices())], groups, painted.shape, Reading(params), paint=paint)
    )
    assert [round(b.polygon_px.area) for b in found] == [600, 400, 200]
    assert [int(np.argmax(b.stage_p)) for b in found] == [2, 0, 1]
    assert [b.touches_edge for b in found] == [False, True, False]
    assert found[0].score == pytest.approx(240 / 254)
    assert [(painted == code).sum() for code in (1, 2, 3)] == [400, 200, 600]
    heads[:, 30:60, 9] = 255
    again = list(extract_buildings(lambda span: heads[(slice(None), *span.slices())], groups, painted.shape, Reading(params)))
    assert [b.touches_edge for b in again] == [False, True, True], "beside what was not observed"


def test_what_stands_out_too_far_is_kept_unless_the_building_is_large() -> None:
    spike = Polygon([(0, 0), (60, 0), (60, 18), (80, 19), (80, 21), (60, 22), (60, 40), (0, 40)])
    assert square(spike).bounds[2] > 75 and len(square(spike).exterior.coords) > 5, "a rectangle would be 20 px short of it"
    cut = Polygon([(0, 0), (1000, 0), (1000, 980), (980, 1000), (0, 1000)])
    assert len(square(cut).exterior.coords) == 5, "14 px are little at a perimeter of 4 km"


@pytest.mark.parametrize("quarters", range(4))
def test_each_side_of_the_scene_is_an_edge(quarters: int) -> None:
    heads, params = np.rot90(scene_heads(), quarters, axes=(1, 2)), InstanceParams()
    groups = find_groups(lambda span: heads[0][span.slices()], heads.shape[1:], params.threshold_u8)
    found = extract_buildings(lambda span: heads[(slice(None), *span.slices())], groups, heads.shape[1:], Reading(params))
    assert {round(b.polygon_px.area): b.touches_edge for b in found} == {600: False, 400: True, 200: False}


def test_a_classifier_has_a_say_in_the_stages_of_buildings_and_pixels() -> None:
    heads = scene_heads()
    heads[2:, heads[0] == 240] = np.array([[80], [80], [94]], np.uint8)
    params = InstanceParams(min_area_px=250)
    painted = np.zeros(heads.shape[1:], np.uint8)
    asked: list[float] = []

    def paint(span: Span, codes: np.ndarray) -> None:
        np.copyto(painted[span.slices()], codes, where=codes > 0)

    def classify(footprints: np.ndarray) -> np.ndarray:
        asked.extend(shapely.area(footprints).round().tolist())
        return np.tile([0.2, 0.7, 0.1], (len(footprints), 1))

    groups = find_groups(lambda span: heads[0][span.slices()], painted.shape, params.threshold_u8)
    found = extract_buildings(
        lambda span: heads[(slice(None), *span.slices())], groups, painted.shape, Reading(params, classify=classify), paint=paint
    )
    pooled = extract_buildings(lambda span: heads[(slice(None), *span.slices())], groups, painted.shape, Reading(params))
    for building, alone in zip(found, pooled, strict=True):
        product = np.array(alone.stage_p) ** (1 - SECOND_WEIGHT) * np.array([0.2, 0.7, 0.1]) ** SECOND_WEIGHT
        assert building.stage_p == pytest.approx(product / product.sum(), abs=1e-4)
    assert sorted(asked) == [400, 600], "not of what is too small"
    assert [(painted == code).sum() for code in (1, 2, 3)] == [0, 1000, 0]


def test_a_building_that_is_surely_complete_is_not_classified_again() -> None:
    heads = scene_heads()
    heads[2:4], heads[4] = 2, 250
    params = InstanceParams(min_area_px=250)
    groups = find_groups(lambda span: heads[0][span.slices()], heads.shape[1:], params.threshold_u8)
    asked: list[int] = []

    def classify(footprints: np.ndarray) -> np.ndarray:
        asked.append(len(footprints))
        return np.tile([0.0002, 0.9996, 0.0002], (len(footprints), 1))

    def found(sure_from: float) -> list[str]:
        buildings = extract_buildings(
            lambda span: heads[(slice(None), *span.slices())],
            groups,
            heads.shape[1:],
            Reading(params, classify=classify, sure_from=sure_from),
        )
        return [STAGES[int(np.argmax(b.stage_p))] for b in buildings]

    assert found(0.95) == ["complete"] * 2 and sum(asked) == 0
    assert found(0.999) == ["incomplete"] * 2 and sum(asked) == 2


def test_stage_probabilities_sum_to_one_and_weights_are_divided_out() -> None:
    labels = np.repeat([[0, 1, 1, 2]], 3, axis=0).astype(np.int32)
    heads = np.stack([np.full(labels.shape, v, np.uint8) for v in (60, 60, 120)])
    plain = pool(heads, labels, 2)
    assert plain.sum(axis=1) == pytest.approx([1, 1])
    assert plain[0] == pytest.approx([0.25, 0.25, 0.5], abs=1e-3)
    fair = pool(heads, labels, 2, class_weights=(3, 3, 1))
    assert fair[0] == pytest.approx([1 / 8, 1 / 8, 6 / 8], abs=1e-3)
    assert pool(heads, labels, 2, temperature=0.5)[0, 2] > plain[0, 2]
