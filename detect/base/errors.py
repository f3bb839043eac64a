"""What can go wrong, as one line that says what, where and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class DetectError(Exception):
    """The work failed; the command ends with exit code 1."""

    exit_code = 1
    results: Sequence[Any] = ()
    """Of a call with several inputs, what was done all the same."""


class InputError(DetectError):
    """The input or an option is wrong; the command ends with exit code 2 and leaves no output."""

    exit_code = 2
