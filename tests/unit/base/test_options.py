"""Options that are written once: the checks, and what is made of them."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from typing import Any

import pytest

from detect.base.checks import positive
from detect.base.errors import InputError
from detect.base.options import Flag, Options, flag, flags, takes


@dataclass(frozen=True)
class Drawing(Options):
    """Options of a drawing."""

    width_m: float | None = field(default=None, metadata=flag("--width", "how wide", "METRES", positive))
    corner: tuple[float | None, float | None] = field(
        default=(None, None), metadata=flags(Flag("--corner-x", "", "X", float), Flag("--corner-y", "", "Y", float), doc="where")
    )
    filled: bool = field(default=False, metadata=flag("--filled", "no holes"))


@takes(Drawing)
def draw(what: str, **options: Any) -> Drawing:
    """Draw something.

    Args:
        what: it is.
        options: see below.
    """
    return Drawing.from_keywords(**options)


def test_values_are_checked_and_brought_into_their_type() -> None:
    drawn = draw("a house", width_m="3", corner=(1, None))
    assert drawn == Drawing(width_m=3.0, corner=(1.0, None), filled=False)
    assert isinstance(drawn.width_m, float)


@pytest.mark.parametrize("wrong", [{"width_m": -1}, {"width_m": "wide"}, {"corner": ("left", None)}])
def test_a_wrong_value_names_the_option_in_both_spellings(wrong: dict[str, Any]) -> None:
    (name,) = wrong
    with pytest.raises(InputError, match=rf"--{name[:5]}.* \({name}\): ") as caught:
        draw("a house", **wrong)
    assert "\n" not in str(caught.value)


def test_an_unknown_option_lists_the_known_ones() -> None:
    with pytest.raises(TypeError, match=r"no option 'colour'.*width_m, corner, filled"):
        draw("a house", colour="red")


def test_signature_and_documentation_show_the_options() -> None:
    parameters = inspect.signature(draw).parameters
    assert list(parameters) == ["what", "width_m", "corner", "filled"]
    assert [p.default for p in parameters.values()][1:] == [None, (None, None), False]
    assert all(f"    {line}." in (draw.__doc__ or "") for line in ("width_m: how wide", "corner: where", "filled: no holes"))


def test_an_option_of_several_flags_is_a_tuple() -> None:
    given = {"--width": 2.0, "--corner-x": 5.0, "--corner-y": None, "--filled": True}
    assert Drawing.from_flags(lambda one: given[one.name]) == Drawing(2.0, (5.0, None), True)
    assert [(one.name, default) for one, default in Drawing.flags()] == [
        ("--width", None), ("--corner-x", None), ("--corner-y", None), ("--filled", False),
    ]  # fmt: skip
