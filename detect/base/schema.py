"""Check JSON and YAML content against dataclasses. Errors name the key, its value and what was expected."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

_PLAIN = {str: "text", int: "a whole number", float: "a number", bool: "true or false", list: "a list"}


class SchemaError(ValueError):
    """Content that does not fit; the message names the key."""


@dataclass(frozen=True)
class Must:
    """A condition on a value beyond its type, as in ``Annotated[float, Must("a number above 0", lambda number: number > 0)]``."""

    description: str
    """Completes "it must be …" in error messages."""
    is_valid: Callable[[Any], bool]
    """Called with values of the right type only."""


def read(kind: Any, value: Any, key: str = "", *, strict: bool = False) -> Any:
    """Check a value against a type and return it as that type.

    Args:
        kind: a dataclass, ``str``, ``int``, ``float``, ``bool``, ``Any``, a ``Literal``, a list, tuple or dict of these, one of them or
            None, or one of them annotated with ``Must``.
        value: content of a JSON or YAML file. If it lacks a key of a dataclass, the field keeps its default.
        key: path of the value in the file, such as ``run.key``, for error messages; empty for the whole file.
        strict: refuse keys that the dataclass lacks, for files that people write; otherwise such keys are ignored.

    Raises:
        SchemaError: a key is missing or unknown, or its value is not what the type requires.
    """
    return _read(kind, value, key, strict)


def _read(kind: Any, value: Any, key: str, strict: bool, wanted: str | None = None) -> Any:
    origin, arguments = get_origin(kind), get_args(kind)
    wanted = wanted or _wanted(kind)
    if kind is Any:
        return value
    if origin is Annotated:
        found = _read(arguments[0], value, key, strict, wanted)
        return found if arguments[1].is_valid(found) else _refuse(value, key, wanted)
    if origin in (Union, UnionType):
        (some,) = (a for a in arguments if a is not NoneType)
        return None if value is None else _read(some, value, key, strict, wanted)
    if origin is Literal:
        return value if value in arguments else _refuse(value, key, wanted)
    if origin in (list, tuple):
        return origin(_read_each(arguments, value, key, strict, wanted))
    if origin is dict or is_dataclass(kind):
        if not isinstance(value, dict):
            _refuse(value, key, wanted)
        if origin is dict:
            return {name: _read(arguments[1], v, _below(key, name), strict) for name, v in value.items()}
        return _read_dataclass(kind, value, key, strict)
    return _read_plain(kind, value, key, wanted)


def _read_each(kinds: tuple[Any, ...], value: Any, key: str, strict: bool, wanted: str) -> list[Any]:
    """The items of a list; ``kinds`` is one kind for all of them, or the kind of each."""
    if not isinstance(value, list):
        _refuse(value, key, wanted)
    if len(kinds) == 1 or kinds[-1] is ...:
        kinds = kinds[:1] * len(value)
    if len(kinds) != len(value):
        _refuse(value, key, wanted)
    return [_read(kind, v, f"{key}[{i}]", strict) for i, (kind, v) in enumerate(zip(kinds, value, strict=True))]


def _read_dataclass(kind: Any, content: dict[str, Any], key: str, strict: bool) -> Any:
    known, given = {field.name: field for field in fields(kind) if field.init}, {}
    if strict and (unknown := [name for name in content if name not in known]):
        raise SchemaError(f"unknown key '{_below(key, unknown[0])}'; known are {', '.join(known)}")
    for name, field in known.items():
        hint = _hints(kind)[name]
        if name in content:
            given[name] = _read(hint, content[name], _below(key, name), strict)
        elif field.default is MISSING and field.default_factory is MISSING:
            raise SchemaError(f"'{_below(key, name)}' is missing; it must be {_wanted(hint)}")
    try:
        return kind(**given)
    except ValueError as cause:
        name = f"'{key}'" if key else "the content"
        raise SchemaError(f"{name} is not valid: {cause}") from cause


def _read_plain(kind: Any, value: Any, key: str, wanted: str) -> Any:
    if isinstance(value, bool) and kind is not bool:
        _refuse(value, key, wanted)
    if kind is float:
        finite = isinstance(value, int | float) and abs(value) <= sys.float_info.max
        return float(value) if finite else _refuse(value, key, wanted)
    if kind is int and isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, kind) else _refuse(value, key, wanted)


def _wanted(kind: Any) -> str:
    """What a value of this type must be, in words."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return str(arguments[1].description)
    if origin in (Union, UnionType):
        return _wanted(next(a for a in arguments if a is not NoneType))
    if origin is Literal:
        return f"one of {', '.join(map(str, arguments))}"
    if origin is tuple and arguments[-1] is not ...:
        return f"a list of {len(arguments)} {'numbers' if set(arguments) <= {int, float} else 'values'}"
    if origin in (list, tuple):
        return {str: "a list of strings", float: "a list of numbers", int: "a list of whole numbers"}.get(arguments[0], "a list")
    return _PLAIN.get(kind, "an object with keys")


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind, include_extras=True)


def _below(key: str, name: Any) -> str:
    return f"{key}.{name}" if key else str(name)


def _refuse(value: Any, key: str, wanted: str) -> Any:
    text = json.dumps(_beginning(value), ensure_ascii=False, default=str, skipkeys=True)
    found = text if len(text) <= 60 else text[:57] + "…"
    raise SchemaError(f"'{key}' is {found}; it must be {wanted}" if key else f"expected {wanted}, found {found}")


def _beginning(value: Any, depth: int = 3) -> Any:
    """The first parts of a value; a document of a few lines may stand for billions of them (YAML's aliases)."""
    if isinstance(value, dict):
        return {str(key)[:60]: _beginning(v, depth - 1) for key, v in list(value.items())[:4]} if depth else {}
    if isinstance(value, list | tuple):
        return [_beginning(v, depth - 1) for v in value[:8]] if depth else []
    if isinstance(value, int) and value.bit_length() > 14_000:
        return float("inf") if value > 0 else float("-inf")  # Python refuses to write more than 4,300 digits
    return value[:80] if isinstance(value, str) else value
