"""A GPU's way through a scene, on torch's CPU device: the same bytes however tiles are read, batched and stored; failures in one line."""

from __future__ import annotations

import logging
import re
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import geopandas as gpd
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from rasterio.features import rasterize
from torch import Tensor, nn

from detect.base.errors import InputError
from detect.base.grid import NO_MARGINS, Margins, Span
from detect.base.values import NO_DATA, TOP
from detect.network import device, pipeline
from detect.network.backends import FlipAveraged, OnnxBackend, normalisation
from detect.network.device import DeviceError, TorchBackend, resampled
from detect.network.lattice import Lattice
from detect.network.pipeline import Pipeline
from detect.network.probabilities import Probabilities, Runner, Threads, as_stored, predict_probabilities
from detect.network.weights import Weights, load_weights
from detect.scene.reader import SceneReader
from detect.scene.resample import MOST_TAPS, Taps
from detect.scene.scene import open_scene
from detect.simulate import simulate_compounds

WriteScene = Callable[..., Path]
SIZE_HW = (70, 150)  # 3 × 5 tiles of 32 px
TILES = 15
LATTICE = Lattice(core_px=32, halo_px=0, stride_px=32)
WIDE = replace(LATTICE, halo_px=32)


class Toy(nn.Module):
    """A network that shows the picture itself, as logits; ``fail`` is called with each batch."""

    def __init__(self, fail: Callable[[Tensor], None] = lambda image: None) -> None:
        super().__init__()
        self.passes, self.fail = 0, fail

    def forward(self, image: Tensor, margins: Margins, seen: Tensor | None = None) -> Tensor:
        self.passes += 1
        self.fail(image)
        return 2 * image[:, [0, 1, 2, 0, 1]][(..., *margins.inside((image.shape[2], image.shape[3])))]


class ToyOnCpu:
    """The same network, tile by tile."""

    def predict(
        self, values: NDArray[np.float32], margins: Margins = NO_MARGINS, seen: NDArray[np.bool_] | None = None
    ) -> NDArray[np.float32]:
        mean, sd = normalisation(load_weights())
        logits = 2 * ((values - mean) / sd)[([0, 1, 2, 0, 1], *margins.inside(values.shape[1:]))]
        odds = np.exp(logits[2:])
        return np.concatenate([1 / (1 + np.exp(-logits[:2])), odds / odds.sum(axis=0)])

    def rest(self) -> None:
        pass


def weights_of(tile: Lattice) -> Weights:
    weights = load_weights("deep")
    return replace(weights, card=replace(weights.card, tile=tile))


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Pipeline]:
    def open_fake(batch: int = 4, readers: int = 2, toy: Toy | None = None, lattice: Lattice = LATTICE) -> Pipeline:
        monkeypatch.setattr(device, "core_network", lambda weights: toy or Toy())
        return Pipeline(TorchBackend(weights_of(lattice), "cpu", batch=batch), readers)

    return open_fake


def draw(dtype: str = "uint8") -> NDArray[np.generic]:
    rng = np.random.default_rng(3)
    ground = np.kron(rng.random((3, 14, 15)), np.ones((5, 10))) * 200
    values = np.clip(ground + rng.normal(0, 15, ground.shape) + 20, 1, 255)
    return (values * (1 if dtype == "uint8" else 7)).astype(dtype)


def run(
    path: Path, folder: Path, runner: Runner, gsd_m: float = 0.5, lattice: Lattice = LATTICE, **options: Any
) -> Probabilities:
    scene = open_scene(path)
    return predict_probabilities(
        scene, scene.work_grid(gsd_m), lattice, runner, folder, **({"run_key": "key", "block_px": 32} | options)
    )


def heads_of(result: Probabilities, size_hw: tuple[int, int] = SIZE_HW) -> NDArray[np.uint8]:
    return result.reader().read(Span(0, 0, *size_hw))


