"""Does the loader starve the network? Images per second of each on this machine, in one run.

    python benchmarks/loader.py --config configs/fit/shipped.yaml network.teachers=[] loss.distil=0 [data.chips=…] [--seconds 20]

The loader alone draws, cuts, paints and disturbs samples in this process, as with ``data.workers: 0``; the network alone takes steps on one
batch. Prints both and their ratio, and writes benchmarks/results/loader.json.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch.utils.data import default_collate

from detect.training.config import load_config
from detect.training.data import ChipData, TrainingSamples
from detect.training.fit import keep_memory
from detect.training.losses import network_loss
from detect.training.task import SegmentationTask

RESULTS = Path(__file__).parent / "results" / "loader.json"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", required=True)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE")
    options = parser.parse_args()
    keep_memory()
    config = load_config(options.config, [*options.overrides, "network.start=''"])
    index = ChipData(config).index
    samples = TrainingSamples(config, index, 0, 10**9)
    task = SegmentationTask(config, index)
    numbers = iter(range(10**9))
    for _ in range(60):  # chips are decoded once
        samples[next(numbers)]
    loader = rate(lambda: samples[next(numbers)], options.seconds)
    batch = default_collate([samples[next(numbers)] for _ in range(config.data.batch)])
    optimizer = torch.optim.AdamW(task.network.parameters())

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        image = batch["image"].to(memory_format=torch.channels_last)
        network_loss(task.network(image).float(), batch, config.loss)["loss"].backward()
        optimizer.step()

    step()
    network = rate(step, options.seconds) * config.data.batch
    result = {"loader_images_s": round(loader, 1), "network_images_s": round(network, 1), "ratio": round(loader / network, 2)}
    print("one loader process {loader_images_s} images/s, network {network_images_s} images/s, ratio {ratio}".format(**result))
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result | {"threads": torch.get_num_threads()}, indent=1) + "\n", encoding="utf-8")


def rate(work: Callable[[], object], seconds: float) -> float:
    """Calls per second over some seconds."""
    began, calls = time.perf_counter(), 0
    while (spent := time.perf_counter() - began) < seconds or not calls:
        work()
        calls += 1
    return calls / spent


if __name__ == "__main__":
    main()
