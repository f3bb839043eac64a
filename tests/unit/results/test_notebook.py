"""A result in a notebook, and the examples of its docstrings, which run."""

from __future__ import annotations

import doctest
import shutil
from pathlib import Path

import pytest

import detect
from detect.base.errors import InputError
from detect.results import result as module
from tests.smoke.placeholders import CRS, PLACE, SIZE_HW, provide
from tests.tile_server import serving


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the example of ``Result`` ran: a scene, a plot, and the result in ``out``."""
    import geopandas as gpd
    import shapely

    folder = tmp_path_factory.mktemp("notebook")
    provide("scene.tif", folder)
    corners = [PLACE @ xy for xy in shapely.box(0, 0, SIZE_HW[1], SIZE_HW[0]).exterior.coords]
    gpd.GeoDataFrame({"name": ["plot"]}, geometry=[shapely.Polygon(corners)], crs=CRS).to_crs(4326).to_file(
        folder / "plots.geojson"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        outcome = doctest.testmod(module, verbose=False)
    assert outcome.attempted >= 6 and outcome.failed == 0
    return folder


def test_a_result_shows_itself(place: Path) -> None:
    result = detect.Result.read(place / "out")
    shown = result._repr_html_()
    count = result.summary["total"]["buildings"]["estimate"]
    assert f"<td>{count:,}<br>" in shown and "data:image/jpeg;base64," in shown and "<script" not in shown
    assert len(shown) < 400_000


def test_the_report_in_a_frame(place: Path) -> None:
    result = detect.Result.read(place / "out" / "scene")
    frame = result.explore(height_px=500)._repr_html_()
    assert frame.count("<iframe") == frame.count("srcdoc=") == 1 and "height:500px" in frame and "&lt;script" in frame


def test_a_picture(place: Path) -> None:
    matplotlib = pytest.importorskip("matplotlib", reason="the extra 'notebook' is not installed")
    matplotlib.use("Agg")
    result = detect.Result.read(place / "out")
    axes = result.plot()
    west, _, _, north = result.buildings.total_bounds
    assert axes.get_xlim()[0] < west and axes.get_ylim()[1] > north and len(axes.get_legend().get_texts()) == 3
    matplotlib.pyplot.close(axes.figure)


def test_a_result_behind_an_address(place: Path, tmp_path: Path) -> None:
    shutil.copytree(place / "out" / "scene", tmp_path / "there")
    with serving(folder=tmp_path) as server:
        result = detect.Result.read(f"{server.url}/there?sig=SECRET")
        assert len(result.buildings) == result.summary["total"]["buildings"]["found"] and list(result.sites["name"]) == ["plot"]
        assert "SECRET" not in result._repr_html_()
        with pytest.raises(InputError, match="no result of detect predict can be read there"):
            detect.Result.read(f"{server.url}/nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds 0 predicted scenes"):
        detect.Result.read(tmp_path / "empty")
