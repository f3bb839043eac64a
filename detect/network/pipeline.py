"""Blocks on a GPU: threads read ahead, this one hands batches of tiles to the device, and other threads store finished blocks.

A block on a CPU is one task from reading to its file (``detect.network.probabilities.Threads``). A GPU is so fast that it must not wait for
any of that, so its batches hold tiles of several blocks. Tiles at the edges of a scene have other shapes than those inside, and batches of
their own.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from detect.base.values import NO_DATA
from detect.network.device import GRAPH_FROM_TILES, Answers, TileInput, TorchBackend
from detect.network.heads import HEADS
from detect.network.lattice import Block, Tile
from detect.network.probabilities import store_block
from detect.scene.reader import SceneReader
from detect.scene.resample import no_taps
from detect.scene.scene import Scene, WorkGrid

MOST_READERS = 16
"""So many decode a thousand tiles a second, more than a GPU computes."""
_RUN = 4
"""Neighbouring tiles that one thread reads after another: GDAL keeps what they share."""
_FLYING = 2
"""Batches on the device while the next one is filled."""
_WRITERS = 4
_UNWRITTEN = 32
"""Most blocks that wait for the disk."""
_FOR_READERS, _FILLING, _FOR_DEVICE, _FOR_DISK = (
    "waiting for readers",
    "filling batches",
    "waiting for the device",
    "waiting for the disk",
)
"""What the thread of ``Pipeline.run`` spends its time on; the largest holds a run back."""
_log = logging.getLogger(__name__)


@dataclass
class _Open:
    """A block in progress."""

    block: Block
    waiting: int
    """Tiles without an answer."""
    parts: list[tuple[Tile, NDArray[np.uint8], NDArray[np.bool_] | None]] = field(default_factory=list)
    """Tiles that hold observations, their heads (5, core, core), and which pixels of their core were observed; None: all."""
    error: Exception | None = None

    def heads(self) -> NDArray[np.uint8]:
        """(5, H, W) as ``detect.network.probabilities.predict_block`` gives them."""
        if not self.parts:
            return np.empty((len(HEADS), 0, 0), np.uint8)
        heads = np.full((len(HEADS), *self.block.span.size_hw), NO_DATA, np.uint8)
        for tile, answer, seen in self.parts:
            stored = heads[(slice(None), *tile.core.shift(-self.block.span.row0, -self.block.span.col0).slices())]
            np.copyto(stored, tile.of_answer(answer), where=True if seen is None else seen)
        return heads


@dataclass(frozen=True)
class _Read:
    """A tile that was read: what the device needs, and which pixels of its core were observed; None: all."""

    input: TileInput
    seen: NDArray[np.bool_] | None


_Item = tuple[_Open, Tile, _Read]


def read_tile(reader: SceneReader, tile: Tile) -> _Read | None:
    """A tile as the scene stores it; None if no pixel of its core was observed.

    What cannot be resampled on the device (see ``SceneReader.unresampled``) is resampled here and rounded to 8 bits, as the pictures were
    that the network learnt from.
    """
    if reader.is_unstored(tile.core):
        return None
    native = reader.unresampled(tile.input)
    if native is not None:
        return _Read(TileInput(*native, reader.stretch_of_native, tile.margins), None)
    values, valid = reader.read(tile.input)
    seen = tile.of_core(valid)
    if not seen.any():
        return None
    pixels = (values * np.float32(255) + np.float32(0.5)).astype(np.uint8)
    rows, cols = (no_taps(px) for px in tile.input.size_hw)
    stretch = np.array([0, 0, 0, 255, 255, 255, 1], np.float32)
    shown = reader.shown(tile.input, valid)
    return _Read(TileInput(pixels, rows, cols, stretch, tile.margins, shown), None if seen.all() else seen)


class Pipeline:
    """Computes blocks on one GPU."""

    kind = "cuda"

    def __init__(self, backend: TorchBackend, readers: int | None = None) -> None:
        """Take a backend that nothing else uses; ``readers``: threads that read, default one per core, at most ``MOST_READERS``."""
        self._backend, self._readers = backend, readers or min(os.cpu_count() or 1, MOST_READERS)
        self._spent_s: dict[str, float] = {}

    def rest(self) -> None:
        """See ``Runner.rest``: torch keeps its memory for the next scene."""

    def run(self, blocks: list[Block], scene: Scene, grid: WorkGrid, folder: Path) -> Generator[tuple[Block, Exception | None]]:
        """See ``Runner.run``; each tile that cannot be read is tried twice.

        Raises:
            DeviceError: the device failed. Finished blocks are kept.
        """
        self._spent_s = dict.fromkeys((_FOR_READERS, _FILLING, _FOR_DEVICE, _FOR_DISK), 0.0)
        tiles = [(opened, tile) for opened in (_Open(b, len(b.tiles)) for b in blocks) for tile in opened.block.tiles]
        with ExitStack() as pools:
            writers = pools.enter_context(ThreadPoolExecutor(_WRITERS))
            reads = pools.enter_context(self._reading(tiles, scene, grid))
            storing: deque[tuple[_Open, Future[None]]] = deque()
            for done in self._computed(reads, grid):
                storing.append((done, writers.submit(_store, done, folder)))
                while storing and (storing[0][1].done() or len(storing) > _UNWRITTEN):
                    yield self._stored(*storing.popleft())
            while storing:
                yield self._stored(*storing.popleft())
        _log.debug("%d tiles; %s", len(tiles), ", ".join(f"{seconds:.2f} s {what}" for what, seconds in self._spent_s.items()))

    @contextmanager
    def _reading(
        self, tiles: Sequence[tuple[_Open, Tile]], scene: Scene, grid: WorkGrid
    ) -> Iterator[Iterator[tuple[_Open, Tile, _Read | Exception | None]]]:
        """Threads that read tiles ahead; an iterator over what they read, in the order of the tiles."""
        own = threading.local()

        def read(run: Sequence[tuple[_Open, Tile]]) -> list[_Read | Exception | None]:
            if not hasattr(own, "reader"):
                own.reader = open_files.enter_context(scene.reader(grid))
            return [tried_twice(tile) for _, tile in run]

        def tried_twice(tile: Tile) -> _Read | Exception | None:
            try:
                return read_tile(own.reader, tile)
            except Exception:  # whatever the error: a second try costs little, a missing block falsifies counts
                try:
                    with scene.reader(grid) as again:
                        return read_tile(again, tile)
                except Exception as error:
                    return error

        with ExitStack() as open_files:
            pool = ThreadPoolExecutor(self._readers)
            try:
                yield self._in_order(tiles, lambda run: pool.submit(read, run))
            finally:
                pool.shutdown(cancel_futures=True)  # before the files are closed

    def _in_order(
        self, tiles: Sequence[tuple[_Open, Tile]], submit: Callable[..., Future[list[_Read | Exception | None]]]
    ) -> Iterator[tuple[_Open, Tile, _Read | Exception | None]]:
        length = max(1, min(_RUN, len(tiles) // (2 * self._readers)))
        runs = iter([tiles[i : i + length] for i in range(0, len(tiles), length)])
        flying: deque[tuple[Sequence[tuple[_Open, Tile]], Future[list[_Read | Exception | None]]]] = deque()
        while True:
            while len(flying) < self._readers + 2 * self._backend.batch // length and (run := next(runs, None)) is not None:
                flying.append((run, submit(run)))
            if not flying:
                return
            run, future = flying.popleft()
            with self._timed(_FOR_READERS):
                read = future.result()
            for (opened, tile), one in zip(run, read, strict=True):
                yield opened, tile, one

    def _computed(self, reads: Iterator[tuple[_Open, Tile, _Read | Exception | None]], grid: WorkGrid) -> Iterator[_Open]:
        """Blocks whose tiles all have an answer."""
        whole = self._backend.lattice.blocks(grid.size_hw, self._backend.core_px)
        counts = Counter((*tile.input.size_hw, tile.margins) for block in whole for tile in block.tiles)
        count = counts.total()
        native_px = self._backend.native_px(grid.scale_rc)
        filling: defaultdict[object, list[_Item]] = defaultdict(list)  # by the shape of their tiles
        flying: deque[tuple[list[_Item], list[Answers]]] = deque()

        def launch(batch: list[_Item]) -> None:
            inputs = [read.input for _, _, read in batch]
            height, width, margins, has_holes = inputs[0].shape
            places = min(self._backend.batch, counts[height, width, margins])
            usual = height == width == self._backend.input_px and not has_holes
            with self._timed(_FILLING):
                answers = self._backend.submit(inputs, native_px, places=places, graph=usual and count >= GRAPH_FROM_TILES)
            flying.append((batch, answers))

        for opened, tile, read in reads:
            if isinstance(read, _Read):
                batch = filling[read.input.shape]
                batch.append((opened, tile, read))
                if len(batch) >= self._backend.batch:
                    launch(filling.pop(read.input.shape))
            else:
                opened.error = read or opened.error
                opened.waiting -= 1
                if not opened.waiting:
                    yield opened
            if len(flying) > _FLYING:
                yield from self._landed(*flying.popleft())
        for batch in filling.values():
            launch(batch)
            if len(flying) > _FLYING:
                yield from self._landed(*flying.popleft())
        while flying:
            yield from self._landed(*flying.popleft())

    def _landed(self, batch: list[_Item], answers: list[Answers]) -> Iterator[_Open]:
        with self._timed(_FOR_DEVICE):
            try:
                heads = [one for part in answers for one in part.get()]
            except RuntimeError as cause:
                raise self._backend.failure(cause) from cause
        for (opened, tile, read), one in zip(batch, heads, strict=True):
            if one is None:
                opened.error = ValueError("the network gave values that are not numbers")
            else:
                opened.parts.append((tile, one, read.seen))
            opened.waiting -= 1
            if not opened.waiting:
                yield opened

    def _stored(self, opened: _Open, future: Future[None]) -> tuple[Block, Exception | None]:
        with self._timed(_FOR_DISK):
            error = future.exception()
        if error is not None and not isinstance(error, Exception):
            raise error
        return opened.block, error

    @contextmanager
    def _timed(self, what: str) -> Iterator[None]:
        began_s = time.perf_counter()
        yield
        self._spent_s[what] += time.perf_counter() - began_s


def _store(opened: _Open, folder: Path) -> None:
    if opened.error is not None:
        raise opened.error
    store_block(opened.block, opened.heads(), folder)
    opened.parts.clear()  # their memory goes to the next batches
