#!/usr/bin/env bash
# xarray 2026.9 with zarr 3.1.6 and rioxarray 0.19 writes, rasterio 1.4.4 (wheel with GDAL 3.10.3, Zarr driver included) reads.
#
# Expected: the array is read, and only the CRS is missing, for want of a GeoZarr convention.
# Seen: Zarr v3 is refused as a whole ("Unsupported codec: bytes"), with and without compression, though the codec `bytes`
# is in every v3 array. The same data as Zarr v2 is read with its CRS.
# Who is hurt: v3 is what xarray writes by default, and rasterio 1.4.4 is the last release for Python 3.11.
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
from rasterio.transform import from_origin

profile = dict(driver="GTiff", width=50, height=50, count=1, dtype="uint8", crs="EPSG:32632", transform=from_origin(5e5, 6e6, 10, 10))
with rasterio.open("a.tif", "w", **profile) as f:
    f.write(np.full((1, 50, 50), 7, "uint8"))
data = rioxarray.open_rasterio("a.tif").squeeze("band", drop=True).rename("b").to_dataset()
seen = {}
for version in (2, 3):
    data.to_zarr(f"v{version}.zarr", zarr_format=version)
    try:
        with rasterio.open(f'ZARR:"v{version}.zarr":/b') as f:
            seen[version] = f"{f.crs}, values {np.unique(f.read()).tolist()}"
    except rasterio.errors.RasterioIOError as error:
        seen[version] = str(error)
    print(f"Zarr v{version}: {seen[version]}")
assert seen == {2: "EPSG:32632, values [7]", 3: "Unsupported codec: bytes"}
E
