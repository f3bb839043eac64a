"""Any scene with any outlines: OpenStreetMap's tags, detected outlines and their confidence, one's own stages."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely
from affine import Affine

from detect.base.errors import InputError
from detect.datasets import prepare
from detect.datasets.chips import UNKNOWN, Chip, read_chip, read_index
from tests.real_data import data_path
from tests.unit.datasets.drawing_c import Box, built_share, outlines, picture, write_geojson, write_geotiff

SIZE_HW = (128, 192)
HOUSES: tuple[Box, ...] = ((8, 10, 40, 50), (8, 70, 40, 110), (60, 10, 100, 50), (60, 70, 100, 110))
SITE: Box = (50, 60, 120, 180)
PLACE = Affine(0.5, 0, 593_270, 0, -0.5, 5_747_657)
CRS = "EPSG:32631"


def scene(folder: Path, name: str = "town.tif") -> Path:
    return write_geotiff(folder / name, picture(SIZE_HW, HOUSES), PLACE, CRS)


def prepared(source: Path, store: Path) -> tuple[pd.Series, Chip]:
    """The one scene's row and chip, its eastern fifth, which validates, put back in place."""
    prepare("generic", source, store)
    index = read_index(store)
    one = index.iloc[0]
    if len(index) == 1:
        return one, read_chip(store, one["chip"])
    train, val = (read_chip(store, name) for name in index.sort_values("split")["chip"])
    known = train.footprint != UNKNOWN
    merged = Chip(
        train.image, *(np.where(known, getattr(train, k), getattr(val, k)) for k in ("instances", "footprint", "stage"))
    )
    one = one.copy()
    one["buildings"] = len(np.unique(merged.instances)) - 1
    return one, merged


def values(array: np.ndarray, box: Box) -> set[int]:
    return set(np.unique(array[box[0] + 1 : box[2] - 1, box[1] + 1 : box[3] - 1]).tolist())


@pytest.mark.parametrize("suffix", ["gpkg", "geojson", "shp", "fgb", "parquet"])
def test_a_vector_file_of_the_scenes_name(tmp_path: Path, suffix: str) -> None:
    scene(tmp_path / "source")
    table = outlines(HOUSES, PLACE, CRS).to_crs(4326)
    path = tmp_path / "source" / f"town.{suffix}"
    table.to_parquet(path) if suffix == "parquet" else table.to_file(path)
    row, chip = prepared(tmp_path / "source", tmp_path / "chips")
    assert (row["data_set"], row["place"], row["label_kind"], row["buildings"]) == ("generic", "town", "outlines", 4)
    assert row["gsd_m"] == pytest.approx(0.5, rel=0.01)
    assert all(built_share(chip.footprint, house, SIZE_HW) == 1 for house in HOUSES)
    assert (chip.footprint == 1).mean() == pytest.approx(0.244, abs=0.01)  # 2 × 1280 + 2 × 1600 of 24,576 px
    assert not chip.stage.any()


def test_one_map_for_several_scenes_is_loose_and_splits_by_scene(tmp_path: Path) -> None:
    for name in ("a.tif", "b.TIF", "c.tiff"):
        scene(tmp_path / "source", name)
    write_geojson(tmp_path / "source" / "map.geojson", outlines(HOUSES, PLACE, CRS))
    prepare("generic", tmp_path / "source", tmp_path / "chips")
    index = read_index(tmp_path / "chips")
    assert set(index["place"]) == {"a", "b", "c"} and sorted(index["split"]) == ["train", "train", "val"]
    assert set(index["label_kind"]) == {"loose"} and set(index["buildings"]) == {4}


def test_outside_the_labelled_area_nothing_is_known(tmp_path: Path) -> None:
    scene(tmp_path / "source")
    write_geojson(tmp_path / "source" / "map.geojson", outlines(HOUSES, PLACE, CRS))
    write_geojson(tmp_path / "source" / "labelled_area.geojson", outlines([(0, 0, 128, 120)], PLACE, CRS))
    row, chip = prepared(tmp_path / "source", tmp_path / "chips")
    assert row["label_kind"] == "outlines", "who drew the area has looked at the outlines"
    assert (chip.footprint[:, 121:] == UNKNOWN).all() and (chip.footprint[:, :119] != UNKNOWN).all()


