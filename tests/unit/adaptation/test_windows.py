"""What is learnt from is what the network saw for the scene, at its edges and beside its holes too."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import shapely

from detect.adaptation.ground import Ground
from detect.adaptation.windows import read_views
from detect.base.grid import Span
from detect.base.values import NO_DATA
from detect.network.backends import OnnxBackend
from detect.network.last_layer import FeatureReader
from detect.network.probabilities import Threads, predict_probabilities
from detect.network.weights import load_weights
from detect.scene.scene import open_scene
from tests.conftest import WriteScene


def test_windows_hold_the_heads_that_predict_gave(write_scene: WriteScene, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    picture = np.kron(rng.integers(40, 220, (3, 16, 18)), np.ones((1, 12, 12))).astype(np.uint8)  # 192 × 216 px
    picture[:, 70:110, 30:90] = 0
    scene, weights = open_scene(write_scene(picture, nodata=0)), load_weights()
    grid = scene.work_grid(scene.gsd_m)
    predicted = predict_probabilities(
        scene, grid, weights.lattice, Threads(OnnxBackend(weights)), tmp_path / "work", run_key="key"
    )
    heads = predicted.reader().read(Span(0, 0, *grid.size_hw))
    ground = Ground(shapely.box(10, 20, 60, 60), np.array([shapely.box(20, 30, 40, 50)], object))
    views = read_views(scene, grid, weights.lattice, FeatureReader(weights), ground, lambda done, total: None)
    windows = [*views.checked, *views.elsewhere]
    assert len(views.checked) == 1 and len(views.elsewhere) > 5
    assert any((window.heads[0] == NO_DATA).any() for window in windows), "one of them holds the hole"
    for window in windows:
        expected = heads[(slice(None), *window.span.slices())]
        np.testing.assert_array_equal(window.heads == NO_DATA, expected == NO_DATA)
        # The context of a window, 128 px and more, is a little less than that of the scene's one tile.
        assert np.quantile(np.abs(window.heads.astype(int) - expected), 0.99) <= 12
