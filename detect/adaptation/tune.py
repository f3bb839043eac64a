"""Fine-tune the whole network on checked ground. Needs torch and segmentation-models-pytorch (the ``gpu`` or ``train`` extra).

Each step takes some crops of checked ground, turned and with other colours, and learns what stands there; where nobody has checked, in
these crops and in some elsewhere, it is held to the old network's answers (Li & Hoiem, "Learning without forgetting", 2016). Forty
steps with small rates keep it near where it began. Running means of batch norms stay, since a few crops do not tell them, and so do the
first layers, ``FROZEN``. It runs on the CPU with fixed seeds and a fixed number of threads, so the same input gives the same bytes.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from detect.adaptation.windows import Window
from detect.base.values import NO_DATA, TOP
from detect.network.backends import normalisation
from detect.network.heads import BOUNDARY, FOOTPRINT, STAGE_HEADS
from detect.network.model import load_network, to_probabilities
from detect.network.truth import BOUNDARY_WEIGHT, binary_loss, boundaries, gap_weights
from detect.network.weights import Weights

STEPS = 40
ENCODER_RATE, DECODER_RATE = 1e-4, 3e-4
"""Learning rates of AdamW (Loshchilov & Hutter 2019)."""
FROZEN = 3
"""Blocks of the encoder, from the image on, that stay as they are, with the convolution before them. They see edges and colours, which
are alike everywhere, and to fit them would cost a third of the time and half of the memory."""
WARM_UP = 5
"""Steps until the rates are reached; then they fall to zero along a cosine."""
CLIP = 5.0
"""Largest norm of the gradient."""
CHECKED, ELSEWHERE = 4, 2
"""Crops of a step."""
AT_ONCE = 2
"""Crops that pass the network together; the gradients of a step add up, so fewer at once only need less memory."""
SIDE_PX, RIM_PX = 192, 32
"""Side of a crop, and what is seen around it."""
JITTER = 0.12
"""By how much brightness and colours change at most."""
GAP_M, GAP_WEIGHT = 1.4, 4.0
"""Background this near to a building counts so much more, so that neighbours stay apart."""
BOUNDARY_SHARE, STAGE_SHARE = 0.5, 0.2
"""Weights of losses; that of footprints is 1."""
THREADS = 2
"""A sum of floats depends on how it is divided, so this does not follow the machine."""

Tensors = Mapping[str, NDArray[np.float32]]
"""Numbers of a network by their name in its ``state_dict``."""


@dataclass(frozen=True)
class _Crop:
    """A sample: what is seen, and on the inner pixels (side, side) what is known."""

    values: NDArray[np.float32]
    """(3, side + 2 rim, side + 2 rim), 0–1."""
    truth: NDArray[np.float32]
    """(5, side, side) whether built, whether a boundary, whether checked, whether held to the old answers, weight of the footprint."""
    old: NDArray[np.float32]
    """(5, side, side) the old answers, probabilities; 0 where there are none."""


class Tuner:
    """Fits networks to checked ground, from one start."""

    steps = STEPS
    """Of a fit; ``report`` is called after each."""

    def __init__(self, weights: Weights, gsd_m: float, report: Callable[[], None] = lambda: None) -> None:
        """Load the network.

        Args:
            weights: where to start.
            gsd_m: ground size of the windows' pixels, metres.
            report: called after each step.

        Raises:
            InputError: the weights compute in 8-bit integers.
        """
        network: Any = load_network(weights)
        self._start: Any = network.network.requires_grad_(False).to(memory_format=torch.channels_last)
        self._mean, self._sd = normalisation(weights)
        self._gsd_m = gsd_m
        self.report = report

    def fit(
        self,
        checked: Sequence[Window],
        elsewhere: Sequence[Window],
        folds: Sequence[NDArray[np.int64]] | None = None,
        without: int = -1,
    ) -> Tensors:
        """Numbers of the network learnt from checked windows.

        Args:
            checked: windows whose known ground is right.
            elsewhere: windows where the old answers are held.
            folds: (H, W) fold of each pixel of each checked window.
            without: fold that is not learnt from.
        """
        known = [w.known if folds is None else w.known & (folds[i] != without) for i, w in enumerate(checked)]
        crops = [crop for w, here in zip(checked, known, strict=True) for crop in self._crops(w, here)]
        others = [crop for w in elsewhere for crop in self._crops(w, None)]
        with _steady():
            network = copy.deepcopy(self._start)
            if crops:
                self._descend(network, crops, others)
            return {name: p.detach().contiguous().numpy().copy() for name, p in network.named_parameters()}

    def answers(self, window: Window, tensors: Tensors) -> NDArray[np.uint8]:
        """Heads (5, H, W) of a window as stored, by a network that was fitted."""
        height, width = window.known.shape
        with _steady(), torch.no_grad():
            network = copy.deepcopy(self._start)
            network.load_state_dict({name: torch.from_numpy(v) for name, v in tensors.items()}, strict=False)
            seen = to_probabilities(network(self._image(window.values[None])))[0].numpy()
        inner = seen[(slice(None), *window.margins.inside(seen.shape[1:]))][:, :height, :width]
        heads = (TOP * inner + 0.5).astype(np.uint8)
        heads[:, window.heads[FOOTPRINT] == NO_DATA] = NO_DATA
        return heads

    def _descend(self, network: Any, crops: Sequence[_Crop], others: Sequence[_Crop]) -> None:
        """Fit a network in place."""
        rng = np.random.default_rng(0)
        network.eval()  # batch norms use their running means
        encoder = [*network.encoder.model.blocks[FROZEN:].parameters()]
        decoder = [*network.decoder.parameters(), *network.segmentation_head.parameters()]
        rates = ENCODER_RATE, DECODER_RATE
        groups = [{"params": params, "lr": rate} for params, rate in zip((encoder, decoder), rates, strict=True)]
        for parameter in (*encoder, *decoder):
            parameter.requires_grad_(True)
        optimiser = torch.optim.AdamW(groups, weight_decay=0)
        for step in range(STEPS):
            for group, rate in zip(optimiser.param_groups, rates, strict=True):
                group["lr"] = rate * min(1, (step + 1) / WARM_UP) * (1 + math.cos(math.pi * step / STEPS)) / 2
            picked = [crops[i] for i in rng.integers(len(crops), size=CHECKED)]
            if others:
                picked += [others[i] for i in rng.integers(len(others), size=ELSEWHERE)]
            turned = [_turned(crop, rng) for crop in picked]
            values, *known = (np.stack(part) for part in zip(*turned, strict=True))
            image, (truth, old) = self._image(values), map(torch.from_numpy, known)
            totals = truth[:, 2].sum(), truth[:, 3].sum(), old[:, FOOTPRINT].sum()
            optimiser.zero_grad()
            for part in (slice(i, i + AT_ONCE) for i in range(0, len(image), AT_ONCE)):
                logits = network(image[part])[:, :, RIM_PX:-RIM_PX, RIM_PX:-RIM_PX]
                _loss(logits, old[part], truth[part], totals).backward()
            nn.utils.clip_grad_norm_((*encoder, *decoder), CLIP)
            optimiser.step()
            self.report()

    def _image(self, values: NDArray) -> Tensor:
        scaled = ((values - self._mean) / self._sd).astype(np.float32)
        return torch.from_numpy(scaled).to(memory_format=torch.channels_last)

    def _crops(self, window: Window, known: NDArray[np.bool_] | None) -> Iterator[_Crop]:
        """Crops that cover the known ground of a window; without any, the known ground is held to the old answers."""
        where = window.known if known is None else known
        if not where.any():
            return
        seen = window.heads[FOOTPRINT] != NO_DATA
        held = seen & (window.known if known is None else ~known)
        none = np.zeros_like(seen)
        built = (window.instances > 0) if known is not None else none
        edges = boundaries(window.instances, self._gsd_m) if known is not None else none
        weight = gap_weights(built.astype(np.uint8), self._gsd_m, GAP_M, GAP_WEIGHT)
        truth = np.stack([built, edges, none if known is None else known, held, weight]).astype(np.float32)
        old = np.where(seen, window.heads / np.float32(TOP), 0)
        reach = SIDE_PX // 2 + RIM_PX
        for row, col in ((r, c) for r in _centres(np.any(where, axis=1)) for c in _centres(np.any(where, axis=0))):
            inner = (row - SIDE_PX // 2, col - SIDE_PX // 2, SIDE_PX)
            known_here = _cut(truth, *inner)
            if known is None or known_here[2].any():
                outer = (row + window.margins.top - reach, col + window.margins.left - reach, 2 * reach)
                yield _Crop(_cut(window.values, *outer, repeat=True), known_here, _cut(old, *inner))


def _centres(present: NDArray[np.bool_]) -> list[int]:
    """Centres of crops side by side that cover what is present along one axis."""
    where = np.flatnonzero(present)
    first, last = int(where[0]), int(where[-1]) + 1
    count = -(-(last - first) // SIDE_PX)
    return [round(first + (last - first) * (i + 0.5) / count) for i in range(count)]


def _cut(raster: NDArray, row0: int, col0: int, side: int, *, repeat: bool = False) -> NDArray[np.float32]:
    """A square of a raster (C, H, W); beyond its edge the edge repeated, or zeros."""
    rows, cols = row0 + np.arange(side), col0 + np.arange(side)
    height, width = raster.shape[1:]
    cut = raster[:, np.clip(rows, 0, height - 1)][:, :, np.clip(cols, 0, width - 1)].astype(np.float32)
    if not repeat:
        cut *= ((rows >= 0) & (rows < height))[:, None] & ((cols >= 0) & (cols < width))
    return cut


def _turned(crop: _Crop, rng: np.random.Generator) -> tuple[NDArray, NDArray[np.float32], NDArray[np.float32]]:
    """Values, truth and old answers of a crop, turned or mirrored; the values with other brightness and colours."""
    turn = int(rng.integers(8))
    values, truth, old = (_dihedral(a, turn) for a in (crop.values, crop.truth, crop.old))
    gain = 1 + rng.uniform(-JITTER, JITTER, (3, 1, 1)) / 2 + rng.uniform(-JITTER, JITTER)
    return np.clip(values * gain + rng.uniform(-JITTER, JITTER) / 2, 0, 1), truth, old


def _dihedral(raster: NDArray, turn: int) -> NDArray:
    turned = np.rot90(raster, turn % 4, (-2, -1))
    return np.ascontiguousarray(turned[..., ::-1] if turn >= 4 else turned)


def _loss(logits: Tensor, old: Tensor, truth: Tensor, totals: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """What some crops add to the loss of a step.

    Args:
        logits: (N, 5, H, W).
        old: (N, 5, H, W) old probabilities.
        truth: (N, 5, H, W) as ``_Crop`` has it.
        totals: over all crops of the step: checked pixels, held pixels, and the sum of the old footprints.
    """
    built, edges, known, held, weight = truth.unbind(1)
    all_known, all_held, all_built = (total.clamp_min(1) for total in totals)
    share = known.sum() / all_known
    loss = share * binary_loss(logits[:, FOOTPRINT], built, known, weight)
    loss = loss + share * BOUNDARY_SHARE * binary_loss(logits[:, BOUNDARY], edges, known, 1 + (BOUNDARY_WEIGHT - 1) * edges)
    for head in (FOOTPRINT, BOUNDARY):
        entropy = binary_cross_entropy_with_logits(logits[:, head], old[:, head], reduction="none")
        loss = loss + (entropy * held).sum() / all_held
    stages = -(old[:, STAGE_HEADS] * logits[:, STAGE_HEADS].log_softmax(1)).sum(1)
    return loss + STAGE_SHARE * (stages * old[:, FOOTPRINT]).sum() / all_built


@contextmanager
def _steady() -> Iterator[None]:
    """The same numbers on any run: a fixed number of threads, and algorithms without chance."""
    threads, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(THREADS)
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(strict)
