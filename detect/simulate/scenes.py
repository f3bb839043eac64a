"""Scenes of whole compounds as files: pictures of one or several dates and the truth of each."""

from __future__ import annotations

import datetime
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import geopandas as gpd
import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.enums import ColorInterp

from detect.base.errors import InputError
from detect.base.files import whole_file
from detect.base.vectors import write_layer
from detect.scene.scene import SIMULATED
from detect.simulate.layout import country_of_rows, countryside, yardstick
from detect.simulate.parts import BEDS_PER_STOREY, CRS, ORIGIN_XY, STOREY_M, Layout, Structure, on_map
from detect.simulate.rendering import render
from detect.simulate.structures import Sun

GSD_RANGE_M = (0.1, 3.0)
DAYS_BETWEEN = 60
COLOURS = {1: ("gray",), 2: ("gray", "nir"), 3: ("red", "green", "blue"), 4: ("red", "green", "blue", "nir")}
"""Bands of a scene by their number; the single one is panchromatic."""
PRESETS = ("compound", "rows", "yardstick")


def simulate_compounds(
    out: str | Path,
    *,
    seed: int = 0,
    preset: str = "compound",
    compounds: int = 1,
    dormitories: int | None = None,
    gap_m: float | None = None,
    storeys: int = 2,
    margin_m: float = 70.0,
    gsd_m: float = 0.5,
    bands: int = 3,
    dates: int = 1,
    first_date: str = "2024-06-01",
    sun_elevation_deg: float | None = None,
    sun_azimuth_deg: float | None = None,
) -> tuple[list[Path], Path]:
    """Draw whole compounds with known truth; the same arguments give the same bytes. The pictures and the truth say SIMULATED.

    One date gives ``scene.tif`` and ``truth.gpkg`` with layers ``buildings`` (what has been begun: ``id``, ``stage``, ``dormitory``,
    ``beds``, ``kind``, ``storeys``, ``site``) and ``sites`` (``name``, ``planned_buildings``). Several give ``scene_<date>.tif`` and
    layers ``buildings_<date>``, in which a building keeps its ``id`` and only moves forward.

    Args:
        out: folder; created.
        seed: of everything drawn.
        preset: ``compound``; ``rows``: rows of blocks without halls, huts and pads; ``yardstick``: three plots of 1.39 km² together, 50
            dormitories at mixed stages, 100 planned.
        compounds: number of compounds, side by side.
        dormitories: of each compound; drawn from 5 to 40 without, with ``rows`` from 3 to 18.
        gap_m: between the long sides of neighbouring dormitories; drawn from 4 to 16 m without, with ``rows`` from 2 to 8 m.
        storeys: of the dormitories; each has 128 beds.
        margin_m: ground shown around a compound.
        gsd_m: ground size of a pixel, metres.
        bands: 1 panchromatic, 2 with near infrared, 3 red, green, blue, 4 with near infrared.
        dates: number of scenes, 60 days apart.
        first_date: of the first, ``YYYY-MM-DD``.
        sun_elevation_deg: above the horizon; drawn from 30 to 65 without.
        sun_azimuth_deg: clockwise from north; drawn from 100 to 260 without.

    Returns:
        The scenes and the truth.

    Raises:
        InputError: an option out of range, or the folder holds such files already.
    """
    options = _Options(preset, compounds, dormitories, gap_m, storeys, margin_m, gsd_m, bands, dates, sun_elevation_deg)
    _check(options)
    days = [datetime.date.fromisoformat(first_date) + datetime.timedelta(days=DAYS_BETWEEN * k) for k in range(dates)]
    names = ["scene.tif"] if dates == 1 else [f"scene_{day}.tif" for day in days]
    folder = Path(out)
    paths, truth = [folder / name for name in names], folder / "truth.gpkg"
    for path in (*paths, truth):
        if path.exists():
            raise InputError(f"{path}: exists already; give another --out")
    rng = np.random.default_rng(seed)
    layout = _layout(rng, options)
    sun = Sun(
        rng.uniform(30, 65) if sun_elevation_deg is None else sun_elevation_deg,
        rng.uniform(100, 260) if sun_azimuth_deg is None else sun_azimuth_deg,
    )
    folder.mkdir(parents=True, exist_ok=True)
    transform = Affine(gsd_m, 0, ORIGIN_XY[0], 0, -gsd_m, ORIGIN_XY[1])
    with ExitStack() as files:
        asides = [files.enter_context(whole_file(path)) for path in paths]
        truth_aside = files.enter_context(whole_file(truth))
        for number, (aside, day) in enumerate(zip(asides, days, strict=True)):
            month = number * DAYS_BETWEEN / 30.4
            picture = _chosen(render(layout, gsd_m, sun, month, seed, [seed, number]), bands)
            _write_scene(aside, picture, transform, sun, seed, day)
            layer = "buildings" if dates == 1 else f"buildings_{day}"
            write_layer(truth_aside, layer, _buildings(layout, month))
        write_layer(truth_aside, "sites", _sites(layout))
    return paths, truth


@dataclass(frozen=True)
class _Options:
    """What was asked for, but files, light and colours; see ``simulate_compounds``."""

    preset: str
    compounds: int
    dormitories: int | None
    gap_m: float | None
    storeys: int
    margin_m: float
    gsd_m: float
    bands: int
    dates: int
    sun_elevation_deg: float | None


