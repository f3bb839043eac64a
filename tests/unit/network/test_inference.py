"""The network without norms and without margins answers as the trained one does."""

from __future__ import annotations

import pytest
import torch

from detect.base.grid import NO_MARGINS, Margins
from detect.network.inference import core_network
from detect.network.model import load_network
from detect.network.weights import load_weights


@pytest.mark.parametrize("margins", [Margins(32, 32, 32, 32), Margins(64, 0, 128, 0), Margins(0, 96, 32, 64)])
def test_the_core_stays_the_same(margins: Margins) -> None:
    weights = load_weights("deep")
    size_hw = 64 + margins.top + margins.bottom, 96 + margins.left + margins.right
    images = torch.rand(2, 3, *size_hw, generator=torch.Generator().manual_seed(1)) * 2 - 1
    trained, ours = load_network(weights), core_network(weights)
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in ours.modules())
    with torch.inference_mode():
        expected = trained.network(images)[(..., *margins.inside(size_hw))]  # type: ignore[operator]
        found = ours(images, margins)
    assert found.shape == (2, 5, 64, 96)
    assert expected.std() > 0.1, "an answer that says something"
    assert (found - expected).abs().max() < 1e-3 * expected.abs().max()


@pytest.mark.parametrize("margins", [NO_MARGINS, Margins(64, 96, 0, 0)])
def test_beside_a_hole_the_answer_is_that_beside_an_edge(margins: Margins) -> None:
    height, width = 64 + margins.top, 96 + margins.left
    image = torch.rand(2, 3, height + 32, width + 64, generator=torch.Generator().manual_seed(1)) * 2 - 1
    seen = torch.zeros(2, 1, *image.shape[2:], dtype=torch.bool)
    seen[..., :height, :width] = True
    network = core_network(load_weights("deep"))
    with torch.inference_mode():
        expected = network(image[..., :height, :width], margins)
        found = network(image, margins, seen)[..., :64, :96]
        all_seen, usual = (network(image, margins, mask) for mask in (torch.ones_like(seen), None))
    assert (found - expected).abs().max() < 1e-3 * expected.abs().max()
    assert (all_seen - usual).abs().max() < 1e-3 * usual.abs().max()
