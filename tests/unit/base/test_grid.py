"""Spans: sizes, padding, clipping, moving, indexing."""

from __future__ import annotations

import numpy as np
import pytest

from detect.base.grid import Margins, Span, reading_gsd_m


def test_a_span_knows_its_size_rows_first() -> None:
    span = Span(2, 10, 5, 17)
    assert (span.height, span.width) == span.size_hw == (3, 7)
    assert not span.is_empty


@pytest.mark.parametrize("span", [Span(3, 0, 3, 9), Span(0, 4, 9, 4), Span(5, 0, 2, 9), Span(0, 7, 9, 1)])
def test_a_span_without_pixels_is_empty_and_never_of_negative_size(span: Span) -> None:
    assert span.is_empty
    assert min(span.size_hw) == 0


def test_padding_grows_each_side_and_may_stick_out() -> None:
    assert Span(2, 10, 5, 17).pad(4) == Span(-2, 6, 9, 21)
    assert Span(2, 10, 5, 17).pad(4).pad(-4) == Span(2, 10, 5, 17)


def test_intersection_holds_what_both_hold() -> None:
    first, second = Span(0, 0, 6, 9), Span(4, 5, 20, 30)
    assert first.intersect(second) == second.intersect(first) == Span(4, 5, 6, 9)
    assert first.intersect(Span(6, 0, 8, 9)).is_empty, "neighbours share no pixel"
    assert first.intersect(Span(40, 50, 41, 52)).is_empty


def test_clipping_takes_rows_from_the_height_and_columns_from_the_width() -> None:
    assert Span(-3, -4, 100, 200).clip((11, 23)) == Span(0, 0, 11, 23)
    assert Span(9, 20, 30, 40).clip((11, 23)) == Span(9, 20, 11, 23)
    assert Span(11, 0, 30, 40).clip((11, 23)).is_empty


def test_shifting_into_another_span_gives_local_coordinates() -> None:
    outer, inner = Span(100, 40, 180, 90), Span(120, 45, 130, 60)
    local = inner.shift(-outer.row0, -outer.col0)
    assert local == Span(20, 5, 30, 20)
    assert local.size_hw == inner.size_hw
    assert local.shift(outer.row0, outer.col0) == inner


def test_union_is_the_smallest_span_around_both() -> None:
    first, second = Span(0, 8, 3, 9), Span(5, 1, 6, 4)
    assert first.union(second) == second.union(first) == Span(0, 1, 6, 9)
    assert first.union(first) == first


def test_slices_cut_the_pixels_out_of_an_array() -> None:
    picture = np.arange(5 * 8).reshape(5, 8)  # pixel (r, c) holds 8 r + c
    assert picture[Span(1, 6, 3, 8).slices()].tolist() == [[14, 15], [22, 23]]


@pytest.mark.parametrize("span", [Span(-1, 0, 3, 4), Span(0, -1, 3, 4)])
def test_slices_refuse_an_origin_that_would_index_from_the_end(span: Span) -> None:
    with pytest.raises(AssertionError, match="negative origin"):
        span.slices()


def test_spans_sort_row_by_row_and_serve_as_keys() -> None:
    spans = [Span(8, 0, 9, 1), Span(0, 8, 1, 9), Span(0, 0, 1, 1)]
    assert sorted(spans) == spans[::-1]
    assert len({*spans, Span(0, 0, 1, 1)}) == 3


def test_fine_scenes_are_read_a_little_coarser_than_they_are_within_bounds() -> None:
    assert reading_gsd_m(0.07, 0.2, 0.3) == 0.2
    assert reading_gsd_m(0.2, 0.2, 0.3) == pytest.approx(0.22)
    assert reading_gsd_m(0.271, 0.2, 0.3) == pytest.approx(0.298, abs=5e-4)
    assert reading_gsd_m(0.5, 0.2, 0.3) == 0.3
    assert reading_gsd_m(0.07, 0.3, 0.3) == reading_gsd_m(0.9, 0.3, 0.3) == 0.3, "one size where both bounds are one"


def test_margins_lie_around_a_span_and_follow_a_mirrored_array() -> None:
    margins = Span(3, 10, 5, 16).margins_in(Span(2, 7, 9, 18))
    assert margins == Margins(top=1, left=3, bottom=4, right=2)
    picture = np.arange(7 * 11).reshape(7, 11)
    inner = picture[margins.inside(picture.shape)]
    assert inner.shape == (2, 6) and inner[0, 0] == picture[1, 3]
    for rows, cols in ((True, False), (False, True), (True, True)):
        axes = [axis for axis, turned in enumerate((rows, cols)) if turned]
        mirrored = np.flip(picture, axes)
        assert (mirrored[margins.mirrored(rows=rows, cols=cols).inside(picture.shape)] == np.flip(inner, axes)).all()
