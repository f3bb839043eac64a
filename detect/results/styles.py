"""Store styles for QGIS in a GeoPackage, in its table ``layer_styles``, where QGIS looks for the default one."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import quoteattr

Rgb = tuple[int, int, int]
STAGE_COLOURS_RGB: dict[str, Rgb] = {"foundation": (230, 159, 0), "incomplete": (240, 228, 66), "complete": (86, 180, 233)}
"""Colours that colour-blind readers can distinguish too (Okabe & Ito 2008)."""


@dataclass(frozen=True)
class Rule:
    """The style of the polygons that match a filter."""

    label: str
    where: str
    """QGIS expression; empty for all."""
    rgb: Rgb
    fill: int = 0
    """Opacity of the filling, 0–255."""
    width_mm: float = 0.26
    dashed: bool = False


BUILDINGS = [
    Rule(f"{stage}{text}", f'"stage"=\'{stage}\' AND "dormitory_like"={like}', rgb, fill=140, width_mm=width)
    for stage, rgb in STAGE_COLOURS_RGB.items()
    for like, text, width in ((1, ", dormitory-like", 0.7), (0, "", 0.26))
]
ROWS = [Rule("row", "", (90, 90, 90), dashed=True)]
SITES = [Rule("site", "", (20, 20, 20), width_mm=0.6, dashed=True)]
GROUND = [
    Rule("cleared ground", "\"kind\"='cleared'", (200, 162, 107), fill=90, width_mm=0.1),
    Rule("pad", "\"kind\"='pad'", (120, 80, 30), fill=40),
]
CHANGES = [
    Rule("new", "\"change\"='new'", (213, 94, 0), fill=140, width_mm=0.5),
    Rule("advanced", "\"change\"='advanced'", (240, 228, 66), fill=140),
    Rule("unchanged", "\"change\"='unchanged'", (86, 180, 233), fill=90),
    Rule("gone", "\"change\"='gone'", (120, 120, 120), fill=40, dashed=True),
]


def store_styles(path: Path, styles: Mapping[str, Sequence[Rule]]) -> None:
    """Add a default style for each layer to a GeoPackage that nobody reads yet, whose geometries are in ``geom``."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA synchronous = OFF")  # as in write_layer
        connection.execute(_TABLE)
        connection.executemany(
            "INSERT INTO layer_styles (f_table_catalog, f_table_schema, f_table_name, f_geometry_column, styleName, styleQML, "
            f"useAsDefault, description, owner, update_time) VALUES ('', '', ?, 'geom', ?, ?, 1, '', '', '{_DRAWN}')",
            [(layer, layer, _qml(rules)) for layer, rules in styles.items()],
        )
        connection.execute(
            "INSERT INTO gpkg_contents (table_name, data_type, identifier) VALUES ('layer_styles', 'attributes', 'layer_styles')"
        )


_DRAWN = "2026-01-01T00:00:00.000Z"
"""Time of the styles: of the styles themselves, not of the file, so that equal results have equal contents."""
_TABLE = """CREATE TABLE layer_styles (id INTEGER PRIMARY KEY AUTOINCREMENT, f_table_catalog TEXT(256), f_table_schema TEXT(256),
f_table_name TEXT(256), f_geometry_column TEXT(256), styleName TEXT(30), styleQML TEXT, styleSLD TEXT, useAsDefault BOOLEAN,
description TEXT, owner TEXT(30), ui TEXT(30), update_time DATETIME DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')))"""


def _qml(rules: Sequence[Rule]) -> str:
    rows = "".join(
        f'<rule key="r{i}" symbol="{i}" label={quoteattr(rule.label)}'
        + (f" filter={quoteattr(rule.where, {chr(34): '&quot;'})}" if rule.where else "")
        + "/>"
        for i, rule in enumerate(rules)
    )
    return (
        '<!DOCTYPE qgis PUBLIC "http://mrcc.com/qgis.dtd" "SYSTEM"><qgis version="3.28" styleCategories="Symbology">'
        f'<renderer-v2 type="RuleRenderer"><rules key="root">{rows}</rules>'
        f"<symbols>{''.join(_symbol(i, rule) for i, rule in enumerate(rules))}</symbols></renderer-v2></qgis>"
    )


def _symbol(number: int, rule: Rule) -> str:
    colour = ",".join(map(str, rule.rgb))
    options = {
        "color": f"{colour},{rule.fill}",
        "style": "solid" if rule.fill else "no",
        "outline_color": f"{colour},255",
        "outline_width": str(rule.width_mm),
        "outline_style": "dash" if rule.dashed else "solid",
    }
    rows = "".join(f'<Option type="QString" name="{name}" value="{value}"/>' for name, value in options.items())
    return f'<symbol type="fill" name="{number}" alpha="0.75"><layer class="SimpleFill"><Option type="Map">{rows}</Option></layer></symbol>'
