"""Open any raster that GDAL reads: pixel values and a mask of valid pixels at the network's ground sampling distance.

A *scene* is one georeferenced raster of one date. Its *work grid* is its own pixel grid rescaled to the network's GSD: same origin,
CRS and rotation, covering the extent exactly. ``SceneReader.read`` reads any span of it; the value of a work pixel never depends
on the span, so blocks agree bit for bit.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyproj
from affine import Affine
from rasterio.enums import ColorInterp
from shapely import Polygon

from detect.base.errors import InputError
from detect.base.geometry import ground_size_m, span_outline, why_no_place
from detect.base.grid import Span
from detect.scene.doubts import doubts
from detect.scene.georeference import stated_place
from detect.scene.inspection import inspect_raster
from detect.scene.marks import Marks
from detect.scene.opening import fingerprint, opened
from detect.scene.provenance import Provenance, provenance_in
from detect.scene.reader import SceneReader, dtype_of
from detect.scene.sources import Source, known_of, stem_of
from detect.scene.stretch import measure_brightness
from detect.scene.sun import Sun

COARSEST_GSD_M = 3.0
"""At 3 m a house has fewer than 20 pixels; counts on coarser images would not be reliable."""
FINEST_GSD_M = 0.005
"""Finer pixels come from a wrong georeference, such as degrees in a system of metres."""
_LONGEST_SIDE = 2.0
"""A pixel that is coarser than the limit in one direction may be so many times as long as it is wide."""
SIMULATED = "SIMULATED"
"""The mark in the description of a picture that ``detect simulate`` drew."""


@dataclass(frozen=True)
class WorkGrid:
    """A scene's pixels at the network's GSD."""

    size_hw: tuple[int, int]
    transform: Affine
    """Work pixels (x = column, y = row) → the scene's CRS."""
    gsd_m: float
    """Ground size of a work pixel, mean of both axes, metres."""
    scale_rc: tuple[float, float]
    """Native pixels per work pixel, along rows and columns."""


@dataclass(frozen=True)
class Scene:
    """What is known about a raster after opening it; keeps no file handle."""

    path: str
    name: str
    """File stem; names the output folder."""
    crs: pyproj.CRS | None
    """None: the scene has no georeference, and ``transform`` gives metres from its upper left corner."""
    transform: Affine
    size_hw: tuple[int, int]
    gsd_rc_m: tuple[float, float]
    """True ground size of a pixel at the centre, along rows (y) and columns (x), metres."""
    bands: tuple[int, int, int]
    """1-based bands shown to the network as red, green, blue."""
    dtype: str
    date: str | None
    sun: Sun | None
    """Position of the sun; None if it is not known."""
    stretch_lo: tuple[float, float, float]
    stretch_hi: tuple[float, float, float]
    gamma: float
    """Exponent after the stretch: below 1 it brightens a dark scene, 1 changes nothing."""
    brightness_mean: tuple[float, float, float]
    """Mean of the stretched, decimated scene per band, 0–1."""
    brightness_sd: tuple[float, float, float]
    marks: Marks
    """How pixels that were not observed are marked."""
    sha256: str
    """Hash of the files' content; for remote files, of their name and header."""
    simulated: bool = False
    """Whether ``detect simulate`` drew it."""
    allow_remote: bool = False
    """Whether what lies at the path may name addresses (see ``detect.scene.reach``)."""
    provenance: Provenance | None = None
    """Where its pixels came from, if it was read from map tiles."""
    warnings: tuple[str, ...] = ()

    @property
    def gsd_m(self) -> float:
        """Ground size of a pixel, mean of both axes, metres."""
        return (self.gsd_rc_m[0] + self.gsd_rc_m[1]) / 2

    @property
    def outline(self) -> Polygon:
        """Its four corners, in its CRS (metres without one)."""
        return span_outline(self.transform, Span(0, 0, *self.size_hw))

    def work_grid(self, gsd_m: float) -> WorkGrid:
        """The grid at a ground sampling distance, rounded so that whole pixels cover the scene exactly.

        Example: 1000 px of 0.30 m at 0.35 m → round(857.14) = 857 px of 0.35006 m.
        """
        sizes = [max(1, round(n * g / gsd_m)) for n, g in zip(self.size_hw, self.gsd_rc_m, strict=True)]
        scale = (self.size_hw[0] / sizes[0], self.size_hw[1] / sizes[1])
        gsd = (scale[0] * self.gsd_rc_m[0] + scale[1] * self.gsd_rc_m[1]) / 2
        return WorkGrid((sizes[0], sizes[1]), self.transform * Affine.scale(scale[1], scale[0]), gsd, scale)

    def anywhere(self) -> Scene:
        """The scene with a path that holds in any folder of this machine."""
        return replace(self, path=str(Path(self.path).resolve())) if Path(self.path).exists() else self

    @contextmanager
    def reader(self, grid: WorkGrid) -> Iterator[SceneReader]:
        """A reader with a file handle of its own."""
        with opened(self.path, allow_remote=self.allow_remote) as dataset:
            yield SceneReader(self, grid, dataset)


