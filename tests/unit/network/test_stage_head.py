"""The second model, for stages: crops lie where the footprint says, and a building's answer is its own."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely
import shapely.affinity
from shapely import box

from detect.base.errors import InputError
from detect.base.geometry import moved
from detect.base.grid import Span
from detect.base.resources import resource_path
from detect.base.stages import STAGES
from detect.network.stage_head import StageHead, crop_reader, open_stage_head
from detect.network.weights import load_weights
from detect.runs.predict import predict
from detect.scene.scene import open_scene
from detect.simulate import simulate_compounds
from tests.conftest import WriteScene

HOUSES = [box(14, 12, 44, 36), box(40, 50, 62, 78), box(140, 30, 160, 54)]


def own_weights(folder: Path, *, head: bool) -> Path:
    """The shipped weights as a user might have made them: without a stage head, or with one that looks at every building."""
    shipped = resource_path("weights")
    folder.mkdir()
    card = json.loads((shipped / "deep.json").read_text())
    if head:
        shutil.copy(shipped / "deep.stage.onnx", folder)
        card["stage_head"]["sure_from"] = 1.0
    else:
        del card["files"]["stage"], card["stage_head"]
    (folder / "deep.json").write_text(json.dumps(card))
    shutil.copy(shipped / "deep.onnx", folder)
    return folder


def test_crops_show_the_building_in_the_middle(tiny_scene: Path) -> None:
    scene = open_scene(tiny_scene)
    grid = scene.work_grid(0.5)
    with crop_reader(scene, grid, (0.5, 0.25), 64) as reader:
        crops = reader.read(HOUSES[0])
    assert crops.shape == (1, 2, 4, 64, 64) and crops.dtype == np.float32
    assert 0 <= crops.min() and crops.max() <= 1
    coarse, fine = crops[0]
    assert coarse[3].sum() == 30 * 24 and fine[3].sum() == 60 * 48
    rows, cols = np.nonzero(coarse[3])
    assert abs(rows.mean() - 31.5) <= 1 and abs(cols.mean() - 31.5) <= 1
    roof, ground = (coarse[0][coarse[3] == inside].mean() for inside in (1, 0))
    assert roof > ground + 0.2, "roofs are bright and red"


def test_joints_of_a_roof_brighter_than_the_stretch_are_seen(write_scene: WriteScene) -> None:
    picture = np.random.default_rng(1).integers(60, 100, (3, 400, 400)).astype(np.uint8)
    picture[:, 90:110, 80:120] = 230
    picture[:, 90:110, 80:120:4] = 205  # both far above the 99th percentile of the scene
    scene = open_scene(write_scene(picture, gsd_m=0.5))
    grid = scene.work_grid(0.5)
    with scene.reader(grid) as reader:
        as_usual, _ = reader.read(Span(90, 80, 110, 120))
    assert (as_usual == 1).all(), "white"
    with crop_reader(scene, grid, (0.5,), 64) as crops:
        crop = crops.read(box(80, 90, 120, 110))[0, 0]
    roof = crop[0][crop[3] > 0].reshape(20, 40)
    assert roof.max() <= 1 and roof[:, 1::4].mean() - roof[:, ::4].mean() > 0.03


def test_a_crop_reaches_beyond_the_scene_and_slivers_have_a_pixel(tiny_scene: Path) -> None:
    scene = open_scene(tiny_scene)
    with crop_reader(scene, scene.work_grid(0.5), (0.5,), 64) as reader:
        assert reader.read(HOUSES[2]).shape == (1, 1, 4, 64, 64)
        assert reader.read(box(20.1, 20.1, 20.4, 30))[0, 0, 3].any()


@pytest.mark.parametrize(("turn_deg", "length", "places"), [(0, 60, 1), (0, 65, 2), (30, 130, 3), (90, 200, 4)])
def test_a_long_building_is_seen_all_along(write_scene: WriteScene, turn_deg: float, length: int, places: int) -> None:
    scene = open_scene(write_scene(np.random.default_rng(2).integers(60, 200, (3, 300, 300)).astype(np.uint8), gsd_m=0.5))
    long = shapely.affinity.rotate(box(150 - length / 2, 140, 150 + length / 2, 160), turn_deg)
    with crop_reader(scene, scene.work_grid(0.5), (0.5, 0.25), 64) as reader:
        crops = reader.read(long)
    assert crops.shape == (places, 2, 4, 64, 64)
    assert (crops[:, :, 3, 31:33, 31:33] == 1).all(), "each lies on the building"
    assert crops[:, 0, 3].sum() >= 0.95 * length * 20, "together they show all of it"


def test_something_endless_is_seen_at_a_few_places(tiny_scene: Path) -> None:
    scene = open_scene(tiny_scene)
    with crop_reader(scene, scene.work_grid(0.5), (0.5, 0.25), 64) as reader:
        assert len(reader.read(box(-20_000, 40, 20_000, 60))) <= 8


def test_the_answer_for_a_long_building_is_the_mean_of_its_places(tiny_scene: Path) -> None:
    scene, weights = open_scene(tiny_scene), load_weights("deep")
    grid = scene.work_grid(weights.gsd_m)
    long, house = shapely.transform(np.array([box(10, 40, 150, 60), HOUSES[1]], object), lambda xy: xy * (0.5 / grid.gsd_m))
    with open_stage_head(weights, scene, grid) as head:
        assert head is not None
        both = head(np.array([long, house], object))
        crops = head._reader.read(long)
        each = head._session.run(None, {"crops": crops})[0]
        assert both[1] == pytest.approx(head(np.array([house], object))[0], abs=1e-5)
    assert len(crops) == 2
    mean = np.sqrt(each[0] * each[1])
    assert both[0] == pytest.approx(mean / mean.sum(), abs=1e-5)


def test_a_building_gets_the_same_answer_alone_and_among_others(tiny_scene: Path) -> None:
    scene = open_scene(tiny_scene)
    weights = load_weights("deep")
    grid = scene.work_grid(weights.gsd_m)
    footprints = shapely.transform(np.array(HOUSES * 7, object), lambda xy: xy * (0.5 / grid.gsd_m))
    with open_stage_head(weights, scene, grid) as head:
        assert head is not None
        together = head(footprints)
        alone = head(footprints[1:2])
        assert head(footprints[:0]).shape == (0, 3)
    assert together.shape == (21, 3)
    assert together.sum(axis=1) == pytest.approx(1)
    assert together[1] == pytest.approx(alone[0], abs=1e-5)
    assert together[-3:] == pytest.approx(together[:3], abs=1e-5)


def test_weights_without_a_head_keep_the_pooled_stages(tiny_scene: Path, tmp_path: Path) -> None:
    mine, looking = (own_weights(tmp_path / f"head_{head}", head=head) for head in (False, True))
    scene = open_scene(tiny_scene)
    with open_stage_head(load_weights(mine), scene, scene.work_grid(0.3)) as head:
        assert head is None
    pooled = predict(tiny_scene, tmp_path / "pooled", weights=mine)
    looked_at = predict(tiny_scene, tmp_path / "looked_at", weights=looking)
    assert pooled.summary["model"]["stage_sha256"] is None
    assert looked_at.summary["model"]["stage_sha256"] == load_weights("deep").stage_sha256
    assert pooled.summary["run"]["key"] != looked_at.summary["run"]["key"]
    assert len(pooled.buildings) == len(looked_at.buildings) > 0
    assert not np.allclose(pooled.buildings["p_complete"], looked_at.buildings["p_complete"])
    assert list(pooled.buildings.geometry) == list(looked_at.buildings.geometry)


def test_block_size_and_workers_change_no_stage(tiny_scene: Path, tmp_path: Path) -> None:
    shipped = load_weights("deep")
    mine = tmp_path / "weights"  # with tiles so small that the scene has several
    mine.mkdir()
    for file in (shipped.onnx, shipped.stage_onnx):
        shutil.copy(file, mine)
    card = shipped.card | {"tile": {"core_px": 64, "halo_px": 64, "stride_px": 32}}
    (mine / "deep.json").write_text(json.dumps(card))
    one = predict(tiny_scene, tmp_path / "one", weights=mine, block_px=1024, workers=1)
    many = predict(tiny_scene, tmp_path / "many", weights=mine, block_px=64, workers=3)
    assert many.summary["blocks"]["blocks"] > one.summary["blocks"]["blocks"] == 1
    assert one.summary["model"]["stage_sha256"] == shipped.stage_sha256
    for name in ("stage.tif", "buildings.parquet"):
        assert (one.folder / name).read_bytes() == (many.folder / name).read_bytes()


def test_most_drawn_slabs_and_shells_are_not_called_complete(tmp_path: Path) -> None:
    (path,), truth = simulate_compounds(tmp_path, seed=6, preset="rows", dormitories=14, gsd_m=0.6, margin_m=20.0)
    blocks = gpd.read_file(truth, layer="buildings").query("dormitory")
    assert set(blocks["stage"]) == set(STAGES)
    scene = open_scene(path)
    grid = scene.work_grid(0.3)
    with open_stage_head(load_weights("deep"), scene, grid) as head:
        assert head is not None
        p = head(np.array([moved(polygon, ~grid.transform) for polygon in blocks.geometry], object))
    unfinished, called_complete = blocks["stage"] != "complete", p.argmax(axis=1) == STAGES.index("complete")
    assert called_complete[unfinished].mean() <= 0.3
    assert called_complete[~unfinished].all()


def test_a_file_that_is_no_network_is_refused(tiny_scene: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no network")
    weights = load_weights("deep")
    scene = open_scene(tiny_scene)
    with crop_reader(scene, scene.work_grid(0.3), (0.3,), 32) as reader, pytest.raises(InputError, match="cannot load it"):
        StageHead(type(weights)(weights.card, weights.onnx, None, broken), reader)
