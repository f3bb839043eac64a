#!/usr/bin/env bash
# tifffile 2026.3 writes, rasterio 1.4.4 (GDAL 3.10) reads: arrays with 2, 5 or 13 bands.
#
# Expected: (H, W, 5) and (5, H, W) become one picture of W by H with 5 bands, as (H, W, 3) and (H, W, 4) do.
# Seen: only 3 and 4 are taken for bands. (5, H, W) becomes 5 pages, of which rasterio shows one band; (H, W, 5) becomes H
# pages of 5 by H pixels. No error, no warning; the same numbers come back in tifffile, so its own round trip looks right.
# With photometric="minisblack" and planarconfig ("separate" or "contig") the bands are bands.
# Who is hurt: makers of multispectral chips (5, 8 or 13 bands) or of two dates in one file: a GDAL reader sees a single band.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q --disable-pip-version-check rasterio==1.4.4 tifffile==2026.3.3
cd "$dir"
venv/bin/python -W ignore - <<'E'
import numpy as np
import rasterio
import tifffile


def seen(shape, **options):
    tifffile.imwrite("a.tif", np.zeros(shape, "uint16"), **options)
    assert tifffile.imread("a.tif").shape == shape
    with rasterio.open("a.tif") as f:
        pages = max(len(f.subdatasets), 1)
        print(f"{shape} {options}: {f.width} x {f.height} px, {f.count} bands, {pages} pages")
        return f.width, f.height, f.count, pages


assert seen((64, 48, 3)) == (48, 64, 3, 1)
assert seen((64, 48, 2)) == (2, 48, 1, 64)
assert seen((64, 48, 5)) == (5, 48, 1, 64)
assert seen((5, 64, 48)) == (48, 64, 1, 5)
assert seen((13, 64, 48)) == (48, 64, 1, 13)
assert seen((5, 64, 48), photometric="minisblack", planarconfig="separate") == (48, 64, 5, 1)
assert seen((64, 48, 5), photometric="minisblack", planarconfig="contig") == (48, 64, 5, 1)
E
