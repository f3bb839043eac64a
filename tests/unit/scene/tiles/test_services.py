"""WMTS and WMS: what their capabilities say is what is asked for."""

from __future__ import annotations

import pytest

from detect.base.errors import InputError
from detect.scene.tiles.pyramid import web_mercator_levels
from detect.scene.tiles.wms import open_wms
from detect.scene.tiles.wmts import open_wmts
from tests.tile_server import serving, tile_bytes, tiles_at, wmts_capabilities


def test_wmts() -> None:
    with serving() as server:
        tiles = open_wmts(f"{server.url}/WMTSCapabilities.xml", "ortho")
        level = next(one for one in tiles.levels if one.name == "18")
        common = web_mercator_levels(18, 18)[0]
        assert level.transform.almost_equals(common.transform, 1e-3) and level.tiles_rc == common.tiles_rc
        column, row = tiles_at(18)[0]
        assert tiles.read(level, column, row) == tile_bytes(18, column, row)
        assert server.paths[-1] == f"/wmts/plain/18/{row}/{column}.png"
    assert (tiles.attribution, tiles.terms) == ("Office of drawings", "CC0")


def test_wmts_without_resource_addresses_is_asked_by_query() -> None:
    with serving() as server:
        plain = wmts_capabilities(server.url).replace("resourceType='tile'", "resourceType='simple'")
        server.answer = lambda path: ("text/xml", plain.encode())  # type: ignore[method-assign]
        tiles = open_wmts(f"{server.url}/ows?service=WMTS&key=1", "ortho")
        tiles.read(tiles.levels[0], 7, 9)
        asked = server.paths[-1]
    for part in (
        "REQUEST=GetTile",
        "LAYER=ortho",
        "TileMatrix=12",
        "TileRow=9",
        "TileCol=7",
        "TileMatrixSet=GoogleMapsCompatible",
    ):
        assert part in asked


def test_a_grid_with_north_first() -> None:
    with serving() as server:
        text = wmts_capabilities(server.url).replace("EPSG::3857", "EPSG::31467")  # Gauss-Krüger: northing, easting
        text = text.replace("-20037508.342789244 20037508.342789244", "6100000 3200000")
        server.answer = lambda path: ("text/xml", text.encode())  # type: ignore[method-assign]
        level = open_wmts(f"{server.url}/WMTSCapabilities.xml", "ortho").levels[0]
    assert (level.transform.c, level.transform.f) == (3_200_000, 6_100_000)


@pytest.mark.parametrize(("opening", "path"), [(open_wmts, "WMTSCapabilities.xml"), (open_wms, "wms?service=WMS")])
def test_wrong_layers_name_the_right_ones(opening: object, path: str) -> None:
    with serving() as server, pytest.raises(InputError, match="has no layer 'sea'; it has ortho"):
        opening(f"{server.url}/{path}", "sea")  # type: ignore[operator]


def test_several_layers_need_a_name() -> None:
    with serving() as server, pytest.raises(InputError, match="name one with --layer, of: ortho, old"):
        open_wmts(f"{server.url}/WMTSCapabilities.xml")


@pytest.mark.parametrize("opening", [open_wmts, open_wms])
def test_no_capabilities(opening: object) -> None:
    with serving(status=404) as server, pytest.raises(InputError, match="is not a capabilities document"):
        opening(f"{server.url}/elsewhere")  # type: ignore[operator]


def test_wms_asks_for_boxes_of_the_common_grid() -> None:
    with serving() as server:
        tiles = open_wms(f"{server.url}/wms?service=WMS&map=a")
        level = next(one for one in tiles.levels if one.name == "17")
        column, row = tiles_at(17)[0]
        assert tiles.read(level, column, row)
        asked = server.paths[-1]
    left, top = level.transform * (column * 512, row * 512)
    assert f"BBOX={left:.9g}," in asked and f",{top:.9g}" in asked
    assert "CRS=EPSG:3857" in asked and "LAYERS=ortho" in asked and "WIDTH=512" in asked
    assert (tiles.attribution, tiles.terms) == ("Drawn", "CC0")


@pytest.mark.parametrize(
    ("opening", "path", "parts"),
    [
        (open_wmts, "WMTSCapabilities.xml", {"Layer", "Style", "TileMatrixSet", "Format"}),
        (open_wms, "wms?service=WMS", {"LAYERS", "STYLES", "CRS", "FORMAT"}),
    ],
)
def test_layer_style_grid_and_format_tell_the_pictures_of_one_address_apart(opening: object, path: str, parts: set[str]) -> None:
    with serving() as server:
        asked = server.answer

        def two_layers(wanted: str) -> tuple[str, bytes] | None:
            found = asked(wanted)
            if found is None or b"<Layer><Name>" not in found[1]:
                return found
            return found[0], found[1].replace(b"<Layer><Name>", b"<Layer><Name>old</Name></Layer><Layer><Name>")

        server.answer = two_layers  # type: ignore[method-assign]
        one, other = (opening(f"{server.url}/{path}", layer) for layer in ("ortho", "old"))  # type: ignore[operator]
    assert one.address == other.address and one.content != other.content
    assert parts <= {part.partition("=")[0] for part in one.content}
