#!/usr/bin/env bash
# OpenCV 5.0 imread(IMREAD_UNCHANGED) of three- and four-band GeoTIFFs as GDAL writes them; values 10, 20, 30, 40 per band.
#
# Expected: the bands, colours in the order B, G, R, then the rest; None where that is not supported.
# Seen, without error:
#  - 4 bands of uint16 without colours (photometric MINISBLACK, GDAL's default for multispectral data): ONE band, which is a
#    grey mix of the first three (18 = 0.299 * 10 + 0.587 * 20 + 0.114 * 30). The same in uint8: the first band alone.
#  - RGB stored band by band (INTERLEAVE=BAND) in uint16 or float32: the first band three times. In uint8 it is right.
#  - RGB stored pixel by pixel is right in all types.
# Who is hurt: training code that reads chips with OpenCV for speed; a grey picture or three equal bands trains all the same.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q --disable-pip-version-check opencv-python-headless==5.0.0.93 rasterio==1.4.4
cd "$dir"
OPENCV_LOG_LEVEL=ERROR venv/bin/python - <<'E'
import cv2
import numpy as np
import rasterio
from rasterio.transform import from_origin


def seen(count, dtype, photometric, interleave):
    bands = np.stack([np.full((64, 64), 10 * band) for band in range(1, count + 1)]).astype(dtype)
    with rasterio.open("a.tif", "w", driver="GTiff", width=64, height=64, count=count, dtype=dtype, photometric=photometric,
                       interleave=interleave, crs="EPSG:32632", transform=from_origin(500_000, 6_650_000, 10, 10)) as f:  # fmt: skip
        f.write(bands)
    pixel = np.atleast_1d(cv2.imread("a.tif", cv2.IMREAD_UNCHANGED)[5, 5]).tolist()
    print(f"{count} bands of {dtype}, {photometric}, by {interleave}: {pixel}")
    return pixel


for dtype in ("uint8", "uint16", "float32"):
    assert seen(3, dtype, "rgb", "pixel") == [30, 20, 10]
assert seen(4, "uint16", "minisblack", "pixel") == [18]
assert seen(4, "uint8", "minisblack", "pixel") == [10]
assert seen(3, "uint8", "rgb", "band") == [30, 20, 10]
assert seen(3, "uint16", "rgb", "band") == [10, 10, 10]
assert seen(3, "float32", "rgb", "band") == [10, 10, 10]
E
