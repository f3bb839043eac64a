#!/usr/bin/env bash
# onnxruntime 1.32.0 (CPU), graphs at the default, highest level of optimisation: a nearest Resize by 2 between two convolutions of a U-Net.
#
# Expected: cropping two pixels of the margin of a tile before the Resize costs a copy of the small tensor and saves work after it.
# Seen: the convolutions compute in a layout of the runtime's own (channels in blocks), and so does the Resize between them, as an
# internal Upsample. A Slice before it, even one that crops nothing at run time, takes all of that away: the Resize runs in the plain layout,
# and its output, four times as large, is brought back by a ReorderInput. With 32 channels of 516 by 516 pixels, Resize and reordering take
# twice as long as the Upsample, more than the crop saves (both are printed). Values are the same. A Slice behind the Resize does the same, since the layout
# ends before it. An average pooling by 1, which does nothing, keeps it. The file says nothing of this; the optimised model does.
# Who is hurt: whoever tiles large scenes and drops the margins of tiles inside the decoder, to save time: of the whole network of a light
# U-Net on tiles of 1280 pixels this was 8 %. Crop before the other enlargements, which join a skip, and leave the last one alone.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q --no-compile --disable-pip-version-check onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6
cd "$dir"
venv/bin/python -W ignore - <<'P'
import json
from collections import Counter

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

CHANNELS, SIDE, RUNS = 32, 516, 6


def model(before, behind):
    """Convolution, Resize, convolution, with nodes before and behind the Resize."""
    rng = np.random.default_rng(0)
    weight = rng.normal(0, 0.05, (CHANNELS, CHANNELS, 3, 3)).astype(np.float32)
    stored = {
        "weight": weight,
        "scales": np.array([1, 1, 2, 2], np.float32),
        "axes": np.array([2, 3]),
        "most": np.array([2**31, 2**31]),
    }
    nodes = [helper.make_node("Conv", ["image", "weight"], ["small"], pads=[1] * 4)]
    last = "small"
    for kind in (*before, "resize", *behind):
        made = f"{last}_{kind}"
        if kind == "crop":
            nodes.append(helper.make_node("Slice", [last, "first", "most", "axes"], [made]))
        elif kind == "pool":
            nodes.append(helper.make_node("AveragePool", [last], [made], kernel_shape=[1, 1]))
        else:
            how = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
            nodes.append(helper.make_node("Resize", [last, "", "scales"], [made], **how))
        last = made
    nodes.append(helper.make_node("Conv", [last, "weight"], ["answer"], pads=[1] * 4))
    inputs = [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, CHANNELS, "h", "w"])]
    inputs += [helper.make_tensor_value_info("first", TensorProto.INT64, [2])] if "crop" in (*before, *behind) else []
    outputs = [helper.make_tensor_value_info("answer", TensorProto.FLOAT, None)]
    constants = [numpy_helper.from_array(values, name) for name, values in stored.items()]
    graph = helper.make_graph(nodes, "unet", inputs, outputs, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def run(name, *shape):
    """Kinds of nodes of the optimised graph, milliseconds of each kind, and the answer."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.optimized_model_filepath = f"{name}.onnx"
    options.enable_profiling, options.profile_file_prefix = True, name
    session = onnxruntime.InferenceSession(model(*shape).SerializeToString(), options, providers=["CPUExecutionProvider"])
    given = {"image": np.random.default_rng(1).normal(size=(1, CHANNELS, SIDE, SIDE)).astype(np.float32)}
    if len(session.get_inputs()) > 1:
        given["first"] = np.array([0, 0])
    for _ in range(RUNS):
        [answer] = session.run(None, given)
    spent = Counter()
    for event in json.load(open(session.end_profiling())):
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            spent[event["args"]["op_name"]] += event["dur"] / 1e3 / RUNS
    kinds = Counter(node.op_type for node in onnx.load(f"{name}.onnx").graph.node)
    return kinds, spent, answer


plain, plain_ms, expected = run("plain", (), ())
before, before_ms, found = run("before", ("crop",), ())
behind, _, also = run("behind", (), ("crop",))
pooled, _, pooled_answer = run("pooled", ("pool",), ())
print("without a crop:", dict(plain), {k: round(v, 1) for k, v in plain_ms.items()}, "ms")
print("with one:", dict(before), {k: round(v, 1) for k, v in before_ms.items()}, "ms")
assert np.array_equal(expected, found) and np.array_equal(expected, also) and np.array_equal(expected, pooled_answer)
assert plain["Upsample"] == 1 and plain["Resize"] == 0 and plain["ReorderInput"] == 1
assert before["Upsample"] == 0 and before["Resize"] == 1 and before["ReorderInput"] == 2
assert behind["ReorderInput"] == 2 and behind["ReorderOutput"] == 2
assert pooled["Upsample"] == 1 and pooled["ReorderInput"] == 1
print("as described")
P
