"""Work in processes of their own, where Python's lock would keep threads waiting for each other.

The standard library's pools import the user's script again in each process, so that a script without a guard would start itself over
and over. The processes here know nothing of it. One that dies is not replaced: what it was given is done by the caller. They end with
the caller, even if that is killed: their input ends then.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any, TypeVar

from detect.base.memory import collect_less

_Task = TypeVar("_Task")
_Answer = TypeVar("_Answer")
Work = Callable[[_Task], _Answer]
Opened = Callable[..., AbstractContextManager[Work[_Task, _Answer]]]
"""A function of a module, which opens what all tasks of a process need, and yields what does one of them."""
_CHILD = "from detect.base.processes import serve; serve()"


class _Child:
    """A process, from the side of the caller; for one thread."""

    def __init__(self, opened: Opened[Any, Any], arguments: tuple[Any, ...]) -> None:
        # The same modules are found as here; in a session of its own, it is not interrupted on the keyboard before its caller is.
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", _CHILD],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            start_new_session=True,
        )
        self._send((opened, arguments))

    def _send(self, content: Any) -> None:
        assert self._process.stdin is not None
        pickle.dump(content, self._process.stdin)
        self._process.stdin.flush()

    def ask(self, task: Any) -> Any:
        """The answer to a task.

        Raises:
            OSError, EOFError, pickle.UnpicklingError: the process has died.
        """
        assert self._process.stdout is not None
        self._send(task)
        return pickle.load(self._process.stdout)

    def end(self, *, at_once: bool) -> None:
        """End the process: when it has cleaned up, or whatever it does."""
        if at_once:
            self._process.kill()
        self._process.communicate()


def in_processes(
    tasks: Sequence[_Task], count: int, opened: Opened[_Task, _Answer], arguments: tuple[Any, ...], instead: Work[_Task, _Answer]
) -> Generator[_Answer]:
    """The answers to tasks, in their order.

    Args:
        tasks: to do; they and their answers are pickled.
        count: number of processes.
        opened: see ``Opened``; called in each process.
        arguments: its arguments.
        instead: does a task here whose process has died.
    """
    own, here, children, stopped = threading.local(), threading.Lock(), list[_Child](), threading.Event()

    def done(task: _Task) -> _Answer:
        try:
            if not hasattr(own, "child"):
                own.child = _Child(opened, arguments)
                children.append(own.child)
            answer: _Answer = own.child.ask(task)
        except (OSError, EOFError, pickle.UnpicklingError) as cause:
            with here:
                if stopped.is_set():
                    raise CancelledError from cause
                return instead(task)
        return answer

    threads = ThreadPoolExecutor(min(count, len(tasks)))
    try:
        for one in [threads.submit(done, task) for task in tasks]:
            yield one.result()
    except BaseException:
        stopped.set()
        raise
    finally:
        for child in children:
            child.end(at_once=stopped.is_set())
        threads.shutdown(cancel_futures=True)


def serve() -> None:
    """Do tasks from standard input until it ends; the answers go to standard output, and what the work prints to standard error."""
    collect_less()
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    tasks = sys.stdin.buffer
    opened, arguments = pickle.load(tasks)
    with opened(*arguments) as work:
        while True:
            try:
                task = pickle.load(tasks)
            except EOFError:
                return
            try:
                pickle.dump(work(task), answers)
                answers.flush()
            except BrokenPipeError:  # the caller was killed; what is left in the buffer goes nowhere
                os.dup2(os.open(os.devnull, os.O_WRONLY), answers.fileno())
                return
