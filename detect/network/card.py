"""The card of trained weights: a JSON file beside them that says how to prepare the network's input and how to interpret its output."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

from detect.base.errors import InputError
from detect.base.schema import Must, SchemaError, read
from detect.network.heads import HEAD_NAMES
from detect.network.lattice import Lattice

Text = Annotated[str, Must("non-empty text", bool)]
Positive = Annotated[float, Must("a number above 0", lambda number: number > 0)]
Probability = Annotated[float, Must("a number from 0 to 1", lambda number: 0 <= number <= 1)]
Pixels = Annotated[int, Must("a whole number of pixels", lambda number: number >= 0)]
Heads = Annotated[
    tuple[str, ...], Must(f"the heads that this version runs, {', '.join(HEAD_NAMES)}", lambda names: names == HEAD_NAMES)
]
Numbers = Annotated[tuple[float, ...], Must("a list of numbers", bool)]
PerBand = tuple[float, float, float]
PerStage = tuple[float, float, float]


@dataclass(frozen=True)
class CardFile:
    """A file that the card describes."""

    name: Text
    sha256: Text


@dataclass(frozen=True)
class Normalisation:
    """Mean that is subtracted from each band (0–1), and standard deviation by which the difference is then divided."""

    mean: PerBand
    std: PerBand


@dataclass(frozen=True)
class Thresholds:
    """Where a building begins and ends, as in ``detect.buildings.instances.InstanceParams``; None where the card is older than the key."""

    footprint: Probability
    boundary: Probability
    min_area_m2: float
    seed_margin: float | None = None
    merge_below: float | None = None
    mean_margin: float | None = None


@dataclass(frozen=True)
class Temperature:
    """Temperature scaling: logits are divided by this number, so that a probability of 0.8 is right in eight of ten cases."""

    temperature: Positive = 1.0


@dataclass(frozen=True)
class Calibration:
    """How the network's probabilities become true ones; the default changes nothing."""

    footprint: Temperature | None = None
    stage: Temperature | None = None
    stage_class_weights: PerStage = (1.0, 1.0, 1.0)
    """Weight of each stage in the training loss."""


@dataclass(frozen=True)
class Brightness:
    """Mean and standard deviation of each band (0–1) in the training images, and how much both differ between images."""

    mean: PerBand
    mean_sd: PerBand
    std: PerBand
    std_sd: PerBand


@dataclass(frozen=True)
class SecondLook:
    """How the stage head sees a building; see ``detect.network.stage_head``."""

    gsds_m: Numbers
    """Ground size of a crop's pixel at each scale, metres."""
    crop_px: Pixels
    sure_from: float = math.inf
    """The second model looks again at buildings that the first gives a lower probability of being complete."""


@dataclass(frozen=True, kw_only=True)
class Card(Mapping[str, Any]):
    """What prediction reads of a card, checked. As a mapping, a card is the whole JSON, with the keys that others write into it.

    ``read_card`` makes one from a file, ``card_from`` from a dictionary.
    """

    name: Text
    files: dict[str, CardFile]
    """By kind: ``onnx``, ``safetensors``, ``stage``."""
    heads: Heads
    gsd_m: Positive
    """Ground size of the network's pixel, metres; the coarsest one, if the network reads fine scenes at a finer one."""
    finest_gsd_m: Positive | None = None
    """None where all scenes are read at ``gsd_m``."""
    gsd_range_m: tuple[float, float]
    """Smallest and largest ground size of the pixels that it was trained on, metres."""
    tile: Lattice
    normalisation: Normalisation
    architecture: dict[str, Any]
    """Arguments of ``detect.network.model.build_network``."""
    thresholds: Thresholds
    calibration: Calibration = field(default_factory=Calibration)
    brightness: Brightness | None = None
    stage_head: SecondLook | None = None
    """None where ``files`` has no stage head."""
    bands: tuple[str, ...] = ("red", "green", "blue")
    content: Any = None
    """The JSON."""

    def __getitem__(self, key: str) -> Any:
        """The JSON under a key."""
        return self.content[key]

    def __iter__(self) -> Iterator[str]:
        """The keys of the JSON."""
        return iter(self.content)

    def __len__(self) -> int:
        """How many keys the JSON has."""
        return len(self.content)

    def __or__(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """The JSON with other values under some keys."""
        return {**self.content, **changes}


def read_card(path: Path) -> Card:
    """The card in a JSON file.

    Raises:
        InputError: the file is not valid JSON, lacks a key, or has a value that is not valid; the error names file and key.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as cause:
        raise InputError(f"{path}: is not a readable card ({cause}); a card is the JSON file that training writes") from cause
    return card_from(content, str(path))


def card_from(content: Any, where: str) -> Card:
    """The card in a dictionary; ``where`` begins error messages, such as the name of the file.

    Raises:
        InputError: see ``read_card``.
    """
    if not isinstance(content, dict):
        raise InputError(f"{where}: is not a card of detect's weights; a card is the JSON file that training writes")
    try:
        card: Card = read(Card, content)
        has_stage_head = "stage" in card.files
        if has_stage_head and card.stage_head is None:
            raise SchemaError("'stage_head' is missing; it must be an object with keys")
    except SchemaError as cause:
        raise InputError(f"{where}: is a broken card, {cause}") from cause
    return replace(card, content=content, stage_head=card.stage_head if has_stage_head else None)
