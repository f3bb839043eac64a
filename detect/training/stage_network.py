"""The second model, for stages: an ImageNet encoder over two crops, pooled inside the footprint and around it, and one linear layer.

It has frozen features and a linear layer, because there are only some hundred labelled unfinished buildings, too few for a
decoder.
"""

from __future__ import annotations

import io
import warnings
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from detect.network.model import DEFAULT_ARCHITECTURE, build_network, load_imagenet
from detect.training.export import store_half

RING_PX = 9
"""Width of the ring around a footprint that is used: 2.7 m at 0.3 m per pixel, 1.4 m at 0.15 m."""
_STRIDES = (4, 8, 16, 32)
_BATCH = 16


class StageNetwork(nn.Module):
    """Crops (N, scales, 4, S, S) of 0–1, the fourth band the footprint → stage probabilities (N, 3) that sum to one."""

    mean: Tensor
    sd: Tensor

    def __init__(self, encoder: str, scales: int) -> None:
        """A network with ImageNet's encoder and a linear layer of zeros.

        Args:
            encoder: as in ``detect.network.model.load_imagenet``.
            scales: crops per building.
        """
        super().__init__()
        whole: Any = build_network({**DEFAULT_ARCHITECTURE, "encoder": encoder})
        load_imagenet(whole, encoder)
        self.encoder = whole.encoder.eval()
        channels = self.encoder.out_channels[2:]
        # Fine layers show texture, so their standard deviation inside is a feature too; the coarsest layer has too few pixels.
        self.features = scales * (3 * sum(channels) - channels[-1])
        self.register_buffer("mean", torch.zeros(self.features))
        self.register_buffer("sd", torch.ones(self.features))
        self.linear = nn.Linear(self.features, 3)

    def pooled(self, crops: Tensor) -> Tensor:
        """Crops (N, scales, 4, S, S) → features (N, F): means inside and around the footprint, deviations inside."""
        flat = crops.flatten(0, 1)
        inside = flat[:, 3:]
        around = functional.max_pool2d(inside, 2 * RING_PX + 1, 1, RING_PX) - inside
        parts = []
        for stride, layer in zip(_STRIDES, self.encoder(flat[:, :3] * 2 - 1)[2:], strict=True):
            # If a crop holds only the footprint or only surroundings, the mean of all pixels replaces the missing part.
            weights = [functional.avg_pool2d(mask, stride) + 1e-6 for mask in (inside, around)]
            means = [(layer * w).sum((2, 3)) / w.sum((2, 3)) for w in weights]
            parts += means
            if stride < _STRIDES[-1]:
                off = layer - means[0][:, :, None, None]
                parts.append(((off * off * weights[0]).sum((2, 3)) / weights[0].sum((2, 3)) + 1e-6).sqrt())
        return torch.cat(parts, dim=1).reshape(crops.shape[0], self.features)

    def forward(self, crops: Tensor) -> Tensor:
        """See the class."""
        return self.linear((self.pooled(crops) - self.mean) / self.sd).softmax(dim=1)


def features_of(network: StageNetwork, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Features (N, F) of crops (N, scales, S, S, 4) uint8, the last band 0 or 255; by ONNX Runtime, as in prediction."""
    scales, side = crops.shape[1:3]
    session = onnxruntime.InferenceSession(
        _traced(_Pooled(network), scales, side, "features").SerializeToString(), providers=["CPUExecutionProvider"]
    )
    parts = [
        session.run(None, {"crops": crops[i : i + _BATCH].transpose(0, 1, 4, 2, 3).astype(np.float32) / 255})[0]
        for i in range(0, len(crops), _BATCH)
    ]
    return np.concatenate(parts)


class _Pooled(nn.Module):
    def __init__(self, network: StageNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, crops: Tensor) -> Tensor:
        return self.network.pooled(crops)


def stage_onnx(network: StageNetwork, scales: int, crop_px: int) -> onnx.ModelProto:
    """The graph: ``crops`` (N, scales, 4, S, S) float32 → ``stages`` (N, 3); matrices are stored as float16."""
    model = _traced(network, scales, crop_px, "stages")
    store_half(model.graph)
    onnx.checker.check_model(model)
    return model


def _traced(network: nn.Module, scales: int, crop_px: int, output: str) -> onnx.ModelProto:
    buffer: Any = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracing exporter is deprecated; a test compares its graph with torch
        torch.onnx.export(
            network.eval(),
            (torch.zeros(2, scales, 4, crop_px, crop_px),),
            buffer,
            input_names=["crops"],
            output_names=[output],
            dynamic_axes={"crops": {0: "batch"}, output: {0: "batch"}},
            opset_version=17,
            dynamo=False,
        )
    return onnx.load_from_string(buffer.getvalue())
