"""What reading a scene may open: what the user typed, and files on this machine that it names; no host, unless that is allowed.

GDAL opens far more than files: services (WMS, STACTA …) described by a small file, addresses in a VRT or a tile index, overviews at any
address. So drivers are a list of those that read files, and what a file names is looked at before GDAL is given it.
"""

from __future__ import annotations

import gzip
import os
import re
import sqlite3
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import IO, Any, cast
from urllib.parse import quote, unquote, urljoin, urlsplit
from xml.etree import ElementTree

from detect.base.errors import InputError
from detect.base.secrets import without_keys
from detect.base.texts import plain_text, shortened

DRIVERS = (
    "GTiff", "LIBERTIFF", "VRT", "GTI", "JPEG", "PNG", "WEBP", "GIF", "BIGGIF", "BMP", "PNM", "JP2OpenJPEG", "JP2KAK", "JP2ECW",
    "JP2MrSID", "JP2Lura", "JPEGXL", "AVIF", "HEIF", "ECW", "MrSID", "HFA", "NITF", "RPFTOC", "ECRGTOC", "GPKG", "MBTiles", "ENVI",
    "EHdr", "ERS", "PCIDSK", "DIMAP", "TIL", "DOQ1", "DOQ2", "MAP", "OZI", "RMF", "SAGA", "RST", "ILWIS", "AAIGrid", "GSBG", "XYZ",
    "netCDF", "HDF4", "HDF4Image", "HDF5", "HDF5Image", "KEA", "Zarr", "SENTINEL2", "SAFE", "PDF", "KMLSUPEROVERLAY", "Rasterlite",
    "SRTMHGT", "USGSDEM", "BSB", "FIT", "MFF",
)  # fmt: skip
"""GDAL's drivers that read files; not those for services and for lists of addresses (WMS, WMTS, WCS, STACIT, HTTP, MRF …)."""
ALLOW = "save a copy here, or give --allow-remote"
_FILE_SYSTEMS = ("zip", "tar", "gzip", "7z", "rar", "subfile")
"""GDAL's virtual file systems that look into a file."""
_NAMES = ("SourceFilename", "SourceDataset", "IndexDataset")
"""Elements of a VRT and of a tile index that hold the name of a dataset."""
_ASIDE = ("OVERVIEW_FILE", "X_DATASET", "Y_DATASET")
"""Keys of metadata that hold the name of a dataset."""
_HEAD_BYTES = 2_000
_LISTS = (".vrt", ".gti", ".gti.gpkg", ".gti.fgb", ".gti.parquet")


def drivers_for(path: str, *, allow_remote: bool, follows: bool = True) -> list[str] | None:
    """GDAL's drivers that may open a scene; None: all.

    A file on a server or in an archive is never taken for a VRT or a tile index, whatever its name: these would name files of this machine.

    Args:
        path: of the scene.
        allow_remote: whether any driver may be tried.
        follows: whether a VRT or a tile index may be opened; the picture of a ground overlay is none.
    """
    if not follows or _is_remote(path) or path.startswith("/vsi"):
        return [name for name in DRIVERS if name not in ("VRT", "GTI")]
    return None if allow_remote else list(DRIVERS)


def refuse_remote_list(path: str) -> None:
    """Refuse a VRT or tile index on a server or in an archive.

    Raises:
        InputError: it is one.
    """
    is_list = path.split("?")[0].lower().endswith(_LISTS)
    if _is_remote(path) and is_list:
        raise InputError(
            f"{without_keys(path)}: names other files, which is not followed from a server; save a copy here and give that"
        )
    if path.startswith("/vsi") and (is_list or _head(path).lstrip().startswith((b"<", b"{"))):
        raise InputError(f"{path}: names other files, which is not followed from an archive; unpack it and give that")


def file_of(name: str) -> str | None:
    """The file on this machine that a name of GDAL's means: itself, or the archive that holds it (``/vsizip/town.zip/a.tif``)."""
    if Path(name).is_file():
        return name
    inner = re.sub(r"^(?:/vsi(?:zip|tar|gzip|7z|rar)/)+\{?", "", name)
    places = [] if inner == name else [Path(inner), *Path(inner.replace("}", "")).parents]
    return next((str(place) for place in places if place.is_file()), None)


