from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import shapely

from detect.base.errors import InputError
from detect.scene.tiles.archives import open_mbtiles, open_pmtiles
from detect.scene.tiles.cut import Order, cut
from detect.scene.tiles.pyramid import Pyramid
from tests.tile_server import FINEST_ZOOM, corners_degrees, serving, tile_bytes, tiles_at, write_mbtiles, write_pmtiles


def test_mbtiles(tmp_path: Path) -> None:
    tiles = open_mbtiles(str(write_mbtiles(tmp_path / "drawn.mbtiles")))
    column, row = tiles_at(FINEST_ZOOM)[0]
    assert tiles.read(tiles.levels[0], column, row) == tile_bytes(FINEST_ZOOM, column, row)
    assert tiles.read(tiles.levels[0], column + 1000, row) is None
    assert ([level.name for level in tiles.levels], tiles.attribution, tiles.is_local) == (["18"], "© drawn", True)
    assert tiles.outline is not None and tiles.outline.bounds == pytest.approx(corners_degrees())


def test_pmtiles_on_disk_and_behind_a_url(tmp_path: Path) -> None:
    path = write_pmtiles(tmp_path / "drawn.pmtiles")
    column, row = tiles_at(FINEST_ZOOM)[0]
    with serving(folder=tmp_path) as server:
        for place in (str(path), f"{server.url}/drawn.pmtiles"):
            tiles = open_pmtiles(place)
            assert tiles.read(tiles.levels[0], column, row) == tile_bytes(FINEST_ZOOM, column, row)
            assert tiles.read(tiles.levels[0], column + 1000, row) is None
            assert tiles.outline is not None and tiles.outline.bounds == pytest.approx(corners_degrees(), abs=1e-6)


@pytest.mark.parametrize(("name", "opening"), [("a.mbtiles", open_mbtiles), ("a.pmtiles", open_pmtiles)])
def test_no_archive(name: str, opening: object, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        opening(str(tmp_path / name))  # type: ignore[operator]
    (tmp_path / name).write_bytes(b"not an archive" * 20)
    with pytest.raises(InputError, match="is not a"):
        opening(str(tmp_path / name))  # type: ignore[operator]


@pytest.mark.parametrize(
    ("name", "opening", "write"), [("a.mbtiles", open_mbtiles, write_mbtiles), ("a.pmtiles", open_pmtiles, write_pmtiles)]
)
def test_an_archive_that_was_replaced_is_another_order(
    name: str, opening: Callable[[str], Pyramid], write: Callable[..., Path], tmp_path: Path
) -> None:
    path, out = write(tmp_path / name), tmp_path / "out.tif"
    order = Order(shapely.box(*corners_degrees()), 0.6)
    cut(opening(str(path)), order, out, report=lambda *_: None)
    before = out.stat().st_mtime_ns
    cut(opening(str(path)), order, out, report=lambda *_: None)
    assert out.stat().st_mtime_ns == before
    path.unlink()
    write(path)
    with pytest.raises(InputError, match="holds something else already; give --overwrite"):
        cut(opening(str(path)), order, out, report=lambda *_: None)


def test_vector_tiles_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="vector tiles"):
        open_mbtiles(str(write_mbtiles(tmp_path / "map.mbtiles", format="pbf")))
