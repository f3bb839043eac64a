#!/usr/bin/env bash
# onnx 1.23.2 (ReferenceEvaluator) against onnxruntime 1.32.0: Resize with align_corners and scales, GridSample cubic.
#
# Expected: equal values but for rounding.
# Seen: Resize, align_corners, scales 1.5 and 2.5 on 7 by 9 px (to 10 by 22): the runtime puts the last output pixel on the
# last input pixel, which is what the mode is for; the evaluator uses the fractional size (10.5 by 22.5) and misses it, by up
# to the height of the signal. With sizes in place of scales they agree. GridSample cubic with border padding: off by 0.2 on
# values of unit deviation; with zeros and reflection they agree. PyTorch 2.14 agrees with the runtime in all of them.
# Who is hurt: those who check an exported decoder (upsampling by align_corners) against the evaluator.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q --disable-pip-version-check onnx==1.23.2 onnxruntime==1.32.0
cd "$dir"
venv/bin/python - <<'E'
import numpy as np
import onnxruntime
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

rng = np.random.default_rng(0)
x = rng.normal(size=(1, 1, 7, 9)).astype("float32")


def both(op, names, inputs, **attributes):
    node = helper.make_node(op, names, ["y"], **attributes)
    infos = [helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(v.dtype), v.shape) for n, v in inputs.items()]
    graph = helper.make_graph([node], "g", infos, [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)], ir_version=10)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, inputs)[0], ReferenceEvaluator(model).run(None, inputs)[0]


corners = dict(mode="linear", coordinate_transformation_mode="align_corners")
scales = {"x": x, "s": np.array([1, 1, 1.5, 2.5], "float32")}
run, reference = both("Resize", ["x", "", "s"], scales, **corners)
print(f"Resize by scales, last pixel {x[0, 0, -1, -1]:.3f}: runtime {run[0, 0, -1, -1]:.3f}, evaluator {reference[0, 0, -1, -1]:.3f}")
assert np.isclose(run[0, 0, -1, -1], x[0, 0, -1, -1]) and np.abs(run - reference).max() > 0.5
run, reference = both("Resize", ["x", "", "", "s"], {"x": x, "s": np.array([1, 1, 10, 22])}, **corners)
print(f"Resize by sizes: greatest difference {np.abs(run - reference).max():.1e}")
assert np.allclose(run, reference, atol=1e-5)
grid = {"x": x, "g": rng.uniform(-1.4, 1.4, (1, 5, 6, 2)).astype("float32")}
off = {}
for padding in ("zeros", "reflection", "border"):
    run, reference = both("GridSample", ["x", "g"], grid, mode="cubic", padding_mode=padding, align_corners=0)
    off[padding] = np.abs(run - reference).max()
print("GridSample cubic, greatest difference:", {k: f"{v:.1e}" for k, v in off.items()})
assert off["border"] > 0.1 and max(off["zeros"], off["reflection"]) < 1e-4
E