def refuse_raw(names: Iterable[str]) -> None:
    """Refuse a VRT that shows the bytes of any file as pixels: nobody typed that file.

    Args:
        names: a scene and what ``parts_below`` says of it.

    Raises:
        InputError: one of them is such a VRT.
    """
    for name in names:
        if b"<VRTDataset" in _head(name) and not name.startswith("/vsi") and b"VRTRawRasterBand" in Path(name).read_bytes():
            raise InputError(
                f"{name}: shows raw bytes of another file as pixels, which is not read; convert it first (gdal_translate)"
            )


def parts_below(path: str, *, refuse: bool = True) -> list[str]:
    """What a VRT or tile index on this machine names, at any depth: files, and archives as GDAL names them; empty for other files.

    Args:
        path: a file on this machine.
        refuse: whether it must name no address.

    Raises:
        InputError: it names an address, or a document through which GDAL opens one.
    """
    known: list[str] = []
    todo = [path]
    while todo:
        here = todo.pop()
        for name in (*_named_in(Path(here)), *_beside(here)):
            if refuse:
                _refuse_remote(name, here)
                _refuse_service(name, here)
                _refuse_hidden(name, here)
            if name not in known:
                known.append(name)
                todo.append(name)
    return known


def refuse_remote_overviews(dataset: Any, path: str) -> None:
    """Refuse a raster whose overviews are elsewhere, which GDAL would open without a word.

    Raises:
        InputError: they are in another folder or on a server.
    """
    place = dataset.tags(ns="OVERVIEWS").get("OVERVIEW_FILE", "").removeprefix(":::BASE:::")
    same = Path(place).parent in (Path("."), Path(path).parent, Path(path).parent.absolute())
    if place and (_is_remote(place) or not same):
        raise InputError(f"{path}: names overviews elsewhere ({without_keys(place)}); {ALLOW}")


def linked(here: str, target: str, *, allow_remote: bool) -> str:
    """What a document of the name ``here`` means by a link: an address, or the path of a file.

    Raises:
        InputError: it leads to another host, or from an address to a file of this machine.
    """
    if "://" in here:
        resolved = urljoin(here, target)
        (scheme, host), (old_scheme, old_host) = urlsplit(resolved)[:2], urlsplit(here)[:2]
        other = host != old_host or not (scheme == old_scheme or (old_scheme, scheme) == ("http", "https"))
        if scheme not in ("http", "https", "s3", "gs") or target.startswith("/vsi"):
            raise InputError(
                f"{without_keys(here)}: links to {without_keys(target)[:200]}, which is no address on a server; correct the document"
            )
        if other and not allow_remote:
            raise InputError(f"{without_keys(here)}: links to another host, {without_keys(resolved)[:200]}; {ALLOW}")
        return resolved
    if not allow_remote and (_is_remote(target) or target.lower().startswith("file:")):
        raise InputError(f"{here}: links to {without_keys(target)[:200]}, which you did not name; {ALLOW}")
    if "://" in target or target.startswith("/vsi"):
        return target
    plain = Path(here).parent / target
    return str(plain if plain.exists() or "%" not in target else Path(here).parent / unquote(target))


def _is_remote(name: str) -> bool:
    """Whether a name leads beyond the files of this machine."""
    systems = re.findall(r"/vsi(\w+)", name)
    return "://" in name or any(not system.startswith(_FILE_SYSTEMS) for system in systems) or name.lower().startswith("file:")


def _refuse_remote(name: str, here: str) -> None:
    prefix = re.match(r"([A-Za-z][A-Za-z0-9_]+):", name)  # two letters at least: not C:\
    a_file = (
        prefix is None
        or Path(name).exists()
        or any(prefix[1].upper().startswith(d.upper()) for d in (*DRIVERS, "GTIFF_DIR", "NITF_IM"))
    )
    if name.lstrip().startswith(("<", "{")) or _is_remote(name) or not a_file:
        raise InputError(f"{here}: names {without_keys(shortened(plain_text(name), 200))}, which you did not; {ALLOW}")


def _refuse_service(name: str, here: str) -> None:
    """Refuse a file that describes a service, which GDAL would ask."""
    head = _head(name).lstrip()
    if head.startswith(b"{") or (head.startswith(b"<") and not re.search(rb"<(VRTDataset|GDALTileIndexDataset)", head)):
        raise InputError(f"{here}: names {name}, which is no raster but a document; {ALLOW}")


