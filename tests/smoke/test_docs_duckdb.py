"""The queries of docs/duckdb.md run, on what the command above them writes, and say what the result says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
from shapely import box

from detect.cli import main as cli
from tests.smoke.placeholders import ROOT, outlines_on, provide
from tests.smoke.test_docs_commands import blocks_of
from tests.unit.runs.test_collect import NORTH, WEST, write_result

duckdb = pytest.importorskip("duckdb", reason="the extra 'test' is not installed")
spatial = pytest.importorskip("duckdb_extension_spatial", reason="the extra 'test' is not installed")
BLOCKS = [block.text for block in blocks_of((ROOT / "docs" / "duckdb.md").read_text(encoding="utf-8")) if block.language == "sql"]


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[list[Any]], gpd.GeoDataFrame]:
    """Rows of each query, and the table."""
    folder = tmp_path_factory.mktemp("duckdb")
    provide("plots.geojson", folder)
    for month in ("01", "06"):
        day = f"2026-{month}-05"
        corner = [WEST, NORTH] * 2
        blocks = [box(*np.subtract(shape.bounds, corner)) for shape in outlines_on(day).geometry]
        write_result(folder / "out" / day, blocks, date=day)
    assert cli.main(["collect", str(folder / "out"), "--out", str(folder / "all"), "-q"]) == 0
    (extension,) = Path(spatial.__file__).parent.rglob("spatial.duckdb_extension")
    first, *queries = BLOCKS
    with duckdb.connect() as base:
        base.execute(first.replace("INSTALL spatial; LOAD spatial;", f"LOAD '{extension}';"))
        rows = [
            base.sql(query.replace("'all/", f"'{folder}/all/").replace("'plots.", f"'{folder}/plots.")).fetchall()
            for query in queries
        ]
    return rows, gpd.read_parquet(folder / "all" / "buildings.parquet")


@pytest.mark.slow
def test_five_queries(answers: tuple[list[list[Any]], gpd.GeoDataFrame]) -> None:
    (sites, largest, inside, plots, dates), table = answers
    assert sum(row[2] for row in sites) == len(table) and sum(row[3] for row in sites) == table["beds"].sum()
    assert len(largest) == 10 and all(row[4] == pytest.approx(507, rel=2e-3) for row in largest)
    within = table.cx[4.3550:4.3560, 51.8713:51.8716]
    assert inside == [(len(within), within["beds"].sum())] and 0 < len(within) < len(table)
    assert {row[0] for row in plots} == {"north", "south"} and sum(row[2] for row in plots) == len(table)
    assert [(str(row[0]), row[1]) for row in dates] == list(table.groupby("date").size().items())
