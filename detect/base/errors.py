"""Errors that end a command. Each is one line that says what is wrong, where, and what to do."""

from __future__ import annotations

import errno
from collections.abc import Sequence
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


def of_system(where: str, error: OSError) -> DetectError:
    """An error of the operating system as one line: what is named too long is wrong input, anything else has failed."""
    if error.errno == errno.ENAMETOOLONG:
        return InputError(f"{where[:80]}…: has a longer name than the disk takes; give a shorter one")
    return DetectError(f"{where}: {said(error)}")
