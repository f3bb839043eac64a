"""The documentation as a website: it builds, a broken link fails, and its pages load nothing from elsewhere."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PARTS = (
    "docs", "scripts", "weights/README.md", "mkdocs.yml", "CONTRIBUTING.md", "CHANGELOG.md", "README.md", "LICENSE", "tests", "configs",
    "detect/results/fonts/LICENSE_DEJAVU",
)  # fmt: skip
LOADED = re.compile(
    r"""
    <(?:script|img|iframe|source)\b [^>]* \bsrc=["']?(?:https?:)?//
    | <link\b (?=[^>]*\brel=["']?(?:stylesheet|preload|preconnect|icon)) [^>]* \bhref=["']?(?:https?:)?//
    | @import\s+["']?https?://
    | url\(["']?https?://
    """,
    re.VERBOSE,
)
"""What a browser would fetch from another server without a click."""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What the site is built from, to be changed at will."""
    pytest.importorskip("mkdocs", reason="the extra 'docs' is not installed")
    for part in PARTS:
        source, target = ROOT / part, tmp_path / part
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    return tmp_path


def build(checkout: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    command = [sys.executable, "-m", "mkdocs", "build"]
    return subprocess.run(command, cwd=checkout, capture_output=True, text=True, timeout=120, env=environment)


def test_it_builds_and_loads_nothing_from_elsewhere(checkout: Path) -> None:
    done = build(checkout)
    assert done.returncode == 0, done.stderr
    pages = list((checkout / "build" / "docs").rglob("*.html"))
    assert {"index.html", "reference.html", "weights.html", "contributing.html"} <= {page.name for page in pages}
    assert [
        page.name for page in pages if page.name != "404.html" and "Content-Security-Policy" not in page.read_text("utf-8")
    ] == []
    loading = [*pages, *(checkout / "build" / "docs").rglob("*.css")]
    assert [path.name for path in loading if LOADED.search(path.read_text(encoding="utf-8"))] == []


@pytest.mark.parametrize(
    "text",
    [
        '<script src="https://unpkg.com/x"></script>',
        "<link rel=stylesheet href=//fonts.googleapis.com/css>",
        "a { background: url(https://example.org/a.png) }",
    ],
)
def test_what_is_loaded_from_elsewhere_is_noticed(text: str) -> None:
    assert LOADED.search(text)
    assert not LOADED.search('<a href="https://example.org">x</a><link rel="next" href="https://x.org"><img src="images/a.jpg">')


@pytest.mark.parametrize(
    ("page", "link"),
    [
        pytest.param("docs/howto.md", "[gone](gone.md)", id="page"),
        pytest.param("docs/howto.md", "[gone](census.md#gone)", id="heading"),
        pytest.param("CONTRIBUTING.md", "[gone](detect/gone.py)", id="file"),
    ],
)
def test_a_broken_link_fails(checkout: Path, page: str, link: str) -> None:
    path = checkout / page
    path.write_text(f"{path.read_text(encoding='utf-8')}\n{link}\n", encoding="utf-8")
    done = build(checkout)
    assert done.returncode != 0
    assert "gone" in done.stderr
