"""Trained network → ONNX and the card that describes it. Needs the ``train`` extra.

Matrices are stored as float16, which halves the file; vectors (biases, batch norms) stay float32, since running variances do not fit. The
graph widens them again: all sums are float32. Every tensor keeps its name, so ``detect.network.tensors`` reads the network back.
"""

from __future__ import annotations

import io
import json
import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
import torch
from onnx import helper, numpy_helper
from torch import nn

from detect.base.errors import InputError
from detect.base.files import sha256_of, whole_file, write_whole
from detect.base.stages import STAGE_WEIGHTS
from detect.buildings.instances import InstanceParams
from detect.datasets.chips import read_chip
from detect.network.heads import HEAD_NAMES
from detect.network.model import STRIDE, ProbabilityNetwork, load_network
from detect.network.tensors import HALF
from detect.network.weights import Weights, load_weights
from detect.training.calibration import calibration_of
from detect.training.config import TrainConfig
from detect.training.data import MEAN, SD
from detect.training.metrics import Tally, coarse_sets, scores_of

CORE_PX, HALO_PX = 1024, 128
"""Tile of the card: 1280 px seen, 1024 kept; benchmarks/halo.py shows what a narrower halo would cost in agreement."""
MIN_AREA_M2 = 12.0
FINEST_GSD_M = 0.05
LICENCE = "CC-BY-SA-4.0 (SpaceNet imagery, which is CC BY-SA, is among the training data; credits under data)"


