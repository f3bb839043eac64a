"""Nothing is opened that nobody named: a server listens, and hears of no file that only points to it."""

from __future__ import annotations

import functools
import json
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import geopandas as gpd
import pytest
import rasterio
from shapely import box

import detect
from detect.base.errors import DetectError, InputError
from detect.base.grid import Span
from detect.census.plots import read_plots
from detect.scene.reach import linked, parts_below
from detect.scene.scene import open_scene
from detect.scene.sources import Source, sources
from tests.conftest import GSD_M, ORIGIN_XY, SCENE_SIZE_HW, WriteScene

X, Y = ORIGIN_XY
HEIGHT, WIDTH = SCENE_SIZE_HW
PLOT = gpd.GeoDataFrame({"name": ["a"]}, geometry=[box(X, Y - 40, X + 40, Y)], crs=32631).to_crs(4326)
WMS = """<GDAL_WMS><Service name="TMS"><ServerUrl>HOST/${z}/${x}/${y}.png</ServerUrl></Service><DataWindow><UpperLeftX>0</UpperLeftX>
<UpperLeftY>20037508</UpperLeftY><LowerRightX>20037508</LowerRightX><LowerRightY>0</LowerRightY><TileLevel>18</TileLevel></DataWindow>
<Projection>EPSG:3857</Projection><BandsCount>3</BandsCount></GDAL_WMS>"""
REGION = "<Region><LatLonAltBox><north>1</north><south>0</south><east>1</east><west>0</west></LatLonAltBox></Region>"
TILED_KML = f"<kml><Document>{REGION}<NetworkLink>{REGION}<Link><href>HOST/0.kml</href></Link></NetworkLink></Document></kml>"
MRF = "<MRF_META><CachedSource><Source>HOST/x.tif</Source></CachedSource><Raster><Size x='160' y='96' c='3'/></Raster></MRF_META>"
GTI = "<GDALTileIndexDataset><IndexDataset>index.gti.gpkg</IndexDataset></GDALTileIndexDataset>"


@pytest.fixture(scope="module")
def host() -> Iterator[tuple[str, list[str]]]:
    """Address of a server, and what it was asked for."""
    heard: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            heard.append(self.path)
            self.send_error(404)

        do_HEAD = do_POST = do_GET

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", heard
    server.shutdown()
    server.server_close()


def look(path: str | Path) -> None:
    for source in sources([path]):
        scene = open_scene(source)
        with scene.reader(scene.work_grid(scene.gsd_m)) as reader:
            reader.read(Span(0, 0, 16, 16))
            reader.look(Span(0, 0, 16, 16), (4, 4))


def vrt(source: str, *, relative: int = 1, before: str = "", in_band: str = "") -> str:
    corner = f"{X},{GSD_M},0,{Y},0,{-GSD_M}"
    bands = "".join(
        f'<VRTRasterBand dataType="Byte" band="{band}">{in_band}<SimpleSource><SourceFilename relativeToVRT="{relative}">{source}'
        f"</SourceFilename><SourceBand>{band}</SourceBand></SimpleSource></VRTRasterBand>"
        for band in (1, 2, 3)
    )
    head = f'<VRTDataset rasterXSize="{WIDTH}" rasterYSize="{HEIGHT}"><SRS>EPSG:32631</SRS><GeoTransform>{corner}</GeoTransform>'
    return f"{head}{before}{bands}</VRTDataset>"


def item(href: str) -> str:
    return json.dumps({"type": "Feature", "id": "x", "properties": {}, "assets": {"a": {"href": href, "type": "image/tiff"}}})


def catalogue(href: str) -> str:
    return json.dumps({"type": "Catalog", "links": [{"rel": "item", "href": href}]})