def open_scene(
    scene: str | Path | Source,
    *,
    bands: Sequence[int] | None = None,
    gsd_m: float | None = None,
    date: str | None = None,
    sun_deg: tuple[float | None, float | None] = (None, None),
    coarsest_gsd_m: float = COARSEST_GSD_M,
) -> Scene:
    """Examine a raster: georeference, GSD, bands, date, brightness stretch.

    Args:
        scene: a file, ``/vsi…`` path or URL that GDAL opens, or one of ``detect.scene.sources``.
        bands: 1-based bands to show as red, green, blue, or one band; default by number and meaning of the bands.
        gsd_m: ground size of a pixel, only for an image without usable georeference.
        date: ISO day; default from a STAC item, the file's name or its tags (see ``detect.scene.sources``).
        sun_deg: elevation and azimuth of the sun; default from a STAC item or the file's tags.
        coarsest_gsd_m: largest pixel that is accepted, metres.

    Raises:
        InputError: not a raster, no or complex bands, no georeference and no ``gsd_m`` (or both), too coarse.
    """
    source = scene if isinstance(scene, Source) else Source(str(scene))
    path = source.path
    with opened(path, allow_remote=source.allow_remote) as dataset:
        _refuse_unusable(dataset, path)
        notes: list[str] = []
        look = inspect_raster(dataset, path, bands)
        notes += [*look.notes, *doubts(dataset, path, look.sample)]
        crs, transform = _georeference(dataset, path, gsd_m, notes)
        size_hw = (dataset.height, dataset.width)
        gsd_rc_m = _ground_size(path, transform, size_hw, crs, coarsest_gsd_m)
        simulated = SIMULATED in dataset.tags().get("TIFFTAG_IMAGEDESCRIPTION", "")
        if simulated:
            notes.append(f"{SIMULATED}: the scene is drawn and shows no real place")
        provenance = provenance_in(dataset.tags())
        if provenance is not None:
            notes += [str(provenance), *provenance.notes]
        known = known_of(source, dataset, date, sun_deg)
        dtype = dtype_of(dataset, look.bands)
        inverted = _is_inverted(dataset, look.bands)
        if inverted:
            notes.append(
                "bands: the file says that small values are bright (MINISWHITE, or a scale below 0), so it is read as its positive"
            )
        brightness = measure_brightness(look.sample, dtype, inverted=inverted)
        return Scene(
            path=path,
            name=source.name or stem_of(path),
            crs=crs,
            transform=transform,
            size_hw=size_hw,
            gsd_rc_m=gsd_rc_m,
            bands=look.bands,
            dtype=dtype,
            date=known.date,
            sun=known.sun,
            stretch_lo=brightness.lo,
            stretch_hi=brightness.hi,
            gamma=brightness.gamma,
            brightness_mean=brightness.mean,
            brightness_sd=brightness.sd,
            marks=look.marks,
            sha256=fingerprint(dataset, path),
            simulated=simulated,
            allow_remote=source.allow_remote,
            provenance=provenance,
            warnings=(*notes, *known.notes),
        )


def _ground_size(
    path: str, transform: Affine, size_hw: tuple[int, int], crs: pyproj.CRS | None, coarsest_gsd_m: float
) -> tuple[float, float]:
    """Ground size of a pixel (row, col), metres; an InputError if it is too coarse for buildings."""
    gsd_rc_m = ground_size_m(transform, size_hw, crs)
    mean_gsd_m, longest_m, shortest_m = sum(gsd_rc_m) / 2, max(gsd_rc_m), min(gsd_rc_m)
    if mean_gsd_m > coarsest_gsd_m:
        raise InputError(f"{path}: its pixels are {mean_gsd_m:.2f} m on the ground; buildings need {coarsest_gsd_m:g} m or finer")
    if longest_m > coarsest_gsd_m and longest_m > _LONGEST_SIDE * shortest_m:
        raise InputError(
            f"{path}: its pixels are {longest_m:g} m long and {shortest_m:g} m wide; resample it to square ones first (gdalwarp -tr)"
        )
    if shortest_m < FINEST_GSD_M <= mean_gsd_m:
        raise InputError(
            f"{path}: its pixels are {longest_m:.2g} m long and {shortest_m:.1g} m wide; "
            "warp it to a system in metres first (gdalwarp -t_srs; at a pole EPSG:3413 or 3031)"
        )
    if mean_gsd_m < FINEST_GSD_M:
        raise InputError(
            f"{path}: its pixels are {mean_gsd_m:.1g} m on the ground, finer than any picture from the air; correct its georeference"
        )
    return gsd_rc_m


