"""report.html as a file: whole, valid, self-contained, escaped, in agreement with summary.json."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import shapely
from shapely import box

from detect.census.count import take_census
from detect.census.dormitories import rows_layer
from detect.census.profiles import load_profile
from detect.results.picture import read_whole, take_picture
from detect.results.report import CHECK_ME, by_interest, doubt, write_report
from detect.scene.scene import open_scene
from tests.conftest import ORIGIN_XY
from tests.unit.results.test_tables import CRS, plots, some

EVIL = "</script><script>alert('plot')</script>"
VOID = {"meta", "link", "input", "br", "hr", "img", "path"}


def example(count: int = 3, site: str = "plot") -> tuple[gpd.GeoDataFrame, gpd.GeoDataFrame, gpd.GeoDataFrame, dict[str, Any]]:
    """Buildings, rows, sites and a summary that agree."""
    buildings, sites = some(count), plots().assign(name=site, planned_buildings=40.0)
    buildings["site"] = buildings["site"].replace("plot", site)
    counted = take_census(buildings, sites, load_profile(), None, [["half of it lies outside"]])
    summary = {
        "scene": {
            "name": "tiny", "date": None, "crs": "EPSG:32631", "gsd_m": 0.5, "area_km2": 0.004, "size_px": [96, 160], "bands": [1, 2, 3],
            "sha256": "ab" * 32, "whole_scene_is_the_site": False,
        },
        "model": {"name": "deep", "sha256": "cd" * 32, "gsd_m": 0.3, "licence": "CC-BY-SA-4.0", "accuracy": {"F1": 0.54},
                  "data": [{"data_set": "spacenet1_rio", "licence": ["CC-BY-SA-4.0"], "places": 9}]},
        **counted,
        "warnings": ["SIMULATED: drawn"],
    }  # fmt: skip
    return buildings, rows_layer(buildings), sites, summary


class Page(HTMLParser):
    """Tags that nest as they should, every attribute, and the text of each script."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.scripts: dict[str, str] = {}
        self.text = ""
        self.feed(text)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        self.last = dict(attrs)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.scripts[self.last.get("id") or f"code {len(self.scripts)}"] = data
        elif "style" not in self.open:
            self.text += data

    def data(self, name: str) -> Any:
        return json.loads(self.scripts[name])


@pytest.fixture
def write(tiny_scene: Path, tmp_path: Path) -> Any:
    """A function that writes the page of an example and returns its text."""
    scene = open_scene(tiny_scene)
    picture = take_picture(scene, read_whole(scene))

    def written(*tables: Any, name: str = "report.html") -> str:
        write_report(tmp_path / name, picture, *tables)
        return (tmp_path / name).read_text(encoding="utf-8")

    return written


