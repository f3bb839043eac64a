"""Ground overlays of Google Earth lie where KML 2.2 says, turned boxes and four corners too; what cannot be honoured is one line."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from detect.base.errors import InputError
from detect.base.geometry import GEOD
from detect.scene.scene import Scene, open_scene
from detect.scene.sources import sources
from tests.conftest import draw_houses

H, W = 96, 160
LON, LAT = 37.5, 56.0
HALF_NS = 0.0004
Save = Callable[..., Path]


def box(rotation: float | str | None = None, *, lon: float = LON, lat: float = LAT) -> str:
    """A box whose pixels are square on the ground."""
    half_we = HALF_NS * W / H / math.cos(math.radians(lat))
    west, east = lon - half_we, (lon + half_we + 180) % 360 - 180
    turn = "" if rotation is None else f"<rotation>{rotation}</rotation>"
    sides = f"<north>{lat + HALF_NS}</north><south>{lat - HALF_NS}</south><east>{east}</east><west>{west}</west>"
    return f"<LatLonBox>{sides}{turn}</LatLonBox>"


def quad(*corners: tuple[float, float]) -> str:
    text = " ".join(f"{lon},{lat},0" for lon, lat in corners)
    return f"<gx:LatLonQuad><coordinates>{text}</coordinates></gx:LatLonQuad>"


def overlay(place: str, href: str = "files/picture.png") -> str:
    return f"<GroundOverlay><name>old map</name><Icon><href>{href}</href></Icon>{place}</GroundOverlay>"


def document(*overlays: str) -> str:
    return (
        '<?xml version="1.0" encoding="UTF-8"?><kml xmlns="http://www.opengis.net/kml/2.2" '
        f'xmlns:gx="http://www.google.com/kml/ext/2.2"><Document><Folder>{"".join(overlays)}</Folder></Document></kml>'
    )


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """A function that writes a KMZ of a document, with pictures of four houses."""

    def written(text: str, name: str = "map.kmz", pictures: tuple[str, ...] = ("files/picture.png",)) -> Path:
        coded = cv2.imencode(".png", np.ascontiguousarray(draw_houses().transpose(1, 2, 0)[..., ::-1]))[1].tobytes()
        path = tmp_path / name
        if path.suffix.lower() == ".kmz":
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr("doc.kml", text)
                for picture in pictures:
                    archive.writestr(picture, coded)
        else:
            path.write_text(text, encoding="utf-8")
            for picture in pictures:
                (tmp_path / picture).parent.mkdir(exist_ok=True)
                (tmp_path / picture).write_bytes(coded)
        return path

    return written


def corner(scene: Scene, col: float, row: float) -> tuple[float, float]:
    """East and north of the middle of the box, metres."""
    lon, lat = scene.transform * (col, row)
    heading, _, metres = GEOD.inv(LON, LAT, lon, lat)
    return metres * math.sin(math.radians(heading)), metres * math.cos(math.radians(heading))


@pytest.mark.parametrize("turn", [None, 0, 45, -30, 180, 90])
def test_a_box_is_turned_counter_clockwise_about_its_middle(save: Save, turn: float | None) -> None:
    scene = open_scene(save(document(overlay(box(turn)))))
    assert scene.crs is not None and scene.crs.to_epsg() == 4326
    half_y = math.dist(corner(open_scene(save(document(overlay(box())), name="upright.kmz")), W / 2, 0), (0, 0))
    half_x, angle = half_y * W / H, math.radians(turn or 0)
    for x, y, pixel in ((-1, 1, (0, 0)), (1, 1, (W, 0)), (1, -1, (W, H)), (-1, -1, (0, H))):
        east = x * half_x * math.cos(angle) - y * half_y * math.sin(angle)
        north = x * half_x * math.sin(angle) + y * half_y * math.cos(angle)
        assert math.dist(corner(scene, *pixel), (east, north)) < 0.5
    assert scene.gsd_rc_m == pytest.approx((2 * half_y / H,) * 2, rel=0.01)  # its shape is kept


def test_four_corners_place_a_parallelogram(save: Save) -> None:
    ll, lr, ur, ul = (37.5, 56.0), (37.5013, 56.0003), (37.5010, 56.0008), (37.4997, 56.0005)
    scene = open_scene(save(document(overlay(quad(ll, lr, ur, ul)))))
    for expected, pixel in ((ul, (0, 0)), (ur, (W, 0)), (lr, (W, H)), (ll, (0, H))):
        assert scene.transform * pixel == pytest.approx(expected, abs=1e-9)


def test_across_180_degrees_it_stays_in_one_piece(save: Save) -> None:
    scene = open_scene(save(document(overlay(box(20, lon=180.0, lat=-17.0)))))
    assert scene.gsd_m < 1.2
    corners = [(179.9993, -17.0), (-179.9994, -17.0), (-179.9994, -16.9992), (179.9993, -16.9992)]
    scene = open_scene(save(document(overlay(quad(*corners))), name="quad.kmz"))
    assert 0.7 < scene.gsd_m < 1.2


def test_a_kml_with_the_picture_beside_it(save: Save, tmp_path: Path) -> None:
    inside = open_scene(save(document(overlay(box(45)))))
    beside = open_scene(save(document(overlay(box(45), "my%20pictures/a.png")), "map.kml", ("my pictures/a.png",)))
    assert beside.transform == inside.transform
    before = beside.sha256
    (tmp_path / "map.kml").write_text(document(overlay(box(44), "my pictures/a.png")), encoding="utf-8")
    assert open_scene(tmp_path / "map.kml").sha256 != before


def test_the_content_of_an_archive_counts_and_not_its_name_alone(save: Save) -> None:
    first = open_scene(save(document(overlay(box(45)))))
    assert open_scene(save(document(overlay(box(45))), "other.kmz")).sha256 != ""
    assert open_scene(save(document(overlay(box(46))))).sha256 != first.sha256


@pytest.mark.parametrize("name", ["map.kmz", "MAP.KMZ"])
def test_several_overlays_are_several_scenes(save: Save, name: str) -> None:
    text = document(overlay(box(10), "files/a.png"), overlay(box(-10), "files/b.png"))
    path = save(text, name, pictures=("files/a.png", "files/b.png"))
    found = sources([path])
    assert [source.name for source in found] == [f"{path.stem}-a", f"{path.stem}-b"]
    one, two = (open_scene(source) for source in found)
    assert one.transform != two.transform
    assert one.transform == open_scene(save(document(overlay(box(10))), "one.kmz")).transform
    with pytest.raises(InputError, match=r"map.kml: holds 2 ground overlays; save each as a KMZ of its own$"):
        open_scene(save(text, "map.kml", ("files/a.png", "files/b.png")))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (document(overlay(quad((0, 0), (0.002, 0), (0.001, 0.001), (0, 0.001)))), "are no parallelogram"),
        (document(overlay(quad((0, 0), (0.002, 0), (0.001, 0.001)))), "LatLonQuad has 3 corners, not 4"),
        (document(overlay(quad((0, 0), (0, 0), (0, 0), (0, 0)))), "span no ground"),
        (document(overlay(box("many"))), "could not convert string to float"),
        (document(overlay(box("nan"))), "rotation is 'nan', not a number"),
        (document(overlay("<LatLonBox><north>1</north></LatLonBox>")), "south is None, not a number"),
        (document(overlay(box().replace("north", "x").replace("south", "north").replace("<x>", "<south>").replace("</x>", "</south>"))),
         "encloses nothing"),
        (document(overlay("")), "has no LatLonBox and no LatLonQuad"),
        (document(overlay(box(), "")), "names no picture"),
        (document(overlay(box(), "files/other.png")), r"its picture files/other.png is missing"),
        (document(overlay(box(), "https://example.com/a.png")), r"lies elsewhere and is not read"),
        (document(overlay(box(), "../../etc/a.png")), r"lies elsewhere and is not read"),
        (document(overlay(box(), "C:/Users/me/a.png")), r"lies elsewhere and is not read"),
        (document("<NetworkLink><Link><href>https://example.com/a.kml</href></Link></NetworkLink>"), "only links to https://example.com"),
        ("<kml><Document>", "cannot be read as KMZ"),
    ],
)  # fmt: skip
def test_what_cannot_be_honoured_is_one_line(save: Save, text: str, words: str) -> None:
    with pytest.raises(InputError, match=words) as error:
        open_scene(save(text))
    assert "\n" not in str(error.value) and "map.kmz" in str(error.value)


def test_archives_that_are_none(save: Save, tmp_path: Path) -> None:
    (tmp_path / "broken.kmz").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(InputError, match=r"broken.kmz: cannot be read as KMZ"):
        open_scene(tmp_path / "broken.kmz")
    with zipfile.ZipFile(tmp_path / "empty.kmz", "w") as archive:
        archive.writestr("picture.png", b"")
    with pytest.raises(InputError, match=r"empty.kmz: holds no KML document"):
        open_scene(tmp_path / "empty.kmz")
