"""A scene of ``detect simulate`` → chips, so that training can be tried without any data set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from rasterio.features import rasterize

from detect.datasets.chips import Chip, ChipRow, write_chip, write_index
from detect.errors import InputError
from detect.grid import Span
from detect.scene import open_scene
from detect.stages import CODES
from detect.vectors import read_vector

CHIP_PX = 256


def prepare_simulated(source: Path, store: Path) -> int:
    """Cut ``scene.tif`` into chips; those of its eastern quarter validate. The number of chips.

    Raises:
        InputError: no scene or truth there.
    """
    scene_path, truth_path = source / "scene.tif", source / "truth.gpkg"
    for path in (scene_path, truth_path):
        if not path.is_file():
            raise InputError(f"{path}: no such file; make it with detect simulate --out {source}")
    scene = open_scene(scene_path)
    grid = scene.work_grid(scene.gsd_m)
    truth = read_vector(truth_path, "buildings")
    instances = rasterize(
        zip(truth.geometry, range(1, len(truth) + 1), strict=True), grid.size_hw, transform=grid.transform, dtype="int32"
    )
    codes = np.array([0, *truth["stage"].map(CODES)], np.uint8)
    store.mkdir(parents=True, exist_ok=True)
    rows = []
    with scene.reader(grid) as reader:
        for row0 in range(0, grid.size_hw[0], CHIP_PX):
            for col0 in range(0, grid.size_hw[1], CHIP_PX):
                span = Span(row0, col0, row0 + CHIP_PX, col0 + CHIP_PX).clip(grid.size_hw)
                if min(span.size_hw) < CHIP_PX // 2:
                    continue
                values, _ = reader.read(span)
                label = instances[span.slices()]
                image = np.round(values.transpose(1, 2, 0) * 255).astype(np.uint8)
                chip = Chip(image, label.astype(np.uint16), (label > 0).astype(np.uint8), codes[label])
                east = col0 >= 0.75 * grid.size_hw[1] - CHIP_PX / 2
                name = f"simulated_{row0}_{col0}"
                write_chip(store, name, chip)
                rows.append(
                    ChipRow(
                        chip=name, data_set="simulated", place="simulated_east" if east else "simulated_west",
                        split="val" if east else "train", label_kind="outlines", gsd_m=grid.gsd_m, licence="none", source="scene.tif",
                        known_m2=float(label.size * grid.gsd_m**2), buildings=len(np.unique(label[label > 0])), sha256=chip.sha256(),
                    )
                )  # fmt: skip
    write_index(store, rows)
    return len(rows)
