"""Choose what computes the blocks of scenes: threads on the CPU, tile by tile, or a GPU, in batches."""

from __future__ import annotations

import os

from detect.network.backends import Backend, FlipAveraged, open_backend
from detect.network.probabilities import Runner, Threads
from detect.network.weights import Weights


def open_runner(
    weights: Weights, device: str = "auto", *, workers: int | None = None, threads: int | None = None, tta: bool = False
) -> Runner:
    """Load weights on a device of this machine.

    Args:
        weights: what to load.
        device: see ``open_backend``.
        workers: on a CPU, blocks computed at a time (default 2), which share the cores; with a GPU, threads that read, see
            ``Pipeline``.
        threads: on a CPU, threads of one forward pass (default: the cores, divided among the workers).
        tta: whether answers for mirrored tiles are averaged.

    Raises:
        InputError: see ``open_backend``.
    """
    cores = os.cpu_count() or 1
    at_a_time = workers or min(2, cores)
    backend = open_backend(weights, device, threads or max(1, cores // at_a_time))
    if isinstance(backend, Backend):
        return Threads(FlipAveraged(backend) if tta else backend, at_a_time)
    from detect.network.pipeline import Pipeline

    if tta:
        backend.average_flips()
    return Pipeline(backend, workers)
