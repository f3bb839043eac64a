"""Define options once: the fields of a dataclass give the command line, the Python signature, the defaults and the help.

Each field names its own flag, ``gsd_m: float | None = field(default=None, metadata=flag("--gsd", "ground size …", "METRES",
positive))``, and ``takes`` gives a function with ``**options`` their signature.
"""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import Any, Self, TypeVar

from detect.base.errors import InputError

_Function = TypeVar("_Function", bound=Callable[..., Any])


def _as_given(value: Any) -> Any:
    return value


@dataclass(frozen=True)
class Flag:
    """How an option, or a part of one, is written on the command line."""

    name: str
    """Such as ``--min-area``."""
    help: str
    metavar: str | None = None
    """Placeholder of the value in the help; None: a switch without a value."""
    read: Callable[[Any], Any] = _as_given
    """Turns a command-line argument or a Python value into the checked value; raises InputError."""
    several: bool = False
    """Several values may follow the flag; ``read`` gets their list, or one Python value."""

    @property
    def dest(self) -> str:
        """Where argparse puts the value."""
        return self.name.lstrip("-").replace("-", "_")


def flag(
    name: str, help: str, metavar: str | None = None, read: Callable[[Any], Any] = _as_given, *, several: bool = False
) -> dict[str, Any]:
    """Metadata of a field that is one flag; the arguments are those of ``Flag``."""
    return flags(Flag(name, help, metavar, read, several), doc=help)


def flags(*parts: Flag, doc: str) -> dict[str, Any]:
    """Metadata of a field.

    Args:
        parts: flags; several for a field that is a tuple of their values, none for one that the command line does not have.
        doc: help in Python.
    """
    return {"flags": parts, "doc": doc}


@dataclass(frozen=True)
class Options:
    """The base of all options; values are checked when an object is made."""

    def __post_init__(self) -> None:
        """Check each value.

        Raises:
            InputError: a value that the flag refuses, in one line with both spellings of the option.
        """
        for one in fields(self):
            flags, value = one.metadata["flags"], getattr(self, one.name)
            if not flags or value == one.default:
                continue
            parts = value if len(flags) > 1 else (value,)
            read = tuple(_read(one.name, flag, part) for flag, part in zip(flags, parts, strict=True))
            object.__setattr__(self, one.name, read if len(flags) > 1 else read[0])

    @classmethod
    def from_keywords(cls, **given: Any) -> Self:
        """Options from keyword arguments.

        Raises:
            TypeError: an unknown option; the message lists the known ones.
            InputError: a wrong value.
        """
        known = [one.name for one in fields(cls)]
        for name in given:
            if name not in known:
                raise TypeError(f"there is no option '{name}'; the options are {', '.join(known)}")
        return cls(**given)

    @classmethod
    def flags(cls) -> Iterator[tuple[Flag, Any]]:
        """Every flag of the command line, in order, with its default."""
        for one in fields(cls):
            flags = one.metadata["flags"]
            defaults: Any = one.default if len(flags) > 1 else [one.default] * len(flags)
            yield from zip(flags, defaults, strict=True)

    @classmethod
    def from_flags(cls, value: Callable[[Flag], Any], **given: Any) -> Self:
        """Options from the command line: ``value`` gives the value of a flag, ``given`` the options without a flag."""
        for one in fields(cls):
            parts = tuple(value(flag) for flag in one.metadata["flags"])
            if parts:
                given[one.name] = parts if len(parts) > 1 else parts[0]
        return cls(**given)


def _read(name: str, flag: Flag, value: Any) -> Any:
    if value is None:
        return None
    try:
        return flag.read(value)
    except (InputError, TypeError, ValueError) as cause:
        raise InputError(f"{flag.name} ({name}): {cause}") from cause


def takes(options: type[Options]) -> Callable[[_Function], _Function]:
    """Give a function that takes ``**options`` the signature and the documentation of a dataclass of options."""

    def document(function: _Function) -> _Function:
        plain = inspect.signature(function)
        positional = [p for p in plain.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
        keywords = [
            inspect.Parameter(one.name, inspect.Parameter.KEYWORD_ONLY, default=one.default, annotation=one.type)
            for one in fields(options)
        ]
        lines = [f"{one.name}: {one.metadata['doc']}." for one in fields(options)]
        function.__signature__ = plain.replace(parameters=[*positional, *keywords])  # type: ignore[attr-defined]
        function.__doc__ = inspect.cleandoc(function.__doc__ or "") + "\n\nOptions:\n" + textwrap.indent("\n".join(lines), "    ")
        return function

    return document
