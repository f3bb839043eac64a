"""Which scenes a name stands for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from detect.base.errors import InputError
from detect.scene.sources import Source, distinct, sources

PICTURE = {"href": "./pictures/a.tif", "type": "image/tiff; application=geotiff; profile=cloud-optimized", "roles": ["data"]}


def item(name: str = "s1", **assets: Any) -> dict[str, Any]:
    return {"type": "Feature", "id": name, "properties": {"datetime": "2024-06-01T10:00:00Z"}, "assets": assets}


def write(path: Path, content: Any) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return str(path)


def test_names_of_rasters_stay_as_they_are() -> None:
    given = ["a.tif", "https://example.org/b.tif?key=1", "/vsicurl/x.tif", Path("c.vrt")]
    assert sources(given) == [Source(str(name)) for name in given]


def test_a_pattern_and_a_list_stand_for_their_files_in_order(tmp_path: Path) -> None:
    for name in ("b.tif", "a.tif", "c.png"):
        (tmp_path / name).touch()
    (tmp_path / "list.txt").write_text("# two\nc.png\n\na.tif\n")
    assert [s.path for s in sources([str(tmp_path / "*.tif")])] == [str(tmp_path / "a.tif"), str(tmp_path / "b.tif")]
    assert [s.path for s in sources([str(tmp_path / "list.txt")])] == [str(tmp_path / "c.png"), str(tmp_path / "a.tif")]
    with pytest.raises(InputError, match="no file fits"):
        sources([str(tmp_path / "*.jp2")])


def test_what_fits_a_pattern_is_taken_as_if_it_had_been_named(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write(tmp_path / f"{name}.json", item(name, image={"href": f"{name}.tif"}))
    (tmp_path / "list.txt").write_text("c.png\n*.json")
    (tmp_path / "d.mbtiles").touch()
    assert [(s.name, s.path) for s in sources([tmp_path / "*.json"])] == [(n, str(tmp_path / f"{n}.tif")) for n in ("a", "b")]
    assert [s.name for s in sources([tmp_path / "l*.txt"])] == [None, "a", "b"]
    assert sources([tmp_path / "*.mbtiles"]) == [Source(str(tmp_path / "d.mbtiles"), "d")]
    (tmp_path / "self.txt").write_text("s*.txt")
    with pytest.raises(InputError, match="a list must not name itself"):
        sources([tmp_path / "s*.txt"])
    with pytest.raises(InputError, match=r"\*\.geojson: no file fits this pattern"):
        sources([tmp_path / "*.geojson"])
    with pytest.raises(InputError, match=r"\*\.pmtiles: no file fits this pattern"):
        sources([tmp_path / "*.pmtiles"])


def test_an_item_is_one_scene_with_its_name_and_date(tmp_path: Path) -> None:
    path = write(
        tmp_path / "item.json",
        item("north/1", image=PICTURE, thumb={"href": "t.png", "type": "image/png", "roles": ["thumbnail"]}),
    )
    assert sources([path]) == [Source(str(tmp_path / "pictures/a.tif"), "north_1", "2024-06-01")]


@pytest.mark.parametrize(
    ("assets", "asset", "chosen"),
    [
        ({"visual": {"href": "v.tif"}, "B04": PICTURE, "B03": PICTURE}, None, "v.tif"),
        ({"x": {"href": "v.tif", "roles": ["visual"]}, "data": PICTURE}, None, "v.tif"),
        ({"pan": {"href": "p.tif"}, "ms": PICTURE}, "pan", "p.tif"),
        (
            {
                "pan": {"href": "https://example.org/p.tif", "roles": ["data"]},
                "m": {"href": "m.json", "type": "application/json"},
            },
            None,
            None,
        ),
    ],
)
def test_the_visual_asset_is_taken_or_the_one_that_is_named(
    tmp_path: Path, assets: dict[str, Any], asset: str | None, chosen: str | None
) -> None:
    [found] = sources([write(tmp_path / "item.json", item(**assets))], asset, allow_remote=True)
    assert found.path == (str(tmp_path / chosen) if chosen else "https://example.org/p.tif")


def test_assets_that_could_all_be_meant_and_missing_ones_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "item.json", item(B04=PICTURE, B03=PICTURE))
    with pytest.raises(InputError, match="--asset, of: B04, B03"):
        sources([path])
    with pytest.raises(InputError, match="no asset 'visual'"):
        sources([path], "visual")


def test_collections_are_followed_to_their_items(tmp_path: Path) -> None:
    write(tmp_path / "one" / "one.json", item("one", image=PICTURE))
    links = [{"rel": "item", "href": "./one/one.json"}, {"rel": "root", "href": "collection.json"}]
    path = write(tmp_path / "collection.json", {"type": "Collection", "links": links})
    assert [(s.name, s.path) for s in sources([path])] == [("one", str(tmp_path / "one/pictures/a.tif"))]
    both = write(tmp_path / "items.json", {"type": "FeatureCollection", "features": [item("a", i=PICTURE), item("b", i=PICTURE)]})
    assert [s.name for s in sources([both])] == ["a", "b"]


@pytest.mark.parametrize("content", ["{", "[]", '{"type": "FeatureCollection", "features": [{"geometry": null}]}', "{}"])
def test_other_documents_are_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "x.geojson").write_text(content)
    with pytest.raises(InputError, match=r"x\.geojson"):
        sources([tmp_path / "x.geojson"])


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["a/x.tif", "a/y.tif"], [None, None]),
        (["june/s.tif", "july/s.tif", "july/t.tif"], ["june-s", "july-s", None]),
        (["2023/june/s.tif", "2024/june/s.tif"], ["2023-june-s", "2024-june-s"]),
        (["a/s.tif", "b/s.tif", "b/a-s.tif"], None),
        (["a/s.tif", "a/s.jp2"], ["s-1", "s-2"]),
        (["https://one.example/my place/s.tif?key=1", "https://two.example/b/s.tif"], ["my_place-s", "b-s"]),
        (["a/s.tif", "a/s.tif"], [None, None]),
    ],
)
def test_scenes_of_one_name_get_names_that_differ(paths: list[str], names: list[str | None] | None) -> None:
    found = distinct([Source(path) for path in paths])
    assert [source.path for source in found] == paths
    if names is None:
        assert len({source.name or Path(source.path).stem for source in found}) == len(paths), "no new name is one that is there"
    else:
        assert [source.name for source in found] == names


def test_items_of_one_name_get_numbers() -> None:
    assert [s.name for s in distinct([Source("p/a.tif", "item"), Source("p/b.tif", "item")])] == ["item-1", "item-2"]
