"""Open the file of a raster, and nothing that nobody named; its errors as one line; its hash."""

from __future__ import annotations

import atexit
import hashlib
import os
import shutil
import tempfile
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import rasterio
from rasterio.env import ensure_env_with_credentials
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetReader

from detect.base.errors import DetectError, InputError, of_system, said
from detect.base.resources import package_version
from detect.base.secrets import without_keys
from detect.scene.overlays import SUFFIXES, overlay_of
from detect.scene.reach import drivers_for, file_of, parts_below, refuse_raw, refuse_remote_list, refuse_remote_overviews
from detect.scene.tiles.download import fetch

# By default GDAL caches decoded blocks in 5 % of the machine's memory; reading once and in order needs far less. It reads this
# when first used. 64 MB hold what tiles beside each other share; 128 MB save 2 % of the core-seconds of a wide JPEG.
os.environ.setdefault("GDAL_CACHEMAX", "64")
# A server that stalls, drips or is busy is given up after a while.
for _name, _value in {
    "CONNECTTIMEOUT": 10,
    "LOW_SPEED_TIME": 15,
    "LOW_SPEED_LIMIT": 1_000,
    "MAX_RETRY": 2,
    "RETRY_DELAY": 1,
    "USERAGENT": f"detect-buildings/{package_version()}",
}.items():
    os.environ.setdefault(f"GDAL_HTTP_{_name}", str(_value))
# The fast way to read a whole PNG gives arbitrary values, and no error, where the file is cut off.
os.environ.setdefault("GDAL_PNG_WHOLE_IMAGE_OPTIM", "NO")

_ARCHIVES = (".zip", ".tar", ".tgz", ".gz", ".7z", ".rar", ".bz2", ".xz")
_PACKED = (b"PK\x03\x04", b"\x1f\x8b", b"BZh", b"7z\xbc\xaf", b"Rar!", b"\xfd7zX")
"""Beginnings of archives, whatever they are named."""
_OPENING = threading.Lock()  # warning filters apply to all threads


@contextmanager
def without_place_warnings() -> Iterator[None]:
    """Rasters are opened in silence about a place that they lack: what is known of it is said elsewhere."""
    with _OPENING, warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield


@contextmanager
def opened(path: str, *, allow_remote: bool = False) -> Iterator[Any]:
    """A rasterio dataset; any failure to open it is an InputError.

    Args:
        path: a file, ``/vsi…`` path or URL.
        allow_remote: let what lies at ``path`` name addresses, and GDAL ask them (see ``detect.scene.reach``).
    """
    local = "://" not in path and not path.startswith("/vsi")
    try:
        is_there = not local or Path(path).exists()
    except OSError as cause:  # such as a name that is too long
        raise of_system(path, cause) from cause
    if not is_there:
        raise InputError(f"{path}: no such file")
    if local and Path(path).is_dir():
        raise InputError(f"{path}: is a folder; name the raster files in it")
    if local and not Path(path).is_file():
        raise InputError(f"{path}: is a device or a pipe; give a file")
    if local:
        refuse_raw([path, *parts_below(path, refuse=not allow_remote)])
    refuse_remote_list(path)
    overlay = overlay_of(path)
    drivers = drivers_for(path, allow_remote=allow_remote, follows=overlay is None)
    file = path if overlay is None else overlay.picture
    if overlay is not None and not allow_remote:
        parts_below(file)
    with without_place_warnings():
        try:
            try:
                dataset = _open(file, drivers)
            except RasterioError as cause:
                if not path.startswith(("http://", "https://")) or "Range downloading not supported" not in str(cause):
                    raise
                dataset = _open(_downloaded(path), drivers)
        except (RasterioError, OSError) as cause:
            if local and not Path(path).stat().st_size:
                raise InputError(f"{path}: is empty; copy or download it again") from cause
            words = said(cause)
            if local and "not recognized" not in words:
                raise InputError(f"{path}: is damaged or incomplete ({words}); copy or download it again") from cause
            if local and path.lower().endswith(SUFFIXES):
                raise InputError(
                    f"{path}: holds no ground overlay that can be read; give the picture itself (outlines of plots belong to --sites)"
                ) from cause
            if local and (path.lower().endswith(_ARCHIVES) or _is_packed(path)):
                raise InputError(f"{path}: is an archive; unpack it and give the raster in it") from cause
            reason = "no raster that GDAL can read" if local else f"cannot be opened ({words})"
            shown = path if local else without_keys(path)
            tiles = "" if local else ", or an address of map tiles with {z}, {x} and {y}"
            raise InputError(f"{shown}: {reason}; give a GeoTIFF, VRT, JPEG, PNG or the like{tiles}") from cause
    try:  # not `with dataset`: it may be closed by another thread than the one that opened it
        if not allow_remote:
            refuse_remote_overviews(dataset, path)
        yield dataset
    finally:
        dataset.close()


def _is_packed(path: str) -> bool:
    with open(path, "rb") as file:
        return file.read(4).startswith(_PACKED)


@ensure_env_with_credentials
def _open(file: str, drivers: list[str] | None) -> Any:
    """``rasterio.open`` with the drivers that may be tried; rasterio's own function takes one alone."""
    return rasterio.open(file) if drivers is None else DatasetReader(file, driver=drivers)


@cache
def _downloaded(url: str) -> str:
    """A local copy of a file whose server cannot send parts of it, as GDAL needs; kept until the process ends."""
    folder = Path(tempfile.mkdtemp(prefix="detect-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    target = folder / Path(url.split("?")[0]).name
    with target.open("wb") as copy:
        if not fetch(url, copy):
            raise InputError(f"{without_keys(url)}: no such file on the server")
    return str(target)


@contextmanager
def reading(dataset: Any) -> Iterator[None]:
    """Turn errors of a read into one line.

    Raises:
        InputError: a file on disk is damaged or cut off, or lacks a part that it names.
        DetectError: a remote file could not be read, which may be better the next time.
    """
    try:
        yield
    except RasterioError as cause:
        if not any(file_of(file) for file in dataset.files):
            raise DetectError(f"{dataset.name}: could not be read ({said(cause)}); the same command tries again") from cause
        raise InputError(
            f"{dataset.name}: is damaged or incomplete ({said(cause)}); copy or download it again, with every file that it names"
        ) from cause


def fingerprint(dataset: Any, path: str) -> str:
    """SHA-256 of the files' content, and of the name in an archive (``/vsizip/town.zip/a.tif``); for remote files, of name and header."""
    digest = hashlib.sha256()
    given = [path, *dataset.files] if path.lower().endswith(SUFFIXES) else dataset.files  # a KML places the picture
    below = [] if file_of(path) is None else parts_below(path, refuse=False)
    files = list(dict.fromkeys(file for f in (*given, *below) if (file := file_of(f)) is not None))
    for file in files:
        with open(file, "rb") as handle:
            while part := handle.read(1 << 20):
                digest.update(part)
    archive = None if Path(path).is_file() else file_of(path)
    if archive is not None:  # which may lie in any folder
        digest.update(path.partition(Path(archive).name)[2].lstrip("}").encode())
    if not files:
        digest.update(
            repr((without_keys(path), dataset.shape, dataset.dtypes, dataset.transform, sorted(dataset.tags().items()))).encode()
        )
    return digest.hexdigest()
