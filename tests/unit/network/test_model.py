"""The network in torch and in ONNX Runtime, and its pretrained encoder."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from detect.base.errors import InputError
from detect.network.backends import OnnxBackend, open_backend
from detect.network.heads import HEADS
from detect.network.model import build_network, load_imagenet, load_network, to_probabilities
from detect.network.weights import load_weights
from detect.training.export import export


def random_images(size_hw: tuple[int, int]) -> np.ndarray:
    """Two octaves of noise: (3, H, W) in 0–1, smoother than white noise."""
    rng = np.random.default_rng(5)
    coarse = np.kron(rng.random((3, size_hw[0] // 16, size_hw[1] // 16)), np.ones((16, 16)))
    return (0.7 * coarse + 0.3 * rng.random((3, *size_hw))).astype(np.float32)


@pytest.mark.parametrize("size_hw", [(96, 160), (256, 128)])
def test_torch_and_onnx_runtime_agree(size_hw: tuple[int, int]) -> None:
    weights = load_weights("deep")
    values = random_images(size_hw)
    ours = OnnxBackend(weights, threads=1).predict(values)
    network = load_network(weights)
    with torch.inference_mode():
        theirs = network(torch.from_numpy((values - 0.5) / 0.5)[None])[0].numpy()
    assert ours.shape == (len(HEADS), *size_hw)
    assert np.abs(ours - theirs).max() < 1e-3
    assert theirs[0].std() > 0.01, "an answer that says something"


def test_probabilities_are_probabilities() -> None:
    p = to_probabilities(torch.randn(2, 5, 8, 6) * 20)
    assert ((p >= 0) & (p <= 1)).all()
    assert torch.allclose(p[:, 2:].sum(dim=1), torch.ones(2, 8, 6), atol=1e-5)


def test_exported_model_predicts_the_same(tmp_path: Path) -> None:
    export("deep", tmp_path / "mine.onnx")
    values = random_images((64, 96))
    ours = open_backend(load_weights(tmp_path / "mine.onnx"), "cpu", 1).predict(values)
    assert np.array_equal(ours, open_backend(load_weights("deep"), "cpu", 1).predict(values))
    assert set(json.loads((tmp_path / "mine.json").read_text())["files"]) == {"onnx", "stage"}
    assert load_weights(tmp_path / "mine.onnx").stage_sha256 == load_weights("deep").stage_sha256
    with pytest.raises(InputError, match="exists already"):
        export("deep", tmp_path / "mine.onnx")


def test_the_card_of_the_default_weights_is_whole() -> None:
    card = load_weights().card
    assert card["recipe"]["seed"] is not None
    assert card["data"] and card["licence"] and card["rates"]
    for name, scores in card["metrics"]["places"].items():
        data_set, _, place = name.partition("/")
        entry = next(d for d in card["data"] if d["data_set"] == data_set)
        # The northern third of one scene validates and the rest of it trains; every other place is on one side only.
        assert place in entry["measured_on"]
        assert place not in entry["trained_on"] or data_set == "oam_banepa"
        assert scores["iou"] is None or 0 <= scores["iou"] <= 1
    assert not any("nairobi" in place for d in card["data"] for place in d["trained_on"])


def test_pretrained_encoder_differs_from_a_random_one() -> None:
    torch.manual_seed(0)
    network = build_network()
    before = network.encoder.model.conv_stem.weight.clone()
    load_imagenet(network)
    after = network.encoder.model.conv_stem.weight
    assert not torch.allclose(before, after)
    assert after.std() > 0.05


def test_a_pixel_sees_only_its_neighbourhood() -> None:
    """No layer pools over the whole tile, so tiles can agree with the whole."""
    torch.manual_seed(0)
    network = build_network().eval()
    image = torch.randn(1, 3, 64, 1024)
    changed = image.clone()
    changed[..., -32:] += 1
    with torch.inference_mode():
        assert torch.equal(network(image)[..., :64], network(changed)[..., :64])


def test_unknown_architecture_is_refused() -> None:
    with pytest.raises(InputError, match="unet"):
        build_network({"decoder": "pspnet"})
    with pytest.raises(InputError, match="encoder"):
        build_network({"encoder": "no-such-encoder"})


def test_a_model_for_other_tools_says_what_they_ask_and_follows_the_threshold(tmp_path: Path) -> None:
    import json

    import onnxruntime

    from detect.network.backends import OnnxBackend
    from detect.network.weights import load_weights

    export("deep", tmp_path / "qgis.onnx", tile_px=128)
    assert [p.name for p in tmp_path.iterdir()] == ["qgis.onnx"]
    session = onnxruntime.InferenceSession(tmp_path / "qgis.onnx", providers=["CPUExecutionProvider"])
    assert session.get_inputs()[0].shape[1:] == [3, 128, 128]  # GeoDeep takes its tile from here
    told = session.get_modelmeta().custom_metadata_map
    weights = load_weights("deep")
    assert json.loads(told["model_type"]) == "Segmentor"
    assert json.loads(told["class_names"]) == {"0": "background", "1": "building"}
    assert float(told["resolution"]) == pytest.approx(100 * weights.gsd_m)  # centimetres
    picture = np.random.default_rng(4).random((3, 128, 128), np.float32)
    classes = session.run(None, {"image": picture[None]})[0][0]
    assert classes.sum(axis=0) == pytest.approx(1, abs=1e-5)
    p = OnnxBackend(weights).predict(picture)[0]
    threshold = weights.card["thresholds"]["footprint"]
    clear = np.abs(p - threshold) > 1e-5
    assert ((classes.argmax(axis=0) == 1) == (p >= threshold))[clear].all()
    with pytest.raises(InputError, match="multiple of 32"):
        export("deep", tmp_path / "odd.onnx", tile_px=100)
