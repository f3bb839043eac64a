"""A page in a browser with the network off: what it asked and complained about, and what every page of ours has to hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


class Opened:
    """A page, and what it asked and complained about."""

    def __init__(self, browser: Any, path: Path, ready: str, **context: Any) -> None:
        """Open a file; ``ready`` selects what stands on the page once it is drawn."""
        self.context = browser.new_context(offline=True, **context)
        self.page = self.context.new_page()
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda r: self.requests.append(r.url))
        self.page.on("console", lambda m: self.complaints.append(m.text) if m.type in ("error", "warning") else None)
        self.page.on("pageerror", lambda e: self.complaints.append(str(e)))
        self.page.goto(path.as_uri())
        self.page.wait_for_selector(ready)

    def assert_fits_and_is_accessible(self, width_px: int) -> None:
        """Nothing sticks out of the window, and axe-core finds nothing that it calls serious."""
        axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="the extra 'browser' is not installed")
        assert self.page.evaluate("document.documentElement.scrollWidth") <= width_px, "nothing sticks out"
        found = axe.Axe().run(self.page).response["violations"]
        assert [f"{v['id']}: {v['nodes'][0]['html']}" for v in found if v["impact"] in ("serious", "critical")] == []

    def close(self) -> None:
        """Close it; it must have asked for nothing and complained about nothing."""
        asked = [url for url in self.requests[1:] if not url.startswith("data:")]
        self.context.close()
        assert asked == []
        assert self.complaints == []
