from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from rasterio.warp import Resampling, reproject

from detect.base.errors import DetectError, InputError
from detect.scene.scene import open_scene
from detect.scene.tiles.archives import open_mbtiles
from detect.scene.tiles.cut import Order, cut
from detect.scene.tiles.pyramid import Level, Pyramid, web_mercator_levels
from tests.smoke.placeholders import CRS, PLACE, SIZE_HW, draw_blocks
from tests.tile_server import corners_degrees, read_colours, write_mbtiles

SIDE_DEG = 360 / 2**18
"""Width of a tile of zoom 18."""


def quiet(done: int, total: int) -> None:
    pass


def grey(value: int, size_px: int = 256) -> bytes:
    return cv2.imencode(".png", np.full((size_px, size_px, 3), value, np.uint8))[1].tobytes()


class Drawn:
    """Tiles whose grey value is their column from the middle of the world; it counts what is read."""

    def __init__(self, highest: int = 18, size_px: int = 256) -> None:
        self.read: list[tuple[str, int, int]] = []
        self.highest, self.size_px = highest, size_px

    def __call__(self, level: Level, column: int, row: int) -> bytes | None:
        self.read.append((level.name, column, row))
        return grey(column - 2 ** (int(level.name) - 1), self.size_px) if int(level.name) <= self.highest else None

    @property
    def pyramid(self) -> Pyramid:
        return Pyramid("drawn", web_mercator_levels(0, 20), self, attribution="me", terms="CC0")


def order(*columns: float, gsd_m: float = 0.6, **rest: object) -> Order:
    """An area from the middle of one tile of zoom 18 to that of another, just north of the equator."""
    first, last = columns[0], columns[-1]
    return Order(shapely.box(first * SIDE_DEG, 0.0001, last * SIDE_DEG, 0.0002), gsd_m, **rest)  # type: ignore[arg-type]


def test_the_raster_is_the_area_with_its_provenance(tmp_path: Path) -> None:
    path = tmp_path / "out.tif"
    drawn = Drawn()
    cut(drawn.pyramid, order(1.5, 3.5), path, report=quiet)
    values, profile = read_colours(path)
    assert values.shape[2] in (512, 513)
    assert [values[0, 0, col] for col in (0, 127, 128, 383, 384, -1)] == [1, 1, 2, 2, 3, 3]
    assert profile["crs"].to_epsg() == 3857
    with rasterio.open(path) as raster:
        assert raster.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
    scene = open_scene(path)
    assert scene.provenance is not None
    assert (scene.provenance.attribution, scene.provenance.terms, scene.provenance.level) == ("me", "CC0", "18")
    assert any("credit: me; terms: CC0" in warning for warning in scene.warnings)
    assert scene.date is None
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.tif"]


def test_the_same_order_reads_nothing_again(tmp_path: Path) -> None:
    path, drawn = tmp_path / "out.tif", Drawn()
    cut(drawn.pyramid, order(1.5, 3.5), path, report=quiet)
    first = path.read_bytes()
    drawn.read.clear()
    cut(drawn.pyramid, order(1.5, 3.5), path, overwrite=True, report=quiet)
    assert not drawn.read and path.read_bytes() == first
    with pytest.raises(InputError, match="holds something else already; give --overwrite"):
        cut(drawn.pyramid, order(1.5, 4.5), path, report=quiet)
    cut(drawn.pyramid, order(1.5, 4.5), path, overwrite=True, report=quiet)
    assert path.read_bytes() != first


def test_another_layer_of_the_same_address_is_another_order(tmp_path: Path) -> None:
    path, drawn = tmp_path / "out.tif", Drawn()
    cut(replace(drawn.pyramid, content=("LAYERS=2020",)), order(1.5, 3.5), path, report=quiet)
    drawn.read.clear()
    with pytest.raises(InputError, match="holds something else already; give --overwrite"):
        cut(replace(drawn.pyramid, content=("LAYERS=2024",)), order(1.5, 3.5), path, report=quiet)
    cut(replace(drawn.pyramid, content=("LAYERS=2024",)), order(1.5, 3.5), path, overwrite=True, report=quiet)
    assert drawn.read


