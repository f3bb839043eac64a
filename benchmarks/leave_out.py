"""What a recipe is worth on data sets that it never saw: the sets in five groups, each left out once, trained on the others, scored on it.

    python benchmarks/leave_out.py --chips path/to/chips [--work DIR] [--only NAME …] [--folds 0 1 2 3 4] [--jobs 1] [--seed 1]
        [--labels NAME=CHIPS …] [--set key=value …]

Prints footprint IoU, F1 at IoU 0.5 and the share of buildings that come out single (IoU 0.5), by data set and as means over all sets, for
each recipe of ``RECIPES``, and writes benchmarks/results/leave_out.json. All recipes share ``configs/fit/leave_out.yaml``: network,
samples and schedule are the same, so that they differ only in what their row says. ``--labels`` has a recipe train on the chips of another
store (former labels); all are scored on ``--chips``. Coarse masks are never scored, and places that validate elsewhere never train.
Runs that ``--work`` holds already are not run again.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import geopandas as gpd
import pandas as pd

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "leave_out.json"
CONFIG = HERE.parent / "configs" / "fit" / "leave_out.yaml"
GROUPS: tuple[tuple[str, ...], ...] = (
    ("open_cities_accra", "spacenet2_vegas", "swisstopo_zurich", "earthview"),
    ("oam_banepa", "spacenet1_rio", "swisstopo_bern", "usgs_bellingham"),
    ("fair_oam", "spacenet4_atlanta", "naip_california"),
    ("nacala", "rareplanes", "south_tyrol", "boruszyn"),
    ("hitl_dubai", "linz_christchurch", "linz_wellington"),
)
"""Each with drone, aerial and satellite images, and with the whole of each publisher's set."""
RECIPES: dict[str, tuple[str, ...]] = {
    "apart": (),
    "former": (
        "data.recoloured=0", "data.strong=0", "data.coloured=1", "data.tinted=0.25", "data.simulated=0.3", "data.drawn=0.06",
        "data.mixed=0.4", "data.unfinished=0.12",
        "data.shares={hitl_dubai: 0.22, open_cities_accra: 0.16, oam_banepa: 0.14, spacenet1_rio: 0.15, "
        "spacenet2_vegas: 0.16, fair_oam: 0.12}",
    ),
    "apart, as it was coloured": ("data.recoloured=0", "data.strong=0", "data.coloured=1"),
    "apart, shares by area": ("data.shares={}",),
    "apart, roofs darker": ("data.tinted=0.4",),
    "apart, weight of gaps 8": ("loss.gap_weight=8",),
    "apart, boundary 1": ("loss.boundary=1",),
}  # fmt: skip
"""By name, the overrides of ``configs/fit/leave_out.yaml``. ``former`` is the recipe of the weights before ``apart``."""
CHIPS_PER_SET = 12
"""Scored of a set that is left out, the fullest; at most a third of them of one place where it has several."""
METRICS = ("iou", "f1", "single")


def fold_store(chips: Path, labels: Path, store: Path, left_out: tuple[str, ...]) -> None:
    """Make ``store`` a chip store of links: it trains on the chips of ``labels``, and validates on ``chips`` of the sets left out."""
    store.mkdir(parents=True, exist_ok=True)
    (labels / "decoded").mkdir(exist_ok=True)  # runs decode each chip once, for all
    if not (store / "decoded").exists():
        (store / "decoded").symlink_to((labels / "decoded").resolve())
    truth, taught = (gpd.read_parquet(source / "index.parquet") for source in (chips, labels))
    taught = taught[(taught["split"] == "train") & ~taught["data_set"].isin(left_out)]
    scored = truth[truth["data_set"].isin(left_out) & (truth["label_kind"] != "coarse") & (truth["buildings"] > 0)]
    scored = _fullest(scored).assign(split="val")
    for source, rows in ((chips, scored), (labels, taught)):
        for name in rows["chip"]:
            for file in source.glob(f"{name}_*.png"):
                if not (link := store / file.name).exists():
                    link.symlink_to(file.resolve())
    pd.concat([taught, scored], ignore_index=True).to_parquet(store / "index.parquet")


