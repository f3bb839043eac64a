"""Files that appear whole or not at all."""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from detect.base.errors import InputError

COMPANIONS = ("__macosx", "thumbs.db", "desktop.ini", "@eadir", "$recycle.bin", "system volume information")
"""Files and folders that operating systems add, in lower case."""
COMPANION_ENDINGS = (".aux.xml", ".ovr", ".msk", ".tfw", ".tifw", ".jgw", ".jpgw", ".pgw", ".pngw", ".j2w", ".wld")
"""Files beside an image that belong to it: statistics, overviews, masks, world files."""


def is_companion(name: str) -> bool:
    """Whether an operating system or a program added a file or folder of this name; hidden ones count, such as ``._town.tif``."""
    low = name.lower()
    return low.startswith(".") or low in COMPANIONS or low.endswith(COMPANION_ENDINGS)


def listed(folder: Path, pattern: str = "*") -> list[Path]:
    """What lies in a folder by a pattern (``**`` for any depth), sorted, without companions and what lies in such folders."""
    return sorted(p for p in folder.glob(pattern) if not any(map(is_companion, p.relative_to(folder).parts)))


PARTS = {".shp": (".dbf", ".prj", ".cpg"), ".mif": (".mid",), ".tab": (".dat", ".map", ".id")}
"""Files of the same name that a vector file consists of, by its ending."""


def sha256_of_parts(path: Path) -> str:
    """Hash of all that a vector file consists of: of one file its content, of several their endings and contents.

    Several are a folder (``.gdb``), a Shapefile with its table, and a GeoPackage with changes that still lie beside it (``-wal``).
    """
    if path.is_dir():
        parts = [p for p in listed(path, "**/*") if p.is_file() and p.suffix != ".lock"]
    else:
        beside = [path.with_suffix(ending) for ending in PARTS.get(path.suffix.lower(), ())]
        beside += [path.with_name(f"{path.name}-wal")]
        parts = [path, *(p for p in beside if p.is_file() and p.stat().st_size)]
    if parts == [path]:
        return sha256_of(path)
    start = len(str(path)) if path.is_dir() else len(str(path.with_suffix("")))
    return hashlib.sha256("".join(f"{str(part)[start:]} {sha256_of(part)}\n" for part in parts).encode()).hexdigest()


def sha256_of(path: Path) -> str:
    """Hash of a file's content."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a hidden file in the same folder, to write to; it replaces ``path`` when the context ends.

    If writing fails, the hidden file is removed and ``path`` stays as it was. Several processes, even on several machines, may
    write the same file at the same time; the last one wins.
    """
    aside = path.with_name(f".{path.stem}.{uuid.uuid4().hex}.part{path.suffix}")
    try:
        yield aside
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def write_whole(path: Path, text: str) -> None:
    """Write a text file (UTF-8), whole or not at all."""
    with whole_file(path) as aside:
        aside.write_text(text, encoding="utf-8")


_AT_FDCWD = -100
_EXCHANGE = 2


def exchange(one: Path, other: Path) -> bool:
    """Exchange the names of two folders in one step, so that a kill leaves either both old names or both new ones (Linux 3.15).

    Returns:
        False where the system or the file system cannot; nothing has changed then.
    """
    rename = _renameat2()
    return rename is not None and rename(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _EXCHANGE) == 0


@cache
def _renameat2() -> Any:
    """The C library's function; None where there is none."""
    return getattr(ctypes.CDLL(None), "renameat2", None) if sys.platform == "linux" else None


def take_over(entry: Path, target: Path) -> None:
    """Give a user's file, folder or link a second name; files are linked rather than copied where the disk allows it."""
    if entry.is_dir() and not entry.is_symlink():
        shutil.copytree(entry, target, symlinks=True, copy_function=_link_or_copy)
    else:
        _link_or_copy(entry, target)


def _link_or_copy(source: str | Path, target: str | Path) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:  # another owner, or a file system without links
        shutil.copy2(source, target, follow_symlinks=False)


def refuse_unreadable_name(path: str | Path) -> None:
    """Refuse a name that is not UTF-8, which no result could hold.

    Raises:
        InputError: it is not.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError as cause:
        raise InputError(f"{str(path)!a}: its name is not valid UTF-8; rename it") from cause


def refuse_input(out: str | Path, *inputs: Any) -> None:
    """Refuse to write a file over one that is read.

    Raises:
        InputError: ``out`` is one of the inputs, or lies in a folder that is one.
    """
    out = Path(out)
    for path in (Path(i) for i in inputs if isinstance(i, str | os.PathLike)):
        if out.exists() and path.exists() and (out.samefile(path) or (path.is_dir() and out.parent.samefile(path))):
            raise InputError(f"{out}: is read by this command and would be replaced; give another --out")
