"""The table of buildings: outlines in pixels become measured rows in the scene's CRS."""

from __future__ import annotations

import numpy as np
import pytest
from affine import Affine
from shapely import box

from detect.buildings.footprints import RawBuilding
from detect.buildings.table import building_table

PIXELS_OF_HALF_A_METRE = Affine(0.5, 0, 100, 0, -0.5, 200)
"""Without a CRS, its units are metres."""


def test_a_row_holds_outline_measures_and_the_likeliest_stage() -> None:
    found = [
        RawBuilding(box(10, 20, 50, 40), 0.75, (0.125, 0.625, 0.25), False),  # 20 m across, 10 m down
        RawBuilding(box(0, 0, 10, 30), 0.5, (0.25, 0.25, 0.5), True),  # 5 m across, 15 m down
    ]
    table = building_table(found, PIXELS_OF_HALF_A_METRE, None)
    assert table.crs is None
    assert [g.bounds for g in table.geometry] == [(105, 180, 125, 190), (100, 185, 105, 200)]
    assert table["area_m2"].tolist() == pytest.approx([200, 75])
    assert table["length_m"].tolist() == pytest.approx([20, 15])
    assert table["width_m"].tolist() == pytest.approx([10, 5])
    assert (table["orientation_deg"] % 180).tolist() == pytest.approx([90, 0]), "clockwise from north"
    assert table["rectangularity"].tolist() == pytest.approx([1, 1])
    assert table["stage"].tolist() == ["incomplete", "complete"]
    assert table["stage_score"].tolist() == [0.625, 0.5]
    assert table[["p_foundation", "p_incomplete", "p_complete"]].to_numpy().tolist() == [[0.125, 0.625, 0.25], [0.25, 0.25, 0.5]]
    assert table["score"].tolist() == [0.75, 0.5]
    assert table["touches_edge"].tolist() == [False, True]


def test_an_empty_table_has_the_same_columns_and_types() -> None:
    one = building_table([RawBuilding(box(0, 0, 10, 10), 0.5, (0.0, 0.0, 1.0), False)], PIXELS_OF_HALF_A_METRE, None)
    none = building_table([], PIXELS_OF_HALF_A_METRE, None)
    assert len(none) == 0
    assert none.columns.tolist() == one.columns.tolist()
    assert none["touches_edge"].dtype == np.dtype(bool)
