"""The network as a GPU runs it: the same answers for the core of a tile, with less work.

Batch norms are folded into the convolutions before them, and the decoder drops the halo step by step, as ``detect.network.graphs`` does in
the graph for a CPU.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_weights

from detect.network.graphs import kept_margins
from detect.network.lattice import Lattice
from detect.network.model import STRIDE, load_network
from detect.network.weights import Weights


def core_network(weights: Weights, halo_px: int | None = None) -> nn.Module:
    """Normalised tiles (N, 3, H, W) → logits (N, 5, H − 2 halo, W − 2 halo) of their cores; float32, on the CPU.

    Args:
        weights: what to load.
        halo_px: margin of the tiles, by default that of the card.
    """
    trained: Any = load_network(weights)
    fold_norms(trained.network)
    lattice = weights.lattice if halo_px is None else replace(weights.lattice, halo_px=halo_px)
    return CoreNetwork(trained.network, lattice)


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
    """A U-Net of ``build_network`` that answers for the core of a tile."""

    def __init__(self, network: Any, lattice: Lattice) -> None:
        """Take a network, whose decoder loses its padding if the halo is wide enough for that."""
        super().__init__()
        self.network = network
        self._halo_px, self._stride_px = lattice.halo_px, lattice.stride_px
        stages = [*network.decoder.blocks]
        followers = [_convolutions(block) for block in stages]
        followers[-1] += _convolutions(network.segmentation_head)
        self._reaches = [sum((c.kernel_size[0] - 1) // 2 * c.dilation[0] for c in part) for part in followers]
        self._margins = kept_margins(self._reaches)
        self._drops = 2 ** len(stages) == lattice.stride_px and self._margins[0] <= lattice.halo_px // lattice.stride_px
        if self._drops:
            for convolution in (c for part in followers for c in part):
                convolution.padding = (0, 0)

    def forward(self, image: Tensor) -> Tensor:
        """Normalised tiles (N, 3, H, W) → logits (N, 5, H − 2 halo, W − 2 halo)."""
        if not self._drops:
            return _cut(self.network(image), self._halo_px)
        x, *skips = self.network.encoder(image)[:0:-1]
        x = self.network.decoder.center(x)
        available = self._halo_px // self._stride_px
        for level, (block, margin) in enumerate(zip(self.network.decoder.blocks, self._margins, strict=True)):
            x = functional.interpolate(_cut(x, available - margin), scale_factor=2, mode=block.interpolation_mode)
            if level < len(skips):
                surplus = self._halo_px * 2 ** (level + 1) // self._stride_px - 2 * margin
                x = block.attention1(torch.cat([x, _cut(skips[level], surplus)], dim=1))
            x = block.attention2(block.conv2(block.conv1(x)))
            available = 2 * margin - self._reaches[level]
        return _cut(self.network.segmentation_head(x), available)


def _convolutions(part: nn.Module) -> list[nn.Conv2d]:
    return [m for m in part.modules() if isinstance(m, nn.Conv2d)]


def _cut(x: Tensor, px: int) -> Tensor:
    """(…, H, W) without a margin on each side."""
    return x[..., px : x.shape[-2] - px, px : x.shape[-1] - px]
