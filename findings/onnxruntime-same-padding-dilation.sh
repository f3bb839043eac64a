#!/usr/bin/env bash
# onnxruntime 1.32.0: Conv with auto_pad SAME_UPPER or SAME_LOWER and dilations of 2.
#
# Expected: it runs; the operator defines SAME by the output size, and dilation only widens the kernel.
# Seen: the model loads, passes onnx's full check with an inferred shape, and fails at the first run: dilation is not
# supported for SAME. With the same padding written out as pads it runs and keeps the size. onnx 1.23's ReferenceEvaluator
# runs both and gives the values that the runtime gives for written-out pads.
# Who is hurt: dilated networks (DeepLab and the like) converted from frameworks whose padding is SAME.
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
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

rng = np.random.default_rng(0)
inputs = {"x": rng.random((1, 2, 7, 9), "float32"), "w": rng.random((3, 2, 3, 3), "float32")}
infos = [helper.make_tensor_value_info(n, TensorProto.FLOAT, v.shape) for n, v in inputs.items()]
errors, values = {}, {}
for name, padding in (("SAME_UPPER", {"auto_pad": "SAME_UPPER"}), ("SAME_LOWER", {"auto_pad": "SAME_LOWER"}), ("pads", {"pads": [2] * 4})):
    node = helper.make_node("Conv", ["x", "w"], ["y"], dilations=[2, 2], **padding)
    graph = helper.make_graph([node], "g", infos, [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3, 7, 9])])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    values[name] = ReferenceEvaluator(model).run(None, inputs)[0]
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    try:
        values["runtime"] = session.run(None, inputs)[0]
        print(name, "runs:", values["runtime"].shape)
    except Exception as error:
        errors[name] = str(error)
        print(name, "fails:", str(error)[-95:])
assert set(errors) == {"SAME_UPPER", "SAME_LOWER"} and all("Dilation not supported" in e for e in errors.values())
assert all(np.allclose(value, values["runtime"], atol=1e-5) for value in values.values())
E
