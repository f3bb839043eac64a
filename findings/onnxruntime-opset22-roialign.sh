#!/usr/bin/env bash
# onnxruntime 1.32.0 with onnx 1.23.2: RoiAlign in opset 22.
#
# Expected: it runs; the runtime loads models up to a much newer opset, and version 22 of this operator only adds a number type.
# Seen: the same model runs as opset 16 or 21 and is refused as opset 22: no implementation on the CPU. onnx's own
# version_converter makes the step without a word and the checker is content. GridSample makes the same step and runs.
# Who is hurt: detectors with RoI heads (Mask R-CNN) that are exported with, or lifted to, a recent opset.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q --disable-pip-version-check onnx==1.23.2 onnxruntime==1.32.0
cd "$dir"
venv/bin/python - <<'E'
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, version_converter

rng = np.random.default_rng(0)
picture = {"x": rng.random((1, 2, 7, 9), "float32")}
cases = {
    "RoiAlign": ({**picture, "boxes": np.array([[0, 0, 5, 4]], "float32"), "index": np.zeros(1, "int64")}, {"output_height": 2, "output_width": 2}),
    "GridSample": ({**picture, "grid": rng.random((1, 3, 3, 2), "float32")}, {}),
}
seen = {}
for op, (inputs, attributes) in cases.items():
    infos = [helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(v.dtype), v.shape) for n, v in inputs.items()]
    node = helper.make_node(op, list(inputs), ["y"], **attributes)
    graph = helper.make_graph([node], "g", infos, [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 16)], ir_version=10)
    for opset in (16, 21, 22):
        lifted = version_converter.convert_version(model, opset)
        onnx.checker.check_model(lifted, full_check=True)
        try:
            session = onnxruntime.InferenceSession(lifted.SerializeToString(), providers=["CPUExecutionProvider"])
            seen[op, opset] = str(session.run(None, inputs)[0].shape)
        except Exception as error:
            seen[op, opset] = type(error).__name__
        print(op, "opset", opset, seen[op, opset])
assert seen.pop(("RoiAlign", 22)) == "NotImplemented"
assert "NotImplemented" not in seen.values()
E
