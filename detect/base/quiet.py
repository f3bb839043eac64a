"""Keeps libraries from sending telemetry, asking for their newest version and writing to the user's home."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

SWITCHES = {
    "ORT_DISABLE_TELEMETRY": "1",  # ONNX Runtime stores a device id and events, and looks up the host that receives them
    "NO_ALBUMENTATIONS_UPDATE": "1",  # albumentations asks PyPI for its newest version
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
    """Keep the first import of Matplotlib from writing a list of fonts and a settings folder to the user's home."""
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
