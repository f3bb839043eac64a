"""Odd inputs by kind, each with the right value or the words of the one line that it ends in."""

from __future__ import annotations

import itertools
import json
import re
import shlex
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pyproj
import pytest
import rasterio
import shapely
from affine import Affine
from shapely import Polygon, box

from detect.base.errors import InputError
from detect.base.grid import Span
from detect.base.texts import plain_text, shortened
from detect.census.profiles import load_profile
from detect.census.review import read_corrections
from detect.census.sites import load_sites
from detect.cli.main import main
from detect.scene.scene import Scene, open_scene
from detect.scene.sources import sources, stem_of
from tests.conftest import ORIGIN_XY, SCENE_SIZE_HW, WriteScene, draw_houses

X, Y = ORIGIN_XY
CRS = pyproj.CRS(32631)
SHOWN = box(X, Y - 48, X + 80, Y)
PLOTS = gpd.GeoDataFrame(
    {"name": ["a", "b"], "planned_buildings": [10, 20]},
    geometry=[box(X + 2, Y - 46, X + 40, Y - 2), box(X + 42, Y - 46, X + 78, Y - 2)],
    crs=CRS,
)
DEGREES = PLOTS.to_crs(4326)
WKT, OTHER_WKT = DEGREES.geometry.to_wkt()
UTM_WKT = PLOTS.geometry.iloc[0].wkt
EWKB = shapely.to_wkb(shapely.set_srid(PLOTS.geometry.iloc[0], 32631), hex=True, include_srid=True)
FEATURES = json.loads(DEGREES.to_json())["features"]


def read(path: Path) -> tuple[list[str], list[float | None], str]:
    """Names, planned buildings and all that is said, of a file of plots."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sites = load_sites(path, CRS, SHOWN)
    planned = [None if value != value else value for value in sites.table["planned_buildings"]]
    return list(sites.table["name"]), planned, "; ".join(line for lines in sites.warnings for line in lines)


def one_line(error: InputError, path: Path) -> None:
    assert "\n" not in str(error) and path.name in str(error)


# Text tables ----------------------------------------------------------------------------------------------------------------------

TABLES: dict[str, tuple[str, list[str]]] = {
    "NA and None are names": (f'name,WKT\nNA,"{WKT}"\nNone,"{OTHER_WKT}"\n', ["NA", "None"]),
    "numbers stay as written": (f"Name;WKT\n007;{WKT}\n1e5;{OTHER_WKT}\n", ["007", "1e5"]),
    "a doubled quote": (f'name,WKT\n"a ""b""","{WKT}"\n', ['a "b"']),
    "a blank line first": (f'\n\nname,WKT\na,"{WKT}"\n', ["a"]),
    "a hint for spreadsheets": (f"sep=;\nname;WKT\na;{WKT}\n", ["a"]),
    "EWKT in degrees": (f'name,WKT\na,"SRID=4326;{WKT}"\n', ["a"]),
    "EWKT in metres": (f'name,WKT\na,"SRID=32631;{UTM_WKT}"\n', ["a"]),
    "hexadecimal WKB": (f"name,geom\na,{DEGREES.geometry.iloc[0].wkb_hex}\n", ["a"]),
    "hexadecimal EWKB": (f"name,geom\na,{EWKB}\n", ["a"]),
    "a row without outline": (f'name,WKT\na,"{WKT}"\nb,\n', ["a"]),
    "with heights": (f"name;WKT\na;{shapely.force_3d(DEGREES.geometry.iloc[0], 5.0).wkt}\n", ["a"]),
    "metres": (f'name,WKT\na,"{UTM_WKT}"\n', ["a"]),
    "tabs": (f"name\tWKT\na\t{WKT}\n", ["a"]),
    "no name": (f'WKT\n"{WKT}"\n"{OTHER_WKT}"\n', ["site 1", "site 2"]),
    "one name for two": (f'name,WKT\na,"{WKT}"\na,"{OTHER_WKT}"\n', ["a", "a (2)"]),
    "a name that is taken": (f'name,WKT\na (2),"{WKT}"\na,"{OTHER_WKT}"\n', ["a (2)", "a"]),
}  # fmt: skip


