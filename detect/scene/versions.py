"""Tell the versions of a file apart without reading it, so that what was made of an earlier one is not taken for the one that is there."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from detect.scene.reach import file_of, parts_below


def version_of(names: Iterable[str]) -> list[str]:
    """Size and time of change of files; of what lies in an archive (``/vsizip/town.zip/a.tif``) those of the archive.

    What does not lie on this machine is left out.
    """
    files = dict.fromkeys(file for name in names if (file := file_of(name)) is not None)
    return [f"{about.st_size} {about.st_mtime_ns}" for about in map(os.stat, files)]


def version_of_raster(dataset: Any, path: str) -> list[str]:
    """``version_of`` all files that an open raster consists of: those beside it and those that it names, too."""
    below = parts_below(path, refuse=False) if Path(path).is_file() else []
    return version_of([path, *dataset.files, *below])
