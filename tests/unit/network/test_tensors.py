"""Tensors read back from the ONNX file, and from the safetensors file of earlier versions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from detect.base.errors import InputError
from detect.base.files import sha256_of
from detect.network import backends
from detect.network.model import ProbabilityNetwork, build_network, load_network, start_from
from detect.network.tensors import is_quantised, tensors_of
from detect.network.weights import load_weights
from detect.training.export import export, to_onnx
from tests.unit.network.test_card import least_card

SMALL = {"encoder": "tu-efficientnet_lite0", "decoder_channels": [16, 8, 8, 8, 8]}


def write(folder: Path, files: tuple[Path, ...], **changes: Any) -> Path:
    """A card of the small architecture beside files named tiny."""
    described = {file.suffix[1:]: {"name": file.name, "sha256": sha256_of(file)} for file in files}
    card = least_card() | {"name": "tiny", "architecture": SMALL, "files": described}
    (folder / "tiny.json").write_text(json.dumps(card | changes), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def network() -> nn.Module:
    """New: its batch norms are all alike, so many tensors are equal."""
    torch.manual_seed(3)
    return build_network(SMALL).eval()


@pytest.fixture(scope="module")
def stored(network: nn.Module) -> dict[str, torch.Tensor]:
    """The network's tensors as files hold them: matrices float16, vectors float32."""
    state = {k: v for k, v in network.state_dict().items() if not k.endswith("num_batches_tracked")}
    return {k: v.half() if v.ndim > 1 else v for k, v in state.items()}


@pytest.fixture(scope="module")
def graph(network: nn.Module) -> onnx.ModelProto:
    return to_onnx(ProbabilityNetwork(network))


@pytest.fixture
def new(graph: onnx.ModelProto, tmp_path: Path) -> Path:
    """A folder as training leaves it."""
    onnx.save(graph, tmp_path / "tiny.onnx")
    return write(tmp_path, (tmp_path / "tiny.onnx",))


def test_a_graph_holds_every_tensor_of_the_network_bit_for_bit(new: Path, stored: dict[str, torch.Tensor]) -> None:
    found = tensors_of(load_weights(new))
    assert found.keys() == stored.keys()
    for name, value in stored.items():
        assert found[name].dtype == value.numpy().dtype and found[name].tobytes() == value.numpy().tobytes(), name


def test_nothing_of_a_graph_but_the_image_can_be_replaced(graph: onnx.ModelProto) -> None:
    assert [given.name for given in graph.graph.input] == ["image"]


@pytest.mark.parametrize("kinds", [("onnx", "safetensors"), ("safetensors",)])
def test_weights_of_earlier_versions_are_read(
    kinds: tuple[str, ...], graph: onnx.ModelProto, stored: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    files = tuple(tmp_path / f"tiny.{kind}" for kind in kinds)
    onnx.save(graph, tmp_path / "tiny.onnx")
    save_file(stored, tmp_path / "tiny.safetensors")
    weights = load_weights(write(tmp_path, files))
    state: Any = load_network(weights).network.state_dict()  # type: ignore[union-attr]
    assert not is_quantised(weights)
    assert all(torch.equal(state[name], value.float()) for name, value in stored.items())


def test_a_network_starts_from_a_graph(new: Path, stored: dict[str, torch.Tensor]) -> None:
    other = build_network(SMALL)
    start_from(other, str(new))
    state = other.state_dict()
    assert all(torch.equal(state[name], value.float()) for name, value in stored.items())
    with pytest.raises(InputError, match="another architecture than the recipe"):
        start_from(build_network(), str(new))


def test_an_exported_model_holds_the_same_tensors(new: Path, tmp_path: Path) -> None:
    export(new, tmp_path / "mine.onnx")
    ours, theirs = (tensors_of(load_weights(path)) for path in (new / "tiny.json", tmp_path / "mine.onnx"))
    assert ours.keys() == theirs.keys()
    assert all(np.array_equal(ours[name], theirs[name]) for name in ours)


def test_the_shipped_weights_hold_the_same_in_both_files(tmp_path: Path) -> None:
    """Weights of the former layout, made of those that ship, are the same network."""
    shipped = load_weights("deep")
    save_file({k: torch.from_numpy(v.copy()) for k, v in tensors_of(shipped).items()}, tmp_path / "tiny.safetensors")
    older = load_weights(write(tmp_path, (tmp_path / "tiny.safetensors",), architecture=shipped.card.architecture))
    one, two = (load_network(weights).state_dict() for weights in (shipped, older))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_8_bit_weights_are_refused_in_one_line() -> None:
    weights = load_weights("deep-int8")
    assert is_quantised(weights)
    with pytest.raises(InputError, match=r"weights deep-int8: compute in 8-bit integers, .* such as deep$"):
        load_network(weights)


def test_a_graph_that_lost_tensors_is_refused(graph: onnx.ModelProto, tmp_path: Path) -> None:
    lacking = onnx.ModelProto()
    lacking.CopyFrom(graph)
    lost = next(i for i, tensor in enumerate(lacking.graph.initializer) if tensor.name == "network.segmentation_head.0.bias")
    del lacking.graph.initializer[lost]
    onnx.save(lacking, tmp_path / "tiny.onnx")
    with pytest.raises(InputError, match=r"lacks 1 tensors .* such as segmentation_head\.0\.bias"):
        load_network(load_weights(write(tmp_path, (tmp_path / "tiny.onnx",))))


def test_a_card_of_another_architecture_is_refused(new: Path) -> None:
    write(new, (new / "tiny.onnx",), architecture=SMALL | {"decoder_channels": [32, 8, 8, 8, 8]})
    with pytest.raises(InputError, match="do not fit the architecture"):
        load_network(load_weights(new))


def test_a_file_that_is_no_graph_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tiny.onnx").write_bytes(b"no graph")
    with pytest.raises(InputError, match=r"tiny\.onnx: is not a valid ONNX file"):
        load_network(load_weights(write(tmp_path, (tmp_path / "tiny.onnx",))))


@pytest.mark.parametrize(("name", "kind"), [("deep", "cuda"), ("deep-int8", "cpu")])
def test_auto_takes_a_gpu_for_weights_that_pytorch_reads(name: str, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "_cuda_is_there", lambda: True)
    for device in ("cpu", "cuda"):
        monkeypatch.setitem(backends.BACKENDS, device, lambda weights, device, threads: device)
    assert backends.open_backend(load_weights(name)) == kind
