#!/usr/bin/env bash
# GeoPandas 1.2 with pyogrio 0.13 (GDAL 3.12) and pyarrow 26: a column of datetime.date, written with and without use_arrow.
#
# Expected: a date field either way; every format here has one, or at least a date and time.
# Seen: plain to_file writes text to GeoPackage, FlatGeobuf and Shapefile. With use_arrow=True the same frame gives a date
# (GeoPackage, Shapefile) or a date and time (FlatGeobuf). GeoJSON gives a date either way, since GDAL guesses it from text.
# Read back, the column is str, datetime64 or datetime.date by format, writer and reader.
# Who is hurt: filters and joins on the acquisition date after a harmless switch to use_arrow.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q --disable-pip-version-check geopandas==1.2.0 pandas==3.1.1 pyogrio==0.13.0 pyarrow==26.0.1 shapely==2.2.0
cd "$dir"
venv/bin/python -W ignore - <<'E'
import datetime

import geopandas
import pyogrio
from shapely.geometry import Point

frame = geopandas.GeoDataFrame({"date": [datetime.date(2026, 1, 2)]}, geometry=[Point(1, 2)], crs="EPSG:4326")
seen = {}
for name in ("a.gpkg", "a.shp", "a.fgb", "a.geojson"):
    for use_arrow in (False, True):
        frame.to_file(name, use_arrow=use_arrow)
        kind = pyogrio.read_info(name)["ogr_types"][0]
        read = [type(geopandas.read_file(name, use_arrow=flag).date[0]).__name__ for flag in (False, True)]
        seen[name, use_arrow] = kind
        print(f"{name}, use_arrow={use_arrow}: written as {kind}, read as {read[0]}, by Arrow as {read[1]}")
assert [seen[name, False] for name in ("a.gpkg", "a.shp", "a.fgb")] == ["OFTString"] * 3
assert [seen[name, True] for name in ("a.gpkg", "a.shp", "a.fgb")] == ["OFTDate", "OFTDate", "OFTDateTime"]
assert seen["a.geojson", False] == seen["a.geojson", True] == "OFTDate"
E
