"""A server of map tiles on this machine, which draws them from one picture: XYZ, TMS, WMTS, WMS, and files with byte ranges."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import cv2
import numpy as np
import pyproj
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.warp import Resampling, reproject

from detect.scene.tiles.pyramid import HALF_WORLD_M
from tests.smoke.placeholders import CRS, PLACE, SIZE_HW, draw_blocks

FINEST_ZOOM = 18
"""The server has nothing finer."""


def corners_degrees() -> tuple[float, float, float, float]:
    """West, south, east, north of the picture."""
    to_degrees = pyproj.Transformer.from_crs(CRS, 4326, always_xy=True)
    x, y = zip(*(PLACE @ (col, row) for col in (0, SIZE_HW[1]) for row in (0, SIZE_HW[0])), strict=True)
    lon, lat = to_degrees.transform(x, y)
    return min(lon), min(lat), max(lon), max(lat)


def box_picture(left: float, bottom: float, right: float, top: float, size_px: int) -> NDArray[np.uint8] | None:
    """The part of the picture (H, W, 4; blue first) in a box of Web Mercator; None if the box lies beside it."""
    place = Affine((right - left) / size_px, 0, left, 0, (bottom - top) / size_px, top)
    target = np.zeros((4, size_px, size_px), np.uint8)
    reproject(
        _picture_seen(),
        target,
        src_transform=PLACE,
        src_crs=CRS,
        dst_transform=place,
        dst_crs="EPSG:3857",
        resampling=Resampling.bilinear,
    )
    return np.ascontiguousarray(target[[2, 1, 0, 3]].transpose(1, 2, 0)) if target[3].any() else None


@cache
def _picture_seen() -> NDArray[np.uint8]:
    """The picture (4, H, W) with an alpha band."""
    return np.concatenate([draw_blocks()[0], np.full((1, *SIZE_HW), 255, np.uint8)])


@cache
def tile_bytes(zoom: int, column: int, row: int, size_px: int = 256) -> bytes | None:
    """A tile of the common grid as PNG; None if there is none."""
    side = 2 * HALF_WORLD_M / 2**zoom
    left, top = column * side - HALF_WORLD_M, HALF_WORLD_M - row * side
    picture = box_picture(left, top - side, left + side, top, size_px) if zoom <= FINEST_ZOOM else None
    return None if picture is None else cv2.imencode(".png", picture)[1].tobytes()


def tiles_at(zoom: int) -> list[tuple[int, int]]:
    """(column, row) of all tiles with a part of the picture."""
    west, south, east, north = corners_degrees()

    def number(lon: float, lat: float) -> tuple[float, float]:
        y = math.asinh(math.tan(math.radians(lat))) / math.pi
        return (lon / 360 + 0.5) * 2**zoom, (1 - y) / 2 * 2**zoom

    (col0, row0), (col1, row1) = number(west, north), number(east, south)
    return [(col, row) for row in range(int(row0), int(row1) + 1) for col in range(int(col0), int(col1) + 1)]


@dataclass
class Server:
    """What the server was asked, and how it misbehaves."""

    url: str = ""
    paths: list[str] = field(default_factory=list)
    agents: set[str] = field(default_factory=set)
    busy: int = 0
    """So many requests are answered with 503 first."""
    status: int = 0
    """Every request is answered with this, if it is not 0."""
    size_px: int = 256
    folder: Path | None = None
    """Files to serve."""
    items: dict[str, str] = field(default_factory=dict)
    """Name and day of the items that a STAC search finds; their picture is the file ``<name>.tif``."""
    pictures: str = ""
    """Address of the pictures, of another process: GDAL may read while it holds Python's lock. Empty: this server."""

    def answer(self, path: str) -> tuple[str, bytes] | None:
        """Type and body; None: 404."""
        query = {name.lower(): values[0] for name, values in parse_qs(urlsplit(path).query).items()}
        parts = urlsplit(path).path.strip("/").split("/")
        if parts[0] in ("xyz", "tms"):
            zoom, column, row = int(parts[1]), int(parts[2]), int(parts[3].split(".")[0])
            row = 2**zoom - 1 - row if parts[0] == "tms" else row
            return _picture(tile_bytes(zoom, column, row, self.size_px))
        if parts == [""] and not query:
            return "application/json", json.dumps(stac_landing(self.url)).encode()
        if parts == ["search"]:
            return "application/geo+json", json.dumps(stac_answer(self.pictures or self.url, self.items)).encode()
        if parts[0] == "WMTSCapabilities.xml":
            return "text/xml", wmts_capabilities(self.url).encode()
        if parts[0] == "wmts":
            return _picture(tile_bytes(int(parts[2]), int(parts[4].split(".")[0]), int(parts[3])))
        if query.get("request") == "GetCapabilities":
            return "text/xml", wms_capabilities(self.url).encode()
        if query.get("request") == "GetMap":
            box = [float(value) for value in query["bbox"].split(",")]
            picture = box_picture(*box, int(query["width"]))
            picture = np.zeros((int(query["width"]),) * 2 + (4,), np.uint8) if picture is None else picture
            return _picture(cv2.imencode(".png", picture)[1].tobytes())
        file = None if self.folder is None else self.folder.joinpath(*parts)
        return ("application/octet-stream", file.read_bytes()) if file and file.is_file() else None


