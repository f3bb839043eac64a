"""Run the network on a GPU: batches of tiles go up as bytes, and the bytes of their cores come down, while the next batch computes.

Resampling, stretch, network, activations and rounding run on the device. All tiles of a batch have one shape, and it always has the same
number of places, of which unused ones are zeros. So the bytes of a tile depend neither on the tiles beside it nor on which worker read it.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from detect.base.errors import DetectError, InputError
from detect.base.grid import Margins
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
    margins: Margins
    """Around the core of the tile."""
    seen: NDArray[np.bool_] | None = None
    """(H, W) of the tile, where the scene is shown; None: everywhere."""

    @property
    def shape(self) -> tuple[int, int, Margins, bool]:
        """Height, width and margins in pixels of the work grid, and whether it has holes: tiles of one batch have the same."""
        return len(self.rows.pixels), len(self.cols.pixels), self.margins, self.seen is not None


class Answers:
    """A batch that is being computed."""

    def __init__(self, heads: Tensor, finite: Tensor, wait: Callable[[], None], kept: object) -> None:
        """Take tensors on the host that hold the answers after ``wait``; ``kept`` must live until then."""
        self._heads, self._finite, self._wait, self._kept = heads, finite, wait, kept

    def get(self) -> list[NDArray[np.uint8] | None]:
        """Wait; for each tile its heads (5, h, w) as stored, None where the network gave values that are not numbers."""
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
        self.lattice = lattice = weights.lattice
        self.core_px = lattice.core_px
        """Side of the square of a tile that it answers for."""
        self.input_px = lattice.core_px + 2 * lattice.halo_px
        """Side of the input of a tile that has a halo on each side."""
        network: Any = core_network(weights)
        self._network = network.eval().requires_grad_(False).to(self.device, self._dtype, memory_format=torch.channels_last)
        chosen = weights.card.normalisation
        self._mean, self._sd = (torch.tensor(v, device=self.device).view(1, 3, 1, 1) for v in (chosen.mean, chosen.std))
        self._flips: Sequence[tuple[int, ...]] = _FLIPS[:1]
        self._graphs: dict[tuple[object, ...], _Graph] = {}
        self._halved = False
        torch.backends.cudnn.deterministic = True
        streams: list[Any] = [torch.cuda.Stream(self.device) if self._cuda else None for _ in range(3)]
        self._up, self._work, self._down = streams

    def average_flips(self) -> None:
        """Average the answers for tiles mirrored in no, either and both directions (test-time augmentation) from now on."""
        self._flips = _FLIPS

    def native_px(self, scale_rc: tuple[float, float]) -> int:
        """Side of the square of stored pixels that holds a tile of a scene with so many native pixels per work pixel."""
        most = max(self.input_px, math.ceil(self.input_px * max(scale_rc)) + MOST_TAPS)
        return -(-most // _ROUND_PX) * _ROUND_PX

    def submit(
        self, tiles: Sequence[TileInput], native_px: int, *, places: int | None = None, graph: bool = False
    ) -> list[Answers]:
        """Begin to compute tiles; returns before it is done.

        Args:
            tiles: at most ``batch``, of one shape.
            native_px: side of a square that holds the pixels of each, the same for all tiles of a scene.
            places: of the batch; by default ``batch``. The bytes of a tile may depend on it.
            graph: whether a CUDA graph computes them.

        Raises:
            DeviceError: the device failed, or has too little memory for half a batch.
        """
        try:
            return self._launched(tiles, native_px, places, graph)
        except torch.cuda.OutOfMemoryError as cause:
            if self._halved or self.batch == 1:
                raise self._out_of_memory(cause) from cause
        except RuntimeError as cause:
            raise self.failure(cause) from cause
        self._halve()
        try:
            return self._launched(tiles, native_px, places, graph)
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

    def _launched(self, tiles: Sequence[TileInput], native_px: int, places: int | None, graph: bool) -> list[Answers]:
        places = min(places or self.batch, self.batch)
        parts = [tiles[i : i + places] for i in range(0, len(tiles), places)]
        with torch.cuda.device(self.device) if self._cuda else nullcontext():
            staged = ((self._staged(part, native_px, places), part) for part in parts)
            return [self._launch(there, part[0].shape, len(part), graph) for there, part in staged]

    def _staged(self, tiles: Sequence[TileInput], native_px: int, places: int) -> list[Tensor]:
        """A batch in page-locked memory, which torch takes again when the batch is done."""
        sides = tiles[0].shape[:2]
        shapes: list[tuple[tuple[int, ...], torch.dtype]] = [
            ((places, 3, native_px, native_px), torch.uint8),
            *(((places, side, MOST_TAPS), torch.int32) for side in sides),
            *(((places, side, MOST_TAPS), torch.float32) for side in sides),
            ((places, 7), torch.float32),
        ]
        if tiles[0].seen is not None:
            shapes.append(((places, 1, *sides), torch.bool))
        staged = [torch.empty(shape, dtype=dtype, pin_memory=self._cuda) for shape, dtype in shapes]
        pixels, rows, cols, row_weights, col_weights, stretch, *seen = (tensor.numpy() for tensor in staged)
        for i, tile in enumerate(tiles):
            _, height, width = tile.pixels.shape
            pixels[i, :, :height, :width] = tile.pixels  # the rest is never looked at
            rows[i], row_weights[i] = tile.rows.pixels, tile.rows.weights
            cols[i], col_weights[i] = tile.cols.pixels, tile.cols.weights
            stretch[i] = tile.stretch
            for mask in seen:
                mask[i] = tile.seen
        if len(tiles) < places:
            for array in (pixels, rows, cols, row_weights, col_weights, *seen):
                array[len(tiles) :] = 0
            stretch[len(tiles) :] = 1
        return staged

    def _launch(self, staged: list[Tensor], shape: tuple[int, int, Margins, bool], count: int, graph: bool) -> Answers:
        computed = partial(self._computed, shape[2])
        if not self._cuda:
            heads, finite = computed(*staged)
            return Answers(heads[:count], finite[:count], lambda: None, None)
        key = (*shape, *staged[0].shape, len(self._flips))
        if graph and key not in self._graphs:
            self._graphs[key] = _Graph(computed, [tensor.to(self.device) for tensor in staged])
        with torch.cuda.stream(self._up):
            there = [tensor.to(self.device, non_blocking=True) for tensor in staged]
        self._work.wait_stream(self._up)
        with torch.cuda.stream(self._work):
            answers = self._graphs[key](there) if graph else computed(*there)
        self._down.wait_stream(self._work)
        with torch.cuda.stream(self._down):
            here = [torch.empty(a.shape, dtype=a.dtype, pin_memory=True).copy_(a, non_blocking=True) for a in answers]
            done = torch.cuda.Event(blocking=True)
            done.record()
        return Answers(here[0][:count], here[1][:count], done.synchronize, (staged, there, answers))

    @torch.inference_mode()
    def _computed(
        self,
        margins: Margins,
        pixels: Tensor,
        rows: Tensor,
        cols: Tensor,
        row_weights: Tensor,
        col_weights: Tensor,
        stretch: Tensor,
        seen: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """A batch on the device → heads (B, 5, h, w) uint8 as stored, and whether those of each tile are numbers (B,)."""
        x = resampled(resampled(pixels.float(), rows, row_weights, 2), cols, col_weights, 3)
        low, spread, gamma = (part[:, :, None, None] for part in stretch.split((3, 3, 1), dim=1))
        x = (((x - low) / spread).clamp(0, 1).pow(gamma) - self._mean) / self._sd
        total = torch.zeros((), device=self.device)
        for axes in self._flips:
            turned = x.flip(axes).to(self._dtype, memory_format=torch.channels_last)
            around = margins.mirrored(rows=2 in axes, cols=3 in axes)
            there = None if seen is None else seen.flip(axes)
            total = total + to_probabilities(self._network(turned, around, there).float()).flip(axes)
        p = total / len(self._flips)
        return (p.clamp(0, 1) * TOP + 0.5).to(torch.uint8).contiguous(), p.isfinite().flatten(1).all(dim=1)


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
