"""From an address to a count, as a user types it, with a server on this machine."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import geopandas as gpd
import pytest

from detect.cli import main as cli
from tests.smoke.placeholders import CRS, outlines_on, provide
from tests.tile_server import serving


@contextmanager
def another_process_serving(folder: Path) -> Iterator[str]:
    """Address of a server of files; GDAL waits for it without letting a thread of this process answer."""
    command = [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdout is not None
        port = re.search(r"port (\d+)", server.stdout.readline())
        assert port is not None
        try:
            yield f"http://127.0.0.1:{port[1]}"
        finally:
            server.kill()


@pytest.mark.slow
def test_a_search_reads_only_what_is_wanted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    provide("june.tif", tmp_path)
    command = [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", str(tmp_path)]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as files,
        serving(items={"june": "2026-06-03"}) as server,
    ):
        assert files.stdout is not None
        server.pictures = f"http://127.0.0.1:{files.stdout.readline().split('port ')[1].split()[0]}"
        line = f"predict --stac {server.url} --collection drawn --date 2026-06 --around 51.8714,4.3558,30 --out {tmp_path}/out -q --json"
        try:
            assert cli.main(line.split()) == 0
        finally:
            files.kill()
    summary = json.loads(capsys.readouterr().out)
    assert summary["scene"]["date"] == "2026-06-03" and summary["scene"]["provenance"]["source"].endswith("june.tif")
    assert summary["scene"]["size_px"] == pytest.approx([120, 120], abs=4)


@pytest.mark.slow
def test_a_signature_reaches_no_file(tmp_path: Path) -> None:
    there = tmp_path / "there"
    provide("there/june_item.json", tmp_path)
    links = [{"rel": "item", "href": "june_item.json"}]
    (there / "catalog.json").write_text(json.dumps({"type": "Catalog", "id": "drawn", "links": links}))
    with another_process_serving(there) as url:
        line = f"predict --stac {url}/catalog.json?sig=SECRET --around 51.8714,4.3558,30 --out {tmp_path}/part -q"
        assert cli.main(line.split()) == 0
        assert cli.main(["predict", f"{url}/june_item_picture.tif?sig=SECRET", "--out", str(tmp_path / "whole"), "-q"]) == 0
    files = [path for out in ("part", "whole") for path in (tmp_path / out).rglob("*") if path.is_file()]
    assert len(files) > 16 and not [path for path in files if b"SECRET" in path.read_bytes()]
    assert not [path for path in files if "SECRET" in path.name]


@pytest.mark.slow
def test_a_tile_address_and_plots_of_google_earth(tmp_path: Path) -> None:
    provide("plots.geojson", tmp_path)
    gpd.read_file(tmp_path / "plots.geojson").to_crs(4326).to_file(tmp_path / "plots.kml", driver="KML", layer="plots")
    with serving() as server:
        address = f"{server.url}/tms/{{z}}/{{x}}/{{-y}}.png?key=SECRET"
        assert cli.main(["predict", address, "--sites", f"{tmp_path}/plots.kml", "--out", f"{tmp_path}/out", "-q"]) == 0
        assert all("key=SECRET" in path for path in server.paths)
    result = tmp_path / "out" / "127.0.0.1"
    found, truth = gpd.read_file(result / "buildings.gpkg", layer="buildings").to_crs(CRS), outlines_on(None)
    pairs = found.sjoin_nearest(truth.assign(place=truth.centroid), rsuffix="true")
    assert len(found) == 12 and found["area_m2"].sum() == pytest.approx(truth.area.sum(), rel=0.03)
    assert pairs.centroid.distance(gpd.GeoSeries(pairs["place"], crs=CRS)).max() < 0.5
    assert not any(b"SECRET" in path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file())


def test_nothing_says_where_to_look(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, said in (
        (["https://example.org/{z}/{x}/{y}.png"], "where to look? give plots with --sites, or --bbox"),
        (["--stac", "https://example.org"], "where to search? give plots with --sites, or --bbox"),
        ([], "name the scenes, or search for them with --stac"),
        (["a.tif", "--stac", "https://example.org"], "not both"),
        (["a.tif", "--zoom", "18"], "--zoom belongs to map tiles"),
        (["a.tif", "--date", "2026-06"], "belongs to a search; give --stac too"),
        (["https://example.org/{z}/{x}/{y}.png?k={key}", "--bbox", "4,51,5,52"], "{key} must be replaced"),
    ):
        assert cli.main(["predict", *words, "--out", str(tmp_path / "out"), "-q"]) == 2
        error = capsys.readouterr().err
        assert said in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()
