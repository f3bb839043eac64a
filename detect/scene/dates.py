"""Find days in texts, tags, file names and STAC items; ``detect.scene.sources`` chooses among them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import date as Date
from datetime import timedelta
from typing import Any

from detect.base.errors import InputError

FIRST_YEAR = 1940
"""Earlier and future days are not dates of scenes: 19201080 and 20481024 are sizes in pixels."""
_DAY = re.compile(r"(?<!\d)((?:19|20)\d\d)([-:_.]?)(0[1-9]|1[0-2])\2(0[1-9]|[12]\d|3[01])(?=\D|\d{6}(?!\d)|$)")
_MONTH = re.compile(r"(?<!\d)((?:19|20)\d\d)[-_](0[1-9]|1[0-2])(?![-_.]?\d)")
_TAGS = (
    ("IMAGERY", "ACQUISITIONDATETIME"),  # what GDAL reads from the metadata files of many providers
    ("IMD", "IMAGE_1.FIRSTLINETIME"),  # DigitalGlobe and Maxar
    ("IMD", "IMAGE_1.TLCTIME"),
    (None, "ACQUISITIONDATETIME"),
    (None, "NITF_IDATIM"),  # date of the image; NITF_FDT is that of the file
    (None, "TIFFTAG_DATETIME"),  # last: with some software it is the day of processing
)


def given_date(text: str) -> str:
    """ISO day of the option ``--date``.

    Raises:
        InputError: it is no day.
    """
    try:
        return Date.fromisoformat(text).isoformat()
    except ValueError as cause:
        raise InputError(f"--date '{text}': no day; write it as YYYY-MM-DD") from cause


def day_in(text: str) -> str | None:
    """The first day that a text names as 2026-01-05, 2026:01:05, 2026_01_05, 2026.01.05, 20260105 or 20260105101500."""
    for year, _, month, day in _DAY.findall(text):
        found = _real(int(year), int(month), int(day))
        if found:
            return found
    return None


def month_in(text: str) -> str | None:
    """The first day of the month that a text names as 2026-01 or 2026_01: monthly mosaics have no day."""
    for year, month in _MONTH.findall(text):
        found = _real(int(year), int(month), 1)
        if found:
            return found
    return None


def item_date(item: Mapping[str, Any]) -> str | None:
    """The day of a STAC item: its ``datetime``, or the start of its interval."""
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
    tomorrow = Date.today() + timedelta(days=1)  # in some time zones it is tomorrow already
    return date.isoformat() if FIRST_YEAR <= year and date <= tomorrow else None


def tagged_date(dataset: Any) -> str | None:
    """The day in the tags of an open rasterio dataset, the most trustworthy tag first."""
    for space, key in _TAGS:
        tags = {k.upper(): v for k, v in dataset.tags(ns=space).items()}
        found = day_in(tags.get(key, ""))
        if found:
            return found
    return None


def named_date(name: str, others: Iterable[str | None] = ()) -> str | None:
    """The day in a file's name. A month without a day gives the day in ``others`` that lies in it, or else its first day."""
    day, month = day_in(name), month_in(name)
    if day is not None or month is None:
        return day
    return next((other for other in others if other is not None and other[:7] == month[:7]), month)
