"""``verify`` compares what files hold: opening a result in a program changes its containers, not its rows and pixels."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import rasterio
from rasterio import shutil as raster_shutil

import detect
from detect.base.files import sha256_of
from detect.base.vectors import read_vector
from detect.cli.main import main
from detect.results.contents import content_hash
from detect.results.seal import _own_hash, verify
from tests.conftest import GSD_M, ORIGIN_XY, SCENE_SIZE_HW, draw_houses


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("contents")
    height, width = SCENE_SIZE_HW
    place = rasterio.Affine(GSD_M, 0, ORIGIN_XY[0], 0, -GSD_M, ORIGIN_XY[1])
    profile = {"driver": "GTiff", "dtype": "uint8", "count": 3, "height": height, "width": width, "crs": "EPSG:32631"}
    with rasterio.open(folder / "tiny.tif", "w", transform=place, **profile) as out:
        out.write(draw_houses())
    detect.predict(folder / "tiny.tif", folder / "out")
    return folder / "out/tiny"


@pytest.fixture
def result(good: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(good, tmp_path / "tiny"))


@pytest.fixture
def earlier(result: Path) -> Path:
    """A result of an earlier version, without hashes of contents; its GeoPackage keeps a log."""
    with closing(sqlite3.connect(result / "buildings.gpkg")) as base:
        base.execute("pragma journal_mode=wal").fetchall()
    summary = json.loads((result / "summary.json").read_text())
    del summary["contents"]
    del summary["files"]["summary.json"]
    summary["files"]["buildings.gpkg"] = sha256_of(result / "buildings.gpkg")
    summary["files"]["summary.json"] = _own_hash(summary)
    (result / "summary.json").write_text(json.dumps(summary))
    return result


def look(path: Path) -> None:
    """What QGIS does to a GeoPackage while one looks at it."""
    with closing(sqlite3.connect(path)) as base:
        for step in ("pragma journal_mode=wal", "select * from buildings", "pragma journal_mode=delete"):
            base.execute(step).fetchall()


def tidy_up(path: Path) -> None:
    with closing(sqlite3.connect(path)) as base:
        base.execute("vacuum")
        base.execute("update gpkg_contents set last_change = '2030-01-01T00:00:00.000Z'")
        base.commit()


def add_statistics(path: Path) -> None:
    with rasterio.open(path, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as raster:
        raster.update_tags(1, STATISTICS_MEAN="0.5")


def compress_anew(path: Path) -> None:
    raster_shutil.copy(path, path.with_name("other.tif"), driver="GTiff", compress="lzw")
    path.with_name("other.tif").replace(path)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("buildings.gpkg", look),
        ("buildings.gpkg", tidy_up),
        ("mask.tif", add_statistics),
        ("stage.tif", compress_anew),
    ],
)
def test_the_same_rows_and_pixels_are_unchanged(result: Path, name: str, change: Callable[[Path], None]) -> None:
    before = sha256_of(result / name)
    change(result / name)
    assert sha256_of(result / name) != before
    assert verify(result) == []


def opened(path: Path) -> sqlite3.Connection:
    """A connection with what the triggers of a GeoPackage call."""
    base = sqlite3.connect(path)
    for name in ("ST_IsEmpty", "ST_MinX", "ST_MaxX", "ST_MinY", "ST_MaxY"):
        base.create_function(name, 1, lambda _: 0)
    return base


def edit(path: Path, step: str) -> None:
    with closing(opened(path)) as base, base:
        base.execute(step)


@pytest.mark.parametrize(
    "step",
    [
        "update buildings set stage = 'foundation' where fid = 1",
        "update buildings set beds = beds + 1 where fid = 2",
        "alter table buildings add column note text",
        "update gpkg_geometry_columns set srs_id = 4326 where table_name = 'buildings'",
        "delete from gpkg_contents where table_name = 'rows'",
        "update layer_styles set styleQML = '<qgis/>'",
    ],
)
def test_other_rows_columns_layers_and_systems_are_a_change(result: Path, step: str) -> None:
    edit(result / "buildings.gpkg", step)
    assert any("buildings.gpkg: was changed" in f for f in verify(result))


def test_another_pixel_is_a_change(result: Path) -> None:
    with rasterio.open(result / "mask.tif", "r+", IGNORE_COG_LAYOUT_BREAK="YES") as mask:
        values = mask.read(1)
        values[0, 0] ^= 1
        mask.write(values, 1)
    assert any("mask.tif: was changed" in f for f in verify(result))


@pytest.mark.parametrize("share", [0.3, 0.6, 0.99])
@pytest.mark.parametrize("name", ["mask.tif", "probability.tif", "report.html"])
def test_a_damaged_file_is_a_change(result: Path, name: str, share: float) -> None:
    content = bytearray((result / name).read_bytes())
    at = int(share * len(content))
    content[at : at + 64] = bytes(b ^ 0x5A for b in content[at : at + 64])
    (result / name).write_bytes(content)
    assert any(f"{name}: was changed" in f for f in verify(result))


@pytest.mark.parametrize("text", [b"complete", b"<qgis", b"CREATE TABLE"])
def test_damage_in_a_geopackage_is_a_change(result: Path, text: bytes) -> None:
    path = result / "buildings.gpkg"
    content = path.read_bytes()
    at = content.rindex(text)
    path.write_bytes(content[:at] + bytes(b ^ 0x5A for b in text) + content[at + len(text) :])
    assert any("buildings.gpkg: was changed" in f for f in verify(result))


def leave_in_log(path: Path, step: str) -> None:
    """A change as a program leaves it that still has a GeoPackage open: in the log beside it."""
    aside = path.parent.with_name("aside.gpkg")
    shutil.copy(path, aside)
    with closing(opened(aside)) as base:
        for preparation in ("pragma journal_mode=wal", "pragma wal_autocheckpoint=0"):
            base.execute(preparation).fetchall()
        base.execute(step)
        base.commit()
        shutil.copy(aside, path)
        shutil.copy(f"{aside}-wal", f"{path}-wal")


NO_EDIT = "update gpkg_contents set last_change = '2030-01-01T00:00:00.000Z'"
EDIT = "update buildings set beds = beds + 4000"


@pytest.mark.parametrize("kind", ["result", "earlier"])
def test_an_edit_that_lies_in_the_log_is_a_change(kind: str, request: pytest.FixtureRequest) -> None:
    folder: Path = request.getfixturevalue(kind)
    leave_in_log(folder / "buildings.gpkg", NO_EDIT)
    assert verify(folder) == [], "a program that only looks changes nothing"
    leave_in_log(folder / "buildings.gpkg", EDIT)
    assert any("buildings.gpkg: was changed" in f for f in verify(folder))


def test_results_of_earlier_versions_are_still_verified(earlier: Path) -> None:
    assert verify(earlier) == []
    look(earlier / "buildings.gpkg")
    assert [f for f in verify(earlier) if "buildings.gpkg: was changed" in f], "of their rows no hash is known"


def test_verify_leaves_nothing_beside_a_file(result: Path) -> None:
    look(result / "buildings.gpkg")
    before = sorted(p.name for p in result.iterdir())
    assert verify(result) == []
    assert sorted(p.name for p in result.iterdir()) == before


def test_other_files_have_no_content_of_their_own(result: Path) -> None:
    assert content_hash(result / "report.html") is content_hash(result / "buildings.parquet") is None


def test_a_census_beside_an_open_geopackage_leaves_its_log_behind(result: Path) -> None:
    leave_in_log(result / "buildings.gpkg", EDIT)
    assert main(["census", str(result), "--structure", "warehouse"]) == 0
    assert not (result / "buildings.gpkg-wal").exists()
    assert verify(result) == []
    assert len(read_vector(result / "buildings.gpkg", "buildings")) > 0


# Results that were damaged or edited, read again.

EDITS = {
    "no polygon": ("update buildings set geom = null where fid = 1", "row 1 of its layer buildings has no polygon any more"),
    "no stage": ("update buildings set stage = null where fid = 2", "row 2 of its layer buildings has no stage"),
    "another stage": ("update buildings set stage = 'done' where fid = 1", "has the stage 'done'"),
    "no site": ("delete from sites", "its layer sites was edited"),
    "a site without a name": ("update sites set name = null", "its layer sites was edited"),
}


@pytest.mark.parametrize("kind", EDITS)
@pytest.mark.parametrize("command", ["census", "track"])
def test_a_table_that_cannot_be_counted_any_more_is_one_line(
    result: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, kind: str
) -> None:
    step, words = EDITS[kind]
    edit(result / "buildings.gpkg", step)
    summary = json.loads((result / "summary.json").read_text())
    (result / "summary.json").write_text(json.dumps(summary | {"scene": summary["scene"] | {"date": "2026-01-05"}}))
    before = (result / "buildings.gpkg").read_bytes()
    line = ["census", str(result)] if command == "census" else ["track", str(result), str(result), "--out", str(tmp_path / "t")]
    assert main(line) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1 and (result / "buildings.gpkg").read_bytes() == before


@pytest.mark.parametrize(("name", "command"), [("stage.tif", "census"), ("mask.tif", "track"), ("mask.tif", "collect")])
@pytest.mark.parametrize("size", [0, 200])
def test_a_damaged_raster_of_a_result_is_one_line(
    result: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, command: str, size: int
) -> None:
    (result / name).write_bytes((result / name).read_bytes()[:size])
    summary = json.loads((result / "summary.json").read_text())
    (result / "summary.json").write_text(json.dumps(summary | {"scene": summary["scene"] | {"date": "2026-01-05"}}))
    assert main([command, str(result), *([] if command == "census" else ["--out", str(tmp_path / "t")])]) == 2
    error = capsys.readouterr().err
    assert f"{name}: is damaged or incomplete" in error and error.count("\n") == 1


@pytest.mark.parametrize("day", ["June", "2024-06-05T10:00:00Z", "2024-13-01", "20240605"])
def test_a_date_that_is_none_is_one_line(result: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], day: str) -> None:
    summary = json.loads((result / "summary.json").read_text())
    (result / "summary.json").write_text(json.dumps(summary | {"scene": summary["scene"] | {"date": day}}))
    assert main(["track", str(result), str(result), "--out", str(tmp_path / "t")]) == 2
    assert f"'scene.date' is \"{day}\"; it must be a day" in capsys.readouterr().err


def test_results_without_a_building_are_collected(result: Path, tmp_path: Path) -> None:
    edit(result / "buildings.gpkg", "delete from buildings")
    assert main(["census", str(result)]) == 0
    assert main(["collect", str(result), "--out", str(tmp_path / "all")]) == 0
    assets = json.loads((tmp_path / "all/collection.json").read_text())["assets"]
    assert assets and "buildings-pmtiles" not in assets and not (tmp_path / "all/buildings.pmtiles").exists()
