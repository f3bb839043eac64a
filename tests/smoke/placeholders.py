"""Draw the files that the pages name as the reader's own, such as ``scene.tif`` and ``plots.geojson``, where a command needs them.

All of them show one place: twelve long blocks in rows. Fewer stand in a picture whose name holds an earlier month.
"""

from __future__ import annotations

import calendar
import json
import zipfile
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path

import cv2
import geopandas as gpd
import numpy as np
import pandas as pd
import rasterio
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.shutil import copy
from rasterio.windows import Window

from detect.cli import main as cli
from detect.scene.dates import day_in
from tests.unit.datasets import drawing

ROOT = Path(__file__).resolve().parents[2]
SIZE_HW = (200, 300)
GSD_M = 0.5
PLACE = Affine(GSD_M, 0, 593_270.0, 0, -GSD_M, 5_747_657.0)
CRS = "EPSG:32631"
BLOCKS = 12
YEAR = 2026
MONTHS = {name.lower(): number for number, name in enumerate(calendar.month_name) if name}
SERIES = ("january", "april", "june")


def provide(word: str, folder: Path) -> None:
    """Draw what a command names, unless it exists: written by an earlier command, or drawn for one.

    Args:
        word: from the command line; one that fits no pattern below is ignored.
        folder: where the command runs.
    """
    path = folder / word
    draw = next((draw for pattern, draw in PLACEHOLDERS if fnmatch(word, pattern)), None)
    if draw is None or path.exists() or (path.parent.exists() and list(path.parent.glob(path.name))):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    draw(path)


def draw_blocks(standing: int = BLOCKS) -> tuple[NDArray[np.uint8], list[shapely.Polygon]]:
    """A picture (3, H, W) of the first blocks, with ridge and shadow, and their outlines in the plane of ``CRS``."""
    rng = np.random.default_rng(3)
    picture = np.array([92, 104, 80])[:, None, None] + rng.normal(0, 7, (3, *SIZE_HW))
    outlines = []
    for number in range(standing):
        row0, col0 = 14 + number // 3 * 46, 16 + number % 3 * 94
        row1, col1 = row0 + 26, col0 + 78
        picture[:, row0 : row1 + 5, col0 - 4 : col1 - 4] = 30
        picture[:, row0:row1, col0:col1] = np.array([196, 190, 186])[:, None, None] + rng.normal(0, 4, (3, 26, 78))
        picture[:, row0 + 13 : row1, col0:col1] -= 26
        outlines.append(shapely.Polygon([PLACE @ xy for xy in shapely.box(col0, row0, col1, row1).exterior.coords]))
    return np.clip(picture, 1, 255).astype(np.uint8), outlines


def day_of(name: str) -> str | None:
    """ISO day in the name of a picture, or the fifth of a month that it names; None without either."""
    month = next((number for month, number in MONTHS.items() if month in name), None)
    return day_in(name) or (None if month is None else f"{YEAR}-{month:02d}-05")


def standing_on(day: str | None) -> int:
    """How many blocks stand on a day; all of them without a day."""
    return BLOCKS if day is None else min(BLOCKS, 3 + int(day[5:7]))


def outlines_on(day: str | None) -> gpd.GeoDataFrame:
    """The blocks that stand on a day, as a reference."""
    shapes = draw_blocks(standing_on(day))[1]
    return gpd.GeoDataFrame({"id": range(1, len(shapes) + 1), "stage": "complete"}, geometry=shapes, crs=CRS)


def _picture(path: Path) -> None:
    day = day_of(path.stem)
    profile = {"driver": "GTiff", "count": 3, "height": SIZE_HW[0], "width": SIZE_HW[1], "dtype": "uint8"}
    with rasterio.open(path, "w", **profile, crs=CRS, transform=PLACE) as out:
        out.write(draw_blocks(standing_on(day))[0])
        if day is not None:
            out.update_tags(TIFFTAG_DATETIME=f"{day.replace('-', ':')} 10:30:00")


def _virtual(path: Path) -> None:
    _picture(path.with_suffix(".tif"))
    copy(path.with_suffix(".tif"), path, driver="VRT")


def _screenshot(path: Path) -> None:
    cv2.imwrite(str(path), np.ascontiguousarray(draw_blocks()[0].transpose(1, 2, 0)[..., ::-1]))


