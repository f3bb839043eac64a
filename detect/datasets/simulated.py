"""A scene of ``detect simulate``, to try training without any data set."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from detect.base.errors import InputError
from detect.datasets.images import DataSet, LabelledImage, Outlines, vector


def images(source: Path) -> Iterator[LabelledImage]:
    """The one scene; its eastern quarter validates."""
    scene, truth = source / "scene.tif", source / "truth.gpkg"
    for path in (scene, truth):
        if not path.is_file():
            raise InputError(f"{path}: no such file; make it with detect simulate --out {source}")
    yield LabelledImage(
        path=scene,
        place="simulated",
        label=Outlines(vector(truth, "buildings")),
        split="train",
        val_east=0.25,
    )


DATA_SET = DataSet(
    name="simulated",
    title="scene of detect simulate; for trying the commands, never for a score that is called real",
    licence="none",
    gsd_m="as drawn",
    places="none that is real",
    sensor="drawn",
    labels="outlines, construction stages",
    source="detect simulate --out SRC --seed N",
    cite="nothing",
    images=images,
    layout="scene.tif and truth.gpkg",
)
