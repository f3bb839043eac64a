"""From the host to the device."""

from __future__ import annotations

import torch
from numpy.typing import NDArray
from torch import Tensor


def put(values: NDArray, device: torch.device) -> Tensor:
    """An array on a device; the host does not wait for work that is queued there."""
    return torch.from_numpy(values).to(device, non_blocking=True)
