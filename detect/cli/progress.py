"""Progress on stderr."""

from __future__ import annotations

import time
from typing import Any, TextIO

SECONDS_BETWEEN_LINES = 10.0


class Progress:
    """Shows progress: a bar per stage on a terminal, plain lines elsewhere, nothing when quiet."""

    def __init__(self, stream: TextIO, *, quiet: bool = False) -> None:
        self._stream = stream
        self._quiet = quiet
        self._bar: Any = None
        self._stage = ""
        self._last_line_s = 0.0

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self._close_bar()

    def __call__(self, stage: str, done: int, total: int) -> None:
        """``done`` of ``total`` steps of ``stage`` are done."""
        if self._quiet:
            return
        if self._stream.isatty():
            self._move_bar(stage, done, total)
        else:
            self._print_line(stage, done, total)
        self._stage = stage

    def _move_bar(self, stage: str, done: int, total: int) -> None:
        from tqdm import tqdm

        if self._bar is None or stage != self._stage:
            self._close_bar()
            self._bar = tqdm(total=total, desc=stage, file=self._stream, leave=True, dynamic_ncols=True)
        self._bar.total = total
        self._bar.update(done - self._bar.n)

    def _close_bar(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _print_line(self, stage: str, done: int, total: int) -> None:
        now_s = time.monotonic()
        if stage != self._stage or done >= total or now_s - self._last_line_s >= SECONDS_BETWEEN_LINES:
            print(f"{stage}: {done}/{total}", file=self._stream, flush=True)
            self._last_line_s = now_s
