"""What predict leaves: one schema, GeoPackage with a style, GeoParquet, cloud-optimised rasters, summary and table.

The only module that knows column names and types of the files. Each function writes the file it is told to; that outputs appear whole is
the caller's part (``pipeline`` writes into a folder aside and renames it).
"""

from __future__ import annotations

import json
import mmap
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pyproj
import rasterio
from numpy.typing import NDArray
from rasterio import shutil as raster_shutil

from detect.base.stages import STAGES
from detect.results import styles
from detect.scene.scene import WorkGrid

BUILDING_COLUMNS: dict[str, Any] = {
    "id": "int64",
    "site": object,
    "row": "int64",
    "stage": object,
    "stage_score": "float64",
    "p_foundation": "float64",
    "p_incomplete": "float64",
    "p_complete": "float64",
    "score": "float64",
    "area_m2": "float64",
    "length_m": "float64",
    "width_m": "float64",
    "orientation_deg": "float64",
    "rectangularity": "float64",
    "height_m": "float64",
    "dormitory_like": "bool",
    "dormitory_score": "float64",
    "dormitory_reasons": object,
    "beds": "int64",
    "touches_edge": "bool",
}
_DECIMALS = {
    "stage_score": 4, "p_foundation": 4, "p_incomplete": 4, "p_complete": 4, "score": 4, "area_m2": 2, "length_m": 2, "width_m": 2,
    "orientation_deg": 1, "rectangularity": 3, "height_m": 2, "dormitory_score": 3,
}  # fmt: skip
NO_DATA = 255
GROUND = "ground"
"""Layer of cleared ground and pads; only where plots were given."""
_STRIP_PX = 512