OSM = (
    {"building": "yes"}, {"building": "construction"}, {"building": "no"}, {"building": "dormitory"},
    {"landuse": "construction"}, {"landuse": "residential"},
)  # fmt: skip


def hstore(tags: dict[str, str]) -> str:
    return ",".join(f'"{key}"=>"{value}"' for key, value in {"name": r"Zum \"=>\" Tor", **tags}.items())


@pytest.mark.parametrize("held", ["columns", "other_tags", "tags as hstore", "tags as JSON", "tags as a map"])
def test_openstreetmap_tags(tmp_path: Path, held: str) -> None:
    scene(tmp_path / "source")
    table = outlines([*HOUSES, SITE, (0, 0, 128, 192)], PLACE, CRS).to_crs(4326)
    if held == "columns":
        table = table.assign(**{key: [tags.get(key) for tags in OSM] for key in ("building", "landuse")})
    elif held == "other_tags":
        table = table.assign(
            building=[tags.get("building") for tags in OSM], other_tags=[hstore({**tags, "source": "x"}) for tags in OSM]
        )
    elif held == "tags as hstore":
        table = table.assign(tags=[hstore(tags) for tags in OSM])
    elif held == "tags as JSON":
        table = table.assign(tags=[json.dumps(tags) for tags in OSM])
    else:
        table = table.assign(tags=[list(tags.items()) for tags in OSM])
    if held == "tags as a map":
        plain = tmp_path / "plain.parquet"
        table.drop(columns="tags").to_parquet(plain)
        tags = pa.array(table["tags"], pa.map_(pa.string(), pa.string()))
        pq.write_table(pq.read_table(plain).append_column("tags", tags), tmp_path / "source" / "town.parquet")
    else:
        table.to_file(tmp_path / "source" / "town.gpkg", layer="multipolygons")
    row, chip = prepared(tmp_path / "source", tmp_path / "chips")
    assert row["buildings"] == 3
    assert values(chip.footprint, HOUSES[0]) == {1} and values(chip.stage, HOUSES[0]) == {0}
    assert values(chip.footprint, HOUSES[1]) == {1} and values(chip.stage, HOUSES[1]) == {2}
    assert values(chip.footprint, HOUSES[2]) == {0}, "building=no"
    assert values(chip.footprint, HOUSES[3]) == {1}, "a dormitory, on the construction site"
    assert values(chip.footprint, (52, 120, 118, 178)) == {UNKNOWN}
    assert values(chip.footprint, (0, 120, 48, 192)) == {0}, "a residential area is no building"


def test_an_openstreetmap_geopackage_with_points_first(tmp_path: Path) -> None:
    scene(tmp_path / "source")
    path = tmp_path / "source" / "town.gpkg"
    gpd.GeoDataFrame(geometry=[shapely.Point(4.35, 51.87)], crs=4326).to_file(path, layer="points")
    outlines(HOUSES, PLACE, CRS, building=["yes"] * 4).to_file(path, layer="multipolygons", mode="a")
    assert prepared(tmp_path / "source", tmp_path / "chips")[0]["buildings"] == 4


