"""Files that appear whole or not at all."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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
