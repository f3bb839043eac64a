"""Trained weights by name or path: a JSON card and an ONNX graph; weights of earlier versions have a safetensors file for torch too."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from detect.base.errors import InputError
from detect.base.files import sha256_of
from detect.base.grid import reading_gsd_m
from detect.base.resources import resource_path
from detect.network.card import Card, CardFile, read_card
from detect.network.lattice import Lattice


@dataclass(frozen=True)
class Weights:
    """A card and the files beside it, hashes checked."""

    card: Card
    onnx: Path | None
    safetensors: Path | None
    stage_onnx: Path | None = None
    """Second model, which has a say in the stage of uncertain buildings (``detect.network.stage_head``); None if the card names none."""

    @property
    def name(self) -> str:
        """Name of the weights, as in the card."""
        return self.card.name

    @property
    def sha256(self) -> str:
        """Hash of the ONNX file, or of the safetensors where there is no ONNX."""
        return self.card.files["onnx" if self.onnx else "safetensors"].sha256

    @property
    def stage_sha256(self) -> str | None:
        """Hash of the second model; None if there is none."""
        return self.card.files["stage"].sha256 if self.stage_onnx else None

    @property
    def stage_sure_from(self) -> float:
        """The second model looks again at buildings that the first gives a lower probability of being complete."""
        return math.inf if self.card.stage_head is None else self.card.stage_head.sure_from

    @property
    def gsd_m(self) -> float:
        """Ground size of the network's pixel, metres; the coarsest one, if the network reads fine scenes at a finer one."""
        return self.card.gsd_m

    def read_gsd_m(self, seen_m: float) -> float:
        """Ground size of the network's pixel on a scene whose own pixel is ``seen_m``, metres."""
        return reading_gsd_m(seen_m, self.card.finest_gsd_m or self.gsd_m, self.gsd_m)

    def temperature(self, head: Literal["footprint", "stage"]) -> float:
        """Temperature of the calibration of a head; 1 where the card has none."""
        calibration = self.card.calibration
        fitted = calibration.footprint if head == "footprint" else calibration.stage
        return 1.0 if fitted is None else fitted.temperature

    @property
    def suiting_gsd_m(self) -> float:
        """Ground size of a scene's pixel that suits the network, where one can be chosen, metres: the middle of what it reads."""
        return math.sqrt((self.card.finest_gsd_m or self.gsd_m) * self.gsd_m)

    @property
    def lattice(self) -> Lattice:
        """How the network tiles a scene."""
        return self.card.tile


def load_weights(name_or_path: str | Path | None = None) -> Weights:
    """Load shipped weights by name, or others by folder, card, or a file beside a card.

    Args:
        name_or_path: None for the default weights, which ``weights/default.txt`` names.

    Raises:
        InputError: there are none of that name, the card is broken, or a file differs from the one that the card describes.
    """
    folder = resource_path("weights")
    if name_or_path is None:
        default = folder / "default.txt"
        name_or_path = default.read_text(encoding="utf-8").strip() if default.is_file() else "default"
    given = Path(name_or_path)
    path = given if given.exists() else folder / f"{name_or_path}.json"
    if path.is_dir():
        cards = sorted(path.glob("*.json"))
        if len(cards) != 1:
            raise InputError(f"{path}: holds {len(cards)} cards (*.json); name the one you mean")
        path = cards[0]
    elif path.suffix in (".onnx", ".safetensors"):
        path = path.with_suffix(".json")
    if not path.is_file():
        if given.is_file():
            raise InputError(f"weights '{name_or_path}': its card {path.name} does not lie beside it; copy it there")
        shipped = ", ".join(sorted(p.stem for p in folder.glob("*.json"))) or "none"
        raise InputError(f"weights '{name_or_path}': no such name or file; shipped are: {shipped}")
    card = read_card(path)
    found = {kind: _checked(path, kind, file) for kind, file in card.files.items()}
    if not (found.get("onnx") or found.get("safetensors")):
        raise InputError(f"{path}: its .onnx does not lie beside it; copy it there")
    if "stage" in found and found["stage"] is None:
        # Without it the stages would differ from those that the card's rates were measured on.
        raise InputError(f"{path}: its {card.files['stage'].name} does not lie beside it; copy it there")
    return Weights(card, found.get("onnx"), found.get("safetensors"), found.get("stage"))


def _checked(card_path: Path, kind: str, described: CardFile) -> Path | None:
    # Only the file's own name counts: a card must not point anywhere else on the disk.
    file = card_path.with_name(Path(described.name).name)
    if not file.is_file():
        return None
    if sha256_of(file) != described.sha256:
        raise InputError(f"{file}: is not the {kind} file that {card_path.name} describes (its SHA-256 differs); copy both again")
    return file
