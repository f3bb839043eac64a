"""The day a scene was taken: from the option, a STAC item beside the file, the file's tags, or its name, in that order."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date as Date
from datetime import timedelta
from pathlib import Path
from typing import Any

from detect.base.errors import InputError
from detect.scene.stac import items_beside

FIRST_YEAR = 1940
"""Digits before it, and days that are still to come, are no date of a scene: 19201080 are pixels, 20481024 too."""
_DAY = re.compile(r"(?<!\d)((?:19|20)\d\d)([-:_.]?)(0[1-9]|1[0-2])\2(0[1-9]|[12]\d|3[01])(?=\D|\d{6}(?!\d)|$)")
_MONTH = re.compile(r"(?<!\d)((?:19|20)\d\d)[-_](0[1-9]|1[0-2])(?![-_.]?\d)")
_TAGS = (
    ("IMAGERY", "ACQUISITIONDATETIME"),  # what GDAL reads from the metadata files of many providers
    ("IMD", "IMAGE_1.FIRSTLINETIME"),  # DigitalGlobe and Maxar
    ("IMD", "IMAGE_1.TLCTIME"),
    (None, "ACQUISITIONDATETIME"),
    (None, "NITF_IDATIM"),  # of the image; NITF_FDT is that of the file
    (None, "TIFFTAG_DATETIME"),  # last: with some software it is the day of processing
)


def scene_date(dataset: Any, path: str, given: str | None = None) -> str | None:
    """ISO day of a scene; None where nothing tells it.

    Args:
        dataset: open rasterio dataset.
        path: of the scene, or its URL.
        given: the option ``--date``.

    Raises:
        InputError: ``given`` is no day.
    """
    if given is not None:
        try:
            return Date.fromisoformat(given).isoformat()
        except ValueError as cause:
            raise InputError(f"--date '{given}': no day; write it as YYYY-MM-DD") from cause
    name = Path(path.split("?")[0]).stem
    return next((d for d in (_from_item(Path(path)), _from_tags(dataset), day_in(name), month_in(name)) if d), None)


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
    tomorrow = Date.today() + timedelta(days=1)  # somewhere it is tomorrow already
    return date.isoformat() if FIRST_YEAR <= year and date <= tomorrow else None


def _from_tags(dataset: Any) -> str | None:
    for space, key in _TAGS:
        tags = {k.upper(): v for k, v in dataset.tags(ns=space).items()}
        found = day_in(tags.get(key, ""))
        if found:
            return found
    return None


def _from_item(path: Path) -> str | None:
    """The day in a STAC item beside a file."""
    return next((found for item in items_beside(path) if (found := item_date(item))), None)
