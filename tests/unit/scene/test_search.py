from __future__ import annotations

import sys
from urllib.parse import unquote

import pytest
import shapely

from detect.base.errors import DetectError, InputError
from detect.scene.search import search
from tests.tile_server import corners_degrees, serving

HERE = shapely.box(*corners_degrees())


def test_what_is_asked_and_found() -> None:
    with serving(items={"july": "2024-07-01", "june": "2024-06-03"}) as server:
        found = search(server.url, HERE, collections=["drawn"], during="2024-06")
        asked = unquote(server.paths[-1])
    assert [(one.name, one.date, one.path.rpartition("/")[2]) for one in found] == [
        ("june", "2024-06-03", "june.tif"), ("july", "2024-07-01", "july.tif"),
    ]  # fmt: skip
    assert (
        "collections=drawn" in asked and "datetime=2024-06-01T00:00:00Z/2024-06-30T23:59:59Z" in asked and "intersects=" in asked
    )
    assert all(agent.startswith("detect-buildings/") for agent in server.agents)


def test_an_area_across_180_degrees_is_asked_as_two_sides() -> None:
    with serving(items={"june": "2024-06-03"}) as server:
        search(server.url, shapely.box(179.5, -18, 180.5, -17))
        asked = unquote(server.paths[-1]).replace(" ", "").replace("+", "")
    assert '"type":"MultiPolygon"' in asked and "180.5" not in asked and "-179.5" in asked


def test_nothing_and_too_much() -> None:
    with serving() as server, pytest.raises(InputError, match="finds no scene there in 2024-06"):
        search(server.url, HERE, during="2024-06")
    items = {f"s{i}": "2024-06-03" for i in range(4)}
    with serving(items=items) as server, pytest.raises(InputError, match=r"more than 3 scenes, such as s0 \(2024-06-03\), s1"):
        search(server.url, HERE, most=3)


def test_no_api() -> None:
    with serving(status=500) as server, pytest.raises(DetectError, match="the search failed"):
        search(f"{server.url}?token=SECRET", HERE)


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pystac_client", None)
    with pytest.raises(InputError, match=r"pip install 'detect-buildings\[stac\]'"):
        search("https://example.org", HERE)
