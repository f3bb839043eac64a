"""Samples that only the host can draw (rows painted on chips, drawn ground), kept on the device and used many times."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from detect.training.data import TrainingSamples, one_thread
from detect.training.device.pixels import ResidentPixels, packed

FIRST, PER_STEP = 32, 4
"""Samples that the first step may use, and by how many more each further step. So a step knows its bank, however fast the host draws."""
_STREAM = 1
"""Sets the seeds of the bank apart from those of other samples."""


class PaintedSamples(Dataset):
    """The samples of a bank; each is drawn by a generator seeded with (seed, its number)."""

    def __init__(self, samples: TrainingSamples, count: int) -> None:
        """``samples`` draws them; all show painted rows, drawn ground or both, as often as its recipe says."""
        self._samples, self._count = samples, count

    def __len__(self) -> int:
        """Number of samples."""
        return self._count

    def __getitem__(self, number: int) -> tuple[tuple[Tensor, Tensor, Tensor], float]:
        """The parts that ``ResidentPixels.write`` takes, and the ground size of a pixel, metres."""
        data = self._samples.config.data
        rng = np.random.default_rng([self._samples.config.seed, _STREAM, number])
        ground = rng.random() < data.drawn / (1 - (1 - data.drawn) * (1 - data.simulated))
        sample = self._samples.draw(rng, drawn=1.0 if ground else 0.0, simulated=data.simulated if ground else 1.0)
        return packed(sample.chip, sample.exact, sample.separated), sample.gsd_m


class Bank:
    """Fills the rows of the bank in a thread while training goes on."""

    def __init__(self, painted: PaintedSamples, pixels: ResidentPixels, workers: int) -> None:
        """Begin to draw; with ``workers`` processes, or in the thread itself with 0."""
        self._pixels, self._size = pixels, len(painted)
        self._gsd_m: list[float] = []
        self._more = threading.Condition()
        self._stopped = False
        self._failure: Exception | None = None
        if not self._size:
            return
        # The processes start here, not in the thread: they are copies of this process with one thread.
        drawn = iter(DataLoader(painted, batch_size=None, num_workers=workers, collate_fn=_as_it_is, worker_init_fn=one_thread))
        self._thread = threading.Thread(target=self._fill, args=(drawn,), name="bank of painted samples", daemon=True)
        self._thread.start()

    def gsd_m(self, step: int) -> NDArray[np.float64]:
        """Ground size of the pixels of each sample that a step may use; waits until they are drawn."""
        wanted = min(self._size, FIRST + PER_STEP * step)
        with self._more:
            self._more.wait_for(lambda: len(self._gsd_m) >= wanted or self._failure is not None or self._stopped)
            if self._failure is not None:
                raise self._failure
            return np.array(self._gsd_m[:wanted])

    def stop(self) -> None:
        """End the thread; the bank draws no more."""
        with self._more:
            self._stopped = True
            self._more.notify_all()
        if self._size:
            self._thread.join()

    def _fill(self, drawn: Iterator[Any]) -> None:
        try:
            for number, (parts, gsd_m) in enumerate(drawn):
                if self._stopped:
                    return
                self._pixels.write(self._pixels.chips + number, *parts)
                with self._more:
                    self._gsd_m.append(gsd_m)
                    self._more.notify_all()
        except Exception as failure:  # raised again where the samples are used
            with self._more:
                self._failure = failure
                self._more.notify_all()


def _as_it_is(sample: Any) -> Any:
    return sample
