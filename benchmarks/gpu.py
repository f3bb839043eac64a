"""How fast a GPU goes: the bare network, and `detect predict --device cuda` on a large scene, split into its stages.

    python benchmarks/gpu.py [--before CHECKOUT] [--megapixels N] [--before-megapixels N] [--workers N] [--seconds N] [--fake]

Takes less than five minutes of one GPU with 16 cores, of which Inductor's compiling is one. From this folder of the repository it runs
without being installed. It needs Python 3.11 and the packages of the extra `gpu` with those of the core (pip install '.[gpu]': torch,
torchvision, segmentation-models-pytorch, rasterio, geopandas, onnx, onnxruntime and so on). What is missing is named; the rest runs.

The scene is a drawn compound of some megapixels, repeated and written as a JPEG GeoTIFF. Each step is a process of its own. Each call of
predict begins with a small scene, so that imports, the driver and kernels that load when they are first used count as start-up; the large
one is timed from opening it to its last file. `--before` runs the code of another checkout on a smaller scene of the same kind.
Rates are in Mpx/s of the cores of tiles, those of predict in Mpx/s of the network's grid.

`--fake` rehearses all of it in seconds, with a CPU in place of the GPU, and says nothing about speed.
Prints a table and writes gpu.json into the folder that the environment variable OUT names, else into benchmarks/results.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

HERE = Path(__file__).resolve().parent
CHILD = "--child"
_FAKE_TILE = {"core_px": 128, "halo_px": 64, "stride_px": 32}
Report = dict[str, Any]


@dataclass(frozen=True)
class Step:
    """What a process of its own does."""

    name: str
    """A key of ``STEPS``."""
    arguments: dict[str, Any]
    checkout: Path = HERE.parent


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, help="another checkout, whose code runs too")
    parser.add_argument("--megapixels", type=float, default=410.0)
    parser.add_argument("--before-megapixels", type=float, default=64.0, help="for the other checkout")
    parser.add_argument("--workers", type=int, help="of predict")
    parser.add_argument("--seconds", type=float, default=285.0, help="all together; a step that would take longer is cut off")
    parser.add_argument("--fake", action="store_true", help="a CPU in place of the GPU, and a tiny scene")
    options = parser.parse_args(arguments)
    ends_s = time.monotonic() + options.seconds
    report: Report = {}
    with tempfile.TemporaryDirectory() as temporary:
        for name, step in _steps(options, Path(temporary)):
            report[name] = _run(step, options.fake, ends_s)
            print(f"{name}: {json.dumps(report[name])}", flush=True)
    _print(report)
    folder = Path(os.environ.get("OUT") or HERE / "results")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "gpu.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return 0 if all("error" not in told for told in report.values()) else 1


def _steps(options: argparse.Namespace, folder: Path) -> list[tuple[str, Step]]:
    sizes = {"small": 4.0, "large": options.megapixels, "before": options.before_megapixels}
    if options.fake:
        sizes = {"small": 0.02, "large": 0.05, "before": 0.02}
    shared = {"folder": str(folder), "fake": options.fake, "workers": options.workers}
    steps = [
        ("machine", Step("machine", shared)),
        ("draw", Step("draw", shared | {"megapixels": sizes})),
        ("processor", Step("processor", shared)),
        ("network", Step("network", shared)),
        ("predict", Step("predict", shared | {"scene": "large", "out": "now"})),
    ]
    if options.before:
        before = shared | {"scene": "before", "out": "before"}
        steps.append(("before", Step("predict", before, options.before.resolve())))
    return [*steps, ("compiled", Step("compiled", shared))]


def _run(step: Step, fake: bool, ends_s: float) -> Report:
    """What a step found; the fake of this checkout runs here, since torch takes longer to load than all of it takes."""
    began_s = time.monotonic()
    try:
        if fake and step.checkout == HERE.parent:
            found = STEPS[step.name](**step.arguments)
        else:
            command = [sys.executable, __file__, CHILD, step.name, json.dumps(step.arguments)]
            environment = os.environ | {"PYTHONPATH": str(step.checkout), "PYTHONUNBUFFERED": "1"}
            left_s = max(1.0, ends_s - time.monotonic())
            done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=step.checkout, timeout=left_s)
            if done.returncode:
                raise RuntimeError((done.stderr.strip().splitlines() or ["no word"])[-1])
            found = json.loads(done.stdout.strip().splitlines()[-1])
    except subprocess.TimeoutExpired as late:
        lines = (late.stdout or b"").decode().strip().splitlines()
        found = (json.loads(lines[-1]) if lines else {}) | {"error": "cut off: the time was up"}
    except Exception as error:  # the other steps still say something
        found = {"error": f"{type(error).__name__}: {error}"[:300]}
    return {**found, "seconds": round(time.monotonic() - began_s, 2)}


# The steps. Each returns numbers, and may print the first of them in case that it is cut off.


def machine(**_: Any) -> Report:
    import torch

    there = torch.cuda.is_available()
    gpu = torch.cuda.get_device_name() if there else "none that torch can use"
    return {"gpu": gpu, "torch": torch.__version__, "cores": os.cpu_count()}


def draw(folder: str, fake: bool, megapixels: dict[str, float], **_: Any) -> Report:
    """JPEG GeoTIFFs by name, of at least so many megapixels."""
    import numpy as np
    import rasterio
    from affine import Affine
    from rasterio.windows import Window

    from detect.simulate import simulate_compounds

    target, gsd_m = Path(folder), 0.3
    rows: Any = {"dormitories": 3, "margin_m": 5.0} if fake else {"compounds": 4}
    (drawn,), _truth = simulate_compounds(target / "drawn", seed=1, preset="rows", gsd_m=gsd_m, **rows)
    with rasterio.open(drawn) as source:
        picture, profile, tags, place = source.read(), source.profile, source.tags(), source.transform
    sizes = {}
    for number, (name, least) in enumerate(megapixels.items()):
        side = (least * 1e6) ** 0.5
        times = [1 if fake else max(1, round(side / n)) for n in picture.shape[1:]]
        while np.prod(times) * picture[0].size < least * 1e6 and not fake:
            times[int(times[0] * picture.shape[1] > times[1] * picture.shape[2])] += 1
        strip = np.tile(picture, (1, 1, times[1]))
        profile |= {
            "transform": place * Affine.translation(0, -number * 200_000),  # they must not share ground
            "height": times[0] * strip.shape[1], "width": strip.shape[2], "compress": "JPEG", "photometric": "YCBCR",
            "interleave": "pixel", "jpeg_quality": 85, "num_threads": "all_cpus", "blockxsize": 512, "blockysize": 512,
        }  # fmt: skip
        profile.pop("predictor", None)
        with rasterio.open(target / f"{name}.tif", "w", **profile) as scene:
            scene.update_tags(**{k: v for k, v in tags.items() if k != "AREA_OR_POINT"})
            for i in range(times[0]):
                scene.write(strip, window=Window(0, i * strip.shape[1], strip.shape[2], strip.shape[1]))
        sizes[name] = round(times[0] * strip.shape[1] * strip.shape[2] / 1e6, 3)
    return {"megapixels": sizes}


def processor(fake: bool, folder: str, **_: Any) -> Report:
    """What is left for the processor, milliseconds of one core for a whole tile.

    A picture stands in for probabilities, which compress better.
    """
    import numpy as np

    from detect.network.device import TorchBackend
    from detect.network.pipeline import _Open, _store, read_tile
    from detect.network.weights import load_weights
    from detect.scene.scene import open_scene

    weights = load_weights(_weights(fake, folder))
    backend = TorchBackend(weights, "cpu")
    scene = open_scene(Path(folder) / ("large.tif" if fake else "small.tif"))
    grid = scene.work_grid(weights.read_gsd_m(scene.gsd_m))
    blocks = weights.lattice.blocks(grid.size_hw, backend.core_px)
    whole = [b for b in blocks if b.tiles[0].input.size_hw == (backend.input_px,) * 2][: backend.batch]
    spent: Report = {}

    def timed(what: str, work: Callable[[], Any]) -> Any:
        began_s = time.thread_time()
        done = work()
        spent[f"{what}, ms"] = round((time.thread_time() - began_s) * 1e3 / len(whole), 2)
        return done

    with scene.reader(grid) as reader:
        reads: Any = timed("read and decode", lambda: [read_tile(reader, b.tiles[0]) for b in whole])
        timed("read, decode and resample, as for a CPU", lambda: [reader.read(b.tiles[0].input) for b in whole])
    timed(
        "fill a batch", lambda: backend._staged([read.input for read in reads], backend.native_px(grid.scale_rc), backend.batch)
    )
    pixels = [read.input.pixels[0, : backend.core_px, : backend.core_px] for read in reads]
    opened = [_Open(b, 0, [(b.tiles[0], np.stack([one] * 5), None)]) for b, one in zip(whole, pixels, strict=True)]
    work = Path(folder) / "work"
    (work / "blocks").mkdir(parents=True)
    timed("store a block", lambda: list(map(_store, opened, [work] * len(opened))))
    return spent


def network(fake: bool, folder: str, **_: Any) -> Report:
    """Rates of the network in batches that lie on the device."""
    import torch

    from detect.base.grid import Margins
    from detect.network.device import TorchBackend
    from detect.network.inference import core_network
    from detect.network.model import load_network
    from detect.network.weights import load_weights

    weights = load_weights(_weights(fake, folder))
    trained: Any = load_network(weights)
    backend = TorchBackend(weights, "cpu" if fake else "cuda", batch=1 if fake else 8)
    rate = _Rate(fake, backend.core_px, backend.batch)
    halo = Margins(*[weights.lattice.halo_px] * 4)
    side = backend.core_px + 2 * weights.lattice.halo_px
    images = torch.rand(backend.batch, 3, side, side)
    found: Report = {}
    dtypes = (
        {"float32": torch.float32} if fake else {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32}
    )
    for name, dtype in dtypes.items():
        placed: Any = {"dtype": dtype, "device": backend.device, "memory_format": torch.channels_last}
        batch = images.to(**placed)
        plain, core = trained.network.to(**placed), partial(cast(Any, core_network(weights)).to(**placed), margins=halo)
        found[f"trained, {name}"] = rate(partial(plain, batch))
        found[f"folded, halo dropped, {name}"] = rate(partial(core, batch))
        if not fake:
            found[f"… as a CUDA graph, {name}"] = rate(_graphed(core, batch))
    noise = [_noise(side, halo)] * backend.batch
    staged = [t.to(backend.device) for t in backend._staged(noise, backend.native_px((1.0, 1.0)), backend.batch)]
    found["all on the device: resampling to bytes"] = rate(lambda: backend._computed(halo, *staged))
    return found


def compiled(fake: bool, folder: str, **_: Any) -> Report:
    """Rates of the network compiled by Inductor, and how long that takes."""
    import torch

    from detect.base.grid import Margins
    from detect.network.inference import core_network
    from detect.network.model import load_network
    from detect.network.weights import load_weights

    weights = load_weights(_weights(fake, folder))
    if fake:
        return {"trained, compiled": 0.0}
    trained: Any = load_network(weights)
    lattice, batch = weights.lattice, 8
    side, rate = lattice.core_px + 2 * lattice.halo_px, _Rate(fake, lattice.core_px, batch)
    found: Report = {}
    halo = {"margins": Margins(*[lattice.halo_px] * 4)}
    for name, plain, more in (("trained", trained.network, {}), ("folded, halo dropped", core_network(weights), halo)):
        placed: Any = {"dtype": torch.float16, "device": "cuda", "memory_format": torch.channels_last}
        ready, images = plain.to(**placed), torch.rand(batch, 3, side, side).to(**placed)
        fast: Any = partial(torch.compile(ready), **more)
        began_s = time.monotonic()
        with torch.inference_mode():
            fast(images)
        found[f"{name}, compiling, s"] = round(time.monotonic() - began_s, 1)
        found[f"{name}, compiled"] = rate(partial(fast, images))
        print(json.dumps(found), flush=True)
    return found


def predict(folder: str, fake: bool, scene: str, out: str, workers: int | None, **_: Any) -> Report:
    """Seconds of predict, from opening the scene to its last file, and of its stages."""
    import detect
    from detect.scene.scene import open_scene

    waits: list[str] = []
    handler = logging.Handler(logging.DEBUG)
    handler.emit = lambda record: waits.append(record.getMessage())  # type: ignore[method-assign]
    log = logging.getLogger("detect.network.pipeline")
    log.addHandler(handler)
    log.setLevel(logging.DEBUG)
    target = Path(folder)
    large = target / f"{scene}.tif"
    began_s = time.monotonic()
    open_scene(large)
    opening_s, began_s = time.monotonic() - began_s, time.monotonic()
    with _faked(fake):
        scenes = [large] if fake else [target / "small.tif", large]
        results: Any = detect.predict(scenes, target / out, device="cuda", weights=_weights(fake, folder), workers=workers)
    result = results[-1]
    all_s = time.monotonic() - began_s
    log.removeHandler(handler)
    timings = result.summary["timings_s"]
    spent_s, size = opening_s + timings["total"], _megapixels(large)
    return {
        "megapixels": round(size, 2),
        "Mpx/s": round(size / spent_s, 2),
        "network stage, Mpx/s": round(size / timings["network"], 2),
        "start-up and a small scene, s": round(all_s - spent_s, 2),
        "opening to files, s": round(spent_s, 2),
        "opening, s": round(opening_s, 2),
        "network, s": timings["network"],
        "buildings, s": timings["buildings"],
        "counting and files, s": round(timings["total"] - timings["network"] - timings["buildings"], 2),
        "buildings": len(result.buildings),
        "network stage": waits[-1] if waits else "not said",
    }


STEPS: dict[str, Callable[..., Report]] = {f.__name__: f for f in (machine, draw, processor, network, compiled, predict)}


# Parts of steps.


@dataclass(frozen=True)
class _Rate:
    """Measures a pass over a batch, Mpx/s of cores."""

    fake: bool
    core_px: int
    batch: int

    def __call__(self, once: Callable[[], Any]) -> float:
        import torch

        def settled() -> float:
            if not self.fake:
                torch.cuda.synchronize()
            return time.perf_counter()

        with torch.inference_mode():
            for _ in range(1 if self.fake else 5):
                once()
            began_s, passes = settled(), 0
            while passes < 1 or (settled() - began_s < 1 and not self.fake):
                for _ in range(1 if self.fake else 10):
                    once()
                    passes += 1
            return round(passes * self.batch * self.core_px**2 / 1e6 / (settled() - began_s), 2)


def _graphed(network: Any, batch: Any) -> Callable[[], Any]:
    import torch

    from detect.network.device import _Graph

    with torch.inference_mode():
        graph = _Graph(lambda image: (network(image),), [batch.clone()])
    return lambda: graph([batch])


def _noise(side_px: int, margins: Any) -> Any:
    """A tile of noise, as the pipeline hands it to a device."""
    import numpy as np

    from detect.network.device import TileInput
    from detect.scene.resample import no_taps

    pixels = np.random.default_rng(0).integers(0, 255, (3, side_px, side_px), np.uint8)
    taps = no_taps(side_px)
    return TileInput(pixels, taps, taps, np.array([0, 0, 0, 255, 255, 255, 1], np.float32), margins)


def _megapixels(path: Path) -> float:
    """Of the network's grid."""
    from detect.network.weights import load_weights
    from detect.scene.scene import open_scene

    scene = open_scene(path)
    height, width = scene.work_grid(load_weights().read_gsd_m(scene.gsd_m)).size_hw
    return height * width / 1e6


