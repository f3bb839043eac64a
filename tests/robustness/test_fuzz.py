"""Damaged and odd files of every kind are read, or end in one line: never in another error. Each case follows from its number."""

from __future__ import annotations

import json
import os
import random
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from shapely import box

from detect.base.errors import DetectError
from detect.base.grid import Span
from detect.census.profiles import load_profile
from detect.census.review import read_corrections
from detect.census.sites import load_sites
from detect.scene.scene import open_scene
from detect.scene.sources import sources

SEED, CASES = int(os.environ.get("FUZZ_SEED", "0")), int(os.environ.get("FUZZ_CASES", "60"))
"""The first number, and how many cases of each kind; `make fuzz` takes more."""
CRS = "EPSG:32631"
OUTLINE = box(593_000, 5_747_000, 593_400, 5_747_400)
WORDS = (
    *(
        b"",
        b"0",
        b"-1",
        b"NaN",
        b"1e999",
        b"9" * 400,
        b"null",
        b"true",
        b"[]",
        b"{}",
        b'"',
        b"<",
        b"&",
        b"\x00",
        b"\xff\xfe",
        b"\r\n",
    ),
    *(b"../../etc/passwd", b"http://127.0.0.1:9/", b"2024-13-45", b"\xef\xbb\xbf", "ü".encode(), b"A" * 3000),
)


def mutated(content: bytes, seed: int) -> bytes:
    """A copy with one to four changes: bytes turned, cut, doubled or replaced by a word."""
    rng = random.Random(seed)
    result = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        at, to = sorted(rng.randrange(len(result) + 1) for _ in range(2))
        to = min(to, at + 40)
        kind = rng.randrange(6)
        if kind == 0 and result:
            result[min(at, len(result) - 1)] = rng.randrange(256)
        elif kind == 1:
            del result[at:to]
        elif kind == 2:
            result[at:at] = result[at:to]
        elif kind == 3:
            result[at:to] = rng.choice(WORDS)
        elif kind == 4:
            result[at:at] = rng.choice(WORDS)
        elif rng.random() < 0.2:
            del result[at:]
    return bytes(result)


def raster(path: Path) -> None:
    source = sources([path])[0]
    scene = open_scene(source)
    grid = scene.work_grid(scene.gsd_m)
    with scene.reader(grid) as reader:
        values, valid = reader.read(Span(0, 0, 16, 16))
    assert np.isfinite(values).all() and valid.shape == (16, 16)


def plots(path: Path) -> None:
    sites = load_sites(path, gpd.GeoSeries(crs=CRS).crs, OUTLINE).table
    assert np.isfinite(sites["area_km2"]).all() and (sites["area_km2"] > 0).all()
    assert shapely.is_valid(sites.geometry).all()


def corrections(path: Path) -> None:
    read_corrections(path, gpd.GeoSeries(crs=CRS).crs)


def listed(path: Path) -> None:
    assert sources([path])


def profile(path: Path) -> None:
    load_profile(path)


def table() -> gpd.GeoDataFrame:
    shapes = [box(593_010, 5_747_010, 593_110, 5_747_110), box(593_200, 5_747_010, 593_300, 5_747_110)]
    columns = {"id": [1, 2], "name": ["a", "b"], "planned_buildings": [10, 20], "stage": ["complete", "foundation"]}
    return gpd.GeoDataFrame(columns, geometry=shapes, crs=CRS)


def picture() -> np.ndarray:
    return np.random.default_rng(1).integers(40, 220, (4, 24, 40)).astype(np.uint8)


def write_tif(path: Path, **profile: object) -> None:
    settled = {"driver": "GTiff", "dtype": "uint8", "count": 4, "height": 24, "width": 40, "crs": CRS, "nodata": 0}
    with rasterio.open(path, "w", **settled, transform=Affine(0.5, 0, 593_000, 0, -0.5, 5_747_400), **profile) as out:
        out.write(picture())


def write_kmz(path: Path) -> None:
    place = "<LatLonBox><north>51.8662</north><south>51.866</south><east>4.3525</east><west>4.352</west><rotation>20</rotation></LatLonBox>"
    text = f"<kml><GroundOverlay><Icon><href>a.png</href></Icon>{place}</GroundOverlay></kml>"
    coded = cv2.imencode(".png", picture()[:3].transpose(1, 2, 0).copy())[1].tobytes()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("doc.kml", text)
        archive.writestr("a.png", coded)


def write_kml(path: Path) -> None:
    table().to_crs(4326)[["name", "geometry"]].to_file(path, driver="KML")


def write_item(path: Path) -> None:
    assets = {"visual": {"href": "a.tif", "type": "image/tiff", "roles": ["visual"]}}
    properties = {"datetime": "2024-06-05T10:00:00Z", "view:sun_elevation": 40, "view:sun_azimuth": 150}
    path.write_text(
        json.dumps({"type": "Feature", "stac_version": "1.0.0", "id": "x", "properties": properties, "assets": assets})
    )


def write_csv(path: Path) -> None:
    degrees = table().to_crs(4326)
    degrees.drop(columns="geometry").assign(WKT=degrees.geometry.to_wkt()).to_csv(path, index=False)


def write_profile(path: Path) -> None:
    path.write_bytes((Path(__file__).parents[2] / "configs" / "structures" / "dormitory.yaml").read_bytes())


KINDS: dict[str, tuple[Callable[[Path], None], Callable[[Path], None]]] = {
    "scene.tif": (write_tif, raster),
    "deflate.tif": (lambda path: write_tif(path, compress="deflate", tiled=True, blockxsize=16, blockysize=16), raster),
    "overlay.kmz": (write_kmz, raster),
    "plots.geojson": (lambda path: table().to_crs(4326).to_file(path), plots),
    "plots.kml": (write_kml, plots),
    "plots.csv": (write_csv, plots),
    "plots.gpkg": (lambda path: table().to_file(path), plots),
    "plots.parquet": (lambda path: table().to_parquet(path), plots),
    "review.geojson": (lambda path: table().to_file(path), corrections),
    "item.json": (write_item, listed),
    "list.txt": (lambda path: path.write_text("a.tif\nb.tif\n# c\n"), listed),  # type: ignore[dict-item,return-value]
    "profile.yaml": (write_profile, profile),
}


def broken_cases(path: Path, read: Callable[[Path], None], content: bytes, seeds: range) -> Iterator[str]:
    """What else than one line came out of damaged copies."""
    for seed in seeds:
        path.write_bytes(mutated(content, seed))
        try:
            read(path)
        except DetectError as error:
            if "\n" in str(error):
                yield f"seed {seed}: more than one line: {error}"
        except Exception as error:
            yield f"seed {seed}: {type(error).__name__}: {error}"


@pytest.mark.parametrize("name", list(KINDS))
@pytest.mark.filterwarnings("ignore")
def test_damaged_files_are_read_or_end_in_one_line(tmp_path: Path, name: str) -> None:
    write, read = KINDS[name]
    path = tmp_path / name
    write(path)
    content = path.read_bytes()
    read(path)
    assert not list(broken_cases(path, read, content, range(SEED, SEED + CASES)))
