"""The network as a GPU runs it: the same answers for the core of a tile, with less work.

Batch norms are folded into the convolutions before them, and the decoder drops the margins step by step, as ``detect.network.graphs`` does
in the graph for a CPU.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_weights

from detect.base.grid import Margins
from detect.network.model import STRIDE, load_network
from detect.network.nodes import kept_margins
from detect.network.weights import Weights


def core_network(weights: Weights) -> CoreNetwork:
    """Normalised tiles (N, 3, H, W) and their margins → logits (N, 5, h, w) of what lies inside; float32, on the CPU."""
    trained: Any = load_network(weights)
    fold_norms(trained.network)
    return CoreNetwork(trained.network, weights.lattice.stride_px)


def fold_norms(network: nn.Module) -> None:
    """Multiply each batch norm into the convolution whose output it takes, and leave its activation, in place.

    The pairs are found by a pass over a small picture. Formula: Jacob et al. 2018, doi:10.1109/CVPR.2018.00286, section 3.2.
    """
    source: dict[int, tuple[nn.Conv2d, Tensor]] = {}  # by the identity of their output, which is kept so that it stays one
    pairs: list[tuple[nn.Conv2d, nn.BatchNorm2d]] = []

    def convolved(module: Any, _: Any, output: Tensor) -> None:
        source[id(output)] = (module, output)

    def normed(module: Any, inputs: tuple[Tensor, ...]) -> None:
        if (found := source.get(id(inputs[0]))) is not None:
            pairs.append((found[0], module))

    modules = list(network.modules())
    hooks = [m.register_forward_hook(convolved) for m in modules if isinstance(m, nn.Conv2d)]
    hooks += [m.register_forward_pre_hook(normed) for m in modules if isinstance(m, nn.BatchNorm2d)]
    with torch.no_grad():
        network(torch.zeros(1, 3, STRIDE, STRIDE))
    for hook in hooks:
        hook.remove()
    names = {module: name for name, module in network.named_modules()}
    for convolution, norm in pairs:
        mean, variance = norm.running_mean, norm.running_var
        assert mean is not None and variance is not None
        convolution.weight, convolution.bias = fuse_conv_bn_weights(
            convolution.weight, convolution.bias, mean, variance, norm.eps, norm.weight, norm.bias
        )
        parent, _, name = names[norm].rpartition(".")
        setattr(network.get_submodule(parent), name, getattr(norm, "act", nn.Identity()))  # timm's norms have an activation


class CoreNetwork(nn.Module):
    """A U-Net of ``build_network`` that answers for what lies inside the margins of a tile."""

    def __init__(self, network: Any, stride_px: int) -> None:
        """Take a network."""
        super().__init__()
        self.network = network
        self._stride_px = stride_px
        stages = [*network.decoder.blocks]
        followers = [_convolutions(block) for block in stages]
        followers[-1] += _convolutions(network.segmentation_head)
        for convolution in (c for c in _convolutions(network) if c.kernel_size != (1, 1)):
            convolution.register_forward_pre_hook(self._masked)
        self._masks: dict[tuple[int, ...], Tensor] = {}  # by the size of what they mask
        reaches = [sum((c.kernel_size[0] - 1) // 2 * c.dilation[0] for c in part) for part in followers]
        self._kept = kept_margins(reaches) if 2 ** len(stages) == stride_px else []

    def forward(self, image: Tensor, margins: Margins, seen: Tensor | None = None) -> Tensor:
        """Normalised tiles (N, 3, H, W), margins in multiples of the stride → logits (N, 5, h, w).

        ``seen`` (N, 1, H, W), 1 where the scene is shown and 0 elsewhere, is what ``detect.network.graphs`` describes.
        """
        scales = [2**level for level in range(self._stride_px.bit_length())]
        masks = [] if seen is None else [(functional.avg_pool2d(seen.float(), s) > 0).to(image.dtype) for s in scales]
        self._masks = {tuple(mask.shape[-2:]): mask for mask in masks}
        try:
            return self._inside(image, margins, masks)
        finally:
            self._masks = {}

    def _inside(self, image: Tensor, margins: Margins, masks: Sequence[Tensor]) -> Tensor:
        if not self._kept:
            return _cut(self.network(image), margins)
        x, *skips = self.network.encoder(image)[:0:-1]
        x = self.network.decoder.center(x)
        available = [px // self._stride_px for px in margins]
        for level, (block, most) in enumerate(zip(self.network.decoder.blocks, self._kept, strict=True)):
            kept = [min(px, most) for px in available]
            x = functional.interpolate(_cut(x, _less(available, kept)), scale_factor=2, mode=block.interpolation_mode)
            available = [2 * px for px in kept]
            here = [px * 2 ** (level + 1) // self._stride_px for px in margins]
            if masks:
                mask = _cut(masks[len(self._kept) - 1 - level], _less(here, available))
                self._masks = {tuple(mask.shape[-2:]): mask}
            if level < len(skips):
                x = block.attention1(torch.cat([x, _cut(skips[level], _less(here, available))], dim=1))
            x = block.attention2(block.conv2(block.conv1(x)))
        return _cut(self.network.segmentation_head(x), available)

    def _masked(self, _module: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor] | None:
        """What a convolution sees of its input; None: all of it."""
        mask = self._masks.get(tuple(inputs[0].shape[-2:]))
        return None if mask is None else (inputs[0] * mask,)


def _less(margins: Sequence[int], kept: Sequence[int]) -> list[int]:
    return [px - less for px, less in zip(margins, kept, strict=True)]


def _convolutions(part: nn.Module) -> list[nn.Conv2d]:
    return [m for m in part.modules() if isinstance(m, nn.Conv2d)]


def _cut(x: Tensor, margins: Sequence[int]) -> Tensor:
    """(…, H, W) without its margins."""
    return x[(..., *Margins(*margins).inside((x.shape[-2], x.shape[-1])))]
