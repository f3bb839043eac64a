"""What a Dask cluster is asked for; tests/smoke/test_kills.py runs one."""

from __future__ import annotations

from collections.abc import Callable, Generator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from detect.base.grid import Margins
from detect.network import cluster
from detect.network.cluster import one_gpu_each
from detect.network.lattice import Block, Lattice
from detect.network.probabilities import Threads
from detect.scene.scene import Scene, WorkGrid, open_scene

BLOCKS = list(Lattice(32, 32, 32).blocks((96, 160), 32))  # 15


@pytest.mark.parametrize(
    ("blocks", "kind", "threads", "sizes"),
    [(15, "cpu", 4, [1] * 15), (15, "cuda", 4, [15]), (400, "cuda", 4, [25] * 16), (3000, "cuda", 1, [256] * 11 + [184])],
)
def test_a_gpu_gets_some_batches_a_task_and_every_worker_some_tasks(
    blocks: int, kind: str, threads: int, sizes: list[int]
) -> None:
    shares = cluster._shares([BLOCKS[0]] * blocks, kind, threads)
    assert [len(share) for share in shares] == sizes


@pytest.mark.parametrize(
    ("visible", "names"), [(None, ["0", "1"]), ("", ["0", "1"]), ("3,5", ["3", "5"]), ("GPU-a, GPU-b", ["GPU-a", "GPU-b"])]
)
def test_each_process_sees_one_gpu(visible: str | None, names: list[str]) -> None:
    assert one_gpu_each(2, visible) == [{"CUDA_VISIBLE_DEVICES": name} for name in names]


def test_a_worker_with_a_gpu_says_how_each_block_ended(tiny_scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Gpu:
        """Blocks end in another order than they were given."""

        def run(
            self, blocks: list[Block], scene: Scene, grid: WorkGrid, folder: Path
        ) -> Generator[tuple[Block, Exception | None]]:
            yield from ((block, ValueError(str(block.index)) if block.index == 1 else None) for block in reversed(blocks))

    monkeypatch.setattr(cluster, "_runner", lambda *what: Gpu())
    scene = open_scene(tiny_scene)
    first, second, third = cluster._work(BLOCKS[:3], (scene, scene.work_grid(0.5), tmp_path))
    assert (first, third) == (None, None) and str(second) == "1"


def test_a_worker_on_a_cpu_leaves_its_errors_to_dask(tiny_scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(values: NDArray[np.float32], margins: Margins, seen: object) -> NDArray[np.float32]:
        return np.full((5, 32, 32), 0.5, np.float32)

    def fail(*_: object) -> NDArray[np.float32]:
        raise RuntimeError("a cosmic ray")

    def use(predict: Callable[..., NDArray[np.float32]]) -> None:
        backend = type("Toy", (), {"predict": staticmethod(predict), "rest": lambda self: None})()
        monkeypatch.setattr(cluster, "_runner", lambda *what: Threads(backend))

    scene = open_scene(tiny_scene)
    (tmp_path / "blocks").mkdir()
    shared = (scene, scene.work_grid(0.5), tmp_path)
    use(answer)
    assert cluster._work([BLOCKS[4]], shared) == [None]
    assert [p.name for p in (tmp_path / "blocks").iterdir()] == ["0000004.npy"]
    use(fail)
    with pytest.raises(RuntimeError, match="cosmic"):
        cluster._work([BLOCKS[5]], shared)
