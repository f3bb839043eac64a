"""Errors that end a command. Each is one line that says what is wrong, where, and what to do."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def said(error: BaseException) -> str:
    """The words of an error and of those that caused it, in one line; for errors that only point at their cause, as rasterio's do."""
    words: list[str] = []
    cause: BaseException | None = error
    while cause is not None:
        text = " ".join(str(cause).split())
        if text and "See previous exception" not in text and not any(text in known for known in words):
            words.append(text)
        cause = cause.__cause__
    return "; ".join(words)


class DetectError(Exception):
    """The work failed; the command ends with exit code 1."""

    exit_code = 1
    results: Sequence[Any] = ()
    """What was done before it failed: in a call with several inputs, the results of those that worked."""


class InputError(DetectError):
    """The input or an option is wrong; the command ends with exit code 2 and leaves no output."""

    exit_code = 2


def missing_library(error: BaseException) -> str:
    """What to do about a shared library that a package needs from the system, as bare containers lack some; empty for any other error."""
    found = re.match(r"(lib[\w+.-]+?)\.so\.(\d+)[\d.]*: cannot open shared object file", str(error))
    if found is None or not isinstance(error, ImportError):
        return ""
    package = f"{found[1].lower()}{found[2]}"  # as Debian names packages of libraries
    library = str(error).partition(":")[0]
    return f"{library}, a library of the system, is missing; install it (Debian, Ubuntu: apt-get install {package})"


FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NEXT_TO_NOTHING = 1 << 20


def full_disk(folder: Path, error: BaseException) -> str:
    """Why writing into a folder failed, if its disk is full or a limit is reached; else empty. Libraries often say something else."""
    causes = [error]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) is not None:
        causes.append(cause)
    told = next((e.errno for e in causes if isinstance(e, OSError) and e.errno in FULL), None)
    if not isinstance(error, Exception) or isinstance(error, DetectError):
        return ""
    try:
        there = next(p for p in (folder.absolute(), *folder.absolute().parents) if p.exists())
        free = shutil.disk_usage(there).free
    except OSError:
        return ""
    if free >= _NEXT_TO_NOTHING and told is None:
        return ""
    if free >= _NEXT_TO_NOTHING and told != errno.ENOSPC:  # which a disk without free inodes gives too
        return f"a quota or a limit on file sizes is reached in {there}; raise it, or name a folder on another disk"
    return f"no space is left in {there}; free some, or name a folder on another disk"


_WRONG_NAMES = {
    errno.ENAMETOOLONG: "has a longer name than the disk takes; give a shorter one",
    errno.ENOTDIR: "lies below a file as if that were a folder; correct the path",
    errno.EEXIST: "exists already and is no folder; give another name",
    errno.EISDIR: "is a folder where a file is needed; correct the path",
    errno.ELOOP: "is a link to itself; correct it",
}


def of_system(where: str, error: OSError) -> DetectError:
    """An error of the operating system as one line: a name that cannot be is wrong input, anything else has failed."""
    where = str(error.filename or where)
    if error.errno in _WRONG_NAMES:
        return InputError(f"{where if len(where) <= 200 else where[:80] + '…'}: {_WRONG_NAMES[error.errno]}")
    if error.errno in (errno.EACCES, errno.EPERM):
        user = f"user {os.geteuid()}" if hasattr(os, "geteuid") else "you"  # not on Windows
        advice = "change its rights, name another one, or run as its owner (docker run --user)"
        return DetectError(f"{where}: {error.strerror} for {user}; {advice}")
    if error.errno in FULL and (full := full_disk(Path(where).parent, error)):
        return DetectError(f"{where}: {full}")
    return DetectError(f"{where}: {error.strerror or said(error)}")
