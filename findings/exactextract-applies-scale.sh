#!/usr/bin/env bash
# exactextract 0.3.0 with rasterio 1.4.4: zonal statistics of a raster whose band has a scale and an offset.
#
# Expected: statistics of the stored numbers, since rasterio and its mask function give those and scaling is left to the user.
# Seen: the mean of stored 50 with scale 0.1 and offset 1 is 6.0: scale and offset are applied. rasterio's mask gives 50.
# Who is hurt: whoever takes zonal means from one and thresholds from the other, or scales the result a second time.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q --disable-pip-version-check exactextract==0.3.0 geopandas==1.2.0 rasterio==1.4.4 shapely==2.2.0
cd "$dir"
venv/bin/python - <<'E'
import geopandas
import numpy as np
import rasterio
from exactextract import exact_extract
from rasterio.mask import mask
from rasterio.transform import from_origin
from shapely.geometry import box

profile = dict(driver="GTiff", width=10, height=10, count=1, dtype="uint8", crs="EPSG:32632", transform=from_origin(500_000, 6_650_000, 10, 10))
with rasterio.open("a.tif", "w", **profile) as f:
    f.write(np.full((1, 10, 10), 50, "uint8"))
    f.scales, f.offsets = (0.1,), (1.0,)
zone = box(500_000, 6_649_950, 500_050, 6_650_000)
zones = geopandas.GeoDataFrame(geometry=[zone], crs="EPSG:32632")
with rasterio.open("a.tif") as f:
    cut, _ = mask(f, [zone], crop=True)
    means = {"rasterio.mask": cut.mean(), "exactextract, path": exact_extract("a.tif", zones, ["mean"])[0]["properties"]["mean"],
             "exactextract, rasterio": exact_extract(f, zones, ["mean"])[0]["properties"]["mean"]}  # fmt: skip
print(means)
assert means["rasterio.mask"] == 50
assert np.isclose(means["exactextract, path"], 6) and np.isclose(means["exactextract, rasterio"], 6)
E
