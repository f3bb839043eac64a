"""A run killed again and again, and one on a cluster that loses a worker: the same bytes as an undisturbed one."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import geopandas as gpd
import pytest
import rasterio
from affine import Affine
from rasterio.windows import Window

from detect.cli.main import main
from detect.network.weights import load_weights
from detect.simulate import simulate_compounds

REPOSITORY = Path(__file__).resolve().parents[2]
KILLS = 5


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A compound, weights with small tiles, and the result of one worker."""
    folder = tmp_path_factory.mktemp("kills")
    simulate_compounds(folder, seed=104, preset="rows", gap_m=3.0)
    shipped = load_weights()
    assert shipped.onnx is not None
    (folder / "weights").mkdir()
    shutil.copy(shipped.onnx, folder / "weights")
    shutil.copy(shipped.stage_onnx, folder / "weights")
    card = shipped.card | {"tile": {"core_px": 256, "halo_px": 64, "stride_px": 32}}
    (folder / "weights" / f"{shipped.name}.json").write_text(json.dumps(card))
    assert main(command(folder, "one", "--workers", "1")) == 0
    return folder


def command(place: Path, out: str, *options: str) -> list[str]:
    weights = str(place / "weights")
    return [
        "predict",
        str(place / "scene.tif"),
        "--out",
        str(place / out),
        "--weights",
        weights,
        "--block-size",
        "256",
        "-q",
        *options,
    ]


def start(place: Path, out: str, *options: str) -> subprocess.Popen[bytes]:
    run = [sys.executable, "-m", "detect", *command(place, out, *options)]
    return subprocess.Popen(run, env=os.environ | {"PYTHONPATH": str(REPOSITORY)}, stdout=subprocess.DEVNULL)


def blocks(place: Path, out: str) -> int:
    return len(list((place / out / ".scene.work" / "blocks").glob("[!.]*.npy")))


def wait_for(place: Path, out: str, count: int, process: subprocess.Popen[bytes]) -> None:
    while process.poll() is None and blocks(place, out) < count:
        time.sleep(0.01)


def fingerprint(place: Path, out: str) -> list[str]:
    """SHA-256 of the mask and of the sorted polygons."""
    folder = place / out / "scene"
    polygons = sorted(gpd.read_file(folder / "buildings.gpkg", layer="buildings").geometry.to_wkb())
    assert polygons
    return [hashlib.sha256(content).hexdigest() for content in ((folder / "mask.tif").read_bytes(), b"".join(polygons))]


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_kills_change_no_byte(place: Path) -> None:
    for kill in range(KILLS):
        process = start(place, "killed")
        wait_for(place, "killed", 2 * (kill + 1), process)
        process.kill()
        process.wait()
    assert 0 < blocks(place, "killed") < 25, "it was killed on the way"
    assert main(command(place, "killed", "--workers", "4")) == 0
    assert json.loads((place / "killed/scene/summary.json").read_text())["blocks"]["resumed"] >= 2 * KILLS
    assert fingerprint(place, "killed") == fingerprint(place, "one")


@pytest.mark.slow
def test_a_cluster_that_loses_a_worker_changes_no_byte(place: Path) -> None:
    pytest.importorskip("distributed")
    psutil = pytest.importorskip("psutil")
    process = start(place, "dask", "--dask", "local", "--workers", "3")
    wait_for(place, "dask", 2, process)
    workers = [c for c in psutil.Process(process.pid).children(recursive=True) if "spawn_main" in " ".join(c.cmdline())]
    assert len(workers) == 3
    workers[0].kill()
    assert process.wait() == 0
    assert fingerprint(place, "dask") == fingerprint(place, "one")


@pytest.mark.slow
def test_scenes_on_a_cluster_that_loses_a_worker_change_no_byte(place: Path) -> None:
    pytest.importorskip("distributed")
    psutil = pytest.importorskip("psutil")
    chips = cut_chips(place, 4)
    plain = ["predict", *map(str, chips), "--weights", str(place / "weights"), "--outputs", "mask.tif,buildings.parquet", "-q"]
    assert main([*plain, "--out", str(place / "chips"), "--workers", "1"]) == 0
    run = [sys.executable, "-m", "detect", *plain, "--out", str(place / "spread"), "--dask", "local", "--workers", "2"]
    process = subprocess.Popen(run, env=os.environ | {"PYTHONPATH": str(REPOSITORY)}, stdout=subprocess.DEVNULL)
    while process.poll() is None and not list((place / "spread").glob("[!.]*/summary.json")):
        time.sleep(0.01)
    workers = [c for c in psutil.Process(process.pid).children(recursive=True) if "spawn_main" in " ".join(c.cmdline())]
    workers[0].kill()
    assert process.wait() == 0
    for chip in chips:
        for name in ("mask.tif", "buildings.parquet"):
            assert (place / "chips" / chip.stem / name).read_bytes() == (place / "spread" / chip.stem / name).read_bytes()


def cut_chips(place: Path, count: int) -> list[Path]:
    """Chips of 160 px along the diagonal of the scene, each on ground of its own."""
    chips = [place / f"chip{i}.tif" for i in range(count)]
    with rasterio.open(place / "scene.tif") as scene:
        profile = scene.profile | {"driver": "GTiff", "height": 160, "width": 160}
        for i, chip in enumerate(chips):
            at = Window(80 * i, 80 * i, 160, 160)
            moved = Affine.translation(1000 * i, 0) @ scene.window_transform(at)
            with rasterio.open(chip, "w", **profile | {"transform": moved}) as out:
                out.write(scene.read(window=at))
    return chips


def test_a_wrong_address_is_one_line(place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr("detect.network.cluster._SECONDS_TO_CONNECT", 1)
    assert main(command(place, "nowhere", "--dask", "tcp://127.0.0.1:9")) == 2
    assert "--dask tcp://127.0.0.1:9: no cluster" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert main(command(place, "nowhere", "--dask", "local")) == 2
    assert "detect-buildings[dask]" in capsys.readouterr().err
