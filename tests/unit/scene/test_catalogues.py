"""Catalogues without a search of their own: what is read of them, what is found, and where a signature goes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import shapely

from detect.base.errors import DetectError, InputError
from detect.scene.catalogues import Wanted, is_catalogue, walk
from detect.scene.search import search
from tests.tile_server import serving

HERE = shapely.box(4.0, 51.0, 4.1, 51.1)
NEAR, FAR = [4.05, 51.05, 4.2, 51.2], [10.0, 51.0, 10.1, 51.1]


def branch(name: str, below: list[str], box: list[float] | None = None, time: list[str | None] | None = None) -> dict[str, Any]:
    """A catalogue, or a collection where it has an extent."""
    kind: dict[str, Any] = {"type": "Catalog" if box is None else "Collection", "id": name}
    links = [{"rel": "item" if "item" in href else "child", "href": href} for href in below]
    extent = {"spatial": {"bbox": [box]}, "temporal": {"interval": [time or [None, None]]}}
    return kind | {"links": [{"rel": "root", "href": "catalog.json"}, *links]} | ({} if box is None else {"extent": extent})


def item(name: str, box: list[float], day: str, **properties: Any) -> dict[str, Any]:
    return {
        "type": "Feature", "id": name, "bbox": box, "geometry": json.loads(shapely.to_geojson(shapely.box(*box))),
        "properties": {"datetime": f"{day}T10:00:00Z", **properties}, "links": [],
        "assets": {"visual": {"href": f"./{name}.tif", "type": "image/tiff; application=geotiff"}},
    }  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two events; the first has a picture here and one elsewhere, in a collection of a collection."""
    documents = {
        "catalog.json": branch("events", ["flood.json", "fire.json", "old.json"]),
        "flood.json": branch("flood", ["strip.json"], NEAR),
        "strip.json": branch("strip", ["item_here.json", "item_there.json"], NEAR),
        "item_here.json": item("here", NEAR, "2024-06-03", license="CC-BY-NC-4.0", providers=[{"name": "Eye"}]),
        "item_there.json": item("there", FAR, "2024-06-03"),
        "fire.json": branch("fire", ["item_fire.json"], FAR),
        "old.json": branch("old", ["item_old.json"], NEAR, ["2010-01-01T00:00:00Z", "2011-01-01T00:00:00Z"]),
        "item_old.json": item("old", NEAR, "2010-06-01"),
    }
    for name, content in documents.items():
        (tmp_path / name).write_text(json.dumps(content))
    return tmp_path


def test_of_a_tree_the_branches_that_lie_elsewhere_are_not_read(folder: Path) -> None:
    with serving(folder=folder) as server:
        (found,) = search(f"{server.url}/catalog.json", HERE, during="2024-06")
        asked = {path.strip("/") for path in server.paths}
    assert (found.name, found.date, found.attribution, found.terms) == ("here", "2024-06-03", "Eye", "CC-BY-NC-4.0")
    assert asked == {"catalog.json", "flood.json", "fire.json", "old.json", "strip.json", "item_here.json", "item_there.json"}
    assert all(agent.startswith("detect-buildings/") for agent in server.agents)


def test_a_file_a_collection_at_any_depth_and_a_time(folder: Path) -> None:
    place = str(folder / "catalog.json")
    names = lambda **more: [item["id"] for item, _ in walk(place, Wanted(HERE, **more))]  # noqa: E731
    assert sorted(names()) == ["here", "old"]
    assert names(collections=["flood"]) == names(collections=["strip"]) == ["here"]
    assert names(during="2010-05-01/2010-06") == ["old"]
    with pytest.raises(InputError, match="finds no scene there in 2023"):
        search(place, HERE, during="2023-01")


def test_an_item_to_which_two_branches_lead_is_found_once(folder: Path) -> None:
    (folder / "old.json").write_text(json.dumps(branch("old", ["item_here.json"])))
    (folder / "flood.json").write_text(json.dumps(branch("flood", ["item_here.json"], NEAR)))
    for collections in ((), ("flood",), ("old",)):
        ((found, _),) = walk(str(folder / "catalog.json"), Wanted(HERE, collections))
        assert found["id"] == "here"


def test_items_that_lack_what_stac_requires(folder: Path) -> None:
    bare = {key: value for key, value in item("here", NEAR, "2024-06-03").items() if key not in ("properties", "id")}
    (folder / "item_here.json").write_text(json.dumps(bare))
    assert [source.date for source in search(str(folder / "catalog.json"), HERE)] == ["2010-06-01", None]


def test_a_signature_goes_to_the_same_server_alone(folder: Path) -> None:
    elsewhere = item("here", NEAR, "2024-06-03")
    elsewhere["assets"]["data"] = {"href": "https://other.example/x.tif", "type": "image/tiff", "roles": ["thumbnail"]}
    (folder / "item_here.json").write_text(json.dumps(elsewhere))
    with serving(folder=folder) as server:
        ((found, _),) = walk(f"{server.url}/catalog.json?sig=SECRET", Wanted(HERE, during="2024"))
        assert all(path.endswith("?sig=SECRET") for path in server.paths)
        assert found["assets"]["visual"]["href"] == f"{server.url}/here.tif?sig=SECRET"
        assert found["assets"]["data"]["href"] == "https://other.example/x.tif"


def test_open_aerial_map(tmp_path: Path) -> None:
    results = [
        {"_id": "5f0000aa11bb22", "title": "Town, east", "uuid": "https://oam.example/a.tif", "bbox": NEAR, "provider": "Mappers",
         "acquisition_end": "2024-06-03T00:00:00.000Z", "properties": {"license": "CC-BY 4.0"}},
        {"_id": "5f0000aa11bb23", "title": "Far", "uuid": "https://oam.example/b.tif", "bbox": FAR,
         "acquisition_end": "2024-06-03T00:00:00Z"},
    ]  # fmt: skip
    (tmp_path / "meta").write_text(json.dumps({"meta": {"found": 2}, "results": results}))
    with serving(folder=tmp_path) as server:
        (found,) = search(f"{server.url}/meta", HERE)
        assert "bbox=4.000000%2C51.000000%2C4.100000%2C51.100000" in server.paths[0]
    assert found.path == "https://oam.example/a.tif" and found.name == "Town_east_11bb22" and found.date == "2024-06-03"
    assert (found.attribution, found.terms) == ("Mappers", "CC-BY 4.0")


def test_what_is_no_catalogue_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"type": "Catalog"}')
    with pytest.raises(InputError, match=r"a\.json: is not a STAC item, collection or catalogue"):
        walk(str(tmp_path / "a.json"), Wanted(HERE))
    with serving() as server, pytest.raises(DetectError, match="no such document"):
        walk(f"{server.url}/none.json?sig=SECRET", Wanted(HERE))
    assert is_catalogue("https://a.example/x/catalog.json?sig=1") and not is_catalogue("https://a.example/stac")


def test_a_box_across_180_degrees() -> None:
    wanted = Wanted(shapely.box(179.5, -17, 179.9, -16))
    assert wanted.is_there([179.0, -18, -179.0, -15]) and not wanted.is_there([-179.0, -18, 170.0, -15])
    assert wanted.is_there([179.0, -18, 0, 180.0, -15, 100]) and wanted.is_there("no box")
