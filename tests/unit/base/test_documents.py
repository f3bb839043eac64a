"""Documents of outlines that GDAL would read wrongly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from detect.base.errors import InputError
from detect.base.vectors import polygon_layers, read_vector


def document(path: Path, encoding: str = "utf-8", **members: Any) -> Path:
    """A GeoJSON file with one square."""
    ring = [[4.0, 51.0], [4.1, 51.0], [4.1, 51.1], [4.0, 51.0]]
    feature = {
        "type": "Feature",
        "properties": {"crs": {"type": "name"}},
        "geometry": {"type": "Polygon", "coordinates": [ring]},
    }
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature], **members}), encoding=encoding)
    return path


def named(name: str) -> dict[str, Any]:
    return {"type": "name", "properties": {"name": name}}


@pytest.mark.parametrize(
    "crs",
    [
        named("urn:ogc:def:crs:EPSG::999999"),
        named("EPSG:999999"),
        named("Krassowsky"),
        {"type": "EPSG", "properties": {"code": 999999}},
        {"type": "name"},
        {},
    ],
)
def test_an_unknown_coordinate_system_is_not_taken_for_degrees(tmp_path: Path, crs: dict[str, Any]) -> None:
    for read in (read_vector, polygon_layers):
        with pytest.raises(InputError, match=r"p.json: its key 'crs' names .*, a coordinate system that PROJ does not know"):
            read(document(tmp_path / "p.json", crs=crs))


@pytest.mark.parametrize(
    ("crs", "code"),
    [
        (named("urn:ogc:def:crs:OGC:1.3:CRS84"), None),
        (named("CRS84"), None),
        (named("urn:ogc:def:crs:EPSG::3857"), 3857),
        ({"type": "EPSG", "properties": {"code": 4326}}, 4326),
        (None, 4326),
    ],
)
def test_known_ones_are_read(tmp_path: Path, crs: Any, code: int | None) -> None:
    table = read_vector(document(tmp_path / "p.json", crs=crs))
    assert len(table) == 1 and (table.crs.to_epsg() == code or code is None)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_text_in_utf_16_is_named(tmp_path: Path, encoding: str) -> None:
    with pytest.raises(InputError, match=r"p.json: is text in UTF-16, which GDAL does not read; save it anew as UTF-8"):
        read_vector(document(tmp_path / "p.json", encoding))
