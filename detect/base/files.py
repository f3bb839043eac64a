"""Files that appear whole or not at all."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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
