"""What all verbs share: how one is described, the exit codes, JSON on stdout."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

EXIT_DONE, EXIT_FAILED, EXIT_WRONG_INPUT, EXIT_INTERRUPTED = 0, 1, 2, 130


class Verb(NamedTuple):
    """A verb of the command line. Its function imports what it needs itself, so that ``detect --help`` answers at once."""

    run: Callable[[argparse.Namespace], int]
    """Returns the exit code."""
    help: str
    add_options: Callable[[argparse.ArgumentParser], None]


def print_json(content: Any) -> None:
    """Content as JSON on stdout."""
    plain = not (getattr(sys.stdout, "encoding", None) or "utf-8").lower().startswith("utf")
    print(json.dumps(content, indent=2, ensure_ascii=plain))


def quiet_option(parser: argparse.ArgumentParser) -> None:
    """``-q``."""
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress")
