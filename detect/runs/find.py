"""One scene → its buildings, before it is decided which of them count: network, outlines, stages."""

from __future__ import annotations

import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning

from detect.base.grid import Span
from detect.base.memory import trim
from detect.buildings.footprints import WINDOWS_AT_ONCE, RawBuilding, Reading, extract_buildings
from detect.buildings.instances import find_groups
from detect.buildings.table import building_table
from detect.buildings.thresholds import instance_params
from detect.network.probabilities import Probabilities, calibrated, predict_probabilities
from detect.network.stage_head import open_stage_head
from detect.results.picture import read_whole
from detect.results.rasters import forget
from detect.runs.job import Job
from detect.scene.scene import Scene, WorkGrid


@dataclass(frozen=True)
class Found:
    """What was found in one scene; large arrays lie in the work folder."""

    scene: Scene
    grid: WorkGrid
    work: Path
    heads: Probabilities
    stage: NDArray[np.uint8]
    """(H, W) stage codes, mapped from disk."""
    buildings: gpd.GeoDataFrame
    """``detect.buildings.table.building_table``."""
    timings_s: dict[str, float]

    @property
    def overall(self) -> NDArray[np.uint8] | None:
        """The scene as ``read_whole`` gave it, mapped from disk; None: no picture is wanted."""
        return np.asarray(np.load(_overall(self.work), mmap_mode="c")) if _overall(self.work).exists() else None


def _overall(work: Path) -> Path:
    return work / "overall.npy"


def find(scene: Scene, job: Job) -> Found:
    """Run the network and turn its probabilities into buildings."""
    began_s = time.monotonic()
    work = job.folder(scene).work
    grid = scene.work_grid(job.weights.read_gsd_m(scene.gsd_m))
    trim()  # what measuring the scene took
    heads = predict_probabilities(
        scene,
        grid,
        job.weights.lattice,
        job.runner,
        work,
        run_key=job.key(scene, []),  # other scenes do not change what the network reads
        block_px=job.options.block_px,
        progress=job.report(scene),
    )
    if heads.ledger.blocks > 1:
        job.runner.rest()  # the next steps need the memory; a small scene needs little, and the next one the network
    trim()
    network_s = time.monotonic() - began_s
    with warnings.catch_warnings(), ThreadPoolExecutor(1) as aside:
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # both threads turn it off and on, in any order
        reading = aside.submit(lambda: np.save(_overall(work), read_whole(scene))) if job.draws else None
        raw, stage = _outline(heads, scene, grid, job)
        if reading is not None:
            reading.result()
    buildings = building_table(raw, grid.transform, scene.crs)
    del raw
    trim()
    timings_s = {"network": network_s, "buildings": time.monotonic() - began_s - network_s}
    return Found(scene, grid, work, heads, stage, buildings, timings_s)


def _outline(heads: Probabilities, scene: Scene, grid: WorkGrid, job: Job) -> tuple[list[RawBuilding], NDArray[np.uint8]]:
    """All buildings, and the stage of each of their pixels (H, W), 0 elsewhere; a sparse file mapped from disk."""
    weights, options, report = job.weights, job.options, job.report(scene)
    params = instance_params(weights, grid.gsd_m, threshold=options.threshold, min_area_m2=options.min_area_m2)
    stage = np.lib.format.open_memmap(job.folder(scene).work / "stage.npy", mode="w+", dtype=np.uint8, shape=grid.size_hw)

    def paint(span: Span, codes: NDArray[np.uint8]) -> None:
        np.copyto(stage[span.slices()], codes, where=codes > 0)
        forget(stage)

    report("buildings", 0, 1)
    reader = heads.reader()
    with open_stage_head(weights, scene, grid, WINDOWS_AT_ONCE) as stage_head:
        raw = extract_buildings(
            reader.read,
            find_groups(reader.footprint, grid.size_hw, params.threshold_u8),
            grid.size_hw,
            Reading(
                params,
                scores=calibrated(weights.temperature("footprint")),
                temperature=weights.temperature("stage"),
                class_weights=weights.card.calibration.stage_class_weights,
                classify=stage_head,
                sure_from=weights.stage_sure_from,
            ),
            paint=paint,
        )
    report("buildings", 1, 1)
    return raw, stage
