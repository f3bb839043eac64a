"""Stream a scene through the network: read → predict → drop the halo → store, block by block, resumable.

Each finished block is one file in the scene's work folder, written aside and renamed, so a kill at any instant loses at most the blocks
in flight. Heads are stored as uint8 (p × 254 rounded, 255 no data): whatever follows starts from those integers and replays without
the network.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.windows import Window

from detect.backends import Backend
from detect.blocks import Block, Lattice
from detect.grid import Span
from detect.scene import Scene, SceneReader, WorkGrid

HEADS = 5
NO_DATA = 255
TOP = 254
"""uint8 of probability 1."""
Progress = Callable[[str, int, int], None]


def calibrated(temperature: float) -> NDArray[np.uint8]:
    """(256,) table from a stored footprint probability to a calibrated one: its logit divided by a temperature; 255 stays no data.

    Masks are cut from the stored ones, whose thresholds were chosen with them; the table is for what a user reads.
    """
    p = np.clip(np.arange(TOP + 1) / TOP, 1e-6, 1 - 1e-6)
    told = np.floor(TOP / (1 + np.exp(-np.log(p / (1 - p)) / temperature)) + 0.5)
    return np.append(told, NO_DATA).astype(np.uint8)


@dataclass
class Ledger:
    """What became of each block."""

    blocks: int = 0
    done: int = 0
    skipped_nodata: int = 0
    """Blocks without a valid pixel; the network was not asked."""
    resumed: int = 0
    """Of the done ones, those that an earlier run had finished."""
    failed: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Probabilities:
    """Where the heads of a scene lie on disk."""

    path: Path
    """GeoTIFF of five uint8 bands on the work grid."""
    ledger: Ledger

    def reader(self) -> HeadReader:
        """Opens the file; use as a context manager."""
        return HeadReader(self.path)


class HeadReader:
    """Reads spans of stored heads."""

    def __init__(self, path: Path) -> None:
        """Open the GeoTIFF."""
        self._dataset = rasterio.open(path)

    def __enter__(self) -> HeadReader:
        """The reader itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self._dataset.close()

    def read(self, span: Span, bands: tuple[int, ...] = (0, 1, 2, 3, 4)) -> NDArray[np.uint8]:
        """(bands, H, W) of a span inside the scene; band numbers from 0."""
        window = Window(span.col0, span.row0, span.width, span.height)
        return self._dataset.read([b + 1 for b in bands], window=window)


def predict_probabilities(
    scene: Scene,
    grid: WorkGrid,
    backend: Backend,
    lattice: Lattice,
    folder: Path,
    *,
    run_key: str,
    block_px: int = 2048,
    workers: int = 1,
    progress: Progress | None = None,
) -> Probabilities:
    """The heads of a scene on its work grid, in ``folder/heads.tif``.

    Args:
        scene: what to read.
        grid: its work grid at the network's GSD.
        backend: runs the network.
        lattice: of the tiles; from the weights' card.
        folder: keeps finished blocks between runs; those of another ``run_key`` are thrown away.
        run_key: hash of everything that decides a pixel: scene, weights, options.
        block_px: side of a block; decides what a kill loses and how much memory is held, nothing else.
        workers: blocks in flight.
        progress: called as (stage, done, total).
    """
    blocks = lattice.blocks(grid.size_hw, block_px)
    _claim(folder, run_key, block_px)
    ledger = Ledger(blocks=len(blocks))
    report = progress or (lambda stage, done, total: None)
    waiting = [b for b in blocks if not _file(folder, b).exists()]
    ledger.resumed = ledger.done = len(blocks) - len(waiting)
    report("network", ledger.done, len(blocks))
    for block, outcome in _run_all(waiting, scene, grid, backend, folder, workers):
        if isinstance(outcome, Exception):
            ledger.failed.append(
                {"index": block.index, "span": asdict(block.span), "error": f"{type(outcome).__name__}: {outcome}"}
            )
        else:
            ledger.done += 1
        report("network", ledger.done + len(ledger.failed), len(blocks))
    ledger.failed.sort(key=lambda f: f["index"])
    path, ledger.skipped_nodata = _assemble(blocks, scene, grid, folder)
    return Probabilities(path, ledger)