def _fullest(rows: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """At most ``CHIPS_PER_SET`` chips of each set, those with most buildings, taken from its places in turn."""
    rows = rows.sort_values("buildings", ascending=False, kind="stable")
    turn = rows.groupby(["data_set", "place"]).cumcount()
    order = rows.assign(turn=turn).sort_values(["turn", "buildings"], ascending=[True, False], kind="stable")
    return rows.loc[sorted(order.groupby("data_set").head(CHIPS_PER_SET).index)]


def run(name: str, fold: int, options: argparse.Namespace) -> None:
    """Train one recipe without one group of sets and score it there; the run stays in ``options.work``."""
    import torch

    from detect.training.config import load_config
    from detect.training.fit import fit

    torch.set_num_threads(max(1, (os.cpu_count() or 1) // options.jobs))
    out = options.work / _folder(name, fold, options.seed)
    if (out / "weights" / "leave_out.json").exists():
        return
    store = out / "chips"
    overrides = [*RECIPES[name], *options.set, f"seed={options.seed}", f"out={out}", f"data.chips={store}"]
    fold_store(options.chips, options.labels.get(name, options.chips), store, GROUPS[fold])
    trains = set(gpd.read_parquet(store / "index.parquet").query("split == 'train'")["data_set"])
    shares = {k: v for k, v in load_config(CONFIG, overrides).data.shares.items() if k in trains}
    overrides.append(f"data.shares={json.dumps({k: v / sum(shares.values()) for k, v in shares.items()})}")
    fit(CONFIG, resume="last" if (out / "config.json").exists() else None, overrides=overrides)


def _folder(name: str, fold: int, seed: int) -> str:
    return f"{list(RECIPES).index(name):02d}-{fold}-{seed}"


def finished(work: Path, seed: int) -> dict[str, dict[str, dict[str, float]]]:
    """Recipe → data set → scores, of the runs that are done."""
    scores: dict[str, dict[str, dict[str, float]]] = {}
    for name in RECIPES:
        for fold in range(len(GROUPS)):
            card = work / _folder(name, fold, seed) / "weights" / "leave_out.json"
            if card.exists():
                sets = json.loads(card.read_text(encoding="utf-8"))["metrics"]["sets"]
                single = {key: {**row, "single": row["matched"] / max(1, row["reference"])} for key, row in sets.items()}
                scores.setdefault(name, {}).update(single)
    return scores


def mean(sets: dict[str, dict[str, float]], names: list[str]) -> dict[str, float]:
    """Mean over data sets of each metric."""
    return {metric: sum(sets[name][metric] for name in names) / len(names) for metric in METRICS}


def table(scores: dict[str, dict[str, dict[str, float]]]) -> str:
    """Markdown: a row per data set, a column per recipe, each cell IoU / F1 / single; means over the sets that all recipes have."""
    names = sorted(set.intersection(*(set(sets) for sets in scores.values())))
    lines = ["| data set | " + " | ".join(scores) + " |", "|---" * (len(scores) + 1) + "|"]

    def cell(row: dict[str, float]) -> str:
        return " / ".join(f"{row[metric]:.3f}" for metric in METRICS)

    lines += [f"| {name} | " + " | ".join(cell(sets[name]) for sets in scores.values()) + " |" for name in names]
    lines.append("| **mean** | " + " | ".join(f"**{cell(mean(sets, names))}**" for sets in scores.values()) + " |")
    return "\n".join(lines)


def main() -> None:
    """Run what is missing and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--chips", type=Path, help="chip store; without, nothing is run and --work is shown as it is")
    parser.add_argument(
        "--labels", nargs="*", default=[], metavar="NAME=CHIPS", help="another chip store that a recipe trains on"
    )
    parser.add_argument("--only", nargs="*", choices=list(RECIPES), default=["apart"])
    parser.add_argument("--folds", type=int, nargs="*", choices=range(len(GROUPS)), default=list(range(len(GROUPS))))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1, help="runs side by side")
    parser.add_argument("--work", type=Path, default=Path("runs/leave_out"))
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="overrides of every run")
    options = parser.parse_args()
    options.labels = {name: Path(store) for name, _, store in (pair.partition("=") for pair in options.labels)}
    if options.chips:
        # A fresh process for each run gives its memory back.
        with ProcessPoolExecutor(options.jobs, multiprocessing.get_context("spawn"), max_tasks_per_child=1) as pool:
            waiting = [pool.submit(run, name, fold, options) for fold in options.folds for name in options.only]
            for one in as_completed(waiting):
                one.result()
    scores = finished(options.work, options.seed)
    if not scores:
        parser.error(f"{options.work}: holds no finished run; give --chips to make some")
    print(table(scores))
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(scores, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
