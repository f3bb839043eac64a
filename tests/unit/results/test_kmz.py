from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import geopandas as gpd
import numpy as np
import pyogrio
import pytest
from shapely import Polygon, box

from detect.base.stages import STAGES
from detect.results.kmz import write_kmz
from detect.results.styles import STAGE_COLOURS_RGB
from tests.unit.results.test_tables import plots, some

KML = "{http://www.opengis.net/kml/2.2}"
COUNT = {"estimate": 1, "low": 0, "high": 1200}


def summary(crs: str | None = "EPSG:32631") -> dict[str, Any]:
    site = {"name": "plot", "buildings": COUNT, "by_stage": dict.fromkeys(STAGES, COUNT), "beds": {"now": COUNT}}
    scene = {"name": "a <town> & more", "date": None, "crs": crs, "simulated": True, "provenance": {"attribution": "© drawn"}}
    return {"scene": scene, "model": {"name": "deep"}, "sites": [site]}


def root(path: Path) -> ElementTree.Element:
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == ["doc.kml"]
        return ElementTree.fromstring(archive.read("doc.kml"))


def test_two_readers_find_every_building_in_its_place(tmp_path: Path) -> None:
    path, table = tmp_path / "buildings.kmz", some(3)
    write_kmz(path, table, plots(), summary())
    expected = table.to_crs(4326)
    # LIBKML is Google's own library, behind GDAL; ElementTree reads the same file by the names of KML 2.2.
    names = ["plot", "outside all sites"]
    assert list(pyogrio.list_layers(path)[:, 0]) == names
    read = {name: gpd.read_file(path, layer=name) for name in names}
    assert [len(one) for one in read.values()] == [3, 1]  # the outline of the plot and two buildings; one building
    found = read["plot"].set_index("Name").loc["3"]
    assert found.geometry.intersection(expected.geometry[2]).area == pytest.approx(expected.geometry[2].area, rel=1e-3)
    folders = {folder.findtext(f"{KML}name"): folder for folder in root(path).iter(f"{KML}Folder")}
    marks = {one.findtext(f"{KML}name"): one for one in folders["plot"].iter(f"{KML}Placemark")}
    assert list(folders) == names and list(marks) == ["plot", "1", "3"]
    (ring,) = (one.text or "" for one in marks["3"].iter(f"{KML}coordinates"))
    lonlat = Polygon([[float(number) for number in pair.split(",")] for pair in ring.split()])
    assert lonlat.exterior.is_ccw
    assert lonlat.intersection(expected.geometry[2]).area == pytest.approx(expected.geometry[2].area, rel=1e-3)


def test_styles_and_numbers(tmp_path: Path) -> None:
    write_kmz(tmp_path / "a.kmz", some(3), plots(), summary())
    tree = root(tmp_path / "a.kmz")
    styles = {style.get("id") for style in tree.iter(f"{KML}Style")}
    used = [found.text for found in tree.iter(f"{KML}styleUrl")]
    assert used == ["#site", "#foundation-like", "#complete-like", "#incomplete"]
    assert {str(one)[1:] for one in used} <= styles
    texts = " ".join(tree.itertext())
    assert "a <town> & more" in texts and "SIMULATED" in texts and "© drawn" in texts and "1 (0–1,200) buildings" in texts
    data = {one.get("name"): one[0].text for one in next(iter(tree.iter(f"{KML}ExtendedData")))}
    assert data["stage"] == "foundation" and data["area_m2"] == "0.12" and data["beds"] == "256"


def test_known_heights_stand_up(tmp_path: Path) -> None:
    table = some(2)
    table["height_m"] = [7.5, np.nan]
    write_kmz(tmp_path / "a.kmz", table, plots(), summary())
    polygons = list(root(tmp_path / "a.kmz").iter(f"{KML}Polygon"))[1:]
    modes = [polygon.findtext(f"{KML}altitudeMode") for polygon in polygons]
    assert modes == ["relativeToGround", None]
    assert next(iter(polygons[0].iter(f"{KML}coordinates"))).text.split()[0].endswith(",7.5")  # type: ignore[union-attr]


def test_across_180_degrees(tmp_path: Path) -> None:
    table = some(1).set_geometry([box(179.9999, 1, 180.0001, 1.0001)], crs=4326)
    write_kmz(tmp_path / "a.kmz", table, plots().set_geometry([box(179, 0, 181, 2)], crs=4326), summary("EPSG:4326"))
    longitudes = [
        float(pair.split(",")[0])
        for found in root(tmp_path / "a.kmz").iter(f"{KML}coordinates")
        for pair in (found.text or "").split()
    ]
    assert -180 <= min(longitudes) < -179 and 179 < max(longitudes) <= 180


def test_a_scene_without_a_place(tmp_path: Path) -> None:
    table = some(2).set_crs(None, allow_override=True)
    write_kmz(tmp_path / "a.kmz", table, plots().set_crs(None, allow_override=True), summary(None))
    tree = root(tmp_path / "a.kmz")
    assert not list(tree.iter(f"{KML}Placemark")) and "no place on Earth" in " ".join(tree.itertext())


def test_the_same_buildings_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.kmz", "b.kmz"):
        write_kmz(tmp_path / name, some(3), plots(), summary())
    assert (tmp_path / "a.kmz").read_bytes() == (tmp_path / "b.kmz").read_bytes()


def test_stages_have_their_colours_in_the_order_of_kml(tmp_path: Path) -> None:
    write_kmz(tmp_path / "a.kmz", some(3), plots(), summary())
    colours = {
        style.get("id"): style.findtext(f"{KML}LineStyle/{KML}color") for style in root(tmp_path / "a.kmz").iter(f"{KML}Style")
    }
    for stage, rgb in STAGE_COLOURS_RGB.items():
        red, green, blue = (f"{value:02x}" for value in rgb)
        assert colours[stage] == "ff" + blue + green + red, "alpha, blue, green, red"


def test_of_very_many_buildings_it_has_those_to_look_at_first_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("detect.results.report.SHOWN", 2)
    write_kmz(tmp_path / "a.kmz", some(3), plots(), summary())
    tree = root(tmp_path / "a.kmz")
    assert len([*tree.iter(f"{KML}ExtendedData")]) == 2
    assert "Of 3 buildings 2 are here" in next(tree.iter(f"{KML}description")).text
