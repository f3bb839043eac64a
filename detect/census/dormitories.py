"""Which buildings look like dormitories of a known type: profiles, groups of similar buildings, a score with reasons.

From above only size, shape and repetition can be seen; the score says how well these fit, never what a building is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import geopandas as gpd
import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from detect.base.vectors import equal_area_crs, geometries_of
from detect.census.profiles import GroupRule, StructureProfile, Trapezoid


def membership(values: NDArray[np.float64], shape: Trapezoid) -> NDArray[np.float64]:
    """How well values fit a trapezoid, 0–1 (a fuzzy set; Zadeh 1965)."""
    low, likely_low, likely_high, high = shape
    rise = np.where(values >= likely_low, 1.0, np.clip((values - low) / max(likely_low - low, 1e-9), 0, 1))
    fall = np.where(values <= likely_high, 1.0, np.clip((high - values) / max(high - likely_high, 1e-9), 0, 1))
    return np.minimum(rise, fall)


def add_dormitories(buildings: gpd.GeoDataFrame, profile: StructureProfile) -> gpd.GeoDataFrame:
    """The table with ``row``, ``dormitory_like``, ``dormitory_score``, ``dormitory_reasons`` and ``beds``.

    The score is a probability: a logistic curve (``profile.calibration``, fitted on labelled buildings) over how well the shape fits, the
    weakest of four fuzzy memberships, and over how full the group of like neighbours is. It is 0 if one property of the shape
    lies outside its range.

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
    beds = profile.beds(buildings["length_m"].to_numpy(float))
    return buildings.assign(
        row=groups,
        dormitory_like=like,
        dormitory_score=score,
        dormitory_reasons=reasons,
        beds=np.where(like, beds, 0).astype(np.int64),
    )


def mean_width_m(buildings: gpd.GeoDataFrame) -> NDArray[np.float64]:
    """Area by length.

    A bump on a block widens the smallest rectangle around it by all of its depth, the mean width by its share of the area.
    """
    return buildings["width_m"].to_numpy(float) * buildings["rectangularity"].to_numpy(float)


def shape_fits(buildings: gpd.GeoDataFrame, profile: StructureProfile) -> dict[str, NDArray[np.float64]]:
    """Memberships, 0–1, of each building in the profile's ranges of length, mean width, aspect and rectangularity."""
    length, width = buildings["length_m"].to_numpy(float), mean_width_m(buildings)
    return {
        "length": membership(length, profile.length_m),
        "width": membership(width, profile.width_m),
        "aspect": membership(length / np.maximum(width, 1e-9), profile.aspect),
        "rectangularity": membership(buildings["rectangularity"].to_numpy(float), profile.rectangularity),
    }


def group_fit(sizes: NDArray[np.int64], rule: GroupRule) -> NDArray[np.float64]:
    """How full groups are: 0 alone, 1 from twice ``min_buildings``, logarithmic between; all 1 if no group is required."""
    if rule.min_buildings <= 1:
        return np.ones(len(sizes))
    return np.clip(np.log(np.maximum(sizes, 1)) / np.log(2 * rule.min_buildings), 0, 1)


def likeness(shape: NDArray[np.float64], sizes: NDArray[np.int64], profile: StructureProfile) -> NDArray[np.float64]:
    """Probability that a building is of the profile's type, from how well its shape fits (0–1) and how many stand together."""
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
    """Groups of similar buildings that stand near each other with one heading.

    Two candidates are linked when their walls are at most ``max_gap_m`` apart and headings, lengths and mean widths agree; a
    group is a set of buildings that are linked directly or through others.

    Returns:
        Row number of each building, 1… in the order of the buildings, 0 for single buildings and for those that are no
        candidates; and the number of buildings in its group, 1 for a single one.
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
