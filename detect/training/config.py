"""All settings of a training run, from one YAML file."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml

from detect.base.errors import InputError
from detect.base.grid import reading_gsd_m
from detect.base.schema import Must, SchemaError, read
from detect.base.yamls import Loader
from detect.datasets.licences import CHOICES

Share = Annotated[float, Must("a share from 0 to 1", lambda number: 0 <= number <= 1)]
Positive = Annotated[float, Must("a number above 0", lambda number: number > 0)]
NotNegative = Annotated[float, Must("0 or a number above it", lambda number: number >= 0)]
Count = Annotated[int, Must("a whole number, at least 1", lambda number: number >= 1)]
Pixel = Annotated[float, Must("the ground size of a pixel, 0.05 to 3 m", lambda metres: 0.05 <= metres <= 3)]
Sample = Annotated[int, Must("a multiple of 32, which the network needs", lambda side: side >= 32 and side % 32 == 0)]
Seed = Annotated[int, Must("a whole number from 0 to 2³² − 1", lambda number: 0 <= number < 2**32)]
Name = Annotated[
    str, Must("the name of a file, without a folder", lambda text: bool(text.strip()) and not set(text) & set("/\\\0"))
]
Channels = Annotated[tuple[int, ...], Must("a list of whole numbers above 0", lambda widths: bool(widths) and min(widths) > 0)]


@dataclass(frozen=True)
class DataConfig:
    """Which chips train."""

    chips: str = "chips"
    """Folder of the chip store (``detect prepare`` writes it)."""
    gsd_m: Pixel = 0.35
    """Ground size of the network's pixel, metres; images whose own pixel is coarser are enlarged to it."""
    finest_gsd_m: NotNegative = 0.0
    """If finer than ``gsd_m``: images with still finer pixels are reduced to this one, and those between are read at about their
    own."""
    chip_px: Sample = 256
    """Side of a training sample, a multiple of 32."""
    batch: Count = 12
    """Samples per optimizer step and device."""
    samples: Count = 12000
    """Number of samples that the run draws (steps = samples / batch); the seed determines each of them, wherever a run is
    resumed."""
    workers: Annotated[int, Must("a number of processes, 0 or more", lambda number: number >= 0)] = 0
    """Number of loader processes."""
    device: Literal["cpu", "gpu"] = "cpu"
    """Where samples are drawn: cpu, by loader processes; or gpu, on the device that trains, where the chips stay as uint8. The samples
    follow the same shares and limits, but are others."""
    bank: Count = 512
    """With ``device: gpu``: number of samples with simulated rows or drawn ground, which only a CPU can paint (by ``workers`` processes
    while training begins). They stay on the device and are used many times, each time turned and in other colours."""
    licences: str = "any"
    """Licences of the chips that may train: any, open (no use forbidden), permissive (open and not share-alike); see
    ``detect.datasets.licences``."""
    shares: dict[str, Share] = field(default_factory=dict)
    """Data set → share of the samples; sets without a share get the rest in proportion to their area."""
    tinted: Share = 0.0
    """Share of samples whose roofs get another, mostly darker tone; only where outlines are known."""
    recoloured: Share = 0.0
    """Share of samples whose roofs get colours of any hue; only where outlines are known."""
    simulated: Share = 0.3
    """Share of samples on which rows of simulated blocks are painted."""
    built: Share = 0.6
    """Share of samples that are drawn until they show a building; with 0, samples show how much of the ground is really built
    up."""
    unfinished: Share = 0.0
    """Share of samples that show a building known to be unfinished."""
    mixed: Share = 0.0
    """Share of samples in which a rectangle is copied from another sample of the batch (CutMix; Yun et al. 2019)."""
    turned: Share = 0.0
    """Share of samples turned by any angle; the others turn by right angles only."""
    coloured: Share = 1.0
    """Share of samples whose colours, contrast, noise and sharpness are changed."""
    strong: Share = 0.0
    """Share of the samples with changed colours that are changed far more, like archives of other sensors, tints and
    exposures."""
    drawn: Share = 0.0
    """Share of samples that are drawn completely, ground and a few houses."""
    max_gsd_m: Positive = 1.2
    """Coarsest image that a sample imitates, metres."""

    def read_gsd_m(self, seen_m: float) -> float:
        """Ground size of the network's pixel on an image whose own pixel is ``seen_m``, metres."""
        return reading_gsd_m(seen_m, self.finest_gsd_m or self.gsd_m, self.gsd_m)


@dataclass(frozen=True)
class NetworkConfig:
    """The network; see ``detect.network.model.build_network``."""

    encoder: str = "tu-efficientnet_lite0"
    decoder_channels: Channels = (128, 64, 48, 32, 16)
    batch_norm_eps: Positive = 1e-3
    pretrained: bool = True
    """Start from ImageNet weights."""
    start: str = ""
    """Name or path of trained weights to start from instead; of the same architecture."""
    teachers: tuple[str, ...] = ()
    """Names or paths of trained weights, of any architecture, whose mean answer is learnt in addition to the labels
    (``loss.distil``)."""
    plain_teachers: bool = False
    """Teachers see a sample before its colours are changed, and each batch in one of eight orientations, drawn anew, so that over the
    steps the mean of all is learnt: the pupil learns to say of a tinted, blurred picture what they say of a clear one."""
    freeze: Share = 0.0
    """Share of the steps, from the first one, in which the encoder is frozen; for fine-tuning on few chips."""
    norms_at_rest: bool = False
    """Batch norms keep their initial statistics, which small batches of one place would replace."""
    keep: Share = 0.0
    """Share of the starting weights in the final ones: an average of both is good on the new data and on the old (Wortsman et al.
    2022, arXiv:2109.01903). Needs ``start``."""


