"""Write the tables of docs/formats.md: draws a file of each kind, reads it, and puts down what was read.

    python scripts/docs_formats.py            rewrite the page
    python scripts/docs_formats.py --check    exit code 1 if the page is out of date; writes nothing

The picture shows ground of 80 × 48 m; a turned frame of 16 % of the pixels is what was not observed. The plots are two.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
import tempfile
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

import cv2
import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import pyproj
import rasterio
import shapely
from affine import Affine
from docs_reference import replaced
from numpy.typing import NDArray
from rasterio.enums import ColorInterp
from rasterio.shutil import copy
from shapely import LineString, Point, Polygon

from detect.base.errors import InputError
from detect.base.grid import Span
from detect.census.sites import load_sites
from detect.scene.scene import open_scene
from detect.scene.sources import sources

PAGE = Path(__file__).resolve().parents[1] / "docs" / "formats.md"
H, W = 96, 160
ROWS, COLS = np.mgrid[:H, :W]
FRAME = abs(ROWS - H / 2) + abs(COLS - W / 2) > 92
CRS = "EPSG:32631"
PLACE = Affine(0.5, 0, 593_270, 0, -0.5, 5_747_657)
PLOTS = [shapely.box(593_275 + 35 * i, 5_747_615, 593_305 + 35 * i, 5_747_650) for i in range(2)]
BOX = "<LatLonBox><north>51.8704</north><south>51.87</south><east>4.3551</east><west>4.354</west>{}</LatLonBox>"
QUAD = "<gx:LatLonQuad><coordinates>4.354,51.87 4.3551,51.8702 4.355,51.8706 4.3539,51.8704</coordinates></gx:LatLonQuad>"
BENT = "<gx:LatLonQuad><coordinates>4.354,51.87 4.3551,51.87 4.3549,51.8704 4.354,51.8704</coordinates></gx:LatLonQuad>"
RGBA = (ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha)
Bands = NDArray[Any]
Maker = Callable[[Path], Path]


@dataclass(frozen=True)
class Kind:
    """A kind of file: a row of the table."""

    brings: str
    make: Maker


def main() -> int:
    """Rewrite or check the page; the exit code."""
    parser = argparse.ArgumentParser(description="Write the tables of docs/formats.md.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 if the page is out of date")
    check = parser.parse_args().check
    there, text = PAGE.read_text(encoding="utf-8"), page()
    if check and there != text:
        print("docs/formats.md: run python scripts/docs_formats.py", file=sys.stderr)
    elif not check:
        PAGE.write_text(text, encoding="utf-8")
    return int(check and there != text)


def page() -> str:
    """The page as it should be."""
    text = replaced(PAGE.read_text(encoding="utf-8"), "images", table(IMAGES, image_as_read))
    text = replaced(text, "outlines", table(OUTLINES, plots_as_read))
    versions = f"GDAL {_short(rasterio.__gdal_version__)} (rasterio {_short(rasterio.__version__)})"
    vectors = f"GDAL {_short('.'.join(map(str, pyogrio.__gdal_version__)))} (pyogrio {_short(pyogrio.__version__)})"
    return replaced(
        text, "versions", f"Images are read by {versions}, outlines by {vectors}; other libraries are named in the tables."
    )


def table(kinds: tuple[Kind, ...], as_read: Callable[[Path], str]) -> str:
    """A table with a row for each kind: what one brings, and what is read."""
    lines = ["| you bring | detect reads |", "|---|---|"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for kind in kinds:
            with tempfile.TemporaryDirectory() as folder:
                lines.append(f"| {kind.brings} | {as_read(kind.make(Path(folder)))} |")
    return "\n".join(lines)


def image_as_read(path: Path) -> str:
    """Bands, date and observed share of a scene and what is said about it, or the error."""
    try:
        found = sources([path])
        scenes = [open_scene(source) for source in found]
    except InputError as error:
        return _refused(error, path)
    scene = scenes[0]
    grid = scene.work_grid(scene.gsd_m)
    with scene.reader(grid) as reader:
        valid = reader.read(Span(0, 0, *grid.size_hw))[1]
    bands = "one band" if len(set(scene.bands)) == 1 else f"bands {', '.join(map(str, scene.bands))}"
    what = [f"{len(scenes)} scenes"] if len(scenes) > 1 else []
    what += [bands, f"{valid.mean():.0%} observed"]
    if scene.crs is None:
        what.append("no place")
    what += [text for text in (f"date {scene.date}" if scene.date else "", "sun" if scene.sun else "") if text]
    return "; ".join([", ".join(what), *(_plain(line, path) for line in scene.warnings)])


def plots_as_read(path: Path) -> str:
    """Number of plots, what is planned on them, and what is said about them; or the error."""
    outline = Polygon([PLACE * corner for corner in ((0, 0), (W, 0), (W, H), (0, H))])
    try:
        sites = load_sites(path, pyproj.CRS(CRS), outline)
    except InputError as error:
        return _refused(error, path)
    planned = [f"{value:g}" for value in sites.table["planned_buildings"] if not np.isnan(value)]
    count = f"{len(sites.table)} plot{'s' * (len(sites.table) != 1)}"
    what = f"{count}, planned {' and '.join(planned)}" if planned else count
    return "; ".join([what, *dict.fromkeys(_plain(line, path) for lines in sites.warnings for line in lines)])


def _refused(error: InputError, path: Path) -> str:
    return f"*refused:* {_plain(str(error), path).removeprefix(': ')}"


def _plain(text: str, path: Path) -> str:
    """A line without the file's name and folder, and safe in a table."""
    for name in (str(path), str(path.resolve()), f"{path.parent}/", f"{path.parent.resolve()}/"):
        text = text.replace(name, "")
    return text.replace("|", "\\|").replace("<", "&lt;").strip()