@pytest.mark.parametrize(("batch", "readers", "block_px"), [(1, 1, 32), (2, 3, 64), (16, 5, 96), (15, 1, 1024)])
def test_batches_readers_and_blocks_change_no_byte(
    write_scene: WriteScene, tmp_path: Path, fake: Callable[..., Pipeline], batch: int, readers: int, block_px: int
) -> None:
    path = write_scene(draw())
    usual = run(path, tmp_path / "usual", fake())
    toy = Toy()
    other = run(path, tmp_path / "other", fake(batch, readers, toy), block_px=block_px)
    np.testing.assert_array_equal(heads_of(other), heads_of(usual))
    assert toy.passes == -(-TILES // batch), "tiles of several blocks share a batch"
    assert usual.ledger.done == TILES and not usual.ledger.failed


@pytest.mark.parametrize("gsd_m", [0.35, 0.57, 0.93])
def test_the_device_reads_a_scene_as_the_cpu_does(
    write_scene: WriteScene, tmp_path: Path, fake: Callable[..., Pipeline], gsd_m: float
) -> None:
    path = write_scene(draw())
    size_hw = open_scene(path).work_grid(gsd_m).size_hw
    ours = heads_of(run(path, tmp_path / "gpu", fake(), gsd_m), size_hw).astype(int)
    theirs = heads_of(run(path, tmp_path / "cpu", Threads(ToyOnCpu()), gsd_m), size_hw)
    assert np.abs(ours - theirs).max() <= 1
    assert (ours == theirs).mean() > 0.999, "they differ where a rounding falls the other way"
    assert ours.std() > 20


def test_the_taps_of_a_tile_give_what_the_reader_reads(write_scene: WriteScene) -> None:
    scene = open_scene(write_scene(draw()))
    grid = scene.work_grid(0.67)
    with scene.reader(grid) as reader:
        for span in (Span(-40, -30, 50, 60), Span(0, 0, *grid.size_hw), Span(20, 70, 100, 160), Span(50, 110, 54, 300)):
            values, _ = reader.read(span)
            native = reader.unresampled(span)
            assert native is not None
            stretch = reader.stretch_of_native[:, None, None]
            x = torch.from_numpy(native[0])[None].float()
            for axis, taps in enumerate(native[1:], start=2):
                x = resampled(x, *(torch.from_numpy(t)[None] for t in (taps.pixels, taps.weights)), axis)
            ours = np.clip((x[0].numpy() - stretch[:3]) / stretch[3:6], 0, 1) ** stretch[6]
            assert np.abs(ours - values).max() < 1e-5


@pytest.mark.parametrize("kind", ["16 bits", "hole", "reduced"])
def test_what_the_device_cannot_resample_comes_in_8_bits(
    write_scene: WriteScene, tmp_path: Path, fake: Callable[..., Pipeline], kind: str
) -> None:
    values, gsd_m, toy = draw("uint16" if kind == "16 bits" else "uint8"), 1.3 if kind == "reduced" else 0.5, Toy()
    if kind == "hole":
        values[:, :33, 30:100] = 0  # all of the cores of tiles 1 and 2, and parts of others
    path = write_scene(values, nodata=0)
    size_hw = open_scene(path).work_grid(gsd_m).size_hw
    result = run(path, tmp_path / "gpu", fake(1, toy=toy), gsd_m)
    expected = run(path, tmp_path / "cpu", Threads(ToyOnCpu()), gsd_m)
    ours, theirs = (heads_of(one, size_hw) for one in (result, expected))
    np.testing.assert_array_equal(ours == NO_DATA, theirs == NO_DATA)
    assert np.abs(ours.astype(int) - theirs).max() <= 2
    assert result.ledger == expected.ledger
    assert toy.passes == {"16 bits": TILES, "hole": TILES - 2, "reduced": 2}[kind]


def test_a_batch_that_is_not_full_has_its_shape_and_answers_for_its_tiles_alone(fake: Callable[..., Pipeline]) -> None:
    shapes: list[tuple[int, ...]] = []
    backend = fake(4, toy=Toy(lambda image: shapes.append(tuple(image.shape))), lattice=WIDE)._backend
    taps = Taps(0, 96, np.zeros((96, MOST_TAPS), np.int32), np.full((96, MOST_TAPS), 1 / MOST_TAPS, np.float32))
    stretch = np.array([0, 0, 0, 255, 255, 255, 1], np.float32)
    tile = device.TileInput(np.full((3, 96, 96), 200, np.uint8), taps, taps, stretch, Margins(32, 32, 32, 32))
    [answers] = backend.submit([tile], backend.native_px((1.0, 1.0)))
    [heads] = answers.get()
    assert heads is not None and heads.shape == (5, 32, 32) and heads.dtype == np.uint8
    logit = 2 * (200 / 255 - 0.5) / 0.5
    assert (heads[0] == int(254 / (1 + np.exp(-logit)) + 0.5)).all() and (heads[2] == 85).all()
    assert shapes == [(4, 3, 96, 96)]


def test_averaging_flips_is_done_on_the_device(write_scene: WriteScene, tmp_path: Path, fake: Callable[..., Pipeline]) -> None:
    class Leaning(Toy):
        """What it answers for a pixel depends on the pixel to the left, so a mirrored tile has another answer."""

        def forward(self, image: Tensor, margins: Margins, seen: Tensor | None = None) -> Tensor:
            return super().forward(image.roll(1, dims=3), margins)

    path = write_scene(draw())
    plain = heads_of(run(path, tmp_path / "plain", fake(lattice=WIDE), lattice=WIDE)).astype(int)
    averaged = fake(toy=(toy := Leaning()), lattice=WIDE)
    averaged._backend.average_flips()
    found = heads_of(run(path, tmp_path / "flips", averaged, lattice=WIDE)).astype(int)
    left, right = (np.roll(plain, by, axis=2)[:, :, 40:110] for by in (1, -1))
    assert np.abs(found[:, :, 40:110] - (left + right) / 2).max() <= 1
    assert toy.passes == 4 * 9, "tiles in corners, at sides and inside have batches of their own"


@pytest.mark.parametrize("graph_from", [1, 99])
def test_streams_and_a_graph_change_no_byte(
    write_scene: WriteScene, tmp_path: Path, fake: Callable[..., Pipeline], monkeypatch: pytest.MonkeyPatch, graph_from: int
) -> None:
    """What a real GPU runs, with stand-ins for streams, events, page-locked memory and CUDA graphs."""
    path, plain, replays = write_scene(draw()), fake(), 0
    expected = heads_of(run(path, tmp_path / "plain", plain))
    computed, empty = TorchBackend._computed, torch.empty
    capturing: list[Graph] = []

    class Graph:
        """Computes again into the tensors that it gave when it was captured."""

        recorded: tuple[Any, ...]

        def replay(self) -> None:
            nonlocal replays
            replays += 1
            backend, inputs, outputs = self.recorded
            with torch.inference_mode():
                for old, new in zip(outputs, computed(backend, *inputs), strict=True):
                    old.copy_(new)

    @contextmanager
    def capture(graph: Graph) -> Iterator[None]:
        capturing.append(graph)
        yield
        capturing.pop()

    def recorded(self: TorchBackend, *inputs: Any) -> tuple[Tensor, Tensor]:
        outputs = computed(self, *inputs)
        for graph in capturing:
            graph.recorded = (self, inputs, outputs)
        return outputs

    stand_ins: dict[str, Any] = {
        "Stream": lambda _: MagicMock(), "Event": MagicMock, "current_stream": MagicMock(), "stream": lambda _: nullcontext(),
        "device": lambda _: nullcontext(), "CUDAGraph": Graph, "graph": capture,
    }  # fmt: skip
    for name, value in stand_ins.items():
        monkeypatch.setattr(torch.cuda, name, value)
    monkeypatch.setattr(torch, "empty", lambda *args, pin_memory=False, **options: empty(*args, **options))
    monkeypatch.setattr(TorchBackend, "_computed", recorded)
    monkeypatch.setattr(pipeline, "GRAPH_FROM_TILES", graph_from)
    gpu = fake()
    backend = gpu._backend
    backend._cuda, backend._up, backend._work, backend._down = True, MagicMock(), MagicMock(), MagicMock()
    np.testing.assert_array_equal(heads_of(run(path, tmp_path / "gpu", gpu)), expected)
    assert replays == (4 if graph_from == 1 else 0)
    assert backend._work.wait_stream.call_args_list == [((backend._up,),)] * 4
    assert backend._down.wait_stream.call_args_list == [((backend._work,),)] * 4


def test_a_device_that_fails_ends_in_one_line_and_keeps_finished_blocks(
    write_scene: WriteScene, tmp_path: Path, fake: Callable[..., Pipeline]
) -> None:
    def fail(image: Tensor) -> None:
        if toy.passes == 4:
            raise RuntimeError("CUDA error: an illegal memory access was encountered\nCompile with `TORCH_USE_CUDA_DSA`")

    path, toy, threads = write_scene(draw()), Toy(fail), threading.active_count()
    with pytest.raises(
        DeviceError, match=r"^--device cpu: the device failed \(CUDA error: an illegal .*\); the same command"
    ) as said:
        run(path, tmp_path / "work", fake(toy=toy))
    assert "\n" not in str(said.value) and said.value.exit_code == 1
    result = run(path, tmp_path / "work", fake())
    assert 0 < result.ledger.resumed < TILES
    assert threading.active_count() == threads, "readers and writers have ended"
    np.testing.assert_array_equal(heads_of(result), heads_of(run(path, tmp_path / "good", fake())))


def test_too_little_memory_halves_the_batch_once(write_scene: WriteScene, tmp_path: Path, fake: Callable[..., Pipeline]) -> None:
    def fail(image: Tensor) -> None:
        if len(image) > limit:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")

    path, limit = write_scene(draw()), 2
    with pytest.warns(UserWarning, match=r"too little free memory for 4 tiles at a time; computing 2\."):
        result = run(path, tmp_path / "work", fake(toy=Toy(fail)))
    np.testing.assert_array_equal(heads_of(result), heads_of(run(path, tmp_path / "good", fake())))
    limit = 1
    with warnings.catch_warnings(), pytest.raises(DeviceError, match=r"too little free memory for 2 tiles .*end other programs"):
        warnings.simplefilter("ignore")
        run(path, tmp_path / "none", fake(toy=Toy(fail)))


def test_answers_that_are_no_numbers_fail_their_block_alone(
    write_scene: WriteScene, tmp_path: Path, fake: Callable[..., Pipeline]
) -> None:
    def fail(image: Tensor) -> None:
        if toy.passes == 2:
            image[1, :, 8, 8] = torch.nan

    toy = Toy(fail)
    result = run(write_scene(draw()), tmp_path / "work", fake(toy=toy))
    assert [(f["index"], f["error"]) for f in result.ledger.failed] == [
        (5, "ValueError: the network gave values that are not numbers")
    ]
    assert (heads_of(result)[:, 32:64, :32] == NO_DATA).all()
    assert result.ledger.done == TILES - 1


@pytest.mark.parametrize("times", [1, 2])
def test_a_tile_is_read_twice_before_its_block_fails(
    write_scene: WriteScene, tmp_path: Path, fake: Callable[..., Pipeline], monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    read, tried = pipeline.read_tile, []

    def broken(reader: SceneReader, tile: Any) -> Any:
        if (tile.core.row0, tile.core.col0) == (32, 64):
            tried.append(reader)
            if len(tried) <= times:
                raise RuntimeError("a cosmic ray")
        return read(reader, tile)

    monkeypatch.setattr(pipeline, "read_tile", broken)
    ledger = run(write_scene(draw()), tmp_path / "work", fake()).ledger
    assert [f["index"] for f in ledger.failed] == ([7] if times == 2 else [])
    assert len(tried) == 2 and tried[0] is not tried[1]


def test_a_damaged_scene_ends_the_run(
    write_scene: WriteScene, tmp_path: Path, fake: Callable[..., Pipeline], monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaged(*_: object) -> None:
        raise InputError("tiny.tif: is damaged")

    monkeypatch.setattr(pipeline, "read_tile", damaged)
    with pytest.raises(InputError, match="is damaged"):
        run(write_scene(draw()), tmp_path / "work", fake())
    assert not (tmp_path / "work").exists()


def test_blocks_of_a_cpu_and_a_gpu_are_not_mixed(write_scene: WriteScene, tmp_path: Path, fake: Callable[..., Pipeline]) -> None:
    path = write_scene(draw())
    run(path, tmp_path / "work", Threads(ToyOnCpu()))
    assert run(path, tmp_path / "work", fake()).ledger.resumed == 0
    assert run(path, tmp_path / "work", fake()).ledger.resumed == TILES


def test_a_run_says_what_it_spent_its_time_on(
    write_scene: WriteScene, tmp_path: Path, fake: Callable[..., Pipeline], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, "detect.network.pipeline"):
        run(write_scene(draw()), tmp_path / "work", fake())
    [record] = caplog.records
    assert re.fullmatch(r"15 tiles; (\d+\.\d\d s [a-z ]+(, )?){4}", record.getMessage())


@pytest.mark.parametrize("tta", [False, True])
@pytest.mark.parametrize("core_px", [256, 64])
def test_a_scene_has_nothing_around_it_on_either_device(write_scene: WriteScene, tmp_path: Path, core_px: int, tta: bool) -> None:
    weights = weights_of(Lattice(core_px=core_px, halo_px=160, stride_px=32))  # the halo reaches the scene's edges
    path = write_scene(draw())
    gpu, cpu = TorchBackend(weights, "cpu", batch=2), OnnxBackend(weights)
    if tta:
        gpu.average_flips()
    runners: dict[str, Runner] = {"gpu": Pipeline(gpu, 1), "cpu": Threads(FlipAveraged(cpu) if tta else cpu)}
    heads = {n: heads_of(run(path, tmp_path / n, r, lattice=weights.lattice)) for n, r in runners.items()}
    assert np.abs(heads["gpu"].astype(int) - heads["cpu"]).max() <= 1
    scene = open_scene(path)
    with scene.reader(scene.work_grid(0.5)) as reader:
        values, _ = reader.read(Span(0, 0, 96, 160))
    bare = as_stored((FlipAveraged(cpu) if tta else cpu).predict(values)[:, : SIZE_HW[0], : SIZE_HW[1]])
    apart = np.abs(heads["cpu"].astype(int) - bare)
    assert apart.max() <= (core_px < 256), "one pass over the whole scene"


def test_tiles_of_one_shape_share_batches_whatever_the_readers(
    write_scene: WriteScene, tmp_path: Path, fake: Callable[..., Pipeline]
) -> None:
    """5 × 3 tiles: 4 in corners, 6 above and below, 2 at the sides, 3 inside; the last row and column are as wide as the others."""
    shapes: list[tuple[int, ...]] = []
    path = write_scene(draw())
    toy = Toy(lambda image: shapes.append(tuple(image.shape)))
    found = heads_of(run(path, tmp_path / "gpu", fake(2, readers=3, toy=toy, lattice=WIDE), lattice=WIDE))
    corners, ends, sides, inside = [(1, 3, 64, 64)] * 4, [(2, 3, 64, 96)] * 4, [(1, 3, 96, 64)] * 2, [(2, 3, 96, 96)] * 2
    assert sorted(shapes) == sorted(corners + ends + sides + inside), "no more places than the scene has tiles of a shape"
    again = heads_of(run(path, tmp_path / "again", fake(2, readers=1, lattice=WIDE), lattice=WIDE, block_px=96))
    np.testing.assert_array_equal(found, again)
    theirs = heads_of(run(path, tmp_path / "cpu", Threads(ToyOnCpu()), lattice=WIDE)).astype(int)
    assert np.abs(found - theirs).max() <= 1


@pytest.mark.parametrize("core_px", [256, 64])
def test_holes_are_seen_by_neither_device_whatever_they_hold(write_scene: WriteScene, tmp_path: Path, core_px: int) -> None:
    """The right part of a scene has no data, and the network answers for the left one as if the scene ended there."""
    weights, picture = weights_of(Lattice(core_px=core_px, halo_px=160, stride_px=32)), draw()
    rows, cols = 32, 96  # in whole strides, which both devices see at any scale
    cut = write_scene(picture[:, :rows, :cols], name="cut.tif")
    hole = picture.copy()
    hole[:, :, cols:] = hole[:, rows:] = 0
    runners: dict[str, Runner] = {"gpu": Pipeline(TorchBackend(weights, "cpu", batch=2), 1), "cpu": Threads(OnnxBackend(weights))}
    wholes = {n: heads_of(run(cut, tmp_path / f"{n}_cut", r, lattice=weights.lattice), (rows, cols)) for n, r in runners.items()}
    scene = write_scene(hole, name="hole.tif", nodata=0)
    for name, runner in runners.items():
        found = heads_of(run(scene, tmp_path / name, runner, lattice=weights.lattice))
        assert (found[:, rows:] == NO_DATA).all() and (found[:, :, cols:] == NO_DATA).all()
        apart = np.abs(found[:, :rows, :cols].astype(int) - wholes[name])
        assert apart.max() <= 10 and wholes[name].std() > 20, "the scene's last pixels are read a little otherwise"


def test_a_scene_of_one_tile_is_a_batch_of_one(write_scene: WriteScene, tmp_path: Path, fake: Callable[..., Pipeline]) -> None:
    shapes: list[tuple[int, ...]] = []
    lattice = Lattice(160, 32, 32)
    gpu = fake(8, toy=Toy(lambda image: shapes.append(tuple(image.shape))), lattice=lattice)
    run(write_scene(draw()), tmp_path / "gpu", gpu, lattice=lattice)
    assert shapes == [(1, 3, 96, 160)]


def in_halves(network: nn.Module) -> None:
    """Round weights and the results of all layers to float16, as a GPU does that sums in float32; a CPU is slow in float16."""
    for parameter in network.parameters():
        parameter.data = parameter.data.half().float()
    network.register_forward_pre_hook(lambda module, given: (given[0].half().float(), *given[1:]))
    for module in network.modules():
        if not list(module.children()):
            module.register_forward_hook(lambda module, given, result: result.half().float())


def test_the_network_in_float16_finds_what_it_finds_in_float32(tmp_path: Path) -> None:
    (path,), truth = simulate_compounds(tmp_path / "drawn", seed=2, preset="rows", gsd_m=0.5, dormitories=3, margin_m=20)
    weights = weights_of(Lattice(core_px=256, halo_px=64, stride_px=32))
    grid = open_scene(path).work_grid(0.5)
    backend = TorchBackend(weights, "cpu", batch=2)
    in_halves(backend._network)
    ours, theirs = (
        heads_of(run(path, tmp_path / name, runner, lattice=weights.lattice), grid.size_hw)
        for name, runner in (("gpu", Pipeline(backend, 1)), ("cpu", Threads(OnnxBackend(weights))))
    )
    threshold = weights.card.thresholds.footprint * TOP
    drawn = gpd.read_file(truth, layer="buildings").geometry
    built = rasterize(drawn, grid.size_hw, transform=grid.transform).astype(bool)
    shared, found = np.array([((h[0] >= threshold) & built, h[0] >= threshold) for h in (ours, theirs)]).sum(axis=(2, 3)).T
    iou, f1 = shared / (found + built.sum() - shared), 2 * shared / (found + built.sum())
    assert f1[1] > 0.3, "it finds what was drawn"
    assert np.ptp(iou) < 0.003 and np.ptp(f1) < 0.003
    assert np.abs(ours.astype(int) - theirs)[:, built].mean() < 1