def _weights(fake: bool, folder: str) -> str:
    """The shipped weights; with the fake their tiles are small."""
    if not fake:
        return "deep"
    from detect.network.weights import load_weights

    shipped, target = load_weights("deep"), Path(folder) / "weights"
    if not target.exists():
        target.mkdir()
        for file in (shipped.onnx, shipped.stage_onnx):
            assert file is not None
            shutil.copy(file, target)
        (target / "deep.json").write_text(json.dumps(shipped.card | {"tile": _FAKE_TILE}), encoding="utf-8")
    return str(target)


class _faked:
    """Puts a CPU in the place of the GPU, if asked."""

    def __init__(self, fake: bool) -> None:
        self._fake = fake

    def __enter__(self) -> None:
        if self._fake:
            from detect.network import backends

            self._kept = backends.BACKENDS["cuda"]
            try:
                from detect.network.device import TorchBackend
            except ImportError:  # an older checkout
                backends.BACKENDS["cuda"] = backends.BACKENDS["cpu"]
            else:
                backends.BACKENDS["cuda"] = lambda weights, device, threads: TorchBackend(weights, "cpu", batch=2)

    def __exit__(self, *_: object) -> None:
        if self._fake:
            from detect.network import backends

            backends.BACKENDS["cuda"] = self._kept


def _print(report: Report) -> None:
    """One table: what, how much, share of the bare network's best rate."""
    numbers = [(step, what, value) for step, told in report.items() for what, value in told.items() if what != "seconds"]
    best = report["compiled"].get("trained, compiled") or 0
    print(f"\n{'step':10}{'what':46}{'value':>14}{'of trained, compiled':>22}")
    for step, what, value in numbers:
        rate = (
            isinstance(value, float)
            and best
            and (step in ("network", "compiled") or "Mpx/s" in what)
            and not what.endswith(", s")
        )
        share = f"{value / best:22.2f}" if rate else ""
        print(f"{step:10}{what:46}{value!s:>14}{share}")
    now, before = (report.get(name, {}).get("Mpx/s") for name in ("predict", "before"))
    if now and before:
        print(f"{'':10}{'times as fast as before':46}{now / before:14.1f}")


if __name__ == "__main__":
    sys.path.append(str(HERE.parent))  # PYTHONPATH, which names the checkout of a step, comes first
    if sys.argv[1:2] == [CHILD]:
        print(json.dumps(STEPS[sys.argv[2]](**json.loads(sys.argv[3]))))
        raise SystemExit(0)
    raise SystemExit(main())
