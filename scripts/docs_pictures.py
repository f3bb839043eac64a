"""Draw the picture of README.md and docs/: a simulated scene (`make yardstick`) with what the shipped weights find in it.

    python scripts/docs_pictures.py

Writes docs/images/yardstick.jpg.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import cv2

from detect import Result, predict
from detect.simulate import simulate_compounds

PICTURE = Path(__file__).resolve().parents[1] / "docs" / "images" / "yardstick.jpg"
WIDTH_PX = 1000
QUALITY = 80
LARGEST_BYTES = 200_000


def main() -> int:
    """Draw, predict, shrink; the exit code."""
    with tempfile.TemporaryDirectory() as folder:
        scenes, truth = simulate_compounds(folder, preset="yardstick", seed=1)
        result = predict(scenes[0], f"{folder}/out", sites=truth)
        assert isinstance(result, Result)  # one scene, one result
        return shrink(result.folder / "overview.png", PICTURE)


def shrink(overview: Path, target: Path) -> int:
    """Write overview.png as a small JPEG; exit code 1 if it is too large for a repository."""
    picture = cv2.imread(str(overview))
    height_px = round(picture.shape[0] * WIDTH_PX / picture.shape[1])
    target.parent.mkdir(parents=True, exist_ok=True)
    small = cv2.resize(picture, (WIDTH_PX, height_px), interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(target), small, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    size_bytes = target.stat().st_size
    print(f"{target}: {WIDTH_PX} × {height_px} px, {size_bytes // 1000} kB")
    return int(size_bytes > LARGEST_BYTES)


if __name__ == "__main__":
    sys.exit(main())
