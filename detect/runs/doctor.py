"""Examine an installation: versions, coordinate systems, formats, weights, devices, folders; and what would go wrong with them."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from detect.base.errors import DetectError, missing_library
from detect.base.quiet import SWITCHES
from detect.base.resources import package_version, resource_path

PACKAGES = ("numpy", "rasterio", "pyogrio", "pyproj", "shapely", "geopandas", "pyarrow", "onnxruntime", "opencv-python-headless")
OPTIONAL = {"torch": "gpu, train", "lightning": "train", "distributed": "dask", "fsspec": "remote"}
"""Package → the extras that bring it."""
FOREIGN = ("PROJ_LIB", "PROJ_DATA", "GDAL_DATA", "GDAL_DRIVER_PATH")
"""Variables with which another installation of GDAL or PROJ misleads the libraries that the wheels bring."""
RASTERS = ("GTiff", "COG", "VRT", "JPEG", "PNG", "JP2OpenJPEG", "KMLSUPEROVERLAY")
VECTORS = ("GPKG", "GeoJSON", "ESRI Shapefile", "FlatGeobuf", "LIBKML|KML", "OpenFileGDB")
LEAST_FREE_GB = 2.0


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    what: str
    found: str
    problem: str = ""
    """What would go wrong, and what to do; empty if nothing would."""


def examine() -> list[Finding]:
    """All findings. A check that raises is a finding with a problem; nothing is sent, and no file stays."""
    findings: list[Finding] = []
    for check in (_program, _packages, _extras, _environment, _coordinates, _formats, _weights, _devices, _folders):
        try:
            findings += check()
        except Exception as cause:  # a broken library may raise anything
            words = " ".join(str(cause).split())[:200]
            problem = missing_library(cause) or f"{type(cause).__name__}: {words}; install detect again in a new venv"
            findings.append(Finding(check.__name__.strip("_"), "", problem))
    return findings


def _program() -> Iterator[Finding]:
    yield Finding("detect", f"{package_version()} in {Path(__file__).resolve().parents[1]}")
    known = (3, 11) <= sys.version_info[:2] < (3, 14)
    problem = "" if known else "Python 3.11 to 3.13 is needed"
    yield Finding("Python", f"{platform.python_version()} on {platform.system()} {platform.machine()}", problem)


def _packages() -> Iterator[Finding]:
    for name in PACKAGES:
        number = _version(name)
        yield Finding(name, number or "absent", "" if number else "install detect again: pip install detect-buildings")
    import rasterio
    import shapely

    yield Finding("GDAL for images", rasterio.__gdal_version__)
    import pyogrio

    yield Finding("GDAL for outlines", ".".join(map(str, pyogrio.__gdal_version__)))
    yield Finding("GEOS", shapely.geos_version_string)


def _extras() -> Iterator[Finding]:
    for name, extras in OPTIONAL.items():
        yield Finding(name, _version(name) or f"absent (comes with the extras {extras})")


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _environment() -> Iterator[Finding]:
    for name in FOREIGN:
        if name in os.environ:
            yield Finding(
                name,
                os.environ[name],
                f"another installation may answer in place of the one in use; unset {name} if places are wrong",
            )
    for name in SWITCHES:
        value = os.environ.get(name, "unset")
        yield Finding(name, value, "" if value not in ("0", "unset") else f"a library may send telemetry; set {name}=1")


def _coordinates() -> Iterator[Finding]:
    """Both copies of PROJ, that of pyproj and that of rasterio, bring one point to where it is."""
    import pyproj
    import rasterio.warp

    expected = (4.353, 51.871)
    for name, transform in (
        ("pyproj", lambda: pyproj.Transformer.from_crs(32631, 4326, always_xy=True).transform(593_176.0, 5_747_608.0)),
        ("rasterio", lambda: [v[0] for v in rasterio.warp.transform("EPSG:32631", "EPSG:4326", [593_176.0], [5_747_608.0])]),
    ):
        yield _place(name, transform, expected)


def _place(name: str, transform: Callable[[], tuple[float, float] | list[float]], expected: tuple[float, float]) -> Finding:
    lon, lat = transform()
    right = abs(lon - expected[0]) < 1e-2 and abs(lat - expected[1]) < 1e-2
    problem = "" if right else "coordinates come out wrong; unset PROJ_LIB and PROJ_DATA, or install in a new venv"
    return Finding(f"coordinates by {name}", f"{lon:.4f}, {lat:.4f}", problem)


def _formats() -> Iterator[Finding]:
    import pyogrio
    from rasterio.env import Env

    with Env() as environment:
        images = set(environment.drivers())
    for what, wanted, there in (
        ("formats of images", RASTERS, images),
        ("formats of outlines", VECTORS, set(pyogrio.list_drivers())),
    ):
        missing = [name for name in wanted if not set(name.split("|")) & there]
        yield Finding(what, f"{len(there)} of GDAL", f"not among them: {', '.join(missing)}" if missing else "")


def _weights() -> Iterator[Finding]:
    """Each shipped pair is whole, and the default one computes a tile."""
    from detect.network.backends import OnnxBackend
    from detect.network.weights import load_weights

    for card in sorted(resource_path("weights").glob("*.json")):
        try:
            weights = load_weights(card)
        except DetectError as error:
            yield Finding(f"weights {card.stem}", "", str(error))
            continue
        yield Finding(f"weights {weights.name}", f"whole, {weights.gsd_m:g} m per pixel")
    weights = load_weights()
    size = 2 * weights.lattice.halo_px + 128
    backend = OnnxBackend(weights, 1)
    backend.predict(np.full((3, size, size), 0.5, np.float32))
    began_s = time.monotonic()
    found = backend.predict(np.full((3, size, size), 0.5, np.float32))
    megapixels = size * size / 1e6 / (time.monotonic() - began_s)
    problem = "" if np.isfinite(found).all() else "the network gives numbers that are not finite; install onnxruntime again"
    yield Finding("network on one core", f"{megapixels:.1f} Mpx/s", problem)


def _devices() -> Iterator[Finding]:
    yield Finding("processor", f"{os.cpu_count()} cores")
    if _version("torch"):
        import torch

        for number in range(torch.cuda.device_count()):
            properties = torch.cuda.get_device_properties(number)
            yield Finding(f"cuda:{number}", f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB")
        if not torch.cuda.is_available():
            yield Finding("graphics processor", "none that torch can use")


def _folders() -> Iterator[Finding]:
    for what, folder in (("working folder", Path.cwd()), ("temporary files", Path(tempfile.gettempdir()))):
        try:
            with tempfile.TemporaryFile(dir=folder):
                free_gb = shutil.disk_usage(folder).free / 1e9
        except OSError as cause:
            yield Finding(what, str(folder), f"cannot be written to ({cause.strerror}); use another one")
            continue
        problem = f"less than {LEAST_FREE_GB:g} GB are free" if free_gb < LEAST_FREE_GB else ""
        yield Finding(what, f"{folder}, {free_gb:.0f} GB free", problem)
