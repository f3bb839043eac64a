"""Which data sets ``detect prepare`` knows, each with what a user asks before downloading."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from detect.errors import InputError


@dataclass(frozen=True)
class DataSet:
    """What is known of a data set before it is opened."""

    name: str
    title: str
    licence: str
    gsd_m: str
    labels: str
    prepare: Callable[[Path, Path], int]
    """(source folder, chip store folder) → number of chips written."""


def _samples(source: Path, store: Path) -> int:
    from detect.datasets.samples import prepare_samples

    return prepare_samples(source, store)


def _simulated(source: Path, store: Path) -> int:
    from detect.datasets.simulated import prepare_simulated

    return prepare_simulated(source, store)


DATA_SETS = {
    "simulated": DataSet(
        name="simulated",
        title="What detect simulate wrote; for trying the commands, never for a score that is called real",
        licence="none needed",
        gsd_m="as drawn",
        labels="outlines, construction stages",
        prepare=_simulated,
    ),
    "samples": DataSet(
        name="samples",
        title="A folder with index.csv: parts of SpaceNet 1 and 2, Open Cities AI Accra, fAIr/OpenAerialMap and Humans-in-the-Loop Dubai",
        licence="per image, in index.csv (CC BY 4.0, CC BY-SA 4.0, CC0, ODbL)",
        gsd_m="0.07–0.9",
        labels="outlines, masks, construction stages",
        prepare=_samples,
    ),
}


def prepare(dataset: str, src: str | Path, dst: str | Path) -> int:
    """Make training chips in ``dst`` from a data set in its published layout in ``src``; the number of chips.

    Raises:
        InputError: unknown data set, missing source, or a destination that holds something else.
    """
    if dataset not in DATA_SETS:
        raise InputError(f"data set '{dataset}' is unknown; known are: {', '.join(sorted(DATA_SETS))}")
    source, store = Path(src), Path(dst)
    if not source.is_dir():
        raise InputError(f"{source}: no such folder; give the folder that holds the data set")
    if store.exists() and any(store.iterdir()):
        raise InputError(f"{store}: is not empty; give a new folder for the chips")
    return DATA_SETS[dataset].prepare(source, store)
