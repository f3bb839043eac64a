"""Where the real sample imagery is, for tests that need it.

It is looked for in the folder named by ``DETECT_DATA``, then in ``../shared/data`` beside the checkout. Where it is absent the
test skips and says so; with ``CI=true`` in the environment a missing file is a failure.
"""

import os
from pathlib import Path

import pytest


def data_root() -> Path:
    """Folder of the sample imagery; may not exist."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    return Path(os.environ.get("DETECT_DATA", default))


def data_path(relative: str) -> Path:
    """One file of the sample imagery, or a skip (a failure in CI) when it is absent."""
    path = data_root() / relative
    if not path.exists():
        message = f"sample imagery is absent: {relative} (set DETECT_DATA to its folder)"
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail(message)
        pytest.skip(message)
    return path
