"""Self-contained HTML pages with one layout, styles, and a map with zoom and pan; they need no internet connection and no other file.

A page is a Jinja2 template in ``pages`` that extends ``base.html``. Text is escaped, in HTML and in the data that scripts read; the page's
own content security policy forbids every request, and every script and style but those of the page. The map is Leaflet 1.9
(BSD 2-Clause, 150 kB, vendored with its licence): pan, zoom, touch, keyboard and thousands of polygons on one canvas, of the size of a
photograph, where Bokeh's inline mode takes 1.2 MB and has no keyboard operation.
"""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from detect.base.resources import package_version
from detect.base.texts import in_km2, number_of
from detect.results.styles import STAGE_COLOURS_RGB
from detect.results.summary import left_outside

_STYLES, _SCRIPTS = "detect-style-hashes", "detect-script-hashes"
"""Stand for the hashes until the page is whole."""
_FOLDER = Path(__file__).with_name("pages")


def write_page(path: Path, template: str, **context: Any) -> None:
    """Fill a template of ``pages`` and write it; the same context gives the same bytes.

    Args:
        path: HTML file to write.
        template: its name, such as ``report.html``.
        context: the variables of the template.
    """
    text = _environment().get_template(template).render(**context, style_hashes=_STYLES, script_hashes=_SCRIPTS)
    text = text.replace(_STYLES, _hashes(text, "style"), 1).replace(_SCRIPTS, _hashes(text, "script"), 1)
    path.write_text(text, encoding="utf-8", newline="\n")


def _hashes(page: str, element: str) -> str:
    """What the content security policy allows: the styles or scripts of the page itself, by their hashes (CSP 3, section 2.3.1)."""
    contents = re.findall(rf"<{element}>(.*?)</{element}>", page, flags=re.DOTALL)
    return " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(c.encode()).digest()).decode()}'" for c in dict.fromkeys(contents))


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_FOLDER), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    # NaN is not valid JSON.
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "ensure_ascii": False, "allow_nan": False}
    environment.filters |= {"number": _number, "joined": _joined, "number_of": number_of, "km2": in_km2}
    environment.globals |= {
        "source": _source,
        "stage_colours": _stage_colours(),
        "detect_version": package_version(),
        "left_outside": left_outside,
    }
    return environment


@cache
def _source(name: str) -> Markup:
    """A file of ``pages`` to insert into a page, without references to other files."""
    text = (_FOLDER / name).read_text(encoding="utf-8")
    text = re.sub(r"//# sourceMappingURL=\S+", "", text)
    text = re.sub(r"url\(images/[^)]*\)", "none", text)  # icons of Leaflet controls that no page has
    return Markup(text.replace('href="https://leafletjs.com"', 'href="#"'))


def _number(value: float | None) -> str:
    """A number with separators of thousands; an en dash if it is not known."""
    return "–" if value is None else f"{value:,.0f}"


def _joined(value: Any) -> str:
    """Two numbers as low–high, other lists with commas, numbers without a trailing .0, other values unchanged."""
    if isinstance(value, list | tuple):
        a_range = len(value) == 2 and all(isinstance(v, int | float) for v in value)
        return ("–" if a_range else ", ").join(_joined(v) for v in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _stage_colours() -> dict[str, str]:
    return {stage: "#{:02x}{:02x}{:02x}".format(*rgb) for stage, rgb in STAGE_COLOURS_RGB.items()}