def _picture(found: bytes | None) -> tuple[str, bytes] | None:
    return None if found is None else ("image/png", found)


@contextmanager
def serving(**settings: Any) -> Iterator[Server]:
    """A server in a thread, until the context ends."""
    server = Server(**settings)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server.paths.append(self.path)
            server.agents.add(self.headers["User-Agent"])
            if server.status or server.busy:
                server.busy = max(0, server.busy - 1)
                self._send(server.status or 503, "text/plain", b"not now")
                return
            found = server.answer(self.path)
            if found is None:
                self._send(404, "text/plain", b"nothing")
                return
            kind, body = found
            if span := self.headers["Range"]:
                first, last = map(int, span.removeprefix("bytes=").split("-"))
                self._send(206, kind, body[first : last + 1], f"bytes {first}-{min(last, len(body) - 1)}/{len(body)}")
            else:
                self._send(200, kind, body)

        def _send(self, status: int, kind: str, body: bytes, span: str = "") -> None:
            self.send_response(status)
            if span:
                self.send_header("Content-Range", span)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_HEAD = do_GET

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        server.url = f"http://127.0.0.1:{http.server_port}"
        yield server
        http.shutdown()
        thread.join()


def stac_landing(url: str) -> dict[str, Any]:
    """The landing page of a STAC API."""
    core = "https://api.stacspec.org/v1.0.0/"
    return {
        "type": "Catalog", "stac_version": "1.0.0", "id": "drawn", "description": "drawn",
        "conformsTo": [f"{core}core", f"{core}item-search"],
        "links": [
            {"rel": "self", "href": f"{url}/", "type": "application/json"},
            {"rel": "root", "href": f"{url}/", "type": "application/json"},
            {"rel": "search", "href": f"{url}/search", "type": "application/geo+json", "method": "GET"},
        ],
    }  # fmt: skip


def stac_answer(place: str, items: dict[str, str]) -> dict[str, Any]:
    """What a search finds."""
    west, south, east, north = corners_degrees()
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    features = [
        {
            "type": "Feature", "stac_version": "1.0.0", "id": name, "bbox": [west, south, east, north], "collection": "drawn", "links": [],
            "geometry": {"type": "Polygon", "coordinates": [ring]}, "properties": {"datetime": f"{day}T10:00:00Z"},
            "assets": {"visual": {"href": f"{place}/{name}.tif", "type": "image/tiff; application=geotiff"}},
        }
        for name, day in items.items()
    ]  # fmt: skip
    return {"type": "FeatureCollection", "features": features, "links": []}


