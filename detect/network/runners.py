"""Choose what computes the blocks of scenes: threads on the CPU, tile by tile, or a GPU, in batches."""

from __future__ import annotations

import os

from detect.base.memory import trim
from detect.network.backends import Backend, FlipAveraged, InTurn, open_backend
from detect.network.probabilities import Runner, Threads
from detect.network.weights import Weights

THREADS_PER_PASS = 2
"""With so many threads, a forward pass takes hardly more core-seconds than with one."""


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
        threads: on a CPU, threads of one forward pass (default: the cores, divided among the passes at a time).
        tta: whether answers for mirrored tiles are averaged.
        processes: how many processes share the cores.

    Raises:
        InputError: see ``open_backend``.
    """
    cores = max(1, (os.cpu_count() or 1) // processes)
    at_a_time = workers or min(2, cores)
    # While one tile is in the network, others are read and stored: more passes at a time would only need more memory.
    passes = at_a_time if threads else max(1, min(at_a_time, cores // THREADS_PER_PASS))
    backend = open_backend(weights, device, threads or cores // passes)
    trim()  # opening a network takes several times its memory
    if isinstance(backend, Backend):
        return Threads(InTurn(FlipAveraged(backend) if tta else backend, passes), at_a_time)
    from detect.network.pipeline import Pipeline

    if tta:
        backend.average_flips()
    return Pipeline(backend, workers)
