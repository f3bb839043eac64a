"""Warnings for sites of which the scene shows only a part."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from rasterio.features import rasterize

from detect.base.vectors import geometries_of
from detect.census.sites import Sites
from detect.scene.scene import WorkGrid

GAPS_PX = 2048
"""Longer side of the picture in which gaps are found."""
SMALLEST_GAP = 0.005
"""Share of a site; a smaller gap is not worth a warning."""


def with_gaps(sites: Sites, grid: WorkGrid, seen: NDArray[np.bool_]) -> Sites:
    """Sites, with a warning for each one that was not observed completely.

    Args:
        sites: in the scene's CRS.
        grid: work grid of the scene.
        seen: (h, w) whether the scene was observed; of any resolution, and as wide and high as the grid.
    """
    step_yx = (grid.size_hw[0] / seen.shape[0], grid.size_hw[1] / seen.shape[1])
    transform = grid.transform * grid.transform.scale(step_yx[1], step_yx[0])
    notes = []
    for geometry, old in zip(geometries_of(sites.table), sites.warnings, strict=True):
        inside = rasterize([geometry], seen.shape, transform=transform, dtype="uint8") == 1
        share = 1 - seen[inside].mean() if inside.any() else 0.0
        text = f"{share:.0%} of the site was not observed (no data in the scene)"
        notes.append((*old, text) if share >= SMALLEST_GAP else old)
    return replace(sites, warnings=tuple(notes))
