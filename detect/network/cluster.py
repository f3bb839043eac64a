"""Blocks, and the scenes of a collection, as tasks on a Dask cluster: many machines, the same bytes.

Each worker process opens the weights once, computes blocks with all its threads or its GPU, and writes each block's file straight into the
work folder, which all machines share. Of a single scene, this process learns that a block has ended, joins the blocks and writes the
result. Of several, each is a task too: a worker has its blocks computed by all workers, joins them and writes the result. If a worker
dies, Dask gives its unfinished tasks to others.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from detect.base.errors import InputError
from detect.base.resources import resource_path
from detect.network.backends import known_device, resolved
from detect.network.lattice import Block
from detect.network.probabilities import Runner, Threads, compute_block
from detect.network.runners import open_runner
from detect.network.weights import Weights, load_weights
from detect.scene.scene import Scene, WorkGrid

_Task = TypeVar("_Task")
_Answer = TypeVar("_Answer")
_TRIES = 2
_BLOCKS_ON_GPU = (16, 256)
"""Fewest and most blocks of a task on a GPU: some batches, so that reading and computing overlap."""
_GPU = threading.Lock()
"""The GPU of a worker process computes one task at a time, whatever threads the worker has."""
_SECONDS_TO_CONNECT = 20
_ANY_PORT = ":0"
"""Of the dashboard: the usual one may be taken."""


class DaskCluster:
    """A cluster that runs elsewhere, or one of processes on this machine; use as a context manager."""

    def __init__(self, address: str, weights: Weights, *, device: str, tta: bool, workers: int | None = None) -> None:
        """Connect.

        Args:
            address: address of a scheduler, such as ``tcp://10.0.0.1:8786``, or ``local`` for processes on this machine.
            weights: every worker must find the same weights under the same name or path.
            device: where each worker computes.
            tta: whether mirrored reads are averaged.
            workers: number of processes of a ``local`` cluster, default one per core, or one per GPU; ignored for other clusters.

        Raises:
            InputError: Dask is not installed, or nothing answers at the address.
        """
        try:
            import distributed
        except ImportError as cause:
            raise InputError("--dask: distributed is not installed; run: pip install 'detect-buildings[dask]'") from cause
        self.kind = known_device(resolved(weights, device)).partition(":")[0]
        self._what = (findable(weights), weights.sha256, device, tta)
        self._open = ExitStack()
        try:
            if address == "local":
                address = self._open.enter_context(
                    _gpus_here(workers) if self.kind == "cuda" and ":" not in device else _processes_here(workers)
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

    def rest(self) -> None:
        """See ``detect.network.probabilities.Runner``: workers keep their memory for the next scene."""

    def run(self, blocks: list[Block], scene: Scene, grid: WorkGrid, folder: Path) -> Generator[tuple[Block, Exception | None]]:
        """See ``detect.network.probabilities.Runner``; the cluster has a few tasks per thread at a time."""
        yield from _blocks_on(self._client, blocks, scene, grid, folder, self.kind, self._what)

    def answers(
        self,
        tasks: Sequence[_Task],
        work: Callable[[_Task, Any, OnWorker], _Answer],
        shared: Any,
        instead: Callable[[_Task], _Answer],
    ) -> Generator[_Answer]:
        """The answers of the workers to tasks, in their order.

        Args:
            tasks: to do; they and their answers are pickled.
            work: a function of a module: does a task, given what all tasks share, and what computes blocks there. It may wait: it has
                left its place among the worker's threads.
            shared: second argument of ``work``.
            instead: does a task here whose workers died again and again.
        """
        from distributed import KilledWorker

        runner, done, following = OnWorker(self.kind, self._what), dict[int, _Answer](), 0
        # Blocks come before further scenes, so that few scenes are in progress at a time.
        for number, future in _flow(self._client, _aside, [(work, task, shared, runner) for task in tasks], priority=-1):
            try:
                done[number] = future.result()
            except KilledWorker:
                done[number] = instead(tasks[number])
            while following in done:
                yield done.pop(following)
                following += 1


@dataclass(frozen=True)
class OnWorker:
    """Computes the blocks of a scene that is itself a task of a cluster, on all of its workers."""

    kind: str
    what: tuple[Any, ...]
    """Arguments of ``_runner``."""

    def rest(self) -> None:
        """See ``detect.network.probabilities.Runner``."""

    def run(self, blocks: list[Block], scene: Scene, grid: WorkGrid, folder: Path) -> Generator[tuple[Block, Exception | None]]:
        """See ``detect.network.probabilities.Runner``."""
        from distributed import worker_client

        with worker_client(separate_thread=False) as client:  # the task has left its thread to the blocks already
            yield from _blocks_on(client, blocks, scene, grid, folder, self.kind, self.what)


def _aside(work: Callable[[_Task, Any, OnWorker], _Answer], task: _Task, shared: Any, runner: OnWorker) -> _Answer:
    from distributed import secede

    secede()
    return work(task, shared, runner)


def _blocks_on(
    client: Any, blocks: list[Block], scene: Scene, grid: WorkGrid, folder: Path, kind: str, what: tuple[Any, ...]
) -> Generator[tuple[Block, Exception | None]]:
    shared = (scene.anywhere(), grid, folder.resolve())  # small; data that is scattered is lost with the worker that holds it
    shares = _shares(blocks, kind, sum(client.nthreads().values()))
    for number, future in _flow(client, _work, [(share, shared, *what) for share in shares], retries=_TRIES - 1):
        share, cause = shares[number], future.exception()
        errors = future.result() if cause is None else [cause] * len(share)
        future.release()
        yield from zip(share, errors, strict=True)


def _flow(client: Any, function: Callable[..., Any], calls: Iterable[tuple[Any, ...]], **how: Any) -> Generator[tuple[int, Any]]:
    """Numbers and futures of calls as they end; the cluster has two calls per thread at a time."""
    from distributed import as_completed

    queue, numbers, ended = enumerate(calls), dict[str, int](), as_completed([])

    def submit(number: int, call: tuple[Any, ...]) -> None:
        future = client.submit(function, *call, pure=False, **how)
        numbers[future.key] = number
        ended.add(future)

    for _, (number, call) in zip(range(max(1, 2 * sum(client.nthreads().values()))), queue, strict=False):
        submit(number, call)
    for future in ended:
        if (following := next(queue, None)) is not None:
            submit(*following)
        yield numbers.pop(future.key), future


def _shares(blocks: list[Block], kind: str, threads: int) -> list[list[Block]]:
    """The blocks of each task: one on a CPU, more on a GPU, but enough tasks for all workers."""
    fewest, most = _BLOCKS_ON_GPU if kind == "cuda" else (1, 1)
    size = max(fewest, min(most, len(blocks) // (4 * max(1, threads))))
    return [blocks[i : i + size] for i in range(0, len(blocks), size)]


def _processes_here(workers: int | None) -> Any:
    """A cluster of processes on this machine, one per core."""
    import distributed

    return distributed.LocalCluster(
        n_workers=workers or os.cpu_count(), threads_per_worker=1, dashboard_address=_ANY_PORT, silence_logs=logging.ERROR
    )


def _gpus_here(workers: int | None) -> Any:
    """A cluster of processes on this machine, each of which sees one GPU."""
    import distributed
    import torch

    environments = one_gpu_each(torch.cuda.device_count(), os.environ.get("CUDA_VISIBLE_DEVICES"))[:workers]
    return distributed.SpecCluster(
        workers={
            i: {"cls": distributed.Nanny, "options": {"nthreads": 1, "env": env, "silence_logs": logging.ERROR}}
            for i, env in enumerate(environments)
        },
        scheduler={"cls": distributed.Scheduler, "options": {"dashboard_address": _ANY_PORT}},
        silence_logs=logging.ERROR,
    )


def one_gpu_each(count: int, visible: str | None) -> list[dict[str, str]]:
    """The environment of a process for each of the GPUs that this process sees (``visible``: its own ``CUDA_VISIBLE_DEVICES``)."""
    names = [name.strip() for name in visible.split(",")] if visible else [str(i) for i in range(count)]
    return [{"CUDA_VISIBLE_DEVICES": name} for name in names[:count]]


def findable(weights: Weights) -> str:
    """The name of shipped weights, since a worker may have the package elsewhere; else the path of the file."""
    file = (weights.onnx or weights.safetensors or Path(weights.name)).resolve()
    return weights.name if file.parent == resource_path("weights").resolve() else str(file)


def _work(blocks: list[Block], shared: tuple[Scene, WorkGrid, Path], *what: Any) -> list[Exception | None]:
    """Compute blocks on a worker; the error of each, or None. Dask tries them again if it raises."""
    scene, grid, folder = shared
    runner = _runner(*what)
    if isinstance(runner, Threads):
        with scene.reader(grid) as reader:
            for block in blocks:
                compute_block(block, reader, runner.backend, folder)
        return [None] * len(blocks)
    with _GPU:
        errors = {block.index: error for block, error in runner.run(blocks, scene, grid, folder)}
    return [errors[block.index] for block in blocks]


@lru_cache(maxsize=1)
def _runner(path: str, sha256: str, device: str, tta: bool) -> Runner:
    """What computes in a worker process; on a CPU with one thread per pass, as Dask runs as many blocks at a time as it has threads."""
    weights = load_weights(path)
    if weights.sha256 != sha256:
        raise InputError(f"weights {path}: this worker has others under that name; install the same everywhere")
    return open_runner(weights, device, threads=1, tta=tta)
