#!/usr/bin/env bash
# onnx 1.23.2 (ReferenceEvaluator) against onnxruntime 1.32.0: QuantizeLinear of values far above the range.
#
# Expected: saturation, as the operator's text asks: everything above the range becomes 127 (int8) or 255 (uint8).
# Seen: the runtime saturates. The evaluator does so up to 2^31 times the scale; from there on (3e9, 1e12, infinity at scale
# 1) it gives, on x86, the other end, -128 or 0: the brightest becomes the darkest. Values far below the range are right.
# Who is hurt: checks of a quantised model against the evaluator with small scales or an overflow that gave infinity.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q --disable-pip-version-check onnx==1.23.2 onnxruntime==1.32.0
cd "$dir"
venv/bin/python -W ignore - <<'E'
import numpy as np
import onnxruntime
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

x = np.array([100, 1e6, 3e9, 1e12, np.inf, -3e9, -np.inf], "float32")
for dtype, kind, low, high in (("int8", TensorProto.INT8, -128, 127), ("uint8", TensorProto.UINT8, 0, 255)):
    inputs = {"x": x, "scale": np.array(1, "float32"), "zero": np.array(0, dtype)}
    infos = [helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(v.dtype), v.shape) for n, v in inputs.items()]
    node = helper.make_node("QuantizeLinear", list(inputs), ["y"])
    graph = helper.make_graph([node], "g", infos, [helper.make_tensor_value_info("y", kind, x.shape)])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)], ir_version=10)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    run, reference = session.run(None, inputs)[0].tolist(), ReferenceEvaluator(model).run(None, inputs)[0].tolist()
    print(f"{dtype}: {x.tolist()}\n  runtime {run}\n  evaluator {reference}")
    assert run[1:] == [high] * 4 + [low] * 2
    assert reference[1:] == [high] + [low] * 5
E
