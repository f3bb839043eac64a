"""xBD → chips."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import pytest
from affine import Affine

from detect.base.errors import InputError
from detect.datasets import prepare
from detect.datasets.chips import read_index
from tests.unit.datasets.drawing import ROOFS, Rectangle, assert_drawn, chip_of, on_the_ground, picture, polygon, write_tif

PIXEL_M = 0.6
TRANSFORM = Affine(PIXEL_M, 0, 240_000, 0, -PIXEL_M, 3_290_000)  # UTM 15 north, Houston
TILES = {
    ("train", "hurricane-harvey_00000001"): ROOFS,
    ("test", "hurricane-harvey_00000002"): ROOFS[:1],
    ("hold", "palu-tsunami_00000003"): ROOFS[:2],
    ("tier3", "joplin-tornado_00000004"): (),
}


def _label(name: str, roofs: tuple[Rectangle, ...]) -> dict[str, Any]:
    def features(wkts: list[str]) -> list[dict[str, Any]]:
        return [{"properties": {"feature_type": "building", "uid": f"{name}-{i}"}, "wkt": wkt} for i, wkt in enumerate(wkts)]

    return {
        "features": {
            "lng_lat": features([on_the_ground(r, TRANSFORM, 32615).wkt for r in roofs]),
            "xy": features([polygon(r).wkt for r in roofs]),
        },
        "metadata": {"sensor": "GEOEYE01", "gsd": 2.2, "pan_resolution": 0.55, "disaster": name.split("_")[0], "img_name": name},
    }


def _release(source: Path, suffix: str = ".png", by_disaster: bool = False) -> None:
    for (folder, tile), roofs in TILES.items():
        top = source / (tile.split("_")[0] if by_disaster else folder)
        for when in ("pre", "post"):
            name = f"{tile}_{when}_disaster"
            path = top / "images" / f"{name}{suffix}"
            if suffix == ".tif":
                write_tif(path, picture(roofs), 32615, TRANSFORM)
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(path), picture(roofs)[::-1].transpose(1, 2, 0).astype("uint8"))  # (H, W, BGR)
            label = top / "labels" / f"{name}.json"
            label.parent.mkdir(parents=True, exist_ok=True)
            label.write_text(json.dumps(_label(name, roofs)))


@pytest.mark.parametrize("by_disaster", [False, True])
def test_images_before_the_disasters_become_chips(tmp_path: Path, by_disaster: bool) -> None:
    source, store = tmp_path / "source", tmp_path / "chips"
    _release(source, by_disaster=by_disaster)
    report = prepare("xbd", source, store)
    index = read_index(store)
    assert (report.images, report.chips, report.buildings) == (4, 4, 3 + 1 + 2)
    assert set(index["data_set"]) == {"xbd"} and set(index["label_kind"]) == {"outlines"}
    assert set(index["licence"]) == {"CC-BY-NC-SA-4.0"} and set(index["sensor"]) == {"GEOEYE01"}
    assert sorted(index["place"]) == ["hurricane-harvey", "hurricane-harvey", "joplin-tornado", "palu-tsunami"]
    assert index.groupby("place")["split"].nunique().max() == 1 and set(index["split"]) == {"train", "val"}
    top = "hurricane-harvey" if by_disaster else "train"
    assert_drawn(chip_of(store, index, f"{top}/images/hurricane-harvey_00000001_pre_disaster.png"), ROOFS)


def test_the_pixel_is_measured_on_the_buildings(tmp_path: Path) -> None:
    _release(tmp_path / "source")
    prepare("xbd", tmp_path / "source", tmp_path / "chips")
    gsd_m = read_index(tmp_path / "chips").set_index("place")["gsd_m"]
    assert gsd_m["palu-tsunami"] == pytest.approx(PIXEL_M, rel=0.01)
    assert gsd_m["joplin-tornado"] == pytest.approx(0.55), "without buildings, what the sensor resolved"


def test_geotiffs_and_a_single_folder_are_read_too(tmp_path: Path) -> None:
    _release(tmp_path / "source", suffix=".tif")
    store = tmp_path / "chips"
    assert prepare("xbd", tmp_path / "source" / "train", store).buildings == 3
    index = read_index(store)
    assert index["gsd_m"].to_numpy() == pytest.approx(PIXEL_M, rel=0.01) and index.geometry.notna().all()
    assert_drawn(chip_of(store, index, "images/hurricane-harvey_00000001_pre_disaster.tif"), ROOFS)


def test_the_pixel_of_a_tiff_without_georeference_is_measured_on_the_buildings(tmp_path: Path) -> None:
    _release(tmp_path / "source", suffix=".tif")
    path = tmp_path / "source" / "train" / "images" / "hurricane-harvey_00000001_pre_disaster.tif"
    cv2.imwrite(str(path), picture(ROOFS)[::-1].transpose(1, 2, 0).astype("uint8"))
    prepare("xbd", tmp_path / "source" / "train", tmp_path / "chips")
    assert read_index(tmp_path / "chips")["gsd_m"].to_numpy() == pytest.approx(PIXEL_M, rel=0.01)


def test_images_of_the_hidden_test_set_are_skipped(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "images").mkdir(parents=True)
    cv2.imwrite(str(source / "images" / "test_pre_00000.png"), picture(ROOFS).transpose(1, 2, 0).astype("uint8"))
    with pytest.raises(InputError, match=r"no images/\*_pre_disaster\.png"):
        prepare("xbd", source, tmp_path / "chips")


def test_a_missing_piece_is_named(tmp_path: Path) -> None:
    source = tmp_path / "source"
    _release(source)
    label = source / "hold" / "labels" / "palu-tsunami_00000003_pre_disaster.json"
    label.write_text('{"features": {"xy": []}}')
    with pytest.raises(InputError, match=r"palu-tsunami_00000003_pre_disaster\.json: holds no features"):
        prepare("xbd", source, tmp_path / "chips")
    label.write_text("")
    with pytest.raises(InputError, match=r"palu-tsunami_00000003_pre_disaster\.json: is not valid JSON"):
        prepare("xbd", source, tmp_path / "chips")
    label.unlink()
    with pytest.raises(InputError, match=r"palu-tsunami_00000003_pre_disaster\.json: missing"):
        prepare("xbd", source, tmp_path / "chips")
