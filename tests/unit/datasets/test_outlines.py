"""Hand-drawn windows → chips."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.control import GroundControlPoint

from detect.base.errors import InputError
from detect.base.stages import CODES
from detect.datasets import prepare
from detect.datasets.chips import UNKNOWN, Chip, read_chip, read_index


def _square(x: int, y: int, side: int = 20) -> list[list[int]]:
    return [[x, y], [x + side, y], [x + side, y + side], [x, y + side]]


SAID: dict[str, Any] = {
    "image": "pictures/town.png",
    "gsd_m": 0.5,
    "complete_windows_xywh": [[0, 0, 100, 100]],
    "outlines": [
        {"id": 1, "stage": "incomplete", "kind": "villa", "polygon_px": _square(10, 10)},
        {"id": 2, "polygon_px": _square(150, 150)},
    ],
}


def _folder(tmp_path: Path, *files: dict[str, Any]) -> Path:
    """A folder ``drawn`` with one file each, its images in the folder beside it."""
    drawn = tmp_path / "drawn"
    drawn.mkdir()
    for number, said in enumerate(files):
        (drawn / f"{number}.json").write_text(json.dumps(SAID | said))
        picture = tmp_path / (SAID | said)["image"]
        picture.parent.mkdir(exist_ok=True, parents=True)
        image = np.random.default_rng(number).integers(0, 256, (200, 200, 3), np.uint8)
        image[..., 0] = 60  # blue, in OpenCV's order
        cv2.imwrite(str(picture), image)
    return drawn


def _only_chip(store: Path) -> Chip:
    (name,) = read_index(store)["chip"]
    return read_chip(store, name)


def test_windows_are_complete_and_the_rest_is_unknown(tmp_path: Path) -> None:
    report = prepare("outlines", _folder(tmp_path, {}), tmp_path / "chips")
    assert (report.chips, report.buildings) == (1, 2)
    chip = _only_chip(tmp_path / "chips")
    expected = np.full((200, 200), UNKNOWN)
    expected[:100, :100] = 0
    expected[10:30, 10:30] = expected[150:170, 150:170] = 1
    np.testing.assert_array_equal(chip.footprint, expected)
    assert (chip.stage[10:30, 10:30] == CODES["incomplete"]).all()
    assert not chip.stage[150:170, 150:170].any()
    row = read_index(tmp_path / "chips").iloc[0]
    assert (row["place"], row["label_kind"], row["gsd_m"]) == ("town", "outlines", 0.5)


def test_bands_of_a_file_whose_red_and_blue_are_swapped(tmp_path: Path) -> None:
    folder = _folder(tmp_path, {"bands": [3, 2, 1]})
    prepare("outlines", folder, tmp_path / "chips")
    image = _only_chip(tmp_path / "chips").image
    assert image[..., 0].std() < 1 < image[..., 2].std()


@pytest.mark.parametrize("place", ["none", "transform", "control points", "world file alone"])
def test_gsd_m_counts_where_the_image_has_no_georeference_whatever_its_file_type(tmp_path: Path, place: str) -> None:
    folder = _folder(tmp_path, {"image": "pictures/town.tif"})
    path = tmp_path / "pictures" / "town.tif"
    path.unlink()
    known: dict[str, Any] = {}
    here = Affine(0.25, 0, 593_270, 0, -0.25, 5_747_657)
    if place == "transform":
        known = {"crs": "EPSG:32631", "transform": here}
    elif place == "control points":
        points = [GroundControlPoint(row, col, *(here * (col, row))) for row, col in ((0, 0), (0, 200), (200, 0), (200, 200))]
        known = {"crs": "EPSG:32631", "gcps": points}
    elif place == "world file alone":
        path.with_suffix(".tfw").write_text("0.25\n0\n0\n-0.25\n593270.125\n5747656.875\n")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        with rasterio.open(path, "w", driver="GTiff", count=3, dtype="uint8", height=200, width=200, **known) as file:
            file.write(np.random.default_rng(0).integers(1, 255, (3, 200, 200), np.uint8))
    prepare("outlines", folder, tmp_path / "chips")
    expected = 0.25 if place in ("transform", "control points") else 0.5
    assert read_index(tmp_path / "chips")["gsd_m"].to_numpy() == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_is_read_over(tmp_path: Path, encoding: str) -> None:
    folder = _folder(tmp_path, {})
    (folder / "0.json").write_text(json.dumps(SAID), encoding=encoding)
    assert prepare("outlines", folder, tmp_path / "chips").buildings == 2


def test_a_place_in_both_splits_is_a_place_per_image(tmp_path: Path) -> None:
    files = [{"image": f"pictures/{name}.png", "place": place, "split": split} for name, place, split in (
        ("a", "sheets", "train"), ("b", "sheets", "val"), ("c", "town", "train"))]  # fmt: skip
    prepare("outlines", _folder(tmp_path, *files), tmp_path / "chips")
    index = read_index(tmp_path / "chips")
    assert dict(zip(index["place"], index["split"], strict=True)) == {"a": "train", "b": "val", "town": "train"}


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ({"image": None}, "names no image"),
        ({"outlines": None}, "needs the lists"),
        ({"outlines": [], "complete_windows_xywh": []}, "neither an outline nor a window"),
        ({"outlines": [{"polygon_px": [[1, 2], [3, 4]]}]}, "outline 1: polygon_px"),
        ({"outlines": [{"polygon_px": _square(1, 1), "stage": "ruin"}]}, "outline 1: stage is 'ruin'"),
        ({"complete_windows_xywh": [[0, 0, 5]]}, "window 1: .*width, height"),
        ({"split": "test"}, "split is 'test'"),
        ({"gsd_m": 0}, "gsd_m is 0"),
        ({"bands": [0, 1, 2]}, "bands is"),
    ],
)
def test_a_broken_file_is_named(tmp_path: Path, wrong: dict[str, Any], word: str) -> None:
    folder = _folder(tmp_path, {})
    (folder / "0.json").write_text(json.dumps(SAID | wrong))
    with pytest.raises(InputError, match=rf"0\.json: .*{word}"):
        prepare("outlines", folder, tmp_path / "chips")


def test_a_missing_image_and_an_empty_folder_are_named(tmp_path: Path) -> None:
    folder = _folder(tmp_path, {})
    (tmp_path / "pictures" / "town.png").unlink()
    with pytest.raises(InputError, match=r"0\.json: names the image pictures/town\.png"):
        prepare("outlines", folder, tmp_path / "chips")
    (folder / "0.json").write_text("{")
    with pytest.raises(InputError, match=r"0\.json: is not valid JSON"):
        prepare("outlines", folder, tmp_path / "chips")
    (folder / "0.json").unlink()
    with pytest.raises(InputError, match=r"holds no \.json"):
        prepare("outlines", folder, tmp_path / "chips")
