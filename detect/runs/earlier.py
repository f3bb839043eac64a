"""Read a result of predict again, to count or adapt it: its table, rasters, summary, sites, and the scene where that is still there."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pyproj
from numpy.typing import NDArray
from shapely import Polygon

from detect.base.errors import DetectError
from detect.base.geometry import span_outline
from detect.base.grid import Span
from detect.base.notices import Code, Notice
from detect.base.texts import number_of
from detect.census.profiles import StructureProfile, profile_from
from detect.census.review import Review
from detect.census.sites import Sites
from detect.results.again import opened_raster, read_buildings, read_sites
from detect.results.contents import is_unchanged
from detect.results.folder import ResultFolder
from detect.results.summary import Summary, found_of
from detect.scene.scene import Scene, WorkGrid, open_scene
from detect.scene.sun import Sun

TABLE = "buildings.gpkg"
NEEDED = (TABLE, "stage.tif")
ABOVE = 3
"""So many folders above that of a result are tried for its scene."""
_RASTERS = ("mask.tif", "probability.tif")
"""What a census copies where the result has it; everything else it writes anew."""


@dataclass(frozen=True)
class Earlier:
    """A result that is there."""

    folder: Path
    summary: dict[str, Any]
    buildings: gpd.GeoDataFrame
    grid: WorkGrid
    crs: pyproj.CRS | None
    stage: NDArray[np.uint8]
    """(H, W) stage codes."""

    @property
    def outputs(self) -> frozenset[str]:
        """Names of the files that it has; empty: all, as in results of earlier versions."""
        return ResultFolder(self.folder).written() or frozenset()

    @property
    def checked(self) -> Review:
        """The corrections that the result holds already."""
        return Review.from_json(self.summary.get("review"), self.folder)

    @property
    def outline(self) -> Polygon:
        """Outline of its rasters, in the scene's CRS."""
        return span_outline(self.grid.transform, Span(0, 0, *self.grid.size_hw))

    @property
    def sites(self) -> Sites:
        """The sites in which it counts."""
        table = read_sites(self.folder / TABLE, len(self.summary["sites"]))
        warnings = tuple(tuple(site["warnings"]) for site in self.summary["sites"])
        return Sites(table, warnings, self.summary["scene"]["sites_are"])

    @property
    def profile(self) -> StructureProfile:
        """The structure profile it was made with."""
        return profile_from(self.summary["run"]["structure"], str(self.folder))

    @cached_property
    def edited(self) -> Notice | None:
        """That the table of buildings was changed by something else than detect, which nobody recorded as corrections."""
        files, contents = self.summary.get("files") or {}, self.summary.get("contents") or {}
        table = self.folder / TABLE
        if TABLE not in files or is_unchanged(table, files[TABLE], contents.get(TABLE)):
            return None
        counted = self.summary["total"]["buildings"]
        text = (
            f"{TABLE} was edited where it lies: it holds {number_of(len(self.buildings), 'building')}, {found_of(counted):,} were counted "
            "before; all count as they are, not as corrections; edit a copy and give it as --review, so that corrections are recorded"
        )
        return Notice(Code.EDITED, text)

    @cached_property
    def scene(self) -> tuple[Scene | None, str]:
        """The scene where it can be read again, or None and why not."""
        return _scene_again(self.summary["scene"], self.folder)


def read_earlier(folder: Path) -> Earlier:
    """The result in a folder.

    Raises:
        InputError: a file is missing or of another version.
    """
    summary = Summary.read(ResultFolder(folder), "rates", "scene.sun").to_json()  # earlier versions left these out
    result = ResultFolder(folder)
    written = result.written()
    result.require([*NEEDED, *(name for name in _RASTERS if written is None or name in written)])
    buildings = read_buildings(folder / TABLE)
    with opened_raster(folder / "stage.tif") as source:
        grid = WorkGrid(source.shape, source.transform, summary["run"]["work_gsd_m"], (1.0, 1.0))
        crs = None if source.crs is None else pyproj.CRS(source.crs)
        return Earlier(folder, summary, buildings, grid, crs, source.read(1))


def _scene_again(known: dict[str, Any], folder: Path) -> tuple[Scene | None, str]:
    """The scene that was predicted where it is still there, or None and why not.

    A relative path is as it was typed, from a working folder that nobody recorded. So the place of the result is tried too.
    """
    scene, reason = _scene_at(known["path"], known)
    if scene is None:
        others = (_scene_at(path, known)[0] for path in _beside(known["path"], folder))
        scene = next((other for other in others if other is not None), None)
    return scene, "" if scene is not None else reason


def _beside(path: str, folder: Path) -> list[str]:
    """Files that a relative path may mean, seen from the folder of a result or one of those above it, as the command would name them."""
    if "://" in path or Path(path).is_absolute():
        return []
    folder = folder.resolve()
    files = [str(home / path) for home in (folder, *folder.parents[:ABOVE])]
    return [_from_here(file) for file in files if os.path.isfile(file)]  # unlike Path.is_file, it bears a name that is too long


def _from_here(file: str) -> str:
    try:
        return os.path.relpath(file)
    except ValueError:  # on another drive than the working folder
        return file


def _scene_at(path: str, known: dict[str, Any]) -> tuple[Scene | None, str]:
    """The scene at a path if it is the known one, or None and why not."""
    try:
        scene = open_scene(path, bands=known["bands"], gsd_m=None if known["crs"] else known["gsd_m"])
    except (DetectError, OSError) as cause:
        return None, str(cause)
    if scene.sha256 != known["sha256"]:
        return None, f"{path} has changed since"
    # The file itself does not hold what the command line or a STAC item gave.
    sun = None if known["sun"] is None else Sun(**known["sun"])
    return replace(scene, name=known["name"], date=known["date"], sun=sun), ""
