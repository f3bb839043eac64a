"""Footprint IoU and instance F1 of validation chips, seen whole and at the network's own GSD."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from detect.base.stages import STAGE_WEIGHTS, pool
from detect.base.values import TOP
from detect.buildings.instances import InstanceParams, split_group
from detect.datasets.chips import UNKNOWN, Chip
from detect.network.heads import BOUNDARY, FOOTPRINT, STAGE_HEADS
from detect.training.heads import METRICS

MIN_REFERENCE_PX = 20
"""Smaller remnants of outlines at a chip's edge are not counted as reference, nor as missed."""


@dataclass
class Tally:
    """Sums over the chips of one place."""

    overlap: int = 0
    union: int = 0
    matched: int = 0
    predicted: int = 0
    reference: int = 0
    stages: NDArray[np.int64] = field(default_factory=lambda: np.zeros((3, 3), np.int64))
    """Pixels by (true, predicted) stage, on buildings whose stage is known."""
    confidence: NDArray[np.int64] = field(default_factory=lambda: np.zeros((TOP + 1, 2), np.int64))
    """Known pixels by (footprint probability × TOP, truth)."""
    stage_answers: list[tuple[float, float, float, int]] = field(default_factory=list)
    """For each building whose stage is known: its three stage probabilities as predict pools them, and the true stage, 0–2."""

    def __add__(self, other: Tally) -> Tally:
        """The sum of two tallies."""
        return Tally(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def feed(self, probabilities: NDArray[np.uint8], chip: Chip, params: InstanceParams) -> None:
        """Add one chip; probabilities (5, H, W) as uint8, p × TOP, on the chip's pixels."""
        footprint, boundary, stages = (probabilities[channels] for channels in (FOOTPRINT, BOUNDARY, STAGE_HEADS))
        known = chip.footprint != UNKNOWN
        truth = chip.footprint == 1
        mask = (footprint >= round(params.footprint_threshold * TOP)) & known
        self.overlap += int((mask & truth).sum())
        self.union += int((mask | (truth & known)).sum())
        labels = split_group(footprint, boundary, mask, params)
        matched, predicted, reference = match_labels(labels, np.where(known, chip.instances, 0))
        self.matched, self.predicted, self.reference = (
            self.matched + matched, self.predicted + predicted, self.reference + reference
        )  # fmt: skip
        self.confidence += np.bincount(footprint[known].astype(np.int64) * 2 + truth[known], minlength=2 * (TOP + 1)).reshape(
            -1, 2
        )
        self.stage_answers += _stage_answers(stages, chip)
        at = chip.stage > 0
        np.add.at(self.stages, (chip.stage[at] - 1, stages.argmax(axis=0)[at]), 1)

    @property
    def iou(self) -> float:
        """Pixel intersection over union of all buildings."""
        return self.overlap / self.union if self.union else float("nan")

    @property
    def stage_f1(self) -> float:
        """Mean F1 of the stages that occur, over the pixels of buildings whose stage is known."""
        there = self.stages.sum(axis=1) > 0
        return float(class_f1(self.stages)[there].mean()) if there.any() else float("nan")

    @property
    def f1(self) -> float:
        """F1 of instances matched at IoU > 0.5 (SpaceNet; Van Etten et al. 2018)."""
        return 2 * self.matched / (self.predicted + self.reference) if self.predicted + self.reference else float("nan")


def class_f1(confusion: NDArray[np.int64]) -> NDArray[np.float64]:
    """F1 of each class (…, classes) of confusion matrices (…, classes, classes) by (truth, answer); 0 where a class never occurs.

    scikit-learn needs single answers and is thousands of times slower on the matrices of a bootstrap.
    """
    right = np.diagonal(confusion, axis1=-2, axis2=-1)
    return 2 * right / np.maximum(confusion.sum(axis=-1) + confusion.sum(axis=-2), 1)


def _stage_answers(heads: NDArray[np.uint8], chip: Chip) -> list[tuple[float, float, float, int]]:
    """Pooled stage probabilities and true stage of the chip's own buildings."""
    ids, flat = np.unique(np.where(chip.stage > 0, chip.instances, 0), return_inverse=True)
    labels = flat.reshape(chip.instances.shape) + (ids[0] != 0)
    count = len(ids) - (ids[0] == 0)
    if not count:
        return []
    p = pool(heads, labels.astype(np.int32), count, class_weights=STAGE_WEIGHTS)
    truth = np.zeros(count + 1, np.int64)
    truth[labels.ravel()] = chip.stage.ravel()
    return [(*row, int(code) - 1) for row, code in zip(p.tolist(), truth[1:], strict=True)]


def match_labels(predicted: NDArray[np.int32], reference: NDArray[np.int_]) -> tuple[int, int, int]:
    """(matched at IoU > 0.5, predicted, reference) of two label images; ``MIN_REFERENCE_PX`` says what is no reference.

    At IoU > 0.5 a reference has at most one partner, so no assignment is needed.
    """
    _, ours = np.unique(predicted, return_inverse=True)
    _, theirs = np.unique(reference, return_inverse=True)
    ours, theirs = ours.ravel(), theirs.ravel()
    if not (predicted == 0).any():
        ours = ours + 1
    if not (reference == 0).any():
        theirs = theirs + 1
    pairs = np.zeros((ours.max() + 1, theirs.max() + 1), np.int64)
    np.add.at(pairs, (ours, theirs), 1)
    area_ours, area_theirs = pairs.sum(axis=1), pairs.sum(axis=0)
    counted = area_theirs >= MIN_REFERENCE_PX
    counted[0] = False
    iou = pairs / np.maximum(area_ours[:, None] + area_theirs[None, :] - pairs, 1)
    matched = int((iou[1:, 1:][:, counted[1:]] > 0.5).any(axis=1).sum()) if counted.any() else 0
    return matched, int((area_ours[1:] > 0).sum()), int(counted.sum())


def at_gsd(chip: Chip, chip_gsd_m: float, gsd_m: float) -> Chip:
    """The chip resampled as predict resamples a scene."""
    height, width = (max(1, round(n * chip_gsd_m / gsd_m)) for n in chip.footprint.shape)
    smooth = cv2.INTER_AREA if gsd_m > chip_gsd_m else cv2.INTER_LINEAR

    def nearest(array: NDArray) -> NDArray:
        return cv2.resize(array, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)

    image = cv2.resize(chip.image, (width, height), interpolation=smooth)
    return Chip(image, nearest(chip.instances), nearest(chip.footprint), nearest(chip.stage))


def evaluate_chips(
    rows: pd.DataFrame,
    read: Callable[[str], Chip],
    predict: Callable[[NDArray[np.uint8]], NDArray[np.uint8]],
    read_gsd_m: Callable[[float], float],
    params: InstanceParams,
) -> dict[str, Tally]:
    """Tallies by place (``data_set/place``) of the chips in ``rows``.

    Args:
        rows: rows of a chip store's index.
        read: chip name → chip.
        predict: image (H, W, 3) uint8 → heads (5, H, W) uint8.
        read_gsd_m: ground size of a chip's pixel → of the network's pixel on it, metres.
        params: how instances are split.
    """
    tallies: dict[str, Tally] = defaultdict(Tally)
    for row in rows.to_dict("records"):
        chip = at_gsd(read(row["chip"]), row["gsd_m"], read_gsd_m(row["gsd_m"]))
        tallies[f"{row['data_set']}/{row['place']}"].feed(predict(chip.image), chip, params)
    return dict(tallies)


def scores_of(tallies: Mapping[str, Tally], coarse: Container[str] = ()) -> dict[str, Any]:
    """``places`` and ``sets`` (places pooled), each name → the heads' metrics and counts; ``mean_`` + metric, the mean over sets.

    Args:
        tallies: by ``data_set/place``.
        coarse: data sets whose labels merge neighbours; metrics that need outlines (``f1``) are NaN there.
    """
    sets: dict[str, Tally] = defaultdict(Tally)
    for place, tally in sorted(tallies.items()):
        sets[place.partition("/")[0]] += tally

    def row(name: str, tally: Tally) -> dict[str, float]:
        blind = name.partition("/")[0] in coarse
        metrics = {m.key: float("nan") if blind and m.needs_outlines else m.score(tally) for m in METRICS}
        return metrics | {"predicted": tally.predicted, "reference": tally.reference, "matched": tally.matched}

    by_set = {name: row(name, tally) for name, tally in sorted(sets.items())}
    return {
        "places": {name: row(name, tally) for name, tally in sorted(tallies.items())},
        "sets": by_set,
        **{f"mean_{m.key}": _mean(s[m.key] for s in by_set.values()) for m in METRICS},
    }


def coarse_sets(index: pd.DataFrame) -> set[str]:
    """Data sets of a chip store that have only coarse masks as labels."""
    return {name for name, rows in index.groupby("data_set") if (rows["label_kind"] == "coarse").all()}


def _mean(values: Iterable[float]) -> float:
    """Mean of the values that are not NaN."""
    numbers = [v for v in values if not np.isnan(v)]
    return float(np.mean(numbers)) if numbers else float("nan")
