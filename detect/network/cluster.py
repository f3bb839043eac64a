"""Blocks as tasks on a Dask cluster: many machines, the same bytes.

Each worker process opens the weights and the scene once, computes blocks with all its threads, and writes each block's file straight into
the work folder, which all machines share. This process only learns that a block has ended, so its memory does not depend on the
size of the scene. If a worker dies, Dask gives its unfinished blocks to others.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Generator
from contextlib import ExitStack
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from detect.base.errors import InputError
from detect.base.resources import resource_path
from detect.network.backends import Backend, FlipAveraged, open_backend
from detect.network.lattice import Block
from detect.network.probabilities import compute_block
from detect.network.weights import Weights, load_weights
from detect.scene.scene import Scene, WorkGrid

_TRIES = 2
_SECONDS_TO_CONNECT = 20


class DaskCluster:
    """A cluster that runs elsewhere, or one of processes on this machine; use as a context manager."""

    def __init__(self, address: str, weights: Weights, *, device: str, tta: bool, workers: int | None = None) -> None:
        """Connect.

        Args:
            address: address of a scheduler, such as ``tcp://10.0.0.1:8786``, or ``local`` for processes on this machine.
            weights: every worker must find the same weights under the same name or path.
            device: where each worker computes.
            tta: whether mirrored reads are averaged.
            workers: number of processes of a ``local`` cluster, default one per core; ignored for other clusters.

        Raises:
            InputError: Dask is not installed, or nothing answers at the address.
        """
        try:
            import distributed
        except ImportError as cause:
            raise InputError("--dask: distributed is not installed; run: pip install 'detect-buildings[dask]'") from cause
        self._what = (_findable(weights), weights.sha256, device, tta)
        self._open = ExitStack()
        try:
            if address == "local":
                address = self._open.enter_context(
                    distributed.LocalCluster(
                        n_workers=workers or os.cpu_count(),
                        threads_per_worker=1,
                        dashboard_address=":0",  # any free port: the usual one may be taken
                        silence_logs=logging.ERROR,
                    )
                ).scheduler_address
            self._client = self._open.enter_context(distributed.Client(address, timeout=_SECONDS_TO_CONNECT))
            self._client.wait_for_workers(1, timeout=_SECONDS_TO_CONNECT)
        except (OSError, ValueError, TimeoutError) as cause:
            self._open.close()
            raise InputError(
                f"--dask {address}: no cluster with workers answers there ({type(cause).__name__}); give the scheduler's "
                "address, such as tcp://10.0.0.1:8786, or local"
            ) from cause

    def __enter__(self) -> DaskCluster:
        """The cluster itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Disconnect; a local cluster is shut down."""
        self._open.close()

    def run(self, blocks: list[Block], scene: Scene, grid: WorkGrid, folder: Path) -> Generator[tuple[Block, Exception | None]]:
        """See ``detect.network.probabilities.Runner``; the cluster has a few blocks per thread at a time."""
        from distributed import as_completed

        if Path(scene.path).exists():  # workers may run in another folder
            scene = replace(scene, path=str(Path(scene.path).resolve()))
        [shared] = self._client.scatter([(scene, grid, folder.resolve())], broadcast=True)
        queue = iter(blocks)
        flying: dict[str, Block] = {}

        def submit(block: Block) -> Any:
            future = self._client.submit(_work, block, shared, *self._what, retries=_TRIES - 1, pure=False)
            flying[future.key] = block
            return future

        ended = as_completed([])
        for _, block in zip(range(2 * sum(self._client.nthreads().values())), queue, strict=False):
            ended.add(submit(block))
        for future in ended:
            block = flying.pop(future.key)
            cause = future.exception()
            future.release()
            if (following := next(queue, None)) is not None:
                ended.add(submit(following))
            yield block, cause


def _findable(weights: Weights) -> str:
    """The name of shipped weights, since a worker may have the package elsewhere; else the path of the file."""
    file = (weights.onnx or weights.safetensors or Path(weights.name)).resolve()
    return weights.name if file.parent == resource_path("weights").resolve() else str(file)


def _work(block: Block, shared: tuple[Scene, WorkGrid, Path], *what: Any) -> None:
    """Compute one block on a worker."""
    scene, grid, folder = shared
    with scene.reader(grid) as reader:
        compute_block(block, reader, _backend(*what), folder)


@lru_cache(maxsize=1)
def _backend(path: str, sha256: str, device: str, tta: bool) -> Backend:
    """The backend of a worker process, with one thread per pass: Dask runs as many blocks at a time as it has threads."""
    weights = load_weights(path)
    if weights.sha256 != sha256:
        raise InputError(f"weights {path}: this worker has others under that name; install the same everywhere")
    backend = open_backend(weights, device, 1)
    return FlipAveraged(backend) if tta else backend
