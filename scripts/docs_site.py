"""MkDocs hook: adds pages from outside docs/, rewrites links so that they work in the site too, and forbids requests to other servers."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
PAGES = {"weights/README.md": "weights.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
"""Path in the repository → path in the site."""
POLICY = "default-src 'self' file: data: 'unsafe-inline'"
"""What a page may load: nothing from other servers, whatever the theme's scripts would like (Mermaid, polyfills)."""
_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\((?!https?:|mailto:|#)([^)#\s]+)(#[^)\s]*)?\)")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages of ``PAGES``."""
    for source, page in PAGES.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Point links at pages of the site; a file of the repository that is not a page is named without a link.

    Raises:
        PluginError: a link leads to a file that does not exist.
    """
    here = next((source for source, name in PAGES.items() if name == page.file.src_uri), f"docs/{page.file.src_uri}")

    def rewritten(link: re.Match[str]) -> str:
        text, target, anchor = link[1], posixpath.normpath(posixpath.join(posixpath.dirname(here), link[2])), link[3] or ""
        if target in PAGES:
            return f"[{text}]({PAGES[target]}{anchor})"
        if target.startswith("docs/"):  # MkDocs checks it
            return f"[{text}]({target.removeprefix('docs/')}{anchor})"
        if not (ROOT / target).exists():
            raise PluginError(f"{here}: the link to {link[2]} leads nowhere")
        return text

    return _LINK.sub(rewritten, markdown)


def on_post_page(output: str, **_: Any) -> str:
    """Put ``POLICY`` into the head of a page."""
    return output.replace("<head>", f'<head><meta http-equiv="Content-Security-Policy" content="{POLICY}">', 1)
