"""Read and write structure profiles: what a known type of building looks like from above, and what it holds."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import yaml
from numpy.typing import NDArray

from detect.base.errors import InputError
from detect.base.resources import resource_path
from detect.base.schema import Must, SchemaError, read
from detect.base.yamls import Loader

DEFAULT_PROFILE = "configs/structures/dormitory.yaml"
MOST = 1e9
"""More metres, rooms or beds are a mistake in the file, and products of such numbers would be infinite."""
Amount = Annotated[float, Must("a number from 0 to 10⁹", lambda number: 0 <= number <= MOST)]
WholeAmount = Annotated[int, Must("a whole number from 0 to 10⁹", lambda number: 0 <= number <= MOST)]
Storeys = Annotated[int, Must("a whole number from 1 to 200", lambda number: 1 <= number <= 200)]
Score = Annotated[float, Must("a number from 0 to 1", lambda number: 0 <= number <= 1)]
Trapezoid = Annotated[
    tuple[Amount, Amount, Amount, Amount],
    Must("a list of 4 numbers that do not fall from left to right", lambda numbers: list(numbers) == sorted(numbers)),
]


@dataclass(frozen=True)
class Assumed:
    """A number that cannot be seen from above: what is likely, and the range it may lie in."""

    low: Amount
    likely: Amount
    high: Amount


InOrder = Annotated[
    Assumed, Must("an object with low ≤ likely ≤ high", lambda assumed: assumed.low <= assumed.likely <= assumed.high)
]


@dataclass(frozen=True)
class GroupRule:
    """When buildings belong together."""

    min_buildings: WholeAmount
    """The fit of smaller groups is lower."""
    max_gap_m: Amount
    """Between neighbours' walls."""
    heading_tolerance_deg: Amount
    size_tolerance: Amount
    """Largest difference of lengths and of widths, relative to the larger."""


@dataclass(frozen=True)
class Calibration:
    """The logistic curve from fit to the probability that a building is of the type; fitted on labelled buildings."""

    intercept: float
    shape: Amount
    """Log-odds that a perfect shape adds to one that hardly fits."""
    group: Amount
    """Log-odds that a full group adds to a building that stands alone."""
    source: str = ""


DORMITORY_CURVE = Calibration(-15.47, 14.64, 5.63, source="that of configs/structures/dormitory.yaml")
"""For profiles without a calibration of their own."""


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
    storeys: Storeys
    rooms_per_building: InOrder
    beds_per_room: InOrder
    rooms_per_metre: InOrder | None = None
    """Rooms per metre of length and storey; if given, it replaces ``rooms_per_building``, and longer buildings have more
    rooms."""
    calibration: Calibration = DORMITORY_CURVE
    min_score: Score = 0.5
    """Score from which a building is called dormitory-like."""
    description: str = ""
    sources: tuple[str, ...] = ()

    @property
    def beds_per_building(self) -> int:
        """Likely number of beds in a finished building of the usual size."""
        return round(self.rooms_per_building.likely * self.beds_per_room.likely)

    def beds(self, length_m: NDArray[np.float64]) -> NDArray[np.float64]:
        """Likely beds of finished buildings, by their length if the profile has ``rooms_per_metre``."""
        if self.rooms_per_metre is None:
            return np.full(len(length_m), float(self.beds_per_building))
        return np.round(np.round(length_m * self.storeys * self.rooms_per_metre.likely) * self.beds_per_room.likely)


def profile_path(name_or_path: str | Path | None = None) -> Path:
    """The file of a structure profile.

    Args:
        name_or_path: a file, or the name of a profile that ships with the package (a file of that name comes first); None for the
            dormitory.

    Raises:
        InputError: there is no such file or name.
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
        raw = yaml.load(path.read_text(encoding="utf-8"), Loader)
    except OSError as cause:
        raise InputError(f"{path}: cannot be read ({cause.strerror}); {DEFAULT_PROFILE} is an example") from cause
    except (yaml.YAMLError, ValueError, RecursionError) as cause:  # such as a month 13, or 5,000 digits
        raise InputError(
            f"{path}: is not valid YAML ({' '.join(str(cause).split())[:120]}); {DEFAULT_PROFILE} is an example"
        ) from cause
    return profile_from(raw, str(path))


def profile_from(raw: Any, path: str) -> StructureProfile:
    """A structure profile from plain keys and values; ``path`` names it in errors.

    Raises:
        InputError: unknown or missing keys, numbers out of order.
    """
    try:
        profile: StructureProfile = read(StructureProfile, raw, strict=True)
    except SchemaError as cause:
        raise InputError(f"{path}: {cause}; {DEFAULT_PROFILE} is an example") from cause
    return profile


def plain(profile: StructureProfile) -> dict[str, Any]:
    """The profile as keys, numbers, strings and lists, from which ``profile_from`` makes it again."""
    raw = {key: value for key, value in asdict(profile).items() if value is not None}
    return {key: list(value) if isinstance(value, tuple) else value for key, value in raw.items()}


def profile_text(profile: StructureProfile) -> str:
    """The profile as YAML that ``load_profile`` reads back."""
    head = f"# Four numbers are [never below, likely from, likely to, never above]; the comments in {DEFAULT_PROFILE} explain the keys.\n"
    return head + yaml.safe_dump(plain(profile), sort_keys=False, allow_unicode=True, width=120)
