"""Vector files in: which layer is read, what becomes of odd geometries, and what is said of files that are none."""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import pytest
import shapely
from shapely import GeometryCollection, LineString, MultiPolygon, Point, Polygon, box

from detect.base.errors import InputError
from detect.base.vectors import equal_area_crs, geometries_of, polygons_only, read_vector, write_layer

BOWTIE = Polygon([(0, 0), (10, 10), (10, 0), (0, 10)])


def houses(crs: str | None = "EPSG:32631", **columns: object) -> gpd.GeoDataFrame:
    shapes = [box(593_000 + 40 * i, 5_747_000, 593_020 + 40 * i, 5_747_012) for i in range(3)]
    return gpd.GeoDataFrame(columns, geometry=shapes, crs=crs)


@pytest.mark.parametrize("name", ["houses.gpkg", "houses.geojson", "houses.shp", "houses.fgb", "houses.parquet"])
def test_formats_give_the_same_table(tmp_path: Path, name: str) -> None:
    table = houses(kind=["a", "b", "c"]).to_crs(4326)
    if name.endswith("parquet"):
        table.to_parquet(tmp_path / name)
    else:
        table.to_file(tmp_path / name)
    back = read_vector(tmp_path / name).sort_values("kind", ignore_index=True)
    assert back["kind"].tolist() == ["a", "b", "c"]
    assert back.crs == table.crs
    assert back.geometry.geom_equals_exact(table.geometry, 1e-6).all() or back.geometry.geom_equals(table.geometry).all()


def test_a_layer_is_the_first_or_the_one_named(tmp_path: Path) -> None:
    path = tmp_path / "two.gpkg"
    houses().to_file(path, layer="whole")
    houses().iloc[:1].to_file(path, layer="one")
    assert [len(read_vector(path, layer)) for layer in ("whole", "one")] == [3, 1]
    with pytest.warns(UserWarning, match=r"two.gpkg: read from its layer 'whole'; left out: one$"):
        assert len(read_vector(path)) == 3
    with pytest.raises(InputError, match=r"two.gpkg: has no layer 'other'; it holds whole, one$"):
        read_vector(path, "other")


def test_an_empty_layer_is_a_table_without_rows(tmp_path: Path) -> None:
    path = tmp_path / "empty.geojson"
    path.write_text('{"type": "FeatureCollection", "features": []}', encoding="utf-8")
    assert len(polygons_only(read_vector(path))) == 0


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("absent.gpkg", None, "no such file"),
        ("notes.txt", "first\nsecond\n", "is not a vector file that GDAL can open"),
        ("broken.geojson", '{"type": "FeatureCollection", "feat', "is not a vector file that GDAL can open"),
        ("broken.parquet", "no\nparquet\n", "is not a Parquet file that can be read"),
        ("plain.csv", "a,b\n1,2\n", "is neither GeoJSON lines nor CSV with WKT in a column 'geometry' or 'WKT' ('it has a, b')"),
    ],
)
def test_what_is_no_vector_file_is_named_in_one_line(tmp_path: Path, name: str, content: str | None, message: str) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        read_vector(path)
    assert str(caught.value).startswith(f"{path}: {message}")
    assert "\n" not in str(caught.value)


def test_a_folder_and_a_parquet_table_without_geometries_are_no_vector_files(tmp_path: Path) -> None:
    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "plain.parquet")
    for path in (tmp_path, tmp_path / "plain.parquet"):
        with pytest.raises(InputError) as caught:
            read_vector(path)
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_only_polygons_stay() -> None:
    geometries = [None, Polygon(), Point(1, 1), LineString([(0, 0), (1, 1)]), box(0, 0, 1, 1), Polygon([(0, 0), (1, 1), (2, 2)])]
    table = gpd.GeoDataFrame({"name": list("abcdef")}, geometry=geometries, crs="EPSG:32631", index=[5, 5, 7, 7, 9, 9])
    kept = polygons_only(table)
    assert kept["name"].tolist() == ["e"] and kept.index.tolist() == [0]
    assert kept.crs == table.crs
    assert len(table) == 6


