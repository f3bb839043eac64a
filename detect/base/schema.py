"""JSON against dataclasses: what a file holds, checked once, with errors that name the key, what stands there and what is wanted."""

from __future__ import annotations

import json
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

_PLAIN = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}


class SchemaError(ValueError):
    """JSON that does not fit; the message names the key."""


def read(kind: Any, value: Any, key: str = "") -> Any:
    """A value as its type says.

    Args:
        kind: a dataclass, ``str``, ``int``, ``float``, ``bool``, ``Any``, a ``Literal``, a list or dict of these, or one of them or None.
        value: from a JSON file. Of an object, keys that the dataclass lacks are ignored; where the file lacks one, the default stands.
        key: under which the value stands, such as ``run.key``; for errors.

    Raises:
        SchemaError: a key is missing or holds something else.
    """
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is Any:
        return value
    if origin in (Union, UnionType):
        (some,) = (a for a in arguments if a is not NoneType)
        return None if value is None else read(some, value, key)
    if origin is Literal:
        return _checked(value, value in arguments, key, f"one of {', '.join(map(str, arguments))}")
    if origin is list:
        return [
            read(arguments[0], v, f"{key}[{i}]") for i, v in enumerate(_checked(value, isinstance(value, list), key, "a list"))
        ]
    if is_dataclass(kind) or origin is dict:
        content = _checked(value, isinstance(value, dict), key, "an object")
        if origin is dict:
            return {name: read(arguments[1], v, _below(key, name)) for name, v in content.items()}
        return _read_dataclass(kind, content, key)
    fits = isinstance(value, (int, float) if kind is float else kind) and (kind is bool or not isinstance(value, bool))
    return _checked(value, fits, key, _PLAIN[kind])


def _read_dataclass(kind: Any, content: dict[str, Any], key: str) -> Any:
    given = {}
    for field in fields(kind):
        if field.name in content:
            given[field.name] = read(_hints(kind)[field.name], content[field.name], _below(key, field.name))
        elif field.default is MISSING and field.default_factory is MISSING:
            raise SchemaError(f"it lacks '{_below(key, field.name)}'")
    return kind(**given)


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _below(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name


def _checked(value: Any, fits: bool, key: str, wanted: str) -> Any:
    if not fits:
        text = json.dumps(value, ensure_ascii=False)
        raise SchemaError(f"'{key}' is {text if len(text) <= 60 else text[:57] + '…'}; it must be {wanted}")
    return value
