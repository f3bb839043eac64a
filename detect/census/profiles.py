"""Structure profiles: what a known type of building looks like from above, and what it holds; read and written."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from detect.base.errors import InputError
from detect.base.resources import resource_path

DEFAULT_PROFILE = "configs/structures/dormitory.yaml"
Trapezoid = tuple[float, float, float, float]


@dataclass(frozen=True)
class Assumed:
    """A number that cannot be seen from above: what is likely, and the range it may lie in."""

    low: float
    likely: float
    high: float


@dataclass(frozen=True)
class GroupRule:
    """When buildings belong together."""

    min_buildings: int
    """Smaller groups count for less."""
    max_gap_m: float
    """Between neighbours' walls."""
    heading_tolerance_deg: float
    size_tolerance: float
    """Largest difference of lengths and of widths, relative to the larger."""


@dataclass(frozen=True)
class Calibration:
    """From how well a building fits to the probability that it is one of the type: a logistic curve fitted on labelled buildings."""

    intercept: float
    shape: float
    """Log-odds that a perfect shape adds to one that hardly fits."""
    group: float
    """Log-odds that a full group adds to a building that stands alone."""
    source: str = ""


DORMITORY_CURVE = Calibration(-15.47, 14.64, 5.63, source="that of configs/structures/dormitory.yaml")
"""For profiles that nobody has calibrated."""


@dataclass(frozen=True)
class StructureProfile:
    """A known type of building. Four numbers: never below, likely from, likely to, never above."""

    name: str
    length_m: Trapezoid
    width_m: Trapezoid
    """Mean width: area / length."""
    aspect: Trapezoid
    """Length / mean width."""
    rectangularity: Trapezoid
    group: GroupRule
    storeys: int
    rooms_per_building: Assumed
    beds_per_room: Assumed
    rooms_per_metre: Assumed | None = None
    """Rooms per metre of length and storey; where given, rooms grow with a building instead of being ``rooms_per_building``."""
    calibration: Calibration = DORMITORY_CURVE
    min_score: float = 0.5
    """From here on a building is called dormitory-like."""
    description: str = ""
    sources: tuple[str, ...] = ()

    @property
    def beds_per_building(self) -> int:
        """Of a finished one of the usual size, the likely number."""
        return round(self.rooms_per_building.likely * self.beds_per_room.likely)

    def beds(self, length_m: NDArray[np.float64]) -> NDArray[np.float64]:
        """Likely beds of finished buildings, by their length where the profile says so."""
        if self.rooms_per_metre is None:
            return np.full(len(length_m), float(self.beds_per_building))
        return np.round(np.round(length_m * self.storeys * self.rooms_per_metre.likely) * self.beds_per_room.likely)


def profile_path(name_or_path: str | Path | None = None) -> Path:
    """The file of a structure profile.

    Args:
        name_or_path: a file, or the name of a profile that ships with the package (a file of that name comes first); None for the
            dormitory.

    Raises:
        InputError: there is neither.
    """
    default = resource_path(DEFAULT_PROFILE)
    if name_or_path is None:
        return default
    given = Path(name_or_path)
    shipped = {path.stem: path for path in sorted(default.parent.glob("*.yaml"))}
    if not given.is_file() and str(name_or_path) in shipped:
        return shipped[str(name_or_path)]
    if not given.exists():
        raise InputError(
            f"structure '{name_or_path}': no such name or file; shipped are: {', '.join(shipped)}; {DEFAULT_PROFILE} is an example"
        )
    return given


def load_profile(name_or_path: str | Path | None = None) -> StructureProfile:
    """A structure profile by name or from YAML, see ``profile_path``; by default the dormitory that ships with the package.

    Raises:
        InputError: missing file, broken YAML, unknown or missing keys, numbers out of order.
    """
    path = profile_path(name_or_path)
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as cause:
        raise InputError(f"{path}: cannot be read ({cause.strerror}); {DEFAULT_PROFILE} is an example") from cause
    except (yaml.YAMLError, UnicodeDecodeError) as cause:
        raise InputError(f"{path}: is no YAML ({' '.join(str(cause).split())[:120]}); {DEFAULT_PROFILE} is an example") from cause
    return profile_from(raw, str(path))


