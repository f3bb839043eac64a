"""Parts of a site that the scene does not show."""

from __future__ import annotations

import geopandas as gpd
import numpy as np
import pytest
from affine import Affine
from shapely import box

from detect.census.gaps import with_gaps
from detect.census.sites import Sites
from detect.scene.scene import WorkGrid

X, Y = 414_000, 6_170_000
GRID = WorkGrid((20, 40), Affine(0.5, 0, X, 0, -0.5, Y), 0.5, (1.0, 1.0))
"""20 m across, 10 m down."""
WEST, EAST = box(X, Y - 10, X + 10, Y), box(X + 10, Y - 10, X + 20, Y)


def sites(*shapes: object) -> Sites:
    table = gpd.GeoDataFrame({"name": [str(i) for i in range(len(shapes))]}, geometry=list(shapes), crs=32637)
    return Sites(table, tuple((f"note {i}",) for i in range(len(shapes))))


def text(share: str) -> str:
    return f"{share} of the site was not observed (no data in the scene)"


@pytest.mark.parametrize("step", [1, 2], ids=["at the grid's resolution", "at half of it"])
def test_the_share_without_an_observation_is_a_warning(step: int) -> None:
    seen = np.ones((20 // step, 40 // step), bool)
    seen[: 10 // step, : 10 // step] = False  # the upper left quarter of the western site: 5 of 10 m by 5 of 10 m
    warned = with_gaps(sites(WEST, EAST), GRID, seen)
    assert warned.warnings == (("note 0", text("25%")), ("note 1",))


def test_a_site_that_nothing_was_seen_of_and_one_outside_the_scene() -> None:
    away = box(X + 100, Y - 10, X + 110, Y)
    warned = with_gaps(sites(EAST, away), GRID, np.zeros((20, 40), bool))
    assert warned.warnings == (("note 0", text("100%")), ("note 1",))


def test_a_gap_of_less_than_half_a_percent_does_not_count() -> None:
    seen = np.ones((20, 40), bool)
    seen[0, 20] = False  # 1 of the 400 pixels of the eastern site
    assert with_gaps(sites(EAST), GRID, seen).warnings == (("note 0",),)
    seen[0, 20:23] = False
    assert with_gaps(sites(EAST), GRID, seen).warnings == (("note 0", text("1%")),)