def _short(version: str) -> str:
    return ".".join(version.split(".")[:2])


def picture(bands: int = 3, dtype: str = "uint8", *, frame: float | None = None, noise: bool = False) -> Bands:
    """(bands, H, W) of uneven ground; ``frame`` is the value of what was not observed, ``noise`` puts junk there."""
    rng = np.random.default_rng(1)
    smooth = cv2.GaussianBlur(rng.integers(30, 230, (H, W, bands)).astype(np.float32), (0, 0), 1.5).reshape(H, W, bands)
    values = np.moveaxis(np.clip(smooth, 20, 235), 2, 0).astype(dtype)
    if noise:
        values[:, FRAME] = rng.integers(20, 235, (bands, int(FRAME.sum())))
    if frame is not None:
        values[:, FRAME] = frame
    return values


def tif(values: Bands, colours: tuple[ColorInterp, ...] | None = None, *, mask: Bands | None = None, **profile: Any) -> Maker:
    """A maker of a GeoTIFF; ``names`` describe bands, ``tags`` are set."""
    name, names, tags = profile.pop("name", "scene.tif"), profile.pop("names", None), profile.pop("tags", {})

    def make(folder: Path) -> Path:
        settled = {"driver": "GTiff", "dtype": values.dtype.name, "count": len(values), "height": H, "width": W}
        settled |= {"crs": CRS, "transform": PLACE} | profile
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(folder / name, "w", **settled) as out:
            if colours:
                out.colorinterp = colours
            out.write(values)
            out.update_tags(**tags)
            if names:
                out.descriptions = names
            if mask is not None:
                out.write_mask(mask)
        return folder / name

    return make


def converted(name: str, driver: str, **options: Any) -> Maker:
    """A maker of the picture in another format."""

    def make(folder: Path) -> Path:
        copy(tif(picture())(folder), folder / name, driver=driver, **options)
        return folder / name

    return make


def maxar(folder: Path) -> Path:
    """A GeoTIFF with the metadata file of Maxar beside it."""
    path = tif(picture())(folder)
    path.with_suffix(".IMD").write_text(
        'version = "AA";\nBEGIN_GROUP = IMAGE_1\n\tsatId = "WV03";\n\tfirstLineTime = 2024-06-05T10:11:12.0Z;\n'
        "\tmeanSunEl = 55.0;\n\tmeanSunAz = 150.0;\nEND_GROUP = IMAGE_1\nEND;\n"
    )
    path.with_suffix(".RPB").touch()
    return path


def overlay(*places: str, name: str = "map.kmz", href: str = "files/a{}.png") -> Maker:
    """A maker of a KMZ with ground overlays."""

    def make(folder: Path) -> Path:
        coded = cv2.imencode(".png", np.ascontiguousarray(picture().transpose(1, 2, 0)))[1].tobytes()
        parts = [
            f"<GroundOverlay><Icon><href>{href.format(i)}</href></Icon>{place}</GroundOverlay>" for i, place in enumerate(places)
        ]
        text = f'<kml xmlns="http://www.opengis.net/kml/2.2" xmlns:gx="http://www.google.com/kml/ext/2.2"><Document>{"".join(parts)}</Document></kml>'
        with zipfile.ZipFile(folder / name, "w") as archive:
            archive.writestr("doc.kml", text)
            for i in range(len(places)):
                archive.writestr(f"files/a{i}.png", coded)
        return folder / name

    return make


