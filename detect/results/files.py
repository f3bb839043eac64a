"""The table of a result's files. A new file needs one writer and one row.

Writers import what they need when they write, so finding, replacing or cataloguing a result loads nothing but the table. The files of
``detect track`` are not in it: they have other content (``detect.tracks``, which this folder must not import), no STAC item and no
checksums, and no census writes them again; ``detect.runs.track`` names and writes them.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import geopandas as gpd
    import numpy as np
    import pyproj
    from numpy.typing import NDArray

    from detect.base.grid import Span
    from detect.census.sites import Sites
    from detect.network.weights import Weights
    from detect.results.picture import Picture
    from detect.scene.scene import Scene, WorkGrid


@dataclass(frozen=True)
class Content:
    """The content of a result's files. A census lacks some fields (None) and keeps the files that need them."""

    grid: WorkGrid
    crs: pyproj.CRS | None
    buildings: gpd.GeoDataFrame
    """With the columns of the schema."""
    sites: Sites
    ground: gpd.GeoDataFrame | None
    """Cleared ground and pads; None where no plots were given."""
    summary: dict[str, Any]
    scene: Scene | None
    """None: the scene cannot be read again."""
    overall: NDArray[np.uint8] | None
    """``detect.results.picture.read_whole`` of the scene."""
    earlier: Picture | None = None
    """Picture of the earlier page, for when the scene cannot be read again."""
    stage: NDArray[np.uint8] | None = None
    """(H, W) stage codes; None: the rasters stay as they are."""
    heads: Callable[[Span], NDArray[np.uint8]] | None = None
    """Span of the grid → footprint probability (H, W) as it is stored."""
    calibration: NDArray[np.uint8] | None = None
    """Table of ``detect.network.probabilities.calibrated``; goes with ``heads``."""
    weights: Weights | None = None
    outputs: frozenset[str] = frozenset()
    """Names of the files that are wanted; empty: all."""

    @cached_property
    def rows(self) -> gpd.GeoDataFrame:
        """Rows of dormitory-like buildings, a layer of buildings.gpkg."""
        from detect.census.dormitories import rows_layer

        return rows_layer(self.buildings)


Write = Callable[[Content, Path], None]
"""Write into a folder."""


def write_files(content: Content, folder: Path) -> None:
    """Write every file that is wanted and the content suffices for; ``detect.runs.finish`` seals and writes summary.json last."""
    from concurrent.futures import ThreadPoolExecutor

    from detect.base.memory import trim

    writers = list(dict.fromkeys(f.write for f in FILES if f.write and _is_wanted(f, content)))
    with ThreadPoolExecutor(len(_ASIDE)) as pool:
        aside = [pool.submit(write, content, folder) for write in writers if write in _ASIDE]
        for write in writers:
            if write not in _ASIDE:
                write(content, folder)
                trim()
        for one in aside:
            one.result()
    if content.outputs:  # of files that are written together, some may be wanted
        for name in set(OUTPUTS) - content.outputs:
            (folder / name).unlink(missing_ok=True)


def _is_wanted(file: File, content: Content) -> bool:
    """Whether a file is to be written, and can be."""
    return getattr(content, file.needs) is not None and (not content.outputs or file.name in content.outputs)


def keep_files(earlier: Path, folder: Path, names: Iterable[str]) -> None:
    """Copy those of some files that ``write_files`` left out from the earlier result, if it has them."""
    for name in names:
        if name != SUMMARY and not (folder / name).exists() and (earlier / name).exists():
            shutil.copy2(earlier / name, folder / name)


def _rasters(content: Content, folder: Path) -> None:
    from detect.results.rasters import write_rasters, write_stage_rasters

    assert content.stage is not None
    if content.heads is None or content.calibration is None:
        write_stage_rasters(folder, content.grid, content.crs, content.stage)
    else:
        write_rasters(folder, content.grid, content.crs, content.stage, content.heads, content.calibration)


def _gpkg(content: Content, folder: Path) -> None:
    from detect.results.tables import GROUND, write_gpkg

    layers = {"buildings": content.buildings, "rows": content.rows, "sites": content.sites.table}
    write_gpkg(folder / BUILDINGS, layers | ({} if content.ground is None else {GROUND: content.ground}))


