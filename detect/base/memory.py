"""Give freed memory back to the system, and look for garbage less often."""

from __future__ import annotations

import atexit
import ctypes
import gc
import sys
from functools import cache


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


@cache
def collect_less() -> None:
    """Make Python look for cycles of objects after 50,000 new ones, not 700, and not when the process ends.

    Imports make hundreds of thousands of objects, which all stay. To look through them again and again takes a third of the time of a
    process that predicts one small scene.
    """
    gc.set_threshold(50_000, 20, 100)
    atexit.register(gc.freeze)
