"""Stream a scene through the network: read → predict → drop the halo → store, block by block, resumable.

Each finished block is one file in the scene's work folder, written aside and renamed, so a kill at any moment loses only the
blocks in progress. Heads are stored as bytes (``detect.base.values``): all later steps start from these integers and can be
repeated without the network.
"""

from __future__ import annotations

import json
import math
import shutil
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from detect.base.errors import InputError
from detect.base.files import whole_file, write_whole
from detect.base.grid import Span
from detect.base.values import NO_DATA, TOP
from detect.network.backends import Backend
from detect.network.heads import FOOTPRINT, HEADS
from detect.network.lattice import Block, Lattice
from detect.scene.reader import SceneReader
from detect.scene.scene import Scene, WorkGrid

_NOTE = "run.json"
_EMPTY_BYTES = 129
"""The file of a block without observations is its header alone: 128 bytes."""
_SHARING = 2
"""Threads that read through one open file, so that what is decoded for the halo of one tile serves its neighbour too."""
Progress = Callable[[str, int, int], None]


def calibrated(temperature: float) -> NDArray[np.uint8]:
    """(256,) table from a stored footprint probability to a calibrated one: its logit divided by a temperature; 255 stays no data.

    Thresholds apply to the stored probabilities, with which they were chosen; users see the calibrated ones.
    """
    p = np.clip(np.arange(TOP + 1) / TOP, 1e-6, 1 - 1e-6)
    shown = np.floor(TOP / (1 + np.exp(-np.log(p / (1 - p)) / temperature)) + 0.5)
    return np.append(shown, NO_DATA).astype(np.uint8)


class Runner(Protocol):
    """Computes blocks and stores each in its file: ``Threads``, a GPU (``detect.network.pipeline``), or a cluster (``.cluster``)."""

    @property
    def kind(self) -> str:
        """Kind of device, ``cpu`` or ``cuda``: blocks of different kinds differ in the last digits, so they are not mixed."""

    def run(self, blocks: list[Block], scene: Scene, grid: WorkGrid, folder: Path) -> Generator[tuple[Block, Exception | None]]:
        """Blocks as they end, in any order, each with its error or None."""

    def rest(self) -> None:
        """Give back memory until the next scene."""


@dataclass
class Ledger:
    """How many blocks are done, and which failed."""

    blocks: int = 0
    done: int = 0
    skipped_nodata: int = 0
    """Blocks without a valid pixel, for which the network did not run."""
    resumed: int = 0
    """How many of the finished blocks come from an earlier run."""
    failed: list[dict[str, Any]] = field(default_factory=list)

    def note(self, block: Block, error: Exception | None) -> None:
        """Count a block that has ended."""
        if error is None:
            self.done += 1
        else:
            self.failed.append({"index": block.index, "span": asdict(block.span), "error": f"{type(error).__name__}: {error}"})


@dataclass(frozen=True)
class Probabilities:
    """Where the heads of a scene lie on disk."""

    folder: Path
    """Holds the files of the blocks."""
    blocks: tuple[Block, ...]
    """All blocks of the scene; one whose file is missing has no data."""
    ledger: Ledger

    def reader(self) -> HeadReader:
        """Reads the blocks' files."""
        return HeadReader(self.folder, self.blocks)


