"""What shadows change in the buildings of a scene before they are counted."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import geopandas as gpd
import numpy as np
import pytest
from shapely import box

from detect.base.stages import CODES
from detect.census.review import Review
from detect.census.sites import load_sites
from detect.runs import count as counting
from detect.runs.count import Carried
from detect.scene.scene import open_scene


def test_no_missing_shadow_restages_what_a_reviewer_has_checked(tiny_scene: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = open_scene(tiny_scene)
    grid = scene.work_grid(scene.gsd_m)
    outlines = [box(*(grid.transform * (col, 40)), *(grid.transform * (col + 20, 10))) for col in (10, 50, 90)]
    table = gpd.GeoDataFrame(
        {"id": [4, 7, 9], "stage": "complete", "stage_score": 0.8, "p_foundation": 0.1, "p_incomplete": 0.1, "p_complete": 0.8},
        geometry=outlines,
        crs=scene.crs,
    )
    codes = np.zeros(grid.size_hw, np.uint8)
    codes[10:40, 10:110] = CODES["complete"]
    told = SimpleNamespace(heights=lambda: np.full(3, 6.0), none_cast=lambda _: np.array([True, True, False]))
    monkeypatch.setattr(counting, "open_shadows", lambda *_: nullcontext(told))
    carried = Carried(load_sites(None, scene.crs, scene.outline), Review(confirmed=(4,)), codes)
    after, (notice,) = counting._by_shadows(table, carried, scene, grid)
    assert after["stage"].tolist() == ["complete", "foundation", "complete"]
    assert after["height_m"].isna().tolist() == [False, True, False]
    assert after.loc[[0, 2], "p_complete"].tolist() == [0.8, 0.8]
    assert notice.text.endswith(": id 7")
    assert set(codes[12:38, 12:28].flat) == set(codes[12:38, 92:108].flat) == {CODES["complete"]}
    assert set(codes[12:38, 52:68].flat) == {CODES["foundation"]}