def test_an_openstreetmap_extract(tmp_path: Path) -> None:
    scene(tmp_path / "source")
    nodes, ways = [], []
    for number, (shape, tags) in enumerate(zip(outlines([*HOUSES, SITE], PLACE, CRS).to_crs(4326).geometry, OSM, strict=False)):
        ids = [10 * (number + 1) + corner for corner in range(4)]
        corners = zip(ids, shape.exterior.coords, strict=False)
        nodes += [f'<node id="{i}" lat="{lat}" lon="{lon}" version="1"/>' for i, (lon, lat) in corners]
        held = "".join(f'<tag k="{key}" v="{value}"/>' for key, value in tags.items())
        ways.append(
            f'<way id="{number + 1}" version="1">' + "".join(f'<nd ref="{i}"/>' for i in [*ids, ids[0]]) + held + "</way>"
        )
    text = f'<?xml version="1.0"?><osm version="0.6" generator="test">{"".join(nodes)}{"".join(ways)}</osm>'
    (tmp_path / "source" / "town.osm").write_text(text)
    row, chip = prepared(tmp_path / "source", tmp_path / "chips")
    assert row["buildings"] == 3
    assert [values(chip.footprint, house) for house in HOUSES] == [{1}, {1}, {0}, {1}]
    assert values(chip.stage, HOUSES[1]) == {2}
    assert values(chip.footprint, (52, 120, 118, 178)) == {UNKNOWN}


def test_google_open_buildings(tmp_path: Path) -> None:
    scene(tmp_path / "source")
    table = outlines(HOUSES, PLACE, CRS).to_crs(4326)
    rows = pd.DataFrame({
        "latitude": 51.87, "longitude": 4.35, "area_in_meters": 400.0, "confidence": [0.92, 0.71, 0.65, 0.8],
        "geometry": table.geometry.to_wkt(), "full_plus_code": "6GCRMQPX+JH",
    })  # fmt: skip
    rows.to_csv(tmp_path / "source" / "open_buildings.csv.gz", index=False)
    row, chip = prepared(tmp_path / "source", tmp_path / "chips")
    assert (row["buildings"], row["label_kind"]) == (3, "loose")
    assert values(chip.footprint, HOUSES[2]) == {UNKNOWN} and values(chip.footprint, HOUSES[1]) == {1}


@pytest.mark.parametrize("name", ["Nepal.geojsonl", "part-00000.c000.csv.gz"])
def test_microsoft_footprints(tmp_path: Path, name: str) -> None:
    scene(tmp_path / "source")
    shapes = outlines(HOUSES, PLACE, CRS).to_crs(4326).geometry
    stated = (-1.0, 0.9, 0.3, -1.0)
    lines = [
        json.dumps({"type": "Feature", "properties": {"height": -1.0, "confidence": c}, "geometry": shapely.geometry.mapping(s)})
        for s, c in zip(shapes, stated, strict=True)
    ]
    text = "\n".join(lines) + "\n"
    path = tmp_path / "source" / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith("gz") else text.encode())
    row, chip = prepared(tmp_path / "source", tmp_path / "chips")
    assert row["buildings"] == 3, "-1 states no confidence"
    assert values(chip.footprint, HOUSES[2]) == {UNKNOWN}


@pytest.mark.parametrize("suffix", ["parquet", "geojson"])
def test_overture(tmp_path: Path, suffix: str) -> None:
    scene(tmp_path / "source")
    sources = [
        [{"property": "", "dataset": "OpenStreetMap", "confidence": None}],
        [{"property": "", "dataset": "Google Open Buildings", "confidence": 0.66}],
        [{"property": "", "dataset": "Microsoft ML Buildings", "confidence": 0.9}],
        [{"property": "", "dataset": "OpenStreetMap", "confidence": None}],
    ]
    table = outlines(HOUSES, PLACE, CRS).to_crs(4326).assign(is_underground=[False, False, None, True], subtype=None)
    path = tmp_path / "source" / f"town.{suffix}"
    if suffix == "parquet":
        table.assign(sources=sources).to_parquet(path)
    else:
        table.assign(sources=[json.dumps(s) for s in sources]).to_file(path)
    row, chip = prepared(tmp_path / "source", tmp_path / "chips")
    assert row["buildings"] == 2
    assert [values(chip.footprint, house) for house in HOUSES] == [{1}, {UNKNOWN}, {1}, {0}]


