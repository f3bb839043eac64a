#!/usr/bin/env bash
# rioxarray 0.19 with xarray 2026.9: rio.transform() and rio.resolution() after coarsen or a stride.
#
# Expected: both follow the coordinates, which coarsen and [::2] change to 20 m.
# Seen: both still say 10 m, and after coarsen the corner lies half an old pixel off, since the stored transform is kept and
# only its corner is renewed. rio.transform(recalc=True) and the file that to_raster writes have 20 m.
# Who is hurt: areas from rio.resolution() are too small by four, and labels burnt with rio.transform() fit a quarter of the
# scene, while the exported file looks right in a GIS.
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
from rasterio.transform import from_origin

profile = dict(driver="GTiff", width=64, height=64, count=1, dtype="uint8", crs="EPSG:32632", transform=from_origin(500_000, 6_650_000, 10, 10))
with rasterio.open("a.tif", "w", **profile) as f:
    f.write(np.ones((1, 64, 64), "uint8"))
raster = rioxarray.open_rasterio("a.tif")
for name, half in (("coarsen", raster.coarsen(x=2, y=2).mean()), ("stride", raster[:, ::2, ::2])):
    half.rio.to_raster("b.tif")
    with rasterio.open("b.tif") as f:
        written = f.transform
    kept, fresh = half.rio.transform(), half.rio.transform(recalc=True)
    print(f"{name}: resolution {half.rio.resolution()}, transform {kept[:6]}, recalculated {fresh[:6]}, in the file {written[:6]}")
    assert half.rio.resolution() == (10, -10) and kept.a == 10
    assert fresh.a == written.a == 20 and float(half.x[1] - half.x[0]) == 20
E
