"""The chip store: a folder of PNG chips and one index; training reads nothing else.

Per chip three files: ``<chip>_image.png`` RGB uint8 (after the scene's brightness stretch), ``<chip>_instances.png`` uint16 (0 none,
1… one number per building), ``<chip>_truth.png`` uint8 with two facts in one number: footprint (0 not, 1 building, 3 unknown) in
the low two bits, stage (0 unknown, 1 foundation, 2 incomplete, 3 complete) in the next two.
``index.parquet`` (GeoParquet) has one row per chip.
"""

from __future__ import annotations

import glob
import hashlib
import math
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from detect.base.errors import InputError
from detect.base.files import whole_file

UNKNOWN = 3
"""Footprint state of a pixel that the label does not cover."""

LABEL_KINDS = {
    "outlines": "one outline per building: teaches footprints, the gaps and the shared walls",
    "loose": "outlines that lie a metre or two off their roofs: teach footprints and gaps, but nothing hangs on their very edge",
    "merged": "a mask in which attached buildings are one: teaches footprints only",
    "coarse": "a mask of built-up plots: teaches built or not, with an ignored band along every edge",
}


INDEX = "index.parquet"
DECODED = "decoded"
"""Folder of the chips that training has decoded; it may be deleted at any time."""


@dataclass(frozen=True)
class ChipRow:
    """One row of the index."""

    chip: str
    """File stem, unique in the store."""
    data_set: str
    place: str
    """Smallest unit that a split may not cut."""
    split: str
    """train or val."""
    label_kind: str
    """A key of ``LABEL_KINDS``."""
    gsd_m: float
    """Ground size of a chip's pixel, metres."""
    licence: str
    source: str
    """Image the chip was cut from, relative to the data set's folder."""
    sensor: str = ""
    known_m2: float = 0.0
    """Ground that the label covers; training draws chips in proportion to it."""
    buildings: int = 0
    unfinished: int = 0
    """Buildings known to be foundations or incomplete; training can select them, since they are rare."""
    offset_m: float = math.nan
    """Distance between the outlines and the edges in the picture, metres; NaN if it cannot be measured."""
    problem: str = ""
    """A key of ``detect.datasets.cutting.PROBLEMS``, or nothing."""
    bounds_wkb: bytes | None = None
    """The chip's outline in EPSG:4326; None where the image has no georeference. The index keeps it as its geometry."""
    sha256: str = ""
    """Hash of the three arrays together."""


@dataclass(frozen=True)
class Chip:
    """The arrays of one chip."""

    image: NDArray[np.uint8]
    """(H, W, 3) RGB."""
    instances: NDArray[np.uint16]
    """(H, W), 0 none."""
    footprint: NDArray[np.uint8]
    """(H, W): 0, 1 or ``UNKNOWN``."""
    stage: NDArray[np.uint8]
    """(H, W): 0 unknown, 1 foundation, 2 incomplete, 3 complete."""

    def sha256(self) -> str:
        """Hash of the arrays, independent of the PNG encoder."""
        digest = hashlib.sha256()
        for array in (self.image, self.instances, self.footprint, self.stage):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


def write_chip(store: Path, name: str, chip: Chip) -> None:
    """Write the three PNG files of one chip."""
    truth = chip.footprint | (chip.stage << 2)
    for suffix, array in (("image", chip.image[..., ::-1]), ("instances", chip.instances), ("truth", truth)):
        if not cv2.imwrite(str(store / f"{name}_{suffix}.png"), array):
            raise InputError(f"{store}: chip {name} cannot be written; is the folder writable and the disk not full?")


def read_chip(store: Path, name: str) -> Chip:
    """Read one chip back.

    Raises:
        InputError: a file is missing or broken.
    """
    arrays = []
    for suffix, flag in (("image", cv2.IMREAD_COLOR), ("instances", cv2.IMREAD_UNCHANGED), ("truth", cv2.IMREAD_UNCHANGED)):
        array = cv2.imread(str(store / f"{name}_{suffix}.png"), flag)
        if array is None:
            raise InputError(f"{store / f'{name}_{suffix}.png'}: missing or broken; run detect prepare again")
        arrays.append(array)
    image, instances, truth = arrays
    return Chip(np.ascontiguousarray(image[..., ::-1]), instances, truth & 3, truth >> 2)


def mapped_chip(store: Path, name: str, sha256: str) -> Chip:
    """One chip, decoded once into ``<store>/decoded`` and mapped from there.

    Processes share its pages, and only the used part is read.

    Args:
        store: folder of the chip store.
        name: name of the chip.
        sha256: hash of the chip, from the index; if a decoded chip of this name has another one, it is decoded again.

    Raises:
        InputError: a file is missing or broken, or the folder cannot be written.
    """
    path = store / DECODED / f"{name}.{sha256[:12]}.npy"
    if not path.exists():
        chip = read_chip(store, name)
        rows = [
            a.view(np.uint8).reshape(-1, chip.footprint.shape[1])
            for a in (chip.image, chip.instances, chip.footprint, chip.stage)
        ]
        try:
            path.parent.mkdir(exist_ok=True)
            for old in path.parent.glob(f"{glob.escape(name)}.{'?' * 12}.npy"):
                if old != path:  # another process may have written it meanwhile, and may be about to read it
                    old.unlink(missing_ok=True)
            with whole_file(path) as aside:
                np.save(aside, np.concatenate(rows))
        except OSError as cause:
            raise InputError(f"{path.parent}: decoded chips cannot be written there ({cause.strerror})") from cause
    lines = np.asarray(np.load(path, mmap_mode="r"))
    height, width = lines.shape[0] // 7, lines.shape[1]  # 3 bytes of image, 2 of instances, 1 of footprint, 1 of stage
    return Chip(
        lines[: 3 * height].reshape(height, width, 3),
        lines[3 * height : 5 * height].reshape(height, 2 * width).view(np.uint16),
        lines[5 * height : 6 * height],
        lines[6 * height :],
    )


def write_index(store: Path, rows: list[ChipRow], known: gpd.GeoDataFrame | None = None) -> None:
    """Write ``index.parquet``, a GeoParquet table sorted by chip name, so that the same chips give the same bytes.

    Args:
        store: folder of the chip store.
        rows: rows of the new chips.
        known: the existing index, to which they are added.
    """
    table = pd.DataFrame([asdict(row) for row in rows])
    bounds = shapely.from_wkb(np.array(table.pop("bounds_wkb"), dtype=object))
    index = gpd.GeoDataFrame(table, geometry=gpd.GeoSeries(bounds, crs=4326))
    if known is not None:
        index = gpd.GeoDataFrame(pd.concat([known, index]), geometry="geometry", crs=4326)
    with whole_file(store / INDEX) as aside:
        index.sort_values("chip", ignore_index=True).to_parquet(aside, index=False)


def read_index(store: str | Path) -> gpd.GeoDataFrame:
    """The index of a chip store.

    Raises:
        InputError: there is none, or another version wrote it.
    """
    path = Path(store) / INDEX
    if not path.is_file():
        raise InputError(f"{path}: no such file; make the chips first with detect prepare DATASET SRC {store}")
    try:
        return gpd.read_parquet(path)
    except (ValueError, OSError) as cause:
        raise InputError(f"{path}: is not a readable index; make the chips again with detect prepare") from cause