def test_crossing_rings_are_made_valid_and_keep_their_row() -> None:
    kept = polygons_only(gpd.GeoDataFrame({"name": ["bowtie", "house"]}, geometry=[BOWTIE, box(0, 0, 1, 1)], crs=32631))
    assert kept["name"].tolist() == ["bowtie", "house"]
    assert kept.geometry.is_valid.all()
    assert kept.geometry.area.tolist() == pytest.approx([50, 1])


def test_parts_of_a_building_stay_together_and_flat() -> None:
    pair = MultiPolygon([box(0, 0, 1, 1), box(2, 2, 3, 3)])
    mixed = GeometryCollection([box(0, 0, 1, 1), Point(9, 9), box(2, 2, 3, 3)])
    tall = shapely.force_3d(box(0, 0, 1, 1), 5)
    kept = geometries_of(polygons_only(gpd.GeoDataFrame(geometry=[pair, mixed, tall])))
    assert [g.geom_type for g in kept] == ["MultiPolygon", "MultiPolygon", "Polygon"]
    assert [g.area for g in kept] == [2, 2, 1]
    assert not shapely.has_z(kept).any()


def test_the_geometry_column_may_have_any_name() -> None:
    table = polygons_only(houses().rename_geometry("outline"))
    assert len(geometries_of(table)) == 3 and "outline" in table


def test_cleaning_twice_changes_nothing() -> None:
    once = polygons_only(gpd.GeoDataFrame(geometry=[BOWTIE, box(0, 0, 1, 1)], crs=32631))
    twice = polygons_only(once)
    assert once.normalize().geom_equals_exact(twice.normalize(), 0).all()


@pytest.mark.parametrize("crs", ["EPSG:32631", "EPSG:4326", "EPSG:3857"])
def test_the_equal_area_plane_is_about_the_middle(crs: str) -> None:
    table = houses().to_crs(crs)
    plane = equal_area_crs(table)
    assert plane is not None
    moved = table.to_crs(plane)
    west, south, east, north = moved.total_bounds
    assert abs(west + east) < 1 and abs(south + north) < 1  # metres
    scale = 0.9996**2 * (1 + ((593_050 - 500_000) / 6_380_000) ** 2 / 2) ** 2  # of UTM 93 km from its meridian
    assert moved.area.tolist() == pytest.approx([240 / scale] * 3, rel=1e-4)


def test_no_plane_without_crs_or_rows() -> None:
    assert equal_area_crs(houses(crs=None)) is None
    assert equal_area_crs(houses().iloc[:0]) is None
    assert np.shape(geometries_of(houses().iloc[:0])) == (0,)


def test_layers_of_one_file_keep_their_rows_and_leave_no_setting(tmp_path: Path) -> None:
    path, table = tmp_path / "new.gpkg", gpd.GeoDataFrame({"a": [1, 2]}, geometry=[box(0, 0, 1, 1), box(2, 0, 3, 1)], crs=32631)
    write_layer(path, "first", table)
    write_layer(path, "second", table.iloc[:0], "Polygon")
    assert read_vector(path, "first").equals(table)
    assert read_vector(path, "second").empty
    with pytest.raises(pyogrio.errors.DataSourceError):
        write_layer(tmp_path / "no" / "folder.gpkg", "first", table)
    assert pyogrio.get_gdal_config_option("OGR_SQLITE_SYNCHRONOUS") is None


def test_polygons_at_any_depth_of_a_collection_are_kept() -> None:
    a, b = shapely.box(0, 0, 1, 1), shapely.box(2, 0, 3, 1)
    nested = shapely.GeometryCollection([a, shapely.GeometryCollection([shapely.Point(5, 5), shapely.GeometryCollection([b])])])
    (kept,) = polygons_only(gpd.GeoDataFrame(geometry=[nested], crs=32631)).geometry
    assert kept.equals(shapely.MultiPolygon([a, b]))
