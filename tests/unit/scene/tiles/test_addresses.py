from __future__ import annotations

import sys
from pathlib import Path

import pytest

from detect.base.errors import InputError
from detect.scene.tiles.addresses import kind_of, name_of, open_pyramid, open_xyz, xyz_address


@pytest.mark.parametrize(
    ("place", "kind", "name"),
    [
        ("https://t.org/{z}/{x}/{y}.jpg", "xyz", "t.org"),
        ("https://{s}.t.org/{z}/{x}/{-y}.jpg?key=1", "xyz", "t.org"),
        ("https://t.org/a{q}.jpeg", "xyz", "t.org"),
        ("https://t.org/1.0.0/WMTSCapabilities.xml", "wmts", "t.org"),
        ("https://t.org/ows?SERVICE=WMTS&REQUEST=GetCapabilities", "wmts", "t.org"),
        ("https://t.org/ows?service=WMS", "wms", "t.org"),
        ("https://t.org/a/town.pmtiles?v=1", "pmtiles", "town"),
        ("here/town.mbtiles", "mbtiles", "town"),
        ("Esri.WorldImagery", "named", "Esri.WorldImagery"),
    ],
)
def test_tiles_are_recognised(place: str, kind: str, name: str) -> None:
    assert (kind_of(place), name_of(place)) == (kind, name)


@pytest.mark.parametrize("place", ["scene.tif", "https://t.org/scene.tif", "no/such.vrt", "s3://b/{name}.tif", "item.json"])
def test_other_scenes_are_not(place: str) -> None:
    assert kind_of(place) is None


def test_a_file_comes_before_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("Esri.WorldImagery").touch()
    assert kind_of("Esri.WorldImagery") is None


def test_addresses_of_a_tile() -> None:
    assert xyz_address("{z}/{x}/{y}", 3, 5, 2) == "3/5/2"
    assert xyz_address("{zoom}/{x}/{-y}", 3, 5, 2) == "3/5/5"
    # 5 = 101, 2 = 010 in binary: each digit is x + 2 y
    assert xyz_address("https://{switch:a,b}.org/{q}{r}", 3, 5, 2) == "https://a.org/121"


def test_a_place_for_a_key_must_be_filled() -> None:
    with pytest.raises(InputError, match=r"\{apikey\} must be replaced"):
        open_xyz("https://t.org/{z}/{x}/{y}?key={apikey}")


def test_names_of_xyzservices() -> None:
    tiles = open_pyramid("Esri.WorldImagery")
    assert "Esri" in tiles.attribution and "<" not in tiles.attribution
    assert tiles.address.startswith("https://server.arcgisonline.com/") and "{z}" in tiles.address
    # the same server by its address has the same credit
    assert open_pyramid(tiles.address).attribution == tiles.attribution
    with pytest.raises(InputError, match="needs a key"):
        open_pyramid("Thunderforest.OpenCycleMap")


def test_names_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xyzservices", None)
    assert kind_of("no_such.tif") is None
    with pytest.raises(InputError, match=r"pip install 'detect-buildings\[tiles\]'"):
        kind_of("Esri.WorldImagery")


def test_layers_belong_to_services() -> None:
    with pytest.raises(InputError, match="has no layers"):
        open_pyramid("https://t.org/{z}/{x}/{y}.jpg", "ortho")
