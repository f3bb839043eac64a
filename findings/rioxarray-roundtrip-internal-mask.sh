#!/usr/bin/env bash
# rioxarray 0.19: open_rasterio(masked=True) of a uint8 raster with an internal mask, then to_raster.
#
# Expected: the holes survive in some form: as a mask, or as NaN in a float32 file.
# Seen: the integer type of the source is restored without its mask. The holes are written as 0, there is no no-data value
# and no mask, and every pixel of the new file is valid; two warnings on stderr hint at it. With a no-data value instead, the
# round trip keeps the holes.
# Who is hurt: what was unknown becomes black ground: areas and means of clipped or reprojected orthophotos take it in.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q --disable-pip-version-check rasterio==1.4.4 rioxarray==0.19.0 xarray==2026.9.0
cd "$dir"
venv/bin/python -W error::UserWarning - <<'E'
import numpy as np
import rasterio
import rioxarray
from rasterio.transform import from_origin

profile = dict(driver="GTiff", width=64, height=64, count=1, dtype="uint8", crs="EPSG:32632", transform=from_origin(500_000, 6_650_000, 10, 10))
data, mask = np.full((64, 64), 100, "uint8"), np.full((64, 64), 255, "uint8")
data[:, :32], mask[:, :32] = 9, 0
seen = {}
for kind in ("mask", "no-data"):
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        with rasterio.open("a.tif", "w", **profile, nodata=9 if kind == "no-data" else None) as f:
            f.write(data, 1)
            if kind == "mask":
                f.write_mask(mask)
    raster = rioxarray.open_rasterio("a.tif", masked=True)
    assert int(np.isnan(raster).sum()) == 2048
    raster.rio.to_raster("b.tif")
    with rasterio.open("b.tif") as f:
        seen[kind] = f.dtypes[0], f.nodata, int((f.dataset_mask() > 0).sum()), np.unique(f.read()).tolist()
    print(f"{kind}: type, no-data, valid pixels of 4,096, values: {seen[kind]}")
assert seen["mask"] == ("uint8", None, 4096, [0, 100])
assert seen["no-data"] == ("uint8", 9, 2048, [9, 100])
E
