#!/usr/bin/env bash
# Pillow 13.0.0: a GeoTIFF of three uint16 bands (RGB), the usual form of surface reflectance.
#
# Expected: refused, since Pillow has no 16-bit colour mode.
# Seen: opened as 8-bit "RGB" with the low byte of each value dropped: 5,000 becomes 19, everything below 256 becomes 0. No
# error, no warning. One band of uint16 keeps its values; with four bands the fourth is dropped as well.
# Who is hurt: reflectances of 0 to 10,000 keep some 40 levels, and water or shadow (under 256) is black; a training set read
# like this looks right when it is stretched for display.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q --disable-pip-version-check pillow==13.0.0 rasterio==1.4.4
cd "$dir"
venv/bin/python -W error::UserWarning - <<'E'
import numpy as np
import rasterio
from PIL import Image
from rasterio.transform import from_origin

profile = dict(driver="GTiff", width=16, height=16, dtype="uint16", crs="EPSG:32632", transform=from_origin(500_000, 6_650_000, 10, 10))


def seen(count, **options):
    with rasterio.open("a.tif", "w", count=count, **profile, **options) as f:
        f.write(np.stack([np.full((16, 16), value, "uint16") for value in (5000, 255, 10_000, 7000)[:count]]))
    picture = Image.open("a.tif")
    print(count, "bands:", picture.mode, np.asarray(picture).dtype, np.asarray(picture)[0, 0].tolist())
    return picture.mode, np.asarray(picture)[0, 0].tolist()


assert seen(1)[1] == 5000
assert seen(3, photometric="rgb") == ("RGB", [5000 >> 8, 0, 10_000 >> 8])
assert seen(4, photometric="rgb") == ("RGB", [5000 >> 8, 0, 10_000 >> 8])
E
