"""Crops of drawn buildings at all stages, which teach the stage head what real pictures seldom show: bare slabs, decks, half-laid roofs.

Each scene has its own soil, light, pixel size and sun. Public labels hold some dozen foundations; drawn ones are as many as one likes,
but look alike, so they get a fixed share of the weight (``scripts/fit_stage_head.py``).
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from detect.base.geometry import moved
from detect.base.stages import STAGES
from detect.network.stage_head import crop_reader
from detect.scene.scene import open_scene
from detect.simulate import simulate_compounds


@dataclass(frozen=True)
class DrawnScenes:
    """Which scenes are drawn and what is taken from each."""

    first_seed: int
    """Of the first scene; benchmarks/census.py measures on the seeds 1000 to 2199, so stay off these."""
    scenes: int
    per_stage: int
    """At most so many buildings of each stage are taken from a scene."""
    gsd_m: tuple[float, float]
    """Smallest and largest pixel; evenly on a log scale."""
    sun_elevation_deg: tuple[float, float]
    rows_share: float
    """Of scenes with rows of blocks alone; the others are compounds."""
    grey_share: float
    """Of panchromatic scenes."""
    busy_share: float
    """Of scenes in a series of two dates, in which more is unfinished."""


def drawn_crops(drawn: DrawnScenes, gsds_m: Sequence[float], crop_px: int) -> tuple[pd.DataFrame, list[NDArray[np.uint8]]]:
    """Buildings of drawn scenes and their crops.

    Args:
        drawn: which scenes.
        gsds_m: ground size of the crops' pixels, one per scale, metres.
        crop_px: side of a crop.

    Returns:
        A table with ``place`` (one per scene), ``stage`` and ``kind``, and for each building crops (places, scales, S, S, 4) uint8, the
        last band the true outline, 0 or 255.
    """
    tables, crops = [], list[NDArray[np.uint8]]()
    for seed in range(drawn.first_seed, drawn.first_seed + drawn.scenes):
        with tempfile.TemporaryDirectory() as folder:
            table, found = _of_scene(seed, drawn, Path(folder), gsds_m, crop_px)
        tables.append(table)
        crops += found
    return pd.concat(tables, ignore_index=True), crops


def _of_scene(
    seed: int, drawn: DrawnScenes, folder: Path, gsds_m: Sequence[float], crop_px: int
) -> tuple[pd.DataFrame, list[NDArray[np.uint8]]]:
    rng = np.random.default_rng([99, seed])
    paths, truth = simulate_compounds(folder, seed=seed, **_options(drawn, rng))
    path = paths[int(rng.integers(len(paths)))]
    layer = "buildings" if len(paths) == 1 else f"buildings_{path.stem.removeprefix('scene_')}"
    table = gpd.read_file(truth, layer=layer)
    stages = table["stage"].to_numpy(object)
    chosen = np.concatenate([rng.permutation(np.flatnonzero(stages == s))[: drawn.per_stage] for s in STAGES])
    table = table.iloc[chosen]
    scene = open_scene(path)
    grid = scene.work_grid(scene.gsd_m)
    with crop_reader(scene, grid, gsds_m, crop_px) as reader:
        crops = [as_bytes(reader.read(moved(g, ~grid.transform))) for g in table.geometry]
    return table[["stage", "kind"]].assign(place=f"simulated_{seed}"), crops


def as_bytes(crops: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Crops (places, scales, 4, S, S) of 0–1 → (places, scales, S, S, 4) uint8."""
    return (crops.transpose(0, 1, 3, 4, 2) * 255 + 0.5).astype(np.uint8)


def _options(drawn: DrawnScenes, rng: np.random.Generator) -> dict[str, Any]:
    """What ``simulate_compounds`` draws in one scene."""
    low, high = np.log(drawn.gsd_m)
    return {
        "gsd_m": round(float(np.exp(rng.uniform(low, high))), 2),
        "sun_elevation_deg": float(rng.uniform(*drawn.sun_elevation_deg)),
        "sun_azimuth_deg": float(rng.uniform(90, 270)),
        "preset": "rows" if rng.random() < drawn.rows_share else "compound",
        "dormitories": int(rng.integers(6, 25)),
        "storeys": int(rng.choice([1, 2, 2, 3])),
        "margin_m": float(rng.choice([30.0, 60.0])),
        "bands": 1 if rng.random() < drawn.grey_share else 3,
        "dates": 2 if rng.random() < drawn.busy_share else 1,
    }
