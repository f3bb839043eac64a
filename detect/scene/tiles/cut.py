"""Tiles of an area → one cloud-optimised GeoTIFF, with its provenance in a tag. Tiles that were read are kept until it is written."""

from __future__ import annotations

import datetime
import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import rasterio
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.errors import RasterioError
from rasterio.windows import Window
from shapely.geometry.base import BaseGeometry

from detect.base.errors import DetectError, InputError
from detect.base.files import whole_file
from detect.base.grid import Span
from detect.scene.cached import is_cached, write_cog
from detect.scene.provenance import TAG, Provenance
from detect.scene.tiles.download import PARALLEL
from detect.scene.tiles.pyramid import (
    Level,
    Plan,
    Pyramid,
    choose_level,
    column_read,
    level_named,
    plan,
    some_tiles,
    true_gsd_m,
    with_tile_px,
)

COARSEST_GSD_M = 3.0
_KEY_TAG = "DETECT_TILES"
_SAME_SHARE = 0.5
"""From this share of tiles that are one and the same picture, the source seems to have nothing there."""
_FEW = 8
_EMPTY = b""  # what stands on disk for a tile that the source does not have


@dataclass(frozen=True)
class Order:
    """What is wanted of a pyramid."""

    area: BaseGeometry
    """In longitude and latitude."""
    gsd_m: float
    """Ground size of a pixel that suits the network, metres."""
    zoom: str | None = None
    """Level to read, whatever its pixel."""
    max_tiles: int = 5000


def cut(pyramid: Pyramid, order: Order, path: Path, *, overwrite: bool = False, report: Callable[[int, int], None]) -> None:
    """Read the tiles of an area into a GeoTIFF; if the file holds them already, nothing is read.

    Args:
        pyramid: where to read.
        order: what to read.
        path: the file.
        overwrite: replace a file that other tiles were read into.
        report: called with the number of tiles that are read, and of all.

    Raises:
        InputError: no tiles there, too many, or the file holds something else.
        DetectError: the source could not be read; tiles that were read stay, and the same call goes on.
    """
    work = path.with_name(f".{path.name}.tiles")
    key = _key(pyramid, order)
    if is_cached(path, _KEY_TAG, key, overwrite=overwrite):
        return
    if (work / "key").is_file() and (work / "key").read_text(encoding="utf-8") != key:
        shutil.rmtree(work)
    with _leaving_no_empty_folder(work):
        work.mkdir(parents=True, exist_ok=True)
        (work / "key").write_text(key, encoding="utf-8")
        store = _Store(pyramid, work)
        pyramid, wanted = _probed(store, order)
        if len(wanted.tiles) > order.max_tiles and not pyramid.is_local:
            shutil.rmtree(work)
            raise InputError(_too_many(pyramid, wanted, order))
        store = replace(store, pyramid=pyramid)
        hashes = store.fetch(wanted, report)
        missing = hashes[_hash(_EMPTY)]
        if missing == len(wanted.tiles):
            raise InputError(
                f"{pyramid.address}: has no tiles there at zoom {wanted.level.name}; look at the order of its x and y, "
                "give another --zoom, or another source"
            )
    told = Provenance(
        source=pyramid.address,
        retrieved=datetime.date.today().isoformat(),
        attribution=pyramid.attribution,
        terms=pyramid.terms,
        level=wanted.level.name,
        tiles=len(wanted.tiles),
        missing=missing,
        notes=list(_unusual(hashes, wanted)),
    )
    _write(path, store, wanted, {TAG: json.dumps(told.to_json(), ensure_ascii=False), _KEY_TAG: key})
    shutil.rmtree(work)


@contextmanager
def _leaving_no_empty_folder(work: Path) -> Iterator[None]:
    """After an error, remove the folder of tiles unless it holds some, with which the same call goes on."""
    try:
        yield
    except BaseException:
        if work.is_dir() and not any(p.stat().st_size for p in work.iterdir() if p.name != "key"):
            shutil.rmtree(work)
        raise


