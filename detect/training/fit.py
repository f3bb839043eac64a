"""A run: fit, test, and the weights that it writes."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import json
import logging
import pickle
import sys
import time
import warnings
from collections.abc import Sequence
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import lightning
import pandas as pd
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import EMAWeightAveraging, LearningRateMonitor, ModelCheckpoint, TQDMProgressBar
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

from detect.base.errors import InputError
from detect.network.weights import load_weights
from detect.training.config import TrainConfig, load_config
from detect.training.data import ChipData
from detect.training.heads import METRICS
from detect.training.task import SegmentationTask

CHECKPOINT = "last.ckpt"
SETTINGS = "config.json"
"""All settings of a run; ``--config`` takes it too."""
HASHES = "hashes.json"
"""What a run that goes on must share with the run that began: hashes of the settings and of the chips."""


def fit(config: str | Path, *, resume: str | None = None, overrides: Sequence[str] = ()) -> Path:
    """Train with the settings of a YAML file; returns the folder of the weights.

    An interrupted run continues from its last checkpoint with ``resume="last"`` and gives the same weights as without the
    interruption: checkpoints lie between epochs, and the samples of an epoch depend on its number.

    Args:
        config: file with the keys of ``detect.training.config.TrainConfig``.
        resume: ``last``, or a checkpoint file of the same configuration; one that holds more than tensors and plain values is refused.
        overrides: ``key.key=value`` each.

    Raises:
        InputError: broken configuration, settings that Lightning refuses, no chips, a checkpoint of another configuration, of other chips
            or with code in it, or an output folder in use.
    """
    settings = load_config(config, overrides)
    out = Path(settings.out)
    checkpoint = _checkpoint(settings, resume)
    if checkpoint is None and (out / CHECKPOINT).exists():
        raise InputError(f"{out}: holds a run already; continue it with --resume last, or choose another out")
    keep_memory()
    data = ChipData(settings)
    if checkpoint is not None:
        _refuse_other_chips(checkpoint, data.index, settings.data.chips)
    trainer = _trainer(settings, out)
    out.mkdir(parents=True, exist_ok=True)
    lightning.seed_everything(settings.seed, workers=True, verbose=False)
    task = SegmentationTask(settings, data.index)
    (out / SETTINGS).write_text(json.dumps(asdict(settings), indent=1))
    (out / HASHES).write_text(json.dumps({"config": settings.sha256(), "chips": _chips_sha256(data.index)}, indent=1))
    began = time.time()
    try:
        with contextlib.redirect_stdout(sys.stderr):  # Lightning's bar knows no other place
            trainer.fit(task, datamodule=data, ckpt_path=checkpoint, weights_only=True)
    except SystemExit as end:  # Lightning exits this way on Ctrl-C; the command line reports it
        raise KeyboardInterrupt from end
    recipe = recipe_of(settings, data.index, seconds=time.time() - began, steps=trainer.global_step)
    from detect.training.export import write_weights

    task.keep_of_start()
    task.eval()
    tallies = task.score(data.index[data.index["split"] == "val"])
    return write_weights(task.network, settings, data.index, recipe, out / "weights", tallies)


def test(config: str | Path, *, weights: str | None = None, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Score weights on every validation chip, as ``detect.training.metrics.scores_of``.

    Args:
        config: YAML file of the run; its chip store and GSD are used.
        weights: name or path; by default the weights that the run wrote.
        overrides: ``key.key=value`` each.

    Raises:
        InputError: broken configuration, no such weights, or no chips to measure on.
    """
    from detect.network.model import load_network
    from detect.training.metrics import coarse_sets, scores_of

    settings = load_config(config, overrides)
    data = ChipData(settings)
    held_out = data.index[data.index["split"] == "val"]
    if held_out.empty:
        raise InputError(f"{settings.data.chips}: holds no chips to measure on (split val); prepare a place that does not train")
    # This only scores, so starting weights and teachers are not needed.
    bare = replace(settings.network, start="", pretrained=False, teachers=(), keep=0.0)
    task = SegmentationTask(replace(settings, network=bare), data.index)
    wrapped: Any = load_network(load_weights(weights or str(Path(settings.out) / "weights")))
    task.network = wrapped.network  # which may be of another architecture than the recipe's
    task.eval()
    return scores_of(task.score(held_out), coarse_sets(data.index))


def format_scores(scores: dict[str, Any]) -> str:
    """The scores of ``test`` as a table."""
    widths = {metric: max(7, len(metric.title) + 2) for metric in METRICS}
    titles = "".join(f"{metric.title:>{width}}" for metric, width in widths.items())
    lines = [f"{'place':<40}{titles}{'found':>8}{'true':>8}"]
    means = {metric.key: scores[f"mean_{metric.key}"] for metric in METRICS}
    for place, score in [*scores["places"].items(), *scores["sets"].items(), ("mean over data sets", means)]:
        values = "".join(f"{score[metric.key]:>{width}.3f}" for metric, width in widths.items())
        counts = "".join(f"{score[k]:>8.0f}" for k in ("predicted", "reference") if k in score)
        lines.append(f"{place:<40}{values}{counts}")
    return "\n".join(lines)