def test_the_page_is_valid_and_names_no_other_file(write: Any) -> None:
    text = write(*example())
    page = Page(text)
    assert text.startswith("<!DOCTYPE html>")
    ids = [value for _, name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    assert ids
    for tag, name, value in page.attributes:
        if name in ("src", "href", "srcset", "poster", "data", "action"):
            assert value.startswith(("data:", "#")), (tag, name, value)
    assert not re.search(r"url\((?!#default#VML)[^)]*\)|@import|sourceMappingURL|(src|href)=[\"']?http", text)
    policy = next(v for tag, name, v in page.attributes if tag == "meta" and name == "content" and "default-src" in v)
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert "unsafe" not in policy and not [v for _, name, v in page.attributes if name == "style" or name.startswith("on")]
    for element in ("style", "script"):  # a browser runs those alone whose hash the policy holds
        contents = re.findall(rf"<{element}>(.*?)</{element}>", text, flags=re.DOTALL)
        hashes = {base64.b64encode(hashlib.sha256(content.encode()).digest()).decode() for content in contents}
        assert contents and hashes == set(re.findall(r"sha256-([^']+)", policy.partition(f"{element}-src")[2].partition(";")[0]))
    named = {v for tag, name, v in page.attributes if tag == "label" and name == "for"}
    assert named <= set(ids)


def test_north_is_shown_only_where_it_is_known(write: Any) -> None:
    buildings, *rest = example()
    assert '<svg class="north"' in write(buildings, *rest)
    text = write(buildings.set_crs(None, allow_override=True), *rest)
    assert '<svg class="north"' not in text and '"north_deg":null' in text.replace(" ", "")


def test_every_building_is_there_with_its_numbers_and_place(write: Any) -> None:
    buildings, *rest = example()
    found = Page(write(buildings, *rest)).data("buildings")
    assert found["id"] == buildings["id"].tolist()
    assert found["stage"] == buildings["stage"].tolist()
    assert found["site"] == ["plot", None, "plot"]
    # The first stands 10–30 m below the upper left corner and is 12 m wide: pixels of 0.5 m.
    corners = np.cumsum(np.reshape(found["rings"][0][0], (-1, 2)), axis=0) / 10
    assert corners.min(axis=0) == pytest.approx([0, 20], abs=0.2)
    assert corners.max(axis=0) == pytest.approx([24, 60], abs=0.2)
    lon, lat = buildings.to_crs(4326).geometry.iloc[0].centroid.coords[0]
    assert (found["longitude"][0], found["latitude"][0]) == pytest.approx((lon, lat), abs=1e-4)


def test_of_very_many_buildings_the_page_has_those_to_look_at_first(write: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("detect.results.report.SHOWN", 2)
    buildings, rows, sites, summary = example(3)
    page = Page(write(buildings, rows, sites, summary))
    assert len(page.data("buildings")["id"]) == 2
    assert page.data("buildings")["id"] == sorted(page.data("buildings")["id"])
    assert "Of 3 buildings it has the 2 to look at first" in page.text


def test_totals_are_those_of_the_summary(write: Any) -> None:
    *tables, summary = example()
    page = Page(write(*tables, summary))
    shown = [(int(v)) for _, name, v in page.attributes if name == "data-estimate"]
    total = summary["total"]
    beds = total["beds"]
    figures = [total["buildings"], total["dormitory_like"], *(beds[k] for k in ("now", "when_complete", "planned"))]
    assert shown[:5] == [count["estimate"] for count in figures]
    assert beds["planned"]["estimate"] == 40 * 256
    for text in (
        "10,240",
        "F1 0.54",
        "spacenet1_rio: CC-BY-SA-4.0, 9 places",
        "half of it lies outside",
        "SIMULATED",
        "never a claim of identity",
    ):
        assert text in page.text, text
    assert page.data("assumptions") == json.loads(json.dumps(summary["assumptions"]))
    for site in summary["sites"]:
        low, high = site["buildings"]["low"], site["buildings"]["high"]
        assert f"{low:,}–{high:,}" in page.text


def test_what_a_user_wrote_is_text_not_code(write: Any) -> None:
    plain, text = write(*example()), write(*example(site=EVIL))
    assert text.lower().count("<script") == plain.lower().count("<script")
    assert EVIL not in text
    page = Page(text)
    assert page.data("buildings")["site"][0] == EVIL
    assert page.data("outlines")["sites"][0]["name"] == EVIL
    assert EVIL in page.text


def test_the_page_knows_what_corrections_start_from_and_where_they_lie(write: Any) -> None:
    buildings, rows, sites, summary = example()
    editing = Page(write(buildings, rows, sites, summary)).data("editing")
    assert editing["next_id"] == int(buildings["id"].max()) + 1
    assert editing["counts"]["plot"]["buildings"] == summary["sites"][0]["buildings"]["estimate"]
    assert editing["counts"][""]["beds"]["now"] == summary["total"]["beds"]["now"]["estimate"]
    places = editing["places"]
    corner = gpd.GeoSeries([shapely.Point(ORIGIN_XY)], crs=CRS).to_crs(4326)[0]
    assert (places["x"][0], places["y"][0]) == pytest.approx((corner.x, corner.y), abs=1e-8)
    assert len(places["x"]) == places["columns"] * places["rows"] == 4, "a scene of 80 m needs its corners alone"


def test_nothing_found_is_a_page_too(write: Any) -> None:
    page = Page(write(*example(0)))
    assert page.data("buildings")["id"] == []
    assert "No building was found." in page.text


def test_a_scene_without_a_place_has_one_too(write: Any) -> None:
    buildings, rows, sites, summary = example()
    summary["scene"] |= {"crs": None, "whole_scene_is_the_site": True}
    buildings, rows, sites = (t.set_crs(None, allow_override=True) for t in (buildings, rows, sites))
    page = Page(write(buildings, rows, sites, summary))
    assert page.data("buildings")["latitude"] == [None] * 3
    assert page.data("outlines")["sites"] == [], "the whole scene needs no outline"
    assert "no georeference" in page.text


def test_holes_and_multipolygons_are_drawn(write: Any) -> None:
    buildings, rows, sites, summary = example()
    x, y = ORIGIN_XY
    court = box(x, y - 40, x + 30, y - 10).difference(box(x + 10, y - 30, x + 20, y - 20))
    buildings = buildings.set_geometry([court, *buildings.geometry[1:]], crs=CRS)
    mended = [box(x, y - 9, x + 9, y), box(x + 20, y - 9, x + 29, y), shapely.LineString([(x, y), (x + 1, y)])]
    sites = sites.set_geometry([shapely.GeometryCollection(mended)], crs=CRS)
    page = Page(write(buildings, rows, sites, summary))
    assert [len(ring) for ring in page.data("buildings")["rings"][0]] == [8, 8]
    assert [part["name"] for part in page.data("outlines")["sites"]] == ["plot", "plot"]


def test_the_same_input_gives_the_same_bytes_whatever_the_timings(write: Any) -> None:
    *tables, summary = example()
    one = write(*tables, summary | {"timings_s": {"total": 1.0}}, name="one.html")
    assert one == write(*tables, summary | {"timings_s": {"total": 2.0}}, name="two.html")


def test_doubt_names_the_weakest_claim() -> None:
    buildings = some(3)
    buildings["score"] = [0.9, 0.5, 1.0]
    buildings["stage_score"] = [0.8, 0.9, 1.0]
    buildings["dormitory_like"] = [True, False, False]
    buildings["dormitory_score"] = [0.6, 0.1, 0.0]
    found = doubt(buildings)
    # 1 − 0.5 · 0.9 · 0.9 = 0.595; 1 − 0.9 · 0.8 · 0.6 = 0.568; 0
    assert list(found.index) == [1, 0, 2]
    assert list(found["doubt"]) == pytest.approx([0.595, 0.568, 0.0])
    assert list(found["why"][:2]) == ["50% sure it is a building", "60% sure it is dormitory-like"]
    buildings["dormitory_like"] = False
    buildings["dormitory_score"] = 0.45
    assert doubt(buildings)["why"][0] == "55% sure it is not dormitory-like"
    assert len(doubt(some(0))) == 0


def test_the_list_to_check_comes_first_then_dormitories_then_sites() -> None:
    many = gpd.GeoDataFrame(
        {
            "score": np.linspace(0.5, 0.9, CHECK_ME + 4), "stage_score": 1.0, "dormitory_score": 0.0, "dormitory_like": False, "site": None,
        },
        geometry=[box(i, 0, i + 1, 1) for i in range(CHECK_ME + 4)],
    )  # fmt: skip
    many.loc[CHECK_ME + 3, ["dormitory_like", "dormitory_score"]] = [True, 1.0]
    many.loc[CHECK_ME + 2, "site"] = "plot"
    order = [int(g.bounds[0]) for g in by_interest(many)]
    assert order == [*range(CHECK_ME), CHECK_ME + 3, CHECK_ME + 2, CHECK_ME, CHECK_ME + 1]
