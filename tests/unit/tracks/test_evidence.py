"""What a probability map says inside footprints."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from rasterio.features import geometry_mask

from detect.base.values import NO_DATA, TOP
from detect.tracks import evidence
from detect.tracks.evidence import probability_within
from detect.tracks.series import Snapshot
from tests.unit.tracks.drawn_series import draw_series


def test_footprints_laid_side_by_side_read_what_each_alone_would(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(4)
    values = rng.integers(0, 255, (80, 120), dtype=np.uint8)
    values[30:40] = NO_DATA
    place = Affine(0.5, 0, 100, 0, -0.5, 200)
    with rasterio.open(
        tmp_path / "probability.tif", "w", driver="GTiff", dtype="uint8", count=1, height=80, width=120, transform=place
    ) as raster:
        raster.write(values, 1)
    centres = rng.uniform((98, 158), (162, 202), (60, 2))  # some lie across an edge, some share pixels, some lie beyond
    shapes = np.array([shapely.Point(c).buffer(rng.uniform(0.3, 4), quad_segs=3) for c in centres], dtype=object)
    alone = []
    for shape in shapes:
        touched = ~geometry_mask([shape], values.shape, place, all_touched=True) & (values != NO_DATA)
        alone.append(values[touched].mean() / TOP if touched.any() else np.nan)
    assert 0 < np.isnan(alone).sum() < 20
    snapshot = Snapshot("2024-06-01", draw_series(1, dates=2).snapshots[0].buildings, shapely.box(0, 0, 1, 1), (tmp_path,))
    opened = []
    monkeypatch.setattr(
        evidence, "rasterize", lambda *given, **how: opened.append(given) or rasterio.features.rasterize(*given, **how)
    )
    np.testing.assert_allclose(probability_within(snapshot, shapes, None), alone)
    assert len(opened) == 1, "one call for all of them"


def test_of_several_maps_of_a_date_the_one_that_is_surest_of_a_building_counts(tmp_path: Path) -> None:
    for name, value, width in (("a", 51, 8), ("b", 102, 8), ("c", 204, 4)):
        (tmp_path / name).mkdir()
        shape = {"count": 1, "height": 8, "width": width, "transform": Affine(1, 0, 0, 0, -1, 8)}
        with rasterio.open(tmp_path / name / "probability.tif", "w", driver="GTiff", dtype="uint8", **shape) as raster:
            raster.write(np.full((1, 8, width), value, np.uint8))
    folders = tuple(tmp_path / name for name in ("b", "a", "c", "none"))
    snapshot = Snapshot("2024-06-01", draw_series(1, dates=2).snapshots[0].buildings, shapely.box(0, 0, 1, 1), folders)
    shapes = np.array([shapely.box(1, 1, 3, 3), shapely.box(5.1, 1, 7, 3)], dtype=object)  # the other lies beyond the third map
    np.testing.assert_allclose(probability_within(snapshot, shapes, None), [204 / TOP, 102 / TOP])
