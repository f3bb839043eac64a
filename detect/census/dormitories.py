"""Find buildings that look like a known type of dormitory: rows of similar buildings, and a score with reasons for each.

From above only size, shape and repetition can be seen. The score says how well these fit, never what a building is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import geopandas as gpd
import numpy as np
import shapely
from numpy.typing import NDArray

from detect.base.matching import connected
from detect.base.vectors import equal_area_crs, geometries_of
from detect.census.profiles import GroupRule, StructureProfile, Trapezoid


def membership(values: NDArray[np.float64], shape: Trapezoid) -> NDArray[np.float64]:
    """How well values fit a trapezoid, 0–1 (a fuzzy set; Zadeh 1965)."""
    low, likely_low, likely_high, high = shape
    rise = np.where(values >= likely_low, 1.0, np.clip((values - low) / max(likely_low - low, 1e-9), 0, 1))
    fall = np.where(values <= likely_high, 1.0, np.clip((high - values) / max(high - likely_high, 1e-9), 0, 1))
    return np.minimum(rise, fall)


def add_dormitories(buildings: gpd.GeoDataFrame, profile: StructureProfile) -> gpd.GeoDataFrame:
    """Add ``row``, ``dormitory_like``, ``dormitory_score`` and ``dormitory_reasons``.

    Beds come later, from ``detect.census.count.with_beds``, because storeys are measured on dormitory-like buildings.

    The score is a probability: a logistic curve (``profile.calibration``, fitted on labelled buildings) of two numbers. The fit of
    the shape is the weakest of four fuzzy memberships; the fit of the group grows with the number of similar neighbours. The score
    is 0 if one property of the shape lies outside its range.

    Args:
        buildings: with ``length_m``, ``width_m``, ``orientation_deg``, ``rectangularity`` and a geometry.
        profile: the type to find.
    """
    fits = shape_fits(buildings, profile)
    shape = np.minimum.reduce(list(fits.values()))
    groups, sizes = find_rows(buildings, shape > 0, profile.group)
    score = likeness(shape, sizes, profile)
    like = score >= profile.min_score
    reasons = [
        _reasons({k: v[i] for k, v in fits.items()}, int(sizes[i]), profile.group.min_buildings) for i in range(len(buildings))
    ]
    return buildings.assign(row=groups, dormitory_like=like, dormitory_score=score, dormitory_reasons=reasons)


def mean_width_m(buildings: gpd.GeoDataFrame) -> NDArray[np.float64]:
    """Area divided by length, metres.

    An annex widens the bounding rectangle by its full depth, but the mean width only in proportion to its area.
    """
    return buildings["width_m"].to_numpy(float) * buildings["rectangularity"].to_numpy(float)


def shape_fits(buildings: gpd.GeoDataFrame, profile: StructureProfile) -> dict[str, NDArray[np.float64]]:
    """How well each building's length, mean width, aspect and rectangularity fit the profile's ranges, 0–1."""
    length, width = buildings["length_m"].to_numpy(float), mean_width_m(buildings)
    return {
        "length": membership(length, profile.length_m),
        "width": membership(width, profile.width_m),
        "aspect": membership(length / np.maximum(width, 1e-9), profile.aspect),
        "rectangularity": membership(buildings["rectangularity"].to_numpy(float), profile.rectangularity),
    }


def group_fit(sizes: NDArray[np.int64], rule: GroupRule) -> NDArray[np.float64]:
    """Fit of the group by its size: 0 for a single building, 1 from twice ``min_buildings`` on, logarithmic between.

    All are 1 if the profile requires no group.
    """
    if rule.min_buildings <= 1:
        return np.ones(len(sizes))
    return np.clip(np.log(np.maximum(sizes, 1)) / np.log(2 * rule.min_buildings), 0, 1)


def likeness(shape: NDArray[np.float64], sizes: NDArray[np.int64], profile: StructureProfile) -> NDArray[np.float64]:
    """Probability that a building is of the profile's type, from the fit of its shape (0–1) and the size of its group."""
    curve = profile.calibration
    odds = curve.intercept + curve.shape * shape + curve.group * group_fit(sizes, profile.group)
    return np.where(shape > 0, 1 / (1 + np.exp(-odds)), 0.0).round(3)


def _reasons(fits: Mapping[str, float], size: int, wanted: int) -> str:
    weak = [f"{name} {value:.2f}" for name, value in fits.items() if value < 1]
    if all(fits.values()):
        weak.append(f"group of {size}" + ("" if size >= wanted else f", {wanted} wanted"))
    return "; ".join(weak)


def find_rows(
    buildings: gpd.GeoDataFrame, candidates: NDArray[np.bool_], rule: GroupRule
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Find groups of similar buildings that stand near each other and have the same heading.

    Two candidates are linked if their walls are at most ``max_gap_m`` apart and their headings, lengths and mean widths agree. A
    group consists of all buildings that are linked directly or through others.

    Returns:
        The row number of each building: from 1 in the order of the buildings; 0 for a building that stands alone or is not a
        candidate. And the size of its group, which is 1 for such a building.
    """
    rows, sizes = np.zeros(len(buildings), np.int64), np.ones(len(buildings), np.int64)
    index = np.nonzero(candidates)[0]
    if len(index) < 2:
        return rows, sizes
    plane = equal_area_crs(buildings)
    geometries = geometries_of(buildings if plane is None else buildings.to_crs(plane))[index]
    length, heading = (buildings[c].to_numpy(float)[index] for c in ("length_m", "orientation_deg"))
    width = mean_width_m(buildings)[index]
    a, b = shapely.STRtree(geometries).query(geometries, predicate="dwithin", distance=rule.max_gap_m)
    turned = np.abs(heading[a] - heading[b]) % 180
    agree = np.minimum(turned, 180 - turned) <= rule.heading_tolerance_deg
    for side in (length, width):
        agree &= np.abs(side[a] - side[b]) <= rule.size_tolerance * np.maximum(side[a], side[b])
    component = connected(np.stack([a[agree], b[agree]]), len(index))
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


def mean_heading_deg(orientations_deg: NDArray[np.float64]) -> float:
    """Mean of directions modulo 180°: half the angle of the sum of doubled angles (Mardia & Jupp 2000)."""
    twice = np.radians(2 * orientations_deg)
    return math.degrees(math.atan2(np.sin(twice).sum(), np.cos(twice).sum())) / 2 % 180


def rows_layer(buildings: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """One polygon around each row: ``row``, ``site``, ``buildings``, ``dormitory_like`` (how many), ``heading_deg``, ``beds``."""
    records, outlines = [], []
    for row, members in buildings[buildings["row"] > 0].groupby("row", sort=True):
        heading = mean_heading_deg(members["orientation_deg"].to_numpy(float))
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
