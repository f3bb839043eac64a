"""Which bands show the picture, by what their descriptions say."""

from __future__ import annotations

import pytest

from detect.scene.inspection import _described


@pytest.mark.parametrize(
    ("descriptions", "shown"),
    [
        (("B02 (blue)", "B03 (green)", "B04 (red)", "B08 (nir)"), (3, 2, 1)),
        (("B1 Blue", "B2 Green", "B3 Red", "B4 NIR"), (3, 2, 1)),
        (("B1: Coastal Blue", "B2: Blue", "B3: Green", "B4: Red", "B5: Red Edge", "B10 cirrus"), (4, 3, 2)),
        (("b1_blue", "b2_green", "b3_red"), (3, 2, 1)),
        (("Blue", "Green", "Red", "R"), (3, 2, 1)),
        (("B02 B", "B03 G", "B04 R", "B05"), (3, 2, 1)),
        (("B", "G", "R", "red edge"), (3, 2, 1)),
        (("b1", "g1", "r1"), (3, 2, 1)),
    ],
)
def test_colours_that_are_spelt_out_count_before_letters(descriptions: tuple[str, ...], shown: tuple[int, ...]) -> None:
    assert _described(descriptions) == shown


@pytest.mark.parametrize(
    "descriptions",
    [
        ("B02", "B03", "B04"),
        (None, None, None),
        ("B1 blue", "B2 green", "B3 nir"),
        ("blue", "green", "red 1", "red 2"),
        ("B1 blue", "B2 green", "R"),
        (),
    ],
)
def test_descriptions_that_name_not_each_colour_once_say_nothing(descriptions: tuple[str | None, ...]) -> None:
    assert _described(descriptions) is None
