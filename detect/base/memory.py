"""Memory that was freed goes back to the system."""

from __future__ import annotations

import ctypes
import sys


def trim() -> None:
    """Let the C library give back what it keeps of freed memory; does nothing where it cannot.

    glibc keeps freed pieces for later, one heap for each thread. Between the stages of a scene with hundreds of thousands of buildings that
    is hundreds of megabytes, which the next stage, with pieces of other sizes, does not use.
    """
    if sys.platform != "linux":
        return
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError):  # another C library
        return
