"""What an earlier run has left in the folder of a scene: a result that is complete, or files to keep."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import geopandas as gpd

from detect.base.errors import InputError
from detect.results.files import OUTPUTS
from detect.results.folder import SUMMARY, ResultFolder
from detect.results.own_parts import refuse_to_lose
from detect.results.result import Result
from detect.runs.job import Job


def done_already(folder: ResultFolder, key: str, job: Job) -> Result | None:
    """The result in a folder, if it belongs to this run and is complete.

    Raises:
        InputError: the folder holds something else, and ``overwrite`` is not set.
    """
    path = folder.path
    if not path.exists():
        return None
    wanted = job.options.outputs or OUTPUTS
    if job.options.overwrite:
        folder.refuse_others(OUTPUTS if folder.written() is None else wanted)
        refuse_to_lose(path)
        return None
    try:
        summary = folder.summary("run.key", "blocks.failed")
        same = summary["run"]["key"] == key
    except InputError:
        summary, same = {}, False
    if not same:
        raise InputError(
            f"{path}: holds something else already{_what(summary)}; give --overwrite to replace it, or another --out"
        )
    folder.refuse_others(wanted)
    if summary["blocks"]["failed"] or not all((path / name).exists() for name in wanted):
        refuse_to_lose(path)
        return None
    buildings, sites = (gpd.read_file(path / "buildings.gpkg", layer=layer) for layer in ("buildings", "sites"))
    return Result(path, buildings, sites, summary)


def _what(summary: Mapping[str, Any]) -> str:
    """What a folder holds that belongs to another run, as far as its summary says it."""
    if summary.get("recounted"):
        return ", a result that detect census has counted again"
    if summary:
        return " (the result of another scene, or of other options; detect census counts again with other --sites or --structure)"
    return ""


def keeping(job: Job, folder: ResultFolder) -> Job:
    """The job of a scene: files that an earlier run of the same command has left are written again, so that other ``outputs`` lose none.

    Warns:
        UserWarning: ``overwrite`` replaces a result that has more files, or corrections.
    """
    if job.options.overwrite and (folder.path / SUMMARY).is_file() and folder.summary().get("review"):
        warnings.warn(f"{folder.path}: the corrections of the earlier result will be gone", stacklevel=2)
    wanted = job.options.outputs or OUTPUTS
    there = folder.written() or ()
    more = [name for name in OUTPUTS if name in there and name not in wanted and (folder.path / name).is_file()]
    if not more:
        return job
    if job.options.overwrite:
        lost = f"{', '.join(more)} of the earlier result will be gone, since --outputs leaves {'them' if len(more) > 1 else 'it'} out"
        warnings.warn(f"{folder.path}: {lost}", stacklevel=2)
        return job
    return replace(job, options=replace(job.options, outputs=tuple(name for name in OUTPUTS if name in (*wanted, *more))))