@pytest.mark.parametrize("kind", TABLES)
def test_text_tables_are_read(tmp_path: Path, kind: str) -> None:
    text, names = TABLES[kind]
    (tmp_path / "p.csv").write_text(text)
    assert read(tmp_path / "p.csv")[0] == names


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "neither GeoJSON lines nor CSV"),
        ("name,WKT\n", "holds no polygon"),
        ("name,lat,lon\na,1,2\n", "it has name, lat, lon"),
        ("name,WKT\na,POLYGON((1 1\n", "neither GeoJSON lines nor CSV"),
        ("name,geom\na,0103\n", "neither GeoJSON lines nor CSV"),
        ('name,WKT\na,"SRID=999999;POLYGON((0 0,1 0,1 1,0 0))"\n', "neither GeoJSON lines nor CSV"),
        ("name;WKT\na;POLYGON((nan nan,1 1,2 2,nan nan))\n", "neither GeoJSON lines nor CSV"),
        (f'name,WKT\na,"SRID=32631;{UTM_WKT}"\nb,"SRID=4326;{WKT}"\n', "several coordinate systems .EPSG:4326, EPSG:32631."),
        ("{}\n", "neither GeoJSON lines nor CSV"),
        ('{"type": "Feature"\n', "neither GeoJSON lines nor CSV"),
    ],
)
def test_text_tables_without_plots_are_one_line(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "p.csv").write_text(text)
    with pytest.raises(InputError, match=words) as error:
        read(tmp_path / "p.csv")
    one_line(error.value, tmp_path / "p.csv")


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        *itertools.product(("lines", "text sequence"), ("p.geojsonl", "p.geojsons", "p.jsonl")),
        *itertools.product(("collection",), ("p.geojsonl", "p.jsonl")),
    ],
)
def test_geojson_in_lines_is_read(tmp_path: Path, name: str, kind: str) -> None:
    mark = "\x1e" if kind == "text sequence" else ""
    lines = (
        [json.dumps(f) for f in FEATURES]
        if kind != "collection"
        else [json.dumps({"type": "FeatureCollection", "features": FEATURES})]
    )
    (tmp_path / name).write_text("".join(f"{mark}{line}\n" for line in lines))
    assert read(tmp_path / name)[0] == ["a", "b"]


# Archives and Shapefiles ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("folder", ["", "plots/", "deep/er/"])
@pytest.mark.parametrize("mac", [False, True], ids=["", "from a Mac"])
def test_a_zipped_shapefile_is_read_wherever_it_lies(tmp_path: Path, folder: str, mac: bool) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        PLOTS.to_file(tmp_path / "z.shp")
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        for part in sorted(tmp_path.glob("z.[!z]*")):
            archive.write(part, f"{folder}{part.name}")
            if mac:
                archive.writestr(f"__MACOSX/{folder}._{part.name}", "Mac OS X")
    assert read(tmp_path / "z.zip")[:2] == (["a", "b"], [10, 20])


@pytest.mark.parametrize(("lost", "words"), [("shx", "its index"), ("shp", "no such file")])
def test_a_shapefile_without_a_part_is_one_line(tmp_path: Path, lost: str, words: str) -> None:
    PLOTS[["name", "geometry"]].to_file(tmp_path / "z.shp")
    (tmp_path / f"z.{lost}").unlink()
    with pytest.raises(InputError, match=words):
        read(tmp_path / "z.shp")


def test_a_lost_table_is_said(tmp_path: Path) -> None:
    PLOTS[["name", "geometry"]].to_file(tmp_path / "z.shp")
    (tmp_path / "z.dbf").unlink()
    names, _, said = read(tmp_path / "z.shp")
    assert names == ["site 1", "site 2"] and "its table (.dbf) is missing" in said


# Fields ---------------------------------------------------------------------------------------------------------------------------

