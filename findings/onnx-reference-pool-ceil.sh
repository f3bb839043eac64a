#!/usr/bin/env bash
# onnx 1.23.2 (ReferenceEvaluator) against onnxruntime 1.32.0: pools with ceil_mode=1, opset 22.
#
# Expected: equal values, the evaluator being the yardstick that ships with the format.
# Seen: AveragePool, 3 by 3, stride 3, on 7 by 7 px: the last row and column hang over the edge. The runtime averages the
# pixels that exist (corner 48); the evaluator gives 40 there, with and without count_include_pad. MaxPool with stride 1 and
# padding 1 even has another shape (9 by 9 for 7 by 7). PyTorch 2.14 agrees with the runtime in all of them. With padding, or
# without ceil_mode, the two agree.
# Who is hurt: exporters and converters that are tested against the evaluator.
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

x = np.arange(49, dtype="float32").reshape(1, 1, 7, 7)


def both(op, **attributes):
    node = helper.make_node(op, ["x"], ["y"], **attributes)
    graph = helper.make_graph([node], "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)])  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)], ir_version=10)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0][0, 0], ReferenceEvaluator(model).run(None, {"x": x})[0][0, 0]


for count in (0, 1):
    run, reference = both("AveragePool", kernel_shape=[3, 3], strides=[3, 3], ceil_mode=1, count_include_pad=count)
    print(f"AveragePool, count_include_pad={count}, last row: runtime {run[-1]}, evaluator {reference[-1]}")
    assert run[-1, -1] == 48 and reference[-1, -1] == 40
run, reference = both("AveragePool", kernel_shape=[3, 3], strides=[3, 3], pads=[1] * 4, ceil_mode=1)
assert np.allclose(run, reference)
run, reference = both("MaxPool", kernel_shape=[3, 3], strides=[1, 1], pads=[1] * 4, ceil_mode=1)
print("MaxPool, stride 1, padding 1: runtime", run.shape, "evaluator", reference.shape)
assert run.shape == (7, 7) and reference.shape == (9, 9)
run, reference = both("MaxPool", kernel_shape=[3, 3], strides=[1, 1], pads=[1] * 4)
assert np.array_equal(run, reference)
E