def predict_block(reader: SceneReader, backend: Backend, block: Block) -> NDArray[np.uint8]:
    """Heads (5, H, W) of one block as uint8; 255 where the scene holds no observation."""
    heads = np.full((HEADS, *block.span.size_hw), NO_DATA, np.uint8)
    for tile in block.tiles:
        values, valid = reader.read(tile.input)
        top, left = tile.core.row0 - tile.input.row0, tile.core.col0 - tile.input.col0
        kept = (slice(top, top + tile.core.height), slice(left, left + tile.core.width))
        seen = valid[kept]
        if not seen.any():
            continue
        probabilities = backend.predict(values)[(slice(None), *kept)]
        if not np.isfinite(probabilities).all():
            raise ValueError("the network gave values that are no numbers")
        stored = np.floor(np.clip(probabilities, 0, 1) * TOP + 0.5).astype(np.uint8)
        stored[:, ~seen] = NO_DATA
        where = tile.core.shift(-block.span.row0, -block.span.col0)
        heads[(slice(None), *where.slices())] = stored
    return heads


def _run_all(
    blocks: list[Block], scene: Scene, grid: WorkGrid, backend: Backend, folder: Path, workers: int
) -> Iterator[tuple[Block, Exception | None]]:
    """Blocks as they end, at most ``workers`` + 1 of them in flight; each is tried twice."""

    def work(block: Block) -> None:
        try:
            _compute(block, scene, grid, backend, folder)
        except Exception:  # whatever it was, a second try costs little and a hole costs a count
            _compute(block, scene, grid, backend, folder)

    with ThreadPoolExecutor(max_workers=max(1, workers)) as pool:
        flying: dict[Future[None], Block] = {}
        queue = iter(blocks)
        while True:
            while len(flying) <= workers and (block := next(queue, None)) is not None:
                flying[pool.submit(work, block)] = block
            if not flying:
                return
            for ended in wait(flying, return_when=FIRST_COMPLETED).done:
                cause = ended.exception()
                if cause is not None and not isinstance(cause, Exception):
                    raise cause
                yield flying.pop(ended), cause


def _compute(block: Block, scene: Scene, grid: WorkGrid, backend: Backend, folder: Path) -> None:
    with scene.reader(grid) as reader:
        heads = predict_block(reader, backend, block)
    path = _file(folder, block)
    aside = path.with_suffix(".part")
    with aside.open("wb") as handle:
        np.save(handle, heads)
        handle.flush()
        os.fsync(handle.fileno())
    aside.replace(path)


def _file(folder: Path, block: Block) -> Path:
    return folder / "blocks" / f"{block.index:07d}.npy"


def _claim(folder: Path, run_key: str, block_px: int) -> None:
    """Make the folder ours: blocks of another run or block size are never mixed in."""
    note = folder / "run.json"
    mine = {"run_key": run_key, "block_px": block_px}
    if folder.exists():
        try:
            same = json.loads(note.read_text()) == mine
        except (OSError, ValueError):
            same = False
        if not same:
            shutil.rmtree(folder)
    (folder / "blocks").mkdir(parents=True, exist_ok=True)
    if not note.exists():
        aside = note.with_suffix(".part")
        aside.write_text(json.dumps(mine))
        aside.replace(note)


def _assemble(blocks: tuple[Block, ...], scene: Scene, grid: WorkGrid, folder: Path) -> tuple[Path, int]:
    """All blocks in one tiled GeoTIFF, missing ones as no data; and how many blocks held no valid pixel."""
    path, aside, empty = folder / "heads.tif", folder / "heads.part.tif", 0
    profile = {
        "driver": "GTiff", "dtype": "uint8", "count": HEADS, "height": grid.size_hw[0], "width": grid.size_hw[1],
        "crs": scene.crs, "transform": grid.transform, "nodata": NO_DATA, "tiled": True, "blockxsize": 256, "blockysize": 256,
        "compress": "zstd", "zstd_level": 1, "predictor": 1, "interleave": "band", "bigtiff": "if_safer",
    }  # fmt: skip
    with rasterio.open(aside, "w", **profile) as target:
        for block in blocks:
            file = _file(folder, block)
            if not file.exists():
                heads = np.full((HEADS, *block.span.size_hw), NO_DATA, np.uint8)
            else:
                heads = np.load(file, allow_pickle=False)
                empty += bool((heads[0] == NO_DATA).all())
            window = Window(block.span.col0, block.span.row0, block.span.width, block.span.height)
            target.write(heads, window=window)
    aside.replace(path)
    return path, empty
