#!/usr/bin/env bash
# rasterio 1.4.4 (GDAL 3.10): polygon edges that run exactly through pixel centres.
#
# Expected: a half-open rule in both directions, so a 3 by 3 px square placed half a pixel off the grid burns 9 px and
# two polygons with a common edge never claim the same pixel.
# Seen: across, the rule is half-open; down, it is closed. The square burns 3 by 4 = 12 px. Of two polygons that share a
# horizontal edge, both burn the pixels along it (3 px counted twice); with a shared vertical edge none is counted twice.
# Who is hurt: labels drawn in one grid and burnt in a grid shifted by half a pixel (PixelIsPoint data, 2x grids) grow by
# one row each, and areas per polygon add up to more than the whole.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q --disable-pip-version-check rasterio==1.4.4 shapely==2.2.0
cd "$dir"
venv/bin/python - <<'E'
from rasterio.enums import MergeAlg
from rasterio.features import rasterize
from rasterio.transform import from_origin
from shapely.geometry import box


def burn(*polygons):
    shapes = [(polygon, 1) for polygon in polygons]
    return rasterize(shapes, out_shape=(6, 6), transform=from_origin(0, 6, 1, 1), merge_alg=MergeAlg.add)


square = burn(box(1.5, 1.5, 4.5, 4.5))
stacked = burn(box(0.5, 0.5, 3.5, 2.5), box(0.5, 2.5, 3.5, 4.5))
abreast = burn(box(0.5, 0.5, 2.5, 4.5), box(2.5, 0.5, 4.5, 4.5))
print("3 by 3 square:", square.sum(), "px")
print("burnt twice, common horizontal edge:", (stacked == 2).sum(), "px; common vertical edge:", (abreast == 2).sum(), "px")
assert square.sum() == 12
assert (stacked == 2).sum() == 3 and (abreast == 2).sum() == 0
E
