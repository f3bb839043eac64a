"""Do the samples starve the network? Samples per second of each on the device that is there, in one run.

    python benchmarks/loader.py --config configs/fit/apart.yaml data.shares={} data.batch=256 [data.chips=…] [--seconds 20] [--device cuda]

Measures four rates: the loader, which draws, cuts, paints and disturbs samples in one process of the CPU (``data.device: cpu``); batches
drawn on the device (``data.device: gpu``); the network alone, which takes steps on one batch; and both together, the drawing and the steps.
The precision is that of the recipe (``trainer.precision``). Prints them with their ratios, and writes benchmarks/results/loader.json.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from detect.training.config import TrainConfig, load_config
from detect.training.data import ChipData, TrainingSamples
from detect.training.device.bank import FIRST, PER_STEP
from detect.training.device.batches import DeviceBatches
from detect.training.fit import keep_memory
from detect.training.task import SegmentationTask

RESULTS = Path(__file__).parent / "results" / "loader.json"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", required=True)
    parser.add_argument("--seconds", type=float, default=20, help="of each measurement")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE")
    options = parser.parse_args()
    keep_memory()
    config = load_config(options.config, [*options.overrides, "network.start=''", "network.teachers=[]", "loss.distil=0"])
    device = torch.device(options.device)
    torch.backends.cudnn.benchmark = device.type == "cuda"
    data = ChipData(config)
    samples = TrainingSamples(config, data.index, 0, 10**9)
    numbers = iter(range(10**9))
    for _ in range(60):  # chips are decoded once
        samples[next(numbers)]
    result = {"loader": rate(lambda: samples[next(numbers)], options.seconds, 1, device)}
    began = time.perf_counter()
    batches = DeviceBatches(config, data.index, device)
    resident_s = time.perf_counter() - began
    first_step = -(-max(0, config.data.bank - FIRST) // PER_STEP)  # the first that uses the whole bank
    steps = iter(range(first_step, 10**9))
    batch = batches.batch(next(steps), 0)
    bank_s = time.perf_counter() - began - resident_s
    count = config.data.batch
    result["drawing"] = rate(lambda: batches.batch(next(steps), 0), options.seconds, count, device)
    learn = stepper(config, SegmentationTask(config, data.index).to(device), device)
    for _ in range(3):  # kernels are chosen, memory is found
        learn(batch)
    result["network"] = rate(lambda: learn(batch), options.seconds, count, device)
    result["both"] = rate(lambda: learn(batches.batch(next(steps), 0)), options.seconds, count, device)
    batches.stop()
    report(result, str(device), resident_s, bank_s)


def stepper(config: TrainConfig, task: SegmentationTask, device: torch.device) -> Callable[[dict[str, Tensor]], object]:
    """A function that takes one optimizer step on a batch, in the precision of the recipe."""
    optimizer = torch.optim.AdamW(task.network.parameters())
    reduced = "bf16" in str(config.trainer.get("precision", ""))

    def learn(batch: dict[str, Tensor]) -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device.type, torch.bfloat16, enabled=reduced):
            loss = task.losses(batch, (0, 0, 0))["loss"]
        loss.backward()
        optimizer.step()

    return learn


def report(result: dict[str, float], device: str, resident_s: float, bank_s: float) -> None:
    """Print the rates, and write them to a file."""
    ratios = {f"{part}_to_network": round(result[part] / result["network"], 2) for part in ("loader", "drawing", "both")}
    print(f"samples a second on {device}: " + ", ".join(f"{part} {number:.1f}" for part, number in result.items()))
    print("ratios: " + ", ".join(f"{name.replace('_', ' ')} {ratio}" for name, ratio in ratios.items()))
    print(f"chips on the device after {resident_s:.1f} s, the bank {bank_s:.1f} s later")
    whole = {name: round(number, 1) for name, number in (result | {"resident_s": resident_s, "bank_s": bank_s}).items()}
    name = torch.cuda.get_device_name() if device.startswith("cuda") else "cpu"
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(
        json.dumps(whole | ratios | {"device": name, "threads": torch.get_num_threads()}, indent=1) + "\n", encoding="utf-8"
    )


def rate(work: Callable[[], object], seconds: float, each: int, device: torch.device) -> float:
    """Samples per second over some seconds, ``each`` of them a call; the work that is queued on the device is waited for at the end."""
    began, calls = time.perf_counter(), 0
    while time.perf_counter() - began < seconds or not calls:
        work()
        calls += 1
    if device.type == "cuda":
        torch.cuda.synchronize()
    return calls * each / (time.perf_counter() - began)


if __name__ == "__main__":
    main()
