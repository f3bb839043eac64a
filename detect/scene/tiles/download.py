"""Polite and bounded requests: a name, few at a time, patience with a busy server, an end for one that never ends, no key in messages."""

from __future__ import annotations

import io
import shutil
import tempfile
import time
import urllib.error
import urllib.request
from http.client import HTTPException, HTTPResponse, InvalidURL
from typing import BinaryIO
from urllib.parse import quote

from detect.base.errors import DetectError, InputError, said
from detect.base.resources import package_version
from detect.base.secrets import without_keys

PARALLEL = 4
"""Requests at a time to one server."""
TRIES = 5
FIRST_WAIT_S = 0.5
"""The wait before a second try; it doubles each time, or is what the server says (``Retry-After``)."""
LONGEST_WAIT_S = 60.0
TIMEOUT_S = 15.0
PATIENCE_S = 40.0
"""Time that a server may take in all without an answer; after that it is not tried again."""
SLOWEST_BYTES_PER_S = 1_000
"""Over the first ``TIMEOUT_S`` and later."""
MOST_BYTES = 1_000_000_000
"""Of an answer that goes into memory, and of one whose length the server does not say."""
_SPARE_BYTES = 1_000_000_000
"""Left free on the disk by a download."""
_MISSING = (204, 404, 410)
_REFUSED = (401, 402, 403, 407)
_BUSY = (408, 425, 429, 500, 502, 503, 504)
_CHUNK = 1 << 18


def get(url: str, part: tuple[int, int] | None = None, *, most_bytes: int = MOST_BYTES) -> bytes | None:
    """The body of a URL; None where the server has nothing. See ``fetch``.

    Args:
        url: http or https.
        part: first byte and number of bytes; None: all of it.
        most_bytes: a longer answer is refused.
    """
    body = io.BytesIO()
    return body.getvalue() if fetch(url, body, part, most_bytes=most_bytes) else None


def fetch(url: str, target: BinaryIO, part: tuple[int, int] | None = None, *, most_bytes: int | None = None) -> bool:
    """Write the body of a URL into a file; False where the server has nothing (204, 404, 410).

    A busy server is asked again, with growing pauses.

    Args:
        url: http or https.
        target: an open file; what it holds is replaced.
        part: first byte and number of bytes; None: all of it.
        most_bytes: a longer answer is refused; None: what the disk of temporary files takes, if the server says how long the answer is.

    Raises:
        InputError: the server refuses (a missing key, for example), or sends too much.
        DetectError: it could not be reached, is too slow, or answered with another error.
    """
    headers = {"User-Agent": f"detect-buildings/{package_version()}"}
    if part is not None:
        headers["Range"] = f"bytes={part[0]}-{part[0] + part[1] - 1}"
    request = urllib.request.Request(quote(url, safe="%/:=&?~#+!$,;'@()*[]{}|^`\"<>\\"), headers=headers)
    wait_s, waited_s = FIRST_WAIT_S, 0.0
    for attempt in range(1, TRIES + 1):
        began_s = time.monotonic()
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
                if part is not None and answer.status != 206:
                    raise DetectError(f"{without_keys(url)}: its server cannot send parts of a file; download it first")
                if answer.status in _MISSING:
                    return False
                _copy(answer, target, without_keys(url), most_bytes)
                return True
        except urllib.error.HTTPError as error:
            error.close()
            if error.code in _MISSING:
                return False
            _refuse_status(error, url, last=attempt == TRIES)
            wait_s = max(wait_s, _seconds(error.headers.get("Retry-After")))
        except (OSError, ValueError, HTTPException) as error:
            waited_s += time.monotonic() - began_s
            if attempt == TRIES or waited_s > PATIENCE_S - TIMEOUT_S or isinstance(error, ValueError | InvalidURL):
                raise DetectError(
                    f"{without_keys(url)}: cannot be reached ({said(error) or type(error).__name__}); the same command tries again"
                ) from error
        time.sleep(min(wait_s, LONGEST_WAIT_S))
        wait_s *= 2
    raise AssertionError("the last try returns or raises")


def _refuse_status(error: urllib.error.HTTPError, url: str, *, last: bool) -> None:
    """Raise unless the server is only busy."""
    if error.code in _REFUSED:
        raise InputError(f"{without_keys(url)}: the server refuses ({error.code}); does the address lack a key?") from error
    if error.code not in _BUSY or last:
        raise DetectError(f"{without_keys(url)}: the server answers {error.code}; the same command tries again") from error


def _copy(answer: HTTPResponse, target: BinaryIO, place: str, most_bytes: int | None) -> None:
    """Copy an answer, whole and at a bearable speed.

    Raises:
        InputError: it is too long.
        DetectError: it is too slow.
        OSError: it ends early.
    """
    announced = answer.length
    if most_bytes is None:
        most_bytes = MOST_BYTES if announced is None else max(0, shutil.disk_usage(tempfile.gettempdir()).free - _SPARE_BYTES)
    target.seek(0)
    target.truncate()
    began_s, done = time.monotonic(), 0
    too_long = InputError(f"{place}: the server sends more than {most_bytes:,} bytes; download it first, or give a smaller file")
    if announced is not None and announced > most_bytes:
        raise too_long
    while chunk := answer.read1(_CHUNK):
        target.write(chunk)
        done += len(chunk)
        spent_s = time.monotonic() - began_s
        if done > most_bytes:
            raise too_long
        if spent_s > TIMEOUT_S and done < SLOWEST_BYTES_PER_S * spent_s:
            raise DetectError(
                f"{place}: the server sends {done / spent_s:.0f} bytes a second; try again later, or download it first"
            )
    if announced is not None and done < announced:
        raise OSError(f"the connection ended after {done:,} of {announced:,} bytes")


def _seconds(text: str | None) -> float:
    """Seconds of a ``Retry-After`` header; 0 for a date or nothing."""
    try:
        return float(text or 0)
    except ValueError:
        return 0.0