def wmts_capabilities(url: str) -> str:
    matrices = "".join(
        f"<TileMatrix><ows:Identifier>{zoom}</ows:Identifier><ScaleDenominator>{559082264.0287178 / 2**zoom}</ScaleDenominator>"
        f"<TopLeftCorner>-20037508.342789244 20037508.342789244</TopLeftCorner><TileWidth>256</TileWidth><TileHeight>256</TileHeight>"
        f"<MatrixWidth>{2**zoom}</MatrixWidth><MatrixHeight>{2**zoom}</MatrixHeight></TileMatrix>"
        for zoom in range(12, 21)
    )
    layers = "".join(
        f"<Layer><ows:Identifier>{name}</ows:Identifier><Style isDefault='true'><ows:Identifier>plain</ows:Identifier></Style>"
        "<Format>image/png</Format><TileMatrixSetLink><TileMatrixSet>GoogleMapsCompatible</TileMatrixSet></TileMatrixSetLink>"
        f"<ResourceURL format='image/png' resourceType='tile' template='{url}/wmts/{{style}}/{{TileMatrix}}/{{TileRow}}/{{TileCol}}.png'/>"
        "</Layer>"
        for name in ("ortho", "old")
    )
    return (
        "<Capabilities xmlns='http://www.opengis.net/wmts/1.0' xmlns:ows='http://www.opengis.net/ows/1.1' version='1.0.0'>"
        "<ows:ServiceIdentification><ows:Title>Drawn</ows:Title><ows:AccessConstraints>CC0</ows:AccessConstraints>"
        "<ows:Fees>none</ows:Fees></ows:ServiceIdentification>"
        "<ows:ServiceProvider><ows:ProviderName>Office of drawings</ows:ProviderName></ows:ServiceProvider>"
        f"<Contents>{layers}<TileMatrixSet><ows:Identifier>GoogleMapsCompatible</ows:Identifier>"
        f"<ows:SupportedCRS>urn:ogc:def:crs:EPSG::3857</ows:SupportedCRS>{matrices}</TileMatrixSet></Contents></Capabilities>"
    )


def wms_capabilities(url: str) -> str:
    return (
        "<WMS_Capabilities xmlns='http://www.opengis.net/wms' xmlns:xlink='http://www.w3.org/1999/xlink' version='1.3.0'>"
        "<Service><Title>Drawn</Title><AccessConstraints>CC0</AccessConstraints><Fees>none</Fees></Service><Capability><Request><GetMap>"
        f"<Format>image/png</Format><DCPType><HTTP><Get><OnlineResource xlink:href='{url}/wms?'/></Get></HTTP></DCPType></GetMap></Request>"
        "<Layer><Title>all</Title><CRS>EPSG:4326</CRS><CRS>EPSG:3857</CRS><Layer><Name>ortho</Name></Layer></Layer>"
        "</Capability></WMS_Capabilities>"
    )


def write_mbtiles(path: Path, zoom: int = FINEST_ZOOM, format: str = "png") -> Path:
    """An MBTiles file of the picture."""
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(path)) as base, base:
        base.execute("create table metadata (name text, value text)")
        base.execute("create table tiles (zoom_level integer, tile_column integer, tile_row integer, tile_data blob)")
        about = {"format": format, "bounds": ",".join(map(str, corners_degrees())), "attribution": "<b>&copy; drawn</b>"}
        base.executemany("insert into metadata values (?, ?)", about.items())
        for column, row in tiles_at(zoom):
            base.execute(
                "insert into tiles values (?, ?, ?, ?)", (zoom, column, 2**zoom - 1 - row, tile_bytes(zoom, column, row))
            )
    return path


def write_pmtiles(path: Path, zoom: int = FINEST_ZOOM) -> Path:
    """A PMTiles archive of the picture."""
    from pmtiles.tile import Compression, TileType, zxy_to_tileid
    from pmtiles.writer import write

    west, south, east, north = (round(value * 1e7) for value in corners_degrees())
    with write(str(path)) as writer:
        for tile_id, content in sorted((zxy_to_tileid(zoom, *tile), tile_bytes(zoom, *tile)) for tile in tiles_at(zoom)):
            writer.write_tile(tile_id, content or b"")
        header = {
            "tile_type": TileType.PNG, "tile_compression": Compression.NONE, "min_lon_e7": west, "min_lat_e7": south,
            "max_lon_e7": east, "max_lat_e7": north, "center_zoom": zoom, "center_lon_e7": west, "center_lat_e7": south,
        }  # fmt: skip
        writer.finalize(header, {"attribution": "drawn"})
    return path


def read_colours(path: Path) -> tuple[NDArray[np.uint8], Any]:
    """Values (3, H, W) and the profile of a raster."""
    with rasterio.open(path) as raster:
        return raster.read(), raster.profile | {"tags": raster.tags()}
