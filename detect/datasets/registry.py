"""The data sets that ``detect prepare`` knows."""

from __future__ import annotations

from collections.abc import Callable, Collection
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path

from detect.base.errors import InputError
from detect.datasets.cutting import PROBLEMS, Report, prepare_images
from detect.datasets.images import DataSet
from detect.datasets.licences import CHOICES

ADAPTERS = (
    "spacenet1", "spacenet2", "spacenet4", "spacenet6", "spacenet7", "inria", "whu", "whu_satellite", "massachusetts", "airs",
    "opencities", "tanzania", "ramp", "fair", "crowdai", "xbd", "deepglobe", "openearthmap", "loveda", "dubai", "csds", "smart",
    "generic", "outlines", "samples", "simulated",
)  # fmt: skip
"""Modules of this folder, one per data set."""


def prepare(
    dataset: str,
    src: str | Path,
    dst: str | Path,
    *,
    drop: Collection[str] = (),
    licence: str | None = None,
    licences: str = "any",
    gsd_m: float | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Make training chips in ``dst`` from a data set in its published layout in ``src``.

    Args:
        dataset: name of an adapter; case, hyphens and underscores do not matter.
        src: folder that holds the data set.
        dst: folder of the chip store; an existing store keeps the chips of other data sets.
        drop: keys of ``detect.datasets.cutting.PROBLEMS``; chips with them are left out.
        licence: licence of the imagery and labels, in place of the known one.
        licences: key of ``detect.datasets.licences.CHOICES``; images under other licences are left out.
        gsd_m: ground size of a pixel, metres, in place of the known one; only for images without georeference.
        progress: called with the number of finished images and of all images.

    Raises:
        InputError: unknown data set, problem or choice of licences, no image under such a licence, a source that is missing or
            incomplete, a destination that holds something else.
    """
    data_set = _data_set(dataset)
    if unknown := set(drop) - set(PROBLEMS):
        raise InputError(f"--drop {','.join(sorted(unknown))}: unknown; chips can be {', '.join(PROBLEMS)}")
    if licences not in CHOICES:
        raise InputError(f"--licences {licences}: unknown; it can be {', '.join(CHOICES)}")
    source, store = Path(src), Path(dst)
    if not source.is_dir():
        raise InputError(f"{source}: no such folder; give the folder that holds the data set")
    return prepare_images(data_set, source, store, drop, licence=licence, licences=licences, gsd_m=gsd_m, progress=progress)


def format_data_sets(name: str | None = None) -> str:
    """A table of all data sets, or all facts about one.

    Raises:
        InputError: unknown data set.
    """
    if name is not None:
        one = _data_set(name)
        facts = {
            "licence": one.licence, "pixel": f"{one.gsd_m} m", "places": one.places, "sensor": one.sensor, "labels": one.labels,
            "from": one.source, "read as": one.layout, "cite": one.cite,
        }  # fmt: skip
        return "\n".join([f"{one.name}: {one.title}", *(f"  {key:<9}{value}" for key, value in facts.items() if value)])
    cells = [("name", "pixel, m", "licence", "labels and places")]
    cells += [(one.name, one.gsd_m, one.licence, f"{one.labels}; {one.places}") for one in map(_data_set, ADAPTERS)]
    widths = [max(map(len, column)) + 2 for column in zip(*cells, strict=True)]
    lines = ["".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
    return "\n".join([*lines, "detect prepare NAME --list shows where to get one, how it is read and how to cite it"])


def format_report(report: Report, store: str | Path) -> str:
    """What prepare did, as lines for the terminal."""
    lines = [f"{store}: {report.chips} chips from {report.images} images, {report.buildings} buildings"]
    if report.other_licence:
        lines.append(f"  {report.other_licence} images left out because of their licence")
    for problem, count in sorted(report.problems.items()):
        lines.append(f"  {count} chips {problem}: {PROBLEMS[problem]}")
    kept = sum(report.problems.values()) - report.dropped
    if report.problems:
        lines.append(f"  {report.dropped} of them left out, {kept} kept" + (" (--drop leaves more out)" if kept else ""))
    return "\n".join(lines)


def _data_set(name: str) -> DataSet:
    known = {_plain(adapter): adapter for adapter in ADAPTERS}
    wanted = _plain(name)
    if wanted not in known:
        near = get_close_matches(wanted, known, n=1)
        hint = f"did you mean {known[near[0]]}? " if near else ""
        raise InputError(f"data set '{name}' is unknown; {hint}known are {', '.join(ADAPTERS)} (detect prepare --list)")
    found: DataSet = import_module(f"detect.datasets.{known[wanted]}").DATA_SET
    return found


def _plain(name: str) -> str:
    return "".join(c for c in name.lower() if c.isalnum())
