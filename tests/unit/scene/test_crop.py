from __future__ import annotations

import zipfile
from pathlib import Path

import cv2
import numpy as np
import pyproj
import pytest
import rasterio
import rasterio.shutil
import shapely
from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.windows import from_bounds

from detect.base.errors import InputError
from detect.scene.crop import crop
from detect.scene.provenance import Provenance
from detect.scene.scene import open_scene
from detect.scene.sources import Source, sources
from detect.scene.sun import Sun
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
    crop(Source(str(scene)), area(40, 20, 90, 60), path, overwrite=True)
    assert path.stat().st_mtime_ns == before
    with pytest.raises(InputError, match="holds something else already; give --overwrite"):
        crop(Source(str(scene)), area(40, 20, 80, 60), path, overwrite=False)


def test_a_raster_that_was_replaced_is_read_again(write_scene: WriteScene, tmp_path: Path) -> None:
    values, path = draw_houses(), tmp_path / "part.tif"
    scene = write_scene(values)
    shown = tmp_path / "shown.vrt"
    rasterio.shutil.copy(scene, shown, driver="VRT")
    for given in (scene, shown):
        write_scene(values)
        crop(Source(str(given)), area(40, 20, 90, 60), path, overwrite=True)
        write_scene(255 - values)
        with pytest.raises(InputError, match="holds something else already; give --overwrite"):
            crop(Source(str(given)), area(40, 20, 90, 60), path, overwrite=False)
        crop(Source(str(given)), area(40, 20, 90, 60), path, overwrite=True)
        with rasterio.open(path) as part, rasterio.open(scene) as whole:
            np.testing.assert_array_equal(part.read(), whole.read(window=from_bounds(*part.bounds, whole.transform)))


def test_tags_that_tell_date_and_sun_are_kept(write_scene: WriteScene, tmp_path: Path) -> None:
    scene = write_scene()
    with rasterio.open(scene, "r+") as raster:
        raster.update_tags(ns="IMAGERY", ACQUISITIONDATETIME="2021-05-06 10:00:00")
        raster.update_tags(ns="IMD", **{"IMAGE_1.MEANSUNEL": "40", "IMAGE_1.MEANSUNAZ": "150"})
    crop(Source(str(scene)), area(40, 20, 90, 60), tmp_path / "part.tif", overwrite=False)
    whole, part = open_scene(scene), open_scene(tmp_path / "part.tif")
    assert (part.date, part.sun) == (whole.date, whole.sun) == ("2021-05-06", Sun(40, 150))
    assert not list(tmp_path.glob(".*")), "GDAL leaves no file of tags"


@pytest.mark.parametrize(
    ("crs", "west", "longitude"),
    [
        ("EPSG:4326", 290.0, -70.0),
        ("EPSG:4326", -181.0, 179.0),
        ("EPSG:4326", 179.9998, -180.0002),
        ("EPSG:3857", 179.9998, 179.9998),
    ],
)
def test_longitudes_may_continue_beyond_180(
    write_scene: WriteScene, tmp_path: Path, crs: str, west: float, longitude: float
) -> None:
    metres = 111_319.49079327358 if crs == "EPSG:3857" else 1.0
    place = Affine(5e-6 * metres, 0, west * metres, 0, -5e-6 * metres, -1e-4 * metres)
    scene = write_scene(draw_houses(), crs=crs, transform=place)
    wanted = shapely.box(longitude + 2e-4, -4e-4, longitude + 6e-4, -2e-4)
    crop(Source(str(scene)), wanted, tmp_path / "part.tif", overwrite=False)
    with rasterio.open(tmp_path / "part.tif") as part:
        col, row = ~place * (part.transform.c, part.transform.f)
        assert (col, row) == pytest.approx((40, 20), abs=1.01) and part.shape == pytest.approx((40, 80), abs=2)
        np.testing.assert_array_equal(part.read(), draw_houses()[:, round(row) :, round(col) :][:, : part.height, : part.width])


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_ground_control_points_are_a_georeference(write_scene: WriteScene, tmp_path: Path) -> None:
    scene = write_scene(crs=None)
    place = Affine.translation(*ORIGIN_XY) * Affine.scale(GSD_M, -GSD_M)

    def points(bend: float) -> list[GroundControlPoint]:
        corners = ((0, 0), (0, 160), (96, 160), (96, bend))
        return [GroundControlPoint(row, col, *(place * (0 if col == bend else col, row))) for row, col in corners]

    for bend, fits in ((0, True), (30, False)):
        with rasterio.open(scene, "r+") as raster:
            raster.gcps = (points(bend), CRS.from_epsg(32631))
        if not fits:
            with pytest.raises(InputError, match=r"its ground control points bend by 8 px; rectify it first"):
                crop(Source(str(scene)), area(40, 20, 90, 60), tmp_path / "part.tif", overwrite=True)
            continue
        crop(Source(str(scene)), area(40, 20, 90, 60), tmp_path / "part.tif", overwrite=False)
        with rasterio.open(tmp_path / "part.tif") as part:
            col, row = map(round, ~place * (part.transform.c, part.transform.f))
            np.testing.assert_array_equal(part.read(), draw_houses()[:, row : row + part.height, col : col + part.width])
            assert abs(col - 40) < 2 and abs(row - 20) < 2


def test_a_part_of_an_overlay_lies_where_it_does(tmp_path: Path) -> None:
    coded = cv2.imencode(".png", np.ascontiguousarray(draw_houses().transpose(1, 2, 0)[..., ::-1]))[1].tobytes()
    box = "<north>56.0008</north><south>56</south><east>37.5024</east><west>37.5</west><rotation>20</rotation>"
    overlay = "<GroundOverlay><Icon><href>{}</href></Icon><LatLonBox>" + box + "</LatLonBox></GroundOverlay>"
    for name, pictures in (("one.kmz", ["a.png"]), ("TWO.KMZ", ["a.png", "b.png"])):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr("doc.kml", f"<kml><Document>{''.join(map(overlay.format, pictures))}</Document></kml>")
            for picture in pictures:
                archive.writestr(picture, coded)
        whole = open_scene(source := sources([tmp_path / name])[-1])
        longitude, latitude = whole.transform * (70, 40)
        wanted = shapely.box(longitude - 1e-4, latitude - 5e-5, longitude + 1e-4, latitude + 5e-5)
        crop(source, wanted, tmp_path / "part.tif", overwrite=True)
        with rasterio.open(tmp_path / "part.tif") as part:
            col, row = map(round, ~whole.transform * (part.transform.c, part.transform.f))
            assert 0 < col < 70 < col + part.width < 160 and 0 < row < 40 < row + part.height < 96
            np.testing.assert_array_equal(part.read(), draw_houses()[:, row : row + part.height, col : col + part.width])


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
