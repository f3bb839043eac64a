#!/usr/bin/env bash
# torch 2.13.0 (2.14.1 alike) with onnxscript 0.7.2: torch.onnx.export(dynamo=True) of three operators, run by onnxruntime 1.32.0.
#
# Expected: PyTorch's values, or a refusal at export, as the older exporter gives for the first two.
# Seen, without a warning, while torch.export's own program, from which the file is made, is right in all of them:
#  - adaptive_avg_pool2d with dynamic height and width: right at the size of the example (16 by 16). At another (24 by 40) a pool to
#    6 by 6 has the right shape and is off by 0.3 on values of 0 to 1; a pool to 2 by 2 gives 3 by 5, since its windows are those
#    of the example; a pool to 3 by 3 fails at run time. interpolate(mode="area") is the same pool. A pool to 1 by 1 is right.
#  - interpolate(scale_factor=0.5, antialias=True) of odd sizes (13 by 17): off by 0.1 on values of 0 to 1. PyTorch keeps the factor
#    for its coordinates, the file has the ratio of the sizes. Without antialias, or by size, the two agree.
#  - avg_pool2d(divisor_override=1), a sum: the divisor is dropped, all is a ninth. The older exporter does this too.
# Who is hurt: pyramid pooling (PSPNet, UPerNet: 1, 2, 3 and 6) resizes what the pools give to the picture's size and so hides the
# wrong shape: tiles of another size than the example's get other buildings than in PyTorch. Image pyramids on odd tiles too.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
# A build of torch for CPUs is enough where the index has one.
"$dir/venv/bin/pip" install -q --no-compile --disable-pip-version-check torch==2.13.0 onnx==1.23.2 onnxscript==0.7.2 \
  onnxruntime==1.32.0 numpy==2.4.6
cd "$dir"
venv/bin/python -W ignore - <<'P'
import contextlib
import io
import logging

import onnxruntime
import torch
from torch.nn import functional as F

logging.disable(logging.WARNING)
torch.manual_seed(0)
example, other, odd = torch.rand(1, 1, 16, 16), torch.rand(1, 1, 24, 40), torch.rand(1, 1, 13, 17)
dynamic = ({2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC},)


class Operator(torch.nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def seen(name, function, x):
    """How the ONNX file differs from PyTorch at x, after a check that it does not at the example, nor torch.export anywhere."""
    operator = Operator(function).eval()
    program = torch.export.export(operator, (example,), dynamic_shapes=dynamic)
    with contextlib.redirect_stdout(io.StringIO()):
        file = torch.onnx.export(program, dynamo=True).model_proto.SerializeToString()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    wanted = function(x)
    assert torch.allclose(program.module()(x), wanted, atol=1e-5)
    try:
        at_example, result = (torch.from_numpy(session.run(None, {"x": v.numpy()})[0]) for v in (example, x))
    except Exception as error:
        print(f"{name}: fails at run time, {str(error)[:50]}")
        return None
    assert name == "sum by pool" or torch.allclose(at_example, function(example), atol=1e-5)
    if result.shape != wanted.shape:
        print(f"{name}: {tuple(result.shape[2:])} for {tuple(wanted.shape[2:])}")
        return tuple(result.shape[2:])
    off = float((result - wanted).abs().max())
    print(f"{name}: off by {off:.2g}, mean of PyTorch {wanted.mean():.2f}, of the file {result.mean():.2f}")
    return off


def pool(side):
    return lambda x: F.adaptive_avg_pool2d(x, side)


def pyramid(x):
    return sum(F.interpolate(F.adaptive_avg_pool2d(x, side), x.shape[-2:], mode="bilinear") for side in (1, 2, 6))


assert seen("pool to 1", pool(1), other) < 1e-5
assert seen("pool to 2", pool(2), other) == (3, 5)
assert seen("pool to 3", pool(3), other) is None
assert seen("pool to 6", pool(6), other) > 0.1
assert seen("area to 4", lambda x: F.interpolate(x, (4, 4), mode="area"), other) == (6, 10)
assert seen("pyramid of 1, 2 and 6", pyramid, other) > 0.1
half = {"scale_factor": 0.5, "mode": "bilinear"}
assert seen("half, antialias", lambda x: F.interpolate(x, antialias=True, **half), odd) > 0.05
assert seen("half", lambda x: F.interpolate(x, **half), odd) < 1e-5
assert seen("half by size", lambda x: F.interpolate(x, (x.shape[2] // 2, x.shape[3] // 2), mode="bilinear", antialias=True), odd) < 1e-5
assert seen("sum by pool", lambda x: F.avg_pool2d(x, 3, 1, divisor_override=1), odd) > 1
P