def recipe_of(settings: TrainConfig, index: pd.DataFrame, *, seconds: float, steps: int) -> dict[str, Any]:
    """What is needed to make the same weights again: configuration, versions, hash of the data."""
    packages = ("torch", "lightning", "segmentation-models-pytorch", "albumentations", "numpy", "opencv-python-headless")
    start = load_weights(settings.network.start) if settings.network.start else None
    teachers = [load_weights(teacher) for teacher in settings.network.teachers]
    return {
        "config": asdict(settings),
        "config_sha256": settings.sha256(),
        "chips_sha256": _chips_sha256(index),
        "seed": settings.seed,
        "steps": steps,
        "seconds_of_last_run": round(seconds),
        "versions": {name: version(name) for name in packages},
        "started_from": start and {"name": start.name, "sha256": start.sha256, "recipe": start.card.get("recipe")},
        "taught_by": [{"name": t.name, "sha256": t.sha256} for t in teachers],
    }


def keep_memory() -> None:
    """Make glibc keep freed memory for the next step: returning and reallocating it took up to half of a step on a CPU."""
    if sys.platform != "linux":
        return
    with contextlib.suppress(OSError, AttributeError):  # another C library: only slower
        mallopt = ctypes.CDLL("libc.so.6").mallopt
        for parameter, value in (
            (-3, 1 << 30),
            (-1, (1 << 31) - 1),
            (-2, 1 << 29),
        ):  # M_MMAP_THRESHOLD, M_TRIM_THRESHOLD, M_TOP_PAD
            mallopt(parameter, value)


def _checkpoint(settings: TrainConfig, resume: str | None) -> Path | None:
    if resume is None:
        return None
    path = Path(settings.out) / CHECKPOINT if resume == "last" else Path(resume)
    known = path.parent / HASHES
    if known.is_file() and json.loads(known.read_text())["config"] != settings.sha256():
        raise InputError(
            f"{path}: belongs to another configuration than the one given; "
            f"use --config {path.parent / SETTINGS} without KEY=VALUE, or choose another out"
        )
    if path.is_file():
        _refuse_code(path)
        return path.resolve()
    if resume == "last" and known.is_file():
        return None  # stopped before its first checkpoint: it starts again and gives the same result
    raise InputError(f"{path}: no such checkpoint; leave --resume out to start anew")


def _refuse_other_chips(checkpoint: Path, index: pd.DataFrame, store: str) -> None:
    """Refuse to go on with other chips: half of a run on each repeats neither, and held-out places may have trained."""
    known = checkpoint.parent / HASHES
    if known.is_file() and json.loads(known.read_text())["chips"] != _chips_sha256(index):
        raise InputError(
            f"{store}: holds other chips than those that {checkpoint} began with; restore them, or choose another out"
        )


def _chips_sha256(index: pd.DataFrame) -> str:
    """Hash of all chips of an index, whatever their order."""
    return hashlib.sha256("".join(sorted(index["sha256"])).encode()).hexdigest()


class _Average(EMAWeightAveraging):
    """The average of the weights, also where a run that has ended is continued: Lightning then skips the hook that copies it."""

    def on_fit_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Copy the average into the network, as after training."""
        self._copy_average_to_current(pl_module)


def _refuse_code(path: Path) -> None:
    """Refuse a checkpoint (a pickle) that holds more than tensors and plain values, so that nothing in it can run."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, ValueError, LookupError, OSError, EOFError) as cause:
        raise InputError(
            f"{path}: is not a checkpoint of detect fit, or holds more than tensors and plain values; it was not loaded"
        ) from cause
    missing = {"state_dict", "optimizer_states", "loops"}.difference(content if isinstance(content, dict) else ())
    if missing:
        raise InputError(f"{path}: is not a checkpoint of detect fit: it lacks {', '.join(sorted(missing))}")


def _trainer(settings: TrainConfig, out: Path) -> lightning.Trainer:
    warnings.filterwarnings("ignore", ".*does not have many workers.*")
    warnings.filterwarnings("ignore", ".*number of training batches.*smaller than the logging interval.*")
    warnings.filterwarnings("ignore", ".*exists and is not empty.*")  # it holds the run's own config.json
    warnings.filterwarnings("ignore", ".*LeafSpec.*")  # raised by Lightning's use of torch
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)  # it prints advertisements at level INFO
    per_epoch = min(settings.validate_every, settings.steps)
    options = {
        "accelerator": "auto",
        "devices": 1,
        "max_steps": settings.steps,
        "max_epochs": -1,
        "limit_train_batches": per_epoch,
        "reload_dataloaders_every_n_epochs": 1,
        "use_distributed_sampler": False,  # each process draws its own samples; a share of these would be too few
        "gradient_clip_val": settings.optimizer.clip,
        "num_sanity_val_steps": 0,
        "log_every_n_steps": 10,
        "enable_model_summary": False,
        "benchmark": torch.cuda.is_available(),
        **settings.trainer,
    }
    callbacks: list[lightning.Callback] = [
        _Average(decay=settings.optimizer.ema, use_buffers=True),
        ModelCheckpoint(out, filename="last", save_top_k=1, enable_version_counter=False, save_on_train_epoch_end=True),
        LearningRateMonitor("step"),
    ]
    if options.get("enable_progress_bar", True):
        callbacks.append(TQDMProgressBar(refresh_rate=10))
    logger = [CSVLogger(out, name="", version="csv"), TensorBoardLogger(out, name="", version="tensorboard")]
    try:
        return lightning.Trainer(**options, default_root_dir=out, logger=logger, callbacks=callbacks)
    except (TypeError, ValueError, MisconfigurationException, ModuleNotFoundError) as cause:  # the last: no package for a TPU
        raise InputError(f"trainer: Lightning refuses these settings ({' '.join(str(cause).split())})") from cause
