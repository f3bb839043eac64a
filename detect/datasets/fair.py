"""fAIr (Humanitarian OpenStreetMap Team): OpenAerialMap tiles with OpenStreetMap outlines of towns and camps.

Layouts of fAIr and its utilities, in the source or in folders below it, one folder per region:

- input: ``OAM-<x>-<y>-<zoom>.png``, slippy-map tiles whose names give their place, and ``labels.geojson`` in EPSG:4326;
- preprocessed: ``chips/OAM-<x>-<y>-<zoom>.tif`` and ``labels/OAM-<x>-<y>-<zoom>.geojson``, both in EPSG:3857 or 4326;
  the content of ``preprocessed.tar.xz`` of a training. Its ``input`` holds the same pictures and is not read again.

``aois.geojson`` beside either bounds the ground that was mapped; with it, ground outside is unknown. Outlines were drawn for the
map or moved onto the picture as a whole, so they are treated as a metre or two off.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import geopandas as gpd
import shapely
from affine import Affine

from detect.base.errors import InputError
from detect.base.files import listed
from detect.datasets._pairs import pairs
from detect.datasets.images import DataSet, LabelledImage, Outlines, require, vector

TITLE = "fAIr"
LAYOUT = "<region>/input/OAM-x-y-zoom.png and labels.geojson, or <region>/preprocessed/chips/*.tif and labels/*.geojson"
_TILE_NAME = re.compile(r".+-(\d+)-(\d+)-(\d+)")
_PNG = b"\x89PNG\r\n\x1a\n"
_EQUATOR_M = 2 * math.pi * 6378137.0


@dataclass(frozen=True)
class Tile:
    """A picture of one slippy-map tile."""

    x: int
    y: int
    zoom: int
    size_px: int
    """Length of each side."""

    @property
    def to_mercator(self) -> Affine:
        """Pixels (x = column, y = row) → EPSG:3857."""
        side_m = _EQUATOR_M / 2**self.zoom
        corner = Affine.translation(self.x * side_m - _EQUATOR_M / 2, _EQUATOR_M / 2 - self.y * side_m)
        return corner * Affine.scale(side_m / self.size_px, -side_m / self.size_px)

    @property
    def gsd_m(self) -> float:
        """Ground size of a pixel in the tile's middle; Web Mercator stretches by 1 / cos latitude."""
        latitude = math.atan(math.sinh(math.pi * (1 - 2 * (self.y + 0.5) / 2**self.zoom)))
        return _EQUATOR_M / 2**self.zoom / self.size_px * math.cos(latitude)


def images(source: Path) -> Iterator[LabelledImage]:
    """Every tile of every region; a region is one place, whatever its zoom levels and folders."""
    regions = _regions(source)
    if not regions:
        require(source / "labels.geojson", TITLE, LAYOUT)
        raise InputError(f"{source}: holds no tile OAM-x-y-zoom.png; {TITLE} is read as {LAYOUT}")
    for root, folder in sorted(regions.items()):
        place = root.relative_to(source).as_posix() if root != source else source.resolve().name
        known = folder / "aois.geojson"
        area = vector(known) if known.is_file() else None
        if _is_preprocessed(folder):
            for chip, outlines in pairs(folder / "chips", folder / "labels", TITLE, LAYOUT):
                yield LabelledImage(chip, place, Outlines(vector(outlines)), label_kind="loose", area=area)
            continue
        table = cache(vector(require(folder / "labels.geojson", TITLE, LAYOUT)))
        for path in _tiles(folder):
            tile = _tile(path)
            yield LabelledImage(
                path,
                place,
                Outlines(partial(_in_pixels, table, tile)),
                label_kind="loose",
                gsd_m=tile.gsd_m,
                area=None if area is None else partial(_in_pixels, area, tile),
            )


def _regions(source: Path) -> dict[Path, Path]:
    """The folder of each region, and the subfolder that is read: the preprocessed one if there are both."""
    found: dict[Path, Path] = {}
    for folder in [source, *(p for p in listed(source, "**/*") if p.is_dir())]:
        root = folder
        while root != source and root.name in ("input", "preprocessed"):
            root = root.parent
        if _is_preprocessed(folder) or (root not in found and _is_input(folder)):
            found[root] = folder
    return found


def _is_preprocessed(folder: Path) -> bool:
    return (folder / "chips").is_dir() and (folder / "labels").is_dir()


def _is_input(folder: Path) -> bool:
    """Whether it holds tiles; outside ``input`` only with outlines, because trainings leave copies of their tiles."""
    return bool(_tiles(folder)) and (folder.name == "input" or (folder / "labels.geojson").is_file())


def _tiles(folder: Path) -> list[Path]:
    return [p for p in listed(folder, "*.png") if _TILE_NAME.fullmatch(p.stem)]


def _tile(path: Path) -> Tile:
    with path.open("rb") as file:
        head = file.read(24)  # signature, then the size in bytes 16 to 24
    if head[:8] != _PNG or len(head) < 24:
        raise InputError(f"{path}: is not a readable PNG; download it again")
    x, y, zoom = map(int, path.stem.split("-")[-3:])
    return Tile(x, y, zoom, int.from_bytes(head[16:20], "big"))


def _in_pixels(read: Callable[[], gpd.GeoDataFrame], tile: Tile) -> gpd.GeoDataFrame:
    """The outlines that touch a tile, in its pixels."""
    table = read().to_crs(3857)
    (west, north), (east, south) = (tile.to_mercator * (px, px) for px in (0, tile.size_px))
    near = sorted(table.sindex.query(shapely.box(west, south, east, north)))
    return gpd.GeoDataFrame(
        geometry=table.geometry.iloc[near].set_crs(None, allow_override=True).affine_transform((~tile.to_mercator).to_shapely())
    )


DATA_SET = DataSet(
    name="fair",
    title="fAIr: OpenAerialMap tiles with OpenStreetMap outlines",
    licence="CC-BY-4.0; ODbL-1.0",
    gsd_m="0.07-0.6",
    places="the towns and camps of its training sets",
    sensor="drone",
    labels="outlines, a metre or two off",
    source="https://fair.hotosm.org and hotosm/fAIr-utilities (docs/benchmark/sample-datasets.md)",
    cite="Humanitarian OpenStreetMap Team, fAIr; OpenAerialMap; © OpenStreetMap contributors",
    images=images,
    layout=LAYOUT,
)
