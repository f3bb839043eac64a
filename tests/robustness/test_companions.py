"""Files that operating systems and programs put beside data are passed over wherever a folder is listed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import geopandas as gpd
import pytest
from shapely import box

from detect.base.errors import InputError
from detect.base.files import is_companion, listed
from detect.datasets import generic, outlines, xbd
from detect.datasets._folders import folders_named
from detect.datasets._masks import with_labels
from detect.datasets._pairs import pairs
from detect.datasets.registry import prepare
from detect.evaluation.smart import is_site_models
from detect.scene.sources import sources
from tests.conftest import ORIGIN_XY

APPLE_DOUBLE = b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X        " + bytes(80)
X, Y = ORIGIN_XY
HOUSES = gpd.GeoDataFrame(geometry=[box(X + 5, Y - 20, X + 20, Y - 5), box(X + 30, Y - 40, X + 45, Y - 30)], crs=32631)


def as_on_a_mac(folder: Path) -> None:
    """Put ``._name`` beside each file, ``.DS_Store`` into each folder, and the copies into ``__MACOSX`` that its own zip programs make."""
    for path in [folder, *folder.rglob("*")]:
        (path / ".DS_Store" if path.is_dir() else path.with_name(f"._{path.name}")).write_bytes(APPLE_DOUBLE)
    copies = folder / "__MACOSX"
    shutil.copytree(folder, copies)
    for path in [p for p in copies.rglob("*") if p.is_file() and not p.name.startswith(".")]:
        path.write_bytes(APPLE_DOUBLE)


@pytest.mark.parametrize(
    "name",
    ["._town.tif", ".DS_Store", "__MACOSX", "Thumbs.db", "desktop.ini", "@eaDir", "town.tif.aux.xml", "town.tif.ovr", "town.TFW"],
)
def test_what_systems_and_programs_add_is_a_companion(name: str) -> None:
    assert is_companion(name)


@pytest.mark.parametrize("name", ["town.tif", "_town.tif", "town.xml", "MACOSX", "thumbs.tif", "town.aux.tif"])
def test_data_are_none(name: str) -> None:
    assert not is_companion(name)


def test_nothing_in_a_companion_folder_is_listed(tmp_path: Path) -> None:
    for name in ("b/town.tif", "a.tif", "__MACOSX/b/town.tif", ".hidden/town.tif", "b/._town.tif"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert [p.relative_to(tmp_path).as_posix() for p in listed(tmp_path, "**/*.tif")] == ["a.tif", "b/town.tif"]
    hidden = tmp_path / ".hidden"
    assert listed(hidden) == [hidden / "town.tif"], "a folder that the user named is listed, whatever its name"


def test_a_pattern_of_predict_passes_over_them(tmp_path: Path) -> None:
    for name in ("town.tif", "town.tif.aux.xml", "town.tif.ovr", "town.tfw", "Thumbs.db", "._town.tif"):
        (tmp_path / name).touch()
    assert [Path(s.path).name for s in sources([tmp_path / "*"])] == ["town.tif"]
    with pytest.raises(InputError, match="no file fits"):
        sources([tmp_path / "*.ovr"])


def test_prepare_generic_reads_a_folder_from_a_mac(tiny_scene: Path, tmp_path: Path) -> None:
    source = tmp_path / "set"
    source.mkdir()
    shutil.copy(tiny_scene, source / "town.tif")
    HOUSES.to_file(source / "town.gpkg")
    as_on_a_mac(source)
    assert [i.path.name for i in generic.images(source)] == ["town.tif"]
    assert prepare("generic", source, tmp_path / "chips").buildings == 2


def test_adapters_with_folders_read_them_from_a_mac(tiny_scene: Path, tmp_path: Path) -> None:
    for name in ("set/images", "set/labels"):
        (tmp_path / name).mkdir(parents=True)
    images, labels = tmp_path / "set/images", tmp_path / "set/labels"
    shutil.copy(tiny_scene, images / "a.tif")
    shutil.copy(tiny_scene, labels / "a.tif")
    HOUSES.to_file(labels / "a.geojson")
    as_on_a_mac(tmp_path / "set")
    assert folders_named(tmp_path / "set", "images") == [images]
    assert list(with_labels(images, labels, "a set", "a layout")) == [(images / "a.tif", labels / "a.tif")]
    assert list(pairs(images, labels, "a set", "a layout")) == [(images / "a.tif", labels / "a.geojson")]
    assert is_site_models(labels)


def test_labels_in_json_are_read_from_a_mac(tiny_scene: Path, tmp_path: Path) -> None:
    images, labels = tmp_path / "xbd/train/images", tmp_path / "xbd/train/labels"
    images.mkdir(parents=True)
    labels.mkdir()
    shutil.copy(tiny_scene, images / "storm_00000001_pre_disaster.tif")
    label = {"features": {"xy": [], "lng_lat": []}, "metadata": {"sensor": "WV3", "pan_resolution": 0.5, "gsd": 2.0}}
    (labels / "storm_00000001_pre_disaster.json").write_text(json.dumps(label))
    as_on_a_mac(tmp_path / "xbd")
    assert [i.path.parent for i in xbd.images(tmp_path / "xbd")] == [images]
    drawn = tmp_path / "drawn"
    drawn.mkdir()
    shutil.copy(tiny_scene, drawn / "town.tif")
    drawing = {"image": "town.tif", "complete_windows_xywh": [[0, 0, 90, 90]], "outlines": []}
    (drawn / "town.json").write_text(json.dumps(drawing))
    as_on_a_mac(drawn)
    assert [i.path.name for i in outlines.images(drawn)] == ["town.tif"]
