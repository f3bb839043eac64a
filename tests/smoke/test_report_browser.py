"""report.html in a browser, with the network off: no request, no error, nothing that axe-core calls serious, and it does what it says.

Needs the ``browser`` extra and a Chromium, which is sought on the PATH and where Playwright puts its own. Without them these tests skip,
with ``CI=true`` too: a machine that builds and tests need not have a browser, and ``unit/test_report.py`` checks the page as a file.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import detect
from detect.runs.recount import recount
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


BLANK = """() => [...document.querySelectorAll('#map canvas.leaflet-tile, .check canvas')].filter((canvas) => {
const small = new OffscreenCanvas(8, 8).getContext('2d', { willReadFrequently: true });
small.drawImage(canvas, 0, 0, 8, 8);
return !small.getImageData(0, 0, 8, 8).data.some(Boolean); }).length"""
"""Canvases without any ink, among tiles of the map and crops of the list."""


def test_paper_shows_the_map_and_every_crop(browser: Any, result: detect.Result) -> None:
    opened = Opened(browser, result.folder / "report.html", ".leaflet-tile-loaded", **DESKTOP)
    page = opened.page
    assert page.locator(".check canvas").count() > 12
    page.uncheck("input[value=buildings]")  # their tiles may be empty
    _until(page, f"({BLANK})() === 0")  # nobody has scrolled to the list
    page.evaluate("document.body.style.width = '700px'")  # as wide as paper
    page.emulate_media(media="print")
    _until(page, "document.getElementById('map').style.zoom !== ''")
    map_px, frame_px = (page.locator(name).bounding_box()["width"] for name in ("#map", ".map-frame"))
    assert 0.9 * frame_px < map_px <= frame_px + 1 and page.evaluate(BLANK) == 0
    assert page.locator("#map .leaflet-tile-loaded").count() > 0
    page.emulate_media(media="screen")
    _until(page, "document.getElementById('map').style.zoom === ''")
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
    stage = page.evaluate("found.id.map((_, i) => look(i).colour)")
    page.check("input[value=likeness]")
    assert page.evaluate("found.id.map((_, i) => look(i).colour)") != stage
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


SHOWN = """() => Object.fromEntries([...document.querySelectorAll('[data-key]')].map(
(e) => [`${e.dataset.of}/${e.dataset.key}`, Number(e.querySelector('b').textContent.replaceAll(',', ''))]))"""
"""Counts on the page: site and key → estimate."""


def correct(page: Any, ids: list[int]) -> int:
    """Twenty corrections with mouse and keyboard; returns how many buildings they leave certain or delete."""
    for number, key in zip(ids[:12], "ficdxrfxdric", strict=True):  # by keyboard
        page.fill("#number", str(number))
        page.press("#number", "Enter")
        page.focus("#panel")
        page.keyboard.press(key)
    page.keyboard.press("c")
    for button in ("[data-stage=foundation]", "#like", "#right"):  # by mouse
        page.click("#next")
        page.click(button)
    page.click("#to-check")
    page.click("#gone")
    page.click("#gone")  # a building again
    page.fill("#number", str(ids[12]))
    page.press("#number", "Enter")
    page.focus("#panel")
    page.keyboard.press("s")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.click("#next")
    page.click("#split")
    page.click(".mode button:text-is('Cut')")
    for way in ("mouse", "keys"):
        page.click("#draw")
        box = page.locator("#map").bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        if way == "mouse":
            for dx, dy in ((-90, -60), (-30, -60), (-30, -20), (-90, -20)):
                page.mouse.click(x + dx, y + dy)
            page.click(".mode button:text-is('Finish')")
        else:
            for key in (" ", "ArrowRight", " ", "ArrowDown", " "):
                page.keyboard.press(key)
                page.wait_for_timeout(400)  # the map moves
            page.keyboard.press("Enter")
    page.click("[data-stage=incomplete]")
    page.click("#undo")
    return int(page.evaluate("corrections.touched().length"))


# Where the map has not come to rest, a building may be drawn on another one; page and census must agree all the same.
@pytest.mark.filterwarnings("ignore:.*lies on another one")
def test_twenty_corrections_count_as_the_page_shows_them(browser: Any, result: detect.Result, tmp_path: Path) -> None:
    folder = tmp_path / "scene"
    shutil.copytree(result.folder, folder)
    opened = Opened(browser, folder / "report.html", ".leaflet-tile-loaded", reduced_motion="reduce", **DESKTOP)
    page = opened.page
    doubtful = page.evaluate("[...document.querySelectorAll('button[data-building]')].map((b) => Number(b.dataset.building))")
    ids = [int(i) for i in result.buildings["id"] if i not in doubtful[:1]]
    touched = correct(page, ids)
    assert touched >= 15 and len(page.evaluate("corrections.steps")) >= 20 and page.is_visible("#corrected")
    with page.expect_download() as download:
        page.click("#download")
    file = tmp_path / download.value.suggested_filename
    download.value.save_as(file)
    opened.assert_fits_and_is_accessible(DESKTOP["viewport"]["width"])
    shown = page.evaluate(SHOWN)
    (again,) = recount(folder, review=file)
    parts = {"": again.summary["total"]} | {site["name"]: site for site in again.summary["sites"]}
    counted = {}
    for key in shown:
        name, _, path = key.rpartition("/")
        value: Any = parts[name]
        for step in path.split("."):
            value = value[step]
        if value is not None:
            counted[key] = value["found"]
    planned = {key for key in shown if key.endswith(("planned", "planned_buildings"))}
    assert {k: v for k, v in counted.items() if k not in planned} == {k: v for k, v in shown.items() if k not in planned}
    review = again.summary["review"]
    assert sum(len(review[kind]) for kind in ("changed", "added", "deleted", "confirmed")) == touched
    opened.close()


def test_corrections_survive_closing_the_page(browser: Any, result: detect.Result) -> None:
    opened = Opened(browser, result.folder / "report.html", ".leaflet-tile-loaded", **PHONE)
    page, number = opened.page, int(result.buildings["id"].iloc[3])
    page.evaluate(f"select({number}, true)")
    page.tap("#gone")
    assert "Closing the page loses corrections" in page.inner_text("#said")
    page.check("#keep")
    page.reload()
    page.wait_for_selector(".leaflet-tile-loaded")
    assert page.evaluate("corrections.summary().deleted") == 1 and page.is_checked("#keep")
    opened.assert_fits_and_is_accessible(PHONE["viewport"]["width"])
    page.tap("#undo")
    page.uncheck("#keep")
    page.reload()
    page.wait_for_selector(".leaflet-tile-loaded")
    assert page.evaluate("corrections.touched()") == []
    opened.requests[:] = opened.requests[:1]  # reloading asks for the page itself
    opened.close()


def test_a_scene_without_buildings_opens(browser: Any, empty_scene: Path, tmp_path: Path) -> None:
    nothing = detect.predict(empty_scene, tmp_path / "out", threshold=0.99)
    assert len(nothing.buildings) == 0
    opened = Opened(browser, nothing.folder / "report.html", ".leaflet-tile-loaded", **PHONE)
    assert "No building was found." in opened.page.inner_text("main")
    opened.page.click("#next")
    opened.close()
