"""Choose what computes the blocks of scenes: threads on the CPU, tile by tile, or a GPU, in batches."""

from __future__ import annotations

import os

from detect.base.memory import trim
from detect.network.backends import Backend, FlipAveraged, open_backend
from detect.network.probabilities import Runner, Threads
from detect.network.weights import Weights


def open_runner(
    weights: Weights,
    device: str = "auto",
    *,
    workers: int | None = None,
    threads: int | None = None,
    tta: bool = False,
    processes: int = 1,
) -> Runner:
    """Load weights on a device of this machine.

    Args:
        weights: what to load.
        device: see ``open_backend``.
        workers: on a CPU, blocks computed at a time (default 2), which share the cores; with a GPU, threads that read, see
            ``Pipeline``.
        threads: on a CPU, threads of one forward pass (default: the cores, divided among the workers).
        tta: whether answers for mirrored tiles are averaged.
        processes: how many processes share the cores.

    Raises:
        InputError: see ``open_backend``.
    """
    cores = max(1, (os.cpu_count() or 1) // processes)
    at_a_time = workers or min(2, cores)
    backend = open_backend(weights, device, threads or max(1, cores // at_a_time))
    trim()  # opening a network takes several times its memory
    if isinstance(backend, Backend):
        return Threads(FlipAveraged(backend) if tta else backend, at_a_time)
    from detect.network.pipeline import Pipeline

    if tta:
        backend.average_flips()
    return Pipeline(backend, workers)