def item(folder: Path) -> Path:
    """A STAC item of a picture."""
    tif(picture())(folder)
    properties = {"datetime": "2024-06-05T10:11:12Z", "view:sun_elevation": 55, "view:sun_azimuth": 150}
    assets = {"visual": {"href": "scene.tif", "type": "image/tiff", "roles": ["visual"]}}
    text = {"type": "Feature", "stac_version": "1.1.0", "id": "scene", "properties": properties, "assets": assets}
    (folder / "item.json").write_text(json.dumps(text), encoding="utf-8")
    return folder / "item.json"


def listed(folder: Path) -> Path:
    """A list with a byte order mark and quotes, as a spreadsheet saves it."""
    (folder / "list.txt").write_text(f'"{tif(picture())(folder).name}"\r\n', encoding="utf-8-sig")
    return folder / "list.txt"


def text_file(name: str, text: str) -> Maker:
    """A maker of a text file."""

    def make(folder: Path) -> Path:
        (folder / name).write_text(text, encoding="utf-8")
        return folder / name

    return make


def plots(field: str = "planned_buildings", shapes: list[Any] | None = None, crs: int | None = 4326) -> gpd.GeoDataFrame:
    """Two plots."""
    table = gpd.GeoDataFrame({"name": ["a", "b"], field: [10, 20]}, geometry=shapes or PLOTS, crs=CRS)
    return table if crs is None else table.to_crs(crs)


def vector(name: str, data: gpd.GeoDataFrame | None = None, **options: Any) -> Maker:
    """A maker of a vector file."""

    def make(folder: Path) -> Path:
        chosen = plots() if data is None else data
        if name.endswith("parquet"):
            chosen.to_parquet(folder / name)
        else:
            chosen.to_file(folder / name, **options)
        return folder / name

    return make


