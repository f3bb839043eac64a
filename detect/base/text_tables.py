"""Read outlines from text tables: CSV with WKT (Google, spreadsheets, QGIS) and lines of GeoJSON (Microsoft), also packed with gzip."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pyproj
import shapely

from detect.base.errors import InputError
from detect.base.texts import read_text

SUFFIXES = (".csv", ".csv.gz", ".tsv", ".geojsonl", ".geojsonl.gz", ".jsonl", ".jsonl.gz", ".ndjson")
_GEOMETRY = ("geometry", "wkt", "geom", "the_geom", "wkt_geom")
_SEPARATORS = ",;\t|"


def is_text_table(path: str | Path) -> bool:
    """Whether a file is one of these tables, by its name."""
    return str(path).lower().endswith(SUFFIXES)


def read_text_table(path: Path) -> gpd.GeoDataFrame:
    """A table with its outlines, in longitude and latitude if all its coordinates can be such, else without a coordinate system.

    Raises:
        InputError: it is neither kind of table.
    """
    text = read_text(path).replace("\x1e", "").lstrip()  # the record separator of GeoJSON text sequences (RFC 8142)
    if text.startswith("sep="):  # a hint to a spreadsheet
        text = text.partition("\n")[2]
    try:
        if text.startswith("{"):
            documents = [json.loads(line) for line in text.split("\n") if line.strip()]
            features = [f for one in documents for f in (one["features"] if one.get("type") == "FeatureCollection" else [one])]
            return gpd.GeoDataFrame.from_features(features, crs=4326)
        # A name is text as it stands: NA is no missing value, and 007 not 7.
        table = pd.read_csv(
            io.StringIO(text), sep=_separator(text), keep_default_na=False, na_values=[""], dtype=dict.fromkeys(_names(text), str)
        )
        columns = {str(column).strip().lower(): column for column in table}
        found = next((columns[name] for name in _GEOMETRY if name in columns), None)
        if found is None:
            raise KeyError(f"it has {', '.join(map(str, table.columns))}")
        shapes, codes = _shapes(table[found])
        if len(codes) > 1:
            raise InputError(
                f"{path}: its outlines name several coordinate systems (EPSG:{', EPSG:'.join(map(str, codes))}); save them in one"
            )
        crs = next(iter(codes), None)
        rest = table.drop(columns=[found])
        return gpd.GeoDataFrame(rest, geometry=shapes, crs=crs or (4326 if _may_be_degrees(shapes) else None))
    except (
        pyproj.exceptions.CRSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        RecursionError,
        shapely.errors.ShapelyError,
    ) as cause:
        raise InputError(
            f"{path}: is neither GeoJSON lines nor CSV with WKT in a column 'geometry' or 'WKT' ({' '.join(str(cause).split())[:120]})"
        ) from cause


def _shapes(column: pd.Series) -> tuple[gpd.GeoSeries, list[int]]:
    """Outlines in WKT, or in hexadecimal WKB as PostGIS exports them; and the EPSG codes that they name (EWKT, EWKB)."""
    texts = column.astype("string").str.strip()
    codes = texts.str.extract(r"^SRID=(\d+);")[0].dropna().unique()
    texts = texts.str.replace(r"^SRID=\d+;", "", regex=True)
    if texts.dropna().str.fullmatch(r"(?:[0-9A-Fa-f]{2}){9,}").all() and texts.notna().any():
        shapes = gpd.GeoSeries(shapely.from_wkb(texts.fillna("").replace("", None).to_numpy(object)), index=column.index)
        codes = np.unique(shapely.get_srid(shapes.dropna().to_numpy()))
    else:
        shapes = gpd.GeoSeries.from_wkt(texts.astype(object).where(texts.notna(), None))
    return shapes, sorted({int(code) for code in codes} - {0})


def _names(text: str) -> list[str]:
    """Columns that hold names."""
    columns = next(csv.reader([text.partition("\n")[0].rstrip("\r")], delimiter=_separator(text)), [])
    return [column for column in columns if column.strip().lower() == "name"]


def _separator(text: str) -> str:
    """The separator of the columns: the one that the first line holds most often outside quotes."""
    first = text.partition("\n")[0]
    counts = {mark: len(next(csv.reader([first], delimiter=mark), [])) for mark in _SEPARATORS}
    return max(counts, key=lambda mark: counts[mark])


def _may_be_degrees(shapes: gpd.GeoSeries) -> bool:
    west, south, east, north = np.abs(shapes.total_bounds)
    return not (max(west, east) > 360 or max(south, north) > 90)
