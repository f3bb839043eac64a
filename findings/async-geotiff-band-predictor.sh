#!/usr/bin/env bash
# async-geotiff 0.5.1: bands stored one after another (INTERLEAVE=BAND) with a predictor (2 or 3).
#
# Expected: right values or an error; each half works alone (band order without predictor, predictor with pixel order).
# Seen: wrong values without error or warning. The differences are undone with a step of as many samples as there are
# bands, which is right for pixel order only. uint16 with predictor 2 is off by tens of thousands; float32 with predictor
# 3 holds NaN and huge values. rasterio reads the same files right.
# Who is hurt: readers of multiband COGs written band by band with DEFLATE or ZSTD and a predictor, as data cubes often are.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q --disable-pip-version-check async-geotiff==0.5.1 obstore==0.12.1 rasterio==1.4.4
cd "$dir"
venv/bin/python - <<'E'
import asyncio
import os

import numpy as np
import rasterio
from async_geotiff import GeoTIFF
from obstore.store import LocalStore
from rasterio.transform import from_origin

values = np.clip(np.random.default_rng(1).normal(size=(3, 128, 128)).cumsum(1) * 5 + 128, 0, 255)
profile = dict(driver="GTiff", width=128, height=128, count=3, crs="EPSG:32632", tiled=True, blockxsize=64, blockysize=64,
               compress="deflate", transform=from_origin(500_000, 6_650_000, 10, 10))  # fmt: skip


async def read(name):
    return (await (await GeoTIFF.open(name, store=LocalStore("."))).read()).data


right = {}
for dtype, predictor in (("uint16", 1), ("uint16", 2), ("float32", 3)):
    for interleave in ("pixel", "band"):
        data = values.astype(dtype)
        with rasterio.open("a.tif", "w", dtype=dtype, predictor=predictor, interleave=interleave, **profile) as f:
            f.write(data)
        with rasterio.open("a.tif") as f:
            assert np.array_equal(f.read(), data)
        got = asyncio.run(read("a.tif"))
        share = (got != data).mean()
        right[predictor, interleave] = share == 0
        print(f"{dtype}, predictor {predictor}, {interleave}: {share:.1%} of values wrong; first {got[0, 0, :4]} for {data[0, 0, :4]}")
assert right == {(1, "pixel"): True, (1, "band"): True, (2, "pixel"): True, (2, "band"): False,
                 (3, "pixel"): True, (3, "band"): False}  # fmt: skip
print(flush=True)
os._exit(0)  # the extension's threads now and then abort the interpreter while it ends
E
