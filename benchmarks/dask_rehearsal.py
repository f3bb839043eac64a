"""A rehearsal of a cluster on this machine: many small scenes by worker processes of which two are killed, against one process on one core.

    python benchmarks/dask_rehearsal.py [--scenes N] [--workers N] [--kills N]

Scenes of 256 to 512 px at 0.5 m, cut from drawn compounds, lie apart. One process computes them on one core. Then a Dask cluster of worker
processes with one thread each computes them, and some workers are killed (SIGKILL) once they have finished a few scenes. The files of both
must be the same, byte by byte. Told are seconds, core-seconds, and how much of linear the cluster reaches: its
scenes a second against those of one core times the cores, or times the workers if there are fewer. Core-seconds depend less on what else
the machine does: ``of_linear_cpu`` is the ratio of those. Worker processes are started before the clock. Writes
benchmarks/results/dask_rehearsal.json; the exit code is 1 if a file differs.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import rasterio
from affine import Affine
from rasterio.windows import Window

from detect.simulate import simulate_compounds

RESULTS = Path(__file__).parent / "results" / "dask_rehearsal.json"
COMPARED = ("mask.tif", "probability.tif", "stage.tif", "buildings.parquet", "buildings.kmz")
SIDES_PX = (256, 512)
APART_M = 1000.0


def main() -> int:
    """Print and keep the report; 1 if a file differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=64)
    parser.add_argument("--workers", type=int, default=4, help="processes")
    parser.add_argument("--kills", type=int, default=2)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        scenes = cut_scenes(folder / "scenes", given.scenes)
        one = timed([*map(str, scenes), "--out", str(folder / "one"), "--workers", "1"], core=0)
        many, killed = on_cluster(folder, scenes, given.workers, given.kills)
        differ = differences(folder / "one", folder / "many", [scene.stem for scene in scenes])
    cores = min(os.cpu_count() or 1, given.workers)
    told = {
        "scenes": len(scenes),
        "cores": os.cpu_count(),
        "workers": given.workers,
        "killed": killed,
        "one process on one core": one,
        "cluster": many,
        "of_linear": round(one["seconds"] / many["seconds"] / cores, 2),
        "of_linear_cpu": round(one["cpu"] / many["cpu"], 2),
        "differ": differ,
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(told, indent=1))
    return int(bool(differ) or killed < given.kills)


def cut_scenes(folder: Path, count: int) -> list[Path]:
    """Scenes of several sizes from drawn compounds, each on ground of its own."""
    rng, scenes = np.random.default_rng(1), list[Path]()
    folder.mkdir()
    for seed in range(count):
        (drawn,), _ = simulate_compounds(folder / f"drawn{seed}", seed=seed, preset="rows")
        with rasterio.open(drawn) as raster:
            for _ in range(4):
                if len(scenes) == count:
                    return scenes
                side = min(*raster.shape, int(rng.integers(*SIDES_PX, endpoint=True)))
                row, col = (int(rng.integers(0, n - side, endpoint=True)) for n in raster.shape)
                place = Affine.translation(APART_M * len(scenes), 0) @ raster.transform @ Affine.translation(col, row)
                scenes.append(folder / f"scene_{len(scenes):03d}.tif")
                profile = {
                    "driver": "GTiff",
                    "dtype": "uint8",
                    "count": 3,
                    "crs": raster.crs,
                    "transform": place,
                    "compress": "deflate",
                }
                with rasterio.open(scenes[-1], "w", height=side, width=side, **profile) as out:
                    out.write(raster.read(window=Window(col, row, side, side)))
                    out.update_tags(**raster.tags())
    return scenes


def on_cluster(folder: Path, scenes: list[Path], workers: int, kills: int) -> tuple[dict[str, float], int]:
    """What ``timed`` says of a cluster with its workers, and how many of them were killed on the way."""
    import distributed

    with distributed.LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None) as cluster:
        with distributed.Client(cluster) as client:
            client.run(warm_up)
            pids = list(client.run(os.getpid).values())
        spent, out = list[float](), folder / "many"

        def kill() -> None:
            for number, pid in enumerate(pids[:kills], start=1):
                while len(list(out.glob("[!.]*/summary.json"))) < number * len(scenes) // (kills + 2):
                    time.sleep(0.05)
                spent.append(sum(psutil.Process(pid).cpu_times()[:2]))
                os.kill(pid, signal.SIGKILL)

        killer = threading.Thread(target=kill, daemon=True)
        killer.start()
        arguments = [*map(str, scenes), "--out", str(out), "--dask", cluster.scheduler_address]
        told = timed(arguments, also=lambda: sum(spent) + cpu_of_children())
    return told, len(spent)


def warm_up() -> None:
    """Import in a worker what it needs for the first scene."""
    import detect.runs.predict  # noqa: F401


def cpu_of_children() -> float:
    """Core-seconds that the worker processes have spent which are alive."""
    return sum(sum(process.cpu_times()[:2]) for process in psutil.Process().children(recursive=True))


def timed(arguments: list[str], core: int | None = None, also: Callable[[], float] = lambda: 0.0) -> dict[str, Any]:
    """Seconds and core-seconds of ``detect predict``, on one core if it is named, and of what ``also`` counts."""
    before, began = also(), time.perf_counter()
    command = [sys.executable, "-m", "detect", "predict", *arguments, "-q"]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, preexec_fn=None if core is None else lambda: os.sched_setaffinity(0, {core})
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(process.returncode)
    cpu = usage.ru_utime + usage.ru_stime + also() - before
    return {"seconds": round(time.perf_counter() - began, 1), "cpu": round(cpu, 1)}


def differences(one: Path, many: Path, names: list[str]) -> list[str]:
    """Files that are not the same in two folders of results."""
    paths = [Path(name, file) for name in names for file in COMPARED]
    return [str(path) for path in paths if (one / path).read_bytes() != (many / path).read_bytes()]


if __name__ == "__main__":
    raise SystemExit(main())
