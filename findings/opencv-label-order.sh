#!/usr/bin/env bash
# OpenCV 5.0 against SciPy 1.17 and scikit-image 0.26: the numbers that connected components get.
#
# Expected: all number components in the order of their first pixel, row by row, so the label images are equal.
# Seen: with 4-connectivity they are. With 8-connectivity (OpenCV's default) OpenCV numbers by 2 by 2 px blocks: of two
# components that begin within two rows, the one further left may come first. The components are the same, the numbers are
# not. Only the algorithm CCL_WU keeps the order of the rows. SciPy and scikit-image agree with each other.
# Who is hurt: anyone who swaps the library for speed while ids, random colours or "the first k" hang on the numbers.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q --disable-pip-version-check opencv-python-headless==5.0.0.93 scipy==1.17.1 scikit-image==0.26.0
cd "$dir"
venv/bin/python - <<'E'
import cv2
import numpy as np
from scipy import ndimage
from skimage.measure import label

mask = (np.random.default_rng(1).random((200, 200)) < 0.4).astype("uint8")
by_rows = {4: ndimage.label(mask)[0], 8: ndimage.label(mask, np.ones((3, 3)))[0]}
same = {}
for connectivity, expected in by_rows.items():
    assert np.array_equal(label(mask, connectivity=connectivity // 4), expected)
    for name in ("CCL_DEFAULT", "CCL_WU", "CCL_GRANA", "CCL_SPAGHETTI"):
        count, got = cv2.connectedComponentsWithAlgorithm(mask, connectivity, cv2.CV_32S, getattr(cv2, name))
        same[connectivity, name] = np.array_equal(got, expected)
        pairs = np.unique(np.stack([got.ravel(), expected.ravel()]), axis=1)
        assert pairs.shape[1] == count  # one to one: only the numbers differ
        print(f"{connectivity}-connected, {name}: same numbers {same[connectivity, name]}, pixels {np.mean(got != expected):.0%} off")
assert all(same[4, name] for _, name in same)
assert same[8, "CCL_WU"] and not same[8, "CCL_DEFAULT"] and not same[8, "CCL_GRANA"] and not same[8, "CCL_SPAGHETTI"]
E