def _refuse_hidden(name: str, here: str) -> None:
    """Refuse what lies in an archive and may name further files, which nobody has looked at."""
    if name.startswith("/vsi"):
        head = _member_head(name)
        if head is None or head.lstrip().startswith(b"<"):
            raise InputError(f"{here}: names {name}, which may name other files; unpack it, or give --allow-remote")


def _beside(path: str) -> Iterator[str]:
    """Overviews and masks beside a raster that are documents: GDAL opens them with any driver."""
    for ending in (".ovr", ".msk"):
        if _head(path + ending).lstrip().startswith((b"<", b"{")):
            yield path + ending


def _head(name: str) -> bytes:
    """The first bytes of a file, or of one in an archive; none if it cannot be read."""
    if name.startswith("/vsi"):
        return _member_head(name) or b""
    try:
        with open(name, "rb") as file:
            return _begin(file)
    except (OSError, ValueError):
        return b""


def _begin(file: IO[bytes]) -> bytes:
    return file.read(_HEAD_BYTES).removeprefix(b"\xef\xbb\xbf")


def _member_head(name: str) -> bytes | None:
    """The first bytes of what one of GDAL's virtual file systems shows of a file; none where nothing is, None if nobody can tell here."""
    kind, _, rest = name.removeprefix("/vsi").partition("/")
    try:
        if kind == "subfile":
            place, _, file = rest.partition(",")
            with open(file, "rb") as whole:
                whole.seek(int(place.partition("_")[0]))
                return _begin(whole)
        if kind == "gzip":
            with gzip.open(rest) as plain:
                return _begin(cast("IO[bytes]", plain))
        archive = file_of(name)
        if archive is None:
            return None
        inner = rest.partition(Path(archive).name)[2].lstrip("}/")
        if kind == "zip":
            with zipfile.ZipFile(archive) as packed, packed.open(inner or packed.namelist()[0]) as member:
                return _begin(member)
        if kind == "tar":
            with tarfile.open(archive) as tape:
                member_of_tape = tape.extractfile(inner or tape.getnames()[0])
                return None if member_of_tape is None else _begin(member_of_tape)
    except KeyError:  # no such member
        return b""
    except (OSError, ValueError, EOFError, IndexError, RuntimeError, zipfile.BadZipFile, tarfile.TarError, zlib.error):
        return None
    return None


def _named_in(path: Path) -> Iterator[str]:
    """The names of datasets in a VRT or a tile index; none in other files."""
    head = _head(str(path))
    if head.startswith(b"SQLite format 3") and ".gti." in path.name.lower():
        yield from (_beside_of(path, name) for name in _locations(path))
    if not re.search(rb"<(VRTDataset|GDALTileIndexDataset)", head):
        return
    try:
        document = ElementTree.fromstring(path.read_bytes())
    except (ElementTree.ParseError, ValueError, LookupError, RecursionError, OSError) as cause:
        raise InputError(f"{path}: is not valid XML ({cause}); make it anew") from cause
    for element in document.iter():
        text = (element.text or "").strip()
        aside = element.tag == "MDI" and element.get("key") in _ASIDE
        dataset_argument = element.tag == "Argument" and "filename" in (element.get("name") or "")
        if text and (element.tag in _NAMES or aside or dataset_argument):
            relative = element.get("relativeToVRT", element.get("relativetoVRT", "0")) == "1" or element.tag == "IndexDataset"
            yield _beside_of(path, text) if relative else text


def _beside_of(path: Path, name: str) -> str:
    return name if _is_remote(name) or name.startswith("/vsi") or os.path.isabs(name) else str(path.parent / name)


def _locations(path: Path) -> list[str]:
    """The column ``location`` of the tables of a tile index."""
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path.resolve()))}?mode=ro", uri=True)) as base:
            tables = [row[0] for row in base.execute("select table_name from gpkg_contents")]
            return [str(row[0]) for table in tables for row in base.execute(f'select location from "{table}"')]
    except sqlite3.Error as cause:
        raise InputError(f"{path}: its tile index cannot be read ({cause}); make it anew (gdaltindex)") from cause
