"""CSDS: footings of construction sites from CVAT's XML."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from detect.base.errors import InputError
from detect.datasets import prepare
from detect.datasets.chips import UNKNOWN, read_chip, read_index
from detect.datasets.cutting import STORE_GSD_M
from tests.unit.datasets.drawing_c import Box, built_share, picture

SIZE_HW = (288, 320)
EXCAVATION = (10, 20, 250, 230)
FOOTINGS = ((40, 50, 110, 120), (150, 60, 220, 200))
OFFICE = (120, 240, 170, 300)
SITE = (0, 0, 280, 310)


def cvat(path: Path, name: str, marks: list[tuple[str, Box]]) -> None:
    """One picture in CVAT's format "images 1.1"."""
    polygons = "".join(
        f'<polygon label="{label}" source="manual" occluded="0" points="{c0},{r0};{c1},{r0};{c1},{r1};{c0},{r1}" z_order="0"></polygon>'
        for label, (r0, c0, r1, c1) in marks
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    image = f'<image id="0" name="{name}" width="{SIZE_HW[1]}" height="{SIZE_HW[0]}">{polygons}</image>'
    path.write_text(
        f'<?xml version="1.0" encoding="utf-8"?><annotations><version>1.1</version><meta></meta>{image}</annotations>'
    )


def csds(folder: Path) -> Path:
    raw = folder / "raw"
    (raw / "images").mkdir(parents=True)
    for name in ("astana_17", "almaty_3", "almaty_4"):
        cv2.imwrite(str(raw / "images" / f"{name}.jpg"), picture(SIZE_HW, FOOTINGS)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 98])
    whole: list[tuple[str, Box]] = [("site.2", SITE), ("excavation", EXCAVATION), ("office", OFFICE)]
    cvat(
        raw / "annotations" / "AOD" / "astana" / "astana_17" / "annotations.xml",
        "astana_17.jpg",
        [*whole, *(("footing", f) for f in FOOTINGS)],
    )
    cvat(raw / "annotations" / "AOD" / "almaty" / "almaty_3" / "annotations.xml", "almaty_3.jpg", whole)
    cvat(raw / "annotations" / "FVOD" / "astana" / "astana_17" / "annotations.xml", "astana_17.jpg", [])
    return folder


def test_footings_are_foundations_and_the_rest_is_unknown(tmp_path: Path) -> None:
    prepare("csds", csds(tmp_path / "source"), tmp_path / "chips")
    index = read_index(tmp_path / "chips").set_index("place")
    assert index["buildings"].to_dict() == {"astana": 2, "almaty": 0}, "almaty_4 is not annotated"
    assert set(index["data_set"]) == {"csds"} and set(index["label_kind"]) == {"merged"}
    assert set(index["split"]) == {"train", "val"}
    assert index["gsd_m"].to_numpy() == pytest.approx(STORE_GSD_M, rel=0.01)  # 0.13 m, shrunk
    chip = read_chip(tmp_path / "chips", index.loc["astana", "chip"])
    assert all(built_share(chip.footprint, footing, SIZE_HW) == 1 for footing in FOOTINGS)
    assert set(np.unique(chip.stage[chip.footprint == 1])) == {1}
    half = chip.footprint.shape[0] / SIZE_HW[0]
    at = {(r, c): chip.footprint[round(r * half), round(c * half)] for r, c in ((25, 30), (145, 270), (265, 60), (20, 280))}
    assert list(at.values()) == [0, UNKNOWN, UNKNOWN, UNKNOWN], "excavation, office, site, beside"


def test_a_picture_that_is_annotated_but_missing_is_named(tmp_path: Path) -> None:
    (csds(tmp_path / "source") / "raw" / "images" / "almaty_3.jpg").unlink()
    with pytest.raises(InputError, match=r"almaty_3\.jpg: missing"):
        prepare("csds", tmp_path / "source", tmp_path / "chips")


@pytest.mark.parametrize("missing", ["images", "annotations/AOD"])
def test_a_missing_folder_is_named(tmp_path: Path, missing: str) -> None:
    folder = csds(tmp_path / "source") / "raw" / missing
    folder.rename(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=f"raw/{missing}: missing"):
        prepare("csds", tmp_path / "source", tmp_path / "chips")


def test_broken_xml_is_named(tmp_path: Path) -> None:
    broken = csds(tmp_path / "source") / "raw" / "annotations" / "AOD" / "almaty" / "almaty_3" / "annotations.xml"
    broken.write_text("<annotations><image")
    with pytest.raises(InputError, match=r"annotations\.xml: is not valid XML"):
        prepare("csds", tmp_path / "source", tmp_path / "chips")
