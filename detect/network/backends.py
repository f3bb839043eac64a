"""Open the network on a device: ONNX Runtime on the CPU, tile by tile, or torch on a GPU, in batches."""

from __future__ import annotations

import ctypes
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from detect.base.errors import InputError
from detect.base.grid import NO_MARGINS, Margins
from detect.network.sessions import MARGINS, SEEN, cpu_session, give_back, loading
from detect.network.weights import Weights

if TYPE_CHECKING:
    from detect.network.device import TorchBackend


@runtime_checkable
class Backend(Protocol):
    """Something that runs the network tile by tile; thread-safe."""

    def predict(
        self, values: NDArray[np.float32], margins: Margins = NO_MARGINS, seen: NDArray[np.bool_] | None = None
    ) -> NDArray[np.float32]:
        """Probabilities of what lies inside the margins, (5, h, w).

        Args:
            values: stretched, (3, H, W) in 0–1; H and W multiples of the stride.
            margins: multiples of the stride.
            seen: (H, W) where the scene is shown (``SceneReader.shown``), None: everywhere. Elsewhere the values do not matter: the
                network sees nothing there, as beyond the edges of ``values``.
        """

    def rest(self) -> None:
        """Give back memory until the next call."""


class OnnxBackend:
    """ONNX Runtime on the CPU; thread-safe."""

    def __init__(self, weights: Weights, threads: int | None = None) -> None:
        """Check that the file loads; ``threads`` per forward pass, default all cores."""
        if weights.onnx is None:
            raise InputError(f"weights {weights.name}: there is no .onnx beside the card; make one with detect export")
        self._path, self._stride_px, self._threads = weights.onnx, weights.lattice.stride_px, threads
        self._mean, self._sd = normalisation(weights)
        self._opened: dict[bool, Any] = {}
        self._lock = threading.Lock()
        self._session(with_holes=False)

    def predict(
        self, values: NDArray[np.float32], margins: Margins = NO_MARGINS, seen: NDArray[np.bool_] | None = None
    ) -> NDArray[np.float32]:
        """See ``Backend.predict``."""
        batch = np.subtract(values, self._mean, dtype=np.float32)[None]  # (1, 3, H, W)
        batch /= self._sd
        given = {"image": batch, MARGINS: np.array(margins)}
        if seen is not None:
            given[SEEN] = seen[None, None].astype(np.float32)
        return self._session(with_holes=seen is not None).run(None, given)[0][0]

    def rest(self) -> None:
        """See ``Backend.rest``: a session keeps as much memory as its largest tile needed."""
        with self._lock:
            for with_holes, session in self._opened.items():
                least = np.zeros((1, 3, self._stride_px, self._stride_px), np.float32)
                holes = {SEEN: least[:, :1]} if with_holes else {}
                with suppress(Exception):  # a network for tiles of one size keeps its memory
                    give_back(session, {"image": least, MARGINS: np.array(NO_MARGINS)} | holes)
            self._opened.clear()  # it takes less time to open one than a tile

    def _session(self, *, with_holes: bool) -> Any:
        from detect.network.graphs import core_graph

        with self._lock, loading(self._path):
            if with_holes not in self._opened:
                graph = core_graph(self._path, self._stride_px, with_holes=with_holes)
                # A memory pattern plans for one size of tile and needs a quarter more memory.
                self._opened[with_holes] = cpu_session(graph, self._threads, tight=True, enable_mem_pattern=False)
            return self._opened[with_holes]


class FlipAveraged:
    """Test-time augmentation: the mean of another backend's answers for a tile mirrored in no, either, and both directions."""

    def __init__(self, backend: Backend) -> None:
        """Wrap a backend."""
        self._backend = backend

    def predict(
        self, values: NDArray[np.float32], margins: Margins = NO_MARGINS, seen: NDArray[np.bool_] | None = None
    ) -> NDArray[np.float32]:
        """See ``Backend.predict``; sides of tiles are multiples of the stride, so a mirrored tile has the same grid."""
        total = np.zeros((1, 1, 1), np.float32)
        for axes in ((), (1,), (2,), (1, 2)):
            turned = np.ascontiguousarray(np.flip(values, axes))
            around = margins.mirrored(rows=1 in axes, cols=2 in axes)
            there = None if seen is None else np.flip(seen, tuple(axis - 1 for axis in axes))
            total = total + np.flip(self._backend.predict(turned, around, there), axes)
        return total / np.float32(4)

    def rest(self) -> None:
        """See ``Backend.rest``."""
        self._backend.rest()


def _on_gpu(weights: Weights, device: str, threads: int | None) -> TorchBackend:
    if not _cuda_is_there():
        raise InputError(
            f"--device {device}: no CUDA device that torch can use; install detect-buildings[gpu] or give --device cpu"
        )
    from detect.network.device import TorchBackend

    return TorchBackend(weights, device)


BACKENDS: dict[str, Callable[[Weights, str, int | None], Backend | TorchBackend]] = {
    "cpu": lambda weights, device, threads: OnnxBackend(weights, threads),
    "cuda": _on_gpu,
}
"""The backend of each kind of device; called with weights, the device as the user wrote it, and the threads per forward pass. A
new backend is a class with the methods of ``Backend``, and a row here."""


def open_backend(weights: Weights, device: str = "auto", threads: int | None = None) -> Backend | TorchBackend:
    """The backend for a device: ONNX Runtime on ``cpu``, torch on ``cuda`` or ``cuda:N``; ``detect.network.runners`` runs either.

    Raises:
        InputError: unknown device, or one that this installation cannot use.
    """
    device = resolved(weights, device)
    return BACKENDS[known_device(device).partition(":")[0]](weights, device, threads)


def resolved(weights: Weights, device: str) -> str:
    """A device in place of ``auto``: CUDA where torch sees a device and the weights are not in 8-bit integers."""
    if device != "auto":
        return device
    from detect.network.tensors import is_quantised

    return "cuda" if _cuda_is_there() and not is_quantised(weights) else "cpu"


def known_device(device: str) -> str:
    """``auto``, or a key of ``BACKENDS``; all but ``cpu`` may have a number, such as ``cuda:1``.

    Raises:
        InputError: it is something else.
    """
    kind, colon, number = device.partition(":")
    numbered = [f"{name}:N" for name in BACKENDS if name != "cpu"]
    if device != "auto" and (kind not in BACKENDS or (colon and (f"{kind}:N" not in numbered or not number.isdecimal()))):
        raise InputError(f"'{device}' is not one of {', '.join(['auto', *BACKENDS, *numbered])}")
    return device


def normalisation(weights: Weights) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and standard deviation (3, 1, 1) of each band, by which stretched values are scaled for the network."""
    chosen = weights.card.normalisation
    mean, sd = (np.asarray(values, np.float32)[:, None, None] for values in (chosen.mean, chosen.std))
    return mean, sd


def _cuda_is_there() -> bool:
    try:
        # Without a driver there is no device; torch would find this too, but takes seconds and some hundred megabytes.
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
        import torch
    except (ImportError, OSError):
        return False
    return bool(torch.cuda.is_available())
