"""The map of ``detect collect`` in a browser, with the network off; skips as ``test_report_browser`` does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import detect
from tests.smoke.conftest import DESKTOP, PHONE
from tests.smoke.opened import Opened
from tests.unit.runs.test_collect import A, B, write_result

pytest.importorskip("playwright.sync_api", reason="the extra 'browser' is not installed")
pytest.importorskip("axe_playwright_python.sync_playwright", reason="the extra 'browser' is not installed")

INK = """() => [...document.querySelectorAll('.leaflet-tile-pane canvas')].reduce((sum, canvas) => sum +
new Uint32Array(canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.buffer).filter(Boolean).length, 0)"""
"""Coloured pixels of the map."""
FIRST = """const { map, buildings } = await started;
const [x, y] = [0, 1].map((axis) => Math.round(buildings.ring(0).reduce((sum, corner) => sum + corner[axis], 0) / buildings.corners[0]));"""
"""The middle of the first building."""


@pytest.fixture(scope="module")
def page_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("collected")
    write_result(folder / "out" / "west", [A, B])
    write_result(folder / "out" / "june <b>", [A], x=400, date="2026-01-05")
    detect.collect([folder / "out"], folder / "all")
    return folder / "all" / "map.html"


@pytest.mark.parametrize(("device", "scheme"), [(DESKTOP, "light"), (PHONE, "dark")], ids=["desktop", "phone"])
def test_anyone_can_use_it_offline(browser: Any, page_path: Path, device: dict[str, Any], scheme: str) -> None:
    opened = Opened(browser, page_path, "body[data-ready]", color_scheme=scheme, reduced_motion="reduce", **device)
    page = opened.page
    page.focus("#scenes button >> nth=1")
    page.keyboard.press("Enter")  # to the scene "west"
    page.evaluate(f"async () => {{ {FIRST} map.setView(map.unproject([x, y], facts.zoom), 19); }}")
    page.wait_for_function(f"({INK})() > 500")
    page.evaluate(f"async () => {{ {FIRST} showBuilding(buildings, buildings.at(x, y)); }}")
    assert page.text_content("#panel-title").startswith("Building ")  # type: ignore[union-attr]
    page.check("#like")
    page.uncheck("input[name=stage][value='0']")
    page.wait_for_function(f"({INK})() === 0")
    page.check("input[name=stage][value='0']")
    page.select_option("#date", label="2026-01-05")
    opened.assert_fits_and_is_accessible(device["viewport"]["width"])
    opened.close()


@pytest.mark.parametrize("zoom", [12, 14, 16])
def test_every_zoom_shows_buildings(browser: Any, page_path: Path, zoom: int) -> None:
    page = browser.new_context(offline=True, **DESKTOP).new_page()
    page.goto(page_path.as_uri())
    page.wait_for_selector("body[data-ready]")
    page.evaluate(f"async () => (await started).map.setZoom({zoom}, {{ animate: false }})")
    page.wait_for_function(f"({INK})() >= 4")
    page.context.close()
