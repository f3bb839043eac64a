"""The card of trained weights: a JSON file beside them that says how to feed the network and how to read its answers."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from detect.base.errors import InputError
from detect.base.stages import STAGES
from detect.network.heads import HEAD_NAMES
from detect.network.lattice import Lattice

_REQUIRED = object()


@dataclass(frozen=True)
class CardFile:
    """A file that the card describes."""

    name: str
    sha256: str


@dataclass(frozen=True)
class Normalisation:
    """What is subtracted from each band of 0–1, and by what the rest is divided."""

    mean: tuple[float, ...]
    sd: tuple[float, ...]


@dataclass(frozen=True)
class Thresholds:
    """Where a building begins and ends, as in ``detect.buildings.instances.InstanceParams``; None where the card is older than the key."""

    footprint: float
    boundary: float
    min_area_m2: float
    seed_margin: float | None = None
    merge_below: float | None = None
    mean_margin: float | None = None


@dataclass(frozen=True)
class Calibration:
    """How the network's probabilities become those of the world; the default changes nothing."""

    footprint_temperature: float = 1.0
    stage_temperature: float = 1.0
    stage_class_weights: tuple[float, ...] = (1.0,) * len(STAGES)
    """Of the stages in the training loss."""


@dataclass(frozen=True)
class Brightness:
    """Mean and deviation of each band (0–1) in the training images, and how far images differ in both."""

    mean: tuple[float, ...]
    mean_sd: tuple[float, ...]
    sd: tuple[float, ...]
    sd_sd: tuple[float, ...]


@dataclass(frozen=True)
class SecondLook:
    """How the stage head sees a building; see ``detect.network.stage_head``."""

    gsds_m: tuple[float, ...]
    """Ground size of a crop's pixel at each scale, metres."""
    crop_px: int
    sure_from: float
    """Probability of being complete, by the first look, from which a building is not looked at again."""


@dataclass(frozen=True)
class Card(Mapping[str, Any]):
    """What prediction reads of a card, checked. As a mapping, a card is the JSON as it stands, for what others write into it.

    ``read_card`` makes one from a file, ``card_from`` from a dictionary.
    """

    content: Mapping[str, Any]
    name: str
    files: Mapping[str, CardFile]
    """By kind: ``onnx``, ``safetensors``, ``stage``."""
    gsd_m: float
    """Ground size of the network's pixel, metres; the coarsest, where it reads fine scenes finer."""
    finest_gsd_m: float
    gsd_range_m: tuple[float, ...]
    """Smallest and largest ground size of the pixels that it was trained on, metres."""
    lattice: Lattice
    normalisation: Normalisation
    architecture: Mapping[str, Any]
    """Of ``detect.network.model.build_network``."""
    thresholds: Thresholds
    calibration: Calibration
    brightness: Brightness | None
    second_look: SecondLook | None
    bands: tuple[str, ...]

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
        InputError: the file is no JSON, lacks a key, or holds a value that cannot be meant; the error names file and key.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as cause:
        raise InputError(f"{path}: is no readable card ({cause}); a card is the JSON file that training writes") from cause
    return card_from(content, str(path))


def card_from(content: Any, where: str) -> Card:
    """The card in a dictionary; ``where`` is what an error names.

    Raises:
        InputError: see ``read_card``.
    """
    if not isinstance(content, dict):
        raise InputError(f"{where}: is no card of detect's weights; a card is the JSON file that training writes")
    top = _Part(where, content)
    files = {kind: _file(top.part("files").part(kind)) for kind in top.part("files").values}
    gsd_m = top.get("gsd_m", _POSITIVE)
    top.get("heads", _heads)
    return Card(
        content=content,
        name=top.get("name", _text),
        files=files,
        gsd_m=gsd_m,
        finest_gsd_m=top.get("finest_gsd_m", _POSITIVE, gsd_m),
        gsd_range_m=top.get("gsd_range_m", partial(_numbers, count=2)),
        lattice=_lattice(top.part("tile")),
        normalisation=_normalisation(top.part("normalisation")),
        architecture=top.part("architecture").values,
        thresholds=_thresholds(top.part("thresholds")),
        calibration=_calibration(top.part("calibration", optional=True)),
        brightness=_brightness(top.part("brightness")) if content.get("brightness") else None,
        second_look=_second_look(top.part("stage_head")) if "stage" in files else None,
        bands=top.get("bands", _texts, ("red", "green", "blue")),
    )


