"""Find dates in file names, tags and STAC items; ``detect.scene.sources`` chooses among them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import date as Date
from typing import Any

from detect.base.checks import image_day, may_be_taken_on
from detect.base.errors import InputError

_DAY = re.compile(r"(?<!\d)((?:19|20)\d\d)([-:_.]?)(0[1-9]|1[0-2])\2(0[1-9]|[12]\d|3[01])(?=\D|\d{6}(?!\d)|$)")
_MONTH = re.compile(r"(?<!\d)((?:19|20)\d\d)[-_](0[1-9]|1[0-2])(?![-_.]?\d)")
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_DAY_FIRST = re.compile(rf"(?<![0-9A-Za-z])(\d\d)[-_ ]?({'|'.join(_MONTHS)})[-_ ]?(20\d\d|19\d\d)(?!\d)", re.IGNORECASE)
_TAGS = (
    ("IMAGERY", "ACQUISITIONDATETIME"),  # what GDAL reads from the metadata files of many providers
    ("IMD", "IMAGE_1.FIRSTLINETIME"),  # DigitalGlobe and Maxar
    ("IMD", "IMAGE_1.TLCTIME"),
    (None, "ACQUISITIONDATETIME"),
    (None, "NITF_IDATIM"),  # date of the image; NITF_FDT is that of the file
    (None, "TIFFTAG_DATETIME"),  # last: with some software it is the day of processing
)
_INVENTED = ("20021216151629",)
"""What GDAL writes as the date of the image into NITF files, unless told another."""


def given_date(text: str) -> str:
    """ISO day of the option ``--date``.

    Raises:
        InputError: it is not a date, lies before 1940 or in the future.
    """
    try:
        return image_day(text)
    except InputError as cause:
        raise InputError(f"--date: {cause}") from cause


def day_in(text: str) -> str | None:
    """The first date in a text: 2026-01-05, 2026:01:05, 2026_01_05, 2026.01.05, 20260105, 20260105101500 or 05JAN2026."""
    for year, _, month, day in _DAY.findall(_with_month_names(text)):
        found = _real(int(year), int(month), int(day))
        if found:
            return found
    return None


def _with_month_names(text: str) -> str:
    """A text in which 05JUN2024 is written as 2024-06-05; not Maxar's 24JUN05, whose century is a guess."""
    return _DAY_FIRST.sub(lambda m: f"{m[3]}-{_MONTHS.index(m[2].upper()) + 1:02d}-{m[1]} ", text)


def month_in(text: str) -> str | None:
    """The first day of the month in a text such as 2026-01 or 2026_01: names of monthly mosaics have no day."""
    for year, month in _MONTH.findall(text):
        found = _real(int(year), int(month), 1)
        if found:
            return found
    return None


def item_date(item: Mapping[str, Any]) -> str | None:
    """The date of a STAC item: its ``datetime``, or the start of its interval."""
    properties = item.get("properties")
    if not isinstance(properties, Mapping):
        return None
    texts = (properties.get(key) for key in ("datetime", "start_datetime"))
    return next((d for d in (day_in(t) for t in texts if isinstance(t, str)) if d), None)


def _real(year: int, month: int, day: int) -> str | None:
    try:
        date = Date(year, month, day)
    except ValueError:  # 31 February
        return None
    return date.isoformat() if may_be_taken_on(date) else None


def tagged_date(dataset: Any) -> str | None:
    """The date in the tags of an open rasterio dataset, the most trustworthy tag first."""
    for space, key in _TAGS:
        tags = {k.upper(): v for k, v in dataset.tags(ns=space).items()}
        found = day_in(tags.get(key, ""))
        if found and tags[key] not in _INVENTED:
            return found
    return None


def named_date(name: str, others: Iterable[str | None] = ()) -> str | None:
    """The date in a file name. If the name has only a month: the first of ``others`` in that month, or else the first of the month."""
    day, month = day_in(name), month_in(name)
    if day is not None or month is None:
        return day
    return next((other for other in others if other is not None and other[:7] == month[:7]), month)