def test_ones_own_stages(tmp_path: Path) -> None:
    scene(tmp_path / "source")
    table = outlines(HOUSES, PLACE, CRS, stage=["foundation", "complete", None, None], unknown=[False, False, False, True])
    write_geojson(tmp_path / "source" / "town.geojson", table)
    row, chip = prepared(tmp_path / "source", tmp_path / "chips")
    assert row["buildings"] == 3
    assert [values(chip.stage, house) for house in HOUSES] == [{1}, {3}, {0}, {0}]
    assert values(chip.footprint, HOUSES[3]) == {UNKNOWN}


def test_stages_are_read_in_any_capitals_and_others_are_refused(tmp_path: Path) -> None:
    scene(tmp_path / "source")
    for stages, wrong in (
        (["Foundation", " COMPLETE", "", None], ""),
        (["Foundation", "finished", None, None], "finished"),
        ([1, 2, 3, 3], "1"),
    ):
        write_geojson(tmp_path / "source" / "town.geojson", outlines(HOUSES, PLACE, CRS, stage=stages))
        if wrong:
            with pytest.raises(InputError, match=f"town.geojson: stage is '{wrong}'; it can be foundation"):
                prepare("generic", tmp_path / "source", tmp_path / "more")
        else:
            _, chip = prepared(tmp_path / "source", tmp_path / "chips")
            assert [values(chip.stage, house) for house in HOUSES] == [{1}, {3}, {0}, {0}]


def test_columns_of_ones_own_may_have_capitals(tmp_path: Path) -> None:
    scene(tmp_path / "source")
    table = outlines(HOUSES, PLACE, CRS, Stage=["foundation", "complete", None, None], UNKNOWN=[False, False, False, True])
    table.assign(Confidence=[None, None, 0.3, None]).to_file(tmp_path / "source" / "town.gpkg")
    row, chip = prepared(tmp_path / "source", tmp_path / "chips")
    assert row["buildings"] == 2
    assert [values(chip.stage, house) for house in HOUSES] == [{1}, {3}, {0}, {0}]
    assert [values(chip.footprint, house) for house in HOUSES] == [{1}, {1}, {UNKNOWN}, {UNKNOWN}]


def test_columns_that_differ_in_capitals_only_are_refused_unless_nobody_reads_them(tmp_path: Path) -> None:
    scene(tmp_path / "source")
    more = {"fixme": [None] * 4, "FIXME": ["height"] * 4, "building": ["yes"] * 4, "Building": [None] * 4}
    write_geojson(tmp_path / "source" / "town.geojson", outlines(HOUSES, PLACE, CRS, **more))
    assert prepared(tmp_path / "source", tmp_path / "chips")[0]["buildings"] == 4, "OpenStreetMap has such keys"
    more = {"unknown": [False] * 4, "Unknown": [True] * 4}
    write_geojson(tmp_path / "source" / "town.geojson", outlines(HOUSES, PLACE, CRS, **more))
    with pytest.raises(InputError, match=r"town\.geojson: has the columns 'unknown' and 'Unknown'; rename or delete"):
        prepare("generic", tmp_path / "source", tmp_path / "more")


def test_unknown_is_read_in_any_words_for_yes_and_others_are_refused(tmp_path: Path) -> None:
    scene(tmp_path / "source")
    for number, said in enumerate((["yes", "TRUE", "True", "no"], ["x", "1", " t", ""], [1, 1.0, 1, None], [1, 1, 1, 0])):
        write_geojson(tmp_path / "source" / "town.geojson", outlines(HOUSES, PLACE, CRS, unknown=said))
        _, chip = prepared(tmp_path / "source", tmp_path / f"chips{number}")
        assert [values(chip.footprint, house) for house in HOUSES] == [{UNKNOWN}, {UNKNOWN}, {UNKNOWN}, {1}], said
    for said in (["perhaps", "no", "no", "no"], [["yes", "no"], None, None, None]):
        write_geojson(tmp_path / "source" / "town.geojson", outlines(HOUSES, PLACE, CRS, unknown=said))
        with pytest.raises(InputError, match=r"town\.geojson: unknown is '.*', which is neither yes nor no; write true"):
            prepare("generic", tmp_path / "source", tmp_path / "more")