@dataclass(frozen=True)
class _Part:
    """An object of the JSON, and where it stands."""

    where: str
    values: Mapping[str, Any]
    keys: str = ""

    def part(self, key: str, *, optional: bool = False) -> _Part:
        """The object under a key; an empty one in place of an optional one that is absent."""
        if optional and self.values.get(key) is None:
            return _Part(self.where, {}, f"{self.keys}{key}.")
        return _Part(self.where, self.get(key, _object), f"{self.keys}{key}.")

    def get(self, key: str, read: Any, default: Any = _REQUIRED) -> Any:
        """The value under a key, as ``read`` checks it; the default where the key is absent."""
        if key not in self.values and default is not _REQUIRED:
            return default
        try:
            return read(self.values.get(key))  # no reader takes None
        except ValueError as wanted:
            found = f"is {_shown(self.values[key])}" if key in self.values else "is missing"
            raise InputError(f"{self.where}: is a broken card, '{self.keys}{key}' {found}; it must be {wanted}") from wanted


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "…"


def _object(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("an object with keys")
    return value


def _heads(value: Any) -> None:
    if _texts(value) != HEAD_NAMES:
        raise ValueError(f"the heads that this version runs, {', '.join(HEAD_NAMES)}")


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("a text")
    return value


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
        raise ValueError("a list of texts")
    return tuple(value)


def _number(value: Any, low: float = -math.inf, high: float = math.inf, wanted: str = "a number") -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or not low <= value <= high:
        raise ValueError(wanted)
    return float(value)


def _numbers(value: Any, count: int | None = None) -> tuple[float, ...]:
    if not isinstance(value, list) or not value or count not in (None, len(value)):
        raise ValueError("a list of numbers" if count is None else f"a list of {count} numbers")
    return tuple(_number(v, wanted="a list of numbers") for v in value)


def _pixels(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError("a whole number of pixels")
    return value


_POSITIVE = partial(_number, low=1e-9, wanted="a number above 0")
_PROBABILITY = partial(_number, low=0, high=1, wanted="a number from 0 to 1")
_PER_BAND = partial(_numbers, count=3)


def _file(part: _Part) -> CardFile:
    return CardFile(part.get("name", _text), part.get("sha256", _text))


def _lattice(part: _Part) -> Lattice:
    core_px, halo_px, stride_px = (part.get(key, _pixels) for key in ("core_px", "halo_px", "stride_px"))
    try:
        return Lattice(core_px, halo_px, stride_px)
    except (AssertionError, ZeroDivisionError) as cause:
        raise InputError(f"{part.where}: is a broken card, 'tile' is impossible ({cause})") from cause


def _normalisation(part: _Part) -> Normalisation:
    return Normalisation(part.get("mean", _PER_BAND), part.get("std", _PER_BAND))


def _thresholds(part: _Part) -> Thresholds:
    return Thresholds(
        footprint=part.get("footprint", _PROBABILITY),
        boundary=part.get("boundary", _PROBABILITY),
        min_area_m2=part.get("min_area_m2", _number),
        seed_margin=part.get("seed_margin", _number, None),
        merge_below=part.get("merge_below", _number, None),
        mean_margin=part.get("mean_margin", _number, None),
    )


def _calibration(part: _Part) -> Calibration:
    default = Calibration()
    footprint, stage = (part.part(head, optional=True) for head in ("footprint", "stage"))
    return Calibration(
        footprint.get("temperature", _POSITIVE, default.footprint_temperature),
        stage.get("temperature", _POSITIVE, default.stage_temperature),
        part.get("stage_class_weights", partial(_numbers, count=len(STAGES)), default.stage_class_weights),
    )


def _brightness(part: _Part) -> Brightness:
    return Brightness(*(part.get(key, _PER_BAND) for key in ("mean", "mean_sd", "std", "std_sd")))


def _second_look(part: _Part) -> SecondLook:
    return SecondLook(
        gsds_m=part.get("gsds_m", _numbers),
        crop_px=part.get("crop_px", _pixels),
        sure_from=part.get("sure_from", _number, math.inf),
    )