OVERVIEWS = '<Metadata domain="OVERVIEWS"><MDI key="OVERVIEW_FILE">/vsicurl/HOST/o.tif</MDI></Metadata>'
BAND_OVERVIEW = (
    '<Overview><SourceFilename relativeToVRT="0">/vsicurl/HOST/o.tif</SourceFilename><SourceBand>1</SourceBand></Overview>'
)
FILES = {
    "vsicurl.vrt": vrt("/vsicurl/HOST/x.tif", relative=0),
    "http.vrt": vrt("HOST/x.tif", relative=0),
    "s3.vrt": vrt("/vsis3/bucket/x.tif", relative=0),
    "zip.vrt": vrt("/vsizip//vsicurl/HOST/x.zip/x.tif", relative=0),
    "wms_prefix.vrt": vrt("WMS:HOST/?service=WMS", relative=0),
    "wmts_prefix.vrt": vrt("WMTS:HOST/capabilities.xml", relative=0),
    "of_service.vrt": vrt("service.tif"),
    "inline.vrt": vrt(WMS.replace("<", "&lt;").replace(">", "&gt;"), relative=0),
    "nested.vrt": vrt("vsicurl.vrt"),
    "overview.vrt": vrt("tiny.tif", in_band=BAND_OVERVIEW),
    "overviews.vrt": vrt("tiny.tif", before=OVERVIEWS),
    "warped.vrt": vrt("tiny.tif", before="<GDALWarpOptions><SourceDataset>/vsicurl/HOST/x.tif</SourceDataset></GDALWarpOptions>"),
    "service.tif": WMS,
    "service.xml": WMS,
    "cached.mrf": MRF,
    "tiled.kml": TILED_KML,
    "index.gti": GTI,
    "http.json": item("HOST/a.tif"),
    "vsicurl.json": item("/vsicurl/HOST/a.tif"),
    "zip.json": item("/vsizip//vsicurl/HOST/a.zip/a.tif"),
    "s3.json": item("s3://bucket/a.tif"),
    "file.json": item("file:///etc/hostname"),
    "file_upper.json": item("FILE:/etc/hostname"),
    "catalogue.json": catalogue("HOST/item.json"),
    "catalogue_file.json": catalogue("file:///etc/item.json"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_points_elsewhere_is_refused(
    write_scene: WriteScene, tmp_path: Path, host: tuple[str, list[str]], name: str
) -> None:
    address, heard = host
    write_scene()
    PLOT.assign(location=[f"/vsicurl/{address}/x.tif"]).to_file(tmp_path / "index.gti.gpkg")
    for other, text in FILES.items():
        (tmp_path / other).write_text(text.replace("HOST", address))
    with pytest.raises(InputError) as error:
        look(tmp_path / name)
    assert not heard and "\n" not in str(error.value)


@pytest.mark.parametrize("how", ["tag", "aux", "ovr", "msk"])
def test_overviews_and_masks_elsewhere_are_refused(
    write_scene: WriteScene, tmp_path: Path, host: tuple[str, list[str]], how: str
) -> None:
    address, heard = host
    path = write_scene()
    if how == "tag":
        with rasterio.open(path, "r+") as raster:
            raster.update_tags(ns="OVERVIEWS", OVERVIEW_FILE=f"/vsicurl/{address}/o.tif")
    elif how == "aux":
        (tmp_path / "tiny.tif.aux.xml").write_text(f"<PAMDataset>{OVERVIEWS}</PAMDataset>".replace("HOST", address))
    else:
        (tmp_path / f"tiny.tif.{how}").write_text(WMS.replace("HOST", address))
    with pytest.raises(InputError, match=r"elsewhere|which is no raster but a document"):
        look(path)
    assert not heard


OVERLAY = (
    "<kml><GroundOverlay><Icon><href>a.png</href></Icon><LatLonBox><north>48.001</north><south>48</south><east>11.001</east>"
    "<west>11</west></LatLonBox></GroundOverlay></kml>"
)


def hidden(tmp_path: Path, how: str, address: str) -> str:
    """A name under which a VRT that names an address lies deeper than the file itself."""
    remote = vrt(f"/vsicurl/{address}/x.tif", relative=0)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.vrt", remote)
        archive.writestr("a.png", remote)
    if how == "kmz":
        with zipfile.ZipFile(tmp_path / "a.kmz", "w") as archive:
            archive.writestr("doc.kml", OVERLAY)
            archive.writestr("a.png", remote)
    elif how == "kml":
        (tmp_path / "a.kml").write_text(OVERLAY)
        (tmp_path / "a.png").write_text(remote)
    elif how in ("a.vrt", "a.png"):
        return f"/vsizip/{tmp_path}/a.zip/{how}"
    elif how == "vrt":
        (tmp_path / "a.vrt").write_text(vrt(f"/vsizip/{tmp_path}/a.zip/a.png", relative=0))
    elif how == "1#.gti.gpkg":
        PLOT.assign(location=[f"/vsicurl/{address}/x.tif"]).to_file(tmp_path / "plain.gpkg")
        (tmp_path / "plain.gpkg").rename(tmp_path / "a1#.gti.gpkg")
        return str(tmp_path / "a1#.gti.gpkg")
    return str(tmp_path / f"a.{how}")


@pytest.mark.parametrize("how", ["kmz", "kml", "a.vrt", "a.png", "vrt", "1#.gti.gpkg"])
def test_what_an_archive_or_an_overlay_holds_points_nowhere_either(tmp_path: Path, host: tuple[str, list[str]], how: str) -> None:
    address, heard = host
    with pytest.raises(InputError) as error:
        look(hidden(tmp_path, how, address))
    assert not heard and "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["plain", "declared", "nested"])
def test_raw_bytes_of_another_file_are_not_shown(tmp_path: Path, name: str) -> None:
    (tmp_path / "notes.bin").write_bytes(bytes(WIDTH * HEIGHT))
    raw = vrt("tiny.tif").replace(' band="1">', ' band="1" subClass="VRTRawRasterBand">').replace("tiny.tif", "notes.bin", 1)
    texts = {
        "plain": raw,
        "declared": f'<?xml version="1.0"?>\n<!-- {"-".join("x" * 200)} -->\n{raw}',
        "nested": vrt("plain.vrt"),
    }
    for each, text in texts.items():
        (tmp_path / f"{each}.vrt").write_text(text)
    with pytest.raises(InputError, match="raw bytes of another file"):
        look(tmp_path / f"{name}.vrt")


def test_a_raster_in_an_archive_is_read_also_through_a_list(write_scene: WriteScene, tmp_path: Path) -> None:
    path = write_scene()
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(path, "in side/tiny.tif")
    with tarfile.open(tmp_path / "a.tar", "w") as tape:
        tape.add(path, "tiny.tif")
    for name in (f"/vsizip/{tmp_path}/a.zip/in side/tiny.tif", f"/vsitar/{tmp_path}/a.tar/tiny.tif"):
        look(name)
        (tmp_path / "list.vrt").write_text(vrt(name, relative=0))
        look(tmp_path / "list.vrt")


def test_what_names_files_of_this_machine_is_read(write_scene: WriteScene, tmp_path: Path) -> None:
    path = write_scene()
    (tmp_path / "a.vrt").write_text(vrt("tiny.tif", before='<Metadata><MDI key="LICENCE">https://example.org</MDI></Metadata>'))
    (tmp_path / "b.vrt").write_text(vrt(str(tmp_path / "a.vrt"), relative=0))
    assert parts_below(str(tmp_path / "b.vrt")) == [str(tmp_path / "a.vrt"), str(path)]
    look(tmp_path / "b.vrt")
    before = open_scene(tmp_path / "b.vrt").sha256
    write_scene(name="tiny.tif", compress="lzw")
    assert open_scene(tmp_path / "b.vrt").sha256 != before, "a source below a VRT below a VRT counts"


def test_a_name_with_escapes_in_a_document_is_found(write_scene: WriteScene, tmp_path: Path) -> None:
    write_scene(name="my scene.tif")
    (tmp_path / "i.json").write_text(item("my%20scene.tif"))
    look(tmp_path / "i.json")


@pytest.mark.parametrize(
    ("here", "target", "ok"),
    [
        ("https://a.org/c/i.json", "x.tif", "https://a.org/c/x.tif"),
        ("https://a.org/c/i.json", "/x.tif", "https://a.org/x.tif"),
        ("http://a.org/i.json", "https://a.org/x.tif", "https://a.org/x.tif"),
        ("https://a.org/i.json", "http://a.org/x.tif", ""),
        ("https://a.org/i.json", "https://b.org/x.tif", ""),
        ("https://a.org/i.json", "//b.org/x.tif", ""),
        ("https://a.org/i.json", "s3://a.org/x.tif", ""),
        ("https://a.org/i.json", "file:///etc/x.tif", ""),
        ("https://a.org/i.json", "/vsicurl/http://b.org/x.tif", ""),
        ("c/i.json", "x.tif", "c/x.tif"),
        ("c/i.json", "/data/x.tif", "/data/x.tif"),
        ("c/i.json", "https://a.org/x.tif", ""),
    ],
)
def test_links_lead_to_the_same_host_alone(here: str, target: str, ok: str) -> None:
    if ok:
        assert linked(here, target, allow_remote=False) == ok
    else:
        with pytest.raises(InputError, match="links to"):
            linked(here, target, allow_remote=False)


def test_with_the_option_other_hosts_are_asked(tmp_path: Path, host: tuple[str, list[str]]) -> None:
    address, heard = host
    (tmp_path / "i.json").write_text(item(f"{address}/a.tif"))
    [found] = sources([tmp_path / "i.json"], allow_remote=True)
    with pytest.raises(DetectError):
        open_scene(found)
    assert "/a.tif" in heard
    heard.clear()
    with pytest.raises(InputError, match="no address on a server"):
        linked(f"{address}/i.json", "file:///etc/hostname", allow_remote=True)


@pytest.mark.parametrize("name", ["town.vrt", "town.vrt?key=1", "town.tif"])
@pytest.mark.parametrize("allow_remote", [False, True])
def test_a_list_on_a_server_names_no_file_of_this_machine(
    write_scene: WriteScene, tmp_path: Path, name: str, allow_remote: bool
) -> None:
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / name.partition("?")[0]).write_text(vrt(str(write_scene()), relative=0))
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(SimpleHTTPRequestHandler, directory=tmp_path / "served"))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with pytest.raises(InputError, match=r"save a copy here|cannot be opened"):
            open_scene(Source(f"http://127.0.0.1:{server.server_port}/{name}", allow_remote=allow_remote))
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("allow_remote", [False, True])
def test_a_vrt_here_is_followed_to_a_server_where_that_is_allowed(
    tmp_path: Path, host: tuple[str, list[str]], allow_remote: bool
) -> None:
    address, heard = host
    heard.clear()
    (tmp_path / "a.vrt").write_text(vrt(f"/vsicurl/{address}/far.tif", relative=0))
    with pytest.raises(DetectError):
        detect.predict(tmp_path / "a.vrt", tmp_path / "out", allow_remote=allow_remote)
    assert ("/far.tif" in heard) == allow_remote
    heard.clear()