@dataclass(frozen=True)
class _Store:
    """Tiles of a pyramid, each kept in a folder once it is read."""

    pyramid: Pyramid
    folder: Path

    def read(self, level: Level, column: int, row: int) -> bytes:
        """The encoded picture of a tile; empty where there is none."""
        column = column_read(self.pyramid, level, column)
        file = self.folder / f"{level.tile_hw[1]}-{level.name}-{column}-{row}".replace("/", "_")
        if file.is_file():
            return file.read_bytes()
        found = self.pyramid.read(level, column, row) or _EMPTY
        with whole_file(file) as aside:
            aside.write_bytes(found)
        return found

    def fetch(self, wanted: Plan, report: Callable[[int, int], None]) -> Counter[str]:
        """Read all tiles, a few at a time; how often each picture comes, by its hash."""
        hashes: Counter[str] = Counter()
        with ThreadPoolExecutor(PARALLEL) as readers:
            waiting = [readers.submit(self.read, wanted.level, *tile) for tile in wanted.tiles]
            try:
                for done, one in enumerate(waiting, start=1):
                    hashes[_hash(one.result())] += 1
                    report(done, len(waiting))
            except BaseException:
                readers.shutdown(cancel_futures=True)
                raise
        return hashes


def _probed(store: _Store, order: Order) -> tuple[Pyramid, Plan]:
    """The level to read, found by a few of its tiles: it may have other tiles than 256 px, and a source may end before it says so."""
    pyramid = store.pyramid
    level = level_named(pyramid, order.zoom) if order.zoom is not None else choose_level(pyramid, order.area, order.gsd_m)
    while True:
        wanted = plan(pyramid, level, order.area)
        pictures = [picture for tile in some_tiles(pyramid, wanted, order.area) if (picture := store.read(level, *tile))]
        if pictures:
            sides = Counter(_decoded(one, pyramid).shape[0] for one in pictures)
            side = sides.most_common(1)[0][0]  # one of them may be a blank
            if side == level.tile_hw[0]:
                return pyramid, wanted
            if not all(one.name.isdecimal() for one in pyramid.levels) or side % 256 or level.tile_hw[0] != 256:
                raise InputError(f"{pyramid.address}: its tiles are {side} px wide, not {level.tile_hw[0]}")
            pyramid = with_tile_px(pyramid, side)
            return pyramid, plan(pyramid, _again(pyramid, level, order), order.area)
        coarser = [one for one in pyramid.levels if one.transform.a > level.transform.a]
        if order.zoom is not None or not coarser or true_gsd_m(pyramid, coarser[-1], order.area) > COARSEST_GSD_M:
            return pyramid, wanted  # perhaps other tiles are there
        level = coarser[-1]


def _again(pyramid: Pyramid, level: Level, order: Order) -> Level:
    """The level to read after its tiles turned out larger: never a finer one than was found to exist."""
    if order.zoom is not None:
        return level_named(pyramid, order.zoom)
    chosen = choose_level(pyramid, order.area, order.gsd_m)
    return min(chosen, level_named(pyramid, level.name), key=lambda one: -one.transform.a)


def _too_many(pyramid: Pyramid, wanted: Plan, order: Order) -> str:
    count = f"{len(wanted.tiles):,} tiles of zoom {wanted.level.name} ({wanted.gsd_m:.2f} m) are needed"
    return f"{pyramid.address}: {count}, and --max-tiles allows {order.max_tiles:,}; give a smaller area, a coarser --zoom, or more tiles"


def _unusual(hashes: Counter[str], wanted: Plan) -> Iterator[str]:
    ((_, most),) = hashes.most_common(1)
    if most >= max(_FEW, _SAME_SHARE * len(wanted.tiles)) and hashes[_hash(_EMPTY)] < most:
        yield (
            f"source: {most} of {len(wanted.tiles)} tiles of zoom {wanted.level.name} are one and the same picture: "
            "it may say that nothing finer is there; a coarser --zoom may help"
        )