PLANNED: dict[str, tuple[list[Any], list[float | None], str]] = {
    "negative": ([-5, 3], [None, 3], "not a number of buildings"),
    "huge": ([1e300, 1], [None, 1], "not a number of buildings"),
    "endless": ([float("inf"), 1], [None, 1], "not a number of buildings"),
    "words": (["ten", "5"], [None, 5], "not a number of buildings"),
    "a unit": (["100 buildings", "~50"], [None, None], "not a number of buildings"),
    "thousands": (["1,000", "2 000"], [None, None], "not a number of buildings"),
    "true": ([True, False], [None, None], "not a number of buildings"),
    "blank": (["", " "], [None, None], ""),
    "spaces": (["10 ", "20\n"], [10, 20], ""),
    "missing": ([None, 7.0], [None, 7], ""),
}


@pytest.mark.parametrize("kind", PLANNED)
def test_planned_buildings_are_numbers_or_it_is_said(tmp_path: Path, kind: str) -> None:
    values, planned, words = PLANNED[kind]
    PLOTS.assign(planned_buildings=values).to_file(tmp_path / "p.gpkg")
    found = read(tmp_path / "p.gpkg")
    assert found[1] == planned and words in found[2]


NAMES = {
    "dollar": ("$100 camp $x$", "$100 camp $x$"),
    "tex": (r"$\frac{a}$", r"$\frac{a}$"),
    "quotes": ("a\"b'c", "a\"b'c"),
    "html": ("<script>alert(1)</script>&amp;", "<script>alert(1)</script>&amp;"),
    "lines": ("one\r\ntwo\tthree", "one two three"),
    "bell": ("a\x07b\x1b[31mc\x7f", "ab[31mc"),
    "space": ("   ", "site 1"),
    "formula": ("=cmd()", "=cmd()"),
    "path": ("../../etc", "../../etc"),
    "percent": ("%s {0}", "%s {0}"),
    "script": ("工地 🏗", "工地 🏗"),
    "long": ("x" * 5000, "x" * 5000),
    "number": (7, "7"),
    "real": (7.0, "7"),
}


@pytest.mark.parametrize("kind", NAMES)
def test_names_are_text_on_one_line(tmp_path: Path, kind: str) -> None:
    given, name = NAMES[kind]
    PLOTS.assign(name=[given, given]).to_file(tmp_path / "p.geojson")
    assert read(tmp_path / "p.geojson")[0][0] == name


def test_long_texts_are_shortened() -> None:
    assert shortened("x" * 5000, 10) == "xxxxxxxxx…" and shortened("short") == "short"
    assert plain_text(" a\u2028b\x00\ud800 ") == "a b"


@pytest.mark.parametrize("field", ["site_name", "Title", "plot", "Site"])
def test_a_field_that_may_hold_names_is_said(tmp_path: Path, field: str) -> None:
    PLOTS.rename(columns={"name": field}).to_file(tmp_path / "p.gpkg")
    assert f"the field '{field}' is not read" in read(tmp_path / "p.gpkg")[2]


def test_of_two_spellings_the_exact_one_is_read(tmp_path: Path) -> None:
    PLOTS.assign(NAME=["x", "y"]).to_file(tmp_path / "p.geojson")
    assert read(tmp_path / "p.geojson")[0] == ["a", "b"]


# Shapes ---------------------------------------------------------------------------------------------------------------------------

INNER = {"type": "GeometryCollection", "geometries": [FEATURES[0]["geometry"]]}
DOCUMENTS: dict[str, tuple[Any, str]] = {
    "a bare polygon": (FEATURES[0]["geometry"], ""),
    "a bare feature": (FEATURES[0], ""),
    "a collection of shapes": ({"type": "Feature", "properties": {}, "geometry": INNER}, ""),
    "crs null": ({"type": "FeatureCollection", "features": FEATURES, "crs": None}, ""),
    "crs a number": ({"type": "FeatureCollection", "features": FEATURES, "crs": 5}, ""),
    "no feature": ({"type": "FeatureCollection", "features": []}, "holds no polygon"),
    "a list": ([1, 2], "is not a vector file"),
    "a number": (5, "is not a vector file"),
    "no area": ({"type": "Polygon", "coordinates": [[[4.36, 51.87], [4.37, 51.87], [4.36, 51.87]]]}, "Polygon without an area"),
    "text coordinates": ({"type": "Polygon", "coordinates": [[["4", "51"], ["5", "51"], ["4", "51"]]]}, "is not a vector file"),
    "a point": ({"type": "Point", "coordinates": [4.36, 51.87]}, "holds no polygon"),
    "coordinates missing": ({"type": "Polygon"}, "holds no polygon|is not a vector file"),
}  # fmt: skip


