from __future__ import annotations

from pathlib import Path

import numpy as np
import pyproj
import pytest
import rasterio
import shapely
from affine import Affine

from detect.base.errors import InputError
from detect.scene.crop import crop
from detect.scene.provenance import Provenance
from detect.scene.scene import open_scene
from detect.scene.sources import Source
from tests.conftest import GSD_M, ORIGIN_XY, WriteScene, draw_houses

TO_DEGREES = pyproj.Transformer.from_crs(32631, 4326, always_xy=True)


def area(col0: float, row0: float, col1: float, row1: float) -> shapely.Polygon:
    """A box in degrees within some pixels of a drawn scene."""
    corners = [(ORIGIN_XY[0] + col * GSD_M, ORIGIN_XY[1] - row * GSD_M) for col, row in ((col0, row0), (col1, row1))]
    return shapely.box(*shapely.MultiPoint([TO_DEGREES.transform(*corner) for corner in corners]).bounds)


@pytest.mark.parametrize("turn_deg", [0, 30])
def test_the_pixels_are_those_of_the_raster(write_scene: WriteScene, tmp_path: Path, turn_deg: float) -> None:
    values = draw_houses().astype(np.uint16) * 7
    place = Affine.translation(*ORIGIN_XY) * Affine.rotation(turn_deg) * Affine.scale(GSD_M, -GSD_M)
    scene = write_scene(values, transform=place, nodata=0)
    wanted = area(40, 20, 60, 40) if turn_deg else area(40, 20, 90, 60)
    crop(Source(str(scene)), wanted, tmp_path / "part.tif", overwrite=False)
    with rasterio.open(tmp_path / "part.tif") as part:
        col, row = map(round, ~place * (part.transform.c, part.transform.f))
        assert part.dtypes[0] == "uint16" and part.nodata == 0
        read = part.read()
        assert 0 < read.shape[1] < 96 and (turn_deg or (abs(read.shape[1] - 42) < 3 and abs(read.shape[2] - 51) < 3))
        placed = [~place * TO_DEGREES.transform(x, y, direction="INVERSE") for x, y in wanted.exterior.coords]
        inside = shapely.box(0, 0, 160, 96).intersection(shapely.MultiPoint(placed).convex_hull)
        assert shapely.box(col, row, col + read.shape[2], row + read.shape[1]).covers(inside), (
            "all of the area that the raster shows"
        )
        np.testing.assert_array_equal(read, values[:, row : row + read.shape[1], col : col + read.shape[2]])
    provenance = open_scene(tmp_path / "part.tif").provenance
    assert provenance is not None and provenance.source == str(scene)


def test_the_same_part_is_read_once(write_scene: WriteScene, tmp_path: Path) -> None:
    scene, path = write_scene(), tmp_path / "part.tif"
    crop(Source(str(scene)), area(40, 20, 90, 60), path, overwrite=False)
    before = path.stat().st_mtime_ns
    scene_gone = scene.rename(tmp_path / "gone.tif")
    crop(Source(str(scene)), area(40, 20, 90, 60), path, overwrite=True)
    assert path.stat().st_mtime_ns == before
    with pytest.raises(InputError, match="holds something else already; give --overwrite"):
        crop(Source(str(scene_gone)), area(40, 20, 80, 60), path, overwrite=False)


def test_masked_pixels_stay_masked(write_scene: WriteScene, tmp_path: Path) -> None:
    scene = write_scene(draw_houses())
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(scene, "r+") as raster:
        mask = np.full((96, 160), 255, np.uint8)
        mask[:30] = 0
        raster.write_mask(mask)
    crop(Source(str(scene)), area(40, 20, 90, 60), tmp_path / "part.tif", overwrite=False)
    with rasterio.open(tmp_path / "part.tif") as part:
        seen = part.dataset_mask()
        assert not seen[:9].any() and seen[12:].all()
    assert open_scene(tmp_path / "part.tif").bands == (1, 2, 3)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_what_cannot_be_cropped(write_scene: WriteScene, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="shows nothing of the area"):
        crop(Source(str(write_scene())), shapely.box(0, 0, 1, 1), tmp_path / "part.tif", overwrite=False)
    with pytest.raises(InputError, match="has no georeference"):
        crop(Source(str(write_scene(name="bare.tif", crs=None))), area(0, 0, 9, 9), tmp_path / "part.tif", overwrite=False)
    (tmp_path / "mine.tif").write_text("mine")
    with pytest.raises(InputError, match="give another --out"):
        crop(Source(str(write_scene())), area(0, 0, 9, 9), tmp_path / "mine.tif", overwrite=True)


def test_a_part_from_an_address_says_when_no_credit_is_stated() -> None:
    own, theirs = (
        str(Provenance(source=source, retrieved="2026-06-05", attribution="", terms="CC-BY-4.0", level=""))
        for source in ("scene.tif", "https://example.org/scene.tif")
    )
    assert own.endswith("read on 2026-06-05; terms: CC-BY-4.0")
    assert theirs.endswith("credit: not stated, ask the provider before you publish; terms: CC-BY-4.0")
