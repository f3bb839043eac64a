"""Learn a structure profile from example buildings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import geopandas as gpd
import numpy as np
from numpy.typing import NDArray

from detect.base.errors import InputError
from detect.base.files import write_whole
from detect.base.geometry import measure
from detect.base.texts import number_of
from detect.base.vectors import geometries_of, polygons_only, read_vector
from detect.census.dormitories import find_rows, mean_width_m, shape_fits
from detect.census.profiles import StructureProfile, Trapezoid, load_profile, profile_text

SPREAD = 0.08
"""Least relative spread of lengths and widths among buildings of one type, as in measured footprints."""


def learn(
    buildings: str | Path,
    ids: Sequence[int],
    out: str | Path,
    *,
    name: str | None = None,
    structure: str | Path | None = None,
) -> StructureProfile:
    """Learn a profile from examples among the detected buildings, and write it.

    Args:
        buildings: vector file with a column ``id``, such as a result's buildings.gpkg.
        ids: ids of the examples.
        out: YAML file to write.
        name: name of the type; by default the name of the file.
        structure: profile (YAML file or a name that ships) from which storeys, rooms and beds are taken, since these cannot be seen from
            above; by default the dormitory.

    Raises:
        InputError: a file that cannot be used, an ``id`` that is absent, or an ``out`` that exists.
    """
    out = Path(out)
    if out.exists():
        raise InputError(f"{out}: exists already; give another --out")
    if not out.parent.is_dir():
        raise InputError(f"{out}: the folder {out.parent} does not exist; create it first")
    base = load_profile(structure)
    table = _read(Path(buildings))
    missing = sorted(set(ids) - set(table["id"]))
    if missing:
        raise InputError(
            f"{buildings}: has no building with id {', '.join(map(str, missing))}; it has {number_of(len(table), 'building')}"
        )
    chosen = table["id"].isin(ids).to_numpy()
    alone = learn_profile(table[chosen], np.ones(int(chosen.sum()), np.int64), name or out.stem, base)
    # Group sizes depend on which buildings look like the examples, so shapes come first.
    _, sizes = find_rows(table, _within(table, alone), base.group)
    profile = learn_profile(table[chosen], sizes[chosen], name or out.stem, base)
    write_whole(out, profile_text(profile))
    return profile


def _read(path: Path) -> gpd.GeoDataFrame:
    """Buildings with ``id`` and their measures."""
    table = polygons_only(read_vector(path, preferred="buildings"))
    if "id" not in table:
        raise InputError(f"{path}: has no column 'id'")
    return table.assign(**measure(list(geometries_of(table)), table.crs).set_axis(table.index))


def _within(table: gpd.GeoDataFrame, profile: StructureProfile) -> NDArray[np.bool_]:
    return np.minimum.reduce(list(shape_fits(table, profile).values())) > 0


def learn_profile(
    examples: gpd.GeoDataFrame, group_sizes: NDArray[np.int64], name: str, base: StructureProfile
) -> StructureProfile:
    """Make a profile whose likely ranges hold all examples, and whose outer limits lie at three times their spread.

    Args:
        examples: with ``length_m``, ``width_m``, ``rectangularity``.
        group_sizes: (N,) how many like buildings stand together with each.
        name: name of the new type.
        base: what cannot be seen from above (storeys, rooms, beds) and when buildings belong together.
    """
    length, width = examples["length_m"].to_numpy(float), mean_width_m(examples)
    fill = examples["rectangularity"].to_numpy(float)
    lowest_fill = round(max(0.0, float(fill.min()) - 0.05), 3)
    typical = int(np.median(group_sizes))
    return replace(
        base,
        name=name,
        description=f"learnt from {len(examples)} examples",
        sources=(f"{len(examples)} examples; storeys, rooms and beds are those of the profile '{base.name}'",),
        length_m=_around(length),
        width_m=_around(width),
        aspect=_around(length / np.maximum(width, 1e-9)),
        rectangularity=(round(max(0.0, lowest_fill - 0.15), 3), lowest_fill, 1.0, 1.0),
        group=replace(base.group, min_buildings=max(1, min(base.group.min_buildings, typical))),
    )


def _around(values: NDArray[np.float64]) -> Trapezoid:
    spread = max(float(values.std()), SPREAD * float(values.mean()))
    low, high = float(values.min()), float(values.max())
    never_low, likely_low = max(0.0, low - 3 * spread), max(0.0, low - spread)
    return round(never_low, 2), round(likely_low, 2), round(high + spread, 2), round(high + 3 * spread, 2)