@dataclass(frozen=True)
class OptimizerConfig:
    """AdamW, one cycle of cosine with warm-up, and an average of the weights."""

    encoder_lr: NotNegative = 6e-4
    decoder_lr: NotNegative = 2e-3
    weight_decay: NotNegative = 1e-2
    warmup: Share = 0.08
    """Share of the steps in which the learning rate rises."""
    hold: Share = 0.0
    """Share of the steps after the warm-up in which the learning rate is constant before it falls."""
    ema: Share = 0.99
    """Decay of the exponential moving average of the weights, per step; the average is what is kept."""
    clip: NotNegative = 5.0
    """Largest gradient norm."""


@dataclass(frozen=True)
class LossConfig:
    """Weights of the parts of the loss."""

    gap_weight: NotNegative = 4.0
    """Weight of background pixels near a building in the cross entropy, where outlines are known."""
    gap_m: NotNegative = 1.4
    """Distance to a building that counts as near, metres."""
    boundary: NotNegative = 0.5
    """Weight of the boundary head."""
    stage: NotNegative = 0.2
    """Weight of the stage heads."""
    distil: NotNegative = 0.0
    """Weight of the distance to the mean answer of ``network.teachers``."""
    consistency: NotNegative = 0.0
    """Weight of the disagreement between a sample and the same sample resampled by a fraction of a pixel; doubles the work of a
    step."""


@dataclass(frozen=True)
class TrainConfig:
    """One run."""

    name: Name
    """Name of the weights that the run writes."""
    out: str
    """Folder for logs, checkpoints and weights."""
    seed: Seed = 0
    validate_every: Count = 200
    """Optimizer steps between two validations (and checkpoints)."""
    minutes: NotNegative = 0.0
    """Time for the steps of the run: their number follows from the speed measured on the device at hand, ``data.samples`` being the most;
    0 sets no limit."""
    trainer: dict[str, Any] = field(default_factory=dict)
    """Passed to Lightning's Trainer: accelerator, devices, strategy, precision…"""
    data: DataConfig = field(default_factory=DataConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    loss: LossConfig = field(default_factory=LossConfig)

    @property
    def steps(self) -> int:
        """Optimizer steps of the whole run on one device."""
        return self.data.samples // self.data.batch

    def sha256(self) -> str:
        """Hash of the resolved configuration."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


class _Loader(Loader):
    """Reads 1e-4 as a number; in YAML 1.1 it is a string, since it has no point."""


_Loader.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+[eE][-+]?[0-9]+$"), list("-+0123456789"))


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> TrainConfig:
    """The configuration in a YAML file, with ``key.key=value`` overrides.

    Raises:
        InputError: missing file, broken YAML, an unknown key, a value of the wrong type or out of range.
    """
    path = Path(path)
    try:
        raw = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except OSError as cause:
        raise InputError(f"{path}: cannot be read ({cause.strerror}); give a file such as configs/fit/smoke.yaml") from cause
    except (yaml.YAMLError, ValueError, RecursionError) as cause:
        raise InputError(f"{path}: is not valid YAML ({' '.join(str(cause).split())})") from cause
    if not isinstance(raw, dict):
        raise InputError(f"{path}: holds no keys; start from configs/fit/smoke.yaml")
    for override in overrides:
        key, equals, value = override.partition("=")
        if not equals:
            raise InputError(f"'{override}': an override is written key.key=value")
        *parents, last = key.split(".")
        node = raw
        for parent in parents:
            node = node.setdefault(parent, {})
            if not isinstance(node, dict):
                raise InputError(f"'{override}': {parent} holds no keys")
        try:
            node[last] = yaml.load(value, _Loader)
        except (yaml.YAMLError, ValueError, RecursionError) as cause:
            raise InputError(f"'{override}': is not valid YAML ({' '.join(str(cause).split())})") from cause
    try:
        config: TrainConfig = read(TrainConfig, raw, strict=True)
    except SchemaError as cause:
        raise InputError(f"{path}: {cause}") from cause
    _check(config, path)
    return config


def _check(config: TrainConfig, path: Path) -> None:
    """What a value must be in the light of others; what it must be by itself stands with its type."""
    data, network = config.data, config.network
    if data.samples < data.batch:
        raise InputError(f"{path}: data.samples ({data.samples}) is less than one batch (data.batch {data.batch})")
    if data.finest_gsd_m and not 0.05 <= data.finest_gsd_m <= data.gsd_m:
        raise InputError(f"{path}: data.finest_gsd_m is {data.finest_gsd_m}; it lies between 0.05 m and data.gsd_m, or is 0")
    if data.max_gsd_m < data.gsd_m:
        raise InputError(f"{path}: data.max_gsd_m is {data.max_gsd_m}; it is no finer than data.gsd_m, {data.gsd_m}")
    if data.licences not in CHOICES:
        raise InputError(f"{path}: data.licences is '{data.licences}'; it can be {', '.join(CHOICES)}")
    if bool(network.teachers) != (config.loss.distil > 0):
        raise InputError(f"{path}: network.teachers and loss.distil belong together; give both or neither")
    if network.plain_teachers and not network.teachers:
        raise InputError(f"{path}: network.plain_teachers tells what teachers see; name them in network.teachers")
    if network.keep and not network.start:
        raise InputError(f"{path}: network.keep is a share of the starting weights; name them in network.start")
    if config.optimizer.warmup + config.optimizer.hold > 1:
        raise InputError(f"{path}: optimizer.warmup and optimizer.hold are shares of the steps, together 1 at most")
    if sum(data.shares.values()) > 1 + 1e-9:
        raise InputError(f"{path}: data.shares are shares of the samples, together 1 at most")
