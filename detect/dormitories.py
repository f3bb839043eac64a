"""Which buildings look like dormitories of a known type: structure profiles, groups of like buildings, a score with its reasons.

From above only size, shape and repetition can be seen; the score says how well these fit, never what a building is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import shapely
import yaml
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from detect.errors import InputError
from detect.resources import resource_path
from detect.vectors import equal_area_crs, geometries_of

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
class StructureProfile:
    """A known type of building. Four numbers: never below, likely from, likely to, never above."""

    name: str
    length_m: Trapezoid
    width_m: Trapezoid
    aspect: Trapezoid
    """Length / width."""
    rectangularity: Trapezoid
    group: GroupRule
    storeys: int
    rooms_per_building: Assumed
    beds_per_room: Assumed
    min_score: float = 0.5
    """From here on a building is called dormitory-like."""
    description: str = ""
    sources: tuple[str, ...] = ()

    @property
    def beds_per_building(self) -> int:
        """Of a finished one, the likely number."""
        return round(self.rooms_per_building.likely * self.beds_per_room.likely)


def load_profile(path: str | Path | None = None) -> StructureProfile:
    """A structure profile from YAML; by default the dormitory that ships with the package.

    Raises:
        InputError: missing file, broken YAML, unknown or missing keys, numbers out of order.
    """
    path = resource_path(DEFAULT_PROFILE) if path is None else Path(path)
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as cause:
        raise InputError(f"{path}: cannot be read ({cause.strerror}); {DEFAULT_PROFILE} is an example") from cause
    except (yaml.YAMLError, UnicodeDecodeError) as cause:
        raise InputError(f"{path}: is no YAML ({' '.join(str(cause).split())[:120]}); {DEFAULT_PROFILE} is an example") from cause
    top = _keys(StructureProfile, raw, str(path))
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
    for key in ("rooms_per_building", "beds_per_room"):
        assumed = _keys(Assumed, top[key], f"{path}: {key}")
        values[key] = Assumed(*_numbers([assumed[k] for k in ("low", "likely", "high")], 3, f"{path}: {key}"))
    values["storeys"] = int(_number(top["storeys"], f"{path}: storeys"))
    values["min_score"] = _number(top.get("min_score", 0.5), f"{path}: min_score")
    return StructureProfile(**values)


def _keys(kind: type, raw: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(raw, dict):
        raise InputError(f"{where}: expects keys; {DEFAULT_PROFILE} is an example")
    known = {f.name for f in fields(kind)}
    needed = known - {"min_score", "description", "sources"}
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


def membership(values: NDArray[np.float64], shape: Trapezoid) -> NDArray[np.float64]:
    """How well values fit a trapezoid, 0–1 (a fuzzy set; Zadeh 1965)."""
    low, likely_low, likely_high, high = shape
    rise = np.where(values >= likely_low, 1.0, np.clip((values - low) / max(likely_low - low, 1e-9), 0, 1))
    fall = np.where(values <= likely_high, 1.0, np.clip((high - values) / max(high - likely_high, 1e-9), 0, 1))
    return np.minimum(rise, fall)


def add_dormitories(buildings: gpd.GeoDataFrame, profile: StructureProfile) -> gpd.GeoDataFrame:
    """The table with ``row``, ``dormitory_like``, ``dormitory_score``, ``dormitory_reasons`` and ``beds``.

    The score is the weakest of the four shape memberships, times how far the group of like neighbours reaches ``min_buildings``: a single
    building of the right shape gets a quarter of it, since a warehouse alone has the same shape.

    Args:
        buildings: with ``length_m``, ``width_m``, ``orientation_deg``, ``rectangularity`` and a geometry.
        profile: the type that is looked for.
    """
    length, width = (buildings[c].to_numpy(float) for c in ("length_m", "width_m"))
    aspect = length / np.maximum(width, 1e-9)
    fits = {
        "length": membership(length, profile.length_m),
        "width": membership(width, profile.width_m),
        "aspect": membership(aspect, profile.aspect),
        "rectangularity": membership(buildings["rectangularity"].to_numpy(float), profile.rectangularity),
    }
    shape = np.minimum.reduce(list(fits.values()))
    groups, sizes = find_rows(buildings, shape > 0, profile.group)
    enough = np.where(sizes >= profile.group.min_buildings, 1.0, 0.25 + 0.5 * (sizes - 1) / profile.group.min_buildings)
    score = np.where(shape > 0, shape * enough, 0.0).round(3)
    like = score >= profile.min_score
    reasons = [
        _reasons({k: v[i] for k, v in fits.items()}, int(sizes[i]), profile.group.min_buildings) for i in range(len(buildings))
    ]
    return buildings.assign(
        row=groups,
        dormitory_like=like,
        dormitory_score=score,
        dormitory_reasons=reasons,
        beds=np.where(like, profile.beds_per_building, 0).astype(np.int64),
    )


def _reasons(fits: Mapping[str, float], size: int, wanted: int) -> str:
    weak = [f"{name} {value:.2f}" for name, value in fits.items() if value < 1]
    if all(fits.values()):
        weak.append(f"group of {size}" + ("" if size >= wanted else f", {wanted} wanted"))
    return "; ".join(weak)


def find_rows(
    buildings: gpd.GeoDataFrame, candidates: NDArray[np.bool_], rule: GroupRule
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Groups of like buildings that stand near each other under one heading.

    Two candidates are linked when their walls are at most ``max_gap_m`` apart and headings, lengths and widths agree; a group is what is
    linked, directly or through others.

    Returns:
        Row number of each building, 1… in the order of the buildings, 0 for those that stand alone or are no candidates; and the
        number of buildings in its group, 1 for those alone.
    """
    rows, sizes = np.zeros(len(buildings), np.int64), np.ones(len(buildings), np.int64)
    index = np.nonzero(candidates)[0]
    if len(index) < 2:
        return rows, sizes
    plane = equal_area_crs(buildings)
    geometries = geometries_of(buildings if plane is None else buildings.to_crs(plane))[index]
    length, width, heading = (buildings[c].to_numpy(float)[index] for c in ("length_m", "width_m", "orientation_deg"))
    a, b = shapely.STRtree(geometries).query(geometries, predicate="dwithin", distance=rule.max_gap_m)
    turned = np.abs(heading[a] - heading[b]) % 180
    agree = np.minimum(turned, 180 - turned) <= rule.heading_tolerance_deg
    for side in (length, width):
        agree &= np.abs(side[a] - side[b]) <= rule.size_tolerance * np.maximum(side[a], side[b])
    links = coo_array((np.ones(int(agree.sum())), (a[agree], b[agree])), shape=(len(index), len(index)))
    _, component = connected_components(links, directed=False)
    counts = np.bincount(component)
    sizes[index] = counts[component]
    number = 0
    numbers: dict[int, int] = {}
    for i, group in zip(index, component, strict=True):
        if counts[group] > 1:
            if group not in numbers:
                number += 1
                numbers[group] = number
            rows[i] = numbers[group]
    return rows, sizes


