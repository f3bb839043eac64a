"""Draw the pictures of README.md and docs/ from simulated scenes, with what the shipped weights find in them.

    python scripts/docs_pictures.py            all of them
    python scripts/docs_pictures.py correct    one

Writes docs/images/yardstick.jpg (`make yardstick`) and docs/images/correct.jpg (a report in a browser, which needs the extra `browser` and
a Chromium).
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import cv2

from detect import Result, predict
from detect.simulate import simulate_compounds

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"
WIDTH_PX = 1000
QUALITY = 80
LARGEST_BYTES = 200_000


def main() -> int:
    """Draw those that are named, or all; the exit code."""
    wanted = sys.argv[1:] or list(PICTURES)
    with tempfile.TemporaryDirectory() as folder:
        return max(PICTURES[name](Path(folder) / name, IMAGES / f"{name}.jpg") for name in wanted)


def yardstick(folder: Path, target: Path) -> int:
    """Three plots with their buildings."""
    scenes, truth = simulate_compounds(folder, preset="yardstick", seed=1)
    result = predict(scenes[0], folder / "out", sites=truth)
    assert isinstance(result, Result)  # one scene, one result
    return shrink(result.folder / "overview.png", target)


def correct(folder: Path, target: Path) -> int:
    """The page of a scene, where a reader corrects a building."""
    from playwright.sync_api import sync_playwright

    scenes, _ = simulate_compounds(folder, preset="rows", seed=104, gap_m=3.0)
    result = predict(scenes[0], folder / "out")
    assert isinstance(result, Result)
    with sync_playwright() as playwright:
        found = shutil.which("chromium") or playwright.chromium.executable_path
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1100, "height": 800}, reduced_motion="reduce")
        page.goto((result.folder / "report.html").as_uri())
        page.wait_for_selector(".leaflet-tile-loaded")
        page.click("#to-check")
        page.click("[data-stage=incomplete]")
        page.wait_for_timeout(1000)
        shot = folder / "page.png"
        page.locator(".look").screenshot(path=shot)
        browser.close()
    return shrink(shot, target)


PICTURES = {"yardstick": yardstick, "correct": correct}


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
