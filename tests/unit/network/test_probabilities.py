"""Heads on disk: what a block stores, what is retried, resumed, thrown away, left out."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from detect.base.grid import NO_MARGINS, Margins, Span
from detect.base.values import NO_DATA
from detect.network.heads import HEADS
from detect.network.lattice import Lattice
from detect.network.probabilities import (
    Ledger,
    Probabilities,
    Threads,
    calibrated,
    drop_blocks,
    largest_first,
    predict_block,
    predict_probabilities,
    store_block,
)
from detect.scene.scene import open_scene

WriteScene = Callable[..., Path]
LATTICE = Lattice(core_px=32, halo_px=32, stride_px=32)
SIZE_HW = (64, 90)  # 2 × 3 tiles
BLOCKS = 6


class Toy:
    """A network that shows the picture itself; calls numbered in ``fail_at`` (from 0) raise."""

    def __init__(self, fail_at: Collection[int] = (), error: type[BaseException] = RuntimeError) -> None:
        self.calls = 0
        self._fail_at, self._error, self._lock = fail_at, error, threading.Lock()

    def predict(
        self, values: NDArray[np.float32], margins: Margins = NO_MARGINS, seen: NDArray[np.bool_] | None = None
    ) -> NDArray[np.float32]:
        with self._lock:
            number, self.calls = self.calls, self.calls + 1
        if number in self._fail_at:
            raise self._error("out of memory")
        assert all(n % LATTICE.stride_px == 0 for n in values.shape[1:])
        return values[([0, 1, 2, 0, 1], *margins.inside(values.shape[1:]))]

    def rest(self) -> None:
        pass


class Kill(BaseException):
    """Ends a run as an interrupt does."""


class FlatReader:
    """Stands in for a scene reader: one value everywhere, observed up to column ``stop``."""

    def __init__(self, value: float, stop: int) -> None:
        self._value, self._stop = value, stop

    def read(self, span: Span) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        seen = np.arange(span.col0, span.col1) < self._stop
        return np.full((3, *span.size_hw), self._value, np.float32), np.broadcast_to(seen, span.size_hw)

    def shown(self, span: Span, valid: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
        return None

    def is_unstored(self, span: Span) -> bool:
        return False


def draw(hole: tuple[slice, slice] | None = None) -> NDArray[np.uint8]:
    values = np.random.default_rng(3).integers(1, 256, (3, *SIZE_HW), np.uint8)
    if hole:
        values[(slice(None), *hole)] = 0
    return values


def run(path: Path, folder: Path, backend: Toy, **options: Any) -> Probabilities:
    scene, runner = open_scene(path), Threads(backend, options.pop("workers", 1))
    return predict_probabilities(
        scene, scene.work_grid(0.5), LATTICE, runner, folder, **({"run_key": "key", "block_px": 32} | options)
    )


def heads_of(result: Probabilities) -> NDArray[np.uint8]:
    return result.reader().read(Span(0, 0, *SIZE_HW))


@pytest.fixture
def scene_path(write_scene: WriteScene) -> Path:
    return write_scene(draw())


@pytest.mark.parametrize(("p", "stored"), [(0, 0), (1, 254), (0.25, 64), (0.001, 0), (0.002, 1), (-0.5, 0), (1.5, 254)])
def test_probabilities_are_stored_in_254_steps(p: float, stored: int) -> None:
    (block,) = LATTICE.blocks((20, 50), 64)
    heads = predict_block(FlatReader(p, stop=50), Toy(), block)  # type: ignore[arg-type]
    assert heads.dtype == np.uint8
    assert heads.shape == (len(HEADS), 20, 50)
    assert (heads == stored).all()  # 0.25 × 254 = 63.5 → 64


def test_unobserved_pixels_are_no_data_and_unobserved_tiles_are_not_asked() -> None:
    (block,) = LATTICE.blocks((20, 90), 96)
    toy = Toy()
    heads = predict_block(FlatReader(1, stop=40), toy, block)  # type: ignore[arg-type]
    assert (heads[..., :40] == 254).all()
    assert (heads[..., 40:] == NO_DATA).all()
    assert toy.calls == 2, "of three tiles the last holds no observation"


def test_every_block_is_a_file(scene_path: Path, tmp_path: Path) -> None:
    result = run(scene_path, tmp_path / "work", Toy())
    assert result.ledger == Ledger(blocks=BLOCKS, done=BLOCKS)
    files = sorted((tmp_path / "work" / "blocks").iterdir())
    assert [np.load(file).shape for file in files] == [(len(HEADS), *b.span.size_hw) for b in result.blocks]


@pytest.mark.parametrize("block_px", [32, 64, 96])
@pytest.mark.parametrize("size_hw", [(64, 90), (90, 64), (20, 90), (90, 20), (20, 25)])
def test_spans_are_put_together_from_blocks(tmp_path: Path, size_hw: tuple[int, int], block_px: int) -> None:
    whole = np.random.default_rng(5).integers(0, 255, (len(HEADS), *size_hw), np.uint8)
    blocks = LATTICE.blocks(size_hw, block_px)
    (tmp_path / "blocks").mkdir()
    for block in blocks:
        store_block(block, whole[(slice(None), *block.span.slices())], tmp_path)
    reader = Probabilities(tmp_path, blocks, Ledger()).reader()
    for span in (Span(0, 0, *size_hw), Span(5, 3, 19, 20), Span(size_hw[0] - 1, 0, *size_hw)):
        np.testing.assert_array_equal(reader.read(span), whole[(slice(None), *span.slices())])
    rows, cols = (((np.arange(n := round(size * 16 / max(size_hw))) + 0.5) * size / n).astype(int) for size in size_hw)
    for block in blocks[::2]:
        whole[(slice(None), *block.span.slices())] = NO_DATA
        store_block(block, np.empty((len(HEADS), 0, 0), np.uint8), tmp_path)
    np.testing.assert_array_equal(reader.footprint(Span(0, 0, *size_hw)), whole[0])
    np.testing.assert_array_equal(reader.seen(16), whole[0][np.ix_(rows, cols)] != NO_DATA)


def test_the_reader_gives_spans_and_bands_in_the_order_asked(scene_path: Path, tmp_path: Path) -> None:
    result = run(scene_path, tmp_path / "work", Toy())
    whole = heads_of(result)
    np.testing.assert_array_equal(result.reader().read(Span(10, 40, 30, 85), (2, 0)), whole[[2, 0], 10:30, 40:85])


def test_a_hole_is_no_data_and_blocks_inside_it_skip_the_network(write_scene: WriteScene, tmp_path: Path) -> None:
    hole = (slice(0, 40), slice(32, 90))  # covers blocks 1 and 2 and some rows of 4 and 5
    toy = Toy()
    result = run(write_scene(draw(hole), nodata=0), tmp_path / "work", toy)
    inside = np.zeros(SIZE_HW, bool)
    inside[hole] = True
    np.testing.assert_array_equal(heads_of(result) == NO_DATA, np.broadcast_to(inside, (len(HEADS), *SIZE_HW)))
    assert toy.calls == BLOCKS - 2
    assert result.ledger == Ledger(blocks=BLOCKS, done=BLOCKS, skipped_nodata=2)


def test_a_block_that_fails_once_is_tried_again(scene_path: Path, tmp_path: Path) -> None:
    good = run(scene_path, tmp_path / "good", Toy())
    toy = Toy(fail_at={2})
    result = run(scene_path, tmp_path / "work", toy)
    assert toy.calls == BLOCKS + 1
    assert result.ledger == good.ledger
    np.testing.assert_array_equal(heads_of(result), heads_of(good))


def test_a_block_that_fails_twice_is_in_the_ledger_and_no_data_until_a_later_run(scene_path: Path, tmp_path: Path) -> None:
    good = heads_of(run(scene_path, tmp_path / "good", Toy()))
    result = run(scene_path, tmp_path / "work", Toy(fail_at={4, 5}))  # both tries of block 4: rows 32–63, columns 32–63
    span = {"row0": 32, "col0": 32, "row1": 64, "col1": 64}
    assert result.ledger.failed == [{"index": 4, "span": span, "error": "RuntimeError: out of memory"}]
    assert (result.ledger.done, result.ledger.skipped_nodata) == (BLOCKS - 1, 0)
    expected = good.copy()
    expected[:, 32:64, 32:64] = NO_DATA
    np.testing.assert_array_equal(heads_of(result), expected)
    result = run(scene_path, tmp_path / "work", toy := Toy())
    assert (toy.calls, result.ledger) == (1, Ledger(blocks=BLOCKS, done=BLOCKS, resumed=BLOCKS - 1))
    np.testing.assert_array_equal(heads_of(result), good)


def test_failures_are_listed_by_block_however_they_ended(scene_path: Path, tmp_path: Path) -> None:
    ledger = run(scene_path, tmp_path / "work", Toy(fail_at=range(99)), workers=3).ledger
    assert [f["index"] for f in ledger.failed] == list(range(BLOCKS))
    assert ledger.done == 0
    json.dumps(ledger.failed)


def test_a_work_folder_is_dropped_by_its_own_run_alone(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "run.json").write_text('{"run_key": "mine", "block_px": 1}')
    drop_blocks(tmp_path / "work", "another")
    assert (tmp_path / "work").exists()
    drop_blocks(tmp_path / "work", "mine")
    drop_blocks(tmp_path / "work", "mine")
    assert not (tmp_path / "work").exists()


def test_an_interrupt_ends_the_run_and_keeps_finished_blocks(scene_path: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    with pytest.raises(Kill):
        run(scene_path, work, Toy(fail_at=range(3, 99), error=Kill))
    (work / "blocks" / ".0000003.ab.part.npy").write_bytes(b"half a block")
    toy = Toy()
    result = run(scene_path, work, toy)
    assert (toy.calls, result.ledger.resumed, result.ledger.done) == (3, 3, BLOCKS)
    np.testing.assert_array_equal(heads_of(result), heads_of(run(scene_path, tmp_path / "good", Toy())))
    assert not list(work.rglob("*.part*"))


@pytest.mark.parametrize("other", [{"run_key": "other"}, {"block_px": 64}])
def test_blocks_of_another_run_are_thrown_away(scene_path: Path, tmp_path: Path, other: dict[str, Any]) -> None:
    run(scene_path, tmp_path / "work", Toy())
    assert run(scene_path, tmp_path / "work", Toy(), **other).ledger.resumed == 0


@pytest.mark.parametrize("note", [None, b"{", b"[]"])
def test_blocks_of_an_unknown_run_are_thrown_away(scene_path: Path, tmp_path: Path, note: bytes | None) -> None:
    run(scene_path, tmp_path / "work", Toy())
    path = tmp_path / "work" / "run.json"
    path.unlink() if note is None else path.write_bytes(note)
    assert run(scene_path, tmp_path / "work", Toy()).ledger.resumed == 0
    assert run(scene_path, tmp_path / "work", Toy()).ledger.resumed == BLOCKS


@pytest.mark.parametrize("fail_at", [(), (0, 1)])
def test_progress_counts_every_block_to_the_end(scene_path: Path, tmp_path: Path, fail_at: tuple[int, ...]) -> None:
    seen: list[tuple[str, int, int]] = []
    run(scene_path, tmp_path / "work", Toy(fail_at), progress=lambda *step: seen.append(step))
    assert seen == [("network", n, BLOCKS) for n in range(BLOCKS + 1)]


def test_a_temperature_changes_what_is_told_but_no_order() -> None:
    for temperature in (0.5, 1.0, 2.0):
        told = calibrated(temperature)
        assert told.shape == (256,) and told[255] == NO_DATA and told[0] == 0 and told[254] == 254 and told[127] == 127
        assert (np.diff(told[:255].astype(int)) >= 0).all()
    assert (calibrated(1.0) == np.arange(256)).all()
    assert calibrated(2.0)[200] < 200 < calibrated(0.5)[200]


def test_two_threads_read_through_one_file(scene_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scene, opened = open_scene(scene_path), []
    real = type(scene).reader
    monkeypatch.setattr(type(scene), "reader", lambda self, grid: (opened.append(grid), real(self, grid))[1])
    for workers, most in ((1, 1), (2, 1), (4, 2)):
        opened.clear()
        grid = scene.work_grid(0.5)
        predict_probabilities(scene, grid, LATTICE, Threads(Toy(), workers), tmp_path / str(workers), run_key="key", block_px=32)
        assert 1 <= len(opened) <= most


def test_blocks_with_the_largest_tiles_come_first() -> None:
    """4 × 4 tiles of which 4 are inside the scene; those have a halo on each side."""
    blocks = Lattice(64, 32, 32).blocks((256, 256), 64)
    inside = [5, 6, 9, 10]
    assert [b.index for b in largest_first(blocks, 2)] == [5, 6, *(i for i in range(16) if i not in inside[:2])]
    assert [b.index for b in largest_first(blocks, 0)] == list(range(16))
    assert [b.index for b in largest_first(blocks[:1], 8)] == [0]


def test_threads_compute_the_largest_tiles_first(tmp_path: Path, write_scene: WriteScene) -> None:
    shapes: list[tuple[int, ...]] = []

    class Noting(Toy):
        def predict(
            self, values: NDArray[np.float32], margins: Margins = NO_MARGINS, seen: NDArray[np.bool_] | None = None
        ) -> NDArray[np.float32]:
            shapes.append(values.shape[1:])
            return super().predict(values, margins, seen)

    scene = open_scene(write_scene(np.full((3, 128, 128), 90, np.uint8)))
    predict_probabilities(scene, scene.work_grid(0.5), LATTICE, Threads(Noting()), tmp_path / "work", run_key="key", block_px=32)
    assert shapes[:2] == [(96, 96), (64, 64)], "one inside the scene, then that in the first corner"
