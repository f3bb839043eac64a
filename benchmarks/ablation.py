"""What each choice of the recipe is worth: short runs that leave one out at a time, several seeds each, scored on places that no run saw.

    python benchmarks/ablation.py --chips path/to/chips [--work DIR] [--seeds 1 2 3] [--jobs 1] [--held-out 2] [--only NAME …]
        [--set key=value …]

Prints a table, mean and standard deviation over the seeds of the mean IoU and F1 over data sets and of their differences to the whole
recipe with the same seed, and writes benchmarks/results/ablation.json.
A run is ``detect fit --config configs/fit/ablation.yaml`` with the overrides of its row, scored on the fullest chips of each held-out
place. Runs already in ``--work`` are not run again.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

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


def fewer_held_out(chips: Path, store: Path, count: int) -> None:
    """Make ``store`` the chip store ``chips`` with at most the ``count`` fullest held-out chips of each place; files are links."""
    import geopandas as gpd

    store.mkdir(parents=True, exist_ok=True)
    (chips / "decoded").mkdir(exist_ok=True)  # runs decode each chip once, for all
    for file in chips.iterdir():
        if not (link := store / file.name).exists() and file.suffix != ".parquet":
            link.symlink_to(file.resolve())
    index = gpd.read_parquet(chips / "index.parquet").sort_values("buildings", ascending=False, kind="stable")
    rank = index.groupby(["data_set", "place", "split"]).cumcount()
    index[(index["split"] != "val") | (rank < count)].sort_index().to_parquet(store / "index.parquet")


def run(name: str, seed: int, work: Path, threads: int, overrides: list[str]) -> None:
    """Train and score one run, which stays in ``work``."""
    import torch

    from detect.training.fit import fit

    torch.set_num_threads(threads)
    out = work / f"{list(LEFT_OUT).index(name):02d}-{seed}"
    done = out / "weights" / "ablation.json"
    if not done.exists():
        resume = "last" if (out / "config.json").exists() else None
        fit(CONFIG, resume=resume, overrides=[f"out={out}", f"seed={seed}", *LEFT_OUT[name], *overrides])


def finished(work: Path) -> list[dict[str, Any]]:
    """Scores by place, by set and their means, of every run that is done in a folder."""
    return [
        {"left_out": name, "seed": int(path.parents[1].name[3:]), **json.loads(path.read_text(encoding="utf-8"))["metrics"]}
        for i, name in enumerate(LEFT_OUT)
        for path in sorted(work.glob(f"{i:02d}-*/weights/ablation.json"))
    ]


def row(name: str, runs: list[dict[str, Any]], whole: list[dict[str, Any]]) -> str:
    """One line of the table: differences to the whole recipe are between runs of the same seed."""
    text = f"{name:<30}{len(runs):>5}"
    for key in ("mean_iou", "mean_f1"):
        same = {r["seed"]: r[key] for r in whole}
        gaps = [r[key] - same[r["seed"]] for r in runs if r["seed"] in same]
        text += f"{_spread([r[key] for r in runs], '.3f'):>18}{_spread(gaps, '+.3f'):>18}"
    return text


def _spread(values: list[float], form: str) -> str:
    """Mean and standard deviation."""
    if not values:
        return "-"
    return f"{statistics.mean(values):{form}}" + (f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else "")


def main() -> None:
    """Run what is missing and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--chips", type=Path, help="chip store; without, nothing is run and --work is told of as it is")
    parser.add_argument("--seeds", type=int, nargs="*", default=[1, 2, 3])
    parser.add_argument("--jobs", type=int, default=1, help="runs side by side")
    parser.add_argument("--held-out", type=int, default=2, help="chips of each held-out place to score on, the fullest")
    parser.add_argument("--only", nargs="*", choices=list(LEFT_OUT), default=list(LEFT_OUT))
    parser.add_argument("--work", type=Path, default=Path("runs/ablation"))
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="overrides of every run")
    options = parser.parse_args()
    if options.chips:
        fewer_held_out(options.chips, options.work / "chips", options.held_out)
        overrides = [f"data.chips={options.work / 'chips'}", *options.set]
        threads = max(1, (os.cpu_count() or 1) // options.jobs)
        with ProcessPoolExecutor(options.jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
            waiting = [
                pool.submit(run, name, seed, options.work, threads, overrides) for seed in options.seeds for name in options.only
            ]
            for one in as_completed(waiting):
                one.result()
    runs = finished(options.work)
    if not runs:
        parser.error(f"{options.work}: holds no finished run; give --chips to make some")
    print(f"{'left out':<30}{'runs':>5}{'IoU':>18}{'to the whole':>18}{'F1':>18}{'to the whole':>18}")
    whole = [r for r in runs if r["left_out"] == "nothing"]
    for name in dict.fromkeys(r["left_out"] for r in runs):
        print(row(name, [r for r in runs if r["left_out"] == name], whole))
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(runs, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
