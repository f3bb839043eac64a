"""Options of a dataclass, and single values, as argparse wants them."""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable
from typing import Any, TypeVar

from detect.base.errors import InputError
from detect.base.options import Options

_Options = TypeVar("_Options", bound=Options)


def argument(read: Callable[[Any], Any]) -> Callable[[str], Any]:
    """A function of ``detect.base.checks`` as the ``type`` of an argument: argparse shows the text of this error alone."""

    @functools.wraps(read, updated=())
    def typed(text: str) -> Any:
        try:
            return read(text)
        except InputError as cause:
            raise argparse.ArgumentTypeError(str(cause)) from cause

    return typed


def add_options(parser: argparse.ArgumentParser, options: type[Options]) -> None:
    """An argument for each flag of the options."""
    for flag, default in options.flags():
        if flag.metavar is None:
            parser.add_argument(flag.name, action="store_true", help=flag.help)
        else:
            how: dict[str, Any] = {"nargs": "+"} if flag.several else {"type": argument(flag.read)}
            parser.add_argument(flag.name, default=default, metavar=flag.metavar, help=flag.help, **how)


def options_from(arguments: argparse.Namespace, options: type[_Options], **given: Any) -> _Options:
    """The options that a command line holds; ``given`` are those without a flag.

    Raises:
        InputError: options that contradict each other.
    """
    return options.from_flags(lambda flag: getattr(arguments, flag.dest), **given)
