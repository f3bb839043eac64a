#!/usr/bin/env bash
# OpenCV 5.0 (and 4.12) blur and boxFilter, SciPy 1.17 uniform_filter: a float raster with one no-data pixel.
#
# Expected: the mean is spoilt where the window holds the pixel (3 by 3 px here), and right everywhere else.
# Seen: both keep a running sum, add what comes in and subtract what goes out, and never recover. With the no-data value of
# many elevation models, -3.4e38, the sum forgets all that was in it: OpenCV's mean of a field of ones is 0.33 in three
# columns from the pixel down to the bottom edge (with a 9 by 9 window 0.89 or 0.11 in some 360 px), SciPy's is 0 or 0.67 along
# the rows. These are finite and near enough to be believed. With NaN, OpenCV spoils the columns below; a window of 9 by 9, and
# SciPy with any, a quarter of the raster: all that lies right of and below the pixel.
# -9999 does no harm, and filter2D with the same window spoils only the window.
# Who is hurt: local means and roughness of surface models, whose holes are masked after the filter, not before.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
cd "$dir"
cat > a.py <<'P'
import sys

import cv2
import numpy as np

hole, size = (20, 30), (40, 60)


def wrong(result, reach):
    """Pixels whose window does not hold the hole and whose mean is not that of ones, and the values there."""
    away = np.ones(size, bool)
    away[hole[0] - reach : hole[0] + reach + 1, hole[1] - reach : hole[1] + reach + 1] = False
    off = away & ~np.isclose(result, 1)
    return int(off.sum()), np.unique(result[off].round(2)).tolist()[:4]


def field(value, dtype):
    values = np.ones(size, dtype)
    values[hole] = value
    return values


print("OpenCV", cv2.__version__)
nodata = np.finfo("float32").min
for value in (nodata, np.nan, -9999):
    for reach in (1, 4):
        side = 2 * reach + 1
        count, values = wrong(cv2.blur(field(value, "float32"), (side, side)), reach)
        smooth, _ = wrong(cv2.filter2D(field(value, "float32"), -1, np.full((side, side), 1 / side**2, "float32")), reach)
        print(f"  hole of {value:.4g}, blur {side} by {side}: {count} px away from it wrong {values}; filter2D {smooth}")
        assert (count == 0) == (value == -9999) and smooth == 0
    if len(sys.argv) > 1:
        from scipy.ndimage import uniform_filter

        result = uniform_filter(field(value, "float64"), 3)
        count, values = wrong(result, 1)
        print(f"  SciPy uniform_filter 3 by 3: {count} px wrong {values}")
        assert (count == 0) == (value == -9999)
        if np.isnan(value):
            assert np.isnan(result[hole[0] - 1 :, hole[1] - 1 :]).all()
    below = cv2.blur(field(value, "float32"), (3, 3))[-1, hole[1]]
    assert value != nodata or np.isclose(below, 1 / 3)
P
for version in 4.12.0.88 5.0.0.93; do
  venv/bin/pip install -q --disable-pip-version-check "opencv-python-headless==$version"
  venv/bin/python a.py
done
venv/bin/pip install -q --disable-pip-version-check scipy==1.17.1
venv/bin/python a.py scipy
