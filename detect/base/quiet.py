"""Keeps libraries from sending telemetry, asking for their newest version and writing to the user's home."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

SWITCHES = {
    "ORT_DISABLE_TELEMETRY": "1",  # ONNX Runtime: a device id and events in the cache folder, and a look-up of the host that takes them
    "NO_ALBUMENTATIONS_UPDATE": "1",  # albumentations asks PyPI for its version
}
"""Environment variables that are read when the library is imported; afterwards it is too late. Child processes inherit them."""


def switch_off() -> None:
    """Set the switches that the user has not set.

    Warns:
        UserWarning: ONNX Runtime was imported before, so that its telemetry may be on.
    """
    if "onnxruntime" in sys.modules and "ORT_DISABLE_TELEMETRY" not in os.environ:
        warnings.warn(
            "onnxruntime was imported before detect, with its telemetry on; import detect first, or set ORT_DISABLE_TELEMETRY=1",
            stacklevel=2,
        )
    for name, value in SWITCHES.items():
        os.environ.setdefault(name, value)


@contextmanager
def no_font_list() -> Iterator[None]:
    """Within it, Matplotlib's first import leaves no list of the machine's fonts and no folder of settings in the user's home."""
    if "MPLCONFIGDIR" in os.environ or "matplotlib" in sys.modules:
        yield
        return
    from tempfile import TemporaryDirectory

    with TemporaryDirectory(prefix="detect-") as folder:
        os.environ["MPLCONFIGDIR"] = folder
        try:
            yield
        finally:
            del os.environ["MPLCONFIGDIR"]
