"""A run that is given minutes: how its steps are fixed, kept and cut."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from detect.training import budget
from detect.training.budget import FIRST_MEASURED, LAST_MEASURED, SPARED, TimeBudget
from detect.training.config import DataConfig, TrainConfig
from detect.training.task import rate_factor

MINUTES = 10


class Clock:
    """A clock that the test moves."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(budget, "time", clock)
    return clock


def recipe(samples: int) -> TrainConfig:
    return TrainConfig("x", "out", minutes=MINUTES, data=DataConfig(batch=10, samples=samples))


def run(callback: TimeBudget, clock: Clock, step_s: float, *, first: int = 0, until: int = 10**6) -> Any:
    """Steps of ``step_s`` seconds until the callback ends the run or ``until``; the trainer as it was left."""
    trainer: Any = SimpleNamespace(
        global_step=first, should_stop=False, fit_loop=SimpleNamespace(epoch_loop=SimpleNamespace(max_steps=10**6))
    )
    callback.on_train_start(trainer, None)  # type: ignore[arg-type]
    while trainer.global_step < min(until, trainer.fit_loop.epoch_loop.max_steps) and not trainer.should_stop:
        clock.now += step_s
        trainer.global_step += 1
        callback.on_train_batch_end(trainer)
    return trainer


def test_the_steps_follow_from_the_speed_and_fill_the_budget(clock: Clock) -> None:
    callback = TimeBudget(recipe(samples=10**7))
    trainer = run(callback, clock, step_s=0.5)
    left_s = MINUTES * 60 - LAST_MEASURED * 0.5
    assert callback.steps == trainer.global_step == LAST_MEASURED + int(left_s * (1 - SPARED) / 0.5)
    assert 0.95 * MINUTES * 60 < clock.now <= MINUTES * 60


def test_the_samples_of_the_recipe_are_the_most(clock: Clock) -> None:
    callback = TimeBudget(recipe(samples=1000))
    assert run(callback, clock, step_s=0.5).global_step == callback.steps == 100


def test_a_run_that_becomes_slower_stops_when_the_time_is_over(clock: Clock) -> None:
    callback = TimeBudget(recipe(samples=10**7))
    run(callback, clock, step_s=0.5, until=LAST_MEASURED)
    trainer = run(callback, clock, step_s=5.0, first=LAST_MEASURED)
    assert trainer.should_stop
    assert trainer.global_step < (callback.steps or 0)


def test_an_interrupted_run_keeps_its_steps_and_its_clock(clock: Clock) -> None:
    whole = TimeBudget(recipe(samples=10**7))
    run(whole, clock, step_s=0.5, until=200)
    state = whole.state_dict()
    assert state == {"steps": whole.steps, "spent_s": pytest.approx(100)}
    clock.now += 10**6  # the machine was off
    again = TimeBudget(recipe(samples=10**7))
    again.load_state_dict(state)
    began = clock.now
    trainer = run(again, clock, step_s=0.4, first=200)
    assert trainer.global_step == again.steps == whole.steps, "a faster machine changes nothing"
    assert clock.now - began < MINUTES * 60 - 100


def test_the_rate_rises_while_the_speed_is_measured_and_falls_to_the_fixed_end() -> None:
    config = recipe(samples=10**7)
    callback = TimeBudget(config)
    rising = [rate_factor(config, step, callback) for step in range(LAST_MEASURED)]
    assert rising == pytest.approx([(step + 1) / LAST_MEASURED for step in range(LAST_MEASURED)])
    callback.steps = 500
    assert rate_factor(config, LAST_MEASURED, callback) == 1
    assert rate_factor(config, 499, callback) < 0.01 < rate_factor(config, 400, callback)
    assert FIRST_MEASURED < LAST_MEASURED
