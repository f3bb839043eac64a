"""Catalogues without a search of their own: what is read of them, what is found, and where a signature goes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import shapely

from detect.base.errors import DetectError, InputError
from detect.scene import catalogues
from detect.scene.catalogues import Wanted, is_catalogue, walk, within_180
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


def test_open_aerial_map_is_read_to_its_last_page(monkeypatch: pytest.MonkeyPatch) -> None:
    def image(number: int) -> dict[str, Any]:
        day = f"20{10 + number // 30:02d}-01-02T00:00:00Z"
        return {"_id": f"{number:06d}", "uuid": f"https://oam.example/{number}.tif", "bbox": NEAR, "acquisition_end": day}

    asked = []

    def listing(path: str, found: int = 450) -> tuple[str, bytes]:
        query = parse_qs(urlsplit(path).query)
        asked.append(query)
        first = (int(query["page"][0]) - 1) * int(query["limit"][0])
        results = [image(number) for number in range(found)][first : first + int(query["limit"][0])]
        return "application/json", json.dumps({"meta": {"found": found}, "results": results}).encode()

    with serving() as server:
        server.answer = listing  # type: ignore[method-assign]
        assert len(walk(f"{server.url}/meta", Wanted(HERE, during="2024-01"))) == 30
        assert [query["page"] for query in asked] == [["1"], ["2"], ["3"]]
        monkeypatch.setattr(catalogues, "MOST_IMAGES", 400)
        with pytest.raises(InputError, match=r"lists 450 images there, and at most 400 are looked at; give a smaller area$"):
            walk(f"{server.url}/meta", Wanted(HERE))


def test_open_aerial_map_is_asked_on_both_sides_of_180_degrees() -> None:
    sides = {"179.500000,-18.000000,180.000000,-17.000000": "west", "-180.000000,-18.000000,-179.500000,-17.000000": "east"}

    def listing(path: str) -> tuple[str, bytes]:
        name = sides[parse_qs(urlsplit(path).query)["bbox"][0]]
        images = [{"uuid": f"https://oam.example/{one}.tif", "acquisition_end": "2024-06-03"} for one in (name, "both")]
        return "application/json", json.dumps({"meta": {"found": 2}, "results": images}).encode()

    with serving() as server:
        server.answer = listing  # type: ignore[method-assign]
        found = walk(f"{server.url}/meta", Wanted(shapely.box(179.5, -18, 180.5, -17)))
    assert sorted(item["assets"]["visual"]["href"][20:] for item, _ in found) == ["both.tif", "east.tif", "west.tif"]


def test_pages_of_items_are_items(folder: Path) -> None:
    pages: dict[str, list[dict[str, Any]]] = {
        "item_page.json": [item("one", NEAR, "2024-06-04"), item("far", FAR, "2024-06-04")],
        "item_next.json": [item("two", NEAR, "2024-06-05") | {"collection": "other"}],
    }
    for name, features in pages.items():
        (folder / name).write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    links = [{"rel": "next", "href": "item_next.json"}, {"rel": "item", "href": "item_old.json"}]
    first = json.loads((folder / "item_page.json").read_text()) | {"links": links}
    (folder / "item_page.json").write_text(json.dumps(first))
    strip = branch("strip", ["item_page.json"], NEAR)
    strip["links"][-1]["rel"] = "items"
    (folder / "strip.json").write_text(json.dumps(strip))
    place = str(folder / "catalog.json")
    names = lambda **more: sorted(item["id"] for item, _ in walk(place, Wanted(HERE, **more)))  # noqa: E731
    assert names(during="2024") == names(during="2024", collections=["strip"]) == ["one", "two"]
    assert [source.name for source in search(place, HERE, during="2024-06-05")] == ["two"]
    assert [found["id"] for found, _ in walk(str(folder / "item_next.json"), Wanted(HERE, ["other"]))] == ["two"]
    (folder / "item_next.json").write_text('{"type": "FeatureCollection", "features": [{"geometry": null}]}')
    with pytest.raises(InputError, match=r"item_next\.json: holds features that are no STAC items"):
        walk(place, Wanted(HERE))


def test_what_is_no_catalogue_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"type": "Catalog"}')
    with pytest.raises(InputError, match=r"a\.json: is not a STAC item, collection or catalogue"):
        walk(str(tmp_path / "a.json"), Wanted(HERE))
    (tmp_path / "b.json").write_text('{"type": "Feature", "id": "b", "properties": "none", "assets": {}}')
    with pytest.raises(InputError, match=r"b\.json: item b: properties is no object"):
        walk(str(tmp_path / "b.json"), Wanted(HERE))
    with serving() as server, pytest.raises(DetectError, match="no such document"):
        walk(f"{server.url}/none.json?sig=SECRET", Wanted(HERE))
    assert is_catalogue("https://a.example/x/catalog.json?sig=1") and not is_catalogue("https://a.example/stac")


def test_a_box_across_180_degrees() -> None:
    wanted = Wanted(shapely.box(179.5, -17, 179.9, -16))
    assert wanted.is_there([179.0, -18, -179.0, -15]) and not wanted.is_there([-179.0, -18, 170.0, -15])
    assert wanted.is_there([179.0, -18, 0, 180.0, -15, 100]) and wanted.is_there("no box")


def test_an_area_across_180_degrees_has_two_sides(tmp_path: Path) -> None:
    wanted = Wanted(shapely.box(179.5, -18, 180.5, -17))
    west, east, far = [179.6, -17.8, 179.9, -17.2], [-179.9, -17.8, -179.6, -17.2], [-179.4, -17.8, -179.0, -17.2]
    assert wanted.is_there(west) and wanted.is_there(east) and not wanted.is_there(far)
    assert wanted.is_there([179.9, -18, -179.9, -17]) and wanted.is_there([-180, -90, 180, 90])
    assert wanted.is_there([-170.0, -90, 179.6, 90]) and not wanted.is_there([-170.0, -90, 170.0, 90])
    across = item("across", [179.9, -17.8, -179.9, -17.2], "2024-06-03")
    across["geometry"] = json.loads(shapely.to_geojson(shapely.box(-179.9, -17.8, 179.9, -17.2)))  # a jump at 180°
    items = [item("west", west, "2024-06-03"), item("east", east, "2024-06-03"), item("far", far, "2024-06-03"), across]
    (tmp_path / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    assert [one["id"] for one, _ in walk(str(tmp_path / "items.json"), wanted)] == ["west", "east", "across"]
    here = Wanted(shapely.box(4, -18, 5, -17))
    assert not walk(str(tmp_path / "items.json"), here)
    sides = shapely.union_all(within_180(wanted.area))
    assert sides.bounds == (-180, -18, 180, -17) and sides.area == pytest.approx(1) and sides.geom_type == "MultiPolygon"
    assert within_180(here.area) == [here.area]