def profile_from(raw: Any, path: str) -> StructureProfile:
    """A structure profile from plain keys and values; ``path`` is what an error names.

    Raises:
        InputError: unknown or missing keys, numbers out of order.
    """
    top = _keys(StructureProfile, raw, path)
    values: dict[str, Any] = {"name": str(top["name"]), "description": str(top.get("description", ""))}
    sources = top.get("sources", [])
    if not isinstance(sources, list):
        raise InputError(f"{path}: sources: expects a list of texts, not {sources!r}")
    values["sources"] = tuple(str(s) for s in sources)
    for key in ("length_m", "width_m", "aspect", "rectangularity"):
        values[key] = _numbers(top[key], 4, f"{path}: {key}")
    rule = _keys(GroupRule, top["group"], f"{path}: group")
    values["group"] = GroupRule(
        int(_number(rule["min_buildings"], f"{path}: group.min_buildings")),
        *(_number(rule[k], f"{path}: group.{k}") for k in ("max_gap_m", "heading_tolerance_deg", "size_tolerance")),
    )
    for key in ("rooms_per_building", "beds_per_room", "rooms_per_metre"):
        if top.get(key) is not None or key != "rooms_per_metre":
            assumed = _keys(Assumed, top[key], f"{path}: {key}")
            values[key] = Assumed(*_numbers([assumed[k] for k in ("low", "likely", "high")], 3, f"{path}: {key}"))
    if "calibration" in top:
        values["calibration"] = _calibration(top["calibration"], f"{path}: calibration")
    values["storeys"] = int(_number(top["storeys"], f"{path}: storeys"))
    values["min_score"] = _number(top.get("min_score", 0.5), f"{path}: min_score")
    return StructureProfile(**values)


def _calibration(raw: Any, where: str) -> Calibration:
    curve = _keys(Calibration, raw, where)
    intercept = curve["intercept"]
    if isinstance(intercept, bool) or not isinstance(intercept, int | float) or not math.isfinite(intercept):
        raise InputError(f"{where}.intercept: expects a number, not {intercept!r}")
    shape, group = (_number(curve[k], f"{where}.{k}") for k in ("shape", "group"))
    return Calibration(float(intercept), shape, group, str(curve.get("source", "")))


def _keys(kind: type, raw: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(raw, dict):
        raise InputError(f"{where}: expects keys; {DEFAULT_PROFILE} is an example")
    known = {f.name for f in fields(kind)}
    needed = {f.name for f in fields(kind) if f.default is MISSING}
    if unknown := sorted(map(str, set(raw) - known)):
        raise InputError(f"{where}: unknown key '{unknown[0]}'; known are {', '.join(sorted(known))}")
    if missing := sorted(needed - set(raw)):
        raise InputError(f"{where}: key '{missing[0]}' is missing")
    return raw


def _number(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise InputError(f"{where}: expects a number of at least 0, not {value!r}")
    return float(value)


def _numbers(value: Any, count: int, where: str) -> tuple[float, ...]:
    if not isinstance(value, list) or len(value) != count:
        raise InputError(f"{where}: expects {count} numbers, not {value!r}")
    numbers = tuple(_number(v, where) for v in value)
    if list(numbers) != sorted(numbers):
        raise InputError(f"{where}: {value!r} must not fall from left to right")
    return numbers


def plain(profile: StructureProfile) -> dict[str, Any]:
    """The profile as keys, numbers, texts and lists, from which ``profile_from`` makes it again."""
    raw = {key: value for key, value in asdict(profile).items() if value is not None}
    return {key: list(value) if isinstance(value, tuple) else value for key, value in raw.items()}


def profile_text(profile: StructureProfile) -> str:
    """The profile as YAML that ``load_profile`` reads back."""
    head = (
        "# Four numbers are [never below, likely from, likely to, never above]; README.md and docs/census.md explain the keys.\n"
    )
    return head + yaml.safe_dump(plain(profile), sort_keys=False, allow_unicode=True, width=120)
