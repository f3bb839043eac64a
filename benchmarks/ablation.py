"""What each choice of the recipe is worth: short runs that leave one out at a time, several seeds each, scored on places that no run saw.

    python benchmarks/ablation.py --chips path/to/chips [--seeds 3] [--jobs 1] [--only NAME …] [--set key=value …]

Prints a table, mean and standard deviation over the seeds of the mean IoU and F1 over data sets, and writes
benchmarks/results/ablation.json.
A run is ``detect fit --config configs/fit/ablation.yaml`` with the overrides of its row. Runs already in ``--work`` are not run again.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "ablation.json"
CONFIG = HERE.parent / "configs" / "fit" / "ablation.yaml"
LEFT_OUT: dict[str, tuple[str, ...]] = {
    "nothing": (),
    "ImageNet": ("network.pretrained=false",),
    "colour, contrast, grain": ("data.coloured=0",),
    "coarser sensors": ("data.max_gsd_m=0.3",),
    "reading fine scenes finer": ("data.finest_gsd_m=0",),
    "turning by any angle": ("data.turned=0",),
    "other roof tones": ("data.tinted=0",),
    "simulated blocks and ground": ("data.simulated=0", "data.drawn=0"),
    "CutMix": ("data.mixed=0",),
    "balance of data sets": ("data.shares={}",),
    "weight of gaps": ("loss.gap_weight=1",),
    "averaged weights": ("optimizer.ema=0",),
}


def run(name: str, seed: int, work: Path, overrides: list[str]) -> dict[str, object]:
    """Train and score one run; its scores by place, by set and their means."""
    from detect.training.fit import fit

    out = work / f"{list(LEFT_OUT).index(name):02d}-{seed}"
    done = out / "weights" / "ablation.json"
    if not done.exists():
        resume = "last" if (out / "config.json").exists() else None
        fit(CONFIG, resume=resume, overrides=[f"out={out}", f"seed={seed}", *LEFT_OUT[name], *overrides])
    metrics = json.loads(done.read_text(encoding="utf-8"))["metrics"]
    return {"left_out": name, "seed": seed, **metrics}


def row(name: str, runs: list[dict[str, float]], whole: list[dict[str, float]]) -> str:
    """One line of the table: differences to the whole recipe are between runs of the same seed."""
    text = f"{name:<30}"
    for key in ("mean_iou", "mean_f1"):
        values = [r[key] for r in runs]
        same = {r["seed"]: r[key] for r in whole}
        gaps = [r[key] - same[r["seed"]] for r in runs if r["seed"] in same]
        sd = statistics.stdev(values) if len(values) > 1 else 0.0
        text += f"{statistics.mean(values):>8.3f} ± {sd:.3f}" + (f" {statistics.mean(gaps):>+7.3f}" if gaps else f"{'':>8}")
    return text


def main() -> None:
    """Run what is missing and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--chips", required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=1, help="runs side by side")
    parser.add_argument("--only", nargs="*", choices=list(LEFT_OUT), default=list(LEFT_OUT))
    parser.add_argument("--work", type=Path, default=Path("runs/ablation"))
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="overrides of every run")
    options = parser.parse_args()
    overrides = [f"data.chips={options.chips}", *options.set]
    runs: list[dict] = []
    with ProcessPoolExecutor(options.jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        waiting = [
            pool.submit(run, name, seed, options.work, overrides) for seed in range(1, options.seeds + 1) for name in options.only
        ]
        for one in as_completed(waiting):
            runs.append(one.result())
    print(f"{'left out':<30}{'IoU':>16}{'':>8}{'F1':>16}")
    whole = [r for r in runs if r["left_out"] == "nothing"]
    for name in options.only:
        print(row(name, [r for r in runs if r["left_out"] == name], whole))
    RESULTS.parent.mkdir(exist_ok=True)
    runs.sort(key=lambda r: (list(LEFT_OUT).index(r["left_out"]), r["seed"]))
    RESULTS.write_text(json.dumps(runs, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
