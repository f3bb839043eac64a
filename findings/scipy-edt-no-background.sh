#!/usr/bin/env bash
# SciPy 1.17: distance_transform_edt of an array without any background.
#
# Expected: infinity, an error, or one large number for all pixels, since there is nothing to measure the distance to.
# Seen: plain finite distances to a background pixel that does not exist: one row above the top-left corner. They grow
# smoothly towards the far corner and look real. OpenCV 5.0 gives some 1.8e19 everywhere for the same array.
# Who is hurt: watershed seeds and distance maps, tile by tile, where a tile lies wholly within one roof or field.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q --disable-pip-version-check opencv-python-headless==5.0.0.93 scipy==1.17.1
cd "$dir"
venv/bin/python - <<'E'
import cv2
import numpy as np
from scipy.ndimage import distance_transform_edt

full = np.ones((4, 5), "uint8")
got = distance_transform_edt(full)
rows, cols = np.indices(full.shape)
print("SciPy:", got.round(2).tolist())
print("OpenCV:", np.unique(cv2.distanceTransform(full, cv2.DIST_L2, 0)))
assert np.allclose(got, np.hypot(rows + 1, cols))
assert cv2.distanceTransform(full, cv2.DIST_L2, 0).min() > 1e9
E
