"""Files that appear whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A hidden neighbour to write to, of the same suffix, which takes the file's place once it is whole.

    Where the writing fails, the neighbour is removed and what was there before stays. Processes that write the same file at once do not
    disturb each other; the last one wins.
    """
    aside = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        yield aside
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def write_whole(path: Path, text: str) -> None:
    """Write a text file (UTF-8), whole or not at all."""
    with whole_file(path) as aside:
        aside.write_text(text, encoding="utf-8")
