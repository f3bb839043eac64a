"""The files of ``detect collect``, each opened by another program."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pyarrow.parquet as pq
import pyogrio
import pystac
import pytest
import shapely
from pmtiles.reader import MmapSource, Reader
from pmtiles.tile import TileType
from pystac.validation.stac_validator import JsonSchemaSTACValidator
from shapely import Polygon, box

from detect.base.stages import STAGES
from detect.base.vectors import read_vector
from detect.results.collected import (
    ROWS_AT_A_TIME,
    Piece,
    hilbert,
    one_table,
    scene_table,
    write_flatgeobuf,
    write_geoparquet,
    write_native,
    write_pmtiles,
)
from detect.results.map_page import ZOOM, pack, world_px
from detect.results.stac_collection import write_collection
from detect.results.stac_table import write_items
from tests.unit.results.test_tables import some

COUNT = {"estimate": 4, "low": 2, "high": 8}


def piece(name: str = "town", lon: float = 4.0, count: int = 3, date: str | None = "2026-06-05") -> Piece:
    shapes = [box(lon + 0.0003 * i, 51, lon + 0.0003 * i + 0.0002, 51.0001) for i in range(count)]
    table = some(3).iloc[[i % 3 for i in range(count)]].reset_index(drop=True)
    table = table.set_geometry(gpd.GeoSeries(shapes, crs=4326)).assign(id=range(1, count + 1))
    total = {"area_km2": 0.5, "buildings": COUNT, "dormitory_like": COUNT, "beds": {"now": COUNT}}
    summary: dict[str, Any] = {
        "total": total,
        "warnings": ["a"],
        "run": {"work_gsd_m": 0.3},
        "scene": {"provenance": {"attribution": "me"}},
    }
    return Piece(Path("out") / name, name, box(lon - 0.01, 50.99, lon + 0.01, 51.01), date, summary, table)


@pytest.fixture(scope="module")
def table() -> gpd.GeoDataFrame:
    return one_table([piece("b", 4.0, 40), piece("a", 4.001, 30, None), piece("none", 5, 0)])


def test_one_table_of_all(table: gpd.GeoDataFrame) -> None:
    assert list(table.columns[:3]) == ["scene", "date", "id"] and len(table) == 70
    assert table.groupby("scene").size().to_dict() == {"a": 30, "b": 40}
    assert (np.diff(hilbert(table).astype(np.int64)) >= 0).all()


def test_geoparquet_has_a_box_for_each_building(table: gpd.GeoDataFrame, tmp_path: Path) -> None:
    path = tmp_path / "b.parquet"
    write_geoparquet(path, table)
    geo = json.loads(pq.read_schema(path).metadata[b"geo"])
    assert geo["version"] == "1.1.0" and geo["columns"]["geometry"]["covering"]["bbox"]["xmin"] == ["bbox", "xmin"]
    back = gpd.read_parquet(path, bbox=(4.0, 50, 4.00025, 52))
    assert 0 < len(back) < len(table) and back.crs.to_epsg() == 4326
    assert pq.ParquetFile(path).metadata.row_group(0).num_rows <= ROWS_AT_A_TIME


def test_parquet_with_its_own_geometry(table: gpd.GeoDataFrame, tmp_path: Path) -> None:
    path = tmp_path / "n.parquet"
    write_native(path, table)
    file = pq.ParquetFile(path)
    columns = [file.schema.column(i) for i in range(len(file.schema))]
    types = {column.path: json.loads(column.logical_type.to_json())["Type"] for column in columns}
    assert types["geometry"] == "Geometry" and "bbox.xmin" in types and b"geo" not in (file.metadata.metadata or {})
    back = read_vector(path)
    assert back.crs.equals("OGC:CRS84") and back["id"].tolist() == table["id"].tolist()
    assert back.geometry.geom_equals(table.geometry.set_crs("OGC:CRS84", allow_override=True)).all()
    write_native(path, table.iloc[:0])
    assert len(read_vector(path)) == 0


def test_the_items_are_a_table(tmp_path: Path) -> None:
    pieces = []
    for name, gsd in (("west", 1), ("ea st", 0.5)):
        folder = tmp_path / "out" / name
        folder.mkdir(parents=True)
        own = {"datetime": "2026-06-05T00:00:00Z", "gsd": gsd, "empty": {}, "mixed": gsd if gsd == 1 else "half"}
        assets = {"mask": {"href": "./mask.tif", "roles": ["data"]}, "model": {"href": "/weights/deep.onnx"}}
        item = {
            "type": "Feature",
            "stac_version": "1.1.0",
            "id": name,
            "bbox": [4, 51, 4.1, 51.1],
            "properties": own,
            "assets": assets,
        }
        item["geometry"] = json.loads(shapely.to_geojson(box(4, 51, 4.1, 51.1)))
        (folder / "item.json").write_text(json.dumps(item))
        pieces.append(replace(piece(name), folder=folder))
    write_items(tmp_path / "items.parquet", [*pieces, piece("without")], name="all", place=tmp_path / "all")
    items = gpd.read_parquet(tmp_path / "items.parquet")
    box_of = pq.read_table(tmp_path / "items.parquet")["bbox"][0].as_py()
    assert (
        items["id"].tolist() == ["west", "ea st"]
        and items["gsd"].tolist() == [1, 0.5]
        and items["mixed"].tolist() == ["1", '"half"']
    )
    assert str(items["datetime"].dtype).endswith("UTC]") and items["collection"].eq("all").all() and "empty" not in items
    assert items["assets"][1]["mask"]["href"] == "../out/ea%20st/mask.tif" and box_of["xmax"] == 4.1
    assert items["assets"][0]["model"]["href"] == "/weights/deep.onnx"
    item = {key: items[key][0] for key in ("type", "stac_version", "id", "collection")} | {
        "geometry": json.loads(shapely.to_geojson(items.geometry[0])),
        "bbox": [box_of[key] for key in ("xmin", "ymin", "xmax", "ymax")],
        "properties": {"datetime": items["datetime"][0].isoformat()},
        "links": [*items["links"][0]],
        "assets": {"mask": {"href": "x"}},
    }
    JsonSchemaSTACValidator().validate_core(item, pystac.STACObjectType.ITEM, "1.1.0")
    assert json.loads(pq.read_schema(tmp_path / "items.parquet").metadata[b"stac-geoparquet"])["version"] == "1.0.0"
    assert json.loads(pq.read_schema(tmp_path / "items.parquet").metadata[b"geo"])["columns"]["geometry"]["covering"]["bbox"][
        "xmin"
    ] == ["bbox", "xmin"]
    item_of_no_day = {**json.loads((folder / "item.json").read_text()), "properties": {"datetime": None}}
    (folder / "item.json").write_text(json.dumps(item_of_no_day))
    write_items(tmp_path / "no_day.parquet", pieces[1:], name="all", place=tmp_path / "all")
    assert pq.read_table(tmp_path / "no_day.parquet")["datetime"].to_pylist() == [None], "STAC wants it all the same"
    write_items(tmp_path / "none.parquet", [piece("without")], name="all", place=tmp_path / "all")
    assert len(gpd.read_parquet(tmp_path / "none.parquet")) == 0


def test_flatgeobuf(table: gpd.GeoDataFrame, tmp_path: Path) -> None:
    write_flatgeobuf(tmp_path / "b.fgb", table)
    assert len(gpd.read_file(tmp_path / "b.fgb")) == 70
    assert pyogrio.read_info(tmp_path / "b.fgb")["capabilities"]["fast_spatial_filter"]


def test_pmtiles_are_read_by_two_readers(table: gpd.GeoDataFrame, tmp_path: Path) -> None:
    path = tmp_path / "b.pmtiles"
    write_pmtiles(path, table)
    with path.open("rb") as file:
        header = Reader(MmapSource(file)).header()
        assert (header["tile_type"], header["min_zoom"], header["max_zoom"]) == (TileType.MVT, 12, 14)
        x, y = (world_px(np.array([[4.0001, 51.00005]]))[0] / 256 / 2 ** (ZOOM - 14)).astype(int)
        assert Reader(MmapSource(file)).get(14, int(x), int(y))
    read = gpd.read_file(path)
    assert set(read["stage"]) == set(STAGES) and read.crs.to_epsg() == 3857
    assert len({(s, i) for s, i in zip(read["scene"], read["id"], strict=True)}) == 70


def test_the_collection_is_valid_and_leads_to_the_results(tmp_path: Path) -> None:
    one = replace(piece(), folder=tmp_path / "out" / "town")
    one.folder.mkdir(parents=True)
    (one.folder / "item.json").write_text("{}")
    place = tmp_path / "all"
    place.mkdir()
    write_collection(place / "collection.json", [one, piece("x", 5.0, date="2026-01-05")], name="all", place=place)
    collection = pystac.Collection.from_file(str(place / "collection.json"))
    collection.validate()
    assert [link.href for link in collection.get_item_links()] == ["../out/town/item.json"]
    assert collection.extent.spatial.bboxes == [[3.99, 50.99, 5.01, 51.01]]
    first, last = collection.extent.temporal.intervals[0]
    assert first and last and (first.date().isoformat(), last.date().isoformat()) == ("2026-01-05", "2026-06-05")
    assert [provider.name for provider in collection.providers or []] == ["me"]


def test_scenes() -> None:
    (row,) = scene_table([replace(piece(), elsewhere=2)]).to_dict("records")
    assert (row["buildings"], row["buildings_low"], row["shown"], row["shown_elsewhere"]) == (4, 2, 3, 2)
    assert row["warnings"] == 1
    noted = piece()
    noted.summary["sites"] = [{"name": "plot", "warnings": ["half of it lies outside", "has a hole"]}]
    assert scene_table([noted])["warnings"].tolist() == [3], "those of its sites count too"


def test_the_page_holds_every_corner(table: gpd.GeoDataFrame) -> None:
    arrays = pack(table, 4.0, {"a": 0, "b": 1}, ["2026-06-05"])
    assert len(arrays["x"]) == 70 and arrays["steps"].dtype == np.int16
    first = 0
    for i in (0, 1):
        steps = arrays["steps"][2 * first : 2 * (first + arrays["corners"][i] - 1)].reshape(-1, 2).astype(int)
        first += arrays["corners"][i] - 1
        ring = np.concatenate([[[arrays["x"][i], arrays["y"][i]]], steps]).cumsum(axis=0)
        want = Polygon(world_px(np.array(table.geometry[i].exterior.coords)))
        assert Polygon(ring).symmetric_difference(want).area < 0.01 * want.area
    kinds = table["stage"].map({stage: n for n, stage in enumerate(STAGES)}) + 4 * table["dormitory_like"]
    assert arrays["kind"].tolist() == kinds.tolist()
    assert arrays["date"].tolist() == (table["scene"] == "b").astype(int).tolist()


def test_a_collection_of_many_days() -> None:
    days = [f"day {i:03d}" for i in range(300)]
    arrays = pack(one_table([piece(day, count=1, date=day) for day in days]), 4.0, {day: i for i, day in enumerate(days)}, days)
    assert (arrays["date"] == arrays["scene"] + 1).all()


def test_an_empty_page() -> None:
    arrays = pack(one_table([piece(count=0)]), 4.0, {"town": 0}, [])
    assert all(len(values) == 0 for values in arrays.values())


def test_very_long_edges_are_cut() -> None:
    one = piece(count=1)
    long = one.buildings.set_geometry([box(4, 51, 4.02, 51.0001)], crs=4326)  # 1.4 km are 59,000 pixels
    arrays = pack(one_table([replace(one, buildings=long)]), 4.0, {"town": 0}, [])
    assert arrays["corners"][0] > 4 and abs(arrays["steps"].astype(int)).max() <= 30_001
