"""Give freed memory back to the system."""

from __future__ import annotations

import ctypes
import sys


def trim() -> None:
    """Make the C library return the freed memory that it holds; does nothing where it cannot.

    glibc keeps freed pieces for later, one heap for each thread. After a stage of a scene with hundreds of thousands of buildings these are
    hundreds of megabytes, which the next stage, with pieces of other sizes, does not use.
    """
    if sys.platform != "linux":
        return
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError):  # another C library
        return
