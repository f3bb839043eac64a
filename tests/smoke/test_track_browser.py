"""The page of ``detect track`` in a browser, with the network off; skips as ``test_report_browser`` does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import detect
from tests.smoke.conftest import DESKTOP, PHONE
from tests.smoke.opened import Opened
from tests.unit.tracks.drawn_series import draw_series, write_result

pytest.importorskip("playwright.sync_api", reason="the extra 'browser' is not installed")
pytest.importorskip("axe_playwright_python.sync_playwright", reason="the extra 'browser' is not installed")


@pytest.fixture(scope="module")
def page_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tracked")
    drawn = draw_series(9, dates=5, buildings=30, clouded=2, demolished=1)
    results = [write_result(folder / str(t), s) for t, s in enumerate(drawn.snapshots)]
    detect.track(results, folder / "out")
    return folder / "out" / "report.html"


@pytest.mark.parametrize(("device", "scheme"), [(DESKTOP, "light"), (PHONE, "dark")], ids=["desktop", "phone"])
def test_anyone_can_use_it_offline(browser: Any, page_path: Path, device: dict[str, Any], scheme: str) -> None:
    opened = Opened(browser, page_path, "#date-text", color_scheme=scheme, **device)
    page = opened.page
    assert page.text_content("#date-text") == "2025-05-05"
    page.focus("#date")
    page.keyboard.press("ArrowLeft")
    assert page.text_content("#date-text") == "2025-04-05"
    page.keyboard.press("ArrowLeft")
    assert "100 % of the ground was not seen" in page.text_content("#at-date")
    page.fill("#number", "1")
    page.press("#number", "Enter")
    assert page.text_content("#panel-title") == "Building no. 1"
    assert page.locator("#strip li").count() == 5
    for details in page.locator("details").all():
        details.evaluate("d => { d.open = true }")
    opened.assert_fits_and_is_accessible(device["viewport"]["width"])
    opened.close()
