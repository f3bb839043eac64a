"""The order of ``detect collect``: results → each building once → one table → files."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pyproj
import shapely
from numpy.typing import NDArray
from shapely import Polygon

from detect.base.errors import InputError
from detect.base.geometry import span_outline, to_degrees
from detect.base.grid import Span
from detect.base.options import takes
from detect.base.texts import number_of
from detect.base.vectors import read_vector
from detect.census.overlaps import counted_once, deleted_elsewhere, overlapping
from detect.census.review import CHECKED, Review
from detect.results.adapted import adapted_since, line_of
from detect.results.again import opened_raster
from detect.results.collected import (
    Piece,
    one_table,
    scene_table,
    write_flatgeobuf,
    write_geoparquet,
    write_native,
    write_pmtiles,
)
from detect.results.folder import ResultFolder
from detect.results.map_page import write_map
from detect.results.stac_collection import ASSETS, write_collection
from detect.results.stac_table import write_items
from detect.runs.options import CollectOptions, silent
from detect.runs.track import free_folder

OUTPUTS = ("collection.json", *(file for file, _, _ in ASSETS.values()))
_MARK = ("collection.json", ("stac_version", "assets"))
"""By which a result of ``collect`` is known."""
_NEEDED = ("buildings.parquet", "mask.tif")


@dataclass(frozen=True)
class Collected:
    """What ``detect collect`` made."""

    folder: Path
    buildings: gpd.GeoDataFrame
    """All buildings in longitude and latitude, each once; ``scene`` and ``date`` before the columns of a result."""
    scenes: pd.DataFrame
    """A row for each scene."""
    left_out: tuple[str, ...]
    """A line for each result that has no place on Earth, or that an adapted one replaces."""
    notes: tuple[str, ...] = ()
    """Lines on what to keep in mind about the whole."""


@takes(CollectOptions)
def collect(results: str | PathLike[str] | Sequence[str | PathLike[str]], out: str | Path, **options: Any) -> Collected:
    """Put many results of predict together: one table, one map, one STAC collection.

    A building that several results of one date (or of unknown date) show is taken once, from the one in which a reviewer has checked
    it, else from the one that shows it best (see ``detect.census.overlaps.counted_once``); one that a reviewer deleted in a result is
    left out of the others. A result that ``detect adapt`` has replaced is left out. Results of different dates stay side by side, with
    their date.

    Args:
        results: results of predict, or folders that it wrote, for one scene or with a folder per scene.
        out: folder for the files.
        options: see below.

    Raises:
        TypeError: an unknown option.
        InputError: no result with a place on Earth, or an ``out`` that holds something.
    """
    wanted = CollectOptions.from_keywords(**options)
    given = [results] if isinstance(results, str | PathLike) else results
    report, target = wanted.progress or silent, free_folder(Path(out), OUTPUTS, *_MARK, wanted.overwrite)
    folders = list(dict.fromkeys(found.path.resolve() for path in given for found in ResultFolder.find(Path(path))))
    replaced = adapted_since(folders)
    pieces, left_out = _read([folder for folder in folders if folder not in replaced], report)
    left_out += [line_of(folder, newer) for folder, newer in replaced.items()]
    if not pieces:
        raise InputError(f"{'; '.join(left_out)}: nothing is left to put on a map")
    pieces = _once(pieces)
    table, scenes = one_table(pieces), scene_table(pieces)
    with ResultFolder(target).lock("detect collect"):
        free_folder(target, OUTPUTS, *_MARK, wanted.overwrite)
        with ResultFolder(target).swap(OUTPUTS, _MARK[0]) as new:
            writers = {
                "buildings.parquet": lambda path: (write_native if wanted.native_geometry else write_geoparquet)(path, table),
                "buildings.fgb": lambda path: write_flatgeobuf(path, table),
                "buildings.pmtiles": lambda path: write_pmtiles(path, table),
                "map.html": lambda path: write_map(path, table, pieces, place=target),
                "items.parquet": lambda path: write_items(path, pieces, name=target.resolve().name, place=target),
                "scenes.csv": lambda path: scenes.to_csv(path, index=False),
                "collection.json": lambda path: write_collection(path, pieces, name=target.resolve().name, place=target),
            }
            if not len(table):  # GDAL cannot write tiles of nothing
                del writers["buildings.pmtiles"]
            for done, (name, write) in enumerate(writers.items()):
                report("files", done, len(writers))
                write(new / name)
            report("files", len(writers), len(writers))
    return Collected(target, table, scenes, tuple(left_out), tuple(_notes(pieces)))


def _read(folders: Sequence[Path], report: Any) -> tuple[list[Piece], list[str]]:
    pieces, left_out, taken = [], [], set()
    for done, folder in enumerate(folders, start=1):
        summary = ResultFolder(folder).summary("scene.date", "total.buildings", "total.beds", "run.work_gsd_m", "warnings")
        ResultFolder(folder).require(_NEEDED)
        outline = _outline(folder / "mask.tif")
        if outline is None:
            left_out.append(f"{folder.name} has no place on Earth")
        else:
            name = folder.name
            while name in taken:  # results of several calls may have the same name
                name = f"{folder.parent.name}-{name}" if name == folder.name else f"{name}+"
            taken.add(name)
            table = read_vector(folder / "buildings.parquet")
            pieces.append(Piece(folder, name, outline, summary["scene"]["date"], summary, table))
        report("results", done, len(folders))
    return pieces, left_out


def _notes(pieces: Sequence[Piece]) -> Iterator[str]:
    """A line if the results were counted with different profiles: what ``dormitory_like`` and ``beds`` mean differs then."""
    profiles = {json.dumps(piece.summary["run"].get("structure"), sort_keys=True) for piece in pieces}
    names = Counter((piece.summary["run"].get("structure") or {}).get("name", "unknown") for piece in pieces)
    if len(profiles) > 1:
        counts = ", ".join(f"{name} in {number_of(count, 'scene')}" for name, count in names.items())
        yield (
            f"the scenes were counted with {len(profiles)} different structure profiles ({counts}), so dormitory_like and beds do not mean "
            "the same in all; detect census --structure counts a result again with another one"
        )


def _outline(raster: Path) -> Polygon | None:
    """Outline of a raster in longitude and latitude; None without a place on Earth."""
    with opened_raster(raster) as source:
        if source.crs is None:
            return None
        outline = span_outline(source.transform, Span(0, 0, *source.shape))
        dense = shapely.segmentize(np.array([outline], dtype=object), max(source.bounds[2] - source.bounds[0], 1e-9) / 4)
        found: Polygon = to_degrees(dense, pyproj.CRS(source.crs))[0]
        return found


@dataclass(frozen=True)
class _Ground:
    """What ``overlapping`` needs to know of a scene."""

    crs: pyproj.CRS
    outline: Polygon
    date: str | None


def _once(pieces: Sequence[Piece]) -> list[Piece]:
    """The results, each without the buildings that another one of its date shows better, or in which they were deleted."""
    degrees = pyproj.CRS.from_epsg(4326)
    pairs = overlapping([_Ground(degrees, piece.outline, piece.date) for piece in pieces])
    reviews = [Review.from_json(piece.summary.get("review"), piece.folder) for piece in pieces]
    tables = [
        piece.buildings.assign(**{CHECKED: piece.buildings["id"].isin(review.checked)})
        for piece, review in zip(pieces, reviews, strict=True)
    ]
    gone = deleted_elsewhere(tables, pairs, [_deleted(*both) for both in zip(pieces, reviews, strict=True)])
    instead = counted_once([table[~out] for table, out in zip(tables, gone, strict=True)], pairs)
    return [
        replace(
            piece,
            buildings=piece.buildings[~out][others < 0].reset_index(drop=True),
            elsewhere=int((others >= 0).sum()),
            deleted=int(out.sum()),
        )
        for piece, out, others in zip(pieces, gone, instead, strict=True)
    ]


def _deleted(piece: Piece, review: Review) -> NDArray[np.object_]:
    """A point in each building that was deleted from a result, in longitude and latitude."""
    points = review.deleted_points
    if not len(points):
        return points
    with opened_raster(piece.folder / "mask.tif") as source:
        return to_degrees(points, pyproj.CRS(source.crs))
