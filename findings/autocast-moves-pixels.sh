#!/usr/bin/env bash
# torch 2.13.0 (2.14.1 alike) on a CPU: affine_grid and grid_sample of a float32 picture inside autocast to bfloat16.
#
# Expected: the identity gives the picture back. Picture, matrix and labels are float32, and nothing here is a layer.
# Seen: affine_grid multiplies matrices, which autocast does in bfloat16; the grid comes out with 8 bits per coordinate, while
# grid_sample takes both and answers in float32, so nothing shows. Of 1,024 columns 640 are left, the others replaced by a
# neighbour, and the last one is empty, since its coordinate was rounded off the picture. At 2,048 px 896 are left and
# two are empty. Linear sampling changes 91 % of the values of noise at 1,024 px. Up to 256 px nothing is lost.
# torchvision 0.29 (v2 affine, rotate, perspective of tensors) builds its grid likewise and does the same; kornia 0.9 does not.
# Who is hurt: augmentation, alignment or test-time turning in a training_step under "bf16-mixed": blocky pictures and
# labels moved otherwise than predictions, in training alone. Wrap it in torch.autocast(..., enabled=False).
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
# A build for CPUs is enough where the index has one.
"$dir/venv/bin/pip" install -q --no-compile --disable-pip-version-check torch==2.13.0 numpy==2.4.6
cd "$dir"
venv/bin/python - <<'E'
import torch
from torch.nn import functional as F

identity = torch.tensor([[[1.0, 0, 0], [0, 1, 0]]])


def moved(side, mixed):
    """How far pixels come from, and how many columns are left, when each pixel holds the number of its column, from 1."""
    columns = torch.arange(1, side + 1, dtype=torch.float32).expand(1, 1, side, side)
    with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
        grid = F.affine_grid(identity, [1, 1, side, side], align_corners=False)
        out = F.grid_sample(columns, grid, mode="nearest", align_corners=False)
        noise = torch.rand(1, 1, side, side)
        smooth = F.grid_sample(noise, grid, mode="bilinear", align_corners=False)
    row = out[0, 0, side // 2]
    off = (out - columns)[..., 1:-1, 1:-1].abs()
    changed = ((smooth - noise).abs() > 0.01).float().mean()
    print(
        f"{side} px, autocast {mixed}: grid {grid.dtype}, result {out.dtype}, {(off > 0).float().mean():.0%} of labels moved, "
        f"by up to {off.max():.0f} px; {len(row[row > 0].unique())} columns left, the last: {row[-6:].int().tolist()}; "
        f"linear: {changed:.0%} of noise changed"
    )
    return grid.dtype, out.dtype, off, row, changed


for side in (256, 512, 1024, 2048):
    grid, result, off, row, changed = moved(side, False)
    assert grid == result == torch.float32 and off.max() == changed == 0
    grid, result, off, row, changed = moved(side, True)
    assert grid == torch.bfloat16 and result == torch.float32
    assert side < 512 or (off.max() > 0 and changed > 0.5)
    assert side < 1024 or (off.max() > 0 and len(row.unique()) < 0.7 * side and row[-1] == 0)
E
