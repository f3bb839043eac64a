"""Give freed memory back to the system."""

from __future__ import annotations

import ctypes
import sys


def trim() -> None:
    """Make the C library return the freed memory that it holds; does nothing where it cannot.

    glibc keeps freed blocks for later, in one heap per thread. With hundreds of thousands of buildings in a scene they take
    hundreds of megabytes after one step, and the next step cannot use them because it needs blocks of other sizes.
    """
    if sys.platform != "linux":
        return
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError):  # another C library
        return