def rows_layer(buildings: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """One polygon around each row: ``row``, ``site``, ``buildings``, ``dormitory_like`` (how many), ``heading_deg``, ``beds``."""
    records, outlines = [], []
    for row, members in buildings[buildings["row"] > 0].groupby("row", sort=True):
        twice = np.radians(2 * members["orientation_deg"].to_numpy(float))
        heading = math.degrees(math.atan2(np.sin(twice).sum(), np.cos(twice).sum())) / 2 % 180
        sites = members["site"].dropna()
        records.append(
            {
                "row": int(row),
                "site": sites.mode().iloc[0] if len(sites) else None,
                "buildings": len(members),
                "dormitory_like": int(members["dormitory_like"].sum()),
                "heading_deg": round(heading, 1),
                "beds": int(members["beds"].sum()),
            }
        )
        outlines.append(shapely.minimum_rotated_rectangle(shapely.union_all(geometries_of(members))))
    columns = {
        "row": "int64",
        "site": object,
        "buildings": "int64",
        "dormitory_like": "int64",
        "heading_deg": float,
        "beds": "int64",
    }
    table = gpd.GeoDataFrame(
        records, columns=list(columns), geometry=gpd.GeoSeries(outlines, crs=buildings.crs), crs=buildings.crs
    )
    return table.astype(columns)
