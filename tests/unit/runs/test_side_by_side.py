"""Scenes of a call as tasks of a Dask cluster, here one of threads of this process."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from affine import Affine

import detect
from detect.base.errors import DetectError
from detect.runs import predict
from tests.conftest import GSD_M, ORIGIN_XY, WriteScene

# Threads of one process turn this warning off and on in any order; workers of a cluster are processes.
pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
WHOLE = ("mask.tif", "probability.tif", "stage.tif", "buildings.parquet", "buildings.kmz")


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        processes=False, n_workers=2, threads_per_worker=1, dashboard_address=None, protocol="inproc://"
    ) as local:
        yield local.scheduler_address


@pytest.fixture
def scenes(write_scene: WriteScene) -> list[Path]:
    """Three scenes; the first two share ground."""
    west, north = ORIGIN_XY
    places = [Affine(GSD_M, 0, west + east_m, 0, -GSD_M, north) for east_m in (0, 20, 5000)]
    return [write_scene(name=f"{i}.tif", transform=place) for i, place in enumerate(places)]


def contents(out: Path) -> dict[str, Any]:
    """Bytes of the files, and what the summary counts. A GeoPackage holds the time at which its styles were written."""
    found: dict[str, Any] = {str(p.relative_to(out)): p.read_bytes() for p in sorted(out.glob("*/*")) if p.name in WHOLE}
    for path in sorted(out.glob("*/summary.json")):
        summary = json.loads(path.read_text(encoding="utf-8"))
        found[path.parent.name] = [summary["total"], summary["warnings"], summary["run"], summary["blocks"]]
    return found


def test_scenes_are_computed_side_by_side_by_the_workers(
    scenes: list[Path], cluster: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = detect.predict(scenes, tmp_path / "plain")
    both, opened, here = threading.Barrier(2, timeout=60), predict.open_job, threading.main_thread()

    def together(*arguments: Any, **options: Any) -> Any:
        if threading.current_thread() is not here:
            both.wait()  # breaks unless both groups of scenes are in progress at a time
        return opened(*arguments, **options)

    monkeypatch.setattr(predict, "open_job", together)
    monkeypatch.chdir(tmp_path)
    said: list[tuple[str, int, int]] = []
    results = detect.predict(scenes, "dask", dask=cluster, progress=lambda *step: said.append(step))
    assert [r.folder for r in results] == [Path("dask", str(i)) for i in range(3)]
    assert [len(r.buildings) for r in results] == [len(r.buildings) for r in plain]
    assert sum(len(r.buildings) for r in results) > 4
    assert contents(tmp_path / "dask") == contents(tmp_path / "plain")
    assert [step for step in said if step[1:] == (1, 1) and step[0].endswith("files")] == [
        (f"{i}: files", 1, 1) for i in range(3)
    ]
    assert not list((tmp_path / "dask").glob(".*.work"))


def test_a_scene_that_fails_on_a_worker_does_not_stop_the_others(scenes: list[Path], cluster: str, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/2").write_text("a file where a folder should be")
    with pytest.raises(DetectError, match="2") as failed:
        detect.predict(scenes, tmp_path / "out", dask=cluster)
    assert [r.folder.name for r in failed.value.results] == ["0", "1"]
