"""crowdAI's tiles → chips."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detect.base.errors import InputError
from detect.datasets import prepare
from detect.datasets.chips import read_index
from tests.unit.datasets.drawing_b import ROOFS, SIZE_HW, assert_drawn, picture, roofs, write

TILES = {"train": {1: 3, 2: 0}, "val": {1: 2, 7: 1}}
CROWD = np.zeros(SIZE_HW, bool)
CROWD[2:6, 100:124] = True
CROWD_RING = [100, 2, 124, 2, 124, 6, 100, 6]


def _annotation(number: int, image: int, ring: list[float], crowd: int = 0) -> dict[str, Any]:
    return {
        "id": number, "image_id": image, "category_id": 100, "segmentation": [ring], "area": 1.0, "bbox": [0, 0, 1, 1],
        "iscrowd": crowd,
    }  # fmt: skip


def _content(tiles: dict[int, int]) -> dict[str, Any]:
    annotations = []
    for image, buildings in tiles.items():
        for row0, col0, row1, col1 in ROOFS[:buildings]:
            ring = [float(v) for v in (col0, row0, col1, row0, col1, row1, col0, row1)]
            annotations.append(_annotation(len(annotations) + 1, image, ring))
        annotations.append(_annotation(len(annotations) + 1, image, CROWD_RING, crowd=1))
    images = [{"id": n, "file_name": f"{n:012}.jpg", "width": SIZE_HW[1], "height": SIZE_HW[0]} for n in tiles]
    return {"info": {}, "categories": [{"id": 100, "name": "building"}], "images": images, "annotations": annotations}


def _release(top: Path, file_name: str = "annotation.json") -> None:
    for part, tiles in TILES.items():
        for number, buildings in tiles.items():
            write(top / part / "images" / f"{number:012}.jpg", picture(roofs(buildings)))
        (top / part / file_name).write_text(json.dumps(_content(tiles)))
    write(top / "test_images" / "000000000000.jpg", picture(roofs()))


@pytest.mark.parametrize("file_name", ["annotation.json", "annotation-small.json"])
@pytest.mark.parametrize("given", ["", "data"])
def test_tiles_become_chips_that_all_train(tmp_path: Path, given: str, file_name: str) -> None:
    _release(tmp_path / "source" / "data", file_name)
    prepare("crowdai", tmp_path / "source" / given, tmp_path / "chips")
    index = read_index(tmp_path / "chips")
    assert set(index["data_set"]) == {"crowdai"} and set(index["label_kind"]) == {"outlines"}
    assert index["gsd_m"].to_numpy() == pytest.approx(0.3, rel=0.01)
    assert set(index["place"]) == {"crowdai"} and set(index["split"]) == {"train"}, "validation tiles are training tiles turned"
    assert len(index) == 4
    for _, row in index.iterrows():
        path = Path(row["source"])
        assert_drawn(tmp_path / "chips", row, TILES[path.parts[-3]][int(path.stem)], CROWD)


def test_one_part_will_do(tmp_path: Path) -> None:
    _release(tmp_path / "source")
    shutil.rmtree(tmp_path / "source" / "train")
    prepare("crowdai", tmp_path / "source", tmp_path / "chips")
    assert len(read_index(tmp_path / "chips")) == 2


def test_of_two_annotation_files_the_whole_one_is_read(tmp_path: Path) -> None:
    _release(tmp_path / "source")
    (tmp_path / "source" / "train" / "annotation-small.json").write_text(json.dumps(_content({1: 3})))
    prepare("crowdai", tmp_path / "source", tmp_path / "chips")
    assert len(read_index(tmp_path / "chips")) == 4


@pytest.mark.parametrize(
    ("gone", "named"),
    [
        ("train/images/000000000002.jpg", r"images/000000000002\.jpg: missing"),
        ("val/annotation.json", r"val/annotation\.json: missing"),
        ("val/images", "val/images: missing"),
    ],
)
def test_a_missing_piece_is_named(tmp_path: Path, gone: str, named: str) -> None:
    _release(tmp_path / "source")
    path = tmp_path / "source" / gone
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(InputError, match=named):
        prepare("crowdai", tmp_path / "source", tmp_path / "chips")


RUN_LENGTH = _annotation(1, 1, []) | {"segmentation": {"counts": "x", "size": [1, 1]}}


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("{", "not a COCO file"),
        ('{"images": []}', "not a COCO file"),
        (json.dumps(_content({1: 0}) | {"annotations": [RUN_LENGTH]}), "run-length"),
    ],
)
def test_annotations_that_cannot_be_read_are_refused(tmp_path: Path, text: str, named: str) -> None:
    _release(tmp_path / "source")
    (tmp_path / "source" / "train" / "annotation.json").write_text(text)
    with pytest.raises(InputError, match=named):
        prepare("crowdai", tmp_path / "source", tmp_path / "chips")
