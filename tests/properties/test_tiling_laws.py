"""Tiled = whole, whatever the scene's shape, the block size, the workers, the order, or where a run was cut off."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import correlate

from detect.base.grid import NO_MARGINS, Margins, Span
from detect.base.values import NO_DATA, TOP
from detect.network.lattice import Block, Lattice
from detect.network.probabilities import Probabilities, Threads, predict_probabilities
from detect.scene.scene import Scene, WorkGrid, open_scene

Network = Callable[[NDArray[np.int64]], NDArray[np.float64]]
STRIDE = 32
law = settings(max_examples=30, deadline=None)


class Toy:
    """A network on integers (values × 254), so that its sums are exact in any order; may break after some calls."""

    def __init__(self, network: Network, breaks_after: int | None = None, error: type[BaseException] = RuntimeError) -> None:
        self.calls = 0
        self._network, self._breaks_after, self._error, self._lock = network, breaks_after, error, threading.Lock()

    def predict(
        self, values: NDArray[np.float32], margins: Margins = NO_MARGINS, seen: NDArray[np.bool_] | None = None
    ) -> NDArray[np.float32]:
        with self._lock:
            self.calls += 1
            if self._breaks_after is not None and self.calls > self._breaks_after:
                raise self._error("cut off")
        shown = self._network(np.rint(values * TOP).astype(np.int64))
        return (shown[([0, 1, 2, 1, 0], *margins.inside(values.shape[1:]))] / TOP).astype(np.float32)

    def rest(self) -> None:
        pass


class Kill(BaseException):
    """Ends a run as an interrupt does."""


@dataclass(frozen=True)
class Shuffled(Lattice):
    """The same blocks in another order."""

    seed: int = 0

    def blocks(self, size_hw: tuple[int, int], block_px: int) -> tuple[Block, ...]:
        blocks = super().blocks(size_hw, block_px)
        return tuple(blocks[i] for i in np.random.default_rng(self.seed).permutation(len(blocks)))


def identity(values: NDArray[np.int64]) -> NDArray[np.float64]:
    return values.astype(float)


def convolution(radius: int) -> Network:
    """Zero padding at the border of what it sees, as in a real network; the kernel has no symmetry."""
    side = 2 * radius + 1
    kernel = np.random.default_rng(radius).integers(1, 9, (1, side, side))
    return lambda values: correlate(values, kernel, mode="constant") / kernel.sum()


def strided(reach: int) -> Network:
    """Means of 32 × 32 pixels, mixed with those of ``reach`` neighbours, then enlarged again."""

    def network(values: NDArray[np.int64]) -> NDArray[np.float64]:
        bands, height, width = values.shape
        sums = values.reshape(bands, height // STRIDE, STRIDE, width // STRIDE, STRIDE).sum(axis=(2, 4))
        kernel = np.arange(1, (2 * reach + 1) ** 2 + 1).reshape(1, 2 * reach + 1, -1)
        means = correlate(sums, kernel, mode="constant") / (kernel.sum() * STRIDE**2)
        return means.repeat(STRIDE, axis=1).repeat(STRIDE, axis=2)

    return network


@contextmanager
def drawn_scene(size_hw: tuple[int, int], seed: int, gsd_m: float = 0.5) -> Iterator[tuple[Scene, WorkGrid, Path]]:
    """A GeoTIFF of noise on a ramp with a hole of no data, its work grid, and a folder to work in."""
    rng = np.random.default_rng(seed)
    height, width = size_hw
    picture = rng.integers(1, 120, (3, height, width)) + np.linspace(0, 130, width).astype(int)
    row, col = rng.integers(0, height), rng.integers(0, width)
    picture[:, row : row + height // 2, col : col + width // 2] = 0
    profile = {"driver": "GTiff", "dtype": "uint8", "count": 3, "height": height, "width": width, "nodata": 0}
    place = Affine(0.5, 0, 593_270, 0, -0.5, 5_747_657)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scene.tif"
        with rasterio.open(path, "w", crs="EPSG:32631", transform=place, **profile) as out:
            out.write(picture.astype(np.uint8))
        scene = open_scene(path)
        yield scene, scene.work_grid(gsd_m), Path(folder)


def whole(scene: Scene, grid: WorkGrid, network: Network, lattice: Lattice) -> NDArray[np.uint8]:
    """The heads from a single pass over the whole scene, with nothing around it."""
    everything = Span(0, 0, *grid.size_hw)
    tile = lattice.tile(everything, grid.size_hw)
    with scene.reader(grid) as reader:
        values, valid = reader.read(tile.input)
    kept = everything.shift(tile.margins.top, tile.margins.left).slices()
    heads = np.floor(Toy(network).predict(values)[(slice(None), *kept)] * TOP + 0.5).astype(np.uint8)
    heads[:, ~valid[kept]] = NO_DATA
    return heads


def heads_of(result: Probabilities, grid: WorkGrid) -> NDArray[np.uint8]:
    return result.reader().read(Span(0, 0, *grid.size_hw))


def oblong(least: int, most: int) -> st.SearchStrategy[tuple[int, int]]:
    sides = st.integers(least, most)
    return st.tuples(sides, sides).filter(lambda s: s[0] != s[1])


@law
@given(size_hw=oblong(0, 400), core=st.integers(1, 4), halo=st.integers(0, 3), block_px=st.integers(1, 500))
def test_cores_partition_any_scene(size_hw: tuple[int, int], core: int, halo: int, block_px: int) -> None:
    lattice = Lattice(core * STRIDE, halo * STRIDE, STRIDE)
    around = Span(0, 0, *(-(-n // STRIDE) * STRIDE for n in size_hw))
    count = np.zeros(size_hw, int)
    for number, block in enumerate(lattice.blocks(size_hw, block_px)):
        assert block.index == number
        for tile in block.tiles:
            assert not tile.core.is_empty
            assert tile.core.intersect(block.span) == tile.core
            wanted = tile.core.pad(lattice.halo_px)
            assert wanted.intersect(tile.input) == wanted.intersect(around)
            assert tile.input.intersect(around) == tile.input
            assert all(n % STRIDE == 0 for n in (*tile.input.size_hw, tile.input.row0, tile.input.col0))
            count[tile.core.slices()] += 1
    assert (count == 1).all()


@st.composite
def pixelwise(draw: st.DrawFn) -> tuple[Network, Lattice, tuple[int, int]]:
    """A convolution (or, of radius 0, none) that the halo covers, and a scene."""
    radius = draw(st.integers(0, 4))
    lattice = Shuffled(draw(st.integers(5, 40)), draw(st.integers(radius, 9)), 1, seed=draw(st.integers(0, 9)))
    return convolution(radius) if radius else identity, lattice, draw(oblong(1, 60))


@st.composite
def in_strides(draw: st.DrawFn) -> tuple[Network, Lattice, tuple[int, int]]:
    """A strided network, which looks less than ``reach`` + 1 strides away, a halo that covers it, and a scene."""
    reach = draw(st.integers(0, 1))
    halo = STRIDE * draw(st.integers(reach + 1, 2))
    core, seed = STRIDE * draw(st.integers(1, 3)), draw(st.integers(0, 9))
    return strided(reach), Shuffled(core, halo, STRIDE, seed=seed), draw(oblong(1, 170))


@law
@given(
    case=pixelwise() | in_strides(), seed=st.integers(0, 99), gsd_m=st.sampled_from((0.5, 0.43, 0.8)),
    block_px=st.integers(1, 200), workers=st.integers(1, 4),
)  # fmt: skip
def test_tiled_equals_whole(
    case: tuple[Network, Lattice, tuple[int, int]], seed: int, gsd_m: float, block_px: int, workers: int
) -> None:
    network, lattice, size_hw = case
    with drawn_scene(size_hw, seed, gsd_m) as (scene, grid, work):
        result = predict_probabilities(
            scene, grid, lattice, Threads(Toy(network), workers), work / "work", run_key="key", block_px=block_px
        )
        assert result.ledger.done == result.ledger.blocks
        np.testing.assert_array_equal(heads_of(result, grid), whole(scene, grid, network, lattice))


@settings(max_examples=15, deadline=None)
@given(
    size_hw=oblong(20, 70), seed=st.integers(0, 99), calls=st.integers(0, 12), error=st.sampled_from((RuntimeError, Kill)),
    workers=st.integers(1, 3), lost=st.sets(st.integers(0, 15)),
)  # fmt: skip
def test_a_run_that_was_cut_off_and_resumed_gives_the_same_bytes(
    size_hw: tuple[int, int], seed: int, calls: int, error: type[BaseException], workers: int, lost: set[int]
) -> None:
    lattice, network = Lattice(16, 4, 1), convolution(2)
    with drawn_scene(size_hw, seed) as (scene, grid, folder):

        def run(name: str, toy: Toy) -> Probabilities:
            return predict_probabilities(scene, grid, lattice, Threads(toy, workers), folder / name, run_key="key", block_px=16)

        straight = Toy(network)
        good = run("good", straight)
        with suppress(Kill):
            run("cut", Toy(network, breaks_after=calls, error=error))
        for index in lost:
            (folder / "cut" / "blocks" / f"{index:07d}.npy").unlink(missing_ok=True)
        kept = len(list((folder / "cut" / "blocks").glob("*.npy")))
        resumed = run("cut", Toy(network))
        assert (resumed.ledger.resumed, resumed.ledger.done) == (kept, good.ledger.blocks)
        np.testing.assert_array_equal(heads_of(resumed, grid), heads_of(good, grid))
        assert straight.calls == good.ledger.blocks - good.ledger.skipped_nodata