def _write(path: Path, store: _Store, wanted: Plan, tags: dict[str, str]) -> None:
    """Put the tiles of a plan together."""
    place = wanted.level.transform * Affine.translation(wanted.span.col0, wanted.span.row0)
    profile = {
        "driver": "GTiff", "dtype": "uint8", "count": 3, "height": wanted.span.height, "width": wanted.span.width, "nodata": 0,
        "crs": store.pyramid.crs.to_wkt(), "transform": place, "tiled": True, "blockxsize": 256, "blockysize": 256,
        "photometric": "RGB", "SPARSE_OK": True, "BIGTIFF": "IF_SAFER",
    }  # fmt: skip
    plain = store.folder / "plain.tif"
    with rasterio.open(plain, "w", **profile) as raster:
        raster.update_tags(**tags)
        for tile in wanted.tiles:
            encoded = store.read(wanted.level, *tile)
            if encoded:
                _paint(raster, _scaled(_decoded(encoded, store.pyramid), wanted.level.tile_hw), tile, wanted)
    try:
        write_cog(plain, path, SPARSE_OK="TRUE")
    except RasterioError as cause:
        raise DetectError(f"{path}: cannot be written ({cause})") from cause


def _paint(raster: rasterio.io.DatasetWriter, picture: NDArray[np.uint8], tile: tuple[int, int], wanted: Plan) -> None:
    """Write the part of a tile that lies in the raster."""
    tall, wide = wanted.level.tile_hw
    whole = Span(tile[1] * tall, tile[0] * wide, (tile[1] + 1) * tall, (tile[0] + 1) * wide)
    part = whole.intersect(wanted.span)
    if part.is_empty:
        return
    inside = part.shift(-whole.row0, -whole.col0).slices()
    here = part.shift(-wanted.span.row0, -wanted.span.col0)
    raster.write(picture[inside].transpose(2, 0, 1), window=Window(here.col0, here.row0, here.width, here.height))


def _decoded(encoded: bytes, pyramid: Pyramid) -> NDArray[np.uint8]:
    """The colours (H, W, 3) of an encoded picture, red first: 0 where it is transparent, at least 1 elsewhere.

    Raises:
        DetectError: it is no picture, such as a message of the server.
    """
    picture = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_UNCHANGED)
    if picture is None:
        words = " ".join(encoded[:200].decode("utf-8", errors="replace").split())
        raise DetectError(f"{pyramid.address}: the source answers with something that is no picture: {words}")
    if picture.dtype != np.uint8:
        picture = (picture >> 8).astype(np.uint8) if picture.dtype == np.uint16 else np.clip(picture, 0, 255).astype(np.uint8)
    if picture.ndim == 2:
        picture = np.repeat(picture[..., None], 3, axis=2)
    colours = np.maximum(picture[..., 2::-1], 1)
    if picture.shape[2] == 4:
        colours = np.where(picture[..., 3:] > 0, colours, 0)
    return np.ascontiguousarray(colours, dtype=np.uint8)


def _scaled(picture: NDArray[np.uint8], size_hw: tuple[int, int]) -> NDArray[np.uint8]:
    """A tile in the size of the others: it shows the same ground, whatever its pixels (a blank may have a single one)."""
    if picture.shape[:2] == size_hw:
        return picture
    smaller = picture.shape[0] > size_hw[0]
    way = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    seen = cv2.resize(picture.any(axis=2).astype(np.uint8) * 255, size_hw[::-1], interpolation=way) == 255
    # Of a pixel that mixes with a transparent one, no colour is known.
    return np.asarray(cv2.resize(picture, size_hw[::-1], interpolation=way) * seen[..., None], dtype=np.uint8)


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _key(pyramid: Pyramid, order: Order) -> str:
    """What decides the content of the file, as far as it is known before anything is read."""
    wanted: Sequence[object] = (
        pyramid.address, [level.name for level in pyramid.levels], shapely.to_wkb(order.area, hex=True), order.gsd_m, order.zoom,
        *pyramid.content,
    )  # fmt: skip
    return _hash(json.dumps(wanted).encode())
