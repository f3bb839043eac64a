"""A run that is given minutes instead of samples: its length follows from the speed of the device that it finds."""

from __future__ import annotations

import time
from typing import Any

import lightning

from detect.training.config import TrainConfig

FIRST_MEASURED, LAST_MEASURED = 10, 40
"""Optimizer steps between which the speed is measured; those before warm up memory, compilers and loader processes."""
SPARED = 0.03
"""Share of the budget kept for checkpoints and for steps slower than those measured."""


class TimeBudget(lightning.Callback):
    """Fixes the number of steps once the speed is known, and stops a run that takes longer all the same.

    The number fixed is part of the checkpoint, so that a run that is interrupted afterwards ends as if it had not been. The same number in
    ``data.samples`` repeats the run without a budget, but for the warm-up.
    """

    def __init__(self, config: TrainConfig) -> None:
        """``config.minutes`` is the budget; it covers the steps, not reading the chips before and scoring after them."""
        self._config = config
        self.steps: int | None = None
        """Of the whole run; None before it is fixed."""
        self._spent_s = 0.0
        self._began = self._measured_from = time.monotonic()

    def on_train_start(self, trainer: lightning.Trainer, _task: lightning.LightningModule) -> None:
        """The clock starts; a run that goes on has spent what its checkpoint says."""
        self._began = self._measured_from = time.monotonic()
        if self.steps is not None:
            trainer.fit_loop.epoch_loop.max_steps = self.steps

    def on_train_batch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        """Measure, then fix the steps; stop when the time is over."""
        step, now = trainer.global_step, time.monotonic()
        left_s = self._config.minutes * 60 - self._spent_s - (now - self._began)
        if step == FIRST_MEASURED:
            self._measured_from = now
        elif step == LAST_MEASURED and self.steps is None:
            step_s = (now - self._measured_from) / (LAST_MEASURED - FIRST_MEASURED)
            self.steps = min(self._config.steps, planned_steps(step, left_s, step_s))
            trainer.fit_loop.epoch_loop.max_steps = self.steps
        if left_s <= 0:
            trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        """For the checkpoint."""
        return {"steps": self.steps, "spent_s": self._spent_s + time.monotonic() - self._began}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """From a checkpoint."""
        self.steps, self._spent_s = state_dict["steps"], state_dict["spent_s"]


def planned_steps(done: int, left_s: float, step_s: float) -> int:
    """Steps of the whole run, of which ``done`` are over, when ``left_s`` seconds are left and a step takes ``step_s``."""
    return done + max(1, int(left_s * (1 - SPARED) / step_s))
