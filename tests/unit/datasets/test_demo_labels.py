"""The labels that ship for checking: whole, inside the demo's scene, never for training."""

from pathlib import Path

import pytest
import shapely

from detect.datasets.outlines import Drawing, read_drawing

SCENE_PX = 600
FILE = Path(__file__).parents[3] / "labels" / "rotterdam_demo.json"


@pytest.fixture(scope="module")
def drawing() -> Drawing:
    return read_drawing(FILE)


def test_they_are_for_checking_under_the_licence_of_the_imagery(drawing: Drawing) -> None:
    assert (drawing.image, drawing.split, drawing.licence) == ("rotterdam.tif", "val", "CC-BY-SA-4.0")


def test_outlines_are_sound_and_drawn_once(drawing: Drawing) -> None:
    assert all(p.is_valid for p in drawing.polygons)
    shared_px2 = sum(p.area for p in drawing.polygons) - shapely.union_all(drawing.polygons).area
    assert shared_px2 < 2


def test_windows_lie_in_the_scene_and_apart(drawing: Drawing) -> None:
    scene = shapely.box(0, 0, SCENE_PX, SCENE_PX)
    assert all(scene.covers(part) for part in drawing.polygons + drawing.windows)
    assert shapely.union_all(drawing.windows).area == pytest.approx(sum(w.area for w in drawing.windows))


def test_the_page_counts_as_the_file_does(drawing: Drawing) -> None:
    page = (FILE.parent / "README.md").read_text(encoding="utf-8")
    share = sum(w.area for w in drawing.windows) / SCENE_PX**2
    empty = sum(not any(w.intersection(p).area > 1 for p in drawing.polygons) for w in drawing.windows)
    sheds = drawing.kinds.count("shed")
    assert f"{len(drawing.polygons)} outlines of buildings" in page
    assert f"{len(drawing.windows)} windows, {share:.0%} of the scene".replace("%", " %") in page
    assert f"{empty} of them hold none" in page
    assert f"The {len(drawing.polygons) - sheds} roofs of houses" in page and f"the {sheds} sheds" in page
