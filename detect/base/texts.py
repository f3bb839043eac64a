"""Read text files as programs and spreadsheets save them."""

from __future__ import annotations

import codecs
import gzip
import zlib
from pathlib import Path

from detect.base.errors import InputError

_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


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