def _parquet(content: Content, folder: Path) -> None:
    from detect.results.tables import write_parquet

    write_parquet(folder / "buildings.parquet", content.buildings)


def _kmz(content: Content, folder: Path) -> None:
    from detect.results.kmz import write_kmz

    write_kmz(folder / "buildings.kmz", content.buildings, content.sites.table, content.summary)


def _report(content: Content, folder: Path) -> None:
    from detect.results.picture import take_picture
    from detect.results.report import by_interest, write_report

    picture = content.earlier
    if content.scene is not None and content.overall is not None:
        picture = take_picture(content.scene, content.overall, by_interest(content.buildings))
    assert picture is not None, "a census without the scene has read the earlier page"
    sites, summary = content.sites.table, content.summary
    write_report(folder / "report.html", picture, content.buildings, content.rows, sites, summary, content.ground)


def _overview(content: Content, folder: Path) -> None:
    from detect.results.overview import write_overview

    assert content.scene is not None and content.overall is not None
    sites = content.sites
    write_overview(
        folder / "overview.png",
        content.scene,
        content.overall,
        content.buildings,
        sites.table,
        draw_sites=not sites.is_whole_scene,
        structure=content.summary["assumptions"]["structure"],
    )


def _item(content: Content, folder: Path) -> None:
    from detect.results.stac_item import write_item

    assert content.scene is not None and content.weights is not None
    adapted = content.summary.get("adapted")
    before = None if adapted is None else adapted["from"]["result"]
    write_item(folder / "item.json", content.scene, content.grid, content.weights, before, content.outputs or OUTPUTS)


_ASIDE = (_rasters, _overview)
"""Written beside the others; they take as long as all the rest."""


@dataclass(frozen=True)
class File:
    """One file of a result."""

    name: str
    write: Write | None
    """Files with the same writer are written together."""
    needs: str
    """The field of ``Content`` without which a census leaves the file as it is."""
    asset: str | None = None
    """Key in the STAC item; None: no asset."""
    media_type: str = ""
    roles: list[str] = field(default_factory=lambda: ["data"])
    """STAC roles."""
    title: str = ""

    @property
    def is_raster(self) -> bool:
        """Whether it is a raster on the work grid."""
        return self.media_type == COG


BUILDINGS, SUMMARY, TRACKS = "buildings.gpkg", "summary.json", "tracks.gpkg"
COG = "image/tiff; application=geotiff; profile=cloud-optimized"
_METADATA, _PICTURE = ["data", "metadata"], ["overview"]
FILES = (
    File("mask.tif", _rasters, "stage", "mask", COG, title="1 building, 0 not"),
    File("probability.tif", _rasters, "heads", "probability", COG, title="probability that a pixel belongs to a building"),
    File("stage.tif", _rasters, "stage", "stage", COG, title="construction stage of the building that a pixel belongs to"),
    File(
        BUILDINGS, _gpkg, "buildings", "buildings", "application/geopackage+sqlite3", title="buildings, rows and sites"
    ),
    File(
        "buildings.parquet", _parquet, "buildings", "buildings-parquet", "application/vnd.apache.parquet",
        title="buildings in longitude and latitude",
    ),
    File(
        "buildings.kmz", _kmz, "buildings", "buildings-kmz", "application/vnd.google-earth.kmz",
        title="buildings for Google Earth",
    ),
    File(
        SUMMARY, None, "summary", "summary", "application/json", _METADATA,
        "counts with intervals, assumptions, warnings",
    ),
    File("report.html", _report, "buildings", "report", "text/html", _PICTURE, "everything on one page"),
    File("overview.png", _overview, "scene", "overview", "image/png", _PICTURE, "the scene with its footprints"),
    File("item.json", _item, "weights"),
)  # fmt: skip
OUTPUTS = tuple(f.name for f in FILES)
"""What predict writes."""


def is_series(folder: Path) -> bool:
    """Whether a folder is what ``detect track`` wrote, which has a summary.json too."""
    return all((folder / name).is_file() for name in (TRACKS, SUMMARY)) and not (folder / BUILDINGS).is_file()
