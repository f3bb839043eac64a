"""Nothing that a user said is dropped in silence: it is used, or a line says that it is not."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio
import shapely
from rasterio.enums import ColorInterp
from shapely import LineString, Point, Polygon, box

from detect.base.errors import InputError
from detect.base.text_tables import read_text_table
from detect.base.vectors import read_vector
from detect.census.review import read_corrections
from detect.census.sites import Sites, load_sites
from detect.cli.main import main
from detect.datasets import generic
from detect.evaluation.footprints import evaluate
from detect.scene.scene import open_scene
from detect.scene.sources import sources
from tests.conftest import WriteScene, draw_houses

CRS = "EPSG:32631"
OUTLINE = box(593_000, 5_747_000, 593_400, 5_747_400)
PLOTS = [box(593_010, 5_747_010, 593_110, 5_747_110), box(593_200, 5_747_010, 593_300, 5_747_110)]


def plots(**columns: Any) -> gpd.GeoDataFrame:
    return gpd.GeoDataFrame(columns or {"name": ["a", "b"], "planned_buildings": [10, 20]}, geometry=PLOTS, crs=CRS).to_crs(4326)


def features(table: gpd.GeoDataFrame) -> list[dict[str, Any]]:
    return json.loads(table.to_json())["features"]  # type: ignore[no-any-return]


def read(path: Path) -> Sites:
    return load_sites(path, gpd.GeoSeries(crs=CRS).crs, OUTLINE)


def said(sites: Sites) -> str:
    return " ".join(line for lines in sites.warnings for line in lines)


# Fields ---------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "field", ["Planned_Buildings", "planned buildings", "Planned-Buildings", " planned_buildings ", "planned"]
)
def test_planned_buildings_is_recognised_as_people_write_it(tmp_path: Path, field: str) -> None:
    (tmp_path / "s.geojson").write_text(plots(**{"NAME": ["a", "b"], field: [10, 20]}).to_json())
    sites = read(tmp_path / "s.geojson")
    assert sites.table["planned_buildings"].tolist() == [10, 20] and sites.table["name"].tolist() == ["a", "b"]
    assert sites.warnings == ((), ())


def test_another_field_on_plans_is_said(tmp_path: Path) -> None:
    plots(name=["a", "b"], plan_units=[10, 20]).to_file(tmp_path / "s.gpkg")
    assert "the field 'plan_units' is not read; if it states the planned buildings, name it planned_buildings" in said(
        read(tmp_path / "s.gpkg")
    )


# Geometries -----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("other", [Point(4.36, 51.87), LineString([(4.36, 51.87), (4.37, 51.88)]), None])
def test_things_without_a_polygon_are_counted(tmp_path: Path, other: shapely.Geometry | None) -> None:
    table = plots()
    table.geometry = [table.geometry.iloc[0], other]
    (tmp_path / "s.geojson").write_text(table.to_json())
    sites = read(tmp_path / "s.geojson")
    assert len(sites.table) == 1
    assert "1 of the 2 things in the file is no polygon" in said(sites)


def test_a_ring_that_is_not_closed_is_closed(tmp_path: Path) -> None:
    feature = features(plots())[0]
    feature["geometry"]["coordinates"][0].pop()
    (tmp_path / "s.geojson").write_text(json.dumps(feature))
    assert read(tmp_path / "s.geojson").table["area_km2"].tolist() == pytest.approx([0.01], rel=0.01)


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        (box(-180, -90, 180, 90), r"plot 1 spans 360° of longitude; draw it around the scene"),
        (Polygon([(1e9, 51), (4.3, 51), (4.4, 52)]), r"plot 1 has coordinates that are no longitude and latitude"),
    ],
)
def test_plots_of_no_place_are_refused(tmp_path: Path, shape: Polygon, words: str) -> None:
    gpd.GeoSeries([shape], crs=4326).to_file(tmp_path / "s.gpkg")
    with pytest.raises(InputError, match=words):
        read(tmp_path / "s.gpkg")


def test_corrections_without_their_outlines_are_no_deletions(tmp_path: Path) -> None:
    table = plots(id=[1, 2], stage=["complete"] * 2)
    table.geometry = [table.geometry.iloc[0], Point(4.36, 51.87)]
    table.to_file(tmp_path / "r.gpkg")
    with pytest.raises(InputError, match=r"r.gpkg: 1 of its 2 rows have no polygon, and would count as deleted"):
        read_corrections(tmp_path / "r.gpkg", table.to_crs(CRS).crs)


def test_columns_of_corrections_in_upper_case_are_read_and_half_an_id_is_none(tmp_path: Path) -> None:
    plots(ID=[7, 8], STAGE=["Complete", "FOUNDATION"]).to_file(tmp_path / "r.shp")
    corrected = read_corrections(tmp_path / "r.shp", plots().to_crs(CRS).crs)
    assert corrected["id"].tolist() == [7, 8] and corrected["stage"].tolist() == ["complete", "foundation"]
    plots(id=[7.5, 8], stage=["complete"] * 2).to_file(tmp_path / "half.gpkg")
    with pytest.raises(InputError, match=r"half.gpkg: 7.5 is not the id of a building"):
        read_corrections(tmp_path / "half.gpkg", plots().to_crs(CRS).crs)


def test_outlines_that_stand_twice_in_a_reference_count_once(tmp_path: Path) -> None:
    table = plots()
    pd.concat([table, table.iloc[:1]]).to_file(tmp_path / "twice.gpkg")
    with pytest.warns(UserWarning, match=r"twice.gpkg: 1 of its outlines stand there twice and count once"):
        metrics = evaluate(table, tmp_path / "twice.gpkg")
    assert metrics["reference"] == metrics["matched"] == 2


# Text tables ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize(("separator", "column"), [(",", "geometry"), (";", "WKT"), ("\t", "geom")])
@pytest.mark.parametrize("packed", [False, True])
def test_tables_with_wkt_are_read_as_saved(tmp_path: Path, encoding: str, separator: str, column: str, packed: bool) -> None:
    table = plots()
    text = (
        pd.DataFrame(table.drop(columns="geometry"))
        .assign(**{column: table.geometry.to_wkt()})
        .to_csv(sep=separator, index=False)
    )
    path = tmp_path / ("s.csv.gz" if packed else "s.csv")
    path.write_bytes(gzip.compress(text.encode(encoding)) if packed else text.encode(encoding))
    assert read(path).table["planned_buildings"].tolist() == [10, 20]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_lines_of_geojson_are_read_as_saved(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "s.geojsonl").write_text("\n".join(map(json.dumps, features(plots()))), encoding=encoding)
    assert read(tmp_path / "s.geojsonl").table["name"].tolist() == ["a", "b"]


def test_metres_in_a_table_are_no_degrees(tmp_path: Path) -> None:
    text = 'name,WKT\na,"' + PLOTS[0].wkt + '"\n'
    (tmp_path / "s.csv").write_text(text)
    assert read_text_table(tmp_path / "s.csv").crs is None
    assert "the file names no coordinate system; that of the scene was assumed" in said(read(tmp_path / "s.csv"))


def test_a_packed_geojson_is_unpacked(tmp_path: Path) -> None:
    (tmp_path / "s.geojson.gz").write_bytes(gzip.compress(plots().to_json().encode()))
    assert len(read_vector(tmp_path / "s.geojson.gz")) == 2


@pytest.mark.parametrize("name", ["town.geoparquet", "town.kml", "town.json", "town.csv", "town.pq"])
def test_prepare_reads_outlines_under_any_of_these_names(write_scene: WriteScene, tmp_path: Path, name: str) -> None:
    write_scene(name="town.tif")
    table = plots()
    if name.endswith(("parquet", "pq")):
        table.to_parquet(tmp_path / name)
    elif name.endswith("csv"):
        pd.DataFrame({"geometry": table.geometry.to_wkt()}).to_csv(tmp_path / name, index=False)
    else:
        table.to_file(tmp_path / name, driver="KML" if name.endswith("kml") else "GeoJSON")
    [image] = generic.images(tmp_path)
    assert len(image.label.read()) == 2


def test_an_item_beside_an_image_is_no_map(write_scene: WriteScene, tmp_path: Path) -> None:
    write_scene(name="town.tif")
    plots().to_file(tmp_path / "all.gpkg")
    (tmp_path / "town.json").write_text('{"stac_version": "1.1.0", "type": "Feature"}')
    [image] = generic.images(tmp_path)
    assert len(image.label.read()) == 2


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "s.vrt",
            "<OGRVRTDataSource><OGRVRTLayer name='a'><SrcDataSource>/etc/a.gpkg</SrcDataSource></OGRVRTLayer></OGRVRTDataSource>",
        ),
        ("s.xml", "<OGRWFSDataSource><URL>http://127.0.0.1:9/wfs</URL></OGRWFSDataSource>"),
        ("s.gdalg.json", '{"type": "gdal_streamed_alg", "command_line": "gdal vector pipeline ! read a.gpkg"}'),
    ],
)
def test_documents_that_only_point_elsewhere_are_refused(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=r"only names where its outlines are; give the file that holds them"):
        read(tmp_path / name)


# Lists and catalogues -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("line", ["{}\n", '"{}"\r\n', "# a comment\n\n  {}  "])
def test_lists_are_read_as_programs_save_them(tiny_scene: Path, tmp_path: Path, encoding: str, line: str) -> None:
    (tmp_path / "list.txt").write_bytes(line.format(tiny_scene).encode(encoding))
    assert [source.path for source in sources([tmp_path / "list.txt"])] == [str(tiny_scene)]


def item(**changes: Any) -> str:
    whole = {"type": "Feature", "id": "x", "properties": {}, "assets": {"a": {"href": "tiny.tif", "type": "image/tiff"}}}
    return json.dumps(whole | changes)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("l.txt", b"", "names no scene"),
        ("l.txt", b"# nothing\n\n", "names no scene"),
        ("l.txt", b"l.txt\n", "a list must not name itself"),
        ("l.txt", bytes(range(256)), "is not text in UTF-8"),
        ("l.json", b'{"type": "FeatureCollection", "features": []}', "names no scene"),
        ("l.json", b'{"type": "Collection", "links": []}', "names no scene"),
        ("l.json", b'{"type": "FeatureCollection", "features": 5}', "features is int, not a list"),
        ("l.json", b'{"links": ["x"]}', "links holds 'x', not an object with an href"),
        ("l.json", b'{"links": {"href": "x"}}', "links is dict, not a list"),
        ("l.json", b"[" * 100_000 + b"]" * 100_000, "cannot be read as a STAC document"),
        ("l.json", b'{"id": ' + b"9" * 5000 + b"}", "cannot be read as a STAC document"),
        ("l.json", item(assets=[]).encode(), "assets is list, not an object"),
        ("l.json", item(assets={"a": None}).encode(), "asset a is not an object with an href"),
        ("l.json", item(assets={"a": {"type": "image/tiff"}}).encode(), "asset a is not an object with an href"),
        ("l.json", item(assets={"a": {"href": 5}}).encode(), "asset a is not an object with an href"),
        ("l.json", item(assets={"a": {"href": "a.tif", "roles": 5}}).encode(), "a list of roles"),
    ],
)
def test_lists_and_documents_without_a_scene_are_one_line(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=words) as error:
        sources([tmp_path / name])
    assert "\n" not in str(error.value) and str(tmp_path / name) in str(error.value)


@pytest.mark.parametrize(
    "content",
    [
        item(properties={"datetime": "2024-13-40T00:00:00Z"}),
        item(properties=[]),
        item(assets={"a": {"href": "tiny.tif", "roles": None}}),
    ],
    ids=["month 13", "properties", "roles"],
)
def test_odd_items_are_read_without_what_they_do_not_say(tmp_path: Path, content: str) -> None:
    (tmp_path / "i.json").write_text(content, encoding="utf-8-sig")
    assert [(source.path, source.date) for source in sources([tmp_path / "i.json"])] == [(str(tmp_path / "tiny.tif"), None)]


def test_a_deep_document_beside_a_scene_says_nothing(write_scene: WriteScene, tmp_path: Path) -> None:
    (tmp_path / "tiny.json").write_text("[" * 100_000)
    assert open_scene(write_scene()).date is None


# Bands ----------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("descriptions", "shown"),
    [
        (("blue", "green", "red", "nir"), (3, 2, 1)),
        (("Band 1: Blue", "Band 2: Green", "Band 3: Red", "Band 4: Near Infrared"), (3, 2, 1)),
        (("coastal blue", "blue", "green", "red", "red edge", "near-infrared"), (4, 3, 2)),
        (("B", "G", "R", "N"), (3, 2, 1)),
        (("B02", "B03", "B04", "B08"), (1, 2, 3)),
    ],
)
def test_bands_are_those_that_are_described(
    write_scene: WriteScene, descriptions: tuple[str, ...], shown: tuple[int, ...]
) -> None:
    values = np.concatenate([draw_houses()] * 2)[: len(descriptions)].astype(np.uint16)
    path = write_scene(values, photometric="minisblack")
    with rasterio.open(path, "r+") as out:
        out.descriptions = descriptions
    scene = open_scene(path)
    assert scene.bands == shown
    assert any("without colour tags" in line for line in scene.warnings) == (shown == (1, 2, 3))


def test_descriptions_that_contradict_colour_tags_win_and_it_is_said(write_scene: WriteScene) -> None:
    path = write_scene()  # rasterio tags three 8-bit bands as red, green, blue by itself
    with rasterio.open(path, "r+") as out:
        assert out.colorinterp[0] is ColorInterp.red
        out.descriptions = ("blue", "green", "red")
    scene = open_scene(path)
    assert scene.bands == (3, 2, 1)
    assert (
        "bands: 3, 2, 1 are described as red, green, blue and are taken; the colour tags name 1, 2, 3 (--bands overrides)"
        in scene.warnings
    )


# Names ----------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scene", "out", "words"),
    [
        ("", "out", "SCENE: is empty"),
        ("tiny.tif", "", "--out: is empty"),
        ("x" * 5000 + ".tif", "out", "names what cannot be looked up|longer name than the disk takes"),
        ("tiny.tif", "y" * 300, "longer name than the disk takes"),
    ],
)
def test_names_that_no_file_can_have_are_one_short_line(
    write_scene: WriteScene,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    scene: str,
    out: str,
    words: str,
) -> None:
    write_scene()
    monkeypatch.chdir(tmp_path)
    assert main(["predict", scene, "--out", out, "-q"]) == 2
    error = capsys.readouterr().err
    assert re.search(words, error) and error.count("\n") == 1 and len(error) < 300
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tiny.tif"]
