"""Drawn crops: as many as asked for, of every stage, the same each time, with their building in the middle."""

from __future__ import annotations

import numpy as np

from detect.base.stages import STAGES
from detect.training.stage_drawn import DrawnScenes, drawn_crops

FEW = DrawnScenes(
    first_seed=8,
    scenes=2,
    per_stage=2,
    gsd_m=(0.8, 0.9),
    sun_elevation_deg=(30, 60),
    rows_share=1.0,
    grey_share=0.0,
    busy_share=1.0,
)


def test_drawn_crops_show_a_few_buildings_of_each_stage_and_are_the_same_each_time() -> None:
    table, crops = drawn_crops(FEW, (0.6, 0.3), 64)
    assert len(crops) == len(table)
    assert all(c.shape[1:] == (2, 64, 64, 4) and c.dtype == np.uint8 for c in crops)
    assert max(map(len, crops)) > 1, "blocks longer than 38 m are shown at several places"
    counts = table.groupby(["place", "stage"]).size()
    assert table["place"].nunique() == 2 and counts.max() <= 2
    assert set(table["stage"]) == set(STAGES)
    assert set(np.unique(np.concatenate(crops)[..., 3])) == {0, 255}
    assert (np.concatenate(crops)[:, :, 31:33, 31:33, 3] == 255).all()
    again, same = drawn_crops(FEW, (0.6, 0.3), 64)
    assert again.equals(table) and all(np.array_equal(*pair) for pair in zip(same, crops, strict=True))
