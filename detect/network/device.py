"""Run the network on a GPU: batches of tiles go up as bytes, and the bytes of their cores come down, while the next batch computes.

Resampling, stretch, network, activations and rounding run on the device. A batch always has the same shape, whose unused places are
zeros, so the bytes of a tile depend neither on the tiles beside it nor on which worker read it.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from detect.base.errors import DetectError, InputError
from detect.base.values import TOP
from detect.network.inference import core_network
from detect.network.model import to_probabilities
from detect.network.weights import Weights
from detect.scene.resample import MOST_TAPS, Taps

BATCH = 8
"""Tiles computed at a time."""
GRAPH_FROM_TILES = 64
"""Scenes of so many tiles are computed by a CUDA graph: its capture takes as long as a few batches, then the threads that read have the
processor to themselves."""
_ROUND_PX = 64  # sizes of native windows are rounded up to it, so that scenes of nearly the same pixel share a graph
_FLIPS = ((), (2,), (3,), (2, 3))


class DeviceError(DetectError):
    """A GPU failed; finished blocks are kept."""


@dataclass(frozen=True)
class TileInput:
    """What a device needs to compute a tile."""

    pixels: NDArray[np.uint8]
    """(3, h, w) as stored."""
    rows: Taps
    cols: Taps
    stretch: NDArray[np.float32]
    """(7,), see ``SceneReader.stretch_of_native``."""


class Answers:
    """A batch that is being computed."""

    def __init__(self, heads: Tensor, finite: Tensor, wait: Callable[[], None], kept: object) -> None:
        """Take tensors on the host that hold the answers after ``wait``; ``kept`` must live until then."""
        self._heads, self._finite, self._wait, self._kept = heads, finite, wait, kept

    def get(self) -> list[NDArray[np.uint8] | None]:
        """Wait; for each tile its heads (5, core, core) as stored, None where the network gave values that are not numbers."""
        self._wait()
        self._kept = None
        heads, finite = self._heads.numpy(), self._finite.tolist()
        return [one if good else None for one, good in zip(heads, finite, strict=True)]


class TorchBackend:
    """The network in torch on one device, for one thread.

    On a GPU in float16. Its limit is far from the activations, which stay below 10³, and its steps are eight times finer than those of
    bfloat16, which loses buildings in blurred images. The CPU in float32 stands in for a GPU in tests.
    """

    def __init__(self, weights: Weights, device: str, *, dtype: torch.dtype | None = None, batch: int = BATCH) -> None:
        """Load the network onto the device: ``cuda``, ``cuda:N`` or ``cpu``.

        Raises:
            InputError: torch cannot use the device.
        """
        self.device, self.batch = torch.device(device), batch
        self._cuda = self.device.type == "cuda"
        if self._cuda and (self.device.index or 0) >= torch.cuda.device_count():
            raise InputError(f"--device {device}: torch finds {torch.cuda.device_count()} CUDA devices, counted from 0")
        self._dtype = dtype or (torch.float16 if self._cuda else torch.float32)
        self._weights = weights
        self.core_px, self.halo_px = weights.lattice.core_px, weights.lattice.halo_px
        """Side of the square of a tile that it answers for, and the margin around it."""
        self.input_px = self.core_px + 2 * self.halo_px
        """Side of a tile's input, pixels of the work grid."""
        self._network = self._placed(core_network(weights))
        chosen = weights.card.normalisation
        self._mean, self._sd = (torch.tensor(v, device=self.device).view(1, 3, 1, 1) for v in (chosen.mean, chosen.std))
        self._flips: Sequence[tuple[int, ...]] = _FLIPS[:1]
        self._graphs: dict[tuple[int, int, int], _Graph] = {}
        self._halved = False
        torch.backends.cudnn.deterministic = True
        streams: list[Any] = [torch.cuda.Stream(self.device) if self._cuda else None for _ in range(3)]
        self._up, self._work, self._down = streams

    def average_flips(self) -> None:
        """Average the answers for tiles mirrored in no, either and both directions (test-time augmentation) from now on."""
        self._flips = _FLIPS

    @cached_property
    def whole(self) -> Whole:
        """The network for tiles without a halo."""
        return Whole(partial(self._probabilities, self._placed(core_network(self._weights, halo_px=0))), self.device)

    def _placed(self, network: Any) -> Any:
        return network.eval().requires_grad_(False).to(self.device, self._dtype, memory_format=torch.channels_last)

    def native_px(self, scale_rc: tuple[float, float]) -> int:
        """Side of the square of stored pixels that holds a tile of a scene with so many native pixels per work pixel."""
        most = max(self.input_px, math.ceil(self.input_px * max(scale_rc)) + MOST_TAPS)
        return -(-most // _ROUND_PX) * _ROUND_PX

    def submit(self, tiles: Sequence[TileInput], native_px: int, *, graph: bool = False) -> list[Answers]:
        """Begin to compute tiles; returns before it is done.

        Args:
            tiles: at most ``batch``.
            native_px: side of a square that holds the pixels of each, the same for all tiles of a scene.
            graph: whether a CUDA graph computes them.

        Raises:
            DeviceError: the device failed, or has too little memory for half a batch.
        """
        try:
            return self._launched(tiles, native_px, graph)
        except torch.cuda.OutOfMemoryError as cause:
            if self._halved or self.batch == 1:
                raise self._out_of_memory(cause) from cause
        except RuntimeError as cause:
            raise self.failure(cause) from cause
        self._halve()
        try:
            return self._launched(tiles, native_px, graph)
        except torch.cuda.OutOfMemoryError as cause:
            raise self._out_of_memory(cause) from cause

    def failure(self, cause: RuntimeError) -> DeviceError:
        """An error of torch's as one line."""
        words = str(cause).strip().splitlines() or [type(cause).__name__]
        return DeviceError(
            f"--device {self.device}: the device failed ({words[0][:200]}); the same command continues with the blocks that are left"
        )

    def _out_of_memory(self, cause: RuntimeError) -> DeviceError:
        return DeviceError(
            f"--device {self.device}: too little free memory for {self.batch} tile{'s' * (self.batch > 1)} at a time "
            f"({str(cause).splitlines()[0][:120]}); end other programs that use the device, or give --device cpu"
        )

    def _halve(self) -> None:
        self._graphs.clear()
        self.batch, self._halved = self.batch // 2, True
        if self._cuda:
            torch.cuda.empty_cache()
        warnings.warn(
            f"--device {self.device}: too little free memory for {2 * self.batch} tiles at a time; computing {self.batch}. "
            "Probabilities may differ in the last digit from those of full batches",
            stacklevel=2,
        )

    def _launched(self, tiles: Sequence[TileInput], native_px: int, graph: bool) -> list[Answers]:
        parts = [tiles[i : i + self.batch] for i in range(0, len(tiles), self.batch)]
        with torch.cuda.device(self.device) if self._cuda else nullcontext():
            return [self._launch(self._staged(part, native_px), len(part), graph) for part in parts]

    def _staged(self, tiles: Sequence[TileInput], native_px: int) -> list[Tensor]:
        """A batch in page-locked memory, which torch takes again when the batch is done."""
        shapes: list[tuple[tuple[int, ...], torch.dtype]] = [
            ((self.batch, 3, native_px, native_px), torch.uint8),
            ((self.batch, 2, self.input_px, MOST_TAPS), torch.int32),
            ((self.batch, 2, self.input_px, MOST_TAPS), torch.float32),
            ((self.batch, 7), torch.float32),
        ]
        staged = [torch.empty(shape, dtype=dtype, pin_memory=self._cuda) for shape, dtype in shapes]
        pixels, taps, weights, stretch = (tensor.numpy() for tensor in staged)
        for i, tile in enumerate(tiles):
            _, height, width = tile.pixels.shape
            pixels[i, :, :height, :width] = tile.pixels  # the rest is never looked at
            for axis, along in enumerate((tile.rows, tile.cols)):
                taps[i, axis], weights[i, axis] = along.pixels, along.weights
            stretch[i] = tile.stretch
        if len(tiles) < self.batch:
            for array in (pixels, taps, weights):
                array[len(tiles) :] = 0
            stretch[len(tiles) :] = 1
        return staged

    def _launch(self, staged: list[Tensor], count: int, graph: bool) -> Answers:
        if not self._cuda:
            heads, finite = self._computed(*staged)
            return Answers(heads[:count], finite[:count], lambda: None, None)
        key = (staged[0].shape[0], staged[0].shape[-1], len(self._flips))
        if graph and key not in self._graphs:
            self._graphs[key] = _Graph(self._computed, [tensor.to(self.device) for tensor in staged])
        with torch.cuda.stream(self._up):
            there = [tensor.to(self.device, non_blocking=True) for tensor in staged]
        self._work.wait_stream(self._up)
        with torch.cuda.stream(self._work):
            answers = self._graphs[key](there) if graph else self._computed(*there)
        self._down.wait_stream(self._work)
        with torch.cuda.stream(self._down):
            here = [torch.empty(a.shape, dtype=a.dtype, pin_memory=True).copy_(a, non_blocking=True) for a in answers]
            done = torch.cuda.Event(blocking=True)
            done.record()
        return Answers(here[0][:count], here[1][:count], done.synchronize, (staged, there, answers))

    @torch.inference_mode()
    def _computed(self, pixels: Tensor, taps: Tensor, weights: Tensor, stretch: Tensor) -> tuple[Tensor, Tensor]:
        """A batch on the device → heads (B, 5, core, core) uint8 as stored, and whether those of each tile are numbers (B,)."""
        x = resampled(resampled(pixels.float(), taps[:, 0], weights[:, 0], 2), taps[:, 1], weights[:, 1], 3)
        low, spread, gamma = (part[:, :, None, None] for part in stretch.split((3, 3, 1), dim=1))
        p = self._probabilities(self._network, ((x - low) / spread).clamp(0, 1).pow(gamma))
        return (p.clamp(0, 1) * TOP + 0.5).to(torch.uint8).contiguous(), p.isfinite().flatten(1).all(dim=1)

    def _probabilities(self, network: nn.Module, values: Tensor) -> Tensor:
        """Stretched values (B, 3, H, W) in 0–1 → (B, 5, h, w), the mean over the mirrored reads."""
        x = (values - self._mean) / self._sd
        total = torch.zeros((), device=self.device)
        for axes in self._flips:
            turned = x.flip(axes).to(self._dtype, memory_format=torch.channels_last)
            total = total + to_probabilities(network(turned).float()).flip(axes)
        return total / len(self._flips)


class Whole:
    """A network on a device for tiles of any size without a halo, one at a time; see ``detect.network.backends.Backend``."""

    def __init__(self, probabilities: Callable[[Tensor], Tensor], device: torch.device) -> None:
        """Take what turns stretched values on the device into probabilities."""
        self._probabilities, self._device = probabilities, device

    @torch.inference_mode()
    def predict(self, values: NDArray[np.float32], halo_px: int = 0) -> NDArray[np.float32]:
        """See ``Backend.predict``; there is no halo."""
        return self._probabilities(torch.from_numpy(values)[None].to(self._device))[0].cpu().numpy()

    def rest(self) -> None:
        """See ``Backend.rest``: torch keeps its memory."""


class _Graph:
    """A CUDA graph of a function of tensors whose shapes stay the same."""

    def __init__(self, function: Callable[..., tuple[Tensor, ...]], example: list[Tensor]) -> None:
        """Run the function a few times, as torch.cuda.graphs asks, then record what it launches."""
        self._inputs = example
        aside = torch.cuda.Stream(example[0].device)
        aside.wait_stream(torch.cuda.current_stream(example[0].device))
        with torch.cuda.stream(aside):
            for _ in range(2):
                function(*example)
        torch.cuda.current_stream(example[0].device).wait_stream(aside)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._outputs = function(*example)

    def __call__(self, inputs: list[Tensor]) -> list[Tensor]:
        """The function's results for inputs on the device, on the current stream."""
        for fixed, given in zip(self._inputs, inputs, strict=True):
            fixed.copy_(given)
        self._graph.replay()
        return [output.clone() for output in self._outputs]


def resampled(x: Tensor, taps: Tensor, weights: Tensor, axis: int) -> Tensor:
    """(B, 3, h, w) with ``axis``, 2 or 3, resampled: each pixel is a weighted sum of its taps (B, n, MOST_TAPS), summed in their order."""
    shape = list(x.shape)
    shape[axis] = taps.shape[1]
    along = (slice(None), None, slice(None), None) if axis == 2 else (slice(None), None, None, slice(None))
    total = torch.zeros((), device=x.device)
    for which, weight in zip(taps.long().unbind(-1), weights.unbind(-1), strict=True):
        total = total + x.gather(axis, which[along].expand(shape)) * weight[along]
    return total
