"""The heads of the network: what each channel of its output means.

A new head is one more row of ``HEADS``. Its loss, label and metric belong to ``detect.training``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from detect.base.stages import STAGES


@dataclass(frozen=True)
class Head:
    """One channel of the network's output."""

    name: str
    activation: Literal["sigmoid", "softmax"]
    """How a logit becomes a probability: by itself, or with the neighbouring softmax heads, which then sum to one at every pixel."""


HEADS = (
    Head("footprint", "sigmoid"),
    Head("boundary", "sigmoid"),
    *(Head(stage, "softmax") for stage in STAGES),
)
"""In the order of the channels: footprint, boundary between neighbouring buildings, and the three construction stages."""
HEAD_NAMES = tuple(head.name for head in HEADS)
"""As weights cards list them."""
FOOTPRINT, BOUNDARY = HEAD_NAMES.index("footprint"), HEAD_NAMES.index("boundary")
"""Channels of these heads."""
STAGE_HEADS = slice(HEAD_NAMES.index(STAGES[0]), HEAD_NAMES.index(STAGES[-1]) + 1)
"""Channels of the stage heads."""
