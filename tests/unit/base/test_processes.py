"""Work in processes of their own: order, death, prints, an end before the end."""

from __future__ import annotations

import math
import os
import time
from contextlib import nullcontext
from typing import Any

from detect.base.processes import in_processes


def refused(task: object) -> Any:
    raise AssertionError(f"{task} was done here")


def test_answers_come_in_the_order_of_the_tasks() -> None:
    tasks = [4.0, 9.0, 16.0, 25.0]
    assert list(in_processes(tasks, 2, nullcontext, (math.sqrt,), refused)) == [2.0, 3.0, 4.0, 5.0]


def test_what_a_dead_process_was_given_is_done_here() -> None:
    assert list(in_processes([1, 2], 1, nullcontext, (os._exit,), str)) == ["1", "2"]


def test_what_the_work_prints_is_no_answer(capfd: Any) -> None:
    assert list(in_processes(["words"], 1, nullcontext, (print,), refused)) == [None]
    assert "words" in capfd.readouterr().err


def test_a_caller_that_stops_waits_for_nothing() -> None:
    answers = in_processes([0, 10_000, 10_000], 2, nullcontext, (time.sleep,), refused)
    assert next(answers) is None
    answers.close()