@pytest.mark.parametrize("kind", DOCUMENTS)
def test_geojson_of_any_form_is_read_or_one_line(tmp_path: Path, kind: str) -> None:
    document, words = DOCUMENTS[kind]
    path = tmp_path / "p.geojson"
    path.write_text(json.dumps(document))
    if not words:
        assert len(read(path)[0]) >= 1
        return
    with pytest.raises(InputError, match=words) as error:
        read(path)
    one_line(error.value, path)


def test_many_plots_of_one_name_and_many_corners(tmp_path: Path) -> None:
    squares = [box(X + i % 40, Y - 40 + i // 40, X + i % 40 + 0.9, Y - 39.1 + i // 40) for i in range(1500)]
    gpd.GeoDataFrame({"name": "same"}, geometry=squares, crs=CRS, index=range(1500)).to_file(tmp_path / "p.gpkg")
    names = read(tmp_path / "p.gpkg")[0]
    assert len(set(names)) == 1500 and names[-1] == "same (1500)"
    turn = np.linspace(0, 2 * np.pi, 100_001)[:-1]
    round_one = Polygon(np.c_[X + 40 + 20 * np.cos(turn), Y - 24 + 20 * np.sin(turn)])
    gpd.GeoDataFrame({"name": ["round"]}, geometry=[round_one], crs=CRS).to_file(tmp_path / "r.gpkg")
    assert load_sites(tmp_path / "r.gpkg", CRS, SHOWN).table["area_km2"].iloc[0] == pytest.approx(400 * np.pi / 1e6, rel=1e-3)


@pytest.mark.parametrize("kind", ["pixels", "text", "page", "empty", "table"])
def test_what_is_no_vector_file_is_one_line(write_scene: WriteScene, tmp_path: Path, kind: str) -> None:
    path = write_scene(name="p.gpkg") if kind == "pixels" else tmp_path / "p.gpkg"
    texts = {"text": "a", "page": "<html>404</html>", "empty": "", "table": "a,b\n1,2\n"}
    if kind in texts:
        path.write_text(texts[kind])
    with pytest.raises(InputError, match="is not a vector file") as error:
        read(path)
    one_line(error.value, path)


# Corrections ----------------------------------------------------------------------------------------------------------------------

FOUND = PLOTS[["geometry"]].assign(id=[1, 2], stage="complete", dormitory_like=[True, False])
EDITS: dict[str, tuple[Callable[[gpd.GeoDataFrame], gpd.GeoDataFrame], str]] = {
    "as it is": (lambda t: t, ""),
    "ids with spaces": (lambda t: t.assign(id=[" 1 ", "2"]), ""),
    "ids as reals": (lambda t: t.assign(id=[1.0, 2.0]), ""),
    "degrees": (lambda t: t.to_crs(4326), ""),
    "heights": (lambda t: t.set_geometry(shapely.force_3d(t.geometry.to_numpy(), 3.0)), ""),
    "checked by a letter": (lambda t: t.assign(checked=["Y", "x"]), ""),
    "ids in words": (lambda t: t.assign(id=["B1", "2"]), "'B1' is not the id of a building"),
    "half an id": (lambda t: t.assign(id=[1.5, 2]), "is not the id of a building"),
    "an endless id": (lambda t: t.assign(id=[np.inf, 2]), "is not the id of a building"),
    "checked in words": (lambda t: t.assign(checked=["ok", ""]), "checked is 'ok' in a row"),
    "checked by a number": (lambda t: t.assign(checked=[2, 1]), "checked is '2' in a row"),
    "likeness in words": (lambda t: t.assign(dormitory_like=["maybe", "no"]), "dormitory_like is 'maybe' in a row"),
    "a stage that is none": (lambda t: t.assign(stage=["done", "complete"]), "row 1: stage is 'done'"),
    "no stage": (lambda t: t.assign(stage=[None, "complete"]), "row 1 has no stage"),
    "no column id": (lambda t: t.drop(columns="id"), "has no column 'id'"),
    "lines": (lambda t: t.set_geometry(t.boundary), "has a polygon"),
    "elsewhere": (lambda t: t.set_geometry(t.translate(50_000)), "no building lies on the scene"),
}


@pytest.mark.parametrize("kind", EDITS)
def test_corrections_are_read_or_one_line(tmp_path: Path, kind: str) -> None:
    edit, words = EDITS[kind]
    edit(FOUND).to_file(tmp_path / "r.gpkg")
    if not words:
        found = read_corrections(tmp_path / "r.gpkg", CRS, SHOWN)
        assert found["id"].tolist() == [1, 2] and found["dormitory_like"].tolist() == [True, False]
        assert found["checked"].all() == ("letter" in kind)
        return
    with pytest.raises(InputError, match=words) as error:
        read_corrections(tmp_path / "r.gpkg", CRS, SHOWN)
    one_line(error.value, tmp_path / "r.gpkg")


# Profiles -------------------------------------------------------------------------------------------------------------------------

BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in itertools.pairwise("abcdefghij")
)
YAML = {
    "a bomb": (BOMB, "unknown key 'a'"),
    "a bomb as a name": (BOMB.replace("j: &j", "name: &j"), "unknown key 'a'"),
    "itself": ("name: &a [*a]\n", "'name' is"),
    "an object of Python": ("!!python/object/apply:os.system ['id']", "is not valid YAML"),
    "tabs": ("a:\n\t- b", "is not valid YAML"),
    "deep": ("[" * 5000, "is not valid YAML"),
    "month 13": ("name: 2024-13-45\n", "is not valid YAML"),
    "5,000 digits": (f"name: {'9' * 5000}\n", "is not valid YAML|'name' is"),
    "400 digits": (f"name: {'9' * 400}\n", "'name' is"),
    "zero bytes": ("\x00\x01", "is not valid YAML"),
    "nothing": ("", "found null"),
    "a list": ("- a", "found \\["),
    "a day": ("name: 2024-01-01\n", "must be text"),
}


@pytest.mark.parametrize("kind", YAML)
def test_profiles_that_are_none_are_one_line(tmp_path: Path, kind: str) -> None:
    text, words = YAML[kind]
    (tmp_path / "p.yaml").write_text(text)
    with pytest.raises(InputError, match=words) as error:
        load_profile(tmp_path / "p.yaml")
    one_line(error.value, tmp_path / "p.yaml")
    assert len(str(error.value)) < 600


# No data --------------------------------------------------------------------------------------------------------------------------

HEIGHT, WIDTH = SCENE_SIZE_HW
FRAME = np.ones(SCENE_SIZE_HW, bool)
FRAME[12:-12, 16:-16] = False
BYTES, WIDE = draw_houses(), draw_houses().astype(np.float32) * 2 + 200


def observed(path: Path) -> tuple[float, Scene]:
    scene = open_scene(path)
    grid = scene.work_grid(scene.gsd_m)
    with scene.reader(grid) as reader:
        return float(reader.read(Span(0, 0, *grid.size_hw))[1].mean()), scene


def framed(values: np.ndarray, fill: Any) -> np.ndarray:
    result = values.copy()
    result[:, FRAME] = fill
    return result


@pytest.mark.parametrize(
    ("values", "fill"),
    [
        *((WIDE, fill) for fill in (-9999, -32768, -3.4028234663852886e38, 3.4e38, 1e20, -1, -999, np.nan, -1e10)),
        *((WIDE.astype(np.uint16), fill) for fill in (0, 65535)),
        *((WIDE.astype(np.int16), fill) for fill in (-32768, -9999)),
        *((BYTES, fill) for fill in (0, 255, 1, 128, 254)),
    ],
    ids=lambda value: value.dtype.name if isinstance(value, np.ndarray) else str(value),
)
def test_a_constant_frame_was_not_observed(write_scene: WriteScene, values: np.ndarray, fill: float) -> None:
    share, scene = observed(write_scene(framed(values, fill)))
    assert share == pytest.approx(1 - FRAME.mean(), abs=0.01)
    assert min(scene.stretch_lo) > (20 if values.dtype == np.uint8 else 200), "nor does it take part in the stretch"


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", ["black", "white", "11 bits"])
def test_a_noisy_frame_was_not_observed(write_scene: WriteScene, kind: str, seed: int) -> None:
    most = 3 if kind == "11 bits" else 7
    noise = np.random.default_rng(seed).integers(0, most, (3, int(FRAME.sum())))
    values = WIDE.astype(np.uint16) if kind == "11 bits" else BYTES
    share, scene = observed(write_scene(framed(values, 255 - noise if kind == "white" else noise)))
    assert share == pytest.approx(1 - FRAME.mean(), abs=0.01)
    assert any("no data" in line for line in scene.warnings) or kind == "black"


def test_dark_water_at_two_corners_was_observed(write_scene: WriteScene) -> None:
    water = BYTES.copy()
    water[:, :, :60] = np.random.default_rng(1).integers(0, 7, (3, HEIGHT, 60))
    assert observed(write_scene(water))[0] > 0.99


@pytest.mark.parametrize("fill", [np.nan, 0.0])
def test_nothing_observed_is_nothing_observed(write_scene: WriteScene, fill: float) -> None:
    share, scene = observed(write_scene(np.full_like(WIDE, fill), nodata=0.0))
    assert share == 0 and any("no pixel holds an observation" in line for line in scene.warnings)


# Places ---------------------------------------------------------------------------------------------------------------------------

PLACES: dict[str, tuple[str, Affine, tuple[float, float] | str]] = {
    "across 180": ("EPSG:4326", Affine(4e-6, 0, 179.9998, 0, -4e-6, 10), (0.442, 0.439)),
    "across 360": ("EPSG:4326", Affine(4e-6, 0, 359.9998, 0, -4e-6, 10), (0.442, 0.439)),
    "north pole": ("EPSG:3413", Affine(0.5, 0, -40, 0, -0.5, 24), (0.515, 0.515)),
    "south pole": ("EPSG:3031", Affine(0.5, 0, -40, 0, -0.5, 24), (0.514, 0.514)),
    "edge of Web Mercator": ("EPSG:3857", Affine(0.5, 0, 20037508 - 40, 0, -0.5, 0), (0.497, 0.5)),
    "US feet": ("EPSG:2263", Affine(1.6, 0, 980_000, 0, -1.6, 200_000), (0.488, 0.488)),
    "south up": ("EPSG:32631", Affine(0.5, 0, X, 0, 0.5, Y), (0.5, 0.5)),
    "mirrored": ("EPSG:32631", Affine(-0.5, 0, X, 0, -0.5, Y), (0.5, 0.5)),
    "with heights": ("EPSG:32631+5773", Affine(0.5, 0, X, 0, -0.5, Y), (0.5, 0.5)),
    "degrees at a pole": ("EPSG:4326", Affine(1e-5, 0, 10, 0, -4e-6, 89.9999), "a system in metres first"),
    "beyond a pole": ("EPSG:4326", Affine(1e-5, 0, 10, 0, -4e-6, 90.0001), "a system in metres first"),
    "no size": ("EPSG:32631", Affine(0, 0, X, 0, 0, Y), "gives no ground size"),
    "no number": ("EPSG:32631", Affine(float("nan"), 0, X, 0, -0.5, Y), "gives no ground size"),
    "endless": ("EPSG:32631", Affine(0.5, 0, float("inf"), 0, -0.5, Y), "gives no ground size"),
    "far out": ("EPSG:32631", Affine(0.5, 0, 1e9, 0, -0.5, 1e9), "gives no ground size"),
    "the Moon": ("+proj=longlat +R=1737400 +no_defs", Affine(1e-5, 0, 10, 0, -1e-5, 10), "another celestial body"),
    "beside the Earth": ("+proj=ortho +lat_0=52 +lon_0=4 +datum=WGS84", Affine(0.5, 0, 1e7, 0, -0.5, 0), "gives no ground size"),
}


@pytest.mark.parametrize("kind", PLACES)
def test_ground_sizes_everywhere_or_one_line(write_scene: WriteScene, kind: str) -> None:
    crs, place, expected = PLACES[kind]
    path = write_scene(crs=crs, transform=place)
    if isinstance(expected, str):
        with pytest.raises(InputError, match=expected) as error:
            open_scene(path)
        one_line(error.value, path)
    else:
        assert open_scene(path).gsd_rc_m == pytest.approx(expected, abs=0.001)


# Names and dates of scenes --------------------------------------------------------------------------------------------------------

DATES = {
    "scene_20240605.tif": "2024-06-05",
    "IMG_20240605_101500.tif": "2024-06-05",
    "20240605T101500Z.tif": "2024-06-05",
    "05JUN2024_camp.tif": "2024-06-05",
    "camp-5-Jun-2024.tif": None,
    "05-jun-2024.tif": "2024-06-05",
    "24JUN05101325-M2AS-050.tif": None,
    "24JUN05_site.tif": None,
    "31FEB2024.tif": None,
    "scene_2024-13-45.tif": None,
    "tile_20481024.tif": None,
    "x_19391231.tif": None,
    "20240230.tif": None,
    "x2024_06.tif": "2024-06-01",
    "MAR2024.tif": None,
}


@pytest.mark.parametrize("name", DATES)
def test_dates_in_names(write_scene: WriteScene, name: str) -> None:
    assert open_scene(write_scene(name=name)).date == DATES[name]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("a/...tif", "scene"),
        ("a/.hidden.tif", "hidden"),
        ("a/q?mark.tif", "q?mark"),
        ("a/$x$.tif", "$x$"),
        ("a/t\tn\n.tif", "t_n_"),
        ("a/per%20cent.tif", "per%20cent"),
        ("https://a.org/x.tif?key=1", "x"),
        ("https://a.org/.tif", "tif"),
    ],
)
def test_the_folder_of_a_result_lies_in_out_and_is_seen(path: str, name: str) -> None:
    assert stem_of(path) == name and not stem_of(path).startswith(".")