def test_a_file_of_the_user_is_never_replaced(tmp_path: Path) -> None:
    path = tmp_path / "out.tif"
    path.write_bytes(b"mine")
    with pytest.raises(InputError, match="give another --out"):
        cut(Drawn().pyramid, order(1.5, 3.5), path, overwrite=True, report=quiet)
    assert path.read_bytes() == b"mine"


def test_an_interrupted_call_goes_on(tmp_path: Path) -> None:
    path, drawn = tmp_path / "out.tif", Drawn()

    def broken(level: Level, column: int, row: int) -> bytes | None:
        if column - 2**17 == 5:
            raise DetectError("cut off")
        return drawn(level, column, row)

    with pytest.raises(DetectError, match="cut off"):
        cut(replace(drawn.pyramid, read=broken), order(1.5, 6.5), path, report=quiet)
    assert not path.exists()
    read = len(drawn.read)
    assert 0 < read < 6
    cut(drawn.pyramid, order(1.5, 6.5), path, report=quiet)
    assert len(drawn.read) == 6


def test_too_many_tiles_are_refused_before_they_are_read(tmp_path: Path) -> None:
    drawn = Drawn()
    with pytest.raises(InputError, match=r"101 tiles of zoom 18 .* --max-tiles allows 100"):
        cut(drawn.pyramid, order(1.5, 101.5, max_tiles=100), tmp_path / "out.tif", report=quiet)
    assert len(drawn.read) <= 6
    assert not list(tmp_path.iterdir())


def test_a_source_that_cannot_be_reached_leaves_no_folder(tmp_path: Path) -> None:
    def unreachable(*_: object) -> bytes:
        raise DetectError("cannot be reached")

    pyramid = Pyramid("there", web_mercator_levels(0, 18), unreachable)
    with pytest.raises(DetectError, match="cannot be reached"):
        cut(pyramid, Order(shapely.box(11.0, 48.0, 11.001, 48.001), 0.5), tmp_path / "out" / "scene.tif", report=lambda *_: None)
    assert not list((tmp_path / "out").iterdir())


def test_a_coarser_zoom_is_taken_where_there_is_nothing_finer(tmp_path: Path) -> None:
    path = tmp_path / "out.tif"
    cut(Drawn(highest=17).pyramid, order(1.5, 3.5), path, report=quiet)
    assert open_scene(path).gsd_m == pytest.approx(1.19, abs=0.02)
    with pytest.raises(InputError, match="has no tiles there at zoom 18"):
        cut(Drawn(highest=17).pyramid, order(1.5, 3.5, zoom="18"), tmp_path / "finer.tif", report=quiet)


def test_larger_tiles_are_noticed(tmp_path: Path) -> None:
    path, drawn = tmp_path / "out.tif", Drawn(size_px=512)
    cut(drawn.pyramid, order(1.5, 3.5), path, report=quiet)
    assert open_scene(path).gsd_m == pytest.approx(0.597, abs=0.01)  # zoom 17 has the wanted pixel
    assert {name for name, _, _ in drawn.read} == {"18", "17"}


def test_a_tile_of_another_size_shows_the_ground_of_its_neighbours(tmp_path: Path) -> None:
    halves = np.full((256, 256, 3), 50, np.uint8)
    halves[128:] = 200
    halves[:, :64] = 0
    shown = np.dstack([halves, np.where(halves[..., 0] > 0, 255, 0)]).astype(np.uint8)
    read = []
    for odd in (shown, shown.repeat(2, axis=0).repeat(2, axis=1), shown[::2, ::2]):
        pictures = {2: cv2.imencode(".png", odd)[1].tobytes()}
        tiles = Pyramid(
            "drawn", web_mercator_levels(18, 18), lambda level, column, row, p=pictures: p.get(column - 2**17, grey(90))
        )
        cut(tiles, order(0.5, 9.5), tmp_path / "out.tif", overwrite=True, report=quiet)
        (tmp_path / "out.tif").rename(path := tmp_path / f"{odd.shape[0]}.tif")
        read.append(read_colours(path)[0].astype(int))
    same, larger, smaller = read
    np.testing.assert_array_equal(same, larger)
    edges = (smaller != same).any(axis=0)
    assert edges.mean() < 0.01 and not smaller[:, (same == 0).all(axis=0)].any(), "only beside the edges in the picture"


