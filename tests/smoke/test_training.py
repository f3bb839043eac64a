"""simulate → prepare → fit → resume → test → predict, as a newcomer without any data set would."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio

from detect.base.errors import InputError
from detect.cli import main as cli
from detect.datasets.chips import read_index
from detect.datasets.licences import CHOICES
from detect.network.tensors import tensors_of
from detect.network.weights import load_weights

ROOT = Path(__file__).resolve().parents[2]
ROWS = ("--preset", "rows", "--seed", "7", "--gap", "3", "--compounds", "2")
CONFIG = str(ROOT / "configs" / "fit" / "smoke.yaml")


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("simulated") / "sim"
    assert cli.main(["simulate", "--out", str(folder), *ROWS]) == 0
    return folder


@pytest.fixture(scope="module")
def chips(simulated: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("store") / "chips"
    assert cli.main(["prepare", "simulated", str(simulated), str(store)]) == 0
    return store


def fit(chips: Path, out: Path, *more: str) -> int:
    return cli.main(["fit", "--config", CONFIG, *more, f"data.chips={chips}", f"out={out}"])


def test_simulated_scene_says_so_and_is_repeatable(simulated: Path, tmp_path: Path) -> None:
    with rasterio.open(simulated / "scene.tif") as scene:
        assert "SIMULATED" in scene.tags()["TIFFTAG_IMAGEDESCRIPTION"]
        picture = scene.read()
    truth = gpd.read_file(simulated / "truth.gpkg", layer="buildings")
    assert {"id", "stage", "dormitory", "beds", "geometry"} <= set(truth.columns)
    assert set(truth.loc[truth["dormitory"], "beds"]) == {256}
    assert set(truth.loc[~truth["dormitory"], "beds"]) == {0}
    assert len(gpd.read_file(simulated / "truth.gpkg", layer="sites")) == 2
    assert (
        cli.main(
            ["simulate", "--out", str(tmp_path / "again"), "--preset", "rows", "--seed", "7", "--gap", "3", "--compounds", "2"]
        )
        == 0
    )
    with rasterio.open(tmp_path / "again" / "scene.tif") as scene:
        assert (scene.read() == picture).all()
    assert truth.geometry.geom_equals(gpd.read_file(tmp_path / "again" / "truth.gpkg", layer="buildings").geometry).all()


def test_simulated_blocks_keep_their_gap(simulated: Path) -> None:
    truth = gpd.read_file(simulated / "truth.gpkg", layer="buildings")
    blocks = list(truth.geometry[truth["dormitory"]])
    nearest = [min(a.distance(b) for b in blocks if b is not a) for a in blocks]
    assert min(nearest) == pytest.approx(3.0, abs=0.05)
    assert not any(a.intersects(b) for i, a in enumerate(blocks) for b in blocks[:i])


def test_simulate_overwrites_nothing(simulated: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["simulate", "--out", str(simulated)]) == 2
    assert "exists already" in capsys.readouterr().err


def test_fit_leaves_weights_that_predict_uses(
    chips: Path, simulated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert fit(chips, run, "trainer.enable_progress_bar=false") == 0
    assert (run / "csv" / "metrics.csv").exists()
    assert list((run / "tensorboard").glob("events*"))
    weights = run / "weights"
    assert {p.suffix for p in weights.iterdir()} == {".onnx", ".json"}
    capsys.readouterr()
    assert cli.main(["test", "--config", CONFIG, f"data.chips={chips}", f"out={run}"]) == 0
    assert "simulated/simulated" in capsys.readouterr().out
    scene = str(simulated / "scene.tif")
    assert cli.main(["predict", scene, "--out", str(tmp_path / "out"), "--weights", str(weights), "-q"]) == 0
    other = ("--weights", "deep", f"data.chips={chips}", "network.start=nowhere", "network.teachers=[nowhere]", "loss.distil=1")
    assert cli.main(["test", "--config", CONFIG, *other]) == 0, "another architecture; no start and no teacher is asked for"
    assert fit(chips, run, "trainer.enable_progress_bar=false") == 2, "a run is not overwritten"
    assert "--resume last" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("at", "kind"),
    [(1, ""), (4, ""), (4, "weights"), (4, "device")],
    ids=[
        "before the first checkpoint",
        "after it",
        "from weights that teach and are kept in part",
        "samples drawn on the device",
    ],
)
def test_resumed_training_ends_as_if_it_had_not_been_interrupted(
    at: int, kind: str, chips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from detect.training.task import SegmentationTask

    more: list[str] = []
    if kind == "device":
        more = ["data.device=gpu", "data.bank=40", "data.mixed=0.5", "data.drawn=0.1", "loss.consistency=0.1"]
    if kind == "weights":
        assert fit(chips, tmp_path / "start", "seed=2") == 0
        start = tmp_path / "start" / "weights"
        more = [f"network.start={start}", f"network.teachers=[{start}]", "network.keep=0.3", "network.freeze=0.2",
                "network.norms_at_rest=true", "loss.distil=0.5"]  # fmt: skip
    assert fit(chips, tmp_path / "whole", *more) == 0
    step = SegmentationTask.training_step

    def stop(task: SegmentationTask, batch: dict, index: int) -> object:
        if task.global_step == at:
            raise KeyboardInterrupt
        return step(task, batch, index)

    with monkeypatch.context() as patch:
        patch.setattr(SegmentationTask, "training_step", stop)
        assert fit(chips, tmp_path / "part", *more) == 130
    assert not (tmp_path / "part" / "weights").exists()
    # Another folder is part of the configuration's hash, so the run goes on in its own.
    assert fit(chips, tmp_path / "part", "--resume", "last", *more) == 0
    one, two = (tensors_of(load_weights(tmp_path / name / "weights")) for name in ("whole", "part"))
    assert one.keys() == two.keys()
    assert all((one[k] == two[k]).all() for k in one)


def test_a_run_that_has_ended_goes_on_to_the_same_weights_but_not_with_other_chips(
    chips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, store = tmp_path / "run", tmp_path / "chips"
    shutil.copytree(chips, store)
    index = read_index(store)
    index[index["split"] == "train"].iloc[:2].to_parquet(
        store / "index.parquet"
    )  # without places to measure on, which takes long
    small = ("data.samples=4", "data.chip_px=32", "network.pretrained=false", "trainer.enable_progress_bar=false")
    assert fit(store, run, *small) == 0
    weights = (run / "weights" / "smoke.onnx").read_bytes()
    again = ("fit", "--config", str(run / "config.json"), "--resume", "last")
    assert cli.main([*again]) == 0
    assert (run / "weights" / "smoke.onnx").read_bytes() == weights
    read_index(store).iloc[1:].to_parquet(store / "index.parquet")
    capsys.readouterr()
    assert cli.main([*again]) == 2
    assert "other chips" in capsys.readouterr().err
    assert fit(store, run, "--resume", "last", *small, "seed=5") == 2
    assert f"use --config {run / 'config.json'}" in capsys.readouterr().err


def test_a_checkpoint_runs_nothing(chips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import torch

    made, poisoned = tmp_path / "made", tmp_path / "poisoned.ckpt"

    class Payload:
        def __reduce__(self) -> tuple[object, ...]:
            return Path.touch, (made,)

    capsys.readouterr()
    assert fit(chips, tmp_path / "run") == 0
    told, shown = capsys.readouterr()
    assert told.startswith("weights: ") and "Epoch" in shown, "progress goes to stderr"
    whole = torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)
    torch.save(whole | {"more": Payload()}, poisoned)
    capsys.readouterr()
    assert fit(chips, tmp_path / "again", "--resume", str(poisoned)) == 2
    assert capsys.readouterr().err.splitlines() == [
        f"detect: error: {poisoned}: is not a checkpoint of detect fit, or holds more than tensors and plain values; it was not loaded"
    ]
    assert not made.exists()


def test_the_mean_of_weights_lies_between_them(chips: Path, tmp_path: Path) -> None:
    from scripts.average_weights import average

    runs = [tmp_path / name for name in ("one", "two")]
    assert [fit(chips, run, f"seed={seed}") for seed, run in enumerate(runs)] == [0, 0]
    folder = average(Path(CONFIG), [run / "weights" for run in runs], tmp_path / "mean", [f"data.chips={chips}"])
    one, two, mean = (tensors_of(load_weights(path)) for path in (runs[0] / "weights", runs[1] / "weights", folder))
    assert any((one[k] != two[k]).any() for k in one)
    for key, value in mean.items():
        wanted = (one[key].astype("float32") + two[key].astype("float32")) / 2
        assert np.allclose(value, wanted, rtol=2e-3, atol=1e-4), key
    assert [a["share"] for a in json.loads((folder / "smoke.json").read_text())["recipe"]["averaged"]] == [0.5, 0.5]
    sources, recipe = [run / "weights" for run in runs], [f"data.chips={chips}"]
    uneven = tensors_of(load_weights(average(Path(CONFIG), sources, tmp_path / "uneven", recipe, [0.8, 0.2])))
    for key, value in uneven.items():
        wanted = 0.8 * one[key].astype("float32") + 0.2 * two[key].astype("float32")
        assert np.allclose(value, wanted, rtol=2e-3, atol=1e-4), key
    with pytest.raises(InputError, match="one share for each of the 2"):
        average(Path(CONFIG), sources, tmp_path / "wrong", recipe, [0.8, 0.3])


def test_what_weights_are_sure_of_can_train(simulated: Path, tmp_path: Path) -> None:
    from detect.datasets.chips import read_chip, read_index
    from scripts.pseudo_labels import pseudo_labels

    assert cli.main(["predict", str(simulated / "scene.tif"), "--out", str(tmp_path / "found")]) == 0
    truth = gpd.read_file(simulated / "truth.gpkg", layer="buildings")
    hidden = truth.geometry[truth["dormitory"]].iloc[:1]
    hidden.to_file(tmp_path / "hide.geojson")
    count = pseudo_labels(
        simulated / "scene.tif", tmp_path / "found" / "scene", tmp_path / "chips", tmp_path / "hide.geojson", "CC0-1.0"
    )
    index = read_index(tmp_path / "chips")
    assert len(index) == count and set(index["split"]) == {"train"}
    buildings = gpd.read_file(tmp_path / "found" / "scene" / "buildings.gpkg", layer="buildings")
    assert 0 < index["buildings"].sum() < len(buildings)
    with rasterio.open(simulated / "scene.tif") as scene:
        row, col = scene.index(*hidden.iloc[0].centroid.coords[0])
    looked = 0
    for name in index["chip"]:
        chip = read_chip(tmp_path / "chips", name)
        row0, col0 = map(int, name.split("_")[-2:])
        height, width = chip.footprint.shape
        assert set(chip.footprint[chip.instances > 0].ravel()) <= {1}
        if row0 <= row < row0 + height and col0 <= col < col0 + width:
            assert chip.footprint[row - row0, col - col0] == 3
            looked += 1
    assert looked == 1
    with pytest.raises(InputError, match="no such file"):
        pseudo_labels(simulated / "scene.tif", tmp_path, tmp_path / "more", None, "CC0-1.0")


def test_wrong_recipe_is_one_line(chips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert fit(chips, tmp_path / "run", "--resume", "last") == 2
    assert fit(tmp_path / "nowhere", tmp_path / "run") == 2
    assert fit(chips, tmp_path / "run", "data.batch=big") == 2
    assert fit(chips, tmp_path / "run", "trainer.epochs=3") == 2
    assert fit(chips, tmp_path / "run", "trainer.precision=7") == 2
    assert fit(chips, tmp_path / "run", "trainer.accelerator=tpu") == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.startswith("detect: error: ") for line in lines] == [True] * 6
    assert not (tmp_path / "run").exists()


def test_licences_decide_what_may_train(simulated: Path, chips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = tmp_path / "chips"
    shutil.copytree(chips, store)
    read_index(store).assign(licence="CC-BY-SA-4.0").to_parquet(store / "index.parquet")
    assert fit(store, tmp_path / "run", "--licences", "permissive") == 2
    assert "no chip may train (split train, licence permissive)" in capsys.readouterr().err
    again = ("prepare", "simulated", str(simulated), str(tmp_path / "more"))
    assert cli.main([*again, "--licence", "CC-BY-NC-4.0", "--licences", "open"]) == 2
    assert cli.main([*again, "--licences", "permissive"]) == 0
    for verb in ("prepare", "fit"):
        capsys.readouterr()
        assert cli.main([verb, "--help"]) == 0
        assert f"{{{','.join(CHOICES)}}}" in capsys.readouterr().out


def test_a_run_with_a_budget_ends_by_itself_and_says_how_long_it_was(
    chips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from detect.training import budget, task

    monkeypatch.setattr(budget, "FIRST_MEASURED", 1)
    monkeypatch.setattr(budget, "SPARED", 0.995)  # of ten minutes, so that a slow machine has them
    for module in (budget, task):
        monkeypatch.setattr(module, "LAST_MEASURED", 3)
    run = tmp_path / "run"
    assert fit(chips, run, "minutes=10", "data.samples=400000", "validate_every=100000", "trainer.limit_val_batches=0") == 0
    recipe = json.loads(next((run / "weights").glob("*.json")).read_text(encoding="utf-8"))["recipe"]
    assert 3 < recipe["steps"] < 1000
    assert recipe["config"]["minutes"] == 10


def test_the_ablation_scores_the_fullest_held_out_chips(chips: Path, tmp_path: Path) -> None:
    from benchmarks.ablation import fewer_held_out

    one = read_index(chips).iloc[[0] * 4].reset_index(drop=True)
    one = one.assign(chip=["a", "b", "c", "d"], split=["train", "val", "val", "val"], buildings=[9, 1, 5, 3])
    (tmp_path / "store").mkdir()
    one.to_parquet(tmp_path / "store" / "index.parquet")
    for _ in range(2):  # a second run of the benchmark finds it there
        fewer_held_out(tmp_path / "store", tmp_path / "fewer", 2)
        assert list(read_index(tmp_path / "fewer")["chip"]) == ["a", "c", "d"]


def test_sets_left_out_are_scored_and_never_train(chips: Path, tmp_path: Path) -> None:
    from benchmarks.leave_out import CHIPS_PER_SET, fold_store

    count = CHIPS_PER_SET + 6
    kept = [("vegas", "train", "outlines", 3), ("rio", "val", "outlines", 3)]
    left = [("dubai", "train", "coarse", 9), ("dubai", "train", "outlines", 0)]
    left += [("dubai", "val" if n % 2 else "train", "outlines", 1 + n) for n in range(count)]
    rows = pd.DataFrame([*kept, *left], columns=["data_set", "split", "label_kind", "buildings"])
    store = tmp_path / "all"
    store.mkdir()
    one = read_index(chips).iloc[[0] * len(rows)].reset_index(drop=True)
    one.assign(**rows, chip=[f"c{n}" for n in rows.index], place=rows["data_set"]).to_parquet(store / "index.parquet")
    for _ in range(2):  # a second run of the benchmark finds it there
        fold_store(store, store, tmp_path / "fold", ("dubai",))
    fold = read_index(tmp_path / "fold")
    assert list(fold.loc[fold["split"] == "train", "data_set"]) == ["vegas"]
    scored = fold[fold["split"] == "val"]
    assert set(scored["data_set"]) == {"dubai"}
    assert sorted(scored["buildings"]) == list(range(count - CHIPS_PER_SET + 1, count + 1)), "the fullest, coarse masks aside"


def test_without_held_out_chips_there_is_nothing_to_measure(
    chips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = tmp_path / "chips"
    shutil.copytree(chips, store)
    read_index(store).assign(split="train").to_parquet(store / "index.parquet")
    assert cli.main(["test", "--config", CONFIG, f"data.chips={store}", "--weights", "deep"]) == 2
    assert "holds no chips to measure on (split val)" in capsys.readouterr().err


def test_the_data_sets_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    from detect.datasets.registry import ADAPTERS

    assert cli.main(["prepare", "--list"]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert [row.split()[0] for row in rows[1:-1]] == list(ADAPTERS)
    columns = [rows[0].index(title) for title in ("pixel, m", "licence", "labels and places")]
    assert all(row[at - 2 : at] == "  " and row[at] != " " for row in rows[1:-1] for at in columns), "columns stand apart"
    assert cli.main(["prepare", "SpaceNet-2", "--list"]) == 0
    text = capsys.readouterr().out
    for part in ("CC-BY-SA-4.0", "Khartoum", "0.3", "s3://", "arXiv:1807.01232", "RGB-PanSharpen"):
        assert part in text


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["inira", "SRC", "DST"], "did you mean inria?"),
        (["inria", "SRC", "DST"], r"SRC/train/gt: missing"),
        (["inria", "nowhere", "DST"], "nowhere: no such folder"),
        (["inria", "SRC", "DST", "--drop", "ugly"], "black, cloud, shifted"),
        (["inria"], "SRC and DST are needed"),
    ],
)
def test_prepare_says_in_one_line_what_is_wrong(
    arguments: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "SRC").mkdir()
    assert cli.main(["prepare", *arguments]) == 2
    error = capsys.readouterr().err
    assert says in error and len(error.splitlines()) == 1
    assert not (tmp_path / "DST").exists()
