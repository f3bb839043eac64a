"""JSON against dataclasses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import pytest

from detect.base.schema import SchemaError, read


@dataclass(frozen=True)
class Inner:
    size: int
    share: float = 0.5


@dataclass(frozen=True)
class Outer:
    name: str
    kind: Literal["one", "two"]
    inner: Inner | None
    all: list[Inner]
    by_name: dict[str, Inner]
    whole: bool
    more: Any = None


GOOD = {
    "name": "n", "kind": "one", "inner": {"size": 1, "share": 2}, "all": [{"size": 3}], "by_name": {"a": {"size": 4}}, "whole": True,
    "unknown": 1,
}  # fmt: skip


def test_a_value_is_read_as_its_type_says() -> None:
    assert read(Outer, GOOD) == Outer("n", "one", Inner(1, 2), [Inner(3)], {"a": Inner(4)}, True)
    assert read(Outer, GOOD | {"inner": None}).inner is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": 1}, "'name' is 1; it must be a text"),
        ({"kind": "three"}, "'kind' is \"three\"; it must be one of one, two"),
        ({"inner": {}}, "it lacks 'inner.size'"),
        ({"inner": {"size": True}}, "'inner.size' is true; it must be a whole number"),
        ({"inner": {"size": 1.5}}, "'inner.size' is 1.5; it must be a whole number"),
        ({"all": {}}, "'all' is {}; it must be a list"),
        ({"all": [{"size": 1}, {"size": "x"}]}, "'all[1].size' is \"x\"; it must be a whole number"),
        ({"by_name": {"a": None}}, "'by_name.a' is null; it must be an object"),
        ({"whole": 1}, "'whole' is 1; it must be true or false"),
    ],
)
def test_errors_name_the_key_what_stands_there_and_what_is_wanted(change: dict[str, Any], message: str) -> None:
    with pytest.raises(SchemaError) as error:
        read(Outer, GOOD | change)
    assert str(error.value) == message
