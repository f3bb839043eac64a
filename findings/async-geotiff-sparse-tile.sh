#!/usr/bin/env bash
# async-geotiff 0.5.1: a sparse GeoTIFF (GDAL's SPARSE_OK: tiles that were never written have offset 0 and length 0).
#
# Expected: the no-data value, as in GDAL and tifffile, or at worst zeros.
# Seen: the whole read fails with "Invalid range requested, start: 0 end: 0". A window on written tiles is fine.
# Who is hurt: readers of mosaics with holes and of half-empty label rasters, which are sparse to save space.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q --disable-pip-version-check async-geotiff==0.5.1 obstore==0.12.1 rasterio==1.4.4 tifffile==2026.3.3
cd "$dir"
venv/bin/python - <<'E'
import asyncio
import os

import numpy as np
import rasterio
import tifffile
from async_geotiff import GeoTIFF, Window
from obstore.store import LocalStore
from rasterio.transform import from_origin

profile = dict(driver="GTiff", width=128, height=128, count=1, dtype="uint8", nodata=255, sparse_ok=True, tiled=True,
               blockxsize=64, blockysize=64, crs="EPSG:32632", transform=from_origin(500_000, 6_650_000, 10, 10))  # fmt: skip
with rasterio.open("a.tif", "w", **profile) as f:
    f.write(np.full((64, 64), 7, "uint8"), 1, window=rasterio.windows.Window(0, 0, 64, 64))


async def read(window=None):
    return (await (await GeoTIFF.open("a.tif", store=LocalStore("."))).read(window=window)).data


with rasterio.open("a.tif") as f:
    expected = np.unique(f.read()).tolist()
print("rasterio:", expected, "tifffile:", np.unique(tifffile.imread("a.tif")).tolist())
print("async-geotiff, written tile:", np.unique(asyncio.run(read(Window(0, 0, 64, 64)))).tolist())
try:
    asyncio.run(read())
except Exception as error:
    print("async-geotiff, whole:", type(error).__name__, error)
    assert "Invalid range" in str(error)
else:
    raise SystemExit("changed: sparse tiles are read now")
assert expected == [7, 255]
print(flush=True)
os._exit(0)  # the extension's threads now and then abort the interpreter while it ends
E