class HeadReader:
    """Reads spans of stored heads; several threads may call it."""

    def __init__(self, folder: Path, blocks: tuple[Block, ...]) -> None:
        """Take the blocks of a scene, whose files lie in the folder."""
        self._folder = folder
        self._blocks = sorted(blocks, key=lambda block: (block.span.row0, block.span.col0))
        first, last = self._blocks[0].span, self._blocks[-1].span
        self._side_px, self._size_hw = max(first.size_hw), (last.row1, last.col1)
        self._across = -(-self._size_hw[1] // self._side_px)

    def read(self, span: Span, heads: tuple[int, ...] = tuple(range(len(HEADS)))) -> NDArray[np.uint8]:
        """(heads, H, W) uint8 of a span inside the scene; heads by their channel."""
        found = np.full((len(heads), *span.size_hw), NO_DATA, np.uint8)
        for block, stored in self._under(span):
            part = block.span.intersect(span)
            here, there = (part.shift(-s.row0, -s.col0).slices() for s in (span, block.span))
            for target, head in zip(found, heads, strict=True):
                target[here] = stored[head][there]
        return found

    def footprint(self, span: Span) -> NDArray[np.uint8]:
        """(H, W) uint8, the footprint head of a span inside the scene."""
        return self.read(span, (FOOTPRINT,))[0]

    def seen(self, longest_px: int) -> NDArray[np.bool_]:
        """Whether the scene was observed, (H, W) sampled at most ``longest_px`` along its longer side."""
        step = max(1.0, max(self._size_hw) / longest_px)
        rows, cols = (((np.arange(n := max(1, round(size / step))) + 0.5) * size / n).astype(int) for size in self._size_hw)
        found = np.zeros((len(rows), len(cols)), bool)
        for block, stored in self._under(Span(0, 0, *self._size_hw)):
            row, col = (
                np.flatnonzero((at >= low) & (at < high))
                for at, low, high in ((rows, block.span.row0, block.span.row1), (cols, block.span.col0, block.span.col1))
            )
            found[np.ix_(row, col)] = stored[0][np.ix_(rows[row] - block.span.row0, cols[col] - block.span.col0)] != NO_DATA
        return found

    def _under(self, span: Span) -> Iterator[tuple[Block, NDArray[np.uint8]]]:
        """The blocks under a span that hold data, and their heads, mapped from disk."""
        for row in range(span.row0 // self._side_px, -(-span.row1 // self._side_px)):
            for col in range(span.col0 // self._side_px, -(-span.col1 // self._side_px)):
                block = self._blocks[row * self._across + col]
                file = _file(self._folder, block)
                if file.exists() and (stored := np.load(file, mmap_mode="r", allow_pickle=False)).size:
                    yield block, stored


def predict_probabilities(
    scene: Scene,
    grid: WorkGrid,
    lattice: Lattice,
    runner: Runner,
    folder: Path,
    *,
    run_key: str,
    block_px: int = 1024,
    progress: Progress | None = None,
) -> Probabilities:
    """The heads of a scene on its work grid, in one file for each block.

    Args:
        scene: what to read.
        grid: its work grid at the network's GSD.
        lattice: lattice of the tiles, from the weights' card.
        runner: computes the blocks.
        folder: keeps finished blocks between runs; those of another ``run_key`` are deleted. All workers of a cluster see it
            under the same path.
        run_key: hash of everything that decides a pixel: scene, weights, options.
        block_px: side of a block; affects only memory and how much work an interruption loses.
        progress: called as (stage, done, total).

    Raises:
        InputError: the scene is damaged; the folder is removed.
    """
    blocks = lattice.blocks(grid.size_hw, block_px)
    _claim(folder, {"run_key": run_key, "block_px": block_px, "kind": runner.kind})
    ledger = Ledger(blocks=len(blocks))
    report = progress or (lambda stage, done, total: None)
    waiting = [b for b in blocks if not _file(folder, b).exists()]
    ledger.resumed = ledger.done = len(blocks) - len(waiting)
    report("network", ledger.done, len(blocks))
    with closing(runner.run(waiting, scene, grid, folder)) as ended:
        for block, error in ended:
            if isinstance(error, InputError):  # no second run can read the scene
                ended.close()
                shutil.rmtree(folder, ignore_errors=True)
                raise error
            ledger.note(block, error)
            report("network", ledger.done + len(ledger.failed), len(blocks))
    ledger.failed.sort(key=lambda f: f["index"])
    for part in (folder / "blocks").glob(".*.part.npy"):  # left by a run or a worker that was killed
        part.unlink(missing_ok=True)
    ledger.skipped_nodata = sum(_is_empty(_file(folder, block)) for block in blocks)
    return Probabilities(folder, blocks, ledger)


def predict_block(reader: SceneReader, backend: Backend, block: Block) -> NDArray[np.uint8]:
    """Heads (5, H, W) of one block as stored; NO_DATA where the scene holds no observation; (5, 0, 0) if the block holds none."""
    heads: NDArray[np.uint8] | None = None
    for tile in block.tiles:
        if reader.is_unstored(tile.core):
            continue
        values, valid = reader.read(tile.input)
        seen = tile.of_core(valid)
        if not seen.any():
            continue
        if heads is None:
            heads = np.full((len(HEADS), *block.span.size_hw), NO_DATA, np.uint8)
        shown = reader.shown(tile.input, valid)
        probabilities = tile.of_answer(backend.predict(values, tile.margins, shown))
        stored = heads[(slice(None), *tile.core.shift(-block.span.row0, -block.span.col0).slices())]
        for head, p in zip(stored, probabilities, strict=True):  # one head at a time stays in the cache
            if not np.isfinite(p).all():
                raise ValueError("the network gave values that are not numbers")
            np.copyto(head, as_stored(p), where=seen)
    return np.empty((len(HEADS), 0, 0), np.uint8) if heads is None else heads


def as_stored(p: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Probabilities 0–1 → 0–TOP, rounded half up."""
    scaled = np.clip(p, 0, 1)
    scaled *= np.float32(TOP)
    scaled += np.float32(0.5)
    return scaled.astype(np.uint8)


@dataclass(frozen=True)
class Threads:
    """Computes blocks with threads of this process.

    While one thread reads or stores, the others compute: GDAL and the network release Python's lock.
    """

    backend: Backend
    workers: int = 1
    """Number of threads; one more block than this is in progress."""
    kind: str = "cpu"

    def rest(self) -> None:
        """See ``Runner.rest``."""
        self.backend.rest()

    def run(self, blocks: list[Block], scene: Scene, grid: WorkGrid, folder: Path) -> Generator[tuple[Block, Exception | None]]:
        """See ``Runner.run``; each block is tried twice."""
        own, opening, free = threading.local(), threading.Lock(), list[SceneReader]()
        with ExitStack() as open_files, ThreadPoolExecutor(max_workers=max(1, self.workers)) as pool:

            def work(block: Block) -> None:
                if not hasattr(own, "reader"):
                    with opening:
                        if not free:
                            free.extend([open_files.enter_context(scene.reader(grid))] * _SHARING)
                        own.reader = free.pop()
                try:
                    compute_block(block, own.reader, self.backend, folder)
                except Exception:  # whatever the error: a second try costs little, a missing block falsifies counts
                    with scene.reader(grid) as reader:
                        compute_block(block, reader, self.backend, folder)

            flying: dict[Future[None], Block] = {}
            queue = iter(largest_first(blocks, self.workers))
            while True:
                while len(flying) <= self.workers and (block := next(queue, None)) is not None:
                    flying[pool.submit(work, block)] = block
                if not flying:
                    return
                for ended in wait(flying, return_when=FIRST_COMPLETED).done:
                    cause = ended.exception()
                    if cause is not None and not isinstance(cause, Exception):
                        raise cause
                    yield flying.pop(ended), cause


def largest_first(blocks: Sequence[Block], count: int) -> list[Block]:
    """The blocks in their order, but for ``count`` of those with the largest tiles, which come before all others.

    Memory that ONNX Runtime keeps from them is large enough for all that follow. After smaller ones, from the edges of a scene, it would
    take more beside: 0.86 GB in place of 0.49 with one worker.
    """
    front = sorted(blocks, key=lambda block: -max(math.prod(tile.input.size_hw) for tile in block.tiles))[:count]
    return [*front, *(block for block in blocks if block not in front)]


def compute_block(block: Block, reader: SceneReader, backend: Backend, folder: Path) -> None:
    """One block from the scene to its file, which appears whole or not at all."""
    store_block(block, predict_block(reader, backend, block), folder)


def store_block(block: Block, heads: NDArray[np.uint8], folder: Path) -> None:
    """Write the heads (5, H, W) of a block, or (5, 0, 0), to its file, which appears whole or not at all."""
    # Two machines may compute a block at the same time if the first was believed lost; each writes its own file.
    with whole_file(_file(folder, block)) as aside:
        np.save(aside, heads)


def _file(folder: Path, block: Block) -> Path:
    return folder / "blocks" / f"{block.index:07d}.npy"


def _is_empty(file: Path) -> bool:
    """Whether the file of a block is there and says that the block holds no observation."""
    return file.exists() and file.stat().st_size < _EMPTY_BYTES


def _claim(folder: Path, mine: dict[str, Any]) -> None:
    """Take over the folder: blocks of another run, block size or kind of device are removed."""
    note = folder / _NOTE
    if folder.exists() and _owner(folder) != mine:
        shutil.rmtree(folder)
    (folder / "blocks").mkdir(parents=True, exist_ok=True)
    if not note.exists():
        write_whole(note, json.dumps(mine))


def _owner(folder: Path) -> Any:
    """The run that a work folder belongs to; None if it cannot be read."""
    try:
        return json.loads((folder / _NOTE).read_text())
    except (OSError, ValueError, RecursionError):
        return None


def drop_blocks(folder: Path, run_key: str) -> None:
    """Remove the work folder of a run that is done; that of another run stays."""
    owner = _owner(folder)
    if isinstance(owner, dict) and owner.get("run_key") == run_key:
        shutil.rmtree(folder, ignore_errors=True)