def wkt(name: str, separator: str = ",", column: str = "WKT", encoding: str = "utf-8") -> Maker:
    """A maker of a text table with WKT."""

    def make(folder: Path) -> Path:
        data = plots()
        text = (
            pd.DataFrame(data.drop(columns="geometry"))
            .assign(**{column: data.geometry.to_wkt()})
            .to_csv(sep=separator, index=False)
        )
        content = text.encode(encoding)
        (folder / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
        return folder / name

    return make


def lines(folder: Path) -> Path:
    """GeoJSON lines, packed, as Microsoft publishes outlines."""
    features = json.loads(plots().to_json())["features"]
    (folder / "m.csv.gz").write_bytes(gzip.compress("\n".join(map(json.dumps, features)).encode()))
    return folder / "m.csv.gz"


def layers(folder: Path) -> Path:
    """A GeoPackage with a plot in each of two layers."""
    for i, name in enumerate(("north", "south")):
        plots().iloc[[i]].to_file(folder / "p.gpkg", layer=name)
    return folder / "p.gpkg"


def folders(folder: Path) -> Path:
    """A KML with a plot in each of two folders."""
    parts = []
    for name, shape in zip("ab", plots().geometry, strict=True):
        ring = " ".join(f"{x},{y}" for x, y in shape.exterior.coords)
        polygon = (
            f"<Polygon><outerBoundaryIs><LinearRing><coordinates>{ring}</coordinates></LinearRing></outerBoundaryIs></Polygon>"
        )
        parts.append(f"<Folder><name>{name}</name><Placemark><name>{name}</name>{polygon}</Placemark></Folder>")
    (folder / "p.kml").write_text(f'<kml xmlns="http://www.opengis.net/kml/2.2"><Document>{"".join(parts)}</Document></kml>')
    return folder / "p.kml"


def native(folder: Path) -> Path:
    """A Parquet table whose geometries have the native type, as pyarrow writes it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    class Wkb(pa.ExtensionType):
        def __init__(self) -> None:
            super().__init__(pa.binary(), "geoarrow.wkb")

        def __arrow_ext_serialize__(self) -> bytes:
            return b"{}"

    data = plots()
    stored = pa.ExtensionArray.from_storage(Wkb(), pa.array(shapely.to_wkb(data.geometry.to_numpy()).tolist(), pa.binary()))
    columns = {"name": data["name"].tolist(), "planned_buildings": data["planned_buildings"].tolist(), "geometry": stored}
    pq.write_table(pa.table(columns), folder / "p.parquet")
    return folder / "p.parquet"


def plain_bytes(folder: Path) -> Path:
    """A Parquet table with geometries in a column of bytes."""
    pd.DataFrame({"geometry": shapely.to_wkb(PLOTS)}).to_parquet(folder / "p.parquet")
    return folder / "p.parquet"


def without_prj(folder: Path) -> Path:
    """A Shapefile without its coordinate system."""
    path = vector("p.shp", plots(crs=None))(folder)
    path.with_suffix(".prj").unlink()
    return path


ALPHA = np.where(FRAME, 0, 255)[None].astype(np.uint8)
INFRARED = picture(4)[3:]
SHADOWED = np.where((ROWS > 40) & (ROWS < 60), 0, INFRARED).astype(np.uint8)
IMAGES = (
    Kind("GeoTIFF, three 8-bit bands", tif(picture())),
    Kind("GeoTIFF, one band (panchromatic)", tif(picture(1))),
    Kind("GeoTIFF, 11 bits in `uint16`, bands described as blue, green, red, nir",
         tif(picture(4, "uint16") * 8, photometric="minisblack", names=("blue", "green", "red", "nir"))),
    Kind("GeoTIFF, `uint16`, four bands without tags or descriptions", tif(picture(4, "uint16") * 8, photometric="minisblack")),
    Kind("GeoTIFF, `uint16`, eight bands without tags", tif(picture(8, "uint16") * 8, photometric="minisblack")),
    Kind("GeoTIFF, `float32`, reflectance 0–1", tif(picture(3, "float32") / 255)),
    Kind("Cloud-optimised GeoTIFF", converted("cog.tif", "COG")),
    Kind("JPEG with world file and `.aux.xml`", converted("scene.jpg", "JPEG", worldfile="YES")),
    Kind("PNG with world file and `.aux.xml`", converted("scene.png", "PNG", worldfile="YES")),
    Kind("JPEG 2000", converted("scene.jp2", "JP2OpenJPEG")),
    Kind("VRT of a GeoTIFF", converted("scene.vrt", "VRT")),
    Kind("Erdas Imagine", converted("scene.img", "HFA")),
    Kind("NITF", converted("scene.ntf", "NITF")),
    Kind("GeoPackage with a picture", converted("scene.gpkg", "GPKG", TILE_FORMAT="PNG")),
    Kind("no-data value, in the frame", tif(picture(frame=0), nodata=0)),
    Kind("mask in the file or beside it (`.msk`)", tif(picture(noise=True), mask=~FRAME)),
    Kind("RGB and alpha", tif(np.concatenate([picture(noise=True), ALPHA]), RGBA)),
    Kind("RGB and alpha, and a no-data value: alpha wins", tif(np.concatenate([picture(noise=True), ALPHA]), RGBA, nodata=0)),
    Kind("four 8-bit bands, infrared tagged as alpha (rasterio, tifffile, Pillow)", tif(np.concatenate([picture(), SHADOWED]), RGBA)),
    Kind("a mask band without a tag", tif(np.concatenate([picture(frame=128), ALPHA]), photometric="minisblack")),
    Kind("black frame without a tag", tif(picture(frame=0))),
    Kind("white frame without a tag", tif(picture(frame=255))),
    Kind("frame of −9999 without a tag", tif(picture(3, "int16", frame=-9999))),
    Kind("frame of 65535 without a tag", tif(picture(3, "uint16", frame=65535))),
    Kind("magenta frame without a tag", tif(np.where(FRAME, np.array([255, 0, 255], np.uint8)[:, None, None], picture()))),
    Kind("black frame, smeared by JPEG", tif(picture(frame=0), compress="jpeg", photometric="ycbcr")),
    Kind("NaN or infinite numbers without a tag", tif(picture(3, "float32", frame=np.nan))),
    Kind("date in the name (`scene_20240605.tif`)", tif(picture(), name="scene_20240605.tif")),
    Kind("date in the tags of the TIFF", tif(picture(), tags={"TIFFTAG_DATETIME": "2024:06:05 10:11:12"})),
    Kind("name and tag with two dates", tif(picture(), name="scene_20240605.tif", tags={"TIFFTAG_DATETIME": "2025:01:02 00:00:00"})),
    Kind("Maxar's `.IMD` beside the image", maxar),
    Kind("STAC item", item),
    Kind("list (`.txt`) from a spreadsheet, with byte order mark and quotes", listed),
    Kind("KMZ of Google Earth, box with rotation", overlay(BOX.format("<rotation>20</rotation>"))),
    Kind("KMZ with four corners (`gx:LatLonQuad`)", overlay(QUAD)),
    Kind("KMZ with two ground overlays", overlay(BOX.format(""), QUAD)),
    Kind("KMZ whose corners are no parallelogram", overlay(BENT)),
    Kind("KML or KMZ that names a picture on the internet", overlay(BOX.format(""), href="https://example.com/a.png")),
    Kind("no georeference", tif(picture(), crs=None)),
    Kind("a local coordinate system in metres", tif(picture(), crs='LOCAL_CS["site grid",UNIT["metre",1]]')),
    Kind("pixels of 10 m", tif(picture(), transform=Affine(10, 0, 593_270, 0, -10, 5_747_657))),
    Kind("complex values (radar)", tif(picture(1).astype(np.complex64))),
    Kind("an archive (`.zip`, `.tar.gz`)", text_file("scene.zip", "PK")),
    Kind("a web page saved as `.tif`", text_file("scene.tif", "<html>404 not found</html>")),
)  # fmt: skip
BOWTIE = Polygon([(593_310, 5_747_615), (593_340, 5_747_650), (593_340, 5_747_615), (593_310, 5_747_650)])
WORLD = gpd.GeoDataFrame({"name": ["a"]}, geometry=[shapely.box(-180, -90, 180, 90)], crs=4326)
OPEN_RING = json.loads(plots().to_json())["features"][0]
OPEN_RING["geometry"]["coordinates"][0].pop()
OUTLINES = (
    Kind("GeoJSON", vector("p.geojson")),
    Kind("GeoPackage", vector("p.gpkg")),
    Kind("GeoPackage, a plot in each of two layers", layers),
    Kind("KML, a plot in each of two folders", folders),
    Kind("Shapefile (cuts names to ten letters)", vector("p.shp")),
    Kind("Shapefile without `.prj`", without_prj),
    Kind("FlatGeobuf", vector("p.fgb")),
    Kind("File Geodatabase (`.gdb`)", vector("p.gdb", driver="OpenFileGDB")),
    Kind("GML", vector("p.gml", driver="GML")),
    Kind("MapInfo (`.tab`)", vector("p.tab", plots(crs=None), driver="MapInfo File")),
    Kind("GeoParquet (GeoPandas, pyarrow)", vector("p.geoparquet")),
    Kind("Parquet with native geometries and no `geo` metadata (pyarrow, DuckDB)", native),
    Kind("Parquet with geometries as plain bytes", plain_bytes),
    Kind("CSV with WKT (pandas)", wkt("p.csv")),
    Kind("CSV with `;`, column `geometry`, UTF-16 (spreadsheets)", wkt("p.csv", ";", "geometry", "utf-16")),
    Kind("CSV with WKT, `.gz` (Google's outlines)", wkt("p.csv.gz", column="geometry")),
    Kind("GeoJSON lines, `.csv.gz` (Microsoft's outlines)", lines),
    Kind("field `Planned Buildings`", vector("p.gpkg", plots("Planned Buildings"))),
    Kind("field `plan_units`", vector("p.gpkg", plots("plan_units"))),
    Kind("a point among the plots", vector("p.geojson", plots(shapes=[PLOTS[0], Point(593_300, 5_747_630)]))),
    Kind("points only", vector("p.geojson", plots(shapes=[Point(593_300, 5_747_630), Point(593_320, 5_747_630)]))),
    Kind("a line that stays open", vector("p.geojson", plots(shapes=[PLOTS[0], LineString([(593_300, 5_747_630), (593_340, 5_747_640)])]))),
    Kind("a ring that is not closed", text_file("p.geojson", json.dumps(OPEN_RING))),
    Kind("a ring that crosses itself", vector("p.gpkg", plots(shapes=[PLOTS[0], BOWTIE]))),
    Kind("a plot that spans the Earth", vector("p.gpkg", WORLD)),
    Kind("OGR VRT, WFS, GDALG: a document that names other files or servers", text_file("p.vrt", "<OGRVRTDataSource></OGRVRTDataSource>")),
)  # fmt: skip


if __name__ == "__main__":
    raise SystemExit(main())