def write_weights(
    network: nn.Module,
    settings: TrainConfig,
    index: pd.DataFrame,
    recipe: Mapping[str, Any],
    folder: Path,
    tallies: Mapping[str, Tally],
) -> Path:
    """Write ``<name>.onnx`` and ``<name>.json`` into a folder, and return the folder.

    Weights that start from others keep their stage head (``<name>.stage.onnx``), which does not depend on the network, and name
    their training data.

    Args:
        network: answers in logits.
        settings: settings of the run; name, GSD and architecture come from them.
        index: index of the chip store.
        recipe: how to make the same weights again.
        folder: created; files of that name in it are replaced.
        tallies: tally of each validation place.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = _write_network(network, settings.name, folder)
    card = _card(files, settings, index, recipe, tallies)
    if settings.network.start:
        _take_over(card, load_weights(settings.network.start), folder)
    write_whole(folder / f"{settings.name}.json", json.dumps(_without_nan(card), indent=1) + "\n")
    return folder


def _write_network(network: nn.Module, name: str, folder: Path) -> dict[str, dict[str, str]]:
    """Write a network as ONNX; name and hash of the file by kind."""
    path = folder / f"{name}.onnx"
    onnx.save(to_onnx(ProbabilityNetwork(network.cpu().eval())), path)
    return {"onnx": {"name": path.name, "sha256": sha256_of(path)}}


def _card(
    files: dict[str, dict[str, str]],
    settings: TrainConfig,
    index: pd.DataFrame,
    recipe: Mapping[str, Any],
    tallies: Mapping[str, Tally],
) -> dict[str, Any]:
    """The card of weights: their files, how predict reads a scene with them, which data trained them, and their scores."""
    coarse = coarse_sets(index)
    scores, calibration = scores_of(tallies, coarse), calibration_of(tallies, coarse)
    data, network = settings.data, settings.network
    return {
        "name": settings.name,
        "version": recipe["config_sha256"][:8],
        "files": files,
        "heads": list(HEAD_NAMES),
        "gsd_m": data.gsd_m,
        "finest_gsd_m": data.read_gsd_m(0),
        "gsd_range_m": [FINEST_GSD_M, data.max_gsd_m],
        "tile": {"core_px": CORE_PX, "halo_px": HALO_PX, "stride_px": STRIDE},
        "normalisation": {"mean": [MEAN] * 3, "std": [SD] * 3},
        "bands": ["red", "green", "blue"],
        "architecture": {
            "decoder": "unet",
            "encoder": network.encoder,
            "decoder_channels": list(network.decoder_channels),
            "batch_norm_eps": network.batch_norm_eps,
        },
        "thresholds": _thresholds(),
        "calibration": {**calibration, "stage_class_weights": list(STAGE_WEIGHTS)},
        "brightness": brightness_of(index[index["split"] == "train"], Path(data.chips)),
        "rates": rates_of(scores),
        "data": _data(index),
        "licence": LICENCE,
        "recipe": dict(recipe),
        "metrics": {"measured": "on chips, by detect fit", **scores},
    }


def _take_over(card: dict[str, Any], start: Weights, folder: Path) -> None:
    """Add to a card the training data and the stage head of the weights that its network started from."""
    own = {d["data_set"]: set(d["trained_on"]) for d in card["data"]}
    card["data"] += [
        d | {"through": start.name}
        for d in start.card.get("data") or []
        if not set(d["trained_on"]) <= own.get(d["data_set"], set())
    ]
    if start.stage_onnx is not None:
        target = folder / f"{card['name']}.stage.onnx"
        shutil.copyfile(start.stage_onnx, target)
        card["files"]["stage"] = {"name": target.name, "sha256": sha256_of(target)}
        card["stage_head"] = start.card["stage_head"] | {"taken_from": start.name}


def export(weights: str | Path, out: str | Path, tile_px: int | None = None) -> None:
    """Write weights as an ONNX model with metadata, the stage head if there is one, and a card that describes both.

    Args:
        weights: name or path.
        out: a file that ends in .onnx.
        tile_px: None for the network as ``detect predict`` runs it; else a model without a card for GeoDeep and the QGIS plug-in
            Deepness, which need tiles of one size, pictures of 0–1, and one score per class.

    Raises:
        InputError: no such weights, weights in 8-bit integers, or a file that exists already.
    """
    path = Path(out)
    card_path, stage_path = path.with_suffix(".json"), path.with_suffix(".stage.onnx")
    if path.suffix != ".onnx":
        raise InputError(f"--out {path}: name a file that ends in .onnx")
    if not path.parent.is_dir():
        raise InputError(f"--out {path}: the folder {path.parent} does not exist; create it first")
    if tile_px is not None and tile_px % STRIDE:
        raise InputError(f"--tile {tile_px}: give a multiple of {STRIDE}, such as 512")
    for target in (path, card_path, stage_path) if tile_px is None else (path,):
        if target.exists():
            raise InputError(f"{target}: exists already; choose another name")
    chosen: Weights = load_weights(weights)
    network = load_network(chosen)
    model = to_onnx(network) if tile_px is None else to_onnx(ClassNetwork(network, chosen.card), tile_px, ("image", "classes"))
    helper.set_model_props(model, _metadata(chosen, tile_px))
    with whole_file(path) as aside:
        onnx.save(model, aside)
        files = {"onnx": {"name": path.name, "sha256": sha256_of(aside)}}
        if tile_px is None and chosen.stage_onnx is not None:
            shutil.copyfile(chosen.stage_onnx, stage_path)
            files["stage"] = {"name": stage_path.name, "sha256": sha256_of(stage_path)}
    if tile_px is None:
        write_whole(card_path, json.dumps(chosen.card | {"files": files}, indent=1) + "\n")


def _metadata(weights: Weights, tile_px: int | None) -> dict[str, str]:
    """Metadata in the model; with a tile, under the keys that Deepness defined and GeoDeep uses too (JSON, resolution in cm)."""
    card = weights.card
    common = {
        "detect_weights": weights.name,
        "heads": json.dumps(card["heads"]),
        "gsd_m": json.dumps(card["gsd_m"]),
        "normalisation": json.dumps(card["normalisation"] if tile_px is None else {"mean": [0.0] * 3, "std": [1.0] * 3}),
        "licence": str(card.get("licence", "")),
    }
    if tile_px is None:
        return common
    return common | {
        "heads": json.dumps(["background", "building"]),
        "model_type": json.dumps("Segmentor"),
        "class_names": json.dumps({"0": "background", "1": "building"}),
        "resolution": json.dumps(100 * card["gsd_m"]),
        "tiles_size": json.dumps(tile_px),
        "tiles_overlap": json.dumps(min(40, round(100 * 2 * card["tile"]["halo_px"] / tile_px))),
        "seg_thresh": json.dumps(0.5),
        "seg_small_segment": json.dumps(11),
    }


class ClassNetwork(nn.Module):
    """Pictures (N, 3, H, W) of 0–1 → scores (N, 2, H, W) of background and building; the larger one is the class."""

    def __init__(self, network: nn.Module, card: Mapping[str, Any]) -> None:
        super().__init__()
        self.network = network
        self.mean, self.sd = (torch.tensor(card["normalisation"][k]).reshape(1, 3, 1, 1) for k in ("mean", "std"))
        self.threshold = float(card["thresholds"]["footprint"])

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """See the class."""
        p = self.network((image - self.mean) / self.sd)[:, :1]
        # Bayes with other odds, so that a probability at the threshold becomes one half.
        yes, no = p * (1 - self.threshold), (1 - p) * self.threshold
        return torch.cat([no / (yes + no), yes / (yes + no)], dim=1)


def to_onnx(
    network: nn.Module, tile_px: int | None = None, names: tuple[str, str] = ("image", "probabilities")
) -> onnx.ModelProto:
    """The graph of a network that answers in probabilities: ``image`` (N, 3, H, W) → ``probabilities`` (N, 5, H, W), any N, H and W.

    Batch norms stay apart from the convolutions (ONNX Runtime joins them when it loads), and tensors that happen to be equal stay
    apart too, so that the graph holds every tensor of the network under its name.

    Args:
        network: what to trace.
        tile_px: fixed size of H and W, if the reader of the model needs one.
        names: names of input and output.
    """
    buffer: Any = io.BytesIO()  # the tracing exporter writes into it, although its annotation says otherwise
    axes = {0: "batch", 2: "height", 3: "width"} if tile_px is None else {0: "batch"}
    side = tile_px or 4 * STRIDE
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracing exporter is deprecated; a test compares its graph with torch
        torch.onnx.export(
            network.eval(),
            (torch.zeros(1, 3, side, side),),
            buffer,
            input_names=[names[0]],
            output_names=[names[1]],
            dynamic_axes=dict.fromkeys(names, axes),
            opset_version=17,
            dynamo=False,
            do_constant_folding=False,
            training=torch.onnx.TrainingMode.PRESERVE,
            keep_initializers_as_inputs=True,  # else equal tensors become one, and the names of the others are lost
        )
    model = onnx.load_from_string(buffer.getvalue())
    model.ir_version = 8  # of the opset; the older one that it wrote knows initializers as inputs alone
    del model.graph.input[1:]  # a reader must not replace tensors
    store_half(model.graph)
    onnx.checker.check_model(model)
    return model


def store_half(graph: onnx.GraphProto) -> None:
    """Replace each float32 matrix by a float16 one and a node that widens it."""
    casts = []
    for tensor in graph.initializer:
        if tensor.data_type != onnx.TensorProto.FLOAT or len(tensor.dims) < 2:
            continue
        name = tensor.name
        half = numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), name + HALF)
        tensor.CopyFrom(half)
        casts.append(helper.make_node("Cast", [name + HALF], [name], name=name + "_widen", to=onnx.TensorProto.FLOAT))
    nodes = list(graph.node)
    del graph.node[:]
    graph.node.extend(casts + nodes)


def brightness_of(rows: pd.DataFrame, store: Path) -> dict[str, list[float]]:
    """Mean and standard deviation per band (0–1) of the training images, and how much both differ between images."""
    stats = []
    for _, chips in rows.groupby("source", sort=True):
        images = [read_chip(store, name).image[::4, ::4].reshape(-1, 3) / 255 for name in sorted(chips["chip"])[:4]]
        pixels = np.concatenate(images)
        stats.append((pixels.mean(axis=0), pixels.std(axis=0)))
    means, sds = (np.array(s) for s in zip(*stats, strict=True))
    # One image does not show how images differ.
    floor = 0.03
    return {
        "mean": means.mean(axis=0).round(4).tolist(),
        "mean_sd": np.maximum(means.std(axis=0), floor).round(4).tolist(),
        "std": sds.mean(axis=0).round(4).tolist(),
        "std_sd": np.maximum(sds.std(axis=0), floor).round(4).tolist(),
    }


def rates_of(scores: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Numbers of matched, predicted and reference buildings of each validation place with outlines of single buildings."""
    return [
        {"place": place} | {key: s[key] for key in ("matched", "predicted", "reference")}
        for place, s in scores["places"].items()
        if s["reference"] and s["f1"] == s["f1"]
    ]


def _thresholds() -> dict[str, float]:
    default = InstanceParams()
    return {
        "footprint": default.footprint_threshold,
        "boundary": default.boundary_threshold,
        "seed_margin": default.seed_margin,
        "merge_below": default.merge_below,
        "mean_margin": default.mean_margin,
        "min_area_m2": MIN_AREA_M2,
    }


def _data(index: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        {
            "data_set": name,
            "licence": sorted(rows["licence"].unique()),
            "trained_on": sorted(rows.loc[rows["split"] == "train", "place"].unique()),
            "measured_on": sorted(rows.loc[rows["split"] == "val", "place"].unique()),
            "chips": len(rows),
        }
        for name, rows in index.groupby("data_set", sort=True)
    ]


def _without_nan(value: Any) -> Any:
    """Replace NaN, which JSON does not have, by null: a ratio without denominator."""
    if isinstance(value, dict):
        return {k: _without_nan(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(v) for v in value]
    if isinstance(value, float):
        return None if value != value else round(value, 6)
    return value