def _check(given: _Options) -> None:
    if given.preset not in PRESETS:
        raise InputError(f"--preset {given.preset}: not one of {', '.join(PRESETS)}")
    numbers = (given.compounds, given.dormitories, given.gap_m, given.storeys)
    if given.preset == "yardstick" and numbers != (1, None, None, 2):
        raise InputError(
            "--preset yardstick: is three plots with 50 two-storey dormitories; leave out --compounds, --dormitories, --gap and --storeys"
        )
    if not GSD_RANGE_M[0] <= given.gsd_m <= GSD_RANGE_M[1]:
        raise InputError(f"--gsd {given.gsd_m:g}: scenes are drawn with pixels of {GSD_RANGE_M[0]:g} to {GSD_RANGE_M[1]:g} m")
    for option, value, low, high in (
        ("--bands", given.bands, 1, 4),
        ("--dates", given.dates, 1, 60),
        ("--dormitories", given.dormitories, 1, 1000),
        ("--storeys", given.storeys, 1, 30),
    ):
        if value is not None and not low <= value <= high:
            raise InputError(f"{option} {value}: expects {low} to {high}")
    if given.sun_elevation_deg is not None and not 5 <= given.sun_elevation_deg <= 90:
        raise InputError(f"--sun-elevation {given.sun_elevation_deg:g}: expects 5 to 90 degrees")


def _layout(rng: np.random.Generator, given: _Options) -> Layout:
    """What stands in the scene, by its preset."""
    if given.preset == "yardstick":
        return yardstick(rng)
    place = (given.compounds, given.dormitories, given.gap_m, given.margin_m)
    if given.preset == "rows":
        return country_of_rows(rng, *place, storeys=given.storeys)
    return countryside(rng, *place, later=given.dates > 1, storeys=given.storeys)


# Files.


def _buildings(layout: Layout, month: float) -> gpd.GeoDataFrame:
    """What has been begun by a month; ``id`` is that of the layout, whatever the month."""
    standing = [(i, s, stage) for i, s in enumerate(layout.structures, start=1) if (stage := s.stage(month)) is not None]
    records = [
        {
            "id": i,
            "stage": stage,
            "dormitory": s.kind == "dormitory",
            "beds": BEDS_PER_STOREY * _storeys(s),
            "kind": s.kind,
            "storeys": max(1, _storeys(s)),
            "site": s.site,
            "simulated": True,
        }
        for i, s, stage in standing
    ]
    return gpd.GeoDataFrame(records, geometry=[on_map(s.corners_m) for _, s, _ in standing], crs=CRS)


def _storeys(structure: Structure) -> int:
    """Of a dormitory; 0 for others."""
    return int(structure.height_m // STOREY_M) if structure.kind == "dormitory" else 0


def _sites(layout: Layout) -> gpd.GeoDataFrame:
    records: list[dict[str, Any]] = [
        {"name": s.name, "planned_buildings": s.planned_buildings, "simulated": True} for s in layout.sites
    ]
    return gpd.GeoDataFrame(records, geometry=[on_map(s.corners_m) for s in layout.sites], crs=CRS)


def _chosen(rgbn: NDArray[np.uint8], bands: int) -> NDArray[np.uint8]:
    """(bands, H, W) of red, green, blue, near infrared (H, W, 4), with the word that says what this is."""
    pan = (rgbn[..., :3] @ np.array([0.35, 0.4, 0.25]) + 0.5).astype(np.uint8)
    planes = {"gray": pan} | {name: rgbn[..., i] for i, name in enumerate(("red", "green", "blue", "nir"))}
    picture = np.stack([planes[name] for name in COLOURS[bands]])
    for plane in picture:
        cv2.putText(plane, SIMULATED, (8, plane.shape[0] - 10), cv2.FONT_HERSHEY_SIMPLEX, 0.5, 255, 1, cv2.LINE_AA)
    return picture


def _write_scene(path: Path, picture: NDArray[np.uint8], transform: Affine, sun: Sun, seed: int, day: datetime.date) -> None:
    profile = {
        "driver": "GTiff", "dtype": "uint8", "count": len(picture), "height": picture.shape[1], "width": picture.shape[2], "crs": CRS,
        "transform": transform, "tiled": True, "blockxsize": 256, "blockysize": 256, "compress": "deflate", "predictor": 2,
        "photometric": "rgb" if len(picture) > 2 else "minisblack",
    }  # fmt: skip
    meaning = {"gray": ColorInterp.gray, "red": ColorInterp.red, "green": ColorInterp.green, "blue": ColorInterp.blue}
    with rasterio.open(path, "w", **profile) as target:
        target.write(picture)
        target.colorinterp = [meaning.get(name, ColorInterp.undefined) for name in COLOURS[len(picture)]]
        for number, name in enumerate(COLOURS[len(picture)], start=1):
            target.set_band_description(number, {"gray": "panchromatic", "nir": "near infrared"}.get(name, name))
        target.update_tags(
            TIFFTAG_IMAGEDESCRIPTION=f"{SIMULATED} worker compound, seed {seed}; no real place",
            TIFFTAG_DATETIME=f"{day:%Y:%m:%d} 10:00:00",
            SUN_ELEVATION=f"{sun.elevation_deg:.2f}",
            SUN_AZIMUTH=f"{sun.azimuth_deg:.2f}",
        )