@pytest.mark.parametrize("name", ["labelled_area.gpkg", "Labelled_Area.geojson"])
def test_a_labelled_area_may_be_any_vector_file(tmp_path: Path, name: str) -> None:
    scene(tmp_path / "source")
    outlines(HOUSES, PLACE, CRS).to_file(tmp_path / "source" / "town.gpkg")
    outlines([(0, 0, 128, 120)], PLACE, CRS).to_file(tmp_path / "source" / name)
    _, chip = prepared(tmp_path / "source", tmp_path / "chips")
    assert values(chip.footprint, (0, 130, 128, 190)) == {UNKNOWN}
    outlines([(0, 0, 128, 120)], PLACE, CRS).to_file(tmp_path / "source" / "labelled_area.fgb")
    with pytest.raises(InputError, match="second labelled area"):
        prepare("generic", tmp_path / "source", tmp_path / "more")


def test_outlines_that_belong_to_no_raster_are_named(tmp_path: Path) -> None:
    scene(tmp_path / "source")
    for name in ("town.gpkg", "village.gpkg"):
        outlines(HOUSES, PLACE, CRS).to_file(tmp_path / "source" / name)
    with pytest.warns(UserWarning, match=r"of its own name: village\.gpkg"):
        prepare("generic", tmp_path / "source", tmp_path / "chips")


def test_outlines_in_another_encoding_are_refused_in_one_line(tmp_path: Path) -> None:
    scene(tmp_path / "source")
    write_geojson(tmp_path / "source" / "town.geojson", outlines(HOUSES, PLACE, CRS, name=["Straße"] * 4))
    text = (tmp_path / "source" / "town.geojson").read_text(encoding="utf-8")
    (tmp_path / "source" / "town.geojson").write_bytes(json.dumps(json.loads(text), ensure_ascii=False).encode("latin-1"))
    with pytest.raises(InputError, match=r"town\.geojson: its text is not UTF-8"):
        prepare("generic", tmp_path / "source", tmp_path / "chips")


def test_a_scene_without_buildings(tmp_path: Path) -> None:
    scene(tmp_path / "source")
    write_geojson(tmp_path / "source" / "town.geojson", outlines([], PLACE, CRS))
    row, chip = prepared(tmp_path / "source", tmp_path / "chips")
    assert row["buildings"] == 0 and (chip.footprint == 0).all()


def test_what_is_missing_or_unclear_is_named(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()

    def refused(word: str) -> None:
        with pytest.raises(InputError, match=word):
            prepare("generic", source, tmp_path / "chips")

    refused("holds no raster")
    scene(source)
    refused(r"town\.geojson: missing")
    (source / "a.csv").write_text("name,area\nx,3\n")
    refused(r"a\.csv: is neither GeoJSON lines nor CSV")
    (source / "a.csv").unlink()
    table = outlines(HOUSES, PLACE, CRS)
    for name in ("a.geojson", "b.geojson"):
        write_geojson(source / name, table)
    refused(r"which of a\.geojson, b\.geojson")
    for name in ("a.geojson", "b.geojson"):
        (source / name).unlink()
    table.to_file(source / "town.shp")
    (source / "town.prj").unlink()
    refused(r"town\.shp: names no coordinate system")
    (source / "town.gpkg").write_text("not a GeoPackage")
    refused(r"second vector file of town")
    for path in source.glob("town.s*"):
        path.unlink()
    refused(r"town\.gpkg: is not a vector file")
    scene(source, "town.tiff")
    refused("name of two rasters")


def test_a_real_scene_with_its_map(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    for name in ("zanzibar_1.tif", "zanzibar_1.geojson"):
        (tmp_path / "source" / name).symlink_to(data_path(f"oam_chips/{name}"))
    prepare("generic", tmp_path / "source", tmp_path / "chips")
    index = read_index(tmp_path / "chips")
    assert set(index["place"]) == {"zanzibar_1"}
    assert 80 <= index["buildings"].sum() <= 95  # 80 outlines, some across the chips' edges