def test_a_name_that_is_not_utf8_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="its name is not valid UTF-8") as error:
        sources([tmp_path / "sc\udce9ne.tif"])
    str(error.value).encode()


# Commands -------------------------------------------------------------------------------------------------------------------------

WRONG = {
    "predict tiny.tif --out tiny.tif": "is a file; give a folder",
    "predict tiny.tif --out tiny.tif/x": "lies below a file",
    "predict tiny.tif --out out --date yesterday": "'yesterday' is not a date",
    "predict tiny.tif --out out --bands 9,1,2": "does not fit",
    "predict tiny.tif --out out --weights tiny.tif": "is not a readable card",
    "predict tiny.tif --out out --structure tiny.tif": "is not valid YAML",
    "predict tiny.tif --out out --gsd 0.5": "is georeferenced",
    "predict http://user:SECRET@127.0.0.1:9/x.tif?token=SECRET --out out": "cannot be opened",
    "predict *.nix --out out": "no file fits",
    "predict . --out out": "is a folder",
    "census nowhere": "no such folder",
    "census .": "holds no result",
    "track . . --out t": "holds no result",
    "verify tiny.tif": "no such folder",
    "census ''": "DIR: is empty",
    "predict tiny.tif --out out --sites ''": "--sites: is empty",
    "evaluate tiny.tif nix.gpkg": "is not a vector file|no such file",
    "simulate --out tiny.tif": "exists already and is no folder",
}


@pytest.mark.parametrize("line", WRONG)
def test_a_wrong_command_is_one_line_and_leaves_nothing(
    tiny_scene: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], line: str
) -> None:
    monkeypatch.chdir(tiny_scene.parent)
    assert main(shlex.split(line)) == 2
    error = capsys.readouterr().err
    shown = [part for part in error.splitlines() if "error" in part]
    assert len(shown) == 1 and re.search(WRONG[line], error) and "SECRET" not in error
    with rasterio.open(tiny_scene) as raster:
        assert raster.count == 3
    assert not list(tiny_scene.parent.glob("*/*"))