def test_pages_of_a_long_answer_are_followed(write_scene: WriteScene, tmp_path: Path) -> None:
    for number, more in ((1, [{"rel": "next", "href": "2.json"}]), (2, [])):
        page = {"type": "FeatureCollection", "features": [json.loads(item("tiny.tif")) | {"id": f"s{number}"}], "links": more}
        (tmp_path / f"{number}.json").write_text(json.dumps(page))
    assert [source.name for source in sources([tmp_path / "1.json"])] == ["s1", "s2"]


CRS_LINKS = {
    "link": {"type": "link", "properties": {"href": "HOST/crs", "type": "proj4"}},
    "url": {"properties": {"url": "HOST/crs"}, "type": "URL"},
    "name": {"type": "name", "properties": {"name": "HOST/crs"}},
}


@pytest.mark.parametrize("kind", CRS_LINKS)
@pytest.mark.parametrize("key", ["crs", r"\u0063rs"])
def test_a_coordinate_system_at_an_address_is_not_asked_for(
    tmp_path: Path, host: tuple[str, list[str]], kind: str, key: str
) -> None:
    address, heard = host
    text = (
        json.dumps({**json.loads(PLOT.to_json()), "CRS": CRS_LINKS[kind]}).replace("HOST", address).replace('"CRS"', f'"{key}"')
    )
    (tmp_path / "p.geojson").write_text(text)
    try:
        read_plots(tmp_path / "p.geojson")
    except InputError as error:
        assert "coordinate system is at an address" in str(error)
    assert not heard


@pytest.mark.parametrize(
    "text",
    [
        "<kml><Document><NetworkLink><Link><href>HOST/x.kml</href></Link></NetworkLink></Document></kml>",
        '<?xml version="1.0"?><WFS_Capabilities><Service><OnlineResource>HOST</OnlineResource></Service></WFS_Capabilities>',
    ],
)
def test_plots_at_an_address_are_not_asked_for(tmp_path: Path, host: tuple[str, list[str]], text: str) -> None:
    address, heard = host
    path = tmp_path / ("p.kml" if "kml" in text else "p.xml")
    path.write_text(text.replace("HOST", address))
    with pytest.raises(InputError):
        read_plots(path)
    assert not heard
