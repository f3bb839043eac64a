"""Draw the pictures of README.md and docs/ from simulated scenes, with what the shipped weights find in them.

    python scripts/docs_pictures.py            all of them
    python scripts/docs_pictures.py correct    one

Writes docs/images/yardstick.jpg (`make yardstick`), own.jpg (an overview), and pages in a browser, which need the extra `browser` and a
Chromium: correct.jpg (a report), dates.jpg (a series) and collect.jpg (a map of many scenes).
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import rasterio
from affine import Affine

from detect import Result, collect, predict, track
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


def own(folder: Path, target: Path) -> int:
    """A compound of which a few blocks are not finished."""
    scenes, _ = simulate_compounds(folder, seed=3, dormitories=12)
    result = predict(scenes[0], folder / "out", date="2024-06-01")
    assert isinstance(result, Result)
    return shrink(result.folder / "overview.png", target)


def correct(folder: Path, target: Path) -> int:
    """The page of a scene, where a reader corrects a building."""
    scenes, _ = simulate_compounds(folder, preset="rows", seed=104, gap_m=3.0)
    result = predict(scenes[0], folder / "out")
    assert isinstance(result, Result)

    def mark(page: Any) -> None:
        page.click("#to-check")
        page.click("[data-stage=incomplete]")

    return shrink(shot(result.folder / "report.html", ".leaflet-tile-loaded", mark), target)


def dates(folder: Path, target: Path) -> int:
    """The page of a series at its last date."""
    scenes, truth = simulate_compounds(folder, seed=3, dormitories=12, dates=3)
    predict(scenes, folder / "out", sites=truth)
    track([folder / "out"], folder / "tracked")
    new = "select(found.id[found.change.indexOf('new')])"
    return shrink(shot(folder / "tracked" / "report.html", "#date-text", lambda page: page.evaluate(new)), target)


def many(folder: Path, target: Path) -> int:
    """The map of six scenes that lie side by side."""
    placed = []
    for number in range(6):
        (scene,), _ = simulate_compounds(folder / f"scene_{number}", preset="rows", seed=number)
        with rasterio.open(scene, "r+") as raster:
            raster.transform = Affine.translation(number % 3 * 420, number // 3 * -420) @ raster.transform
        placed.append(scene.rename(folder / f"scene_{number}.tif"))
    predict(placed, folder / "out")
    collect([folder / "out"], folder / "all")
    first = "async () => showBuilding((await started).buildings, 0)"
    return shrink(shot(folder / "all" / "map.html", "body[data-ready]", lambda page: page.evaluate(first)), target)


def shot(path: Path, ready: str, act: Callable[[Any], object]) -> Path:
    """A picture of the map of a page; ``ready`` selects what stands on it once it is drawn, ``act`` does what a reader would."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        found = shutil.which("chromium") or playwright.chromium.executable_path
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1100, "height": 800}, reduced_motion="reduce")
        page.goto(path.as_uri())
        page.wait_for_selector(ready)
        act(page)
        page.wait_for_timeout(1500)
        picture = path.with_suffix(".png")
        page.locator(".look").screenshot(path=picture)
        browser.close()
    return picture


PICTURES = {"yardstick": yardstick, "own": own, "correct": correct, "dates": dates, "collect": many}


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
