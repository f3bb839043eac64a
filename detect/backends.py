"""ONNX Runtime and torch behind one call: stretched values in, probabilities out."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from detect.errors import InputError
from detect.weights import Weights


class Backend(Protocol):
    """Something that runs the network."""

    def predict(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Stretched values (3, H, W) in 0–1, H and W multiples of the stride → probabilities (5, H, W)."""


def open_backend(weights: Weights, device: str = "auto", threads: int | None = None) -> Backend:
    """The backend for a device: ONNX Runtime on ``cpu``, torch on ``cuda`` or ``cuda:N``; ``auto`` takes CUDA where torch sees one.

    Raises:
        InputError: unknown device, or one that this installation cannot use.
    """
    if device == "auto":
        device = "cuda" if weights.safetensors is not None and _cuda_is_there() else "cpu"
    if device == "cpu":
        return OnnxBackend(weights, threads)
    kind, _, number = device.partition(":")
    if kind != "cuda" or (":" in device and not number.isdigit()):
        raise InputError(f"--device {device}: unknown; give auto, cpu, cuda or cuda:N")
    if not _cuda_is_there():
        raise InputError(
            f"--device {device}: no CUDA device that torch can use; install detect-buildings[train] or give --device cpu"
        )
    return TorchBackend(weights, device)


class OnnxBackend:
    """ONNX Runtime on the CPU; thread-safe."""

    def __init__(self, weights: Weights, threads: int | None = None) -> None:
        """Open a session; ``threads`` of one forward pass, default all cores."""
        import onnxruntime

        if weights.onnx is None:
            raise InputError(f"weights {weights.name}: there is no .onnx beside the card; make one with detect export")
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.use_deterministic_compute = True
        if threads:
            options.intra_op_num_threads = threads
        try:
            self._session = onnxruntime.InferenceSession(weights.onnx, options, providers=["CPUExecutionProvider"])
        except Exception as cause:  # ONNX Runtime raises classes of its own that share no base
            raise InputError(f"{weights.onnx}: ONNX Runtime cannot load it ({' '.join(str(cause).split())[:200]})") from cause
        self._mean, self._sd = _normalisation(weights)

    def predict(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """See ``Backend.predict``."""
        batch = ((values - self._mean) / self._sd)[None]  # (1, 3, H, W)
        return self._session.run(None, {"image": batch})[0][0]


class TorchBackend:
    """Torch on a CUDA device, float32 sums without TF32, so that it agrees with the CPU to 1e-3."""

    def __init__(self, weights: Weights, device: str) -> None:
        """Load the safetensors onto the device."""
        import torch

        from detect.network import load_network

        self._torch = torch
        self._device = torch.device(device)
        self._network = load_network(weights).to(self._device).to(memory_format=torch.channels_last)
        torch.backends.cudnn.deterministic = True
        self._mean, self._sd = _normalisation(weights)

    def predict(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """See ``Backend.predict``."""
        torch: Any = self._torch
        batch = torch.from_numpy((values - self._mean) / self._sd)[None].to(self._device, memory_format=torch.channels_last)
        with torch.inference_mode():
            return self._network(batch)[0].float().cpu().numpy()


class FlipAveraged:
    """Another backend, asked four times (as it is, mirrored either way, and both) and averaged: test-time augmentation."""

    def __init__(self, backend: Backend) -> None:
        """Wrap a backend."""
        self._backend = backend

    def predict(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """See ``Backend.predict``; tiles have sides of whole strides, so a mirrored tile falls on the same grid."""
        total = np.zeros((1, 1, 1), np.float32)
        for axes in ((), (1,), (2,), (1, 2)):
            turned = np.ascontiguousarray(np.flip(values, axes))
            total = total + np.flip(self._backend.predict(turned), axes)
        return total / np.float32(4)


def _normalisation(weights: Weights) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    chosen = weights.card["normalisation"]
    mean, sd = (np.asarray(chosen[k], np.float32)[:, None, None] for k in ("mean", "std"))
    return mean, sd


def _cuda_is_there() -> bool:
    try:
        import torch
    except ImportError:
        return False
    return bool(torch.cuda.is_available())
