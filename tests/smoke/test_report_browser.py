"""report.html in a browser, with the network off: no request, no error, nothing that axe-core calls serious, and it does what it says.

Needs the ``browser`` extra and a Chromium, which is sought on the PATH and where Playwright puts its own. Without them these tests skip,
with ``CI=true`` too: a machine that builds and tests need not have a browser, and ``unit/test_report.py`` checks the page as a file.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import detect
from tests.smoke.conftest import DESKTOP, PHONE
from tests.smoke.opened import Opened

pytest.importorskip("playwright.sync_api", reason="the extra 'browser' is not installed")
pytest.importorskip("axe_playwright_python.sync_playwright", reason="the extra 'browser' is not installed")


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> detect.Result:
    """A simulated compound with two sites, one of an unkind name."""
    import geopandas as gpd

    from detect.simulate import simulate_compounds

    folder = tmp_path_factory.mktemp("compound")
    (scene,), truth = simulate_compounds(folder, seed=104, preset="rows", gap_m=3.0)
    site = gpd.read_file(truth, layer="sites").assign(name="<b onload=alert(1)>", planned_buildings=40)
    site.to_file(folder / "sites.gpkg")
    return detect.predict(scene, folder / "out", sites=folder / "sites.gpkg", date="2024-06-01")


def _until(page: Any, expression: str) -> None:
    """Wait until it is true. Asked from outside: the page's own policy forbids Playwright's ``wait_for_function`` to evaluate in it."""
    for _ in range(100):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(100)
    raise AssertionError(f"never came true: {expression}")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("device", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_anyone_can_read_it_offline(browser: Any, result: detect.Result, device: dict[str, Any], scheme: str) -> None:
    opened = Opened(browser, result.folder / "report.html", ".leaflet-tile-loaded", color_scheme=scheme, **device)
    page = opened.page
    page.click("button[data-building]")
    page.wait_for_selector("#crop:visible")
    opened.assert_fits_and_is_accessible(device["viewport"]["width"])
    opened.close()


def test_map_panel_and_list_show_the_same_building(browser: Any, result: detect.Result) -> None:
    opened = Opened(browser, result.folder / "report.html", ".leaflet-tile-loaded", **DESKTOP)
    page = opened.page
    buildings = result.buildings.set_index("id")
    chosen = int(buildings.index[len(buildings) // 2])
    page.fill("#number", str(chosen))
    page.press("#number", "Enter")
    facts = page.inner_text("#facts")
    assert page.inner_text("#panel-title") == f"Building {chosen}"
    assert f"{buildings.length_m[chosen]:.1f} × {buildings.width_m[chosen]:.1f} m" in facts
    colours = (
        "(c => new Set(c.getContext('2d').getImageData(0, 0, c.width, c.height).data).size)(document.getElementById('crop'))"
    )
    _until(page, f"{colours} > 20")
    # The map has moved there: a click in its middle chooses the same building again.
    page.click("#next")
    assert page.inner_text("#panel-title") != f"Building {chosen}"
    page.click("#previous")
    page.locator("#map").scroll_into_view_if_needed()
    box = page.locator("#map").bounding_box()
    page.click("#next")
    page.evaluate(f"select({chosen}, true)")
    page.evaluate("document.getElementById('panel-title').textContent = ''")
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert page.inner_text("#panel-title") == f"Building {chosen}"
    opened.close()


def test_beds_follow_the_assumptions(browser: Any, result: detect.Result) -> None:
    opened = Opened(browser, result.folder / "report.html", ".leaflet-tile-loaded", **DESKTOP)
    page = opened.page
    beds = result.summary["total"]["beds"]["when_complete"]
    assert beds["estimate"] > 0
    shown = page.locator(".figures [data-beds]").nth(1)
    assert shown.inner_text().split() == [f"{beds['estimate']:,}", f"{beds['low']:,}–{beds['high']:,}"]
    page.fill("#storeys", "4")
    assert page.input_value("#rooms") == "128"
    assert shown.inner_text().split() == [f"{2 * beds['estimate']:,}", f"{2 * beds['low']:,}–{2 * beds['high']:,}"]
    page.fill("#beds", "2")
    assert shown.inner_text().split()[0] == f"{beds['estimate']:,}"
    page.fill("#rooms", "")  # no number: what was assumed holds
    assert page.inner_text("#per-building") == "128"
    assert page.is_visible("#edited")
    page.click("#reset")
    assert shown.inner_text().split()[0] == f"{beds['estimate']:,}" and page.is_hidden("#edited")
    opened.close()


def test_colours_and_layers_switch(browser: Any, result: detect.Result) -> None:
    opened = Opened(browser, result.folder / "report.html", ".leaflet-tile-loaded", **DESKTOP)
    page = opened.page
    stage = page.evaluate("polygons.map((p) => p.options.color)")
    page.check("input[value=likeness]")
    assert page.evaluate("polygons.map((p) => p.options.color)") != stage
    assert page.is_visible("[data-legend=likeness]") and page.is_hidden("[data-legend=stage]")
    assert page.inner_text(".leaflet-tooltip.site") == "<b onload=alert(1)>"
    page.uncheck("input[value=sites]")
    page.wait_for_selector(".leaflet-tooltip.site", state="detached")
    page.focus("#map")
    before = page.evaluate("JSON.stringify(map.getCenter())")
    page.keyboard.press("+")
    page.keyboard.press("ArrowRight")
    _until(page, f"JSON.stringify(map.getCenter()) != {json.dumps(before)}")
    opened.close()


def test_a_scene_without_buildings_opens(browser: Any, empty_scene: Path, tmp_path: Path) -> None:
    nothing = detect.predict(empty_scene, tmp_path / "out", threshold=0.99)
    assert len(nothing.buildings) == 0
    opened = Opened(browser, nothing.folder / "report.html", ".leaflet-tile-loaded", **PHONE)
    assert "No building was found." in opened.page.inner_text("main")
    opened.page.click("#next")
    opened.close()
