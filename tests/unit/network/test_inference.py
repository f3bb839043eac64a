"""The network without norms and without its halo answers as the trained one does."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from detect.network.inference import core_network
from detect.network.lattice import Lattice
from detect.network.model import load_network
from detect.network.weights import load_weights


@pytest.mark.parametrize("halo_px", [32, 64])  # 32 is too narrow to drop it step by step
def test_the_core_stays_the_same(halo_px: int) -> None:
    weights = load_weights("deep")
    weights = replace(weights, card=replace(weights.card, tile=Lattice(64, halo_px, 32)))
    images = torch.rand(2, 3, 64 + 2 * halo_px, 96 + 2 * halo_px, generator=torch.Generator().manual_seed(1)) * 2 - 1
    trained, ours = load_network(weights), core_network(weights)
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in ours.modules())
    with torch.inference_mode():
        expected = trained.network(images)[..., halo_px:-halo_px, halo_px:-halo_px]  # type: ignore[operator]
        found = ours(images)
    assert found.shape == (2, 5, 64, 96)
    assert expected.std() > 0.1, "an answer that says something"
    assert (found - expected).abs().max() < 1e-3 * expected.abs().max()
