"""Read text files as programs and spreadsheets save them."""

from __future__ import annotations

import codecs
import gzip
import math
import unicodedata
import zlib
from pathlib import Path

from detect.base.errors import InputError

YES, NO = ("true", "1", "1.0", "yes", "y", "t", "on", "x"), ("false", "0", "0.0", "no", "n", "f", "off")
"""Words and numbers, in lower case, in which people and file formats store a truth value."""
_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


def plain_text(text: str) -> str:
    """A text on one line: line breaks, tabs and runs of spaces become a space; characters that control a terminal or a printer go."""
    kept = "".join(" " if c.isspace() else c for c in text if c.isspace() or unicodedata.category(c) not in ("Cc", "Cs", "Cn"))
    return " ".join(kept.split())


def shortened(text: str, most: int = 60) -> str:
    """A text of at most so many letters, its end replaced by … if there are more."""
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def number_of(number: int, noun: str) -> str:
    """A number and what it counts, such as ``1 building`` and ``1,200 buildings``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def in_km2(area: float) -> str:
    """An area in km² to a thousandth, a small one to two digits; without the unit."""
    return f"{area:.{max(3, 1 - math.floor(math.log10(area)))}f}" if area > 0 else "0"


def read_text(path: str | Path) -> str:
    """The text of a file in UTF-8, with or without a byte order mark, or in UTF-16 with one; ``.gz`` is unpacked.

    Raises:
        InputError: the file cannot be read, or holds another encoding or no text.
    """
    path = Path(path)
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix.lower() == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as cause:
        raise InputError(f"{path}: cannot be read ({cause})") from cause
    try:
        return content.decode(next((name for mark, name in _MARKS if content.startswith(mark)), "utf-8"))
    except UnicodeError as cause:
        raise InputError(f"{path}: is not text in UTF-8; save it anew as UTF-8") from cause
