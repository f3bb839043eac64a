"""Trained weights by name or path: one JSON card, an ONNX graph for inference, safetensors for torch."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detect.base.errors import InputError
from detect.base.grid import reading_gsd_m
from detect.base.resources import resource_path
from detect.network.lattice import Lattice

CARD_KEYS = ("name", "files", "heads", "gsd_m", "gsd_range_m", "tile", "normalisation", "architecture", "thresholds")


@dataclass(frozen=True)
class Weights:
    """A card and the files beside it, hashes checked."""

    card: dict[str, Any]
    onnx: Path | None
    safetensors: Path | None
    stage_onnx: Path | None = None
    """Network of the second look at each building (``detect.network.stage_head``); None where the card names none."""

    @property
    def name(self) -> str:
        """Of the weights, as in the card."""
        return str(self.card["name"])

    @property
    def sha256(self) -> str:
        """Of the ONNX file, or of the safetensors where there is no ONNX."""
        files = self.card["files"]
        return str(files["onnx" if self.onnx else "safetensors"]["sha256"])

    @property
    def stage_sha256(self) -> str | None:
        """Of the network of the second look; None where there is none."""
        return str(self.card["files"]["stage"]["sha256"]) if self.stage_onnx else None

    @property
    def stage_sure_from(self) -> float:
        """Probability of being complete, by the first look, from which a building is not looked at again."""
        return float(self.card.get("stage_head", {}).get("sure_from", math.inf))

    @property
    def gsd_m(self) -> float:
        """Ground size of the network's pixel, metres; the coarsest, where it reads fine scenes finer."""
        return float(self.card["gsd_m"])

    def read_gsd_m(self, seen_m: float) -> float:
        """Ground size of the network's pixel on a scene whose own pixel is ``seen_m``, metres."""
        return reading_gsd_m(seen_m, float(self.card.get("finest_gsd_m", self.gsd_m)), self.gsd_m)

    def temperature(self, head: str) -> float:
        """Of the calibration of ``footprint`` or ``stage``; 1 where the card has none."""
        report = self.card.get("calibration", {}).get(head) or {}
        return float(report.get("temperature", 1.0))

    @property
    def lattice(self) -> Lattice:
        """How the network tiles a scene."""
        tile = self.card["tile"]
        try:
            return Lattice(tile["core_px"], tile["halo_px"], tile["stride_px"])
        except (AssertionError, KeyError, TypeError, ZeroDivisionError) as cause:
            raise InputError(f"weights {self.name}: the card's tile is impossible ({cause})") from cause


def load_weights(name_or_path: str | Path | None = None) -> Weights:
    """Weights that ship with the package by name, or those in a folder, a card or a file beside a card.

    Args:
        name_or_path: None for the default ones, which ``weights/default.txt`` names.

    Raises:
        InputError: there are none of that name, the card is broken, or a file is not the one that the card describes.
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
        shipped = ", ".join(sorted(p.stem for p in folder.glob("*.json"))) or "none"
        raise InputError(f"weights '{name_or_path}': no such name or file; shipped are: {shipped}")
    card = _read_card(path)
    found = {kind: _checked(path, kind, spec) for kind, spec in card["files"].items()}
    if not (found.get("onnx") or found.get("safetensors")):
        raise InputError(f"{path}: neither its .onnx nor its .safetensors lies beside it; copy them there")
    if "stage" in found and found["stage"] is None:
        # Without it the stages would come out other than the card's rates say.
        raise InputError(f"{path}: its {card['files']['stage']['name']} does not lie beside it; copy it there")
    if "stage" in found and not isinstance(card.get("stage_head"), dict):
        raise InputError(f"{path}: is a broken card, it names a stage file but has no 'stage_head'")
    return Weights(card, found.get("onnx"), found.get("safetensors"), found.get("stage"))


def sha256_of(path: Path) -> str:
    """Hash of a file's content."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _read_card(path: Path) -> dict[str, Any]:
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as cause:
        raise InputError(f"{path}: is no readable card ({cause}); a card is the JSON file that training writes") from cause
    missing = [key for key in CARD_KEYS if not isinstance(card, dict) or key not in card]
    if missing:
        raise InputError(f"{path}: is no card of detect's weights, it lacks {', '.join(missing)}")
    files = card["files"]
    if not isinstance(files, dict) or not all(isinstance(f, dict) and {"name", "sha256"} <= f.keys() for f in files.values()):
        raise InputError(f"{path}: is a broken card, its 'files' must give the name and sha256 of each file")
    return card


def _checked(card_path: Path, kind: str, spec: dict[str, str]) -> Path | None:
    # Only the file's own name counts: a card must not point anywhere else on the disk.
    file = card_path.with_name(Path(spec["name"]).name)
    if not file.is_file():
        return None
    if sha256_of(file) != spec["sha256"]:
        raise InputError(f"{file}: is not the {kind} file that {card_path.name} describes (its SHA-256 differs); copy both again")
    return file