def _in_the_plane(crs: pyproj.CRS, path: str) -> pyproj.CRS:
    """A CRS without heights, in a form in which GeoPackages hold it.

    Raises:
        InputError: there is none.
    """
    flat = crs.to_2d() if len(crs.axis_info) > 2 else crs
    if flat.to_epsg() is None:
        try:
            flat.to_wkt("WKT1_GDAL")
        except pyproj.exceptions.CRSError as cause:
            raise InputError(
                f"{path}: its coordinate system ({flat.name}) has no form that a GeoPackage can hold; warp it to another first "
                "(gdalwarp -t_srs EPSG:…)"
            ) from cause
    return flat


def _refuse_unusable(dataset: Any, path: str) -> None:
    if dataset.count == 0:
        raise InputError(
            f"{path}: has no bands of its own; make a file of one of its parts (gdalinfo lists them: gdal_translate PART part.tif)"
        )
    if any("complex" in t for t in dataset.dtypes):
        raise InputError(f"{path}: has complex values (radar?); give an optical image, or its amplitude as a real band")
    if ColorInterp.palette in dataset.colorinterp:
        raise InputError(f"{path}: has a colour palette; expand it first with gdal_translate -expand rgb")


def _is_inverted(dataset: Any, bands: Sequence[int]) -> bool:
    """Whether the file says that smaller values of these bands are brighter, which GDAL leaves to the reader."""
    return dataset.tags(ns="IMAGE_STRUCTURE").get("MINISWHITE") == "YES" or all(dataset.scales[band - 1] < 0 for band in bands)


def _georeference(dataset: Any, path: str, gsd_m: float | None, notes: list[str]) -> tuple[pyproj.CRS | None, Affine]:
    """CRS and transform; without a place on Earth no CRS, and a transform to metres from the upper left corner."""
    crs, transform = stated_place(dataset, path)
    given = crs is not None and transform != Affine.identity()
    why = _why_unusable(crs, transform, dataset.shape) if given else ""
    if gsd_m is not None:
        if given and not why:
            raise InputError(f"{path}: is georeferenced, so --gsd {gsd_m:g} contradicts it; leave --gsd out")
        if not 0 < gsd_m < math.inf:
            raise InputError(f"{path}: --gsd is {gsd_m:g}; give the metres on the ground of one pixel, such as 0.5")
        if why:
            notes.append(f"georeference: {why}; the pixel size of --gsd was taken, without a place")
        return None, Affine.scale(gsd_m, -gsd_m)
    if not given and crs is None and transform != Affine.identity():
        raise InputError(
            f"{path}: its pixels have a place, but in no coordinate system; name it (gdal_edit.py -a_srs EPSG:… {Path(path).name}), or "
            "count without a place by --gsd, the metres on the ground of one pixel"
        )
    if not given:
        hint = " (its RPCs need gdalwarp -rpc first)" if dataset.rpcs else ""
        raise InputError(
            f"{path}: has no usable georeference{hint}; give the metres on the ground of one pixel with --gsd, its scale bar with "
            "--scale-bar 50m=339px, or where it lies with --corners"
        )
    if not why:
        return _in_the_plane(pyproj.CRS.from_user_input(crs), path), transform
    size_m = _local_size_m(crs, transform)
    if size_m is None:
        raise InputError(
            f"{path}: {why}; correct it (gdal_edit.py -a_srs), or give the metres on the ground of one pixel with --gsd"
        )
    notes.append(f"georeference: {why}; its pixels of {size_m[0]:g} × {size_m[1]:g} m were taken as they are, without a place")
    return None, Affine.scale(size_m[0], -size_m[1])


def _why_unusable(crs: Any, transform: Affine, size_hw: tuple[int, int]) -> str:
    """Why a georeference gives no size on the ground, as a sentence; empty if it gives one."""
    try:
        system = pyproj.CRS.from_user_input(crs)
    except pyproj.exceptions.CRSError:
        return "its coordinate system cannot be understood"
    if why := why_no_place(system):
        return f"its coordinate system {why}"
    sizes_m = (0.0, 0.0) if transform.is_degenerate else ground_size_m(transform, size_hw, system)
    return "" if all(math.isfinite(m) and m > 0 for m in sizes_m) else "its georeference gives no ground size"


def _local_size_m(crs: Any, transform: Affine) -> tuple[float, float] | None:
    """Size of a pixel along columns (x) and rows (y), metres, in a local CRS with a unit of length; None for any other."""
    try:
        system = pyproj.CRS.from_user_input(crs)
    except pyproj.exceptions.CRSError:
        return None
    if not system.is_engineering or not system.axis_info or "degree" in system.axis_info[0].unit_name:
        return None
    metres = system.axis_info[0].unit_conversion_factor
    size_m = math.hypot(transform.a, transform.d) * metres, math.hypot(transform.b, transform.e) * metres
    return size_m if all(math.isfinite(m) and m > 0 for m in size_m) else None
