"""Check values of options, given on a command line or in Python, and convert them to one type.

Each function takes a string or a value that already has the right type, and raises an InputError that says what is expected.
"""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from detect.base.errors import InputError

FIRST_YEAR = 1940
"""No image is older. In file names, 19201080 and 20481024 are sizes in pixels, not dates."""


def _number(value: Any, wanted: str, accept: Callable[[float], bool]) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not (math.isfinite(number) and accept(number)):
        raise InputError(f"'{value}' is not {wanted}")
    return number


def positive(value: Any) -> float:
    """A number above 0."""
    return _number(value, "a number above 0", lambda number: number > 0)


def not_negative(value: Any) -> float:
    """A number of at least 0."""
    return _number(value, "a number of at least 0", lambda number: number >= 0)


def share(value: Any) -> float:
    """A number between 0 and 1, both excluded."""
    return _number(value, "a number between 0 and 1", lambda number: 0 < number < 1)


def whole_number(value: Any) -> int:
    """A whole number of at least 1."""
    return int(_number(value, "a whole number of at least 1", lambda number: number >= 1 and number.is_integer()))


def seed(value: Any) -> int:
    """A whole number of at least 0."""
    return int(_number(value, "a whole number of at least 0", lambda number: number >= 0 and number.is_integer()))


def band_numbers(value: str | Iterable[int]) -> tuple[int, ...]:
    """One or three band numbers from 1: ``3,2,1`` or a sequence."""
    text = value if isinstance(value, str) else ",".join(map(str, value))
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and int(part) >= 1 for part in parts) or len(parts) not in (1, 3):
        raise InputError(f"'{text}' is not three band numbers from 1, such as 3,2,1")
    return tuple(int(part) for part in parts)


def box_degrees(value: str | Iterable[float]) -> tuple[float, float, float, float]:
    """West, south, east and north in degrees: ``11.0,48.1,11.1,48.2``; west > east goes across 180°."""
    wanted = "west,south,east,north in degrees, such as 11.0,48.1,11.1,48.2"
    west, south, east, north = _numbers(value, 4, wanted)
    if not (-90 <= south < north <= 90 and max(abs(west), abs(east)) <= 180 and west != east):
        raise InputError(f"'{value}' is not {wanted}")
    if 0 < west - east < 180:  # across 180° it would span half of the Earth
        raise InputError(f"'{value}' has its west side east of its east side; give {wanted}")
    return west, south, east, north


def circle(value: str | Iterable[float]) -> tuple[float, float, float]:
    """Latitude and longitude in degrees, and a distance in metres: ``48.15,11.05,300``."""
    wanted = "latitude,longitude,metres, such as 48.15,11.05,300"
    latitude, longitude, metres = _numbers(value, 3, wanted)
    if not (abs(latitude) <= 85 and abs(longitude) <= 180 and metres > 0):
        raise InputError(f"'{value}' is not {wanted}")
    return latitude, longitude, metres


def corners(value: str | Iterable[float]) -> str | tuple[float, ...]:
    """Latitude and longitude of two corners, ``51.8719,4.3548,51.8710,4.3569``; anything else that is a text names a file."""
    wanted = "the latitude,longitude of the upper left and of the lower right corner, or a file with a box"
    if isinstance(value, str) and any(letter.isalpha() for letter in value):
        return value
    numbers = _numbers(value, 4, wanted)
    if not all(abs(latitude) <= 85 for latitude in numbers[::2]) or not all(abs(longitude) <= 180 for longitude in numbers[1::2]):
        raise InputError(f"'{value}' is not {wanted}")
    return numbers


def metres_per_pixel(value: str | float) -> float:
    """Ground size of a pixel from a scale bar: ``50m=339px`` (also km and ft)."""
    found = re.fullmatch(r"([\d.]+) ?(m|km|ft) ?= ?([\d.]+) ?(?:px)?", str(value).strip())
    if found is None:
        if isinstance(value, str):
            raise InputError(f"'{value}' is not a length and its pixels, such as 50m=339px")
        return positive(value)
    metres = positive(found[1]) * {"m": 1.0, "km": 1000.0, "ft": 0.3048}[found[2]]
    return metres / positive(found[3])


def _numbers(value: str | Iterable[float], count: int, wanted: str) -> tuple[float, ...]:
    parts = value.split(",") if isinstance(value, str) else list(value)
    if len(parts) != count:
        raise InputError(f"'{value}' is not {wanted}")
    return tuple(_number(part, wanted, lambda number: True) for part in parts)


def ids(text: str) -> tuple[int, ...]:
    """Building numbers, such as ``4,7,9``."""
    parts = names(text)
    if not parts or not all(part.isdecimal() for part in parts):
        raise InputError(f"'{text}' is not a list of building numbers, such as 4,7,9")
    return tuple(int(part) for part in parts)


def names(value: str | Iterable[str]) -> tuple[str, ...]:
    """The words of a comma-separated list, without blanks; or a sequence of words."""
    return tuple(part.strip() for part in (value.split(",") if isinstance(value, str) else value) if part.strip())


def day(text: str) -> str:
    """A day written ``YYYY-MM-DD``."""
    try:
        return datetime.datetime.strptime(text, "%Y-%m-%d").date().isoformat()
    except (TypeError, ValueError):
        raise InputError(f"'{text}' is not a date written YYYY-MM-DD") from None


def image_day(text: str) -> str:
    """A day written ``YYYY-MM-DD`` on which an image may have been taken."""
    found = day(text)
    if not may_be_taken_on(datetime.date.fromisoformat(found)):
        raise InputError(f"'{text}' is not a date from {FIRST_YEAR} to today; give the day on which the image was taken")
    return found


def is_day(text: str) -> bool:
    """Whether a text is a day of the calendar, written YYYY-MM-DD."""
    try:
        return datetime.date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def image_days(text: str) -> str:
    """A day on which an image may have been taken, a month (``2024-06``), or two days with ``/`` between them."""
    try:
        if not isinstance(text, str) or len(text) == 10:
            return image_day(text)
        first, last = (
            (day(part) for part in text.split("/")) if "/" in text else [day(f"{text}-01" if len(text) == 7 else text)] * 2
        )
    except (InputError, ValueError):
        if isinstance(text, str) and ("/" in text or len(text) == 7):
            raise InputError(
                f"'{text}' is not a day, a month or two days, such as 2024-06-01, 2024-06, 2024-06-01/2024-06-30"
            ) from None
        raise
    if first > last:
        raise InputError(f"'{text}' ends before it begins")
    if "/" in text:
        return f"{first}/{last}"
    return first[:7] if len(text) == 7 else image_day(first)


def may_be_taken_on(date: datetime.date) -> bool:
    """Whether an image may have been taken on a day: from ``FIRST_YEAR`` to tomorrow, which has begun in some time zones."""
    return FIRST_YEAR <= date.year and date <= datetime.date.today() + datetime.timedelta(days=1)


def paths(value: str | Path | Sequence[str | Path]) -> tuple[Path, ...]:
    """One or several files."""
    return (Path(value),) if isinstance(value, str | Path) else tuple(Path(one) for one in value)
