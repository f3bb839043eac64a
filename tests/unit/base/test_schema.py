"""JSON against dataclasses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import pytest

from detect.base.schema import Must, SchemaError, read


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
        ({"name": 1}, "'name' is 1; it must be text"),
        ({"kind": "three"}, "'kind' is \"three\"; it must be one of one, two"),
        ({"inner": {}}, "'inner.size' is missing; it must be a whole number"),
        ({"inner": {"size": True}}, "'inner.size' is true; it must be a whole number"),
        ({"inner": {"size": 1.5}}, "'inner.size' is 1.5; it must be a whole number"),
        ({"all": {}}, "'all' is {}; it must be a list"),
        ({"all": [{"size": 1}, {"size": "x"}]}, "'all[1].size' is \"x\"; it must be a whole number"),
        ({"by_name": {"a": None}}, "'by_name.a' is null; it must be an object with keys"),
        ({"whole": 1}, "'whole' is 1; it must be true or false"),
    ],
)
def test_errors_name_the_key_what_stands_there_and_what_is_wanted(change: dict[str, Any], message: str) -> None:
    with pytest.raises(SchemaError) as error:
        read(Outer, GOOD | change)
    assert str(error.value) == message


@dataclass(frozen=True)
class Limited:
    share: Annotated[float, Must("a number from 0 to 1", lambda number: 0 <= number <= 1)] = 0.5
    pair: tuple[float, float] = (0.0, 1.0)
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.pair == (1.0, 1.0):
            raise ValueError("both are 1")


def test_tuples_and_whole_numbers_take_the_form_of_their_type() -> None:
    limited = read(Limited, {"share": 1, "pair": [2, 3], "names": ["a", "b"]})
    assert limited == Limited(1.0, (2.0, 3.0), ("a", "b"))
    assert [type(n) for n in (limited.share, *limited.pair)] == [float] * 3
    assert (read(int, 2.0), type(read(int, 2.0))) == (2, int)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"share": 2}, "'in.share' is 2; it must be a number from 0 to 1"),
        ({"share": "half"}, "'in.share' is \"half\"; it must be a number from 0 to 1"),
        ({"share": float("nan")}, "'in.share' is NaN; it must be a number from 0 to 1"),
        ({"share": 10**400}, f"'in.share' is 1{'0' * 56}…; it must be a number from 0 to 1"),
        ({"pair": [1]}, "'in.pair' is [1]; it must be a list of 2 numbers"),
        ({"pair": [1, None]}, "'in.pair[1]' is null; it must be a number"),
        ({"pair": [1, 1]}, "'in' is not valid: both are 1"),
        ({"names": "a"}, "'in.names' is \"a\"; it must be a list of strings"),
    ],
)
def test_limits_are_named(content: dict[str, Any], message: str) -> None:
    with pytest.raises(SchemaError) as error:
        read(Limited, content, "in")
    assert str(error.value) == message


def test_the_whole_content_has_no_key_to_name() -> None:
    with pytest.raises(SchemaError, match=r"^the content is not valid: both are 1$"):
        read(Limited, {"pair": [1, 1]})
    with pytest.raises(SchemaError, match=r"^expected an object with keys, found null$"):
        read(Limited, None)


def test_strict_reading_refuses_unknown_keys_at_any_depth() -> None:
    assert read(dict[str, Limited], {"a": {"colour": 1}}) == {"a": Limited()}
    with pytest.raises(SchemaError, match=r"^unknown key 'a\.colour'; known are share, pair, names$"):
        read(dict[str, Limited], {"a": {"colour": 1}}, strict=True)
    with pytest.raises(SchemaError, match=r"^expected an object with keys, found 3$"):
        read(Limited, 3)
