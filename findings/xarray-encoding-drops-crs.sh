#!/usr/bin/env bash
# xarray 2026.9 with rioxarray 0.19 and zarr 3.1.6: to_zarr(encoding=...) of a raster opened by rioxarray.
#
# Expected: the argument sets the compression of the band and leaves the rest as it is.
# Seen: the dict replaces the band's whole encoding. Gone with it are grid_mapping (after reopening there is no CRS), the
# no-data value, the scale and the integer type: uint16 with scale 0.0001 is written as float32. Nothing is said.
# Who is hurt: everyone who sets chunks or compression for a georeferenced cube on its way to Zarr.
# Copy `band.encoding` and change the copy instead.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q --disable-pip-version-check rasterio==1.4.4 rioxarray==0.19.0 xarray==2026.9.0 zarr==3.1.6
cd "$dir"
venv/bin/python -W ignore - <<'E'
import numpy as np
import rasterio
import rioxarray
import xarray
from rasterio.transform import from_origin

profile = dict(driver="GTiff", width=50, height=50, count=1, dtype="uint16", nodata=0, crs="EPSG:32632",
               transform=from_origin(5e5, 6e6, 10, 10))  # fmt: skip
with rasterio.open("a.tif", "w", **profile) as f:
    f.write(np.full((1, 50, 50), 5000, "uint16"))
    f.scales = (0.0001,)
data = rioxarray.open_rasterio("a.tif", mask_and_scale=True).squeeze("band", drop=True).rename("b").to_dataset()
seen = {}
for name, encoding in (("plain", {}), ("with encoding", {"b": {"compressors": None}})):
    data.to_zarr(f"{name}.zarr", zarr_format=2, encoding=encoding)
    stored = xarray.open_zarr(f"{name}.zarr", mask_and_scale=False).b
    crs = xarray.open_zarr(f"{name}.zarr", decode_coords="all").rio.crs
    seen[name] = (str(crs), str(stored.dtype), stored.attrs.get("scale_factor"), float(stored.attrs["_FillValue"]))
    print(f"{name}: CRS {crs}, stored as {stored.dtype}, scale {seen[name][2]}, no-data {seen[name][3]}")
assert seen["plain"] == ("EPSG:32632", "uint16", 0.0001, 0)
assert seen["with encoding"][:3] == ("None", "float32", None) and np.isnan(seen["with encoding"][3])
E
