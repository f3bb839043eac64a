"""Two commands started at once on one ``--out``: one whole result, nothing half-written, never a wait without end."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import sys
import warnings
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import geopandas as gpd
import pytest
import shapely

from detect.cli.main import main
from detect.network.weights import load_weights
from detect.results.seal import verify
from tests.conftest import GSD_M, ORIGIN_XY, WriteScene

PAIRS_PER_KIND = 5
LONGEST_WAIT_S = 120
SAME, OTHER = (), ("--threshold", "0.6", "--overwrite")


def run(argv: list[str], log: str, barrier: Any) -> None:
    """One command in a process of its own, started when its partner is ready; ends with its exit code."""
    stream = os.open(log, os.O_WRONLY | os.O_CREAT, 0o600)
    os.dup2(stream, 1)
    os.dup2(stream, 2)
    warnings.simplefilter("default")
    barrier.wait()
    sys.exit(main(argv))


@pytest.fixture(scope="module")
def processes() -> ForkServerContext:
    """Makes processes in which the package is imported already."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        pytest.skip("no fork server on this system")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["detect.runs.predict", "detect.runs.recount", __name__])
    return context


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """The shipped weights with tiles as small as the scene."""
    shipped, folder = load_weights(), tmp_path / "weights"
    folder.mkdir()
    for file in (shipped.onnx, shipped.stage_onnx):
        shutil.copy(file, folder)
    card = shipped.card | {"tile": {"core_px": 128, "halo_px": 64, "stride_px": 32}}
    (folder / f"{shipped.name}.json").write_text(json.dumps(card))
    return folder


@pytest.mark.slow
def test_twenty_pairs_at_once(processes: ForkServerContext, write_scene: WriteScene, weights: Path, tmp_path: Path) -> None:
    scene = str(write_scene())
    plot = shapely.box(ORIGIN_XY[0], ORIGIN_XY[1] - 90 * GSD_M, ORIGIN_XY[0] + 100 * GSD_M, ORIGIN_XY[1])
    gpd.GeoDataFrame({"name": ["plot"]}, geometry=[plot], crs="EPSG:32631").to_file(tmp_path / "plots.geojson")

    def predict(out: Path, *options: str) -> list[str]:
        return ["predict", scene, "--out", str(out), "--weights", str(weights), "-q", *options]

    def census(out: Path, *options: str) -> list[str]:
        return ["census", str(out / "tiny"), *options]

    def pair(name: str, *commands: list[str]) -> list[int]:
        """Exit codes."""
        barrier = processes.Barrier(len(commands))
        started = [
            processes.Process(target=run, args=(argv, str(tmp_path / f"{name}.{i}.log"), barrier))
            for i, argv in enumerate(commands)
        ]
        for process in started:
            process.start()
        for process in started:
            process.join(LONGEST_WAIT_S)
        codes = [-1 if process.exitcode is None else process.exitcode for process in started]
        for process in started:
            process.kill()
        return codes

    assert main(predict(tmp_path / "done", *SAME)) == 0
    plots = ("--sites", str(tmp_path / "plots.geojson"))
    for i in range(PAIRS_PER_KIND):
        kinds = {
            # On nothing: the same command twice; two commands that differ; a census of what is being predicted.
            "same": (predict, SAME, predict, SAME, False),
            "other": (predict, SAME, predict, OTHER, False),
            # On a result: two censuses; a census and another predict.
            "census": (census, plots, census, SAME, True),
            "both": (predict, OTHER, census, plots, bool(i % 2)),
        }
        for kind, (first, options, second, more, on_a_result) in kinds.items():
            name = f"{kind}{i}"
            out = tmp_path / name
            if on_a_result:
                shutil.copytree(tmp_path / "done", out)
            codes = pair(name, first(out, *options), second(out, *more))
            said = [(tmp_path / f"{name}.{j}.log").read_text() for j in (0, 1)]
            assert "Traceback" not in "".join(said), said
            # Who comes second may find another's result, which it leaves, or no result to count yet.
            assert set(codes) in ({0}, {0, 2}), (name, codes, said)
            if kind in ("same", "census"):
                assert codes == [0, 0], (name, said)
            for code, text in zip(codes, said, strict=True):
                if code == 2:
                    assert "holds something else already" in text or "no such folder" in text, (name, said)
            assert [p.name for p in out.iterdir()] == ["tiny"], (name, "nothing is left beside the result")
            assert verify(out) == [], name
