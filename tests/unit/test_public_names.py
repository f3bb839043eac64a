"""The names that ``import detect`` gives stay what they are, whatever was called or imported before."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import geopandas as gpd
import pytest
import rasterio
import shapely
from shapely import box

import detect
from tests.unit.runs.test_collect import write_result as write_placed_result
from tests.unit.tracks.drawn_series import draw_series, write_result

CALLS = """
import sys
from pathlib import Path
import detect

scene, results, out, review, *order = sys.argv[1:]
buildings = Path(results) / "0" / "buildings.gpkg"
calls = {
    "predict": lambda: detect.predict(scene, out=out, weights="deep-int8"),
    "adapt": lambda: detect.adapt(detect.predict(scene, out=out, weights="deep-int8"), review),
    "track": lambda: detect.track([results]),
    "collect": lambda: detect.collect([Path(results).with_name("placed")], Path(out).with_name("all"), overwrite=True),
    "evaluate": lambda: detect.evaluate(buildings, buildings),
    "load_model": lambda: detect.load_model("deep-int8"),
    "Result": lambda: detect.Result(Path(out), None, None, {}),
}
for name in [*order, *order]:
    calls[name]()
"""
NAMES = ("predict", "adapt", "track", "collect", "evaluate", "load_model", "Result")


def test_the_calls_are_all_that_is_public() -> None:
    assert sorted(NAMES) == sorted(detect.__all__)


@pytest.mark.parametrize(
    "order",
    [NAMES, NAMES[::-1], ("evaluate", "track", "Result", "adapt", "collect", "predict", "load_model")],
    ids=lambda o: o[0],
)
def test_each_can_be_called_again_in_any_order(order: tuple[str, ...], tiny_scene: Path, tmp_path: Path) -> None:
    for t, snapshot in enumerate(draw_series(3, dates=2, buildings=9, clouded=None, demolished=0).snapshots):
        write_result(tmp_path / "results" / str(t), snapshot)
    write_placed_result(tmp_path / "placed" / "scene", [box(10, 10, 30, 20)])
    review = tmp_path / "corrected.geojson"
    with rasterio.open(tiny_scene) as scene:
        drawn = shapely.box(*scene.bounds).centroid.buffer(3)
        gpd.GeoDataFrame({"id": [0], "stage": ["complete"]}, geometry=[drawn], crs=scene.crs).to_file(review)
    script = [sys.executable, "-c", CALLS, str(tiny_scene), str(tmp_path / "results"), str(tmp_path / "out"), str(review), *order]
    ended = subprocess.run(script, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


def packages() -> list[str]:
    found = pkgutil.walk_packages(detect.__path__, "detect.")
    return ["detect", *(m.name for m in found if m.ispkg)]


@pytest.mark.parametrize("name", packages())
def test_no_submodule_carries_the_name_of_what_its_package_gives(name: str) -> None:
    """Importing it would put the module in the place of the function."""
    package = importlib.import_module(name)
    submodules = {m.name for m in pkgutil.iter_modules(package.__path__)}
    assert not submodules & set(getattr(package, "__all__", ()))
