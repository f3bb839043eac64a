"""The picture inside the page: what a tile shows, which tiles there are, what they weigh."""

from __future__ import annotations

import base64
from pathlib import Path

import cv2
import numpy as np
import pytest
from affine import Affine
from numpy.typing import NDArray
from shapely import box

from detect.base.errors import InputError
from detect.results import picture as module
from detect.results.picture import TILE_PX, Picture, read_picture, read_whole, take_picture
from detect.results.report import write_report
from detect.scene.reader import SceneReader
from detect.scene.scene import open_scene
from tests.conftest import GSD_M, ORIGIN_XY, WriteScene

HEIGHT, WIDTH = 1100, 1700  # 3 × 4 tiles of 512


def quarters() -> NDArray[np.uint8]:
    """Red, green, blue and white quarters: (3, 1100, 1700)."""
    values = np.full((3, HEIGHT, WIDTH), 10, np.uint8)
    values[0, : HEIGHT // 2, : WIDTH // 2] = 240
    values[1, : HEIGHT // 2, WIDTH // 2 :] = 240
    values[2, HEIGHT // 2 :, : WIDTH // 2] = 240
    values[:, HEIGHT // 2 :, WIDTH // 2 :] = 240
    return values


def tile(picture: Picture, key: str) -> NDArray[np.uint8]:
    """(H, W, 3), red first."""
    return cv2.imdecode(np.frombuffer(base64.b64decode(picture.tiles[key]), np.uint8), cv2.IMREAD_COLOR)[..., ::-1]


def test_a_small_scene_is_there_as_it_is(write_scene: WriteScene) -> None:
    scene = open_scene(write_scene(quarters()))
    picture = take_picture(scene, read_whole(scene))
    assert (picture.size_hw, picture.whole) == ((HEIGHT, WIDTH), 0)
    assert picture.transform.almost_equals(scene.transform)
    assert picture.gsd_m == pytest.approx(GSD_M, rel=0.01)
    # 4 × 3 tiles, then 2 × 2 of half the size, then 1.
    assert len(picture.tiles) == 12 + 4 + 1
    assert tile(picture, "0/3/2").shape == (HEIGHT - 2 * TILE_PX, WIDTH - 3 * TILE_PX, 3)
    assert tile(picture, "2/0/0").shape == (275, 425, 3)
    for key in ("0/0/0", "1/0/0", "2/0/0"):
        red, green, blue = tile(picture, key)[5, 5].astype(int)
        assert red > 200 and green < 60 and blue < 60, key
    assert (tile(picture, "0/3/2")[-5, -5] > 200).all()
    assert "whole scene at 0.50 m" in picture.note


def test_a_large_scene_is_coarse_and_fine_where_it_matters(write_scene: WriteScene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WHOLE_PX", HEIGHT * WIDTH // 3)  # half the size is a quarter of the pixels
    scene = open_scene(write_scene(quarters()))
    x, y = scene.transform * (1600, 1080)
    wanted = [box(x - 5, y - 5, x + 5, y + 5)]
    picture = take_picture(scene, read_whole(scene), wanted)
    assert picture.whole == 1
    assert {key for key in picture.tiles if key.startswith("1/")} == {"1/0/0", "1/1/0", "1/0/1", "1/1/1"}
    assert len([key for key in picture.tiles if key.startswith("0/")]) == 12, "all fit"
    coarse = sum(len(base64.b64decode(t)) for k, t in picture.tiles.items() if not k.startswith("0/"))
    tight = take_picture(scene, read_whole(scene), wanted, budget_bytes=round(1.6 * coarse))
    fine = [key for key in tight.tiles if key.startswith("0/")]
    assert "0/3/2" in fine and len(fine) < 12, "the tile with the building comes first"
    assert f"{len(fine)} of its 12 tiles" in tight.note
    assert (tile(tight, "0/3/2")[-5, -5] > 200).all()
    assert not [key for key in take_picture(scene, read_whole(scene), wanted, budget_bytes=1).tiles if key.startswith("0/")]


def test_ground_that_was_not_observed_gets_no_finer_tiles(write_scene: WriteScene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WHOLE_PX", HEIGHT * WIDTH // 3)
    values = quarters()
    values[:, :, 600:] = 0
    scene = open_scene(write_scene(values, nodata=0))
    fine = {key for key in take_picture(scene, read_whole(scene)).tiles if key.startswith("0/")}
    assert fine == {f"0/{column}/{row}" for column in (0, 1) for row in (0, 1, 2)}


def test_noise_stays_within_the_budget(write_scene: WriteScene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WHOLE_PX", 600_000)
    noise = np.random.default_rng(1).integers(1, 255, (3, HEIGHT, WIDTH), dtype=np.uint8)
    scene = open_scene(write_scene(noise))
    picture = take_picture(scene, read_whole(scene), budget_bytes=1_000_000)
    assert 500_000 < sum(len(base64.b64decode(t)) for t in picture.tiles.values()) < 1_100_000


def test_unobserved_pixels_are_grey_and_pixels_are_square_on_the_ground(write_scene: WriteScene) -> None:
    values = quarters()
    values[:, :300, :300] = 0
    degrees = Affine(9e-6, 0, 10, 0, -4.5e-6, 60)  # at 60° north twice as many degrees of longitude make a metre
    scene = open_scene(write_scene(values, crs="EPSG:4326", transform=degrees, nodata=0))
    picture = take_picture(scene, read_whole(scene))
    assert picture.size_hw == pytest.approx((HEIGHT, WIDTH), rel=0.01)
    assert tile(picture, "0/0/0")[100, 100] == pytest.approx(64, abs=4)


def test_the_picture_can_be_read_back_from_a_page(write_scene: WriteScene, tmp_path: Path) -> None:
    from tests.unit.results.test_report import example

    scene = open_scene(write_scene())
    picture = take_picture(scene, read_whole(scene))
    write_report(tmp_path / "report.html", picture, *example())
    assert read_picture(tmp_path / "report.html") == picture
    (tmp_path / "other.html").write_text("<p>no picture</p>")
    for wrong in ("other.html", "absent.html"):
        with pytest.raises(InputError, match=wrong):
            read_picture(tmp_path / wrong)


def test_a_turned_scene_finds_its_tiles(write_scene: WriteScene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WHOLE_PX", 100_000)
    turned = Affine.translation(*ORIGIN_XY) * Affine.rotation(30) * Affine.scale(0.5, -0.5)
    scene = open_scene(write_scene(quarters(), transform=turned))
    x, y = scene.transform * (1300, 300)  # in tile column 2, row 0, and away from its edges
    assert module._fine_tiles([box(x - 1, y - 1, x + 1, y + 1)], scene.transform, np.ones((3, 4), bool))[0] == (2, 0)


def test_averaging_fewer_rows_at_a_time_changes_no_pixel(write_scene: WriteScene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WHOLE_PX", HEIGHT * WIDTH // 3)
    scene = open_scene(write_scene(np.random.default_rng(0).integers(0, 256, (3, HEIGHT, WIDTH), np.uint8)))
    looks: list[int] = []
    at_once = read_whole(scene)
    look = SceneReader.look
    monkeypatch.setattr(SceneReader, "look", lambda *given: looks.append(given[1].height) or look(*given))
    monkeypatch.setattr(module, "_STRIP_PX", 300 * WIDTH)
    np.testing.assert_array_equal(read_whole(scene), at_once)
    assert looks == [256] * 4 + [HEIGHT - 1024]


@pytest.mark.parametrize("brightness", [0.2, 1.0])
def test_eight_bits_look_as_more_bits_do(write_scene: WriteScene, brightness: float) -> None:
    values = (np.random.default_rng(1).integers(0, 256, (3, 64, 96)) * brightness).astype(np.uint8)
    shown = [read_whole(open_scene(write_scene(given))) for given in (values, values.astype(np.uint16))]
    np.testing.assert_array_equal(*shown)
    assert shown[0].shape == (64, 96, 3) and shown[0].flags.c_contiguous
