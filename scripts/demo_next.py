"""After ``make demo``: say what to do next, and open the page where a browser is there.

Never on continuous integration, and never where nobody looks: only a terminal with a display gets a window.
"""

from __future__ import annotations

import os
import sys
import webbrowser
from collections.abc import Mapping
from pathlib import Path

NEXT = (
    ("correct it in the page, download the corrections, and count again", "detect census {result} --review corrections.geojson"),
    ("count in your own image", "detect predict scene.tif --sites plots.kml --out out"),
    ("read map tiles where your plots are", "detect predict 'https://…/{{z}}/{{x}}/{{y}}.jpg' --sites plots.kml --out web"),
)


def may_open(environment: Mapping[str, str], platform: str, *, terminal: bool) -> bool:
    """Whether someone is there to see a window."""
    display = platform in ("darwin", "win32") or environment.get("DISPLAY") or environment.get("WAYLAND_DISPLAY")
    return (
        bool(terminal and display)
        and environment.get("CI", "").lower() not in ("1", "true")
        and "SSH_CONNECTION" not in environment
    )


def main(result: Path) -> int:
    """Print the next commands and open ``report.html`` of a result."""
    page = result / "report.html"
    opened = may_open(os.environ, sys.platform, terminal=sys.stdout.isatty()) and webbrowser.open(page.resolve().as_uri())
    print(f"\n{'Opened' if opened else 'Open'} {page} in a browser. What you can do next:\n")
    for what, command in NEXT:
        print(f"  # {what}\n  .venv/bin/{command.format(result=result)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