def with_schema(buildings: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """The table with exactly the columns of the schema, in their order and types, numbers rounded to what they are worth."""
    table = buildings[[*BUILDING_COLUMNS, "geometry"]].astype(BUILDING_COLUMNS)
    return table.round(_DECIMALS).reset_index(drop=True)


def write_gpkg(path: Path, layers: Mapping[str, gpd.GeoDataFrame]) -> None:
    """Layers by their name, each with the style in which QGIS opens it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pyogrio warns of a missing CRS, which a scene without georeference does not have
        for name, table in layers.items():
            kind = "Polygon" if name != "sites" else "Unknown"
            table.to_file(path, layer=name, driver="GPKG", engine="pyogrio", geometry_type=kind)
    known = {"buildings": styles.BUILDINGS, "rows": styles.ROWS, "sites": styles.SITES, GROUND: styles.GROUND}
    styles.store_styles(path, {name: known[name] for name in layers})


def write_parquet(path: Path, buildings: gpd.GeoDataFrame) -> None:
    """GeoParquet 1.1 in longitude and latitude; without a CRS where the scene has none."""
    table = buildings if buildings.crs is None else buildings.to_crs(4326)
    table.to_parquet(path, index=False, schema_version="1.1.0", compression="zstd")


def write_rasters(
    folder: Path,
    grid: WorkGrid,
    crs: pyproj.CRS | None,
    stage: NDArray[np.uint8],
    heads: Path,
    told: NDArray[np.uint8],
) -> None:
    """``mask.tif``, ``stage.tif`` and ``probability.tif`` as cloud-optimised GeoTIFFs on the work grid.

    Args:
        folder: to write into.
        grid: of the arrays.
        crs: of the scene.
        stage: (H, W) stage codes, 0 where there is no building; may be mapped from disk.
        heads: GeoTIFF whose first band is the footprint probability, p × 254, 255 no data.
        told: (256,) table of ``detect.network.probabilities.calibrated``, for ``probability.tif``.
    """

    def strips() -> Iterator[Strip]:
        with rasterio.open(heads) as source:
            for window in _strip_windows(grid):
                p = source.read(1, window=window)
                missing = p == NO_DATA
                if not missing.all():  # what is not written reads as no data
                    codes = np.where(missing, NO_DATA, stage[slice(*window[0])])
                    yield window, (np.where(missing, NO_DATA, codes > 0), codes, told[p])
                forget(stage)

    _write_cogs(folder, ("mask", "stage", "probability"), grid, crs, strips())


def write_stage_rasters(folder: Path, grid: WorkGrid, crs: pyproj.CRS | None, stage: NDArray[np.uint8]) -> None:
    """``mask.tif`` and ``stage.tif`` of stage codes (H, W), 0 none, 255 no data."""

    def strips() -> Iterator[Strip]:
        for window in _strip_windows(grid):
            codes = stage[slice(*window[0])]
            if not (codes == NO_DATA).all():
                yield window, (np.where(codes == NO_DATA, NO_DATA, codes > 0), codes)

    _write_cogs(folder, ("mask", "stage"), grid, crs, strips())


Strip = tuple[tuple[tuple[int, int], tuple[int, int]], tuple[NDArray, ...]]
"""((row0, row1), (col0, col1)) and the pixels of each raster there."""


def _strip_windows(grid: WorkGrid) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    height, width = grid.size_hw
    for row in range(0, height, _STRIP_PX):
        yield (row, min(row + _STRIP_PX, height)), (0, width)


def _write_cogs(folder: Path, names: Sequence[str], grid: WorkGrid, crs: pyproj.CRS | None, strips: Iterator[Strip]) -> None:
    """``<name>.tif`` for each name, the one named stage with its colours; strips that are left out are no data."""
    height, width = grid.size_hw
    profile = {
        "driver": "GTiff", "dtype": "uint8", "count": 1, "height": height, "width": width, "crs": crs, "transform": grid.transform,
        "nodata": NO_DATA, "tiled": True, "blockxsize": 512, "blockysize": 512, "bigtiff": "if_safer", "compress": "zstd",
        "zstd_level": 1, "sparse_ok": True,
    }  # fmt: skip
    plain = [folder / f"{name}.plain.tif" for name in names]
    with ExitStack() as files:
        targets = [files.enter_context(rasterio.open(path, "w", **profile)) for path in plain]
        targets[names.index("stage")].write_colormap(1, _stage_colours())
        for window, layers in strips:
            for target, values in zip(targets, layers, strict=True):
                target.write(values.astype(np.uint8), 1, window=window)
    for path, name in zip(plain, names, strict=True):
        # Neighbouring pixels of a class have no mean, so overviews take the nearest.
        raster_shutil.copy(
            path, folder / f"{name}.tif", driver="COG", compress="DEFLATE", blocksize=512, resampling="nearest",
            overview_resampling="nearest" if name == "stage" else "average", num_threads="ALL_CPUS", sparse_ok=True,
        )  # fmt: skip
        path.unlink()


def _stage_colours() -> dict[int, tuple[int, ...]]:
    colours: dict[int, tuple[int, ...]] = {0: (0, 0, 0, 0), NO_DATA: (0, 0, 0, 0)}
    return colours | {code: (*styles.STAGE_COLOURS_RGB[name], 255) for code, name in enumerate(STAGES, start=1)}


def forget(mapped: NDArray[np.uint8]) -> None:
    """Let the system take back the memory of an array that is mapped from disk; it stays on disk and is read again when asked for."""
    pages = getattr(mapped, "_mmap", None)
    if pages is not None and hasattr(mmap, "MADV_DONTNEED"):
        pages.madvise(mmap.MADV_DONTNEED)


def write_summary(path: Path, summary: Mapping[str, Any]) -> None:
    """summary.json; refuses NaN, which is no JSON."""
    path.write_text(json.dumps(summary, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def format_table(summary: Mapping[str, Any]) -> str:
    """Counts per site as a table for the terminal, estimates with their 90 % interval."""
    head = ["site", "km²", "buildings", *STAGES, "dormitory-like", "beds now", "beds when complete", "beds planned"]
    lines = [head] + [_line(site["name"], site) for site in summary["sites"]]
    if len(summary["sites"]) > 1:
        lines.append(_line("all sites", summary["total"]))
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    text = [
        "  ".join(
            cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
    assumed = summary["assumptions"]
    scene, model = summary["scene"], summary["model"]
    text.insert(
        0, f"{scene['name']}: {scene['gsd_m']:.2f} m per pixel, {scene['date'] or 'date unknown'}; weights {model['name']}"
    )
    text.append(
        f"estimate (90 % interval); beds: {assumed['rooms_per_building']:g} rooms × {assumed['beds_per_room']:g} beds in "
        f"{assumed['storeys']} storeys for each dormitory-like building, assumed"
    )
    filled = [site["name"] for site in summary["sites"] if site["planned_from"] == "ground"]
    if filled:
        text.append(
            f"beds planned of {', '.join(filled)}: as many buildings as fit on the cleared ground, at the low end on pads alone; "
            "the field planned_buildings says better"
        )
    if summary["outside_sites"]:
        text.append(f"{summary['outside_sites']} more buildings stand outside the sites")
    for site in summary["sites"]:
        text += [f"warning: {site['name']}: {warning}" for warning in site["warnings"]]
    text += [f"warning: {warning}" for warning in summary["warnings"]]
    return "\n".join(text)


def _line(name: str, counts: Mapping[str, Any]) -> list[str]:
    cells = [counts["buildings"], *(counts["by_stage"][s] for s in STAGES), counts["dormitory_like"]]
    cells += [counts["beds"][k] for k in ("now", "when_complete", "planned")]
    return [
        name,
        f"{counts['area_km2']:.3f}",
        *("–" if c is None else f"{c['estimate']:,} ({c['low']:,}–{c['high']:,})" for c in cells),
    ]
