"""Parquet tables: GeoParquet, and native geometry types as pyarrow and DuckDB write them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import geopandas as gpd
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely
from shapely import box

from detect.base.errors import InputError
from detect.base.vectors import polygon_layers, read_vector
from detect.census.review import read_corrections
from detect.census.sites import load_sites
from detect.datasets import generic
from detect.evaluation.footprints import evaluate

SCENE = box(593_270, 5_747_600, 593_370, 5_747_660)
HOUSES = [box(593_280 + 20 * i, 5_747_610, 593_292 + 20 * i, 5_747_622) for i in range(3)]
Write = Callable[..., Path]


class _Wkb(pa.ExtensionType):  # type: ignore[misc]
    """What geoarrow-pyarrow calls its type; pyarrow writes the native type for a column of this name."""

    def __init__(self, crs: object = None) -> None:
        self.said = {} if crs is None else {"crs": crs}
        super().__init__(pa.binary(), "geoarrow.wkb")

    def __arrow_ext_serialize__(self) -> bytes:
        return json.dumps(self.said).encode()

    @classmethod
    def __arrow_ext_deserialize__(cls, storage: pa.DataType, said: bytes) -> _Wkb:
        return cls(json.loads(said or b"{}").get("crs"))


@pytest.fixture
def native(tmp_path: Path) -> Write:
    """A function that writes a table with native geometries and no ``geo`` metadata."""

    def write(table: gpd.GeoDataFrame, crs: object = None, name: str = "native.parquet", column: str = "geometry") -> Path:
        stored = pa.array(shapely.to_wkb(table.geometry.to_numpy()).tolist(), pa.binary())
        columns = {key: table[key].tolist() for key in table.columns.drop("geometry")}
        columns[column] = pa.ExtensionArray.from_storage(_Wkb(crs), stored)
        pq.write_table(pa.table(columns), tmp_path / name)
        file = pq.ParquetFile(tmp_path / name)
        assert json.loads(file.schema.column(len(columns) - 1).logical_type.to_json())["Type"] == "Geometry"
        assert b"geo" not in (file.metadata.metadata or {})
        return tmp_path / name

    return write


def houses(**columns: object) -> gpd.GeoDataFrame:
    return gpd.GeoDataFrame(columns, geometry=HOUSES, crs="EPSG:32631")


@pytest.mark.parametrize(
    ("crs", "code"),
    [(None, "OGC:CRS84"), ("OGC:CRS84", "OGC:CRS84"), ("EPSG:32631", "EPSG:32631"), (houses().crs.to_json_dict(), "EPSG:32631"),
     ("srid:32631", "EPSG:32631")],
    ids=["none", "CRS84", "code", "PROJJSON", "srid"],
)  # fmt: skip
@pytest.mark.parametrize("column", ["geometry", "geom", "outline"])
def test_the_crs_of_a_native_type_is_in_the_type(native: Write, crs: object, code: str, column: str) -> None:
    table = houses(name=["a", "b", "c"])
    back = read_vector(native(table if code != "OGC:CRS84" else table.to_crs(4326), crs, column=column))
    assert back.crs.equals(code)
    assert back["name"].tolist() == ["a", "b", "c"]
    assert back.to_crs(table.crs).geometry.geom_equals_exact(table.geometry, 1e-3).all()


def test_native_types_are_read_wherever_a_vector_file_is(native: Write, tmp_path: Path, tiny_scene: Path) -> None:
    table = houses(id=[1, 2, 3], stage=["complete"] * 3, name=["a", "b", "c"], planned_buildings=[1, 2, 3]).to_crs(4326)
    path = native(table)
    sites = load_sites(path, houses().crs, SCENE)
    assert sites.table["name"].tolist() == ["a", "b", "c"] and sites.table["planned_buildings"].tolist() == [1, 2, 3]
    assert read_corrections(path, houses().crs, SCENE)["id"].tolist() == [1, 2, 3]
    assert evaluate(houses(), path)["matched"] == 3
    path.rename(tiny_scene.with_suffix(".parquet"))
    [image] = generic.images(tmp_path)
    assert len(image.label.read()) == 3
    assert polygon_layers(tiny_scene.with_suffix(".parquet")) == []


@pytest.mark.parametrize("name", ["houses.parquet", "houses.geoparquet", "houses.PARQUET", "houses.pq"])
def test_geoparquet_under_any_of_its_names(tmp_path: Path, name: str) -> None:
    houses().to_parquet(tmp_path / name)
    assert read_vector(tmp_path / name).crs == houses().crs


def test_a_folder_of_geoparquet(tmp_path: Path) -> None:
    folder = tmp_path / "houses.parquet"
    folder.mkdir()
    for part in range(3):
        houses().iloc[[part]].to_parquet(folder / f"{part}.parquet")
    assert len(read_vector(folder)) == 3


def test_of_several_native_columns_one_is_read_and_the_others_are_said(tmp_path: Path) -> None:
    stored = pa.ExtensionArray.from_storage(
        _Wkb(), pa.array(shapely.to_wkb(houses().to_crs(4326).geometry).tolist(), pa.binary())
    )
    pq.write_table(pa.table({"centre": stored, "geometry": stored}), tmp_path / "two.parquet")
    with pytest.warns(UserWarning, match=r"two.parquet: read from its column 'geometry'; left out: centre$"):
        assert read_vector(tmp_path / "two.parquet").columns.tolist() == ["geometry"]


def test_what_cannot_be_read_is_said_as_it_is(native: Write, tmp_path: Path) -> None:
    pd.DataFrame({"geometry": shapely.to_wkb(HOUSES)}).to_parquet(tmp_path / "bytes.parquet")
    with pytest.raises(InputError, match=r"bytes.parquet: is a Parquet table without geometries: .* write it as GeoParquet"):
        read_vector(tmp_path / "bytes.parquet")
    with pytest.raises(InputError, match=r"native.parquet: its coordinate system 'EPSG:999999' is not known"):
        read_vector(native(houses(), "EPSG:999999"))
    path = native(houses().to_crs(4326))
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(InputError, match=r"native.parquet: is not a Parquet file that can be read \(.*\)$"):
        read_vector(path)


def test_a_native_type_may_say_that_it_has_no_place(native: Write) -> None:
    assert read_vector(native(houses(), "srid:0")).crs is None
