"""Footprints found once, and what each date shows of them."""

from __future__ import annotations

import geopandas as gpd
import numpy as np
import shapely

from detect.tracks.link import link
from detect.tracks.series import Snapshot

GROUND = shapely.box(-100, -100, 200, 200)


def date_with(*boxes: tuple[float, float, float, float], day: str = "2025-01-01") -> Snapshot:
    return Snapshot(day, gpd.GeoDataFrame(geometry=[shapely.box(*b) for b in boxes]), GROUND)


LEFT, RIGHT, BOTH = (0, 0, 10, 10), (12, 0, 22, 10), (0, 0, 22, 10)


def test_a_gap_keeps_the_identity() -> None:
    links = link([date_with(LEFT), date_with(), date_with(LEFT)])
    assert links.detection.tolist() == [[0, -1, 0]]


def test_two_buildings_drawn_as_one_at_one_date_are_two() -> None:
    links = link([date_with(LEFT, RIGHT), date_with(BOTH), date_with(LEFT, RIGHT)])
    assert sorted(g.bounds for g in links.footprints) == [LEFT, RIGHT]
    assert (links.detection[:, 1] == 0).all()  # the date shows both
    assert links.shared[:, 1].sum() == 1


def test_one_building_drawn_as_two_at_one_date_is_one() -> None:
    links = link([date_with(BOTH), date_with(LEFT, RIGHT), date_with(BOTH)])
    assert [g.bounds for g in links.footprints] == [BOTH]
    assert (links.detection >= 0).all()


def test_a_building_that_grows_is_one() -> None:
    links = link([date_with((0, 0, 10, 4)), date_with((0, 0, 10, 10)), date_with((0, 0, 10, 10))])
    assert len(links.footprints) == 1
    assert links.footprints[0].bounds == (0, 0, 10, 10)
    assert (links.detection == 0).all()


def test_a_leaning_roof_that_hardly_overlaps_is_still_the_building() -> None:
    # 7 of 10 m to the side: 30 % of either is common, too little to be one outline drawn twice, and no date shows both.
    links = link([date_with(LEFT), date_with((7, 0, 17, 10)), date_with(LEFT)])
    assert links.detection[0].tolist() == [0, 0, 0]


def test_two_buildings_that_one_date_shows_are_not_joined() -> None:
    links = link([date_with(LEFT, (7, 0, 17, 10)), date_with(LEFT), date_with((7, 0, 17, 10))])
    assert sorted(links.detection.tolist()) == [[0, 0, -1], [1, -1, 0]]


def test_narrow_neighbours_stay_two_beside_a_wide_building() -> None:
    wide = (50, 50, 90, 90)
    links = link([date_with((0, 0, 4, 4), wide), date_with((6, 0, 10, 4), wide)])
    assert sorted(links.detection.tolist()) == [[-1, 0], [0, -1], [1, 1]]


def test_neighbours_swap_nothing_when_all_shift_half_a_gap() -> None:
    row = [(14.0 * i, 0.0, 14.0 * i + 10, 30.0) for i in range(8)]
    moved = [(a + 3, b, c + 3, d) for a, b, c, d in row]
    links = link([date_with(*row), date_with(*moved)])
    order = np.argsort([g.bounds[0] for g in links.footprints])
    assert links.detection[order].tolist() == [[i, i] for i in range(8)]


def test_no_building_at_all() -> None:
    links = link([date_with(), date_with()])
    assert links.detection.shape == (0, 2)
