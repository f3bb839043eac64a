"""The sample folder → chips, on a few of its real images."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
from pyproj import Geod

from detect.base.errors import InputError
from detect.datasets import prepare
from detect.datasets.chips import UNKNOWN, read_chip, read_index
from detect.datasets.samples import _Stages
from tests.real_data import data_path

IMAGES = (
    "dubai/tile1_1.jpg", "vegas/vegas_225.tif", "rio/rio_50.tif", "rio/rio_57.tif", "oam_chips/virac_1.tif", "oam_chips/nairobi_0.tif",
)  # fmt: skip


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = data_path("index.csv").parent
    folder = tmp_path_factory.mktemp("part")
    index = pd.read_csv(source / "index.csv")
    few = index[index["image"].isin(IMAGES)]
    assert len(few) == len(IMAGES)
    few.to_csv(folder / "index.csv", index=False)
    for item in few.to_dict("records"):
        (folder / item["image"]).parent.mkdir(exist_ok=True)
        for name in (item["image"], item["label"]):
            (folder / name).symlink_to(source / name)
    shutil.copytree(source / "stages", folder / "stages")
    (folder / "redrawn").mkdir()
    for name in ("tile1_1.json", "earthview_earthview_r2c1.json"):
        shutil.copy(source / "redrawn" / name, folder / "redrawn" / name)
    (folder / "earthview").symlink_to(source / "earthview")
    store = tmp_path_factory.mktemp("chips") / "store"
    assert prepare("samples", folder, store).chips == len(read_index(store))
    return store


def test_every_kind_of_label_loads(store: Path) -> None:
    index = read_index(store)
    assert set(index["data_set"]) == {"hitl_dubai", "spacenet2_vegas", "spacenet1_rio", "fair_oam", "earthview"}
    assert dict(index.drop_duplicates("data_set").set_index("data_set")["label_kind"]) == {
        "hitl_dubai": "outlines", "spacenet2_vegas": "outlines", "spacenet1_rio": "loose", "fair_oam": "outlines", "earthview": "outlines",
    }  # fmt: skip
    assert not index["place"].str.contains("nairobi").any(), "outlines that lie metres off teach nothing"
    assert index.groupby("place")["split"].nunique().max() == 1
    assert set(index.loc[index["data_set"] == "spacenet2_vegas", "split"]) == {"val"}
    assert (index["buildings"] > 3).any()


def test_a_city_in_both_splits_is_a_place_per_tile(store: Path) -> None:
    rio = read_index(store).query("data_set == 'spacenet1_rio'")
    assert dict(zip(rio["place"], rio["split"], strict=True)) == {"rio_50": "train", "rio_57": "val"}


def test_roofs_lie_under_their_labels(store: Path) -> None:
    rows = read_index(store).to_dict("records")
    assert len(rows) >= len(IMAGES) - 1, "nairobi is left out"
    for row in rows:
        chip = read_chip(store, row["chip"])
        assert chip.image.shape[:2] == chip.footprint.shape == chip.instances.shape
        assert set(np.unique(chip.footprint)) <= {0, 1, UNKNOWN}
        assert set(np.unique(chip.stage)) <= {0, 1, 2, 3}
        assert not chip.stage[chip.footprint != 1].any()
        if row["label_kind"] == "outlines":
            assert ((chip.instances > 0) == (chip.footprint == 1)).mean() > 0.999


def test_labels_cover_what_the_outlines_enclose(store: Path) -> None:
    outlines = gpd.read_file(data_path("vegas/vegas_225.geojson"))
    true_m2 = sum(abs(Geod(ellps="WGS84").geometry_area_perimeter(g)[0]) for g in outlines.geometry)
    rows = read_index(store).query("source == 'vegas/vegas_225.tif'").to_dict("records")
    drawn_m2 = sum(float((read_chip(store, row["chip"]).footprint == 1).sum()) * row["gsd_m"] ** 2 for row in rows)
    assert true_m2 > 1000
    assert drawn_m2 == pytest.approx(true_m2, rel=0.03)


def test_a_coarse_mask_says_where_nothing_stands_and_no_more(store: Path) -> None:
    row = read_index(store).query("data_set == 'hitl_dubai'").iloc[0]
    chip = read_chip(store, row["chip"])
    size_hw = chip.footprint.shape
    mask = cv2.imread(str(data_path("dubai/tile1_1_mask.png")), cv2.IMREAD_UNCHANGED)
    drawn = json.loads(data_path("redrawn/tile1_1.json").read_text())
    windows, buildings = np.zeros(size_hw, bool), np.zeros(size_hw, np.uint8)
    for x0, y0, width, height in drawn["complete_windows_xywh"]:
        windows[y0 : y0 + height, x0 : x0 + width] = True
    for outline in drawn["outlines"]:
        cv2.fillPoly(buildings, [np.round(outline["polygon_px"]).astype(np.int32)], 1)
    near = cv2.dilate(buildings, np.ones((5, 5), np.uint8)) == 1
    marked = chip.stage > 0  # unfinished buildings that were sought out
    undrawn = ~windows & ~near & ~marked
    assert (chip.footprint[undrawn & (mask == 1)] == UNKNOWN).all(), "it joins buildings, yards and sites"
    far = cv2.distanceTransform((mask == 0).astype(np.uint8), cv2.DIST_L2, 5) > 8
    assert (undrawn & far).any() and (chip.footprint[undrawn & far] == 0).all()
    assert (chip.footprint[windows] != UNKNOWN).all()


def test_red_and_blue_are_swapped_back(tmp_path: Path) -> None:
    """In tile 7 as published pools are orange."""
    source = data_path("index.csv").parent
    index = pd.read_csv(source / "index.csv").query("image in ('dubai/tile7_2.jpg', 'dubai/tile5_2.jpg')")
    part = tmp_path / "part"
    (part / "redrawn").mkdir(parents=True)
    for folder in ("dubai", "stages"):
        (part / folder).symlink_to(source / folder)
    shutil.copy(source / "redrawn/tile7_2.json", part / "redrawn")
    index.to_csv(part / "index.csv", index=False)
    prepare("samples", part, tmp_path / "chips")
    chips = read_index(tmp_path / "chips")
    assert set(chips["place"]) == {"dubai_7_8"}, "a coarse mask of a place that validates is no measure"
    (corner,) = (name for name in chips["chip"] if name.endswith("_0_0"))
    ours = read_chip(tmp_path / "chips", corner).image.astype(float)
    published = cv2.imread(str(source / "dubai/tile7_2.jpg"))[: ours.shape[0], : ours.shape[1], ::-1].astype(float)
    redder = [(image[..., 0] - image[..., 2]).ravel() for image in (ours, published)]
    assert np.corrcoef(*redder)[0, 1] < -0.8


def test_a_folder_without_index_is_refused(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    for source, word in (("source", r"index\.csv"), ("nowhere", "nowhere")):
        with pytest.raises(InputError, match=word):
            prepare("samples", tmp_path / source, tmp_path / "chips")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").touch()
    with pytest.raises(InputError, match="not empty"):
        prepare("samples", tmp_path / "source", tmp_path / "full")


def test_windows_drawn_again_replace_looser_outlines_and_join_earlier_drawings(tmp_path: Path) -> None:
    source = data_path("index.csv").parent
    index = pd.read_csv(source / "index.csv")
    index[index["image"] == "rio/rio_50.tif"].to_csv(tmp_path / "index.csv", index=False)
    for folder in ("rio", "earthview"):
        (tmp_path / folder).symlink_to(source / folder)
    (tmp_path / "redrawn").mkdir()
    shutil.copy(source / "redrawn" / "earthview_earthview_r0c0.json", tmp_path / "redrawn")
    prepare("samples", tmp_path, tmp_path / "before")
    (tmp_path / "labels").mkdir()
    roof = {"stage": "incomplete", "polygon_px": [[110, 110], [150, 110], [150, 130], [110, 130]]}
    for name, image, place in (("a", "rio/rio_50.tif", "rio_50"), ("b", "earthview/earthview_r0c0.png", "earthview_r0c0")):
        drawing = {"image": image, "place": place, "split": "train", "gsd_m": 1.15, "outlines": [roof]}
        drawing["complete_windows_xywh"] = [[100, 100, 100, 100]]
        (tmp_path / "labels" / f"{name}.json").write_text(json.dumps(drawing))
    prepare("samples", tmp_path, tmp_path / "after")
    before, after = (read_index(tmp_path / name).set_index("data_set") for name in ("before", "after"))
    assert set(before.index) == set(after.index) == {"spacenet1_rio", "earthview"}
    rio = [read_chip(tmp_path / name, rows.loc["spacenet1_rio", "chip"]) for name, rows in (("before", before), ("after", after))]
    scale = rio[0].stage.shape[0] / 439  # pixels of the chip for one of the image
    window = np.s_[round(102 * scale) : round(198 * scale), round(102 * scale) : round(198 * scale)]
    built = rio[1].footprint[window] == 1
    assert built.sum() == pytest.approx(40 * 20 * scale**2, rel=0.1)
    assert set(np.unique(rio[1].stage[window][built])) == {2}
    assert len(np.unique(rio[1].instances[window][built])) == 1
    beyond = rio[0].footprint.copy()
    beyond[round(98 * scale) : round(202 * scale), round(98 * scale) : round(202 * scale)] = 0
    assert (rio[1].footprint[beyond == 1] == 1).all(), "beyond the window nothing changes"
    assert after.loc["earthview", "unfinished"] == before.loc["earthview", "unfinished"] + 1
    assert after.loc["earthview", "buildings"] > 100, "the earlier drawing counts too"


def test_a_mark_whose_ring_crosses_itself_is_a_mark(tmp_path: Path) -> None:
    (tmp_path / "stages").mkdir()
    mark = {"image": "a.jpg", "stage": "foundation", "confidence": 0.9, "note": "", "polygon": [[0, 0], [9, 9], [9, 0], [0, 9]]}
    (tmp_path / "stages" / "marks.jsonl").write_text(json.dumps(mark))
    ((polygon, code, is_mark),) = _Stages(tmp_path).on_image("a.jpg")
    assert polygon.is_valid and code == 1 and is_mark


def test_the_stated_pixel_counts_for_a_tiff_without_georeference(tmp_path: Path) -> None:
    path = tmp_path / "a" / "1.tif"
    path.parent.mkdir()
    cv2.imwrite(str(path), np.random.default_rng(0).integers(1, 255, (200, 200, 3), np.uint8))
    cv2.imwrite(str(tmp_path / "a" / "1_mask.png"), np.pad(np.ones((40, 40), np.uint8), 80))
    item = {
        "image": "a/1.tif",
        "label": "a/1_mask.png",
        "label_kind": "mask",
        "data_set": "own",
        "place": "a",
        "suggested_split": "train",
    }
    pd.DataFrame([item | {"gsd_m": 0.5, "licence": "CC0-1.0"}]).to_csv(tmp_path / "index.csv", index=False)
    for folder in ("redrawn", "labels"):
        (tmp_path / folder).mkdir()
    prepare("samples", tmp_path, tmp_path / "chips")
    assert read_index(tmp_path / "chips")["gsd_m"].tolist() == [0.5]
