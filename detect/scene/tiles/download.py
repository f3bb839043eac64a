"""Polite requests: a name, few at a time, patience with a busy server, and no key in what is written down."""

from __future__ import annotations

import re
import time
import urllib.error
import urllib.parse
import urllib.request
from functools import cache

from detect.base.errors import DetectError, InputError, said
from detect.base.resources import package_version

PARALLEL = 4
"""Requests at a time to one server."""
TRIES = 5
FIRST_WAIT_S = 0.5
"""The wait before a second try; it doubles each time, or is what the server says (``Retry-After``)."""
LONGEST_WAIT_S = 60.0
TIMEOUT_S = 30.0
_MISSING = (204, 404, 410)
_REFUSED = (401, 402, 403, 407)
_BUSY = (408, 425, 429, 500, 502, 503, 504)
_SECRET = re.compile(r"(key|token|secret|sig|signature|password|pwd|auth\w*|credential\w*|client_?id)$", re.IGNORECASE)


def get(url: str, part: tuple[int, int] | None = None) -> bytes | None:
    """The body of a URL; None where the server has nothing (204, 404, 410). A busy server is asked again, with growing pauses.

    Args:
        url: http or https.
        part: first byte and number of bytes; None: all of it.

    Raises:
        InputError: the server refuses (a missing key, for example).
        DetectError: it could not be reached, or answered with another error.
    """
    headers = {"User-Agent": f"detect-buildings/{package_version()}"}
    if part is not None:
        headers["Range"] = f"bytes={part[0]}-{part[0] + part[1] - 1}"
    request = urllib.request.Request(url, headers=headers)
    wait_s = FIRST_WAIT_S
    for attempt in range(1, TRIES + 1):
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
                if part is not None and answer.status != 206:
                    raise DetectError(f"{without_keys(url)}: its server cannot send parts of a file; download it first")
                return None if answer.status in _MISSING else bytes(answer.read())
        except urllib.error.HTTPError as error:
            if error.code in _MISSING:
                return None
            if error.code in _REFUSED:
                raise InputError(
                    f"{without_keys(url)}: the server refuses ({error.code}); does the address lack a key?"
                ) from error
            if error.code not in _BUSY or attempt == TRIES:
                raise DetectError(
                    f"{without_keys(url)}: the server answers {error.code}; the same command tries again"
                ) from error
            wait_s = max(wait_s, _seconds(error.headers.get("Retry-After")))
        except (OSError, ValueError) as error:
            if attempt == TRIES or isinstance(error, ValueError):
                raise DetectError(
                    f"{without_keys(url)}: cannot be reached ({said(error)}); the same command tries again"
                ) from error
        time.sleep(min(wait_s, LONGEST_WAIT_S))
        wait_s *= 2
    raise AssertionError("the last try returns or raises")


def _seconds(text: str | None) -> float:
    """Seconds of a ``Retry-After`` header; 0 for a date or nothing."""
    try:
        return float(text or 0)
    except ValueError:
        return 0.0


@cache
def without_keys(address: str) -> str:
    """An address that can be published: values of parameters such as ``key`` and ``access_token``, and a password, become ``…``."""
    address = re.sub(r"//[^/@\s]+@", "//", address)
    before, mark, query = address.partition("?")
    if not mark:
        return address
    parts = [part.partition("=") for part in query.split("&")]
    return (
        before
        + mark
        + "&".join(f"{name}=…" if value and _SECRET.search(name) else name + sign + value for name, sign, value in parts)
    )