def _overlay(path: Path) -> None:
    """The picture as a ground overlay of Google Earth, turned."""
    coded = cv2.imencode(".png", np.ascontiguousarray(draw_blocks()[0].transpose(1, 2, 0)[..., ::-1]))[1].tobytes()
    sides = "<north>51.8709</north><south>51.87</south><east>4.3562</east><west>4.354</west><rotation>20</rotation>"
    overlay = f"<GroundOverlay><Icon><href>picture.png</href></Icon><LatLonBox>{sides}</LatLonBox></GroundOverlay>"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("doc.kml", f"<kml>{overlay}</kml>")
        archive.writestr("picture.png", coded)


def _tiles(path: Path) -> None:
    for name in ("north", "south"):
        _picture(path.with_name(f"{name}.tif"))


def _web_tiles(path: Path) -> None:
    """The picture as map tiles of two zooms."""
    from tests import tile_server

    for zoom in (17, 18):
        for column, row in tile_server.tiles_at(zoom):
            file = path.parents[2] / f"{zoom}/{column}/{row}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(tile_server.tile_bytes(zoom, column, row) or b"")


def _web_service(path: Path) -> None:
    """A WMTS whose tiles lie beside its capabilities; the rows are the outer folders."""
    from tests import tile_server

    path.write_text(tile_server.wmts_capabilities(".").replace("./wmts/", "wmts/"), encoding="utf-8")
    for column, row in tile_server.tiles_at(18):
        file = path.parent / f"wmts/plain/18/{row}/{column}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(tile_server.tile_bytes(18, column, row) or b"")


def _mbtiles(path: Path) -> None:
    from tests import tile_server

    tile_server.write_mbtiles(path)


def _pmtiles(path: Path) -> None:
    from tests import tile_server

    tile_server.write_pmtiles(path)


def _sheets(path: Path) -> None:
    """One picture in two sheets that touch; the seam cuts a row of blocks."""
    whole = path.with_name("whole.tif")
    _picture(whole)
    with rasterio.open(whole) as source:
        for name, row0, row1 in (("r1c1", 0, 70), ("r2c1", 70, source.height)):
            window = Window(0, row0, source.width, row1 - row0)
            profile = source.profile | {"height": window.height, "transform": source.window_transform(window)}
            with rasterio.open(path.with_name(f"{name}.tif"), "w", **profile) as sheet:
                sheet.write(source.read(window=window))
    whole.unlink()


def _item(path: Path) -> None:
    picture = path.with_name(f"{path.stem}_picture.tif")
    _picture(picture)
    assets = {"visual": {"href": picture.name, "type": "image/tiff", "roles": ["visual"]}}
    item = {"type": "Feature", "id": path.stem, "properties": {"datetime": f"{YEAR}-06-05T10:30:00Z"}, "assets": assets}
    path.write_text(json.dumps(item), encoding="utf-8")


def _collection(path: Path) -> None:
    _item(path.with_name("june_item.json"))
    links = [{"rel": "item", "href": "june_item.json"}]
    path.write_text(json.dumps({"type": "Collection", "id": "series", "links": links}), encoding="utf-8")


def _plots(path: Path) -> None:
    """The northern and the southern half, in degrees."""
    halves = [shapely.box(0, row, SIZE_HW[1], row + 100) for row in (0, 100)]
    plots = [shapely.Polygon([PLACE @ xy for xy in half.exterior.coords]) for half in halves]
    table = gpd.GeoDataFrame({"name": ["north", "south"], "planned_buildings": [8, 10]}, geometry=plots, crs=CRS)
    table.to_crs(4326).to_file(path, driver="KML" if path.suffix == ".kml" else None)


def _outlines(path: Path) -> None:
    outlines_on(None).to_file(path)


def _area(path: Path) -> None:
    corners = shapely.box(4, 4, SIZE_HW[1] - 4, SIZE_HW[0] - 4).exterior.coords
    gpd.GeoDataFrame(geometry=[shapely.Polygon([PLACE @ xy for xy in corners])], crs=CRS).to_file(path)


def _dated_outlines(path: Path) -> None:
    for day in map(day_of, SERIES):
        outlines_on(day).to_file(path, layer=f"buildings_{day}")