@pytest.mark.parametrize("column", [1, 4])  # the tile in the midst is the first that is looked at
def test_a_blank_of_one_pixel_is_no_reason_to_stop(tmp_path: Path, column: int) -> None:
    blank = cv2.imencode(".png", np.zeros((1, 1, 4), np.uint8))[1].tobytes()
    tiles = Pyramid("drawn", web_mercator_levels(18, 18), lambda level, x, row: blank if x - 2**17 == column else grey(90))
    cut(tiles, order(0.5, 8.5), tmp_path / "out.tif", report=quiet)
    values, _ = read_colours(tmp_path / "out.tif")
    assert (values == 0).any(axis=(0, 1)).sum() == 256


def test_missing_tiles_and_transparent_pixels_are_no_data(tmp_path: Path) -> None:
    half = np.zeros((256, 256, 4), np.uint8)
    half[:, 128:, 3] = 255  # black, and seen
    tiles = {0: cv2.imencode(".png", half)[1].tobytes(), 1: None}
    pyramid = Pyramid("drawn", web_mercator_levels(18, 18), lambda level, column, row: tiles[column - 2**17])
    path = tmp_path / "out.tif"
    cut(pyramid, order(0.001, 1.999), path, report=quiet)
    values, profile = read_colours(path)
    assert profile["nodata"] == 0
    assert [values[0, 0, col] for col in (0, 130, 300)] == [0, 1, 0]
    assert any("1 of 2 tiles do not exist there" in warning for warning in open_scene(path).warnings)


def test_one_picture_everywhere_gets_a_line(tmp_path: Path) -> None:
    pyramid = Pyramid("drawn", web_mercator_levels(18, 18), lambda level, column, row: grey(200))
    path = tmp_path / "out.tif"
    cut(pyramid, order(1.5, 10.5), path, report=quiet)
    assert any("10 of 10 tiles of zoom 18 are one and the same picture" in warning for warning in open_scene(path).warnings)


def test_a_message_in_place_of_a_picture_is_shown(tmp_path: Path) -> None:
    pyramid = Pyramid("drawn", web_mercator_levels(18, 18), lambda level, column, row: b"<error>no such style</error>")
    with pytest.raises(DetectError, match="no picture: <error>no such style"):
        cut(pyramid, order(1.5, 3.5), tmp_path / "out.tif", report=quiet)


def test_a_file_on_this_machine_has_no_limit(tmp_path: Path) -> None:
    tiles = open_mbtiles(str(write_mbtiles(tmp_path / "drawn.mbtiles")))
    assert tiles.outline is not None
    cut(tiles, Order(tiles.outline, 0.3, max_tiles=1), tmp_path / "out.tif", report=quiet)
    assert open_scene(tmp_path / "out.tif").gsd_m == pytest.approx(0.369, abs=0.002)


def test_every_pixel_is_in_its_place(tmp_path: Path) -> None:
    tiles = open_mbtiles(str(write_mbtiles(tmp_path / "drawn.mbtiles")))
    west, south, east, north = corners_degrees()
    part = shapely.box(west + (east - west) / 4, south, east, north)
    cut(tiles, Order(part, 0.3), tmp_path / "out.tif", report=quiet)

    def misfit(shift_m: float) -> float:
        """Mean difference to the picture, brought back to its grid and moved to the east."""
        back = np.zeros((3, *SIZE_HW), np.uint8)
        with rasterio.open(tmp_path / "out.tif") as raster:
            place = Affine.translation(shift_m, 0) * PLACE
            reproject(rasterio.band(raster, [1, 2, 3]), back, dst_transform=place, dst_crs=CRS, resampling=Resampling.bilinear)
        seen = back.all(axis=0)
        return float(np.abs(back.astype(int) - draw_blocks()[0])[:, seen].mean())

    assert misfit(0) + 2 < min(misfit(0.5), misfit(-0.5))
