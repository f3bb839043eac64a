"""Files that ship with the package (configurations, weights), and its version."""

from __future__ import annotations

from functools import cache
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]


def resource_path(relative: str) -> Path:
    """A shipped file or folder, such as ``configs/structures/dormitory.yaml`` or ``weights``.

    In a checkout it stands beside the package; in an installed wheel inside it, under ``_configs`` and ``_weights``.
    """
    # First the package's own: beside an installed one lie other packages, of any name.
    packed = _PACKAGE / f"_{relative}"
    return packed if packed.exists() else _PACKAGE.parent / relative


@cache
def package_version() -> str:
    """Version of this package; ``unknown`` when it runs from a checkout that is not installed."""
    from importlib.metadata import PackageNotFoundError, version  # with email, which ``detect --help`` does without

    try:
        return version("detect-buildings")
    except PackageNotFoundError:
        return "unknown"