def _corrections(path: Path) -> None:
    """One building deleted, one called unfinished, one drawn."""
    found = gpd.read_file(path.parent / "out" / "scene" / "buildings.gpkg", layer="buildings")
    found.loc[found["id"] == found["id"].iloc[1], "stage"] = "incomplete"
    drawn = gpd.GeoDataFrame({"stage": ["foundation"]}, geometry=[found.geometry.iloc[0]], crs=found.crs)
    pd.concat([found.iloc[1:], drawn]).to_file(path, layer="buildings")


def _page_corrections(path: Path) -> None:
    """One building deleted, one called unfinished, as the page of ``out/scene`` or of the result in ``web`` writes it."""
    table = next(found for name in ("out/scene", "web/*") for found in path.parent.glob(f"{name}/buildings.gpkg"))
    found = gpd.read_file(table, layer="buildings").to_crs(4326)[["id", "stage", "dormitory_like", "geometry"]].iloc[:2]
    kinds = ["deleted", "changed"] if path.stem != "ben" else ["changed", "confirmed"]
    found.assign(correction=kinds, redrawn=False, stage="incomplete").to_file(path)


def _labelled_folder(path: Path) -> None:
    path.mkdir()
    _picture(path / "scene.tif")
    _outlines(path / "outlines.geojson")
    _area(path / "labelled_area.geojson")


def _spacenet2(path: Path) -> None:
    """Cities of two tiles each, as the bucket holds them."""
    for city in ("2_Vegas", "5_Khartoum"):
        for number in (1, 2):
            aoi, name = path / "train" / f"AOI_{city}", f"SN2_buildings_train_AOI_{city}_{{}}_img{number}"
            drawing.write_tif(aoi / "PS-RGB" / f"{name.format('PS-RGB')}.tif", drawing.picture(drawing.ROOFS), 32631, PLACE)
            outlines = aoi / "geojson_buildings" / f"{name.format('geojson_buildings')}.geojson"
            drawing.write_geojson(outlines, drawing.ROOFS, PLACE, 32631)


def _inria(path: Path) -> None:
    """Cities of two tiles each."""
    for city in ("austin", "chicago"):
        for number in (1, 2):
            image, mask = (path / "train" / kind / f"{city}{number}.tif" for kind in ("images", "gt"))
            drawing.write_tif(image, drawing.picture(drawing.ROOFS), 32631, PLACE)
            drawing.write_tif(mask, 255 * drawing.roof_mask(drawing.ROOFS)[None].astype(np.uint8), 32631, PLACE)


def _result(path: Path) -> None:
    """A result that a page takes from another page: ``out/scene`` is that of ``scene.tif``."""
    scene = path.parents[1] / f"{path.name}.tif"
    provide(scene.name, scene.parent)
    assert cli.main(["predict", str(scene), "--out", str(path.parent), "-q"]) == 0


def _results(path: Path) -> None:
    """A folder with several results."""
    for name in SERIES[:2]:
        _result(path / name)


def _series(path: Path) -> None:
    for name in SERIES:
        provide(f"dated/{name}", path.parent)
    assert cli.main(["track", str(path.parent / "dated"), "--out", str(path), "-q"]) == 0


# The first pattern that fits counts.
PLACEHOLDERS: tuple[tuple[str, Callable[[Path], None]], ...] = (
    ("*tiles/[*].tif", _tiles),
    ("*tiles/{z}/{x}/{y}.png", _web_tiles),
    ("*WMTSCapabilities.xml", _web_service),
    ("*.mbtiles", _mbtiles),
    ("*.pmtiles", _pmtiles),
    ("sheets/[*].tif", _sheets),
    ("*.tif", _picture),
    ("*.vrt", _virtual),
    ("*.png", _screenshot),
    ("*.kmz", _overlay),
    ("*collection.json", _collection),
    ("*item.json", _item),
    ("*plots.geojson", _plots),
    ("*plots.kml", _plots),
    ("*corrections.geojson", _page_corrections),
    ("anna.geojson", _page_corrections),
    ("ben.geojson", _page_corrections),
    ("*labelled_area.geojson", _area),
    ("*.geojson", _outlines),
    ("reference.gpkg", _dated_outlines),
    ("corrected.gpkg", _corrections),
    ("path/to/folder", _labelled_folder),
    ("path/to/spacenet2", _spacenet2),
    ("path/to/AerialImageDataset", _inria),
    ("out/*", _result),
    ("dated/*", _result),
    ("out", _results),
    ("tracked", _series),
)
