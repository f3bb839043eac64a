#!/usr/bin/env bash
# DuckDB 1.5.5 with its spatial extension 1.5.5: geometries that carry a CRS in their type (new in 1.5).
#
# Expected: a geometry of type OGC:CRS84 (longitude first by definition) is read so by every function that needs the axes.
# Seen: ST_Transform reads it so and gives the right UTM place. ST_Area_Spheroid and ST_Length_Spheroid do not look at the
# type and take the first number for the latitude: 1.21 km2 for 0.62 km2 at 60 degrees north. Nothing is said. With SET
# geometry_always_xy = true the values are right.
# Who is hurt: floor areas and counts per km2 taken straight from GeoParquet, whose CRS is CRS84 unless it says otherwise.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q --disable-pip-version-check duckdb==1.5.5 duckdb-extension-spatial==1.5.5 pyproj==3.7.2 shapely==2.2.0
cd "$dir"
venv/bin/python - <<'E'
from pathlib import Path

import duckdb
import duckdb_extension_spatial
import shapely
from pyproj import Geod

wkt = "POLYGON((10 60,10.01 60,10.01 60.01,10 60.01,10 60))"
extension = next(Path(duckdb_extension_spatial.__file__).parent.rglob("spatial.duckdb_extension"))
db = duckdb.connect()
db.execute(f"LOAD '{extension}'")
typed = f"ST_SetCRS(ST_GeomFromText('{wkt}'), 'OGC:CRS84')"


def ask(expression):
    return db.execute(f"SELECT {expression}").fetchone()[0]


right = Geod(ellps="WGS84").geometry_area_perimeter(shapely.from_wkt(wkt))[0]
print("type:", ask(f"typeof({typed})"), "| UTM:", ask(f"ST_AsText(ST_Centroid(ST_Transform({typed}, 'EPSG:25832')))"))
before = ask(f"ST_Area_Spheroid({typed})")
easting = ask(f"ST_X(ST_Centroid(ST_Transform({typed}, 'EPSG:25832')))")
db.execute("SET geometry_always_xy = true")
after = ask(f"ST_Area_Spheroid({typed})")
print(f"area: {before:.0f} m2, with geometry_always_xy {after:.0f} m2, geodesic {right:.0f} m2")
assert 550_000 < easting < 560_000
assert before > 1.9 * right and abs(after - right) < 10
E
