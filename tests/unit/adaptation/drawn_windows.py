"""Windows whose features are drawn: what the network saw is known, and what it should have said."""

from __future__ import annotations

import numpy as np
import shapely

from detect.adaptation.windows import Views, Window, burnt, numbered
from detect.base.grid import Margins, Span
from detect.base.values import TOP
from detect.network.last_layer import LastLayer

SIDE_PX = 160
CHANNELS = 4
HALO_PX = 32


def layer_of(channel: int, gain: float = 6.0) -> LastLayer:
    """A layer whose footprint head reads one channel."""
    weight = np.zeros((5, CHANNELS, 3, 3))
    weight[0, channel, 1, 1] = gain
    return LastLayer(weight, np.array([-gain / 2, -8, 0, 0, 0.0]))


def draw_window(number: int, layer: LastLayer, rng: np.random.Generator, *, bare: bool = False) -> Window:
    """Six buildings; channel 0 shows them all, channel 1 half of them and as many sheds that are none; the others are noise.

    Bare ground has none of them.
    """
    boxes = [shapely.box(12 + 50 * c, 16 + 72 * r, 42 + 50 * c, 52 + 72 * r) for r in range(2) for c in range(3)]
    outlines = np.array([] if bare else boxes, object)
    span = Span(200 * number, 0, 200 * number + SIDE_PX, SIDE_PX)
    local = Span(0, 0, SIDE_PX, SIDE_PX)
    features = rng.normal(0, 0.1, (CHANNELS, SIDE_PX + 2, SIDE_PX + 2)).astype(np.float32)
    sheds = [shapely.box(12 + 50 * c, 56, 42 + 50 * c, 84) for c in range(3)]
    if not bare:
        features[0, 1:-1, 1:-1] += burnt(outlines, local)
        features[1, 1:-1, 1:-1] += burnt(np.array([*boxes[:3], *sheds], object), local)
    centre = np.einsum("oc,chw->ohw", layer.weight[:, :, 1, 1], features[:, 1:-1, 1:-1]) + layer.bias[:, None, None]
    heads = (TOP / (1 + np.exp(-centre)) + 0.5).astype(np.uint8)
    known, instances = np.ones((SIDE_PX, SIDE_PX), bool), numbered(outlines, local.size_hw)
    values = np.repeat(np.pad(0.3 + 0.5 * (instances > 0), HALO_PX)[None], 3, axis=0).astype(np.float32)
    return Window(span, heads, features, known, instances, outlines, values, Margins(*[HALO_PX] * 4))


def draw_views(layer: LastLayer, checked: int = 3, elsewhere: int = 2) -> Views:
    """Checked windows of six buildings, and bare ground elsewhere."""
    rng = np.random.default_rng(5)
    return Views(
        [draw_window(i, layer, rng) for i in range(checked)],
        [draw_window(100 + i, layer, rng, bare=True) for i in range(elsewhere)],
        0,
    )
