#!/usr/bin/env bash
# rioxarray 0.19 merge_arrays of rasters with an internal mask and no no-data value, opened with masked=True.
#
# Expected: what is masked (NaN) in the first raster is filled from the second, as it is with a no-data value.
# Seen: NaN of the first wins: its holes stay holes, and nothing of the second is left. No warning. With nodata=nan said
# aloud, or with a no-data value in the files in place of the mask, the holes are filled; rasterio's own merge fills both.
# Who is hurt: mosaics of orthophotos and COGs that carry masks (JPEG has no no-data); seams turn into holes.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q --disable-pip-version-check rasterio==1.4.4 rioxarray==0.19.0 xarray==2026.9.0
cd "$dir"
venv/bin/python - <<'E'
import numpy as np
import rasterio
import rioxarray
from rasterio.merge import merge
from rasterio.transform import from_origin
from rioxarray.merge import merge_arrays

profile = dict(driver="GTiff", width=64, height=64, count=1, dtype="uint8", crs="EPSG:32632", transform=from_origin(500_000, 6_650_000, 10, 10))


def write(name, value, hole, kind):
    data, mask = np.full((64, 64), value, "uint8"), np.full((64, 64), 255, "uint8")
    data[:, hole] = mask[:, hole] = 0
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        with rasterio.open(name, "w", **profile, nodata=0 if kind == "no-data" else None) as f:
            f.write(data, 1)
            if kind == "mask":
                f.write_mask(mask)


seen = {}
for kind in ("no-data", "mask"):
    write("a.tif", 100, slice(0, 32), kind)
    write("b.tif", 150, slice(32, 64), kind)
    rasters = [rioxarray.open_rasterio(name, masked=True) for name in ("a.tif", "b.tif")]
    for how, options in (("default", {}), ("nodata=nan", {"nodata": np.nan})):
        seen[kind, how] = int(np.isnan(merge_arrays(rasters, **options)).sum())
    seen[kind, "rasterio"] = int((merge(["a.tif", "b.tif"])[0] == 0).sum())
print("empty pixels of 4,096:", seen)
assert seen.pop(("mask", "default")) == 2048
assert set(seen.values()) == {0}
E
